//! Creates of pods at a fixed rate, as a dry run: everything happens but the write. And the operator's own histogram.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use kube::Client;
use kube::api::{Api, PostParams};
use rasp_e2e::product::sample;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::{fleet, to_f64};

/// Answers after this count as failed.
const LIMIT: Duration = Duration::from_secs(30);

/// Calls at once, each on a connection of its own. What waits for one has begun for the clock.
const CONNECTIONS: usize = 64;

/// Sends `rate` creates a second, whether those before were answered or not; a row of the table. The clock of each runs from
/// the moment at which it was due, so that a stall of this program or of the API server is seen (coordinated omission).
pub async fn dry_runs(
    client: &Client,
    namespace: &str,
    rate: usize,
    seconds: usize,
) -> anyhow::Result<String> {
    let pods: Api<_> = Api::namespaced(client.clone(), namespace);
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let pause = Duration::from_secs(1) / u32::try_from(rate)?;
    // The first calls open connections.
    let rounds = [rate / 4, rate * seconds];
    let mut taken = Vec::new();
    let (mut span, mut failed) = (Duration::ZERO, 0);
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    for count in rounds {
        let mut calls = JoinSet::new();
        let start = Instant::now();
        for n in 0..count {
            let due = start + pause * u32::try_from(n)?;
            tokio::time::sleep_until(due.into()).await;
            let (pods, params) = (pods.clone(), params.clone());
            let pod = fleet::pod(&format!("load-{n}"))?;
            let slots = Arc::clone(&slots);
            calls.spawn(async move {
                let _slot = slots.acquire().await.ok()?;
                let answer = tokio::time::timeout(LIMIT, pods.create(&params, &pod)).await;
                matches!(answer, Ok(Ok(_))).then(|| due.elapsed())
            });
        }
        taken = calls.join_all().await.into_iter().flatten().collect::<Vec<_>>();
        span = start.elapsed();
        failed = count - taken.len();
    }
    ensure!(!taken.is_empty(), "no dry run was answered");
    taken.sort();
    let at = |share: usize| taken.get((taken.len() * share / 100).min(taken.len() - 1)).copied();
    let millis =
        |time: Option<Duration>| format!("{:.1} ms", time.unwrap_or_default().as_secs_f64() * 1000.0);
    let achieved = to_f64(taken.len()) / span.as_secs_f64();
    let row = format!("| {achieved:.0} | {} | {} | {} |", millis(at(50)), millis(at(99)), millis(at(100)));
    Ok(if failed == 0 { row } else { format!("({failed} failed) {row}") })
}

/// The difference of two readings of `rasp_injection_duration_seconds`.
pub struct Histogram {
    /// Upper bounds in seconds, and how many answers were at most as slow.
    buckets: Vec<(f64, f64)>,
    /// Answers.
    pub count: u64,
}

impl Histogram {
    /// Reads both pages.
    pub fn between(before: &str, after: &str) -> Self {
        const NAME: &str = "rasp_injection_duration_seconds";
        let difference =
            |metric: &str, labels: &[&str]| sample(after, metric, labels) - sample(before, metric, labels);
        let bounds = after.lines().filter_map(|line| {
            line.strip_prefix(NAME)?.strip_prefix("_bucket{le=\"")?.split_once('"').map(|(bound, _)| bound)
        });
        let of = |bound: &str| difference(&format!("{NAME}_bucket"), &[&format!("le=\"{bound}\"")]);
        let buckets = bounds.filter_map(|bound| Some((bound.parse::<f64>().ok()?, of(bound)))).collect();
        let count = difference(&format!("{NAME}_count"), &[]).to_string().parse().unwrap_or_default();
        Self { buckets, count }
    }

    /// A row of the table: the bounds below which the quantiles lie.
    pub fn row(&self, seconds: usize) -> String {
        let all = f64::from(u32::try_from(self.count).unwrap_or(u32::MAX));
        let below = |share: f64| {
            let bucket = self.buckets.iter().find(|(_, count)| *count >= all * share);
            bucket.map_or("more".to_owned(), |(bound, _)| format!("<= {} ms", bound * 1000.0))
        };
        let rate = all / to_f64(seconds);
        format!("({} reviews) | {rate:.0} | {} | {} | {} |", self.count, below(0.5), below(0.99), below(1.0))
    }
}
