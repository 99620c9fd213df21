//! `spec.enforcement`: Block for a share of clients, from `kubectl apply` to the answer.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context as _, ensure};
use rasp_e2e::cluster::Cluster;
use rasp_e2e::http;
use rasp_e2e::product::{ATTACK, condition, policy, programmed, status};
use rasp_e2e::workload::{PORT, protected_web};
use rasp_policy::report::EffectiveMode;

const USERS: usize = 40;

#[tokio::test]
async fn block_reaches_a_share_of_users_first_and_the_same_ones_each_time() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let (shop, _, ip) = protected_web(&cluster).await?;
    let spec = |percent: u8| {
        format!("{{mode: Block, enforcement: {{percent: {percent}, hashOn: Header, header: X-User}}}}")
    };
    let mut before = BTreeSet::new();
    for (percent, reported) in
        [(0, EffectiveMode::Monitor), (50, EffectiveMode::Mixed), (100, EffectiveMode::Block)]
    {
        policy(&cluster, &shop.name, "web", &spec(percent)).await?;
        let now = blocked(ip).await?;
        ensure!(now == blocked(ip).await?, "{percent} %: the same users each time");
        ensure!(now.is_superset(&before), "{percent} %: who was blocked stays blocked");
        let keyless = http::get(ip, PORT, ATTACK).await.status();
        let expected = if percent == 0 { 200 } else { 403 };
        ensure!(keyless == Some(expected), "{percent} %, without the header: {keyless:?}");
        match percent {
            0 => ensure!(now.is_empty(), "0 %: {now:?}"),
            100 => ensure!(now.len() == USERS, "100 %: {now:?}"),
            // Of 40, six standard deviations around the mean are all but one on either side.
            _ => ensure!((1..USERS).contains(&now.len()), "{percent} %: {now:?}"),
        }
        let is_reported =
            |status: &rasp_policy::api::RaspPolicyStatus| status.effective_mode == Some(reported);
        status(&cluster, &shop.name, "web", "effectiveMode", is_reported).await?;
        let status = programmed(&cluster, &shop.name, "web").await?;
        let accepted = condition(&status, "Accepted").context("Accepted")?;
        let warns = accepted.message.contains("clients choose the header");
        ensure!(warns == (percent < 100), "{percent} %: {}", accepted.message);
        before = now;
    }
    Ok(())
}

/// The users whose attack is refused.
async fn blocked(ip: IpAddr) -> anyhow::Result<BTreeSet<usize>> {
    let mut blocked = BTreeSet::new();
    for number in 0..USERS {
        let user = format!("user-{number}");
        match http::request(ip, PORT, "GET", ATTACK, &[("x-user", &user)], b"").await.status() {
            Some(403) => drop(blocked.insert(number)),
            Some(200) => {}
            other => anyhow::bail!("{user}: {other:?}"),
        }
    }
    Ok(blocked)
}
