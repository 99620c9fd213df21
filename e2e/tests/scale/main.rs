//! How the operator fares with a large cluster: thousands of plain API objects on a real API server, no kubelet behind them.
//! Run by `make scale`, which installs the chart with one replica; prints the tables of docs/scale.md.
//!
//! It stops the controller manager of the cluster (which would delete pods of nodes that do not exist), kills the operator and
//! the API server: the cluster is thrown away afterwards.

mod fleet;
mod latency;
mod operator;
mod process;
mod watch;

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use kube::Client;
use rasp_e2e::cluster::{Cluster, wait_for};
use rasp_e2e::product::sample;

use fleet::Fleet;
use latency::{Histogram, Load};
use operator::Operator;
use process::Process;

/// A row of the table.
struct Row(String, String, String);

fn row(rows: &mut Vec<Row>, what: &str, wanted: &str, measured: String) {
    println!("{what}: {measured}");
    rows.push(Row(what.to_owned(), wanted.to_owned(), measured));
}

/// A number of an environment variable.
fn number(name: &str, default: usize) -> anyhow::Result<usize> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text} is no number")),
        Err(_) => Ok(default),
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let client = cluster.client.clone();
    let fleet = Fleet {
        namespaces: number("RASP_SCALE_NAMESPACES", 2000)?,
        pods: number("RASP_SCALE_PODS", 5000)?,
        policies: number("RASP_SCALE_POLICIES", 1000)?,
    };
    let (rate, seconds) = (number("RASP_SCALE_RATE", 200)?, number("RASP_SCALE_SECONDS", 30)?);
    println!(
        "{} namespaces, {} pods, {} policies; load: {}",
        fleet.namespaces,
        fleet.pods,
        fleet.policies,
        load()
    );
    let _stopped = Process::of_component("kube-controller-manager")?.stop()?;

    let mut rows = Vec::new();
    let operator = Operator::find(&cluster).await?;
    row(&mut rows, "memory, an empty cluster", "", memory(&operator)?);
    build(&client, &fleet, &operator, &mut rows).await?;
    let load_rows = webhook(&client, &operator, rate, seconds).await?;
    row(&mut rows, "memory after the webhook's load", "<= 64 MiB", memory(&operator)?);
    changes(&client, &fleet, &operator, &mut rows).await?;
    let operator = restart(operator, &fleet, &mut rows).await?;
    lost_deletes(&client, &fleet, &operator, &mut rows).await?;
    row(&mut rows, "memory at the end", "<= 64 MiB", memory(&operator)?);

    println!("\n| what | wanted | measured |\n|---|---|---|");
    for Row(what, wanted, measured) in &rows {
        println!("| {what} | {wanted} | {measured} |");
    }
    println!(
        "\n| load | a second | p50 | p99 | highest | cores, API server | cores, operator |\n|---|---|---|---|---|---|---|"
    );
    for row in &load_rows {
        println!("{row}");
    }
    println!("\nload average at the end: {}", load());
    Ok(())
}

/// Makes the objects, and waits until the operator has seen them all.
async fn build(
    client: &Client,
    fleet: &Fleet,
    operator: &Operator,
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let (start, cpu) = (Instant::now(), operator.process.cpu()?);
    fleet.namespaces(client).await?;
    fleet.policies(client).await?;
    let pods = fleet.pods(client).await?;
    fleet.label(client).await?;
    settled(operator, fleet.unprotected(), Duration::from_secs(300)).await?;
    let all = Duration::from_secs(300);
    let bundles = || async {
        let written = sample(&operator.metrics().await?, "rasp_policy_rollouts_total", &["written"]);
        Ok((written >= to_f64(fleet.namespaces)).then_some(()))
    };
    wait_for("a Bundle in every namespace", all, bundles).await?;
    let took = start.elapsed();
    let used = operator.process.cpu()?.saturating_sub(cpu);
    let figures = format!("{took:.0?}, {pods:.0} pods/s; CPU of the operator {used:.1?}");
    row(rows, "making the objects", "", figures);
    tokio::time::sleep(Duration::from_secs(20)).await;
    row(rows, "memory with all objects", "<= 64 MiB", memory(operator)?);
    let (start, cpu) = (Instant::now(), operator.process.cpu()?);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let used = operator.process.cpu()?.saturating_sub(cpu).as_secs_f64() / start.elapsed().as_secs_f64();
    row(rows, "CPU while nothing changes", "", format!("{:.1} % of a core", used * 100.0));
    Ok(())
}

/// The webhook under load, beside the API server alone. Namespaces of both are under the same admission policies.
async fn webhook(
    client: &Client,
    operator: &Operator,
    rate: usize,
    seconds: usize,
) -> anyhow::Result<Vec<String>> {
    let mut rows = Vec::new();
    let api_server = Process::of_component("kube-apiserver")?;
    for rate in [rate / 2, rate] {
        for (what, load) in [
            ("dry runs without the webhook", Load::dry_runs(client, "default")),
            ("dry runs with it", Load::dry_runs(client, &fleet::name(0))),
            ("reviews straight to the webhook", Load::reviews(client, operator.ip).await?),
        ] {
            println!("{rate}/s {what}");
            let before = (operator.metrics().await?, latency::of_api_server(client).await?);
            let cpu = (operator.process.cpu()?, api_server.cpu()?);
            let measured = latency::under(&load, rate, seconds).await?;
            let share = |used: Duration| used.as_secs_f64() / to_f64(seconds);
            let used = (
                share(operator.process.cpu()?.saturating_sub(cpu.0)),
                share(api_server.cpu()?.saturating_sub(cpu.1)),
            );
            rows.push(format!("| {rate}/s {what} {measured} {:.2} | {:.2} |", used.1, used.0));
            let after = (operator.metrics().await?, latency::of_api_server(client).await?);
            for (what, histogram) in [
                ("the call as the API server sees it", Histogram::call(&before.1, &after.1)),
                ("the operator's share", Histogram::share(&before.0, &after.0)),
            ] {
                if histogram.count > 1 {
                    rows.push(format!("| {what} {} | |", histogram.row(seconds)));
                }
            }
        }
    }
    for row in &rows {
        println!("{row}");
    }
    Ok(rows)
}

