//! Files that visitors ask a server for by their path, and that no application means to serve: repositories, keys, settings,
//! dumps of databases, copies that editors leave. Names as [`super::units::name`] gives them: lower case, without the first
//! slash. Called for request paths alone; what a parameter names is for [`super::targets`].

use crate::finding::Confidence::{self, High, Low, Medium};

/// Directories of the owner of a machine or of a repository, with what is read in them. `""` is any file.
const INSIDE: &[(&str, &[&str], Confidence)] = &[
    (
        ".git",
        &["head", "config", "index", "logs/head", "packed-refs", "fetch_head", "orig_head", "commit_editmsg"],
        High,
    ),
    // What `git clone` asks for: some publish a repository with its working copy.
    (".git", &[""], Medium),
    (".svn", &["entries", "wc.db", "format", "all-wcprops"], High),
    (".hg", &["requires", "hgrc", "dirstate", "store/00manifest.i"], High),
    (".bzr", &["branch/branch.conf", "readme", "checkout/dirstate"], High),
    (".aws", &["credentials", "config"], High),
    (
        ".ssh",
        &[
            "id_rsa",
            "id_dsa",
            "id_ecdsa",
            "id_ed25519",
            "authorized_keys",
            "known_hosts",
            "config",
            "identity",
        ],
        High,
    ),
    (".docker", &["config.json"], High),
    (".kube", &["config"], High),
    (".gnupg", &["secring.gpg", "private-keys-v1.d"], High),
    (".vscode", &["sftp.json", "settings.json", "launch.json"], Medium),
    (".idea", &["workspace.xml", "datasources.xml", "deployment.xml", "webservers.xml"], Medium),
    ("proc/self", &["environ", "cmdline", "maps", "fd"], High),
    ("cvs", &["entries", "root"], Medium),
    ("wp-content", &["debug.log", "error.log", "errors.log"], High),
    ("proc", &["cpuinfo", "interrupts", "meminfo", "mounts", "net/tcp", "sched_debug", "version"], High),
];

/// Directories in which tools of developers, and assistants that write code, keep settings, keys and what was said. Each
/// file in them is one that no application serves.
const TOOLS: &[&str] = &[
    ".a0proj",
    ".aider",
    ".claude",
    ".cline",
    ".codeium",
    ".codex",
    ".continue",
    ".copilot",
    ".cursor",
    ".fabric",
    ".gemini",
    ".goose",
    ".junie",
    ".kiro",
    ".n8n",
    ".opencode",
    ".openhands",
    ".plandex",
    ".qodo",
    ".roo",
    ".rovodev",
    ".tabnine",
    ".windsurf",
    ".zed",
];

/// Files of their own.
const FILES: &[(&str, Confidence)] = &[
    (".env", High),
    (".dockercfg", High),
    (".git-credentials", High),
    (".gitconfig", Medium),
    (".netrc", High),
    (".npmrc", High),
    (".pypirc", High),
    (".pgpass", High),
    (".my.cnf", High),
    (".s3cfg", High),
    (".boto", High),
    (".ftpconfig", High),
    (".htpasswd", High),
    (".htaccess", High),
    (".bash_history", High),
    (".zsh_history", High),
    (".sh_history", High),
    (".mysql_history", High),
    (".psql_history", High),
    (".python_history", High),
    (".aiignore", High),
    (".aider.conf.yml", High),
    (".aider.chat.history.md", High),
    (".claude.json", High),
    (".cursorignore", High),
    (".cursorrules", High),
    (".mcp.json", High),
    ("privkey.pem", High),
    ("dump.rdb", High),
    (".bashrc", Medium),
    (".profile", Medium),
    (".ds_store", Low),
];

/// `.env` of one environment.
const ENVIRONMENTS: &[&str] = &[
    "local",
    "dev",
    "development",
    "prod",
    "production",
    "stage",
    "staging",
    "test",
    "live",
    "bak",
    "backup",
    "old",
    "save",
    "swp",
    "orig",
    "docker",
    "1",
    "2",
    "dist",
    "example",
    "sample",
];

/// Endings of copies.
const COPIES: &[&str] = &["bak", "old", "save", "swp", "swo", "orig", "copy", "backup", "bkp", "tmp", "1"];

/// Endings of what a server runs or reads, and never sends.
const SOURCES: &[&str] = &[
    "php",
    "phtml",
    "asp",
    "aspx",
    "ashx",
    "jsp",
    "py",
    "rb",
    "pl",
    "cgi",
    "config",
    "ini",
    "inc",
    "conf",
    "cnf",
    "yml",
    "yaml",
    "properties",
];

/// What people call a dump of a database, and its endings.
const DUMPS: &[&str] = &[
    "backup",
    "bak",
    "db",
    "database",
    "dump",
    "mysql",
    "mysqldump",
    "sql",
    "site",
    "www",
    "wwwroot",
    "prod",
    "users",
    "wordpress",
    "wp",
    "localhost",
    "data",
    "db_backup",
    "backup_db",
    "dbdump",
];
const DUMP_ENDS: &[&str] =
    &["sql", "sql.gz", "sql.zip", "sql.bz2", "sql.xz", "sql.tar.gz", "sql.7z", "sqlite", "mdb"];

/// Segments of sites that show repositories to visitors.
const HOSTING: &[&str] = &[
    "blob", "raw", "tree", "src", "-", "browse", "commits", "contents", "edit", "blame", "files", "archive",
];

/// How sure it is that a request for this path looks for what is not meant to be served.
pub(super) fn judge(name: &[u8]) -> Option<Confidence> {
    let confidence = file(name)?;
    let is_hosted = name.split(|byte| *byte == b'/').any(|segment| is_in(HOSTING, segment));
    Some(if is_hosted { Low } else { confidence })
}

