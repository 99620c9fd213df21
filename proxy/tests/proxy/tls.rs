//! TLS that ends in the proxy, and TLS that begins there.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rasp_policy::pod::{ClientAuth, PortProtocols, TlsPort, ToApplication, Verify};
use rasp_proxy::connection::Target;
use rasp_proxy::limits::Timers;
use rasp_proxy::metrics::Metrics;
use rasp_proxy::tls::declared;
use rustls::version::{TLS12, TLS13};

use super::client::{Client, get, post};
use super::gateway::{BINARY, Gateway};
use super::http2;
use super::pki::{Authority, Dial, Issued, PLAIN, TlsApplication, connect, mount};
use super::timers::{ALL_LONG, Inside, serve_with};
use super::upstream::Upstream;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A directory with a certificate for `shop.example`.
fn secret(authority: &Authority) -> (tempfile::TempDir, Issued) {
    let (directory, issued) = (tempfile::tempdir().unwrap(), authority.issue(&["shop.example"]));
    issued.mount(directory.path(), Some(authority));
    (directory, issued)
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    let (secret, _) = secret(&Authority::new());
    let upstream = Upstream::ok();
    let gateway = Gateway::with_both(upstream.address, "{mode: Block}", &["--tls", text(secret.path())]);
    for version in [&TLS12, &TLS13] {
        let mut client =
            Dial { versions: &[version], ..PLAIN }.connect(gateway.address, "shop.example").unwrap();
        assert_eq!(client.stream.conn.protocol_version(), Some(version.version));
        for _ in 0..2 {
            client.send(get("/"));
            assert_eq!(client.response().status(), 200);
        }
    }
    for minor in [1, 2] {
        let mut old = Client::connect(gateway.address);
        old.send(client_hello(minor));
        let alert = old.exactly(7);
        assert_eq!((alert[0], &alert[5..]), (21, &[2, 70][..]), "a fatal protocol_version");
        assert!(old.is_closed());
    }
    gateway.wait_for_metric("rasp_errors_total", &["tls_version"], 2.0);
}

/// TLS 1.0 is minor version 1, TLS 1.1 is 2.
fn client_hello(minor: u8) -> Vec<u8> {
    let mut body = vec![3, minor];
    body.extend([7; 32]); // random
    body.push(0); // session
    body.extend([0, 2, 0xc0, 0x13, 1, 0]); // one suite, no compression
    let extensions: &[u8] = &[0, 10, 0, 4, 0, 2, 0, 23, 0, 13, 0, 4, 0, 2, 4, 3, 0, 11, 0, 2, 1, 0];
    body.extend([0, u8::try_from(extensions.len()).unwrap()]);
    body.extend(extensions);
    let length = u8::try_from(body.len()).unwrap();
    [&[22, 3, 1, 0, length + 4, 1, 0, 0, length], &*body].concat()
}

#[test]
fn the_certificate_is_chosen_by_the_name_that_is_asked_for() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let names: [&[&str]; 2] = [&["shop.example"], &["*.example.com", "example.com"]];
    let issued: Vec<Issued> = names.iter().map(|names| authority.issue(names)).collect();
    let places = [directory.path().join("a"), directory.path().join("b")];
    issued.iter().zip(&places).for_each(|(issued, place)| issued.mount(place, None));
    let upstream = Upstream::ok();
    let flags = ["--tls", text(&places[0]), "--tls", text(&places[1])];
    let gateway = Gateway::with_both(upstream.address, "{mode: Block}", &flags);
    let table = [
        ("shop.example", 0),
        ("SHOP.example", 0),
        ("www.example.com", 1),
        ("example.com", 1),
        ("a.b.example.com", 0),
        ("unknown.example", 0),
        ("127.0.0.1", 0), // asks for no name
    ];
    for (name, expected) in table {
        assert_eq!(connect(gateway.address, name).certificate(), issued[expected].der, "{name}");
    }
}

