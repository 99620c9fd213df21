//! Block -> Monitor -> Block by `kubectl patch` under open-loop load with attacks in it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use rasp_e2e::cluster::{Cluster, wait_for};
use rasp_e2e::http::{self, Outcome};
use rasp_e2e::product::{patch_mode, policy, programmed};
use rasp_e2e::workload::{PORT, log, name, protected_web, ready_pods, restarts};

/// One request of the load.
struct Sent {
    attack: bool,
    at: Instant,
    answered: Instant,
    outcome: Outcome,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mode_changes_under_load_without_a_lost_request_and_every_verdict_is_explained()
-> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let (shop, pod, ip) = protected_web(&cluster).await?;
    policy(&cluster, &shop.name, "web", "{mode: Block}").await?;

    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(open_loop(ip, Arc::clone(&stop)));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut changes = Vec::new();
    for mode in ["Monitor", "Block"] {
        let patched = Instant::now();
        patch_mode(&cluster, &shop.name, "web", mode).await?;
        programmed(&cluster, &shop.name, "web").await?;
        changes.push((patched, Instant::now()));
        println!("{mode}: programmed after {:?}", patched.elapsed());
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let sent = load.await??;

    ensure!(sent.len() > 300, "enough load: {}", sent.len());
    let unanswered = sent.iter().filter(|request| request.outcome.status().is_none()).count();
    ensure!(unanswered == 0, "{unanswered} of {} requests lost", sent.len());
    let [(to_monitor, in_monitor), (to_block, in_block)] = [changes[0], changes[1]];
    for Sent { attack, at, answered, outcome } in &sent {
        let status = outcome.status().unwrap_or(0);
        let expected: &[u16] = match attack {
            false => &[200],
            true if *answered < to_monitor || *at > in_block => &[403],
            true if *at > in_monitor && *answered < to_block => &[200],
            true => &[200, 403],
        };
        ensure!(expected.contains(&status), "attack {attack}: {status}, explained by {expected:?}");
    }
    let blocked = sent.iter().filter(|request| request.outcome.status() == Some(403)).count();
    let monitored = sent.iter().filter(|r| r.attack && r.outcome.status() == Some(200)).count();
    ensure!(blocked > 0 && monitored > 0, "both policies were seen: {blocked} blocked, {monitored} passed");

    let passed = sent.len() - blocked;
    // What a container writes is in its log a moment later.
    let reached = || async {
        let access = log(&cluster, &shop.name, &name(&pod), "web").await?;
        let reached = access.lines().filter(|line| line.contains("load=")).count();
        Ok((reached >= passed).then_some(reached))
    };
    let reached = wait_for("the requests in the application's log", Duration::from_secs(15), reached).await?;
    ensure!(reached == passed, "{passed} answers from the application, {reached} requests reached it");
    let now = ready_pods(&cluster, &shop.name, "web", 1).await?.remove(0);
    ensure!(restarts(&now, "rasp-proxy") == 0 && restarts(&now, "web") == 0, "nothing restarted");
    Ok(())
}

/// 50 requests a second, each when its time has come, whether or not the previous ones were answered.
async fn open_loop(ip: IpAddr, stop: Arc<AtomicBool>) -> anyhow::Result<Vec<Sent>> {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let mut requests = Vec::new();
    let limit = Instant::now() + Duration::from_secs(120);
    for number in 0_u32.. {
        if stop.load(Ordering::Relaxed) || Instant::now() > limit {
            break;
        }
        ticks.tick().await;
        requests.push(tokio::spawn(async move {
            let attack = number % 5 == 0;
            let query = if attack { "1%27%20OR%20%271%27=%271" } else { "O%27Brien" };
            let at = Instant::now();
            let outcome = http::get(ip, PORT, &format!("/index.html?load={number}&q={query}")).await;
            Sent { attack, at, answered: Instant::now(), outcome }
        }));
    }
    let mut sent = Vec::new();
    for request in requests {
        sent.push(request.await?);
    }
    Ok(sent)
}
