//! Going back to what the policies of a namespace were, by `raspctl rollback`. That an older Bundle itself is refused by
//! sidecars is shown in `bundles`.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rasp_e2e::cluster::{Cluster, wait_for};
use rasp_e2e::http;
use rasp_e2e::product::{ATTACK, ROLLOUT, policy};
use rasp_e2e::workload::{PORT, protected_web};
use serde_json::Value;

use crate::raspctl::{json, raspctl};

#[tokio::test]
async fn a_rollback_restores_the_policies_under_a_new_sequence_and_the_verdict_changes_back()
-> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let (shop, _, ip) = protected_web(&cluster).await?;
    let namespace = shop.name.as_str();
    policy(&cluster, namespace, "web", "{mode: Block, response: {status: 418}}").await?;
    answers(ip, 418).await?;
    policy(&cluster, namespace, "web", "{mode: Monitor}").await?;
    answers(ip, 200).await?;
    // The history is written after the Bundle.
    let listed = wait_for("both states to be in the history", Duration::from_secs(20), || async {
        let listed = json(&["rollback", "--list", "-n", namespace]).await?;
        let states = listed["records"].as_array().map_or(0, Vec::len);
        Ok((states >= 2 && listed["records"][0]["changed"][0] == "changed RaspPolicy/web: mode response")
            .then_some(listed))
    })
    .await?;
    let former = sequence(&listed["records"][1])?;
    let latest = sequence(&listed)?;

    let refused = raspctl(&["rollback", "-n", namespace], "").await?;
    ensure!(!refused.success && refused.stderr.contains("no terminal"), "{refused:?}");
    let tried = json(&["rollback", "-n", namespace, "--dry-run"]).await?;
    ensure!(tried["done"] == false && tried["to"] == former, "{tried:#}");
    ensure!(tried["steps"][0]["diff"].to_string().contains("mode: Block"), "{tried:#}");
    ensure!(http::get(ip, PORT, ATTACK).await.status() == Some(200), "a dry run changes nothing");

    let back = json(&["rollback", "-n", namespace, "--yes"]).await?;
    ensure!(back["done"] == true && back["to"] == former && sequence(&back)? > latest, "{back:#}");
    answers(ip, 418).await?;

    // A policy that was deleted, and a state by its number.
    ensure!(cluster.kubectl(&["-n", namespace, "delete", "rasppolicy", "web"], "").await?.success);
    answers(ip, 200).await?;
    let to = former.to_string();
    let again = json(&["rollback", "-n", namespace, "--to", &to, "--yes"]).await?;
    ensure!(again["steps"][0]["action"] == "Recreate", "{again:#}");
    answers(ip, 418).await?;

    // A record that somebody edited is not gone back to, nor kept by the next write: that of the rollback has to be over.
    wait_for("the rollback to be in the history", Duration::from_secs(20), || async {
        let listed = json(&["rollback", "--list", "-n", namespace]).await?;
        Ok((listed["records"][0]["sequence"] == again["sequence"]).then_some(()))
    })
    .await?;
    let patch = format!(r#"{{"data":{{"{former}":"{{}}"}}}}"#);
    let edit =
        ["-n", namespace, "patch", "configmap", "rasp-policy-history", "--type=merge", "-p", patch.as_str()];
    ensure!(cluster.kubectl(&edit, "").await?.success);
    let forged = raspctl(&["rollback", "-n", namespace, "--to", &to, "--yes"], "").await?;
    ensure!(!forged.success && forged.stderr.contains("there is no record"), "{forged:?}");
    let listed = json(&["rollback", "--list", "-n", namespace]).await?;
    ensure!(listed["warnings"][0].to_string().contains(&to), "{listed:#}");
    Ok(())
}

fn sequence(value: &Value) -> anyhow::Result<u64> {
    value["sequence"].as_u64().with_context(|| format!("a sequence: {value:#}"))
}

/// Waits until an attack is answered so.
async fn answers(ip: IpAddr, status: u16) -> anyhow::Result<()> {
    wait_for(&format!("an attack to be answered with {status}"), ROLLOUT, || async {
        Ok((http::get(ip, PORT, ATTACK).await.status() == Some(status)).then_some(()))
    })
    .await
}
