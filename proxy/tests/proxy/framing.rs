//! Other versions of HTTP and other forms of a target are understood. What is refused is in `vectors`.

use super::client::{Client, ask, get};
use super::gateway::Gateway;
use super::upstream::Upstream;

#[test]
fn an_absolute_target_reaches_the_application_in_origin_form() {
    let upstream = Upstream::ok();
    let gateway = Gateway::start(upstream.address);
    assert_eq!(ask(gateway.address, "GET http://app/x?y=1 HTTP/1.1\r\nHost: app\r\n\r\n").status(), 200);
    assert!(upstream.text().starts_with("GET /x?y=1 HTTP/1.1\r\nHost: app\r\n"), "{}", upstream.text());
}

#[test]
fn raw_bytes_in_a_target_are_encoded_or_refused_as_the_policy_says() {
    let table = [
        ("{mode: Monitor}", "/a?q=<b>", 200),
        ("{mode: Monitor, http: {rawTarget: Refuse}}", "/a?q=<b>", 400),
        ("{mode: Block, http: {rawTarget: Refuse}}", "/\u{e9}", 400),
        ("{mode: Block, http: {rawTarget: Refuse}}", "/a?q=%3Cb%3E", 200),
    ];
    for (policy, target, expected) in table {
        let upstream = Upstream::ok();
        let gateway = Gateway::with(upstream.address, policy);
        assert_eq!(ask(gateway.address, get(target)).status(), expected, "{policy} {target}");
        let arrived = upstream.text();
        if expected == 200 {
            assert!(arrived.starts_with("GET /a?q=%3Cb%3E HTTP/1.1\r\n"), "{arrived}");
        } else {
            assert_eq!(arrived, "");
            gateway.wait_for_metric("rasp_errors_total", &["request_raw_target"], 1.0);
        }
    }
}

#[test]
fn the_same_type_twice_is_refused_in_block_and_told_in_monitor() {
    let twice = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nX: y\r\ncontent-type: Text/Plain\r\n\
                 Content-Length: 2\r\n\r\nok";
    for (spec, status) in [
        ("{mode: Block}", 400),
        ("{mode: Monitor}", 200),
        ("{mode: Monitor, detections: {sqlInjection: {mode: Block}}}", 200),
    ] {
        let upstream = Upstream::ok();
        let gateway = Gateway::with(upstream.address, spec);
        assert_eq!(ask(gateway.address, twice).status(), status, "{spec}");
        let event = gateway.events(1).remove(0);
        assert_eq!(event["unmapped"]["rule"], "request_content_type", "{event}");
        let (verdict, types) = if status == 200 { ("would_block", 2) } else { ("block", 0) };
        assert_eq!(event["unmapped"]["verdict"], verdict, "{event}");
        assert_eq!(
            upstream.text().to_lowercase().matches("content-type: text/plain\r\n").count(),
            types,
            "{spec}"
        );
        gateway.counted("request_content_type");
    }
}

#[test]
fn several_cookies_are_one_where_anything_is_enforced_and_untouched_elsewhere() {
    let crumbs = "GET / HTTP/1.1\r\nHost: a\r\nCooKie: a=1; b=2\r\nX: y\r\ncookie: c=3\r\n\r\n";
    for (spec, expected) in [
        ("{mode: Block}", &["CooKie: a=1; b=2; c=3\r\n"][..]),
        ("{mode: Monitor}", &["CooKie: a=1; b=2\r\n", "cookie: c=3\r\n"]),
        ("{mode: \"Off\"}", &["CooKie: a=1; b=2\r\nX: y\r\ncookie: c=3\r\n"]),
    ] {
        let upstream = Upstream::ok();
        let gateway = Gateway::with(upstream.address, spec);
        assert_eq!(ask(gateway.address, crumbs).status(), 200);
        let arrived = upstream.text();
        assert!(expected.iter().all(|line| arrived.contains(line)), "{spec}: {arrived}");
        assert_eq!(
            arrived.to_lowercase().matches("cookie:").count(),
            expected.concat().to_lowercase().matches("cookie:").count()
        );
    }
}

#[test]
fn http_1_0_clients_are_served() {
    let upstream = Upstream::ok();
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    client.send("GET /old HTTP/1.0\r\n\r\n");
    let answer = String::from_utf8(client.rest()).unwrap();
    assert!(answer.starts_with("HTTP/1.") && answer.ends_with("\r\n\r\nok"), "{answer}");
    assert!(upstream.text().starts_with("GET /old HTTP/1.0\r\n"), "{}", upstream.text());

    let closing = Upstream::start(|conversation| {
        conversation.request()?;
        conversation.write(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")
    });
    let gateway = Gateway::start(closing.address);
    let mut client = Client::connect(gateway.address);
    client.send(get("/"));
    assert!(String::from_utf8(client.rest()).unwrap().contains("until the end"));
}

#[test]
fn a_client_of_http_1_0_may_keep_its_connection() {
    let upstream = Upstream::ok();
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    for _ in 0..3 {
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let response = client.response();
        assert_eq!((response.status(), response.header("connection")), (200, Some("keep-alive")));
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn no_body_is_lost_to_an_application_of_http_1_0() {
    let upstream =
        Upstream::answering("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok");
    let gateway = Gateway::start(upstream.address);
    for body in ["one", "two"] {
        let request = format!(
            "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{body}\r\n0\r\n\r\n"
        );
        let mut client = Client::connect(gateway.address);
        client.send(request.repeat(2));
        assert_eq!(
            client.response().header("connection"),
            Some("close"),
            "another request needs another connection"
        );
    }
    assert!(upstream.text().contains("one") && upstream.text().contains("two"));
}

#[test]
fn pipelined_requests_are_answered_in_order_and_the_refused_one_is_the_last() {
    let upstream = Upstream::ok();
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    let bad = "GET /3 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    let fine = |target| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    client.send([&fine("/1"), &fine("/2"), bad, &fine("/4")].map(str::to_owned).concat());
    let answers: Vec<u16> = (0..3).map(|_| client.response().status()).collect();
    assert_eq!(answers, [200, 200, 400]);
    assert!(client.is_closed());
    assert!(upstream.text().contains("GET /2 ") && !upstream.text().contains("GET /3"));
    assert!(!upstream.text().contains("GET /4"));
}

#[test]
fn a_body_that_is_refused_on_its_way_never_looks_complete() {
    let upstream = Upstream::ok();
    let gateway = Gateway::with(upstream.address, "{mode: Monitor}");
    let mut client = Client::connect(gateway.address);
    client.send("PUT /late HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    upstream.wait_for("hello");
    client.send("0x\r\n\r\n");
    let answer = client.response();
    assert_eq!((answer.status(), answer.header("connection")), (400, Some("close")));
    assert!(client.is_closed());
    assert!(!upstream.text().contains("0\r\n\r\n"), "{}", upstream.text());
    let events = gateway.events(1);
    assert_eq!(events[0]["unmapped"]["rule"], "request_chunk");
    assert_eq!(events[0]["http_request"]["url"]["path"], "/late");
    gateway.wait_for_metric("rasp_errors_total", &["request_chunk\""], 1.0);
    assert_eq!(ask(gateway.address, get("/next")).status(), 200);
    assert_eq!(upstream.connections(), 2, "no connection is used again after a refusal");
}

#[test]
fn a_client_that_half_closes_still_gets_its_answer() {
    let upstream = Upstream::ok();
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    client.send(get("/"));
    client.finish();
    assert_eq!(client.response().status(), 200);
}
