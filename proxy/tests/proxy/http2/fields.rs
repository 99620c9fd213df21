//! What the protocol allows, or hyper lets through, and two servers could understand in two ways: answered on its stream.

use super::super::gateway::Gateway;
use super::application::Application;
use super::frame::{Client, DATA, END_HEADERS, END_STREAM, Fields, GET, WHOLE, frame, get, headers};

const ATTACK: &str = "/?id=1%27%20OR%201%3D1%20--%20";

fn and<'a>(good: Fields<'a>, more: Fields<'a>) -> Vec<(&'a str, &'a str)> {
    [good, more].concat()
}

/// What is odd, the fields, the status, and the kind of error that is counted.
type Row<'a> = (&'a str, Vec<(&'a str, &'a str)>, u16, &'a str);

#[test]
fn a_head_that_two_servers_could_understand_in_two_ways_is_answered_and_never_arrives() {
    let [method, scheme, authority] = [GET[0], GET[1], GET[3]];
    let path = (":path", "/refused");
    let many: Vec<(&str, &str)> = vec![("x", "y"); 150];
    let crumbs: Vec<(&str, &str)> = vec![("cookie", "a=b"); 1000];
    let long = "x".repeat(20 << 10);
    let big = [("x", long.as_str())];
    let good = [method, scheme, path, authority];
    let table: [Row<'_>; 17] = [
        ("another scheme", vec![method, (":scheme", "ftp"), path, authority], 400, "request_scheme"),
        ("a host beside another authority", and(&good, &[("host", "b")]), 400, "request_host_mismatch"),
        ("two hosts", vec![method, scheme, path, ("host", "a"), ("host", "a")], 400, "request_host_repeated"),
        ("no host at all", vec![method, scheme, path], 400, "request_host_missing"),
        ("an empty host", vec![method, scheme, path, ("host", "")], 400, "request_host_invalid"),
        ("user information", vec![method, scheme, path, (":authority", "u@a")], 400, "request_host_invalid"),
        ("a port that is none", vec![method, scheme, path, ("host", "a:99999")], 400, "request_host_invalid"),
        ("a blank before a value", and(&good, &[("x", " a")]), 400, "request_value"),
        ("a tab after a value", and(&good, &[("x", "a\t")]), 400, "request_value"),
        ("an asterisk for GET", vec![method, scheme, (":path", "*"), authority], 400, "request_target"),
        ("CONNECT", vec![(":method", "CONNECT"), (":authority", "a:1")], 405, "request_method"),
        ("TRACE", vec![(":method", "TRACE"), scheme, path, authority], 405, "request_method"),
        ("150 fields", and(&good, &many), 431, "request_field_count"),
        ("1,000 crumbs of a cookie", and(&good, &crumbs), 431, "request_field_count"),
        (
            "a name that WSGI takes for another",
            and(&good, &[("x_forwarded_for", "::1")]),
            400,
            "request_field_alias",
        ),
        ("a value of 20 KiB", and(&good, &big), 431, "request_head_size"),
        (
            "a target of 33 KiB",
            vec![
                method,
                scheme,
                (":path", Box::leak(format!("/refused{}", "x".repeat(33 << 10)).into_boxed_str())),
                authority,
            ],
            414,
            "request_target_size",
        ),
    ];
    let application = Application::start();
    let gateway = Gateway::with(application.address, "{mode: Monitor}");
    for (what, fields, status, reason) in table {
        let mut client = Client::connect(gateway.address);
        client.send(get(1, "/hold"));
        client.send(headers(3, WHOLE, &fields));
        assert_eq!(client.answer(3), status, "{what}");
        client.send(get(5, "/neighbour"));
        assert_eq!(client.answer(5), 200, "{what}: the others live on");
        assert!(gateway.metric("rasp_errors_total", &[&format!("\"{reason}\"")]) > 0.0, "{what}");
    }
    assert!(!application.paths().iter().any(|path| path.contains("refused")));
}