#[test]
fn renewing_a_certificate_fails_no_handshake_and_needs_no_restart() {
    let authority = Authority::new();
    let (secret, _) = secret(&authority);
    let upstream = Upstream::ok();
    let gateway = Gateway::with_both(upstream.address, "{mode: Block}", &["--tls", text(secret.path())]);
    let (done, failed, served) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let last = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    let client = PLAIN.connect(gateway.address, "shop.example");
                    let answered = client.is_ok_and(|mut client| {
                        client.send(get("/"));
                        client.response().status() == 200
                    });
                    if answered { &served } else { &failed }.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut last = None;
        for _ in 0..20 {
            let issued = authority.issue(&["shop.example"]);
            issued.mount(secret.path(), Some(&authority));
            last = Some(issued);
            thread::sleep(Duration::from_millis(100));
        }
        done.store(true, Ordering::Release);
        last.unwrap()
    });
    assert_eq!(failed.into_inner(), 0);
    assert!(served.into_inner() > 10);
    serves(gateway.address, &last);
    assert!(gateway.log().contains("certificates in force"));
    let days = gateway.metric("rasp_tls_cert_expiry_seconds", &["port"]) / 86400.0;
    assert!((29.0..=30.0).contains(&days), "{days}");
    assert_eq!(gateway.metric("rasp_errors_total", &["tls_material"]).to_string(), "0");
}

