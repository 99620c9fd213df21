//! What passes, passes unchanged; what ends at this hop, ends.

use std::collections::BTreeMap;

use super::client::{Client, ask, get};
use super::gateway::Gateway;
use super::upstream::{OK, Upstream};

/// Lines that a proxy adds to a request or a response, and the framing of this hop.
const OF_THE_HOP: [&str; 5] =
    ["x-request-id:", "traceparent:", "x-forwarded-for:", "connection:", "keep-alive:"];

/// A message without the lines of the hop. Lines of different names may change places, bytes may not.
fn end_to_end(message: &[u8]) -> (String, BTreeMap<String, Vec<String>>, Vec<u8>) {
    let split = message.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let head: String = message[..split].iter().map(|byte| char::from(*byte)).collect();
    let mut lines = head.lines().filter(|line| !line.is_empty());
    let first = lines.next().unwrap().to_owned();
    let mut fields = BTreeMap::<String, Vec<String>>::new();
    for line in lines.filter(|line| !OF_THE_HOP.iter().any(|own| line.to_lowercase().starts_with(own))) {
        // White space around a value is not part of it (RFC 9110 section 5.5).
        let (name, value) = line.split_once(':').unwrap();
        fields
            .entry(name.to_lowercase())
            .or_default()
            .push(format!("{name}: {}", value.trim_matches([' ', '\t'])));
    }
    (first, fields, message[split..].to_vec())
}

const REQUESTS: [&[u8]; 9] = [
    b"GET /a%20b//c/../d?x=1&x=2;y=%zz HTTP/1.1\r\nHost: app:8080\r\nX-MiXeD: CaSe\r\nx-mixed:  two \r\n\r\n",
    b"GET / HTTP/1.1\r\nHOST: app\r\nCookie: a=b; c=d\r\nCookie: e=f\r\nEmpty:\r\nX-Bytes: \xc3\xa9\xff\r\n\r\n",
    b"POST /f HTTP/1.1\r\nHost: app\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 11\r\n\r\na=1&b=%27+x",
    b"POST /j HTTP/1.1\r\nHost: app\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
    b"PUT /b HTTP/1.1\r\nHost: app\r\nContent-Type: application/octet-stream\r\nContent-Length: 6\r\n\r\n\x00\x01\xff\r\n\x00",
    b"POST /c HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"DELETE /d HTTP/1.1\r\nHost: app\r\nContent-Length: 0\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: app\r\n\r\n",
    b"GET /get-with-body HTTP/1.1\r\nHost: app\r\nContent-Length: 3\r\n\r\nabc",
];

const RESPONSES: [&[u8]; 8] = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSeT-CooKie: a=1\r\nset-cookie: b=2\r\n\r\nhello",
    b"HTTP/1.1 200 Fine By Me\r\nContent-Length: 0\r\nDate: yesterday\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\nServer: x/1 (y)\r\n\r\n\xff\x00\x01",
    b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 77\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.1 299 Odd\r\nContent-Length: 2\r\nX-Request-Id: mine\r\n\r\nok",
];

#[test]
fn monitor_changes_no_byte_of_a_request() {
    for request in REQUESTS {
        let (bare, guarded) = (Upstream::ok(), Upstream::ok());
        let gateway = Gateway::with(guarded.address, "{mode: Monitor}");
        assert_eq!(ask(bare.address, request).status(), 200);
        assert_eq!(ask(gateway.address, request).status(), 200, "{}", request.escape_ascii());
        assert_eq!(
            end_to_end(&guarded.recorded()),
            end_to_end(&bare.recorded()),
            "{}",
            request.escape_ascii()
        );
    }
}

#[test]
fn monitor_changes_no_byte_of_a_response() {
    for response in RESPONSES {
        let upstream = Upstream::answering(response);
        let gateway = Gateway::with(upstream.address, "{mode: Monitor}");
        let mut client = Client::connect(gateway.address);
        client.send("GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n");
        let (first, mut fields, body) = end_to_end(&client.rest());
        let (_, expected, _) = end_to_end(response);
        if response.windows(13).any(|window| window == b"X-Request-Id:") {
            assert!(ask(gateway.address, get("/")).header("x-request-id") == Some("mine"));
        }
        fields.retain(|name, _| name != "date" || expected.contains_key("date"));
        assert_eq!((first, fields, body), end_to_end(response), "{}", response.escape_ascii());
    }
}

