//! Request lines that only a lenient server understands must not lead past inspection; many fields are no attack.

use super::client::{Client, ask};
use super::gateway::Gateway;
use super::upstream::Upstream;

#[test]
fn a_request_line_that_only_a_lenient_server_understands_never_arrives() {
    let table: [&[u8]; 6] = [
        b"\x0bGET /?q=A HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET\x0b/?q=A HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET\x1c/?q=A\x1cHTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET\xa0/?q=A HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x01GET /?q=A HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET ?q=A\r\n\r\n",
    ];
    let upstream = Upstream::ok();
    let gateway = Gateway::start(upstream.address);
    for request in table {
        let mut client = Client::connect(gateway.address);
        client.send(request);
        assert_eq!(client.response().status(), 400, "{}", request.escape_ascii());
        assert!(client.is_closed(), "{}", request.escape_ascii());
    }
    assert_eq!(upstream.text(), "");
}

#[test]
fn a_hundred_fields_are_passed_on_and_more_only_from_the_application() {
    use std::fmt::Write as _;
    let fields = |count| {
        (0..count).fold(String::new(), |mut text, number| {
            let _ = write!(text, "X-{number}: v\r\n");
            text
        })
    };
    let upstream =
        Upstream::answering(format!("HTTP/1.1 200 OK\r\n{}Content-Length: 2\r\n\r\nok", fields(200)));
    let gateway = Gateway::start(upstream.address);
    let asked = |count| ask(gateway.address, format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", fields(count)));
    let response = asked(99);
    assert_eq!((response.status(), response.text().as_str()), (200, "ok"));
    for number in 0..200 {
        assert_eq!(response.header(&format!("x-{number}")), Some("v"), "{number}");
    }
    assert!(upstream.text().contains("X-98: v\r\n"));
    assert_eq!(asked(100).status(), 431);
}
