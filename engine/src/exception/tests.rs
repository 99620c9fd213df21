use rasp_policy::api::Mode;

use super::*;
use crate::decide::{Judgement, Outcome, Verdict};
use crate::finding::Class;
use crate::message::{Body, Head};
use crate::ruleset::Ruleset;

/// A policy in Block with exceptions, each written as `field: value, ...`.
fn mk_effective(exceptions: &[&str]) -> Effective {
    let mut effective = Effective::builtin_blocking();
    effective.exceptions = exceptions
        .iter()
        .enumerate()
        .map(|(index, fields)| {
            let mut exception = Exception {
                name: format!("x{index}"),
                rule: None,
                class: None,
                path: None,
                part: None,
                parameter: None,
                reason: "for the test".into(),
                expires_at: None,
            };
            for field in fields.split(", ") {
                let (name, value) = field.split_once(": ").unwrap();
                let value = value.to_owned();
                match name {
                    "rule" => exception.rule = Some(value),
                    "class" => exception.class = Class::from_key(&value),
                    "path" => exception.path = Some(value),
                    "part" => exception.part = Some(value),
                    "parameter" => exception.parameter = Some(value),
                    _ => panic!("{name}"),
                }
            }
            assert_eq!(exception.check(), Ok(()), "{fields}");
            EffectiveException { id: format!("p/x{index}"), exception }
        })
        .collect();
    effective
}

fn judged(effective: &Effective, target: &str, body: &str) -> Judgement {
    let ruleset = Ruleset::build(effective).unwrap();
    let content_type = Some(&b"application/x-www-form-urlencoded"[..]);
    let head =
        Head { method: "POST", target: target.as_bytes(), content_type, content_encoding: None, fields: &() };
    let mut inspection = ruleset.inspect_head(&head);
    ruleset.inspect_body(&head, Body::Complete(body.as_bytes()), &mut inspection);
    ruleset.decide(inspection)
}

const ATTACK: &str = "q=1%27%20OR%20%271%27=%271";

#[test]
fn what_an_exception_names_is_recorded_and_does_not_block() {
    let class = "class: sqlInjection, path: /search, parameter: q";
    // exception, target, body, whether it is excepted
    let table = [
        ("rule: sqli-tautology", "/search?{}", "", true),
        ("rule: sqli-tautology", "/", "{}", true),
        ("rule: sqli-union", "/search?{}", "", false),
        ("rule: sqli-tautology, path: /search", "/search?{}", "", true),
        ("rule: sqli-tautology, path: /search", "/search/?{}", "", false),
        ("rule: sqli-tautology, part: form", "/?{}", "", false),
        ("rule: sqli-tautology, part: form", "/", "{}", true),
        ("rule: sqli-tautology, parameter: r", "/?{}", "", false),
        (class, "/search?{}", "", true),
        (class, "/search?r=1&{}", "", true),
        (class, "/search?p{}", "", false),
        (class, "/other?{}", "", false),
        (class, "/search", "{}", true),
        ("class: crossSiteScripting, path: /search, parameter: q", "/search?{}", "", false),
        ("class: sqlInjection, path: /api/*, parameter: *", "/api/v1/x?{}", "", true),
        ("class: sqlInjection, path: /api/*, parameter: *", "/apis?{}", "", false),
    ];
    for (exception, target, body, is_excepted) in table {
        let (target, body) = (target.replace("{}", ATTACK), body.replace("{}", ATTACK));
        let Judgement { verdict, findings, excepted, outcome, .. } =
            judged(&mk_effective(&[exception]), &target, &body);
        let row = format!("{exception} {target} {body}");
        if is_excepted {
            assert_eq!((verdict, findings.len()), (Verdict::Allow, 0), "{row}");
            assert!(matches!(outcome, Outcome::Forward(_)), "{row}");
            assert_eq!(excepted.len(), 1, "{row}");
            assert_eq!((&*excepted[0].exception, excepted[0].finding.class), ("p/x0", Class::SqlInjection));
        } else {
            assert_eq!((verdict, excepted.len()), (Verdict::Block, 0), "{row}");
        }
    }
}