/// Waits until this certificate is served.
fn serves(address: SocketAddr, issued: &Issued) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while connect(address, "shop.example").certificate() != issued.der {
        assert!(Instant::now() < deadline, "another certificate is served");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_cannot_be_served_is_refused_loudly_and_the_old_certificate_stays() {
    let authority = Authority::new();
    let (secret, good) = secret(&authority);
    let upstream = Upstream::ok();
    let gateway = Gateway::with_both(upstream.address, "{mode: Block}", &["--tls", text(secret.path())]);
    let other = authority.issue(&["shop.example"]);
    let ended = authority.issue_until(&["shop.example"], -1);
    let table = [
        (&*other.pem, &*good.key_pem, "does not fit"),
        ("text", &*good.key_pem, "the certificate is not readable"),
        (&*other.pem, "text", "the private key is not readable"),
        (&*ended.pem, &*ended.key_pem, "not valid now"),
    ];
    for (count, (certificate, key, problem)) in (1_u8..).zip(table) {
        mount(secret.path(), certificate, key, Some(&authority));
        gateway.wait_for_log(problem);
        gateway.wait_for_metric("rasp_errors_total", &["tls_material"], f64::from(count));
        assert_eq!(connect(gateway.address, "shop.example").certificate(), good.der);
    }
    other.mount(secret.path(), Some(&authority));
    serves(gateway.address, &other);
}

#[test]
fn a_gateway_does_not_start_with_a_certificate_that_it_cannot_serve() {
    let (secret, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let (issued, other) = (authority.issue(&["a.example"]), authority.issue(&["a.example"]));
    let fails = |flags: &[&str], expected: &str| {
        let mut command = Command::new(BINARY);
        command.args(["gateway", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1"]).args(flags);
        let output = command.output().unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && log.contains(expected), "{expected}: {log}");
    };
    fails(&["--tls", text(secret.path())], "tls.crt");
    mount(secret.path(), &issued.pem, &other.key_pem, None);
    fails(&["--tls", text(secret.path())], "does not fit");
    issued.mount(secret.path(), None);
    fails(&["--tls", text(secret.path()), "--tls-client-auth", "required"], "there is no CA");
    fails(&["--tls-cert", "tls.crt"], "--tls-key");
    fails(&["--upstream-ca", "ca.crt"], "--upstream-tls");
    fails(
        &["--upstream-tls", "--upstream-ca", text(&secret.path().join("tls.key"))],
        "no certificate of a CA",
    );
}

#[test]
fn a_client_shows_a_good_certificate_or_is_refused_with_a_reason() {
    const MISSING: &str = "tls_client_certificate_missing";
    const INVALID: &str = "tls_client_certificate_invalid";
    let authority = Authority::new();
    let (secret, _) = secret(&authority);
    let good = authority.issue(&["client"]);
    let ended = authority.issue_until(&["client"], -1);
    let foreign = Authority::new().issue(&["client"]);
    let table = [
        ("none", None, None),
        ("none", Some(&foreign), None),
        ("optional", None, None),
        ("optional", Some(&good), None),
        ("optional", Some(&foreign), Some(INVALID)),
        ("optional", Some(&ended), Some(INVALID)),
        ("required", None, Some(MISSING)),
        ("required", Some(&good), None),
        ("required", Some(&foreign), Some(INVALID)),
        ("required", Some(&ended), Some(INVALID)),
    ];
    let upstream = Upstream::ok();
    for how in ["none", "optional", "required"] {
        let flags = ["--tls", text(secret.path()), "--tls-client-auth", how];
        let gateway = Gateway::with_both(upstream.address, "{mode: Block}", &flags);
        for (row, (_, certificate, refused)) in table.iter().filter(|row| row.0 == how).enumerate() {
            for version in [&TLS12, &TLS13] {
                let dial = Dial { versions: &[version], certificate: *certificate, ..PLAIN };
                let answer = dial.connect(gateway.address, "shop.example").map(|mut client| {
                    let _ = client.stream.write_all(get("/").as_bytes());
                    client.stream.read(&mut [0; 1])
                });
                let is_answered = matches!(answer, Ok(Ok(1)));
                assert_eq!(is_answered, refused.is_none(), "{how} {row} {:?}", version.version);
            }
        }
        for reason in [MISSING, INVALID] {
            let count = table.iter().filter(|row| row.0 == how && row.2 == Some(reason)).count() * 2;
            gateway.wait_for_metric("rasp_errors_total", &[reason], f64::from(u8::try_from(count).unwrap()));
        }
    }
}

#[test]
fn plain_text_on_a_port_with_tls_gets_no_answer() {
    let (secret, _) = secret(&Authority::new());
    let upstream = Upstream::ok();
    let gateway = Gateway::with_both(upstream.address, "{mode: Off}", &["--tls", text(secret.path())]);
    for bytes in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\0", "SSH-2.0-x\r\n"] {
        let mut client = Client::connect(gateway.address);
        client.send(bytes);
        assert!(client.is_closed(), "{bytes:?}");
    }
    gateway.wait_for_metric("rasp_errors_total", &["tls_plain_text"], 3.0);
    drop(Client::connect(gateway.address)); // a port check
    let mut cut = Client::connect(gateway.address);
    cut.send(&client_hello(3)[..20]);
    drop(cut);
    gateway.wait_for_metric("rasp_errors_total", &["tls_client_gave_up"], 1.0);
    let offers = Dial { protocols: &["spdy/3"], ..PLAIN };
    assert!(offers.connect(gateway.address, "shop.example").is_err());
    gateway.wait_for_metric("rasp_errors_total", &["tls_application_protocol"], 1.0);
    assert_eq!(gateway.metric("rasp_errors_total", &["tls_"]).to_string(), "5", "and nothing else");
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn an_attack_in_tls_is_blocked_or_logged_as_without_it() {
    let (secret, _) = secret(&Authority::new());
    let attack = post("application/x-www-form-urlencoded", "q=1'+OR+'1'='1");
    for (spec, status) in [("{mode: Block}", 403), ("{mode: Monitor}", 200), ("{mode: Off}", 200)] {
        let upstream = Upstream::ok();
        let gateway = Gateway::with_both(upstream.address, spec, &["--tls", text(secret.path())]);
        let mut client = connect(gateway.address, "shop.example");
        client.send(&attack);
        assert_eq!(client.response().status(), status, "{spec}");
        let forwarded = upstream.text().to_lowercase();
        assert_eq!(forwarded.contains("q=1'+or"), status == 200, "{spec}");
        assert_eq!(forwarded.contains("x-forwarded-proto: https\r\n"), spec == "{mode: Monitor}", "{spec}");
        if spec != "{mode: Off}" {
            gateway.events(1);
        }
    }
}

#[test]
fn what_an_earlier_hop_said_of_the_scheme_stays() {
    let (secret, _) = secret(&Authority::new());
    let upstream = Upstream::ok();
    let gateway = Gateway::with_both(upstream.address, "{mode: Monitor}", &["--tls", text(secret.path())]);
    let mut client = connect(gateway.address, "shop.example");
    client.send("GET / HTTP/1.1\r\nHost: app\r\nX-Forwarded-Proto: http\r\n\r\n");
    assert_eq!(client.response().status(), 200);
    let forwarded = upstream.text().to_lowercase();
    assert_eq!(forwarded.matches("x-forwarded-proto").count(), 1);
    assert!(forwarded.contains("x-forwarded-proto: http\r\n"), "{forwarded}");
}

#[test]
fn a_mebibyte_passes_both_ways_and_the_end_is_announced() {
    const LENGTH: usize = 1 << 20;
    let (secret, _) = secret(&Authority::new());
    let upstream = Upstream::start(|conversation| {
        conversation.request()?;
        conversation.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n").as_bytes())?;
        conversation.write(&vec![b'y'; LENGTH])
    });
    let gateway = Gateway::with_both(upstream.address, "{mode: Block}", &["--tls", text(secret.path())]);
    for version in [&TLS12, &TLS13] {
        let mut client =
            Dial { versions: &[version], ..PLAIN }.connect(gateway.address, "shop.example").unwrap();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: app\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n\
             Content-Length: {LENGTH}\r\n\r\n"
        ));
        client.send(vec![b'x'; LENGTH]);
        let response = client.response();
        assert_eq!((response.status(), response.body), (200, vec![b'y'; LENGTH]));
        // Without close_notify this is an error.
        assert_eq!(client.stream.read(&mut [0; 1]).unwrap(), 0);
    }
    assert_eq!(upstream.text().matches(&"x".repeat(LENGTH)).count(), 2);
}

#[test]
fn a_body_that_is_cut_short_without_an_announcement_is_no_whole_one() {
    let (secret, _) = secret(&Authority::new());
    let upstream = Upstream::ok();
    let gateway = Gateway::with_both(upstream.address, "{mode: Monitor}", &["--tls", text(secret.path())]);
    for framing in ["Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
        let mut client = connect(gateway.address, "shop.example");
        client.send(format!("POST /{} HTTP/1.1\r\nHost: app\r\n{framing}", framing.len()));
        upstream.wait_for("hello");
        client.stream.sock.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.stream.read(&mut [0; 1]).unwrap_or_default(), 0, "no response");
    }
    assert!(!upstream.text().contains("\r\n0\r\n"), "no end of the body was made up");
}

