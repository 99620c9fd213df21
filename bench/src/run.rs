//! Takes turns: every scenario, round after round, every contender once in each round.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;

use crate::application;
use crate::contender::{Contender, Kind};
use crate::load::{Expected, Load};
use crate::rate;
use crate::scenario::{self, Scenario};
use crate::table::{Cell, Machine, Rate, Results, Row};
use crate::{Flags, table};

/// Everybody, every scenario.
pub fn all(flags: &Flags) -> anyhow::Result<()> {
    let wanted =
        |kind: &Kind| flags.against.is_empty() || flags.against.iter().any(|name| name == kind.name());
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(wanted).filter(|kind| is_there(*kind)).collect();
    let proxy = proxy(flags)?;
    let machine = Machine::here(&kinds);
    let application = application::start()?;
    let mut rows = Vec::new();
    for scenario in scenario::all().into_iter().filter(|scenario| flags.wants(scenario.name)) {
        rows.push(row(&Setup { flags, proxy: &proxy, application, kinds: &kinds }, &scenario)?);
    }
    let rate = if flags.wants("rate") { self::rate(flags, &proxy, &kinds)? } else { Vec::new() };
    table::write(&flags.out, "latest", &Results { machine, rows, rate })
}

/// The naive proxy against itself with a pool.
pub fn pooling(flags: &Flags) -> anyhow::Result<()> {
    let kinds = [Kind::Naive, Kind::NaivePooled];
    let proxy = PathBuf::new();
    let (machine, application) = (Machine::here(&kinds), application::start()?);
    let mut rows = Vec::new();
    let wanted = |scenario: &Scenario| {
        scenario.name.starts_with("GET /") && scenario.target.is_none() && !scenario.is_http2()
    };
    for mut scenario in scenario::all().into_iter().filter(wanted) {
        scenario.target = None;
        rows.push(row(&Setup { flags, proxy: &proxy, application, kinds: &kinds }, &scenario)?);
    }
    table::write(&flags.out, "pooling", &Results { machine, rows, rate: Vec::new() })
}

fn is_there(kind: Kind) -> bool {
    let Some(program) = kind.program() else { return true };
    let found = Command::new(program).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        eprintln!(
            "{program} is not installed (apt-get install --no-install-recommends {program}); its rows stay empty"
        );
    }
    found
}

/// The proxy that is judged lies beside this program.
fn proxy(flags: &Flags) -> anyhow::Result<PathBuf> {
    let path = match &flags.proxy {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("rasp-proxy"),
    };
    path.canonicalize().with_context(|| format!("{}: build it first, or use `make bench`", path.display()))
}

struct Setup<'a> {
    flags: &'a Flags,
    proxy: &'a std::path::Path,
    application: SocketAddr,
    kinds: &'a [Kind],
}

/// A contender at work and what was measured of it.
struct Turn {
    contender: Contender,
    load: Load,
    cpu: Vec<f64>,
    rate: Vec<f64>,
    latencies: Vec<u64>,
}

fn row(setup: &Setup, scenario: &Scenario) -> anyhow::Result<Row> {
    eprintln!("{}", scenario.name);
    let mut turns = Vec::new();
    for kind in setup.kinds {
        match open(setup, scenario, *kind) {
            Ok(turn) => turns.push(turn),
            Err(error) => eprintln!("  {kind}: left out: {error:#}"),
        }
    }
    let (rounds, time) = setup.flags.rounds();
    for round in 0..rounds {
        for index in 0..turns.len() {
            // Nobody always comes after the same one.
            let index = (index + round) % turns.len();
            turn(&mut turns[index], time, round > 0)?;
        }
    }
    let naive = turns.iter().find(|turn| turn.contender.kind == Kind::Naive).map(|turn| turn.cpu.clone());
    let mut cells = Vec::new();
    for turn in turns {
        cells.push(cell(turn, naive.as_deref())?);
    }
    Ok(Row { scenario: scenario.name, target: scenario.target, cells })
}

fn open(setup: &Setup, scenario: &Scenario, kind: Kind) -> anyhow::Result<Turn> {
    let contender = Contender::start(kind, setup.application, setup.proxy, scenario.is_http2())?;
    let expected = if scenario.refused && kind == Kind::Rasp {
        Expected { status: 403, body: None }
    } else {
        Expected { status: 200, body: Some(Bytes::from(application::page())) }
    };
    let load = Load::open(scenario, contender.address, expected)?;
    Ok(Turn { contender, load, cpu: Vec::new(), rate: Vec::new(), latencies: Vec::new() })
}