#[test]
fn another_attack_in_the_same_request_is_still_refused() {
    let effective = mk_effective(&["class: sqlInjection, path: /a, parameter: q"]);
    let judgement = judged(&effective, &format!("/a?{ATTACK}&r=1%27%20OR%20%271%27=%271"), "");
    assert_eq!(judgement.verdict, Verdict::Block);
    assert_eq!((judgement.findings.len(), judgement.excepted.len()), (1, 1));
    let judgement = judged(&effective, "/a?q=%3Cscript%3Ealert(1)%3C/script%3E", "");
    assert_eq!(judgement.verdict, Verdict::Block, "of another class in the same parameter");
}

#[test]
fn many_excepted_findings_do_not_push_out_an_attack() {
    let effective = mk_effective(&["class: sqlInjection, path: /a, parameter: q"]);
    let many = [ATTACK; 100].join("&");
    let judgement = judged(&effective, &format!("/a?{many}&r=1%27%20OR%20%271%27=%271"), "");
    assert_eq!(judgement.verdict, Verdict::Block);
    assert_eq!(judgement.excepted.len(), MOST, "and they are bounded themselves");
}

#[test]
fn the_first_exception_that_fits_is_named_and_modes_stay_what_they_are() {
    let mut effective = mk_effective(&["rule: sqli-union", "rule: sqli-tautology", "rule: sqli-tautology"]);
    assert_eq!(&*judged(&effective, &format!("/?{ATTACK}"), "").excepted[0].exception, "p/x1");
    effective = effective.in_mode(Mode::Monitor);
    assert_eq!(judged(&effective, &format!("/?{ATTACK}"), "").verdict, Verdict::Allow);
    effective.exceptions.clear();
    assert_eq!(judged(&effective, &format!("/?{ATTACK}"), "").verdict, Verdict::WouldBlock);
}

#[test]
fn a_path_that_can_be_read_in_two_ways_is_not_excepted() {
    let plain: &[(&str, &str)] = &[
        ("/a/b", "/a/b"),
        ("/a/b?c=/d", "/a/b"),
        ("/a%20b/%D1%84#x", "/a b/ф"),
        ("http://host/a/b?c", "/a/b"),
        ("/", "/"),
        ("/a.b/..c", "/a.b/..c"),
        ("/a:b", "/a:b"),
    ];
    for (target, expected) in plain {
        let path = plain_path(target.as_bytes()).unwrap_or_default();
        assert_eq!(String::from_utf8_lossy(&path), *expected, "{target}");
    }
    let odd = [
        "/a/../b",
        "/a/./b",
        "/a/%2e%2e/b",
        "/a/..%2fb",
        "/a%2fb",
        "/a\\b",
        "/a%5cb",
        "/a//b",
        "//a",
        "/a;x=1/b",
        "/a%3bb",
        "/a%252e",
        "/a%00",
        "/a%0a",
        "*",
        "",
        "host:443",
        "http://host",
        "a/b",
        "/..",
        "/a%3fb",
        "/%",
    ];
    for target in odd {
        assert_eq!(plain_path(target.as_bytes()), None, "{target}");
    }
}

#[test]
fn names_that_do_not_exist_are_told() {
    let table = [
        ("rule: sqli-tautology, part: json", ""),
        ("rule: sqli-nothing", "exceptions[p/x0].rule is sqli-nothing, which does not exist"),
        ("rule: sqli-union, part: body", "exceptions[p/x0].part is body, which does not exist"),
    ];
    for (exception, expected) in table {
        let effective = mk_effective(&[exception]);
        let said = check(&effective).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(said.starts_with(expected) && said.is_empty() == expected.is_empty(), "{exception}: {said}");
        assert!(Ruleset::build(&effective).is_ok(), "an older sidecar obeys the rest of the policy");
    }
}