#[test]
fn head_keeps_the_length_of_the_body_it_does_not_have() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    client.send("HEAD / HTTP/1.1\r\nHost: app\r\n\r\n");
    let response = client.response_to("HEAD");
    assert_eq!(response.header("content-length"), Some("1234"));
    client.send("HEAD / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response_to("HEAD").status(), 200);
    assert!(client.is_closed());
}

#[test]
fn fields_of_one_hop_end_there_in_both_directions() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\n\r\nok",
    );
    let gateway = Gateway::start(upstream.address);
    let response = ask(
        gateway.address,
        "GET / HTTP/1.1\r\nHost: app\r\nConnection: X-Mine, Keep-Alive\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nProxy-Connection: y\r\n\
         TE: trailers, gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\nX-Stays: 1\r\n\r\n",
    );
    for gone in ["x-hop", "keep-alive", "proxy-connection", "connection"] {
        assert_eq!(response.header(gone), None, "{}", response.head);
    }
    let received = upstream.text().to_lowercase();
    for gone in ["x-mine", "keep-alive", "proxy-connection", "gzip", "h2c", "http2-settings"] {
        assert!(!received.contains(gone), "{gone}: {received}");
    }
    assert!(received.contains("te: trailers\r\n") && received.contains("x-stays: 1\r\n"), "{received}");
}

#[test]
fn requests_of_one_client_use_one_connection_and_pipelined_ones_are_answered_in_order() {
    let upstream = Upstream::start(|conversation| {
        loop {
            let head = conversation.request()?;
            let target = head.split(' ').nth(1)?.to_owned();
            let length = target.len();
            conversation
                .write(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{target}").as_bytes())?;
        }
    });
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    client.send([get("/1"), get("/2"), get("/3")].concat());
    for expected in ["/1", "/2", "/3"] {
        assert_eq!(client.response().text(), expected);
    }
    client.send(get("/4"));
    assert_eq!(client.response().text(), "/4");
    assert_eq!(upstream.connections(), 1);
    let mut other = Client::connect(gateway.address);
    other.send(get("/5"));
    assert_eq!(other.response().text(), "/5");
    assert_eq!(upstream.connections(), 2, "never shared between clients");
}

#[test]
fn the_client_is_told_when_the_application_closes() {
    let upstream = Upstream::start(|conversation| {
        conversation.request()?;
        conversation.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    });
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    client.send(get("/"));
    assert_eq!(client.response().header("connection"), Some("close"));
    assert!(client.is_closed());

    let silent = Upstream::start(|conversation| {
        conversation.request()?;
        conversation.write(OK)
    });
    let gateway = Gateway::start(silent.address);
    let mut client = Client::connect(gateway.address);
    client.send(get("/"));
    assert_eq!(client.response().status(), 200);
    assert!(client.is_closed(), "an idle connection ends when the application's side does");
}

#[test]
fn a_kept_connection_that_the_application_closes_under_a_request_is_closed_without_an_answer() {
    let upstream = Upstream::start(|conversation| {
        conversation.request()?;
        conversation.write(OK)?;
        conversation.request()?;
        None
    });
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    client.send(get("/1"));
    assert_eq!(client.response().status(), 200);
    client.send(get("/2"));
    assert!(client.is_closed(), "a client may ask again on another connection, as without the proxy");

    let never = Upstream::start(|conversation| conversation.request().and(None));
    let gateway = Gateway::start(never.address);
    assert_eq!(ask(gateway.address, get("/")).status(), 502, "this is no accident of keep-alive");
}

#[test]
fn an_upstream_that_fails_is_answered_for() {
    let gateway = Gateway::start(Upstream::refusing());
    let response = ask(gateway.address, get("/"));
    assert_eq!(response.status(), 502);
    let problem: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    let id = response.header("x-request-id").unwrap();
    assert_eq!(problem["instance"], format!("urn:request:{id}"));
    assert!(gateway.metric("rasp_errors_total", &["upstream_connect"]) >= 1.0);

    let babbling = Upstream::start(|conversation| {
        conversation.request()?;
        conversation.write(b"no http at all\r\n\r\n")
    });
    let gateway = Gateway::start(babbling.address);
    assert_eq!(ask(gateway.address, get("/")).status(), 502);
    gateway.wait_for_metric("rasp_errors_total", &["response_status_line"], 1.0);
}

#[test]
fn expect_100_continue_is_answered_when_the_body_is_wanted() {
    let upstream = Upstream::ok();
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    client.send("POST / HTTP/1.1\r\nHost: app\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 100 "));
    client.send("{}");
    assert_eq!(client.response().status(), 200);
    assert!(upstream.text().ends_with("{}"));

    let mut refused = Client::connect(gateway.address);
    refused.send("POST /?a=1%27%20OR%20%271%27=%271 HTTP/1.1\r\nHost: app\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(refused.response().status(), 403, "no body is asked for that nobody will read");
}

#[test]
fn trailers_arrive() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 9\r\n\r\n",
    );
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    client.send(
        "POST / HTTP/1.1\r\nHost: app\r\nTE: trailers\r\nConnection: close, TE\r\nTransfer-Encoding: chunked\r\nTrailer: X-Digest\r\n\
         Content-Type: application/json\r\n\r\n2\r\n{}\r\n0\r\nX-Digest: 7\r\n\r\n",
    );
    let answer = String::from_utf8(client.rest()).unwrap().to_lowercase();
    assert!(answer.contains("0\r\nx-sum: 9\r\n\r\n"), "{answer}");
    assert!(upstream.text().to_lowercase().ends_with("0\r\nx-digest: 7\r\n\r\n"), "{}", upstream.text());
}

