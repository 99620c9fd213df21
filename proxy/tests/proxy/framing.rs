//! What could be understood in two ways is refused; other versions of HTTP and other forms of a target are understood.

use super::client::{Client, ask, get};
use super::gateway::Gateway;
use super::upstream::Upstream;

#[test]
fn what_two_servers_could_understand_in_two_ways_never_arrives() {
    let table = [
        ("CONNECT app:80 HTTP/1.1\r\nHost: app:80\r\n\r\n", 405),
        ("TRACE / HTTP/1.1\r\nHost: app\r\n\r\n", 405),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/../b\r\n\r\n", 400),
        ("GET http://other/ HTTP/1.1\r\nHost: app\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nHost: app\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Authorization\r\nAuthorization: x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        ("GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ];
    for spec in ["{mode: Block}", "{mode: Monitor}"] {
        let upstream = Upstream::ok();
        let gateway = Gateway::with(upstream.address, spec);
        for (request, status) in table {
            let mut client = Client::connect(gateway.address);
            client.send(request);
            let response = client.response();
            assert_eq!(response.status(), status, "{request:?}");
            assert!(client.is_closed(), "{request:?}");
        }
        assert_eq!(upstream.text(), "");
        assert!(gateway.metric("rasp_errors_total", &["request_host_repeated"]) >= 1.0);
        assert!(gateway.metric("rasp_errors_total", &["request_syntax"]) >= 1.0);
    }
}

#[test]
fn an_absolute_target_reaches_the_application_in_origin_form() {
    let upstream = Upstream::ok();
    let gateway = Gateway::start(upstream.address);
    assert_eq!(ask(gateway.address, "GET http://app/x?y=1 HTTP/1.1\r\nHost: app\r\n\r\n").status(), 200);
    assert!(upstream.text().starts_with("GET /x?y=1 HTTP/1.1\r\nHost: app\r\n"), "{}", upstream.text());
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
fn a_client_that_half_closes_still_gets_its_answer() {
    let upstream = Upstream::ok();
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    client.send(get("/"));
    client.finish();
    assert_eq!(client.response().status(), 200);
}
