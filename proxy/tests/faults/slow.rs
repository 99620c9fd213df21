//! Row 28: clients that are slow, many, or loud. What the timers do by themselves is tested in tests/proxy/timers.rs.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::application;
use super::cage::{gateway, usage};
use super::client::{Client, ask, get};
use super::fault_proxy::{self, Fault};
use super::row::{Row, Sampler, pick};
use super::upstream::Upstream;

#[test]
fn a_client_that_stops_reading_holds_back_the_application_and_not_us() {
    let row = Row::new("28 SL-07", "clients that do not read: at most 1 MiB more memory for each");
    let gateway = gateway(application::start(), None, &[]);
    assert_eq!(ask(gateway.address, get("/bytes/1000000")).status(), 200);
    let before = usage(gateway.pid()).rss_kib;
    let sampler = Sampler::start(gateway.pid(), Duration::from_millis(20));
    let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(gateway.address)).collect();
    for client in &mut clients {
        client.send(get("/bytes/1073741824"));
    }
    thread::sleep(Duration::from_secs(pick(1, 60)));
    for client in &mut clients {
        client.exactly(4096);
    }
    assert_eq!(ask(gateway.address, get("/")).status(), 200);
    let each = (sampler.finish().peak_kib - before) / 8.0;
    assert!(each < 1024.0, "{each} KiB");
    row.kept(&format!("{each:.0} KiB each"), None);
}

#[test]
fn an_application_that_stops_reading_holds_back_the_client_and_not_us() {
    let row = Row::new(
        "28",
        "an application that takes no more of an upload: held back, at most 1 MiB more memory",
    );
    let app = fault_proxy::start(application::start(), |_| (Fault::Stall(200_000), Fault::None));
    let gateway = gateway(app, None, &[]);
    assert_eq!(ask(gateway.address, get("/")).status(), 200);
    let before = usage(gateway.pid()).rss_kib;
    let mut client = Client::connect(gateway.address);
    client.stream.set_write_timeout(Some(Duration::from_millis(pick(500, 5000)))).unwrap();
    client.send(
        "POST / HTTP/1.1\r\nHost: app\r\nContent-Type: image/png\r\nContent-Length: 1000000000\r\n\r\n",
    );
    let piece = vec![b'x'; 1 << 20];
    let taken = (0..1000).take_while(|_| client.stream.write_all(&piece).is_ok()).count();
    assert!(taken < 100, "{taken} MiB went somewhere");
    let grown = usage(gateway.pid()).rss_kib - before;
    assert!(grown < 1024.0, "{grown} KiB");
    assert_eq!(ask(gateway.address, get("/")).status(), 200, "somebody else");
    row.kept(&format!("{taken} MiB taken by the kernel, {grown:.0} KiB more"), None);
}

