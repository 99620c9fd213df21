use proptest::prelude::*;

use super::*;
use crate::budget::Limits;

fn found(value: &[u8]) -> Option<Found> {
    let mut budget = Budget::new(Limits::for_body(1 << 20));
    detect(value, true, &mut budget).unwrap()
}

fn confidence(value: &str) -> Option<Confidence> {
    found(value.as_bytes()).map(|found| found.confidence)
}

#[test]
fn the_names_of_functions_are_sorted_and_in_lower_case() {
    assert!(words::FUNCTIONS.is_sorted_by(|a, b| a.0 < b.0));
    for (name, meaning) in words::FUNCTIONS {
        assert_eq!(name.to_lowercase(), *name);
        assert_eq!(words::find(name.as_bytes()), Some(*meaning), "{name}");
    }
}

#[test]
fn the_prefilter_knows_every_mark() {
    let needs = |byte: u8| NEEDS.bytes.contains(&byte) || NEEDS.alone.contains(&byte);
    for mark in marks::words() {
        assert!(marks::NEEDLES.contains(&mark.to_lowercase().as_str()), "{mark}");
        assert!(mark.bytes().any(needs), "{mark}");
        assert!(OF_MARKS.any(mark.as_bytes()), "{mark}");
    }
}

/// Rule, and values that it refuses.
const ATTACKS: &[(&str, &[&str])] = &[
    (
        "code-call",
        &[
            "phpinfo()",
            "phpinfo();",
            "';phpinfo();//",
            "\".phpinfo().\"",
            "{${phpinfo()}}",
            "${@print(md5(1))}",
            "1;system('id')",
            "x');system('id');//",
            "; system('sleep 9');",
            "system(whoami)",
            "${system(ls)}",
            "x\".exec(id).\"",
            "eval(base64_decode('x'))",
            "eval($_POST[x])",
            "assert($x)",
            "shell_exec('id')",
            "passthru ('id')",
            "base64_decode/**/('x')",
            "file_get_contents('/etc/passwd')",
            "call_user_func('system','id')",
            "exec   (ls)",
            "passthru\t(ls)",
            "system /* x */ (ls)",
            "assert // x\n ($a)",
            "eval #x\n(a)",
            "in short: gzinflate/**/(a)",
            "strtolower(name)",
            "array_merge (x)",
            "substr($name)",
            "file/**/()",
            "x);print(`id`);//",
            "echo md5(\"x\");",
            "__import__('os')",
            "exec(\"import os\")",
        ],
    ),
    (
        "code-variable-call",
        &[
            "$a('id')",
            "$a['b']('id')",
            "${@a}('id')",
            "$$b(1)",
            "$o->$f()",
            "A::$f()",
            "$_[1]/**/['x'] (1)",
            "('system')('id')",
            "(system)('id')",
            "['system'][0]('id')",
            "('sys'.'tem')('id')",
        ],
    ),
    (
        "code-object-call",
        &[
            "os.system('id')",
            "__import__('os').popen('id').read()",
            "require('child_process').exec('id')",
            "Kernel.exec('id')",
            "IO.popen('id')",
            "Process.spawn(\"id\")",
            "''.constructor.constructor('x')()",
            "Runtime.getRuntime().exec('id')",
            "subprocess.check_output(['id'])",
            "Class.forName('x')",
        ],
    ),
    (
        "code-php",
        &[
            "<?php system('id');",
            "<?= `id` ?>",
            "<?=1?>",
            "<? system($x); ?>",
            "x<?php echo 1;?>",
            "<?\techo 1",
        ],
    ),
    ("code-page", &["<%@ page import=\"java.util.*\"%><% x(); %>", "<%eval request(\"x\")%>"]),
    ("code-php-global", &["$_GET[c]", "$_SERVER['x']", "$GLOBALS[x]"]),
    (
        "code-php-setting",
        &["allow_url_include=1", "-d allow_url_include = on", "auto_prepend_file=php://input"],
    ),
    (
        "code-node",
        &["process.mainModule", "global.process", "_$$ND_FUNC$$_function", "new Function(x", "process.env"],
    ),
    ("code-python", &["x.__globals__", "''.__class__.__mro__[1].__subclasses__()"]),
    ("code-ruby", &["%x{id}", "#{%x(id)}"]),
    (
        "code-variable-call",
        &[
            "\"system\"(ls)",
            "'pass'.'thru'('ls');",
            "return 'exec'('ls')",
            "(/* a */system)(ls)",
            "(['exec'])[0]('ls')",
            "( [ system ] [0] ) {0} ( ls )",
            "$run/* a */('ls')",
            "$run # a\n(1)",
            "${'a'}(1)",
            "$ {a.b}(1)",
            "${$a->b}(1)",
            "${'name'}",
            "$   { NAME }",
            "${$name}",
        ],
    ),
    ("code-php", &["name<?", "echo \"a\"{/php}", "echo 1;[/PHP]", "print 7; {/PHP}"]),
    (
        "code-variable-call",
        &[
            "$OO0O00O (7)",
            "$lI1lIl ('a')",
            "$a = 'sys' . 'tem';($a)('id');",
            "define('a', 'sys'.'tem');(a)('id');",
            "[['pass' . 'thru']](z)",
            "x=\"ev\"+\"al\";(x)('a')",
            "'sh'.'ell_'.'exec'(1)",
        ],
    ),
    (
        "code-node",
        &[
            "process['env']",
            "process[\"mainModule\"]",
            "require['main']",
            "console.error(7)",
            "console[\"warn\"](7)",
            "console['log'](a)",
            "console.debug.call(this, 7)",
            "console.log.apply(null, [7])",
            "module.exports=1",
            "{'a':'$2:constructor:constructor','b':{'c': 1}}",
            "{\"then\": \"$1:Module:prototype\", \"value\": 1}",
        ],
    ),
    (
        "code-php-setting",
        &["unserialize_max_depth=9", "session.save_path = /tmp", "mbstring.regex_stack_limit=1"],
    ),
    (
        "code-java",
        &[
            "java.lang.ProcessBuilder",
            "java.lang.Runtime",
            "java.io.FileInputStream",
            "javax.script.ScriptEngineManager",
            "T(java.lang.Runtime)",
            "java.ProcessBuilder",
            "'a.b.ScriptEngineManager'",
        ],
    ),
];

