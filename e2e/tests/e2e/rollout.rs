//! `enforcement.rollout`: the operator takes the steps by itself, and goes back by itself.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rasp_e2e::cluster::{Cluster, wait_for};
use rasp_e2e::http;
use rasp_e2e::product::{ATTACK, BENIGN, condition, condition_is, status};
use rasp_e2e::workload::{PORT, protected_web};
use rasp_policy::api::RolloutPhase;

/// Without the header a request is in every share but that of 0 %.
fn yaml(interval: &str) -> String {
    format!(
        "apiVersion: rasp.dev/v1alpha1\nkind: RaspPolicy\nmetadata: {{name: web}}\nspec: {{mode: Block, enforcement: {{hashOn: \
         Header, header: x-user, rollout: {{steps: [50, 100], interval: {interval}, abortOn: {{blockRatio: 0.5, errorRatio: 0.5, \
         minRequests: 10}}}}}}}}\n"
    )
}

async fn event(cluster: &Cluster, namespace: &str, reason: &str) -> anyhow::Result<String> {
    let field = format!("--field-selector=reason={reason}");
    let arguments = ["-n", namespace, "get", "events", field.as_str(), "-o", "jsonpath={.items[*].message}"];
    let ask = || async {
        let printed = cluster.kubectl(&arguments, "").await?.stdout;
        Ok((!printed.is_empty()).then_some(printed))
    };
    wait_for(reason, Duration::from_secs(20), ask).await
}

async fn is_blocked(ip: IpAddr) -> bool {
    http::get(ip, PORT, ATTACK).await.status() == Some(403)
}

#[tokio::test]
async fn a_rollout_whose_steps_hold_ends_in_block_for_everybody() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let (shop, _, ip) = protected_web(&cluster).await?;
    cluster.apply(&shop.name, &yaml("10s")).await?;
    let traffic = tokio::spawn(async move {
        loop {
            http::get(ip, PORT, BENIGN).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let first =
        status(&cluster, &shop.name, "web", "the first step", |status| status.rollout.is_some()).await?;
    let first = first.rollout.context("rollout")?;
    ensure!((first.step, first.percent, first.phase) == (1, 50, RolloutPhase::Progressing), "{first:?}");
    let last =
        status(&cluster, &shop.name, "web", "RolledOut", |status| condition_is(status, "RolledOut", "True"))
            .await;
    traffic.abort();
    let last = last?;
    let rollout = last.rollout.as_ref().context("rollout")?;
    ensure!(
        (rollout.step, rollout.percent, rollout.phase) == (2, 100, RolloutPhase::Completed),
        "{rollout:?}"
    );
    ensure!(rollout.enforced >= 10 && rollout.blocked == 0, "with the numbers of its step: {rollout:?}");
    ensure!(is_blocked(ip).await, "in Block for everybody");
    let advanced = event(&cluster, &shop.name, "RolloutAdvanced").await?;
    ensure!(advanced.contains("step 2 of 2 (100 %)"), "{advanced}");
    event(&cluster, &shop.name, "RolloutCompleted").await.map(drop)
}

#[tokio::test]
async fn a_rollout_that_blocks_too_much_goes_back_by_itself_and_says_why() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let (shop, _, ip) = protected_web(&cluster).await?;
    cluster.apply(&shop.name, &yaml("1h")).await?;
    status(&cluster, &shop.name, "web", "Observing", |status| {
        status.rollout.as_ref().is_some_and(|rollout| rollout.reason == "Observing")
    })
    .await?;
    ensure!(is_blocked(ip).await, "in the share");
    for _ in 0..30 {
        http::get(ip, PORT, ATTACK).await;
    }
    let back = status(&cluster, &shop.name, "web", "RolledBack", |status| {
        condition(status, "Degraded").is_some_and(|condition| condition.reason == "RolledBack")
    })
    .await?;
    let rollout = back.rollout.as_ref().context("rollout")?;
    ensure!(
        (rollout.step, rollout.percent, rollout.phase) == (1, 0, RolloutPhase::RolledBack),
        "{rollout:?}"
    );
    ensure!(rollout.blocked >= 10 && rollout.message.contains("exceeds blockRatio 0.5"), "{rollout:?}");
    wait_for("traffic that is not blocked", Duration::from_secs(20), || async {
        Ok((http::get(ip, PORT, ATTACK).await.status() == Some(200)).then_some(()))
    })
    .await?;
    let aborted = event(&cluster, &shop.name, "RolloutAborted").await?;
    ensure!(aborted.contains("exceeds blockRatio 0.5"), "{aborted}");
    // The spec is as it was written, and what is written anew begins anew.
    let arguments =
        ["-n", &shop.name, "patch", "rp", "web", "--type=merge", "-p", r#"{"spec":{"failureMode":"Open"}}"#];
    ensure!(cluster.kubectl(&arguments, "").await?.success);
    status(&cluster, &shop.name, "web", "a new generation", |status| {
        status
            .rollout
            .as_ref()
            .is_some_and(|rollout| rollout.phase == RolloutPhase::Progressing && rollout.percent == 50)
    })
    .await
    .map(drop)
}