#[test]
fn heads_without_end_are_refused_and_take_little_memory() {
    let row = Row::new("28 SL-12", "heads of 600 KB on many connections: refused, 64 MiB for 1,000 at most");
    let count = pick(200, 1000);
    let gateway = gateway(application::start(), None, &[]);
    assert_eq!(ask(gateway.address, get("/")).status(), 200);
    let before = usage(gateway.pid()).rss_kib;
    let sampler = Sampler::start(gateway.pid(), Duration::from_millis(10));
    let line = format!("X-A: {}\r\n", "x".repeat(8000));
    let mut clients: Vec<TcpStream> = (0..count)
        .map(|_| {
            let mut stream = TcpStream::connect(gateway.address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: app\r\n").unwrap();
            stream
        })
        .collect();
    for _ in 0..75 {
        for stream in &mut clients {
            let _ = stream.write_all(line.as_bytes()); // it may be refused already
        }
    }
    let mut refused = 0;
    for stream in &mut clients {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", answer.escape_ascii());
        refused += u32::from(!answer.is_empty());
    }
    let grown = sampler.finish().peak_kib - before;
    let each = grown / f64::from(count);
    assert!(each < 160.0, "{each} KiB for each");
    assert_eq!(ask(gateway.address, get("/")).status(), 200);
    let measured = format!("{count} connections, {refused} answered 431, {each:.0} KiB for each");
    row.judged(each <= 65.6, &measured, None);
}

#[test]
fn no_request_makes_a_metric_of_its_own() {
    let row = Row::new(
        "28 SL-13",
        "a different host, path, field, method and agent each: as many metrics as before",
    );
    let gateway = gateway(application::start(), None, &[]);
    let count = || gateway.admin("/metrics").text().lines().count();
    let ask_all = |from: u32, to: u32| {
        let mut client = Client::connect(gateway.address);
        for number in from..to {
            client.send(format!(
                "M{number} /p{number}?q{number}=1 HTTP/1.1\r\nHost: h{number}\r\nX-{number}: a\r\nUser-Agent: a{number}\r\n\r\n"
            ));
            if client.response().header("connection") == Some("close") {
                client = Client::connect(gateway.address);
            }
        }
    };
    ask_all(0, 20);
    let before = count();
    ask_all(20, pick(500, 10_000));
    assert_eq!(count(), before);
    row.kept(&format!("{before} lines"), None);
}

#[test]
fn ten_thousand_pipelined_requests_that_nobody_reads_the_answers_of_are_held_back() {
    let row = Row::new("28 SL-14", "10,000 pipelined requests, answers unread: held back, and none is lost");
    let gateway = gateway(application::start(), None, &[]);
    assert_eq!(ask(gateway.address, get("/bytes/100000")).status(), 200);
    let before = usage(gateway.pid()).rss_kib;
    let sampler = Sampler::start(gateway.pid(), Duration::from_millis(20));
    let mut client = Client::connect(gateway.address);
    let mut writing = client.stream.try_clone().unwrap();
    let sending = thread::spawn(move || {
        // Together more than the kernel keeps.
        let request =
            get("/bytes/4000").replace("Host: app", &format!("Host: app\r\nX-A: {}", "x".repeat(3000)));
        (0..10_000).all(|_| writing.write_all(request.as_bytes()).is_ok())
    });
    thread::sleep(Duration::from_millis(pick(500, 20_000)));
    assert!(!sending.is_finished(), "everything was taken in");
    assert_eq!(ask(gateway.address, get("/")).status(), 200, "somebody else");
    let grown = sampler.finish().peak_kib - before;
    assert!(grown < 2048.0, "{grown} KiB");
    for _ in 0..10_000 {
        assert_eq!(client.response().status(), 200);
    }
    assert!(sending.join().unwrap());
    row.kept(&format!("{grown:.0} KiB more at most"), None);
}

#[test]
fn a_flood_of_blocked_requests_writes_one_escaped_line_each_and_slows_nobody_down() {
    let row = Row::new(
        "28 SL-16",
        "a flood of blocked requests with CR, LF and ANSI everywhere: events stay one line each",
    );
    let gateway = gateway(application::start(), None, &[]);
    // Once as an attack that is blocked, and once with raw control bytes, which are refused before anybody looks.
    let attacks = ["%1b", "\x1b"].map(|escape| {
        format!(
            "GET /a%0d%0a{escape}%5b31mb?q%0a=1%27%20OR%20%271%27=%271%0a%1b%5b2J HTTP/1.1\r\nHost: app\r\n\
             User-Agent: {escape}[31m\r\nX-Request-Id: {escape}]0;x\r\n\r\n"
        )
    });
    let alone = {
        let started = Instant::now();
        (0..100).for_each(|_| assert_eq!(ask(gateway.address, get("/")).status(), 200));
        started.elapsed()
    };
    let (blocked, refused): (usize, usize) = thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let (mut blocked, mut refused) = (0, 0);
            let mut client = Client::connect(gateway.address);
            let until = Instant::now() + Duration::from_secs(pick(1, 60));
            for attack in attacks.iter().cycle() {
                if Instant::now() > until && blocked > 20 && refused > 20 {
                    break;
                }
                if client.stream.write_all(attack.as_bytes()).is_err() {
                    client = Client::connect(gateway.address);
                    continue;
                }
                let response = client.response();
                assert!(matches!(response.status(), 400 | 403), "{}", response.head);
                assert!(!response.head.contains('\x1b'), "{:?}", response.head);
                *(if response.status() == 403 { &mut blocked } else { &mut refused }) += 1;
                if response.header("connection") == Some("close") {
                    client = Client::connect(gateway.address);
                }
            }
            (blocked, refused)
        });
        let started = Instant::now();
        (0..100).for_each(|_| assert_eq!(ask(gateway.address, get("/")).status(), 200));
        let among = started.elapsed();
        println!("100 requests: {alone:.1?} alone, {among:.1?} in the flood");
        flood.join().unwrap()
    });
    // Whether an event is one line is what reading it as one tells.
    for event in gateway.events(20) {
        let text = event.to_string();
        assert!(!text.contains('\x1b') && !text.contains('\n') && !text.contains("31m"), "{text}");
    }
    row.kept(&format!("{blocked} blocked, {refused} refused unread"), None);
}

#[test]
fn connections_that_end_at_once_leave_nothing_behind() {
    let row = Row::new("28", "1,000 connections that end at once leave nothing behind");
    let upstream = Upstream::ok();
    let gateway = gateway(upstream.address, None, &[]);
    assert_eq!(ask(gateway.address, get("/")).status(), 200);
    let before = usage(gateway.pid());
    for _ in 0..pick(500, 20_000) {
        drop(Client::connect(gateway.address));
    }
    let after = super::cage::settled(gateway.pid(), before.files);
    row.kept(&format!("RSS {:+.0} KiB", after.rss_kib - before.rss_kib), None);
}
