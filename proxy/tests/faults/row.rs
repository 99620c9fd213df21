//! A row of the fault list: its form (short or long), what it measured, and its line in the table of `make soak`.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::cage::usage;

/// How long a row of the long form takes; `None` in the short form.
pub fn soak() -> Option<Duration> {
    std::env::var("RASP_SOAK").ok().map(|time| humantime::parse_duration(&time).unwrap())
}

/// As many in `make test` as said first, in `make soak` as said last.
pub fn pick<T>(short: T, long: T) -> T {
    if soak().is_some() { long } else { short }
}

/// Whether something took longer than it may, on a machine that does nothing else. What others take of the processor at
/// this moment is measured before anybody is accused, and counts for nobody.
pub fn is_late(took: Duration, may: Duration) -> bool {
    took > may && took > may.mul_f64(slowness())
}

/// How many times longer work takes than this thread has the processor for it, from 1 to 20.
fn slowness() -> f64 {
    const WORK: Duration = Duration::from_millis(50);
    let cpu =
        || Duration::try_from(rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime)).unwrap();
    let (started, before) = (Instant::now(), cpu());
    while cpu().saturating_sub(before) < WORK {
        std::hint::spin_loop();
    }
    (started.elapsed().as_secs_f64() / WORK.as_secs_f64()).clamp(1.0, 20.0)
}

/// A promise that is being tested. Ends as kept, or as broken when the test fails.
pub struct Row {
    number: &'static str,
    promise: &'static str,
    kept: bool,
}

impl Row {
    pub fn new(number: &'static str, promise: &'static str) -> Self {
        Self { number, promise, kept: false }
    }

    pub fn kept(self, measured: &str, trend: Option<&Trend>) {
        self.judged(true, measured, trend);
    }

    /// A promise with a number that we may miss by less than what fails the test.
    pub fn judged(mut self, kept: bool, measured: &str, trend: Option<&Trend>) {
        self.kept = true;
        self.write(measured, trend, if kept { "kept" } else { "MISSED" });
    }

    /// What the test needs is not on this machine.
    pub fn skipped(mut self, why: &str) {
        self.kept = true;
        println!("skipped: {why}");
        self.write(why, None, "SKIPPED");
    }

    fn write(&self, measured: &str, trend: Option<&Trend>, verdict: &str) {
        let (rss, files) = trend.map_or((String::new(), String::new()), |trend| {
            (format!("{:+.1}", trend.rss_kib_per_minute), format!("{:+.2}", trend.files_per_minute))
        });
        let line =
            format!("| {} | {} | {measured} | {rss} | {files} | {verdict} |\n", self.number, self.promise);
        print!("{line}");
        if let Ok(table) = std::env::var("RASP_SOAK_TABLE") {
            let table = std::fs::OpenOptions::new().create(true).append(true).open(table);
            table.unwrap().write_all(line.as_bytes()).unwrap();
        }
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        if !self.kept {
            self.write("", None, "BROKEN");
        }
    }
}

/// How memory and file descriptors of a process went.
#[derive(Clone, Copy, Debug)]
pub struct Trend {
    pub rss_kib_per_minute: f64,
    pub files_per_minute: f64,
    pub peak_kib: f64,
}

/// Samples a process until `finish`.
pub struct Sampler {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(f64, f64, f64)>>,
}

impl Sampler {
    pub fn start(pid: u32, every: Duration) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            let (started, mut samples) = (Instant::now(), Vec::new());
            while !until.load(Ordering::Acquire) {
                let used = usage(pid);
                samples.push((started.elapsed().as_secs_f64() / 60.0, used.rss_kib, used.files));
                thread::sleep(every);
            }
            samples
        });
        Self { ended, thread }
    }

    /// The slopes by least squares, without the first fifth: a process grows while it warms up.
    pub fn finish(self) -> Trend {
        self.ended.store(true, Ordering::Release);
        let samples = self.thread.join().unwrap();
        let warm = samples.get(samples.len() / 5..).unwrap_or_default();
        let points = |value: fn(&(f64, f64, f64)) -> f64| {
            warm.iter().map(|sample| (sample.0, value(sample))).collect::<Vec<_>>()
        };
        Trend {
            rss_kib_per_minute: slope(&points(|sample| sample.1)),
            files_per_minute: slope(&points(|sample| sample.2)),
            peak_kib: samples.iter().map(|sample| sample.1).fold(0.0, f64::max),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand samples")]
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |value: fn(&(f64, f64)) -> f64| points.iter().map(value).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let variance: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    if variance > 0.0 { covariance / variance } else { 0.0 }
}

#[test]
fn what_others_take_of_the_processor_makes_nobody_late() {
    assert!((1.0..=20.0).contains(&slowness()));
    assert!(!is_late(Duration::from_secs(1), Duration::from_secs(1)));
    assert!(is_late(Duration::from_secs(21), Duration::from_secs(1)));
}

#[test]
fn the_slope_of_a_line_is_found() {
    let points: Vec<_> = (0..100_i32).map(|x| (f64::from(x), 7.0 + 3.0 * f64::from(x))).collect();
    assert!((slope(&points) - 3.0).abs() < 1e-9);
    assert!(slope(&[(1.0, 5.0)]).abs() < 1e-9);
}
