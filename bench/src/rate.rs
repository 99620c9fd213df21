//! What is added to the time of a request at a rate that nobody is pressed by: 1,000 requests a second against an
//! application that works 5 ms.
//!
//! Open loop: requests leave when they are due, whatever became of the ones before, and their time counts from when they
//! were due. A thread for each connection, since timers of a runtime have the resolution of a millisecond.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::load::content_length;

/// How long the application works.
pub const WORK: Duration = Duration::from_millis(5);
/// Requests a second.
pub const RATE: u32 = 1_000;
/// A connection has a request on its way for 5 of 32 ms.
const CONNECTIONS: u32 = 32;

/// Nanoseconds of each request.
pub fn run(address: SocketAddr, request: &[u8], time: Duration) -> anyhow::Result<Vec<u64>> {
    let between = Duration::from_secs(1) / RATE;
    let turns = u32::try_from(time.as_micros() / (between * CONNECTIONS).as_micros()).unwrap_or(u32::MAX);
    let start = Instant::now() + Duration::from_millis(50);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|client| {
                scope.spawn(move || {
                    self::client(address, request, start + between * client, between * CONNECTIONS, turns)
                })
            })
            .collect();
        let mut all = Vec::new();
        for client in clients {
            all.extend(client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??);
        }
        Ok(all)
    })
}

fn client(
    address: SocketAddr,
    request: &[u8],
    start: Instant,
    interval: Duration,
    turns: u32,
) -> anyhow::Result<Vec<u64>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let (mut buffer, mut latencies) = ([0; 8192], Vec::new());
    for turn in 0..=turns {
        let due = start + interval * turn;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        stream.write_all(request)?;
        let mut filled = 0;
        loop {
            let read = stream.read(&mut buffer[filled..])?;
            anyhow::ensure!(read > 0, "closed without an answer");
            filled += read;
            if let Some(end) = memchr::memmem::find(&buffer[..filled], b"\r\n\r\n")
                && filled >= end + 4 + content_length(&buffer[..end + 2])?
            {
                break;
            }
        }
        anyhow::ensure!(buffer.starts_with(b"HTTP/1.1 200 "), "not 200");
        // The first one dials.
        if turn > 0 {
            latencies.push(u64::try_from(due.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
    }
    Ok(latencies)
}