#[test]
fn what_arrives_is_what_was_sent_but_for_the_fields_of_the_hop() {
    let application = Application::start();
    let gateway = Gateway::start(application.address);
    let mut client = Client::connect(gateway.address);
    let more =
        [("te", "trailers"), ("x_request_id", "1"), ("cookie", "a=1"), ("cookie", "b=2"), ("host", "app")];
    client.send(headers(1, WHOLE, &[GET, &more].concat()));
    assert_eq!(client.answer(1), 200);
    client.send(headers(3, WHOLE, &[GET[0], GET[1], (":path", "/a#b"), ("host", "c:8080")]));
    assert_eq!(client.answer(3), 200);
    client.send(headers(5, WHOLE, &[(":method", "OPTIONS"), GET[1], (":path", "*"), GET[3]]));
    assert_eq!(client.answer(5), 200);

    let seen = application.seen();
    let field = |index: usize, name: &str| {
        let values = seen[index].headers.get_all(name).into_iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((seen[0].method.as_str(), seen[0].uri.as_str()), ("GET", "http://app/"));
    for (name, value) in [("te", "trailers"), ("x_request_id", "1"), ("cookie", "a=1; b=2"), ("host", "app")]
    {
        assert_eq!(field(0, name), [value], "{name}");
    }
    assert_eq!(field(0, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(field(0, "connection"), [""; 0]);
    // The fragment is cut before anybody judges, so what is judged is what arrives (docs/adr).
    assert_eq!(seen[1].uri, "http://c:8080/a");
    assert_eq!((seen[2].method.as_str(), seen[2].uri.ends_with('*')), ("OPTIONS", true), "{:?}", seen[2]);
    assert_eq!(application.connections(), 1, "one connection for one");
}

#[test]
fn the_same_type_twice_is_for_the_policy_and_two_types_are_refused() {
    let of = |first: &'static str, second: &'static str| {
        let fields = [("content-type", first), ("content-type", second)];
        headers(1, WHOLE, &[super::frame::POST, &fields].concat())
    };
    let application = Application::start();
    for (spec, twice) in [("{mode: Block}", 400), ("{mode: Monitor}", 200)] {
        let gateway = Gateway::with(application.address, spec);
        for (fields, status) in
            [(of("text/plain", "Text/Plain"), twice), (of("text/plain", "application/json"), 400)]
        {
            let mut client = Client::connect(gateway.address);
            client.send(fields);
            assert_eq!(client.answer(1), status, "{spec}");
        }
        gateway.wait_for_metric("rasp_errors_total", &["request_content_type"], 2.0);
    }
}

#[test]
fn raw_bytes_in_a_target_are_encoded_or_refused_as_the_policy_says() {
    let application = Application::start();
    for (field, status) in [("Encode", 200), ("Refuse", 400)] {
        let gateway =
            Gateway::with(application.address, &format!("{{mode: Monitor, http: {{rawTarget: {field}}}}}"));
        let mut client = Client::connect(gateway.address);
        client.send(get(1, "/caf\u{e9}?q=\u{e9}"));
        assert_eq!(client.answer(1), status);
        client.send(get(3, "/caf%C3%A9"));
        assert_eq!(client.answer(3), 200);
    }
    assert_eq!(application.paths()[0], "http://app/caf%C3%A9?q=%C3%A9");
    assert_eq!(application.paths().len(), 3);
}

#[test]
fn a_message_of_grpc_that_is_neither_protobuf_nor_json_is_not_judged() {
    // In gzip, "1' OR '1'='1" and nothing around it: Closed refuses it and Open counts it.
    let message = b"\x01\0\0\0\x20\x1f\x8b\x08\0\0\0\0\0\x02\xff\x33\x54\x57\xf0\x0f\x52\x50\x37\x54\xb7\x55\x37\x04\0\xd2\xd3\x93\xd1\x0c\0\0\0";
    let call = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/shop.Cart/Add"),
        (":authority", "app"),
        ("content-type", "application/grpc"),
        ("grpc-encoding", "gzip"),
        ("te", "trailers"),
    ];
    let application = Application::start();
    // The head of a call goes on in any case.
    for (failure_mode, verdict) in [("Open", "verdict=\"allow\""), ("Closed", "verdict=\"block\"")] {
        let gateway =
            Gateway::with(application.address, &format!("{{mode: Block, failureMode: {failure_mode}}}"));
        let mut client = Client::connect(gateway.address);
        client.send([headers(1, END_HEADERS, &call), frame(DATA, END_STREAM, 1, message)].concat());
        assert_eq!(client.answer(1), 200, "a refusal of gRPC is 200 with a grpc-status");
        gateway.wait_for_metric("rasp_requests_total", &[verdict], 1.0);
        gateway.wait_for_metric("rasp_uninspected_total", &["unsupported_body"], 1.0);
    }
}

#[test]
fn an_attack_is_blocked_on_its_stream_and_told() {
    let application = Application::start();
    let gateway = Gateway::start(application.address);
    let mut client = Client::connect(gateway.address);
    client.send(get(1, ATTACK));
    assert_eq!(client.answer(1), 403);
    let form = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/form"),
        (":authority", "app"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    client.send(headers(3, END_HEADERS, &form));
    client.send(frame(DATA, 0, 3, b"id=1' OR"));
    client.send(frame(DATA, END_STREAM, 3, b" 1=1 -- "));
    assert_eq!(client.answer(3), 403);
    client.send(get(5, "/"));
    assert_eq!(client.answer(5), 200);
    assert_eq!(application.paths(), ["http://app/"]);
    let events = gateway.events(2);
    assert!(events.iter().all(|event| event["disposition"] == "Blocked"), "{events:?}");
    assert!((gateway.metric("rasp_requests_total", &["verdict=\"block\""]) - 2.0).abs() < 0.5);
}

#[test]
fn a_head_that_is_too_large_is_answered_and_one_that_is_far_too_large_ends_the_connection() {
    let application = Application::start();
    let gateway = Gateway::start(application.address);
    let value = "x".repeat(15_000);
    let mut client = Client::connect(gateway.address);
    let large: Vec<_> = [GET, &[("x", value.as_str()); 5]].concat();
    client.send(headers(1, WHOLE, &large));
    assert_eq!(client.answer(1), 431);
    client.send(get(3, "/"));
    assert_eq!(client.answer(3), 200);
}
