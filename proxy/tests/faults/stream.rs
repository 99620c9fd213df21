//! Row 29: very long bodies, both ways, through little memory.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::application::{self, Digest, digest_of, pattern};
use super::cage::{Cage, gateway, usage};
use super::client::{Client, get};
use super::row::{Row, Sampler, pick};

const MIB: u64 = 1 << 20;

/// Uploads and says what the application answers.
fn upload(address: SocketAddr, content_type: &str, length: u64) -> String {
    let mut client = Client::connect(address);
    client.send(format!(
        "POST /digest HTTP/1.1\r\nHost: app\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    ));
    let (pattern, mut left) = (pattern(), length);
    while left > 0 {
        let piece = usize::try_from(left).unwrap().min(pattern.len());
        client.send(&pattern[..piece]);
        left -= u64::try_from(piece).unwrap();
    }
    client.response().text()
}

/// Downloads, at first slowly, and says what came.
fn download(address: SocketAddr, target: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(get(target).as_bytes()).unwrap();
    let (mut digest, mut head, mut buffer) = (Digest::new(), Vec::new(), vec![0; 1 << 18]);
    let mut stated = None;
    loop {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "it broke off");
        match stated {
            None => {
                head.extend_from_slice(&buffer[..read]);
                if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
                    let text = String::from_utf8_lossy(&head[..end]).to_lowercase();
                    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
                    stated = Some(length.unwrap().parse::<u64>().unwrap());
                    digest.update(&head[end + 4..]);
                }
            }
            Some(_) => digest.update(&buffer[..read]),
        }
        if digest.length() < 4 * MIB {
            thread::sleep(Duration::from_millis(5)); // a slow reader holds back the application, not us
        }
        if stated == Some(digest.length()) {
            return digest.text();
        }
    }
}

#[test]
fn long_bodies_arrive_whole_and_take_no_memory() {
    let row = Row::new("29", "long bodies both ways: whole, and at most 2 MiB more memory");
    let length = pick(64, 1024) * MIB;
    let expected = digest_of(length);
    let app = application::start();
    let (mut most, started) = (0.0_f64, Instant::now());
    for (spec, content_type) in [
        ("{mode: Block}", "application/octet-stream"),
        ("{mode: Monitor}", "application/x-www-form-urlencoded"),
        ("{mode: \"Off\"}", "application/json"),
    ] {
        let gateway = gateway(app, Some(spec), &[]);
        // A short one of each kind first: what a process takes once is not what a body takes.
        upload(gateway.address, content_type, MIB);
        download(gateway.address, &format!("/bytes/{MIB}"));
        let before = usage(gateway.pid()).rss_kib;
        let sampler = Sampler::start(gateway.pid(), Duration::from_millis(5));
        assert_eq!(upload(gateway.address, content_type, length), expected, "{spec} up");
        assert_eq!(download(gateway.address, &format!("/bytes/{length}")), expected, "{spec} down");
        let grown = sampler.finish().peak_kib - before;
        assert!(grown < 4096.0, "{spec}: {grown} KiB more");
        most = most.max(grown);
    }
    let bytes = f64::from(u32::try_from(length * 2 / MIB).unwrap());
    let rate = 3.0 * bytes / started.elapsed().as_secs_f64();
    let started = Instant::now();
    assert_eq!(
        (upload(app, "image/png", length), download(app, &format!("/bytes/{length}"))),
        (expected.clone(), expected)
    );
    let direct = bytes / started.elapsed().as_secs_f64();
    // A debug build on a shared machine: the share of the direct rate is told, not judged.
    let measured = format!(
        "{} MiB each way, {most:.0} KiB more at most, {rate:.0} MiB/s of {direct:.0} direct",
        length / MIB
    );
    row.judged(most <= 2048.0, &measured, None);
}

#[test]
fn long_bodies_fit_through_a_container_of_32_mib() {
    let row = Row::new("29", "long bodies through a container of 32 MiB: no kill");
    let cage = match Cage::default().memory(32 << 20) {
        Ok(cage) => cage,
        Err(why) => return row.skipped(&why),
    };
    let length = pick(48, 1024) * MIB;
    let expected = digest_of(length);
    let gateway = cage.gateway(application::start(), None, &[]);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(upload(gateway.address, "image/png", length), expected));
            scope.spawn(|| assert_eq!(download(gateway.address, &format!("/bytes/{length}")), expected));
        }
    });
    assert_eq!(cage.killed(), 0);
    let peak = cage.peak_bytes() >> 20;
    drop(gateway);
    row.kept(&format!("8 at once of {} MiB, peak of the group {peak} MiB", length / MIB), None);
}
