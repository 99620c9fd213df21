//! Files that are read to learn of a machine or an application. Names are lower case, with `/`, from the root or from
//! the directory of the application.

/// What a file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Accounts, keys, configuration: there is hardly another reason to name it.
    Secret,
    /// Something of the system: programs that manage machines name it as well.
    System,
}

const SECRETS: &[&str] = &[
    "etc/passwd",
    "etc/passwd-",
    "etc/shadow",
    "etc/shadow-",
    "etc/group",
    "etc/gshadow",
    "etc/master.passwd",
    "etc/security/passwd",
    "etc/sudoers",
    "etc/hosts",
    "etc/hostname",
    "etc/issue",
    "etc/crontab",
    "etc/fstab",
    "etc/ssh/sshd_config",
    "etc/mysql/my.cnf",
    "etc/my.cnf",
    "etc/apache2/apache2.conf",
    "etc/httpd/conf/httpd.conf",
    "etc/nginx/nginx.conf",
    "etc/php.ini",
    "etc/os-release",
    "etc/resolv.conf",
    "etc/motd",
    "proc/self",
    "proc/version",
    "proc/cmdline",
    "proc/mounts",
    "proc/cpuinfo",
    "proc/1/environ",
    "proc/net/tcp",
    "proc/net/arp",
    "windows/win.ini",
    "winnt/win.ini",
    "win.ini",
    "boot.ini",
    "windows/system.ini",
    "windows/system32/drivers/etc/hosts",
    "winnt/system32/cmd.exe",
    "windows/system32/cmd.exe",
    "windows/system32/config/sam",
    "windows/repair/sam",
    "windows/php.ini",
    "windows/my.ini",
    "web-inf/web.xml",
    "web-inf",
    "meta-inf/manifest.mf",
    "meta-inf",
    ".git/config",
    ".git/head",
    ".env",
    ".ssh/id_rsa",
    ".ssh/id_dsa",
    ".ssh/id_ed25519",
    ".ssh/authorized_keys",
    ".aws/credentials",
    ".htaccess",
    ".htpasswd",
    ".bash_history",
    "wp-config.php",
    "wp-config",
    "root/.ssh/id_rsa",
    "root/.bash_history",
    "var/run/secrets/kubernetes.io/serviceaccount/token",
    "inetpub/wwwroot/web.config",
    "web.config",
    "etc/httpd/conf",
    ".passwd",
    ".netrc",
    ".rhosts",
    ".pgpass",
    ".my.cnf",
    ".mysql_history",
    ".psql_history",
    ".sh_history",
    ".zsh_history",
    ".history",
    ".docker/config.json",
    ".docker/secrets",
    ".kube/config",
    "master.passwd",
];

/// Files that tell of an application or of who uses it, in whatever directory they are.
const TELLING: &[&str] = &[
    "access_log",
    "access.log",
    "error_log",
    "error.log",
    "httpd.conf",
    "php.ini",
    "my.ini",
    "my.cnf",
    "metabase.xml",
    "global.asa",
    ".htpasswd",
    "proftpd.log",
    "pure-ftpd.log",
    "mysqld.log",
    "proftpd.conf",
    "pureftpd.passwd",
    "pure-ftpd.conf",
];

/// It is one of an application's own, and nobody links to it: `config.php`, `.passwd`, `error.log`.
pub(crate) fn is_private(name: &[u8]) -> bool {
    let file = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let (stem, end) = match memchr::memrchr(b'.', file) {
        Some(dot) => (file.get(..dot).unwrap_or_default(), file.get(dot + 1..).unwrap_or_default()),
        None => (file, &b""[..]),
    };
    let runs = matches!(
        end,
        b"php" | b"asp" | b"aspx" | b"jsp" | b"inc" | b"ini" | b"yml" | b"yaml" | b"xml" | b"conf"
    );
    let is_telling =
        [&b"config"[..], b"_config", b"config.inc", b"settings", b"database", b"db", b"dbase", b"users.db"]
            .contains(&stem);
    TELLING.iter().any(|known| known.as_bytes() == file)
        || runs && is_telling
        || file.starts_with(b".pass")
        || file.starts_with(b"passwd")
}