#[test]
fn a_gateway_takes_an_upstream_by_certificate_and_name_and_answers_502_otherwise() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let ca = directory.path().join("ca.crt");
    std::fs::write(&ca, &authority.pem).unwrap();
    let right = TlsApplication::start(&authority.issue(&["app.example"]), &[]);
    let wrong = TlsApplication::start(&Authority::new().issue(&["app.example"]), &[]);
    let plain = Upstream::answering(*b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let table = [
        (right.address, "app.example", None),
        (right.address, "other.example", Some("tls_upstream_certificate")),
        (wrong.address, "app.example", Some("tls_upstream_certificate")),
        (plain.address, "app.example", Some("tls_upstream_handshake")),
        (Upstream::refusing(), "app.example", Some("upstream_connect")),
    ];
    for (upstream, name, reason) in table {
        let flags = ["--upstream-tls", "--upstream-ca", text(&ca), "--upstream-server-name", name];
        let gateway = Gateway::with_both(upstream, "{mode: Block}", &flags);
        let mut client = Client::connect(gateway.address);
        client.send(get("/"));
        assert_eq!(client.response().status(), if reason.is_none() { 200 } else { 502 }, "{name}");
        if let Some(reason) = reason {
            assert!(gateway.metric("rasp_errors_total", &[reason]) > 0.5, "{reason}");
        }
    }
    assert_eq!(right.asked(), [(Some("app.example".to_owned()), None)]);
}

#[test]
fn a_client_without_tls_chooses_the_protocol_and_the_application_must_agree() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let ca = directory.path().join("ca.crt");
    std::fs::write(&ca, &authority.pem).unwrap();
    let issued = authority.issue(&["app.example"]);
    let (http1, http2) = (Some("http/1.1".to_owned()), Some("h2".to_owned()));
    // What the application speaks, what it is asked for by a client of HTTP/1 and by one of HTTP/2.
    let table: [(&[&str], Option<String>, Option<String>); 3] = [
        (&["h2", "http/1.1"], http1.clone(), http2),
        (&["http/1.1"], http1, None),
        (&[], None, None), // knows nothing of application protocols: it must not get a frame of HTTP/2
    ];
    for (speaks, to_http1, to_http2) in table {
        let application = TlsApplication::start(&issued, speaks);
        let flags = ["--upstream-tls", "--upstream-ca", text(&ca), "--upstream-server-name", "app.example"];
        let gateway = Gateway::with_both(application.address, "{mode: Block}", &flags);
        let mut client = Client::connect(gateway.address);
        client.send(get("/"));
        assert_eq!(client.response().status(), 200, "{speaks:?}");
        assert_eq!(application.asked()[0].1, to_http1, "{speaks:?}");
        let mut client = http2::frame::Client::connect(gateway.address);
        if to_http2.is_some() {
            let noted = Instant::now() + Duration::from_secs(10);
            while application.asked().len() < 2 && Instant::now() < noted {
                thread::sleep(Duration::from_millis(5));
            }
            assert_eq!(application.asked()[1].1, to_http2, "{speaks:?}");
        } else {
            client.send(http2::frame::get(1, "/"));
            assert_eq!(client.answer(1), 502, "{speaks:?}");
            gateway.counted("tls_upstream_application_protocol");
        }
    }
}

