//! Every vector against the real proxy, in Block and Monitor, whole and in pieces, and what must hold for each:
//! what reached the application is exactly what was forwarded, for three parsers; a refusal is one answer, one event
//! and not one byte; and afterwards everything is as before.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use base64::Engine as _;
use rasp_proxy::guard::Limits;
use rasp_proxy::guard::request::{Requests, Step};

use super::client::{ask, get};
use super::gateway::Gateway;
use super::upstream::{OK, Upstream};

#[path = "vectors/strict.rs"]
mod strict;
#[path = "vectors/table.rs"]
mod table;

use strict::Received;
use table::{Expect, FAMILIES, Vector};

/// Memory that a message may cost, per byte that the client sent, and what any may cost.
const AMPLIFICATION: u64 = 100;
const FLOOR_KIB: u64 = 2048;
/// Processor time that a message may cost, per byte that the client sent, and what any may cost. A debug build takes a
/// hundredth of it: what is over does more than look at every byte a few times.
const CPU_PER_BYTE: Duration = Duration::from_micros(10);
const CPU_FLOOR: Duration = Duration::from_millis(200);

/// How a client sends.
#[derive(Clone, Copy, Debug)]
enum Sent {
    Whole,
    InPieces,
}

/// A proxy and its application under test.
struct Bench {
    upstream: Upstream,
    gateway: Gateway,
    refused: usize,
    begun: usize,
    most_cpu: Duration,
}

/// What became of one vector.
struct Outcome {
    answer: Vec<u8>,
    raw: Vec<u8>,
    received: Received,
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (answer, raw) = (self.answer.escape_ascii(), self.raw.escape_ascii());
        write!(formatter, "answered {answer:.300} received {raw:.600}")
    }
}

impl Outcome {
    fn status(&self) -> Option<u16> {
        let text = String::from_utf8_lossy(&self.answer);
        // A 100 says only that the client may go on.
        text.split("HTTP/1.").skip(1).map(|part| part[2..5].parse().unwrap()).find(|status| *status != 100)
    }

    fn is_refused(&self) -> bool {
        self.received.requests.is_empty() && self.received.partial.is_empty()
    }
}

impl Bench {
    fn start(spec: &str) -> Self {
        let upstream = Upstream::start(|conversation| {
            loop {
                conversation.request()?;
                conversation.write(OK)?;
            }
        });
        let gateway = Gateway::with(upstream.address, spec);
        Self { upstream, gateway, refused: 0, begun: 0, most_cpu: Duration::ZERO }
    }