/// Single policies are changed, one after the other: only their namespaces may be written.
async fn changes(
    client: &Client,
    fleet: &Fleet,
    operator: &Operator,
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    const CHANGES: usize = 20;
    let before = operator.metrics().await?;
    let cpu = operator.process.cpu()?;
    let mut took = Vec::new();
    for n in 0..CHANGES.min(fleet.policies) {
        took.push(watch::policy_to_bundle(client, &fleet::name(n * fleet.policies / CHANGES)).await?);
    }
    let used = operator.process.cpu()?.saturating_sub(cpu);
    let after = operator.metrics().await?;
    let counted = |result: &str| {
        let of = |page: &str| sample(page, "rasp_policy_rollouts_total", &[&format!("result=\"{result}\"")]);
        of(&after) - of(&before)
    };
    let (written, repaired) = (counted("written"), counted("repaired"));
    took.sort();
    let (median, last) = (took.get(took.len() / 2), took.last());
    let (median, last) = (median.context("a change")?, last.context("a change")?);
    let figures = format!("{written} Bundles for {} changes, {repaired} repaired", took.len());
    row(rows, "a policy change writes", "1 Bundle", figures);
    row(rows, "from the change to the Bundle", "", format!("p50 {median:.0?}, highest {last:.0?}"));
    row(rows, "CPU of the operator for a change", "", format!("{:.0?}", used / u32::try_from(took.len())?));
    ensure!(to_f64(took.len()).total_cmp(&written).is_eq(), "each change writes one Bundle, not {written}");
    Ok(())
}

/// The operator is killed; until it knows all again.
async fn restart(operator: Operator, fleet: &Fleet, rows: &mut Vec<Row>) -> anyhow::Result<Operator> {
    let before = operator.metrics().await?;
    operator.process.kill()?;
    let fresh = operator.successor().await?;
    let ready = || async { Ok(fresh.is_ready().await.then_some(())) };
    wait_for("the operator to be ready", Duration::from_secs(120), ready).await?;
    let synced = fresh.process.age()?;
    settled(&fresh, fleet.unprotected(), Duration::from_secs(120)).await?;
    let settled = fresh.process.age()?;
    let used = fresh.process.cpu()?;
    row(rows, "restart: caches filled, webhook ready", "<= 10 s", format!("{synced:.1?}"));
    let figures = format!("{settled:.1?}, CPU {used:.1?}");
    row(rows, "restart: every namespace looked at", "<= 10 s", figures);
    let of = |page: &str| sample(page, "rasp_policy_rollouts_total", &["written"]);
    let needless = of(&fresh.metrics().await?);
    row(rows, "restart: Bundles written", "0", format!("{needless} (before it: {})", of(&before)));
    tokio::time::sleep(Duration::from_secs(10)).await;
    row(rows, "memory after the restart", "<= 64 MiB", memory(&fresh)?);
    Ok(fresh)
}

/// Pods are deleted while the operator cannot look, and the API server forgets what happened: every watch gets 410 Gone.
async fn lost_deletes(
    client: &Client,
    fleet: &Fleet,
    operator: &Operator,
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let failed = |page: &str| sample(page, "rasp_reconcile_errors_total", &["kind=\"watch\""]);
    let before = failed(&operator.metrics().await?);
    let stopped = operator.process.stop()?;
    let deleted = fleet.delete_unprotected(client, 200).await?;
    let api_server = Process::of_component("kube-apiserver")?;
    let log = api_server.replace().await?;
    // It goes on before the API server is back: kubelet would end it if it were silent for long.
    drop(stopped);
    let up = || async { Ok(client.apiserver_version().await.ok().map(drop)) };
    if let Err(error) = wait_for("the API server to be back", Duration::from_secs(120), up).await {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let last: Vec<&str> = text.lines().rev().take(8).collect();
        return Err(error.context(last.join("\n")));
    }
    let start = Instant::now();
    settled(operator, fleet.unprotected() - deleted, Duration::from_secs(120)).await?;
    let took = start.elapsed();
    let errors = failed(&operator.metrics().await?) - before;
    let figures = format!("{deleted} of {deleted} seen after {took:.1?}; {errors} failures of watches");
    row(rows, "pods deleted unseen, API server restarted (410)", "none lost", figures);
    Ok(())
}

/// Waits until the operator counts so many unprotected pods.
async fn settled(operator: &Operator, unprotected: usize, limit: Duration) -> anyhow::Result<()> {
    let seen = || async {
        let Ok(page) = operator.metrics().await else { return Ok(None) };
        let counted = sample(&page, "rasp_pods_unprotected", &[]);
        Ok(counted.total_cmp(&to_f64(unprotected)).is_eq().then_some(()))
    };
    wait_for(&format!("{unprotected} unprotected pods to be counted"), limit, seen).await
}

fn memory(operator: &Operator) -> anyhow::Result<String> {
    let mib = |kib: u64| to_f64(usize::try_from(kib).unwrap_or(usize::MAX)) / 1024.0;
    let (now, highest) = operator.process.memory_kib()?;
    Ok(format!("{:.0} MiB, highest so far {:.0}", mib(now), mib(highest)))
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}

fn to_f64(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