/// A port of a pod with this application behind it.
fn in_pod(application: SocketAddr, directory: &Path, verify: Verify, timers: Timers) -> Inside {
    let port = TlsPort {
        port: application.port(),
        secrets: vec!["shop-tls".into()],
        client_auth: ClientAuth::None,
        upstream: ToApplication::Tls,
        verify,
    };
    let metrics = Arc::new(Metrics::new().unwrap());
    let tls = declared::in_directory(directory, &[port], &PortProtocols::default(), &metrics).unwrap();
    serve_with(Target::Pod(application), timers, 1 << 20, tls, metrics)
}

fn status(address: SocketAddr) -> u16 {
    let mut client = connect(address, "shop.example");
    client.send(get("/"));
    client.response().status()
}

#[test]
fn an_application_in_the_pod_is_known_by_its_secret() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let secret = directory.path().join("shop-tls");
    let (old, foreign) = (authority.issue(&["shop.example"]), Authority::new().issue(&["shop.example"]));
    let by_ca = authority.issue(&["shop.example"]);
    let other_name = authority.issue(&["admin.example"]);
    let table = [
        // The application's certificate, whether the Secret has a CA, verify, the answer.
        (&old, false, Verify::Secret, 200),
        (&by_ca, true, Verify::Secret, 200),
        (&by_ca, false, Verify::Secret, 502),
        (&other_name, true, Verify::Secret, 502),
        (&foreign, true, Verify::Secret, 502),
        (&foreign, true, Verify::Off, 200),
    ];
    for (index, (certificate, with_ca, verify, expected)) in table.into_iter().enumerate() {
        old.mount(&secret, with_ca.then_some(&authority));
        let application = TlsApplication::start(certificate, &["http/1.1"]);
        let inside = in_pod(application.address, directory.path(), verify, ALL_LONG);
        assert_eq!(status(inside.address), expected, "row {index}");
        if expected == 502 {
            inside.counted("tls_upstream_certificate");
        } else {
            assert_eq!(application.asked()[0].0.as_deref(), Some("shop.example"), "the client's own name");
        }
        assert_eq!(connect(inside.address, "shop.example").certificate(), old.der);
    }
    // The Secret is renewed, and the application does not reload it.
    old.mount(&secret, None);
    let application = TlsApplication::start(&old, &[]);
    let inside = in_pod(application.address, directory.path(), Verify::Secret, ALL_LONG);
    let renewed = Authority::new().issue(&["shop.example"]);
    renewed.mount(&secret, None);
    serves(inside.address, &renewed);
    assert_eq!(status(inside.address), 200);
}

#[test]
fn the_application_chooses_the_protocol_of_its_client() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let issued = authority.issue(&["shop.example"]);
    issued.mount(&directory.path().join("shop-tls"), None);
    let http1 = Some("http/1.1".to_owned());
    let table: [(&[&str], &[&str], Option<String>); 4] = [
        (&["http/1.1"], &["h2", "http/1.1"], http1.clone()),
        (&["h2", "http/1.1"], &["http/1.1"], http1.clone()),
        (&["http/1.1"], &["http/1.1"], http1),
        (&["http/1.1"], &[], None),
    ];
    for (speaks, offers, expected) in table {
        let application = TlsApplication::start(&issued, speaks);
        let inside = in_pod(application.address, directory.path(), Verify::Secret, ALL_LONG);
        let mut client = Dial { protocols: offers, ..PLAIN }.connect(inside.address, "shop.example").unwrap();
        assert_eq!(client.protocol(), expected, "{offers:?}");
        client.send(get("/"));
        assert_eq!(client.response().status(), 200);
        assert_eq!(application.asked(), [(Some("shop.example".to_owned()), expected)]);
    }
}