    /// Sends bytes on a connection of their own and waits for its end.
    fn send(&self, bytes: &[u8], sent: Sent) -> Outcome {
        let before = self.upstream.connections();
        let mut stream = TcpStream::connect(self.gateway.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut reader = stream.try_clone().unwrap();
        let answer = std::thread::spawn(move || {
            let mut answer = Vec::new();
            let _ = reader.read_to_end(&mut answer); // a reset ends it as well
            answer
        });
        let size = match sent {
            Sent::Whole => bytes.len().max(1),
            Sent::InPieces if bytes.len() < 400 => 1,
            Sent::InPieces => bytes.len().div_ceil(24),
        };
        for piece in bytes.chunks(size) {
            if stream.write_all(piece).is_err() {
                break; // refused already
            }
        }
        let _ = stream.shutdown(Shutdown::Write);
        let answer = answer.join().unwrap();
        let raw = self.upstream.since(before);
        Outcome { answer, received: strict::read(&raw), raw }
    }

    /// Runs one vector and asserts everything that must hold for every one.
    fn run(&mut self, vector: &Vector, sent: Sent) {
        let bytes = table::bytes(vector.bytes);
        self.gateway.forget_peak_memory();
        let (before, cpu) = (self.gateway.peak_memory(), self.gateway.cpu());
        let outcome = self.send(&bytes, sent);
        let cpu = self.gateway.cpu().saturating_sub(cpu);
        let what = format!("{} {sent:?}: {outcome:?}", vector.id);
        let Received { requests, partial } = &outcome.received;
        let in_chunks = vector.id.starts_with("chu") && matches!(sent, Sent::InPieces);
        self.begun += usize::from(in_chunks || matches!(vector.expect, Expect::Aborted));
        match &vector.expect {
            Expect::Refused(status) => {
                assert_eq!(outcome.status(), Some(*status), "{what}");
                assert!(requests.is_empty() && (partial.is_empty() || in_chunks), "{what}");
                self.is_one_refusal(&outcome, &what);
            }
            Expect::Passed(count, has, lacks) => {
                assert_eq!((requests.len(), partial.len()), (*count, 0), "{what}");
                assert_eq!(outcome.status(), Some(200), "{what}");
                // A body may come to the application in other chunks than the client's.
                let bodies = requests.iter().flat_map(|request| request.body.iter().copied());
                let all: Vec<u8> = outcome.raw.iter().copied().chain(bodies).collect();
                let text = String::from_utf8_lossy(&all);
                assert!(has.iter().all(|needle| text.contains(needle)), "{text} {what}");
                assert!(!lacks.iter().any(|needle| text.contains(needle)), "{text} {what}");
            }
            Expect::Aborted => assert!(requests.is_empty(), "{what}"),
        }
        let grown = self.gateway.peak_memory().saturating_sub(before);
        let allowed = FLOOR_KIB.max(bytes.len() as u64 * AMPLIFICATION / 1024);
        assert!(grown <= allowed, "{grown} KiB for {} bytes; {what}", bytes.len());
        let allowed = CPU_FLOOR + CPU_PER_BYTE * u32::try_from(bytes.len()).unwrap();
        assert!(cpu <= allowed, "{cpu:?} of processor time for {} bytes; {what}", bytes.len());
        self.most_cpu = self.most_cpu.max(cpu);
        let next = ask(self.gateway.address, get("/next"));
        assert_eq!(next.status(), 200, "the next client is served after {what}");
    }

    /// One answer, which says that the connection ends, and one event with the same id.
    fn is_one_refusal(&mut self, outcome: &Outcome, what: &str) {
        self.refused += 1;
        let answer = String::from_utf8_lossy(&outcome.answer).to_lowercase();
        assert!(answer.contains("\r\nconnection: close\r\n"), "{what}");
        assert!(answer.contains("\r\ncontent-type: application/problem+json\r\n"), "{what}");
        let id = answer.split("\r\nx-request-id: ").nth(1).unwrap().split("\r\n").next().unwrap().to_owned();
        let events = self.refusals(self.refused);
        assert_eq!(events.len(), self.refused, "one event each; {what}");
        let event = events.last().unwrap();
        assert_eq!(event["unmapped"]["request_id"], id, "{what}");
        let rule = event["unmapped"]["rule"].as_str().unwrap();
        assert!(rasp_proxy::reason::Malformed::ALL.iter().any(|reason| reason.id() == rule), "{event}");
        assert!(event.to_string().len() < 2048, "{event}");
    }

    /// Events of refusals, once there are so many. A vector that passes may make an event of another kind.
    fn refusals(&self, count: usize) -> Vec<serde_json::Value> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let mut events = self.gateway.events(0);
            events.retain(|event| {
                event["unmapped"]["rule"].as_str().unwrap().starts_with("request_")
                    && event["disposition"] == "Blocked"
            });
            if events.len() >= count || Instant::now() > deadline {
                return events;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred")]
    fn forwarded(&self) -> usize {
        let verdict = |verdict| self.gateway.metric("rasp_requests_total", &[verdict]) as usize;
        verdict("allow") + verdict("would_block")
    }
}

fn run_all(spec: &str, sent: Sent) {
    let mut bench = Bench::start(spec);
    let mut failed = Vec::new();
    for round in 0..2 {
        for (family, vectors) in FAMILIES {
            let (files, memory) = (bench.gateway.open_files(), bench.gateway.memory());
            for vector in vectors {
                if catch_unwind(AssertUnwindSafe(|| bench.run(vector, sent))).is_err() {
                    failed.push(vector.id); // what is wrong was printed
                    bench.refused = bench.refusals(0).len();
                }
            }
            if round == 1 {
                bench.gateway.wait_for_files(files);
                let grown = bench.gateway.memory().saturating_sub(memory);
                assert!(grown <= 1024, "{family}: {grown} KiB stay");
            }
        }
        if matches!(sent, Sent::InPieces) {
            break; // pieces are for the guard, not for memory
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
    assert!(bench.most_cpu > Duration::ZERO, "nobody counts processor time");
    println!("{spec} {sent:?}: {:?} of processor time at most", bench.most_cpu);
    let received = bench.upstream.all().iter().map(|bytes| strict::read(bytes).requests.len()).sum::<usize>();
    // Monitor counts a request when it passes its head on, and some of these break off after that.
    let begun = if spec.contains("Block") { 0 } else { bench.begun };
    let counted = bench.forwarded();
    assert!((received..=received + begun).contains(&counted), "counted {counted}, received {received}");
    assert_eq!(bench.refusals(bench.refused).len(), bench.refused);
}

#[test]
fn vectors_in_block_whole() {
    run_all("{mode: Block}", Sent::Whole);
}

#[test]
fn vectors_in_block_in_pieces() {
    run_all("{mode: Block}", Sent::InPieces);
}

#[test]
fn vectors_in_monitor_whole() {
    run_all("{mode: Monitor}", Sent::Whole);
}

#[test]
fn vectors_in_monitor_in_pieces() {
    run_all("{mode: Monitor}", Sent::InPieces);
}

#[test]
fn there_are_enough_vectors_and_no_id_twice() {
    let ids: Vec<&str> =
        FAMILIES.iter().flat_map(|(_, vectors)| vectors.iter().map(|vector| vector.id)).collect();
    let unique: std::collections::BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), unique.len());
    assert!(ids.len() > 200, "{}", ids.len());
}

/// The guard alone, cut in two at every place.
#[test]
fn where_a_vector_is_cut_changes_nothing() {
    let feed = |bytes: &[u8], cut: usize| {
        let (mut guard, mut done, mut on, mut heads) = (Requests::new(Limits::default()), 0, Vec::new(), 0);
        for end in [cut, bytes.len()] {
            loop {
                match guard.look(&bytes[done..end]) {
                    Step::More => break,
                    Step::Drop(length) => done += length,
                    Step::Pass(length, head) => {
                        heads += usize::from(head.is_some());
                        on.extend_from_slice(&bytes[done..done + length]);
                        done += length;
                    }
                    Step::Refuse(refusal) => return Err(refusal.reason),
                }
            }
        }
        Ok((on, heads))
    };
    for vector in FAMILIES.iter().flat_map(|(_, vectors)| vectors.iter()) {
        let bytes = table::bytes(vector.bytes);
        let whole = feed(&bytes, bytes.len());
        match (&vector.expect, &whole) {
            (Expect::Refused(status), Err(reason)) => assert_eq!(reason.status(), *status, "{}", vector.id),
            (Expect::Passed(count, ..), Ok((_, heads))) => assert_eq!(heads, count, "{}", vector.id),
            (Expect::Aborted, Ok(_)) => {}
            (_, told) => panic!("{}: {told:?}", vector.id),
        }
        let step = (bytes.len() / 500).max(1);
        for cut in (0..bytes.len()).step_by(step) {
            assert_eq!(feed(&bytes, cut), whole, "{} at {cut}", vector.id);
        }
    }
}

/// What a file of vectors says must become of one.
struct Foreign {
    id: String,
    bytes: Vec<u8>,
    expected: String,
}

fn foreign() -> Option<Vec<Foreign>> {
    let text = std::fs::read_to_string(std::env::var_os("RASP_VECTORS")?).unwrap();
    let vectors: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let read = |vector: &serde_json::Value| {
        let text = |name: &str| vector[name].as_str().unwrap().to_owned();
        let bytes = base64::engine::general_purpose::STANDARD.decode(text("bytes_b64")).unwrap();
        Foreign { id: text("id"), bytes, expected: text("expected") }
    };
    Some(vectors.iter().map(read).collect())
}

/// `R` must be refused, `C` must pass in canonical form; where the text allows both, both will do.
#[test]
fn vectors_of_a_file_of_others() {
    let Some(vectors) = foreign() else { return };
    for spec in ["{mode: Block}", "{mode: Monitor}"] {
        let mut families = BTreeMap::<String, [usize; 6]>::new();
        let mut wrong = Vec::new();
        let bench = Bench::start(spec);
        for vector in &vectors {
            let outcome = bench.send(&vector.bytes, Sent::Whole);
            let (status, expected) = (outcome.status(), &vector.expected);
            let lenient = expected.contains(" or ") || expected.contains("if <=");
            let must_refuse = expected.starts_with("R ") && !lenient;
            let must_pass = expected.starts_with('C') && !lenient;
            let family =
                families.entry(vector.id.split('-').next().unwrap_or_default().to_owned()).or_default();
            family[0] += 1;
            let became = if outcome.is_refused() {
                1
            } else if outcome.received.requests.is_empty() {
                2
            } else {
                3 + usize::from(expected.starts_with('C'))
            };
            family[became] += 1;
            let told = status.is_some_and(|status| expected.contains(&status.to_string())) || lenient;
            let holds = match became {
                1 => !must_pass && (told || !must_refuse),
                2 => !must_refuse && !must_pass,
                _ => !must_refuse,
            };
            if !holds {
                family[5] += 1;
                wrong.push(format!(
                    "{} expected {expected}, was {status:?} {:?}",
                    vector.id, outcome.received
                ));
            }
            assert_eq!(ask(bench.gateway.address, get("/next")).status(), 200, "after {}", vector.id);
        }
        println!(
            "\n{spec}\n{:8}{:>8}{:>9}{:>8}{:>11}{:>11}{:>7}",
            "family", "vectors", "refused", "partly", "forwarded", "canonical", "wrong"
        );
        for (family, [all, refused, partly, forwarded, canonical, wrong]) in &families {
            println!("{family:8}{all:>8}{refused:>9}{partly:>8}{forwarded:>11}{canonical:>11}{wrong:>7}");
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

impl Gateway {
    /// Processor time of all its threads, in nanoseconds by the scheduler.
    fn cpu(&self) -> Duration {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let spent = threads.filter_map(|thread| {
            let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(spent.sum())
    }

    /// Waits until the number of open files is what it was.
    fn wait_for_files(&self, expected: usize) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.open_files() > expected {
            assert!(Instant::now() < deadline, "{} files are open, {expected} were", self.open_files());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