#[test]
fn ids_and_the_address_of_the_client_go_on() {
    let upstream = Upstream::ok();
    let gateway = Gateway::start(upstream.address);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let response = ask(
        gateway.address,
        format!(
            "GET / HTTP/1.1\r\nHost: app\r\nX-Request-ID: abc\r\ntraceparent: {parent}\r\nX-Forwarded-For: 10.1.1.1\r\nX-Forwarded-For: 10.2.2.2\r\n\r\n"
        ),
    );
    assert_eq!(response.header("x-request-id"), Some("abc"));
    let received = upstream.text();
    for line in [
        "X-Request-ID: abc\r\n",
        &format!("traceparent: {parent}\r\n"),
        "X-Forwarded-For: 10.1.1.1, 10.2.2.2, 127.0.0.1\r\n",
    ] {
        assert!(received.contains(line), "{received}");
    }

    let response = ask(gateway.address, get("/second"));
    let made = response.header("x-request-id").unwrap();
    upstream.wait_for(&format!("x-request-id: {made}\r\n"));
    assert!(upstream.text().contains("x-forwarded-for: 127.0.0.1\r\n"));
}

#[test]
fn a_client_cannot_have_the_ids_removed_by_which_it_is_found() {
    let upstream = Upstream::ok();
    let gateway = Gateway::start(upstream.address);
    let response = ask(
        gateway.address,
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Request-Id, Traceparent\r\nX-Request-Id: abc\r\nTraceparent: 00-1\r\n\r\n",
    );
    assert_eq!(response.header("x-request-id"), Some("abc"));
    let forwarded = upstream.text().to_lowercase();
    assert!(
        forwarded.contains("x-request-id: abc\r\n") && forwarded.contains("traceparent: 00-1\r\n"),
        "{forwarded}"
    );
}

#[test]
fn a_switch_that_nobody_asked_for_is_not_passed_on() {
    let upstream =
        Upstream::answering("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n");
    let gateway = Gateway::start(upstream.address);
    assert_eq!(ask(gateway.address, get("/")).status(), 502);
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let upstream = Upstream::start(|conversation| {
        conversation.until(b"\r\n\r\n")?;
        conversation
            .write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")?;
        conversation.stream.shutdown(std::net::Shutdown::Write).ok()?;
        conversation.rest();
        None
    });
    let gateway = Gateway::start(upstream.address);
    for _ in 0..5 {
        let mut client = Client::connect(gateway.address);
        client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: 300000\r\n\r\n");
        for _ in 0..3 {
            client.send(vec![b'x'; 50_000]);
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let response = client.response();
        assert_eq!((response.status(), response.text().as_str()), (413, "big"));
    }
}
