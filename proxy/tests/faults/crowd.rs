//! Row 27: very many connections that do nothing.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::application;
use super::cage::{gateway, settled, usage};
use super::client::{Client, get};
use super::row::{Row, is_late, pick};

/// This process holds both ends: of the clients and of the application.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}

/// The slowest but one in a hundred of requests over 100 connections.
fn slowest(clients: &mut [Client]) -> Duration {
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..pick(5, 50) {
        for client in &mut *clients {
            let started = Instant::now();
            client.send(get("/"));
            assert_eq!(client.response().status(), 200);
            times.push(started.elapsed());
        }
    }
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

#[test]
fn idle_connections_take_little_memory_and_slow_nobody_down() {
    let row = Row::new("27", "idle connections: at most 16 KiB each, and nobody else is slower");
    raise_file_limit();
    let count = pick(800, 8_500);
    let gateway = gateway(application::start(), None, &[]);
    let mut active: Vec<Client> = (0..100).map(|_| Client::connect(gateway.address)).collect();
    let alone = slowest(&mut active);
    let before = usage(gateway.pid());

    // After one request each: where keep-alive connections wait.
    let mut idle: Vec<Client> = Vec::new();
    for _ in 0..count {
        let mut client = Client::connect(gateway.address);
        client.send(get("/"));
        assert_eq!(client.response().status(), 200);
        idle.push(client);
    }
    let crowded = slowest(&mut active);
    // They come to rest after a second, and what they used goes back while others talk.
    let begun = Instant::now();
    let each = loop {
        let used = usage(gateway.pid()).rss_kib - before.rss_kib;
        let each = used / f64::from(u32::try_from(count).unwrap());
        if each <= 12.0 || is_late(begun.elapsed(), Duration::from_secs(8)) {
            break each;
        }
        slowest(&mut active);
    };
    for client in idle.iter_mut().step_by(10) {
        client.send(get("/"));
        assert_eq!(client.response().status(), 200, "after a rest");
    }
    drop(idle);
    settled(gateway.pid(), before.files);

    // Without a byte.
    let silent: Vec<TcpStream> = (0..count).map(|_| TcpStream::connect(gateway.address).unwrap()).collect();
    let begun = Instant::now();
    while usage(gateway.pid()).files < before.files + f64::from(u32::try_from(count).unwrap()) {
        assert!(!is_late(begun.elapsed(), Duration::from_secs(10)), "they are not accepted");
    }
    assert_eq!(gateway.admin("/livez").status(), 200);
    drop(silent);
    settled(gateway.pid(), before.files);
    assert!(each < 24.0, "{each:.1} KiB for an idle connection");
    let measured =
        format!("{count} of {each:.1} KiB; p99 of 100 active {alone:.1?} alone, {crowded:.1?} among them");
    row.judged(each <= 16.0, &measured, None);
}