/// Directories, with all that is in them.
const SYSTEM: &[&str] = &[
    "etc/",
    "proc/",
    "sys/",
    "dev/",
    "boot/",
    "root/",
    "var/log/",
    "var/adm/",
    "var/www/",
    "var/run/",
    "var/spool/",
    "var/lib/",
    "var/mail/",
    "var/apache",
    "var/mysql",
    "var/cron/",
    "var/db/",
    "var/htmp",
    "var/local/www/",
    "var/nm2/",
    "var/cpanel/",
    "var/data/",
    "var/saf",
    "var/webmin/",
    "var/mysql.log",
    "var/backups/",
    "usr/local/",
    "usr/home/",
    "usr/share/",
    "usr/lib/",
    "usr/etc/",
    "usr/apache",
    "usr/pkg/",
    "usr/ports/",
    "usr/spool/",
    "usr/internet/",
    "opt/",
    "home/",
    "apache/",
    "apache2/",
    "apache group/",
    "xampp/",
    "wamp/",
    "php/",
    "php4/",
    "php5/",
    "mysql/",
    "windows/",
    "winnt/",
    "program files",
    "inetpub/",
    "users/",
    "system32/",
    "documents and settings/",
    "private/etc/",
    "private/var/",
    "library/webserver/",
    "volumes/",
    "conf/",
    "config/",
    "web-inf/",
    "meta-inf/",
    ".git/",
    ".ssh/",
    "logs/",
    "bin/",
    "lib/",
    "apps/",
];

/// Of these only what is at a root is one of a system.
const APPLICATION: &[&str] =
    &["conf/", "config/", "lib/", "apps/", "logs/", "php/", "bin/", "users/", "home/", "opt/", "var/data/"];

pub(crate) fn find(name: &[u8]) -> Option<Target> {
    if SECRETS.iter().any(|known| is_at_start(name, known.as_bytes())) {
        return Some(Target::Secret);
    }
    let file = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    if name.len() > file.len() && TELLING.iter().any(|known| known.as_bytes() == file) {
        return Some(Target::Secret);
    }
    let known = SYSTEM.iter().find(|known| name.starts_with(known.as_bytes()))?;
    (!APPLICATION.contains(known)).then_some(Target::System)
}

/// The name, or it with something behind it that an application appends: `.html`, a slash.
fn is_at_start(name: &[u8], known: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(known) else { return false };
    matches!(rest, [] | [b'/' | b'.' | b'~' | b'%' | b':' | b'$', ..])
}

/// The path of a request that ends in a secret: `/download/etc/passwd`.
pub(crate) fn ends_in_secret(name: &[u8]) -> bool {
    SECRETS.iter().take_while(|known| **known != ".git/config").any(|known| {
        let known = known.as_bytes();
        known.contains(&b'/')
            && name.strip_suffix(known).is_some_and(|before| before.is_empty() || before.ends_with(b"/"))
    }) || name.windows(8).any(|part| part == b"web-inf/")
}

/// A secret in a directory of somebody's own, wherever that is: `home/a/.docker/secrets`.
pub(crate) fn is_in_home(name: &[u8]) -> bool {
    SECRETS.iter().any(|known| {
        known.starts_with('.')
            && known.contains('/')
            && !known.starts_with(".git/")
            && name.strip_suffix(known.as_bytes()).is_some_and(|before| before.ends_with(b"/"))
    })
}

/// It begins with a dot, or is kept from visitors by the server.
pub(crate) fn is_hidden(name: &[u8]) -> bool {
    name.starts_with(b".ht")
        || name.starts_with(b".git/")
        || name.starts_with(b".ssh/")
        || name.starts_with(b".aws/")
        || name.starts_with(b"web-inf/")
}

/// It is a file of a directory of the system, as far as its name tells.
pub(crate) fn is_file(name: &[u8]) -> bool {
    let name = name.strip_suffix(b"/").unwrap_or(name);
    let depth = memchr::memchr_iter(b'/', name).count();
    let last = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    match () {
        () if name.starts_with(b"etc/") || name.starts_with(b"proc/") => depth > 0,
        () if name.starts_with(b"var/log/") || name.starts_with(b"var/adm/") => true,
        () => depth > 2 || last.contains(&b'.') || last.contains(&b'_'),
    }
}

/// What pages and programs load from beside them.
pub(crate) fn is_asset(name: &[u8]) -> bool {
    const ENDS: &[&str] = &[
        "png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "scss", "less", "js", "mjs", "ts", "tsx",
        "jsx", "vue", "html", "htm", "md", "mdx", "rst", "woff", "woff2", "map", "rs", "go", "py", "c", "h",
        "java", "mp4", "pdf", "json",
    ];
    let file = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let Some(dot) = memchr::memrchr(b'.', file) else { return false };
    let end = file.get(dot + 1..).unwrap_or_default();
    ENDS.iter().any(|known| known.as_bytes() == end)
}

/// A program, which people configure, and nobody learns anything from: `usr/local/bin/node`.
pub(crate) fn is_program(name: &[u8]) -> bool {
    let in_programs = memchr::memmem::find(name, b"/bin/").is_some();
    in_programs || name.starts_with(b"program files") && name.ends_with(b".exe")
}

/// Words that may be shown in a sample.
pub(crate) fn is_word(word: &[u8]) -> bool {
    const WORDS: &[&str] = &[
        "etc", "passwd", "shadow", "proc", "self", "windows", "win", "ini", "boot", "web", "inf", "xml",
        "git", "config", "env", "var", "log", "2e", "2f", "5c", "hosts", "system32", "php", "conf",
    ];
    WORDS.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}
