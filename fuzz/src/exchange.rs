//! A whole connection through a gateway in this process: what the application gets is requests without ambiguity, and
//! what the client gets is responses.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use clap::Parser as _;
use rasp_proxy::cli::{Cli, Command};
use rasp_proxy::connection::protocol::{Protocol, tell_last};
use rasp_proxy::gateway;
use socket2::SockRef;

use super::{pieces, reader};

static ARRIVED: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// The gateway, started with the first input.
fn address() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| {
        let application = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream = application.local_addr().unwrap().to_string();
        thread::spawn(move || {
            application.incoming().flatten().for_each(|stream| drop(thread::spawn(|| answer(stream))));
        });
        let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        thread::spawn(move || {
            // Declared, so that nothing is ever relayed as it is.
            let arguments = [
                "rasp-proxy",
                "gateway",
                "--protocol",
                "http1",
                "--listen",
                &listen.to_string(),
                "--upstream",
                &upstream,
            ];
            let Command::Gateway(flags) = Cli::parse_from(arguments).command else { return };
            gateway::run((*flags).try_into().unwrap()).unwrap();
        });
        while TcpStream::connect(listen).is_err() {
            thread::sleep(Duration::from_millis(5));
        }
        listen
    })
}

/// Records, answers every empty line, and ends when the proxy does.
fn answer(mut stream: TcpStream) {
    let (mut recorded, mut buffer, mut answered) = (Vec::new(), [0; 16 << 10], 0);
    while let Ok(read) = stream.read(&mut buffer) {
        if read == 0 {
            break;
        }
        recorded.extend_from_slice(&buffer[..read]);
        if tell_last(&recorded) == Protocol::Http1 {
            // What is no request is told by `run`.
            let read = std::panic::catch_unwind(|| reader::requests(&recorded));
            let Ok(read) = read else { break };
            let whole = read.iter().filter(|request| request.whole).count();
            for _ in answered..whole {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
            answered = whole;
        }
    }
    ARRIVED.lock().unwrap().push(recorded);
}

/// The first four bytes say where the rest is cut.
pub fn run(data: &[u8]) {
    let mut client = TcpStream::connect(address()).unwrap();
    client.set_nodelay(true).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    ARRIVED.lock().unwrap().clear();
    for piece in pieces(data) {
        if client.write_all(piece).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    if let Err(error) = client.read_to_end(&mut answer) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "no end: {}", answer.escape_ascii());
    }
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{}", answer.escape_ascii());
    let _ = SockRef::from(&client).set_linger(Some(Duration::ZERO)); // or the ports run out
    drop(client);
    for recorded in ARRIVED.lock().unwrap().drain(..) {
        for request in reader::requests(&recorded) {
            // HTTP/1.0 knows no host.
            let named = request.hosts == 1 || (request.hosts == 0 && request.old);
            assert!(named, "{}", recorded.escape_ascii());
        }
    }
}
