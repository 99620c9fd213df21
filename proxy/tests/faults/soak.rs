//! Row 40: everything at once for a long time. Memory and files stay, and no verdict is ever wrong.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use socket2::SockRef;

use super::application::{Process, digest_of, pattern};
use super::cage::{gateway, usage};
use super::client::{get, post};
use super::gateway::{Gateway, document};
use super::row::{Row, Sampler, soak};

const POLICIES: [&str; 2] = ["{mode: Block}", "{mode: Block, response: {status: 418, body: teapot}}"];
/// More would be a leak. What is served at a moment differs by some MiB and a hundred files, which a line through a few
/// minutes takes for a slope: only one through many says something.
const KIB_PER_MINUTE: f64 = 150.0;
const FILES_PER_MINUTE: f64 = 2.0;
const LONG: Duration = Duration::from_secs(600);
const MOST_KIB: f64 = 16.0 * 1024.0;

/// What all clients know.
struct Soak {
    address: SocketAddr,
    ended: AtomicBool,
    /// The application is down, or was a moment ago: its connections break.
    disturbed: AtomicBool,
    done: AtomicUsize,
    excused: AtomicUsize,
}

/// A connection that may break.
struct Connection {
    stream: TcpStream,
    ahead: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_write_timeout(Some(Duration::from_secs(30)))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, ahead: Vec::new() })
    }

    /// Status and body of an answer with a length; whether the connection ends with it.
    fn answer(&mut self) -> io::Result<(u16, Vec<u8>, bool)> {
        let mut buffer = vec![0; 64 << 10];
        let mut head = None;
        loop {
            if head.is_none()
                && let Some(end) = self.ahead.windows(4).position(|window| window == b"\r\n\r\n")
            {
                let text = String::from_utf8_lossy(&self.ahead[..end]).to_lowercase();
                let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
                head = Some((text, end + 4, end + 4 + length));
            }
            if let Some((text, start, end)) = &head
                && self.ahead.len() >= *end
            {
                let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
                let answer = (status, self.ahead[*start..*end].to_vec(), text.contains("connection: close"));
                self.ahead.drain(..*end);
                return Ok(answer);
            }
            match self.stream.read(&mut buffer)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                read => self.ahead.extend_from_slice(&buffer[..read]),
            }
        }
    }
}

impl Soak {
    /// Asks over and over on connections that are kept, and judges every answer.
    fn client(
        &self,
        pause: Duration,
        request: impl Fn(usize) -> Vec<u8>,
        right: impl Fn(usize, u16, &[u8]) -> bool,
    ) {
        let (mut connection, mut number) = (None, 0);
        while !self.ended.load(Ordering::Acquire) {
            let disturbed = self.disturbed.load(Ordering::Acquire);
            let kept = connection.take();
            let was_kept = kept.is_some();
            let asked = kept.map_or_else(|| Connection::open(self.address), Ok).and_then(|mut open| {
                open.stream.write_all(&request(number))?;
                let (status, body, close) = open.answer()?;
                if !close {
                    connection = Some(open);
                }
                Ok((status, body))
            });
            let disturbed = disturbed || self.disturbed.load(Ordering::Acquire);
            match asked {
                Ok((status, body)) if right(number, status, &body) => {
                    self.done.fetch_add(1, Ordering::AcqRel);
                }
                Ok((502 | 504, _)) | Err(_) if disturbed => {
                    self.excused.fetch_add(1, Ordering::AcqRel);
                }
                // Whoever keeps a connection must expect its end between two requests.
                Err(error) if was_kept && error.kind() != ErrorKind::WouldBlock => {
                    self.excused.fetch_add(1, Ordering::AcqRel);
                }
                Ok((status, body)) => {
                    self.ended.store(true, Ordering::Release);
                    panic!(
                        "{status} {:?} to {:?}",
                        body.get(..200).unwrap_or(&body).escape_ascii().to_string(),
                        String::from_utf8_lossy(&request(number)).chars().take(200).collect::<String>()
                    );
                }
                Err(error) => {
                    self.ended.store(true, Ordering::Release);
                    panic!("{error}");
                }
            }
            number += 1;
            thread::sleep(pause);
        }
    }