fn file(name: &[u8]) -> Option<Confidence> {
    let path = name.strip_suffix(b"/").unwrap_or(name);
    let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    if let Some((_, confidence)) = FILES.iter().find(|(known, _)| known.as_bytes() == last) {
        return Some(*confidence);
    }
    if let Some(environment) = last.strip_prefix(b".env.").or_else(|| last.strip_prefix(b".env_")) {
        let is_template = environment == b"example" || environment == b"sample" || environment == b"dist";
        return is_in(ENVIRONMENTS, environment).then_some(if is_template { Medium } else { High });
    }
    if let Some(confidence) = INSIDE.iter().find_map(|inside| is_inside(path, inside)) {
        return Some(confidence);
    }
    let mut folders = path.strip_suffix(last).unwrap_or_default().split(|byte| *byte == b'/');
    // A copy of a program may be asked with a path of its own: `index.php~/a/b`.
    let is_kept = |folder: &[u8]| folder.first() == Some(&b'.') && is_in(TOOLS, folder) || is_copy(folder);
    if is_copy(last) || folders.any(is_kept) {
        return Some(High);
    }
    let depth = memchr::memchr_iter(b'/', path).count();
    is_dump(last).then_some(if depth < 2 { High } else { Medium })
}

fn is_inside(
    path: &[u8],
    (directory, files, confidence): &(&str, &[&str], Confidence),
) -> Option<Confidence> {
    files.iter().find_map(|file| {
        let rest = if file.is_empty() {
            let at = memchr::memmem::find_iter(path, directory.as_bytes())
                .find(|at| path.get(at + directory.len()) == Some(&b'/'))?;
            path.get(..at)?
        } else {
            path.strip_suffix(file.as_bytes())?.strip_suffix(b"/")?.strip_suffix(directory.as_bytes())?
        };
        // A segment of its own: `repo.git/head` is a repository that is served.
        (rest.is_empty() || rest.ends_with(b"/")).then_some(*confidence)
    })
}

/// A copy of a source, so that the server sends it instead of running it: `config.php~`, `.index.php.swp`.
fn is_copy(last: &[u8]) -> bool {
    let original = if let Some(original) = last.strip_suffix(b"~") {
        original
    } else {
        let Some(dot) = memchr::memrchr(b'.', last) else { return false };
        let (original, end) = last.split_at_checked(dot).unwrap_or((last, &[]));
        if !is_in(COPIES, end.get(1..).unwrap_or_default()) {
            return false;
        }
        original
    };
    let Some(dot) = memchr::memrchr(b'.', original) else { return false };
    dot > 0 && is_in(SOURCES, original.get(dot + 1..).unwrap_or_default())
}

fn is_dump(last: &[u8]) -> bool {
    let Some(dot) = memchr::memchr(b'.', last) else { return false };
    let (stem, end) = last.split_at_checked(dot).unwrap_or((last, &[]));
    is_in(DUMP_ENDS, end.get(1..).unwrap_or_default()) && is_in(DUMPS, stem)
}

fn is_in(list: &[&str], word: &[u8]) -> bool {
    list.iter().any(|known| known.as_bytes() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_application_serves_is_an_attack_and_what_some_do_is_not() {
        let rows: &[(&str, Option<Confidence>)] = &[
            (".git/head", Some(High)),
            ("app/.git/config", Some(High)),
            (".git/objects/ab/cd", Some(Medium)),
            (".git/info/refs", Some(Medium)),
            (".svn/wc.db", Some(High)),
            (".claude/settings.json", Some(High)),
            ("app/.cursor/mcp.json", Some(High)),
            ("home/a/.codex/auth.json", Some(High)),
            ("etc/letsencrypt/live/example.org/privkey.pem", Some(High)),
            ("org/repo/blob/main/.claude/settings.json", Some(Low)),
            ("org/repo/src/branch/main/.cursorrules", Some(Low)),
            ("docs/.claude", None),
            ("a.cursor/b", None),
            ("claude/settings.json", None),
            (".env", Some(High)),
            ("api/.env.production", Some(High)),
            (".env.example", Some(Medium)),
            (".aws/credentials", Some(High)),
            ("home/a/.ssh/id_rsa", Some(High)),
            (".htpasswd", Some(High)),
            ("proc/self/environ", Some(High)),
            ("wp-config.php.bak", Some(High)),
            ("config.php~", Some(High)),
            (".index.php.swp", Some(High)),
            ("web.config.old", Some(High)),
            ("backup.sql", Some(High)),
            ("db.sql.gz", Some(High)),
            ("a/b/c/dump.sql", Some(Medium)),
            (".ds_store", Some(Low)),
            ("org/repo/blob/main/.env", Some(Low)),
            ("org/repo/-/raw/main/config.php.bak", Some(Low)),
            (".well-known/acme-challenge/a", None),
            (".well-known/security.txt", None),
            ("repo.git/head", None),
            ("group/repo.git/info/refs", None),
            ("repo.git/objects/info/packs", None),
            ("@scope/package/-/package-1.0.0.tgz", None),
            ("org/example/app/1.0/app-1.0.jar.sha1", None),
            ("pool/main/a/a_1.0.orig.tar.gz", None),
            (".nojekyll", None),
            ("docs/environment", None),
            ("a.env.js", None),
            ("migrations/0001_users.sql", None),
            ("downloads/schema.sql", None),
            ("node_modules/a/.eslintrc.json", None),
            ("photos/holiday.jpg.1", None),
            ("index.php", None),
            ("", None),
            ("~", None),
        ];
        for (name, expected) in rows {
            assert_eq!(judge(name.as_bytes()), *expected, "{name}");
        }
    }
}