#[test]
fn http2_inside_tls_is_judged_where_the_port_is_declared_to_speak_it() {
    let (secret, _) = secret(&Authority::new());
    let application = http2::application::Application::start();
    let tls = ["--tls", text(secret.path())];
    for (protocol, expected) in [("http2", "h2"), ("http", "http/1.1")] {
        let flags = [&tls[..], &["--protocol", protocol]].concat();
        let gateway = Gateway::with_both(application.address, "{mode: Block}", &flags);
        let offered = Dial { protocols: &["h2", "http/1.1"], ..PLAIN };
        let tls = offered.connect(gateway.address, "shop.example").unwrap();
        assert_eq!(tls.protocol().as_deref(), Some(expected), "{protocol}");
        if expected == "h2" {
            let mut client = http2::frame::Client::over(tls.stream);
            client.send(http2::frame::get(1, "/?id=1"));
            assert_eq!(client.answer(1), 200);
            client.send(http2::frame::get(3, "/?id=1'%20UNION%20SELECT%20password%20FROM%20users--"));
            assert_eq!(client.answer(3), 403);
        }
    }
    assert_eq!(application.paths().len(), 1);
}

#[test]
fn an_application_that_chooses_http2_in_tls_is_spoken_to_in_http2() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let issued = authority.issue(&["shop.example"]);
    issued.mount(&directory.path().join("shop-tls"), None);
    let application = TlsApplication::start(&issued, &["h2", "http/1.1"]);
    let inside = in_pod(application.address, directory.path(), Verify::Secret, ALL_LONG);
    let offered = Dial { protocols: &["h2", "http/1.1"], ..PLAIN };
    let client = offered.connect(inside.address, "shop.example").unwrap();
    let http2 = Some("h2".to_owned());
    assert_eq!(client.protocol(), http2);
    // It notes what was chosen when the last message of the handshake reached it.
    let noted = Instant::now() + Duration::from_secs(10);
    while application.asked().is_empty() && Instant::now() < noted {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(application.asked(), [(Some("shop.example".to_owned()), http2)]);
}

#[test]
fn a_port_of_a_pod_that_refuses_is_reset_before_the_handshake() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.issue(&["shop.example"]).mount(&directory.path().join("shop-tls"), None);
    let inside = in_pod(Upstream::refusing(), directory.path(), Verify::Secret, ALL_LONG);
    let refused = PLAIN.connect(inside.address, "shop.example").err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_handshake_that_stalls_is_ended() {
    const SHORT: Duration = Duration::from_millis(500);
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.issue(&["shop.example"]).mount(&directory.path().join("shop-tls"), None);
    let silent = Upstream::start(|conversation| {
        conversation.rest();
        Some(())
    });
    let timers = Timers { tls_handshake: SHORT, ..ALL_LONG };
    let inside = in_pod(silent.address, directory.path(), Verify::Secret, timers);
    let started = Instant::now();
    for beginning in [&[][..], &[22], &client_hello(3)[..20]] {
        let mut client = Client::connect(inside.address);
        client.send(beginning);
        assert!(client.is_closed());
        inside.told("tls_timeout");
    }
    // Bytes buy no time.
    let mut dribble = Client::connect(inside.address);
    let begun = Instant::now();
    for byte in client_hello(3) {
        if dribble.stream.write_all(&[byte]).is_err() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "every byte bought more of it");
        thread::sleep(SHORT / 10);
    }
    assert!(begun.elapsed() >= SHORT && dribble.is_closed());
    // The application stalls: requests are answered.
    assert_eq!(status(inside.address), 502);
    inside.counted("tls_upstream_handshake");
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_port_without_a_certificate_serves_nothing_until_there_is_one() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let issued = authority.issue(&["shop.example"]);
    let application = TlsApplication::start(&issued, &[]);
    let inside = in_pod(application.address, directory.path(), Verify::Secret, ALL_LONG);
    assert!(PLAIN.connect(inside.address, "shop.example").is_err());
    inside.told("tls_no_certificate");
    issued.mount(&directory.path().join("shop-tls"), None);
    let deadline = Instant::now() + Duration::from_secs(10);
    while PLAIN.connect(inside.address, "shop.example").is_err() {
        assert!(Instant::now() < deadline, "the certificate was not found");
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(status(inside.address), 200);
}
