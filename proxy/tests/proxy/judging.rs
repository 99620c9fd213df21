//! Attacks are refused before the application port, by the policy in force at that moment, and told about.

use std::thread;
use std::time::Duration;

use super::client::{Client, ask, get, post};
use super::gateway::{Gateway, document};
use super::upstream::{OK, Upstream};

const ATTACK: &str = "/search?q=1%27%20OR%20%271%27=%271";
const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn an_attack_is_refused_and_never_arrives() {
    let upstream = Upstream::ok();
    let gateway = Gateway::start(upstream.address);
    let attacks = [
        get(ATTACK),
        post(FORM, "name=x&id=1%27+UNION+SELECT+password+FROM+users--"),
        post("application/json", r#"{"user":{"name":"admin' OR '1'='1"}}"#),
    ];
    for attack in &attacks {
        let response = ask(gateway.address, attack);
        assert_eq!(response.status(), 403, "{attack}");
        assert_eq!(response.header("content-type"), Some("application/problem+json"));
        assert_eq!(response.header("cache-control"), Some("no-store"));
        let problem: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        let id = response.header("x-request-id").unwrap();
        let expected = serde_json::json!({
            "type": "about:blank", "title": "Forbidden", "status": 403, "instance": format!("urn:request:{id}"),
        });
        assert_eq!(problem, expected, "nothing about the rule");
    }
    assert_eq!(upstream.text(), "");
    assert_eq!(ask(gateway.address, post(FORM, "name=O%27Brien")).status(), 200);
    assert_eq!(ask(gateway.address, get("/search?q=select+a+room")).status(), 200);
}

#[test]
fn a_refused_request_leaves_the_connection_usable_when_it_was_read_completely() {
    let upstream = Upstream::ok();
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    client.send(get(ATTACK));
    assert_eq!(client.response().status(), 403);
    client.send(post(FORM, "id=1%27+OR+%271%27=%271"));
    let refused = client.response();
    assert_eq!((refused.status(), refused.header("connection")), (403, None));
    client.send(get("/fine"));
    assert_eq!(client.response().status(), 200);
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn the_refusal_of_head_has_no_body() {
    let gateway = Gateway::start(Upstream::ok().address);
    let mut client = Client::connect(gateway.address);
    client.send(format!("HEAD {ATTACK} HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n"));
    let answer = String::from_utf8(client.rest()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn nothing_of_a_request_reaches_the_log_as_a_control_character() {
    let upstream = Upstream::ok();
    let gateway = Gateway::start(upstream.address);
    let attack = "=1%27%20OR%20%271%27=%271";
    let evil = ["%0d%0a%1b[2J%c2%9b31m%00", "\u{9b}31m\u{202e}", "\u{1b}[2J", "a\nINFO forged", "a\r\nX: y"];
    for evil in evil {
        for request in [
            get(&format!("/{evil}/x?q{evil}{attack}")),
            get(&format!("/x?q{attack}")).replace("Host:", &format!("X-Request-Id: {evil}\r\nHost:")),
            get(&format!("/x?q{attack}")).replace("GET", evil),
            post(FORM, &format!("n{evil}{attack}")),
        ] {
            let mut client = Client::connect(gateway.address);
            client.send(&request);
            client.response();
        }
    }
    for event in gateway.events(10) {
        let mut values = vec![&event];
        while let Some(value) = values.pop() {
            match value {
                serde_json::Value::String(text) => {
                    let is_plain = !text.chars().any(|char| char.is_control() || char == '\u{202e}');
                    assert!(is_plain, "{text:?} in {event}");
                }
                serde_json::Value::Array(list) => values.extend(list),
                serde_json::Value::Object(members) => values.extend(members.values()),
                _ => {}
            }
        }
    }
    assert!(!gateway.log().contains("INFO forged") && !gateway.log().contains('\u{1b}'), "{}", gateway.log());
}

#[test]
fn an_event_names_the_policy_and_the_field_that_decided_the_mode() {
    let upstream = Upstream::ok();
    let gateway = Gateway::with(upstream.address, "{mode: Block}");
    gateway.change_policy(
        "apiVersion: rasp.dev/v1alpha1\nkind: RaspPolicy\nmetadata: {name: shop}\nspec: {mode: Monitor, inspection: \
         {maxBodyBytes: 1024}, detections: {sqlInjection: {mode: Block}}}\n---\napiVersion: rasp.dev/v1alpha1\nkind: \
         ClusterRaspPolicy\nmetadata: {name: base}\nspec: {overrides: {detections: {crossSiteScripting: {mode: Block}}}}\n",
    );
    for request in [ATTACK, "/?q=%3Cscript%3Ealert(1)%3C/script%3E", "/?file=../../../../etc/passwd"] {
        ask(gateway.address, get(request));
    }
    let found = |class: &str| {
        let of_class = |event: &serde_json::Value| event["unmapped"]["class"] == class;
        (1..).find_map(|count| gateway.events(count).into_iter().find(of_class)).unwrap()
    };
    for (class, policy, field) in [
        ("sql_injection", "RaspPolicy shop", "spec.detections.sqlInjection.mode"),
        (
            "cross_site_scripting",
            "ClusterRaspPolicy base",
            "spec.overrides.detections.crossSiteScripting.mode",
        ),
        ("path_traversal", "RaspPolicy shop", "spec.mode"),
    ] {
        let event = found(class);
        assert_eq!(event["policy"]["name"], policy, "{event}");
        assert_eq!(event["unmapped"]["policy_field"], field, "{event}");
    }
    // What is so whatever a policy says, and what is built in, names none.
    let gateway = Gateway::start(upstream.address);
    ask(gateway.address, get(ATTACK));
    let event = gateway.events(1).remove(0);
    assert!(event.get("policy").is_none() && event["unmapped"].get("policy_field").is_none(), "{event}");
}

#[test]
fn the_policy_chooses_status_and_body_of_the_refusal() {
    let upstream = Upstream::ok();
    let spec = "{mode: Block, response: {status: 418, body: '<b>no</b>', contentType: text/html}}";
    let gateway = Gateway::with(upstream.address, spec);
    let response = ask(gateway.address, get(ATTACK));
    assert_eq!(response.status(), 418);
    assert_eq!(response.header("content-type"), Some("text/html"));
    assert_eq!(response.text(), "<b>no</b>");
}

#[test]
fn what_a_policy_says_to_a_blocked_client_runs_no_script_in_the_origin_of_the_application() {
    let upstream = Upstream::ok();
    let spec =
        "{mode: Block, response: {body: '<script>steal(document.cookie)</script>', contentType: text/html}}";
    let gateway = Gateway::with(upstream.address, spec);
    let response = ask(gateway.address, get(ATTACK));
    assert_eq!(response.header("content-security-policy"), Some("sandbox"));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(
        ask(gateway.address, get("/")).header("content-security-policy"),
        None,
        "only of our own answers"
    );
}

#[test]
fn a_parsed_body_over_the_limit_is_refused_in_block_and_passes_in_monitor() {
    let body = format!("{{\"a\":\"{}\"}}", "Z".repeat(4096));
    let stated = post("application/json", &body);
    let chunked = format!(
        "POST / HTTP/1.1\r\nHost: app\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let upstream = Upstream::ok();
    let gateway = Gateway::with(upstream.address, "{mode: Block, inspection: {maxBodyBytes: 2048}}");
    for request in [&stated, &chunked] {
        let mut client = Client::connect(gateway.address);
        client.send(request);
        let response = client.response();
        assert_eq!((response.status(), response.header("connection")), (413, Some("close")));
        assert!(client.is_closed());
    }
    assert_eq!(upstream.text(), "");
    let event = &gateway.events(2)[0];
    assert_eq!(event["unmapped"]["rule"], "body_too_large");
    assert!(gateway.metric("rasp_uninspected_total", &["body_too_large"]) > 1.5);

    let gateway = Gateway::with(upstream.address, "{mode: Monitor, inspection: {maxBodyBytes: 2048}}");
    for request in [&stated, &chunked] {
        assert_eq!(ask(gateway.address, request).status(), 200);
    }
    gateway.wait_for_metric("rasp_requests_total", &["would_block"], 2.0);
    assert_eq!(upstream.text().matches('Z').count(), 2 * 4096, "chunks may be cut otherwise, bytes may not");
}

#[test]
fn an_opaque_body_is_streamed_in_block() {
    let upstream = Upstream::ok();
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    client
        .send("POST /up HTTP/1.1\r\nHost: app\r\nContent-Type: image/png\r\nContent-Length: 10\r\n\r\nfirst");
    upstream.wait_for("first");
    client.send("12345");
    assert_eq!(client.response().status(), 200);
    gateway.wait_for_metric("rasp_uninspected_total", &["opaque_body"], 1.0);
}

#[test]
fn block_holds_a_form_and_monitor_does_not() {
    let head = format!(
        "POST / HTTP/1.1\r\nHost: app\r\nContent-Type: {FORM}\r\nContent-Length: 24\r\n\r\nid=1%27+OR+"
    );
    let (held, passed) = (Upstream::ok(), Upstream::ok());
    let block = Gateway::start(held.address);
    let monitor = Gateway::with(passed.address, "{mode: Monitor}");
    let (mut blocked, mut monitored) = (Client::connect(block.address), Client::connect(monitor.address));
    blocked.send(&head);
    monitored.send(&head);
    passed.wait_for("id=1%27+OR+");
    assert_eq!(held.text(), "");
    blocked.send("%271%27=%271&");
    monitored.send("%271%27=%271&");
    assert_eq!(blocked.response().status(), 403);
    assert_eq!(monitored.response().status(), 200);
    assert_eq!(held.text(), "");

    let event = &monitor.events(1)[0];
    assert_eq!(event["disposition"], "Logged");
    assert_eq!(event["unmapped"]["verdict"], "would_block");
    assert_eq!(event["unmapped"]["location"]["part"], "form");
    monitor.wait_for_metric("rasp_requests_total", &["would_block"], 1.0);
    monitor.wait_for_metric("rasp_detections_total", &["sql_injection", "Log", "Monitor"], 1.0);
}

#[test]
fn events_tell_everything_but_the_payload() {
    let gateway = Gateway::start(Upstream::ok().address);
    let secret = "/p?password=hunter2&q=hunter3%27%20OR%20%271%27=%271";
    let refused = ask(gateway.address, get(secret));
    let event = gateway.events(1).remove(0);
    assert!(!event.to_string().contains("hunter"), "{event}");
    for (pointer, expected) in [
        ("/class_uid", serde_json::json!(2004)),
        ("/disposition", "Blocked".into()),
        ("/severity", "Critical".into()),
        ("/metadata/product/name", "kube-rasp".into()),
        ("/http_request/http_method", "GET".into()),
        ("/http_request/url/path", "/p".into()),
        ("/src_endpoint/ip", "127.0.0.1".into()),
        ("/unmapped/class", "sql_injection".into()),
        ("/unmapped/mode", "Block".into()),
        ("/unmapped/verdict", "block".into()),
        ("/unmapped/location/name", "q".into()),
        ("/unmapped/coverage", "full".into()),
        ("/unmapped/request_id", refused.header("x-request-id").unwrap().into()),
    ] {
        assert_eq!(event.pointer(pointer), Some(&expected), "{pointer} of {event}");
    }
    let in_path = ask(gateway.address, get("/hunter2%27%20OR%20%271%27=%271"));
    assert_eq!(in_path.status(), 403);
    let events = gateway.events(3);
    assert!(events.iter().all(|event| !event.to_string().contains("hunter")), "{events:?}");
    let blocked = ["sql_injection", "action=\"Block\"", "mode=\"Block\""];
    gateway.wait_for_metric("rasp_detections_total", &blocked, 3.0);
}

#[test]
fn a_new_policy_file_acts_on_the_next_request_of_an_open_connection() {
    let upstream = Upstream::ok();
    let gateway = Gateway::with(upstream.address, "{mode: Monitor}");
    let mut client = Client::connect(gateway.address);
    let status = |client: &mut Client| {
        client.send(get(ATTACK));
        client.response().status()
    };
    assert_eq!(status(&mut client), 200);
    gateway.change_policy(&document("{mode: Block}"));
    assert_eq!(status(&mut client), 403);

    gateway.change_policy(&document("{mood: Monitor}"));
    assert_eq!(status(&mut client), 403, "the last good policy stays");
    assert!(gateway.log().contains("unknown field spec.mood"));
    gateway.wait_for_metric("rasp_errors_total", &["policy_file"], 1.0);
    gateway.wait_for_metric("rasp_policy_state", &["rejected"], 1.0);

    gateway.change_policy(&document("{mode: Monitor}"));
    assert_eq!(status(&mut client), 200);
    gateway.wait_for_metric("rasp_policy_state", &["current"], 1.0);
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn off_relays_bytes_untouched_until_it_is_switched_on() {
    let upstream = Upstream::start(|conversation| {
        conversation.until(b"\n\n")?;
        conversation.write(b"what is this?\n")?;
        conversation.rest();
        None
    });
    let gateway = Gateway::with(upstream.address, "{mode: Off}");
    let mut client = Client::connect(gateway.address);
    let strange = b"get   /?q=1' OR '1'='1 HTTP/1.1\nhost:\t x\nHost: y\n\n";
    client.send(strange);
    client.until(b"?\n");
    assert_eq!(upstream.recorded(), strange);
    gateway.wait_for_metric("rasp_uninspected_total", &["detection_off"], 1.0);

    gateway.change_policy(&document("{mode: Block}"));
    assert!(client.is_closed(), "no way past the policy stays open");
    assert_eq!(ask(gateway.address, get(ATTACK)).status(), 403);
}

#[test]
fn other_protocols_are_relayed_and_counted() {
    let echo = || {
        Upstream::start(|conversation| {
            let hello = conversation.exactly(4)?;
            conversation.write(&hello)?;
            conversation.rest();
            conversation.write(b"end")
        })
    };
    let table: [(&[u8], &str); 2] =
        [(b"\x16\x03\x01\x00\x05hello", "tls"), (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", "opaque")];
    for (bytes, reason) in table {
        let upstream = echo();
        let gateway = Gateway::start(upstream.address);
        let mut client = Client::connect(gateway.address);
        client.send(bytes);
        assert_eq!(client.exactly(4), &bytes[..4]);
        client.finish();
        assert_eq!(client.rest(), b"end", "half-closes go through");
        assert_eq!(upstream.recorded(), bytes);
        gateway.wait_for_metric("rasp_uninspected_total", &[&format!("\"{reason}\"")], 1.0);
    }
}

#[test]
fn the_name_that_relayed_tls_asks_for_is_in_the_log_and_no_byte_is_changed() {
    let upstream = Upstream::start(|conversation| {
        conversation.rest();
        Some(())
    });
    let gateway = Gateway::with_flags(upstream.address, &["--log", "rasp_proxy=debug"]);
    let hello = super::pki::first_message("Shop.Example");
    for pieces in [vec![&hello[..]], hello.chunks(60).collect()] {
        let mut client = Client::connect(gateway.address);
        for piece in pieces {
            client.send(piece);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        client.finish();
        assert_eq!(client.rest(), b"");
    }
    let name = "\"server_name\":\"shop.example\"";
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while gateway.log().matches(name).count() < 2 {
        assert!(std::time::Instant::now() < deadline, "{}", gateway.log());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(upstream.all().iter().all(|bytes| *bytes == hello));
    gateway.wait_for_metric("rasp_uninspected_total", &["\"tls\""], 2.0);
}

#[test]
fn a_server_that_speaks_first_is_heard_at_once() {
    let upstream = Upstream::start(|conversation| {
        conversation.write(b"220 mail.test ESMTP\r\n")?;
        conversation.until(b"\r\n")?;
        conversation.write(b"221 bye\r\n")
    });
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    assert_eq!(client.until(b"\r\n"), b"220 mail.test ESMTP\r\n");
    client.send("QUIT\r\n");
    assert_eq!(client.rest(), b"221 bye\r\n");
    gateway.wait_for_metric("rasp_uninspected_total", &["\"opaque\""], 1.0);
}

#[test]
fn an_http_server_that_speaks_first_opens_no_way_past_inspection() {
    let upstream = Upstream::start(|conversation| {
        conversation.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")?;
        conversation.rest();
        None
    });
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    assert!(client.head().starts_with("HTTP/1.1 408 "));
    let _ = std::io::Write::write_all(&mut client.stream, get(ATTACK).as_bytes());
    assert!(client.is_closed());
    assert_eq!(upstream.text(), "");
}

#[test]
fn events_of_a_stream_arrive_one_by_one() {
    let upstream = Upstream::start(|conversation| {
        conversation.request()?;
        conversation.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")?;
        conversation.until(b"go on")?;
        conversation.write(b"data: 2\n\n")
    });
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    client.send(
        "POST / HTTP/1.1\r\nHost: app\r\nContent-Type: application/octet-stream\r\nContent-Length: 0\r\n\r\n",
    );
    client.until(b"data: 1\n\n");
    thread::sleep(Duration::from_millis(50));
    drop(client);
    assert_eq!(ask(Gateway::start(Upstream::answering(OK).address).address, get("/")).status(), 200);
}

const ROWS: &str = "id=1%27+UNION+SELECT+password+FROM+users--";

fn posted(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: app\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_list_of_types_or_a_repeated_encoding_hides_no_body() {
    let table = [
        ("Content-Type: image/png, application/json\r\n", r#"{"a":"x\u0027 OR \u00271\u0027=\u00271"}"#),
        (
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Encoding: identity\r\nContent-Encoding: identity\r\n",
            ROWS,
        ),
    ];
    let (refusing, passing) = (Upstream::ok(), Upstream::ok());
    let block = Gateway::start(refusing.address);
    let monitor = Gateway::with(passing.address, "{mode: Monitor}");
    for (fields, body) in table {
        assert_eq!(ask(block.address, posted(fields, body)).status(), 403, "{fields}");
        assert_eq!(ask(monitor.address, posted(fields, body)).status(), 200, "{fields}");
    }
    assert_eq!(refusing.text(), "");
    monitor.wait_for_metric("rasp_requests_total", &["would_block"], 2.0);
    let gzip = "Content-Encoding: identity\r\nContent-Encoding: gzip\r\n";
    assert_eq!(
        ask(block.address, posted(gzip, ROWS)).status(),
        403,
        "a form that only claims to be compressed"
    );
    assert_eq!(ask(block.address, posted(gzip, "\u{1f}\u{8b}\u{8}\0\0\0")).status(), 200);
    block.wait_for_metric("rasp_uninspected_total", &["encoded_body"], 2.0);
}

#[test]
fn the_beginning_of_a_body_over_the_limit_is_judged_also_when_its_length_is_stated() {
    let upstream = Upstream::ok();
    let spec = "{mode: Monitor, detections: {sqlInjection: {mode: Block}}, inspection: {maxBodyBytes: 2048}}";
    let gateway = Gateway::with(upstream.address, spec);
    let attack = format!("{ROWS}&pad={}", "Z".repeat(4096));
    let harmless = format!("pad={}", "Z".repeat(4096));
    let mut client = Client::connect(gateway.address);
    client.send(post(FORM, &attack));
    assert_eq!(client.response().status(), 403);
    assert_eq!(upstream.text(), "");
    assert_eq!(ask(gateway.address, post(FORM, &harmless)).status(), 200);
    assert!(upstream.text().ends_with(&harmless));
}

#[test]
fn events_hold_nothing_of_a_path_that_could_be_a_secret() {
    let gateway = Gateway::start(Upstream::ok().address);
    let query = "?q=1%27%20OR%20%271%27=%271";
    let path =
        "/reset/jane@example.com/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2ln/shop;jsessionid=SECRET/a%40b";
    assert_eq!(ask(gateway.address, get(&format!("{path}{query}"))).status(), 403);
    assert_eq!(gateway.events(1)[0]["http_request"]["url"]["path"], "/reset/*/*/shop/*");
    let own = format!("hunter2 /plain{query} HTTP/1.1\r\nHost: app\r\n\r\n");
    assert_eq!(ask(gateway.address, own).status(), 403);
    assert_eq!(gateway.events(2)[1]["http_request"]["http_method"], "other");
    let both = format!("/hunter%27%20UNION%20SELECT%20a%20FROM%20b--{query}");
    assert_eq!(ask(gateway.address, get(&both)).status(), 403);
    let events = gateway.events(5);
    let part = |event: &serde_json::Value| event["unmapped"]["location"]["part"].clone();
    assert!(events[2..].iter().any(|event| part(event) == "query"), "{events:?}");
    assert!(events[2..].iter().all(|event| event["http_request"]["url"].get("path").is_none()), "{events:?}");
    assert!(!format!("{events:?}").contains("hunter"));
}

#[test]
fn an_exception_lets_its_finding_pass_and_nothing_else() {
    let upstream = Upstream::ok();
    let spec = "{mode: Block, exceptions: [\
        {name: filter, rule: sqli-tautology, path: /reports, parameter: filter, reason: a language of ours}, \
        {name: body, class: crossSiteScripting, path: /cms/*, part: form, parameter: body, reason: an editor}]}";
    let gateway = Gateway::with(upstream.address, spec);
    let condition = "1%27%20OR%20%271%27=%271";
    let rows = "1%27%20UNION%20SELECT%20password%20FROM%20users--";
    let script = "%3Cscript%3Ealert(1)%3C/script%3E";
    let edit = |path: &str, body: &str| post(FORM, body).replace("/form", path);
    let excepted = [get(&format!("/reports?filter={condition}")), edit("/cms/1", &format!("body={script}"))];
    for request in &excepted {
        assert_eq!(ask(gateway.address, request).status(), 200, "{request}");
    }
    let arrived = upstream.recorded();
    let events = gateway.events(2);
    for (event, (exception, rule)) in
        events.iter().zip([("test/filter", "sqli-tautology"), ("test/body", "xss-script")])
    {
        assert_eq!(event["unmapped"]["exception"], exception, "{event}");
        assert_eq!(event["unmapped"]["verdict"], "allow", "{event}");
        assert_eq!(event["disposition"], "Logged", "{event}");
        assert!(event["unmapped"]["rule"].as_str().unwrap().starts_with(&rule[..4]), "{event}");
        gateway.wait_for_metric("rasp_exceptions_applied_total", &[&format!("\"{exception}\"")], 1.0);
    }
    gateway.wait_for_metric("rasp_requests_total", &["\"allow\""], 2.0);

    let neighbours = [
        ("another parameter", get(&format!("/reports?other={condition}"))),
        ("another path", get(&format!("/reports/2?filter={condition}"))),
        ("a path that can be read in two ways", get(&format!("/a/..%2freports?filter={condition}"))),
        ("another rule", get(&format!("/reports?filter={rows}"))),
        ("both", get(&format!("/reports?filter={condition}&other={condition}"))),
        ("another class", edit("/cms/1", &format!("body={rows}"))),
        ("another part", get(&format!("/cms/1?body={script}"))),
        ("outside of the path", edit("/blog/1", &format!("body={script}"))),
        ("a climb out of the path", edit("/cms/../blog", &format!("body={script}"))),
    ];
    for (what, request) in &neighbours {
        assert_eq!(ask(gateway.address, request).status(), 403, "{what}: {request}");
    }
    assert_eq!(upstream.recorded(), arrived, "nothing of the neighbours arrived");

    gateway.change_policy(&document("{mode: Block}"));
    for request in &excepted {
        assert_eq!(ask(gateway.address, request).status(), 403, "without the exception: {request}");
    }
}