#[expect(clippy::cast_precision_loss, reason = "a measurement has no 15 digits")]
fn turn(turn: &mut Turn, time: Duration, counts: bool) -> anyhow::Result<()> {
    let usage = turn.contender.usage();
    let before = usage.as_ref().map(crate::usage::Usage::cpu).transpose()?;
    let outcome = turn.load.run(time).with_context(|| turn.contender.kind.name())?;
    let after = usage.as_ref().map(crate::usage::Usage::cpu).transpose()?;
    if !counts {
        return Ok(()); // the first round warms
    }
    if let (Some(before), Some(after)) = (before, after) {
        turn.cpu.push((after - before) as f64 / 1000.0 / outcome.requests as f64);
    }
    turn.rate.push(outcome.requests as f64 / outcome.took.as_secs_f64());
    turn.latencies.extend(outcome.latencies);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a measurement has no 15 digits")]
fn cell(mut turn: Turn, naive: Option<&[f64]>) -> anyhow::Result<Cell> {
    let usage = turn.contender.usage();
    let rss = usage.as_ref().map(crate::usage::Usage::rss);
    let mut traced = 0;
    let syscalls = match usage {
        Some(usage) => usage.syscalls(|| {
            traced = turn.load.run(Duration::from_millis(300))?.requests;
            Ok(())
        })?,
        None => None,
    };
    turn.latencies.sort_unstable();
    // Of one round each, since a neighbour on the machine who slows one round slows both.
    let ratios: Option<Vec<f64>> = naive
        .filter(|_| !turn.cpu.is_empty())
        .map(|naive| turn.cpu.iter().zip(naive).map(|(own, naive)| own / naive).collect());
    Ok(Cell {
        contender: turn.contender.kind.name(),
        cpu_micros: median(&turn.cpu),
        ratio: ratios.as_deref().and_then(median),
        requests_per_second: median(&turn.rate).unwrap_or_default(),
        p50_micros: percentile(&turn.latencies, 50.0),
        p99_micros: percentile(&turn.latencies, 99.0),
        rss_kib: rss,
        syscalls: syscalls.map(|calls| calls as f64 / traced.max(1) as f64),
    })
}

fn rate(flags: &Flags, proxy: &std::path::Path, kinds: &[Kind]) -> anyhow::Result<Vec<Rate>> {
    eprintln!("rate: {} requests a second, an application that works {:?}", rate::RATE, rate::WORK);
    let application = application::start_slow(rate::WORK)?;
    let (rounds, time) = flags.rounds();
    let request = scenario::all().remove(0).request;
    let mut measured = Vec::new();
    for kind in kinds {
        measured.push((
            Contender::start(*kind, application, proxy, false)?,
            Vec::new(),
            Vec::new(),
            Vec::new(),
        ));
    }
    for _ in 0..rounds {
        for (contender, all, p50, p95) in &mut measured {
            let mut latencies = rate::run(contender.address, &request, time * 2)?;
            latencies.sort_unstable();
            p50.push(percentile(&latencies, 50.0));
            p95.push(percentile(&latencies, 95.0));
            all.extend(latencies);
        }
    }
    let direct = measured.iter().find(|(contender, ..)| contender.kind == Kind::Direct);
    let direct = direct.map(|(_, _, p50, p95)| (p50.clone(), p95.clone()));
    let rows = measured.into_iter().map(|(contender, mut all, p50, p95)| {
        all.sort_unstable();
        let added = |own: &[f64], direct: &[f64]| {
            let each: Vec<f64> = own.iter().zip(direct).map(|(own, direct)| own - direct).collect();
            median(&each)
        };
        let added_p50 = direct.as_ref().and_then(|(direct, _)| added(&p50, direct));
        let added_p95 =
            direct.as_ref().and_then(|(_, direct)| Some(added(&p95, direct)? / median(direct)? * 100.0));
        Rate {
            contender: contender.kind.name(),
            p50_micros: percentile(&all, 50.0),
            p95_micros: percentile(&all, 95.0),
            p99_micros: percentile(&all, 99.0),
            added_p50_micros: added_p50,
            added_p95_percent: added_p95,
        }
    });
    Ok(rows.collect())
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (below, above) = (sorted.get(sorted.len().saturating_sub(1) / 2)?, sorted.get(sorted.len() / 2)?);
    Some(f64::midpoint(*below, *above))
}

/// Microseconds, of sorted nanoseconds.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index into what is in memory"
)]
fn percentile(sorted: &[u64], percent: f64) -> f64 {
    let index = (sorted.len().saturating_sub(1) as f64 * percent / 100.0).round() as usize;
    sorted.get(index).map_or(f64::NAN, |nanos| *nanos as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::{median, percentile};

    #[test]
    fn the_middle_and_the_tail_are_found() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0]), Some(2.0));
        assert_eq!(median(&[3.0, 1.0, 9.0]), Some(3.0));
        let sorted: Vec<u64> = (0..=100).map(|micros| micros * 1000).collect();
        assert!((percentile(&sorted, 99.0) - 99.0).abs() < 0.001);
        assert!(percentile(&[], 50.0).is_nan());
    }
}