    /// Clients that leave: in the middle of a head, of a body, of an answer; in order and by reset.
    fn leaving(&self) {
        let mut number = 0;
        while !self.ended.load(Ordering::Acquire) {
            let begun = match number % 5 {
                0 => "GE".to_owned(),
                1 => "GET / HTTP/1.1\r\nHost: app\r\nX-A: ".to_owned(),
                2 => post("application/json", &"[".repeat(100_000))[..50_000].to_owned(),
                3 => get("/bytes/10000000"),
                _ => get("/sleep/5000"),
            };
            if let Ok(mut stream) = TcpStream::connect(self.address) {
                let _ = stream.write_all(begun.as_bytes());
                thread::sleep(Duration::from_millis(3));
                if number % 2 == 0 {
                    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                }
            }
            number += 1;
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Clients that say little, and never enough.
    fn slow(&self) {
        let mut crowd: Vec<TcpStream> = Vec::new();
        while !self.ended.load(Ordering::Acquire) {
            if crowd.len() < 50
                && let Ok(stream) = TcpStream::connect(self.address)
            {
                crowd.push(stream);
            }
            crowd.retain_mut(|stream| stream.write_all(b"GET / HTTP/1.1\r\nHost: app\r\nX: y\r\n").is_ok());
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// The application dies and comes back; the policy changes in between.
    fn disturb(&self, gateway: &Gateway, mut app: Process, time: Duration) {
        let (started, mut swaps) = (Instant::now(), 0);
        let pause = (time / 20).min(Duration::from_secs(15));
        while started.elapsed() < time && !self.ended.load(Ordering::Acquire) {
            swaps += 1;
            gateway.change_policy(&document(POLICIES[swaps % 2]));
            thread::sleep(pause);
            self.disturbed.store(true, Ordering::Release);
            thread::sleep(Duration::from_millis(20));
            app.signal(Signal::KILL);
            let address = app.address;
            drop(app);
            thread::sleep(Duration::from_millis(200));
            app = Process::on(address);
            thread::sleep(Duration::from_millis(300));
            self.disturbed.store(false, Ordering::Release);
        }
        self.ended.store(true, Ordering::Release);
    }
}

#[test]
fn everything_at_once_for_a_long_time_leaks_nothing_and_judges_right() {
    let row = Row::new(
        "40",
        "mixed load, aborts, slow clients, policy churn and restarts of the application: no leak, no wrong verdict",
    );
    let app = Process::start();
    let gateway = gateway(app.address, Some(POLICIES[0]), &[]);
    let time = soak().unwrap_or(Duration::from_secs(5));
    let soaking = Soak {
        address: gateway.address,
        ended: AtomicBool::new(false),
        disturbed: AtomicBool::new(false),
        done: AtomicUsize::new(0),
        excused: AtomicUsize::new(0),
    };
    let before = usage(gateway.pid());
    let sampler = Sampler::start(gateway.pid(), Duration::from_millis(500));
    let (small, large) = (pattern()[..2000].to_vec(), digest_of(1 << 20));
    let long = &pattern().repeat(32);
    let upload = {
        let head = "POST /digest HTTP/1.1\r\nHost: app\r\nContent-Type: image/png\r\nContent-Length: 1048576\r\n\r\n";
        [head.as_bytes(), &pattern().repeat(16)].concat()
    };
    let blocked = |status: u16, body: &[u8]| match status {
        403 => true,
        418 => body == b"teapot",
        _ => false,
    };
    let pause = Duration::from_millis;
    thread::scope(|scope| {
        let soaking = &soaking;
        for _ in 0..3 {
            scope.spawn(|| {
                soaking.client(
                    pause(5),
                    |_| get("/bytes/2000?a=b").into(),
                    |_, status, body| status == 200 && body == small,
                );
            });
        }
        scope.spawn(|| {
            soaking.client(
                pause(50),
                |_| upload.clone(),
                |_, status, body| status == 200 && body == large.as_bytes(),
            );
        });
        scope.spawn(|| {
            let right = |_: usize, status: u16, body: &[u8]| status == 200 && body == *long;
            soaking.client(pause(50), |_| get("/bytes/2097152").into(), right);
        });
        scope.spawn(|| {
            let attack = |number: usize| match number % 3 {
                0 => get("/?q=1%27%20OR%20%271%27=%271"),
                1 => post("application/x-www-form-urlencoded", "id=1%27+UNION+SELECT+password+FROM+users--"),
                _ => post("application/json", r#"{"id":"1' UNION SELECT password FROM users--"}"#),
            };
            soaking.client(pause(5), |number| attack(number).into(), |_, status, body| blocked(status, body));
        });
        scope.spawn(|| {
            let fine = |_: usize| {
                post("application/json", r#"{"name":"O'Brien","note":"select a plan or union"}"#).into()
            };
            soaking.client(pause(5), fine, |_, status, _| status == 200);
        });
        scope.spawn(|| soaking.leaving());
        scope.spawn(|| soaking.slow());
        soaking.disturb(&gateway, app, time);
    });
    let trend = sampler.finish();
    let after = usage(gateway.pid());
    assert!(trend.peak_kib - before.rss_kib < MOST_KIB, "{trend:?}");
    if time >= LONG {
        assert!(trend.rss_kib_per_minute < KIB_PER_MINUTE, "{trend:?}");
        assert!(trend.files_per_minute < FILES_PER_MINUTE, "{trend:?}");
    }
    let measured = format!(
        "{time:.0?}: {} right, {} excused, RSS {:.1} to {:.1} MiB",
        soaking.done.into_inner(),
        soaking.excused.into_inner(),
        before.rss_kib / 1024.0,
        after.rss_kib / 1024.0
    );
    row.kept(&measured, Some(&trend));
}
