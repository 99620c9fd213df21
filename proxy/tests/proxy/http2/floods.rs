//! Clients that only keep the proxy busy are told to calm down, and their connection ends.

use std::time::Duration;

use super::super::gateway::Gateway;
use super::application::Application;
use super::frame::{
    ACK, CANCEL, CONTINUATION, Client, DATA, END_HEADERS, ENHANCE_YOUR_CALM, HEADERS, PING, POST, PRIORITY,
    REFUSED_STREAM, RST_STREAM, SETTINGS, frame, get, headers, reset, window,
};

/// Sends `piece` many times, reading nothing, and says with which code the connection ended.
fn flood(
    address: std::net::SocketAddr,
    first: &[u8],
    count: usize,
    piece: impl Fn(usize) -> Vec<u8>,
) -> Option<u32> {
    let mut client = Client::connect(address);
    client.send(first);
    let mut reader = client.stream.try_clone().unwrap();
    let reading = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = std::io::Read::read_to_end(&mut reader, &mut bytes);
        bytes
    });
    for batch in 0..count.div_ceil(200) {
        let bytes: Vec<u8> = (batch * 200..(batch + 1) * 200).flat_map(&piece).collect();
        if std::io::Write::write_all(&mut client.stream, &bytes).is_err() {
            break;
        }
    }
    let bytes = reading.join().unwrap();
    let mut rest = &bytes[..];
    let mut code = None;
    while let Some((head, later)) = rest.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((payload, later)) = later.split_at_checked(length) else { break };
        if head[3] == super::frame::GOAWAY {
            code = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        rest = later;
    }
    assert!(rest.is_empty(), "what the client gets ends with a whole frame");
    code
}

type Piece = Box<dyn Fn(usize) -> Vec<u8>>;

#[test]
fn frames_that_lead_nowhere_end_the_connection() {
    let application = Application::start();
    let gateway = Gateway::start(application.address);
    let peak = gateway.peak_memory();
    let post = headers(1, END_HEADERS, POST);
    let open = frame(HEADERS, 1, 1, []);
    let hold = get(1, "/hold");
    let table: [(&str, &[u8], Piece, Option<&str>); 10] = [
        ("SETTINGS", &[], Box::new(|_| frame(SETTINGS, 0, 0, [])), Some("settings")),
        ("PING", &[], Box::new(|_| frame(PING, 0, 0, [0; 8])), Some("ping")),
        ("answers to no PING", &[], Box::new(|_| frame(PING, ACK, 0, [0; 8])), Some("ping")),
        ("PRIORITY", &[], Box::new(|_| frame(PRIORITY, 0, 1, [0; 5])), Some("priority")),
        ("WINDOW_UPDATE", &hold, Box::new(|_| window(1, 1)), Some("window_update")),
        ("unknown frames", &[], Box::new(|_| frame(0xbe, 0, 0, [])), Some("unknown")),
        ("rapid reset", &[], Box::new(|n| [get(odd(n), "/hold"), reset(odd(n), CANCEL)].concat()), None),
        ("empty DATA", &post, Box::new(|_| frame(DATA, 0, 1, [])), None),
        ("DATA of a byte", &post, Box::new(|_| frame(DATA, 0, 1, [0])), None),
        ("empty CONTINUATION", &open, Box::new(|_| frame(CONTINUATION, 0, 1, [])), None),
    ];
    for (what, first, piece, reason) in table {
        let code = flood(gateway.address, first, 60_000, piece);
        assert_eq!(code, Some(ENHANCE_YOUR_CALM), "{what}");
        if let Some(reason) = reason {
            let kind = format!("http2_flood_{reason}");
            gateway.counted(&kind);
            let told = || gateway.events(1).iter().any(|event| event["unmapped"]["rule"] == *kind);
            let deadline = std::time::Instant::now() + Duration::from_secs(5);
            while !told() {
                assert!(std::time::Instant::now() < deadline, "{kind} is no event");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
    let grown = gateway.peak_memory() - peak;
    assert!(grown < 16 << 10, "{grown} KiB more");
    assert!(application.seen().len() < 200, "{} requests arrived", application.seen().len());
    let mut client = Client::connect(gateway.address);
    client.send(get(1, "/"));
    assert_eq!(client.answer(1), 200);
}

#[test]
fn a_crowd_that_sends_the_preface_and_no_more_has_its_time_and_its_places_and_others_get_their_turn() {
    let application = Application::start();
    let limits = ["--limits", "connections=100,timeout-ping=300ms"];
    let gateway = Gateway::with_flags(application.address, &limits);
    let peak = gateway.peak_memory();
    let mut crowd: Vec<Client> = (0..250).map(|_| Client::silent(gateway.address)).collect();
    let mut other = Client::connect(gateway.address);
    other.send(get(1, "/"));
    assert_eq!(other.answer(1), 200);
    gateway.counted("shed_connections");
    for client in &mut crowd {
        client.farewell();
    }
    gateway.counted("ping_timeout");
    let grown = gateway.peak_memory() - peak;
    assert!(grown < 16 << 10, "{grown} KiB more");
    assert!(application.seen().len() == 1, "nothing of them arrived");
}

fn odd(number: usize) -> u32 {
    u32::try_from(number * 2 + 1).unwrap()
}

#[test]
fn requests_that_are_taken_back_slowly_enough_to_arrive_have_a_budget_too() {
    let application = Application::start();
    let gateway = Gateway::start(application.address);
    let mut client = Client::connect(gateway.address);
    let mut sent = 0;
    let ended = (0..1_000).any(|number| {
        client.send(get(odd(number), "/hold"));
        client.send(frame(PING, 0, 0, [0; 8])); // so that hyper has it before it is taken back
        sent += 1;
        loop {
            match client.next() {
                Some(frame) if frame.kind == PING && frame.flags & ACK != 0 => break,
                Some(frame) if frame.kind == super::frame::GOAWAY => {
                    return frame.code() == ENHANCE_YOUR_CALM;
                }
                Some(_) => {}
                None => return false,
            }
        }
        client.send(reset(odd(number), CANCEL));
        false
    });
    assert!(ended && sent >= 100, "{sent} requests");
    gateway.counted("http2_flood_reset");
}

#[test]
fn streams_above_the_limit_are_refused_and_may_be_sent_again() {
    let application = Application::start();
    let gateway = Gateway::start(application.address);
    let mut client = Client::connect(gateway.address);
    let requests: Vec<u8> = (0..120).flat_map(|number| get(odd(number), "/hold")).collect();
    client.send(requests);
    let refused: Vec<u32> = (0..20).map(|_| client.until(|frame| frame.kind == RST_STREAM).code()).collect();
    assert_eq!(refused, [REFUSED_STREAM; 20]);
    application.go();
    let held = client.until(|frame| frame.kind == HEADERS);
    assert_eq!(held.status(), 200);
}

#[test]
fn a_client_that_does_not_read_is_held_back_and_costs_nothing() {
    let application = Application::start();
    let gateway = Gateway::start(application.address);
    let peak = gateway.peak_memory();
    let mut client = Client::connect(gateway.address);
    client.send(window(0, 0x7fff_0000 - 65_535));
    client.send((0..100).flat_map(|number| get(odd(number), "/large")).collect::<Vec<u8>>());
    std::thread::sleep(Duration::from_millis(500));
    let grown = gateway.peak_memory() - peak;
    assert!(grown < 24 << 10, "{grown} KiB more for 100 MiB of responses that nobody takes");
}
