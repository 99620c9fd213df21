//! Writes what was measured: JSON for programs, markdown for people.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::contender::Kind;
use crate::rate;

/// Everything of one run.
#[derive(Debug, Serialize)]
pub struct Results {
    /// Where.
    pub machine: Machine,
    /// Scenarios.
    pub rows: Vec<Row>,
    /// At a fixed rate.
    pub rate: Vec<Rate>,
}

/// What the numbers depend on.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// Seconds since the epoch.
    pub time: u64,
    /// `git describe` of what was measured.
    pub revision: String,
    /// Model of the processor.
    pub processor: String,
    /// Cores.
    pub cores: usize,
    /// Release of the kernel.
    pub kernel: String,
    /// Processes that wanted a core in the minute before.
    pub load: String,
    /// Versions of the contenders that are not of this repository.
    pub versions: Vec<String>,
}

/// One scenario.
#[derive(Debug, Serialize)]
pub struct Row {
    /// In words.
    pub scenario: &'static str,
    /// CPU of `rasp` at most, in multiples of `naive`.
    pub target: Option<f64>,
    /// Contenders.
    pub cells: Vec<Cell>,
}

/// One contender in one scenario. Medians over rounds.
#[derive(Debug, Serialize)]
pub struct Cell {
    /// Who.
    pub contender: &'static str,
    /// CPU of one request, user and system.
    pub cpu_micros: Option<f64>,
    /// The same in multiples of `naive`.
    pub ratio: Option<f64>,
    /// Requests a second.
    pub requests_per_second: f64,
    /// Half of the requests were faster.
    pub p50_micros: f64,
    /// One in a hundred was slower.
    pub p99_micros: f64,
    /// Resident memory after the last round.
    pub rss_kib: Option<u64>,
    /// System calls of one request, counted in a run of its own.
    pub syscalls: Option<f64>,
}

/// One contender at a fixed rate.
#[derive(Debug, Serialize)]
pub struct Rate {
    /// Who.
    pub contender: &'static str,
    /// Half of the requests were faster.
    pub p50_micros: f64,
    /// One in twenty was slower.
    pub p95_micros: f64,
    /// One in a hundred was slower.
    pub p99_micros: f64,
    /// More than without a proxy, median over rounds.
    pub added_p50_micros: Option<f64>,
    /// More than without a proxy, median over rounds.
    pub added_p95_percent: Option<f64>,
}

impl Machine {
    /// This one.
    pub fn here(kinds: &[Kind]) -> Self {
        let first = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().ok()?;
            let text = [output.stdout, output.stderr].concat();
            String::from_utf8_lossy(&text).lines().next().map(str::to_owned)
        };
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            time: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            revision: first("git", &["describe", "--always", "--dirty"]).unwrap_or_default(),
            processor: processor.map_or_else(String::new, |(_, model)| model.to_owned()),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            load: load.split(' ').next().unwrap_or_default().to_owned(),
            versions: kinds.iter().filter_map(|kind| first(kind.program()?, &["-v"])).collect(),
        }
    }
}

/// Writes `name.json` and `name.md` into a folder, and the latter to standard output.
pub fn write(folder: &Path, name: &str, results: &Results) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join(name).with_extension("json"), serde_json::to_vec_pretty(results)?)?;
    let text = markdown(results);
    fs::write(folder.join(name).with_extension("md"), &text)?;
    println!("{text}");
    Ok(())
}

fn markdown(results: &Results) -> String {
    let machine = &results.machine;
    let mut text = format!(
        "{}, {} cores, Linux {}, load {} before; revision {}; {}\n",
        machine.processor,
        machine.cores,
        machine.kernel,
        machine.load,
        machine.revision,
        machine.versions.join("; ")
    );
    if !results.rows.is_empty() {
        text.push_str("\n| scenario | contender | CPU us/request | x naive | target | requests/s | p50 us | p99 us | RSS MiB | syscalls/request |\n");
        text.push_str("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    }
    for row in &results.rows {
        for (index, cell) in row.cells.iter().enumerate() {
            let target = row.target.filter(|_| cell.contender == Kind::Rasp.name());
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {:.0} | {:.0} | {:.0} | {} | {} |",
                if index == 0 { row.scenario } else { "" },
                cell.contender,
                or_dash(cell.cpu_micros, 1),
                or_dash(cell.ratio, 2),
                target.map_or(String::new(), |target| verdict(target, cell.ratio)),
                cell.requests_per_second,
                cell.p50_micros,
                cell.p99_micros,
                cell.rss_kib.map_or("-".to_owned(), |kib| format!(
                    "{}.{}",
                    kib / 1024,
                    kib % 1024 * 10 / 1024
                )),
                or_dash(cell.syscalls, 1),
            );
        }
    }
    if !results.rate.is_empty() {
        let _ = write!(
            text,
            "\n{} requests a second, open loop, an application that works {:?}:\n\n\
             | contender | p50 us | p95 us | p99 us | added p50 us (target 150) | added p95 % (target 5) |\n|---|--:|--:|--:|--:|--:|\n",
            rate::RATE,
            rate::WORK
        );
    }
    for row in &results.rate {
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.0} | {:.0} | {} | {} |",
            row.contender,
            row.p50_micros,
            row.p95_micros,
            row.p99_micros,
            or_dash(row.added_p50_micros, 0),
            or_dash(row.added_p95_percent, 1)
        );
    }
    text
}

fn or_dash(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
}

fn verdict(target: f64, ratio: Option<f64>) -> String {
    match ratio {
        Some(ratio) if ratio <= target => format!("{target:.2}, met"),
        Some(_) => format!("{target:.2}, **missed**"),
        None => format!("{target:.2}"),
    }
}
