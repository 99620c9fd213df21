//! Request lines that only a lenient server understands must not lead past inspection.

use super::client::Client;
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