#[test]
fn code_is_refused() {
    let rules: Vec<&str> = RULES.iter().map(|rule| rule.id.0).collect();
    let mut wrong = Vec::new();
    for (rule, values) in ATTACKS {
        assert!(rules.contains(rule));
        for value in *values {
            let seen = found(value.as_bytes()).map(|found| (found.rule.id.0, found.confidence));
            if seen.is_none_or(|(_, confidence)| confidence < Confidence::High) {
                wrong.push(format!("{rule}: {value}: {seen:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Ordinary values that look like code somewhere.
const ORDINARY: &[&str] = &[
    "",
    "(",
    "()",
    "(a) b (c)",
    "f(x) = 2x",
    "System (new)",
    "The system (see below) works",
    "Please print (two copies) and sign",
    "open(ed)",
    "exec (m/f/d)",
    "chr(65)",
    "sleep (8h)",
    "SUM(A1:A9)",
    "exec (optional)",
    "\"exec\" (the group)",
    "a 'system' (new) is here",
    "$price (16)",
    "$total  due (net)",
    "${name}",
    "${a} and ${b}",
    "$ 5 {net}",
    "$(a) {b}",
    "console.log",
    "the console.log(x) line",
    "process[1]",
    "process[step]",
    "require[d]",
    "printf",
    "ltrim(name)",
    "round(2.5)",
    "#(a) //(b) /*(c)",
    "memory_limit=512M",
    "engine=true",
    "a:Module:prototypes",
    "=CHAR(65)&\"x\"",
    "regex.exec(text)",
    "list.print()",
    "$5 (five)",
    "$10(USD)",
    "US$ (dollars)",
    "$(this)",
    "$.each(list, f)",
    "$HOME (the folder)",
    "www.java.com",
    "java.util.List",
    "I like java. And tea",
    "org.java.net",
    "java.lang.NullPointerException",
    "java.io.IOException: closed",
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
    "<?xml-stylesheet href=\"a.css\"?>",
    "What <?> is this",
    "a<?b",
    "preprocess.environment",
    "eval",
    "evaluation(s)",
    "https://a.example/x?f=(1)",
    "Fun(ctions)",
    "call me (maybe)",
    "25%x(2)",
    "safe_mode",
    "__init__.py",
    "'a' . 'b' (c)",
    "'cat' + 'dog' (pets)",
    "\"file\" . \"name\" (x)",
    "$total (7)",
    "$OOOOOO (7)",
    "$lists (7)",
    "console[log]",
    "console['log']",
    "consoles.log.call(7)",
];

/// Code in texts: suspicious at most.
const TEXT: &[&str] = &[
    "a ProcessBuilder",
    "why ProcessBuilder",
    "is_array()",
    "the so-called \"include\"(s)",
    "strip_tags()",
    "array_map",
    "module.exports = {\n  a: 1,\n};\n\nconsole.log(a);\n",
    "$_GET is a superglobal of PHP",
    "process.env.NODE_ENV",
    "You should never call eval() on what a user sends you.",
    "The docs say that base64_decode() returns false here, is that right?",
    "Replace system('ls') by scandir() please, as we said in the meeting",
    "Fatal error: Uncaught Error: Call to undefined function mysql_query() in /srv/a.php:3",
    "#!/usr/bin/env python3\nimport os\n\ndef main():\n    os.system('make')\n    print('done')\n",
    "<?php\n\nnamespace App;\n\n/** A page. */\nclass Page\n{\n    public function title()\n    {\n        return $this->title;\n    }\n\n    private $title;\n}\n\n// end\n\n",
    "const x = require('fs');\nconst port = process.env.PORT;\nfunction f() { return 1; }\nmodule.exports = f;\n",
    "java.lang.IllegalStateException: x\n\tat java.lang.Thread.run(Thread.java:1)\n\tat java.io.Reader.read(Reader.java:2)\n\tat a.B.c(B.java:3)\n",
    "Use Runtime.getRuntime() to find out how many processors there are, then divide.",
    "We read $_SERVER['HTTP_HOST'] there, which is what the client sends, so escape it first.",
];

#[test]
fn ordinary_values_are_no_code() {
    let wrong: Vec<_> = ORDINARY
        .iter()
        .filter(|value| confidence(value) >= Some(Confidence::Medium))
        .map(|value| (value, found(value.as_bytes())))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn code_in_texts_is_never_refused() {
    let wrong: Vec<_> = TEXT
        .iter()
        .filter(|value| confidence(value) >= Some(Confidence::High))
        .map(|value| (value, found(value.as_bytes())))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn work_is_bounded_by_a_multiple_of_the_length() {
    let pieces = [
        "(",
        ")",
        "f(",
        "eval(",
        "$a(",
        "]",
        "](",
        "}(",
        ")(",
        "('system')",
        "/**/",
        "*/(",
        "<?",
        "<?=",
        "$_GET",
        "java.",
        "java.lang.",
        "%x{",
        "__mro__",
        ".exec(",
        "\u{0}",
    ];
    for piece in pieces {
        let value = piece.repeat(4_000);
        let mut budget = Budget::new(Limits { parts: 1, depth: 1, decoded_bytes: 0, work: usize::MAX });
        let _ = detect(value.as_bytes(), true, &mut budget);
        let units = budget.spent_work();
        assert!(units <= 24 * value.len(), "{units} units for {} bytes of {piece:?}", value.len());
    }
}

fn pieces() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "$",
        "->",
        "::",
        ".",
        "@",
        "'",
        "\"",
        "`",
        ";",
        " ",
        "/*",
        "*/",
        "<?",
        "php",
        "=",
        "eval",
        "system",
        "os",
        "a",
        "1",
        "java.lang.Runtime",
        "$_GET",
        "%x{",
        "__mro__",
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
    fn evidence_lies_inside_of_the_value(value in pieces()) {
        if let Some(found) = found(value.as_bytes()) {
            prop_assert!(found.start <= found.end && found.end <= value.len(), "{found:?}");
        }
    }
}
