//! Status tells the truth: it stands on what sidecars report.

use anyhow::{Context as _, ensure};
use rasp_e2e::cluster::Cluster;
use rasp_e2e::node::Sidecar;
use rasp_e2e::product::{ENABLED, condition, condition_is, counts, patch_mode, policy, programmed, status};
use rasp_e2e::workload::{name, nginx, protected_web, ready_pods, uid};
use rasp_policy::report::EffectiveMode;

#[tokio::test]
async fn a_sidecar_that_does_not_answer_is_missing_from_the_count_and_named() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let shop = cluster.namespace("shop", &ENABLED).await?;
    cluster.apply(&shop.name, &nginx("web", 3)).await?;
    let pods = ready_pods(&cluster, &shop.name, "web", 3).await?;
    policy(&cluster, &shop.name, "web", "{mode: Block}").await?;

    let victim = pods.get(1).context("three pods")?;
    let stopped = Sidecar::of_pod(&uid(victim))?.stop()?;
    patch_mode(&cluster, &shop.name, "web", "Monitor").await?;
    let partial = status(&cluster, &shop.name, "web", "2 of 3 programmed", |status| {
        counts(status).programmed == 2 && counts(status).outdated == 1
    })
    .await?;
    let message = &condition(&partial, "Programmed").context("Programmed")?.message;
    ensure!(condition_is(&partial, "Programmed", "False"), "{message}");
    ensure!(message.contains(&name(victim)), "names the pod: {message}");
    ensure!(message.contains("2 of 3"), "says how many: {message}");
    drop(stopped);
    let whole = programmed(&cluster, &shop.name, "web").await?;
    ensure!(counts(&whole).programmed == 3 && counts(&whole).outdated == 0, "{whole:?}");
    ensure!(whole.effective_mode == Some(EffectiveMode::Monitor), "{whole:?}");
    Ok(())
}

#[tokio::test]
async fn pods_that_run_without_a_sidecar_are_counted_as_unprotected() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let late = cluster.namespace("late", &[]).await?;
    cluster.apply(&late.name, &nginx("web", 1)).await?;
    let pod = ready_pods(&cluster, &late.name, "web", 1).await?.remove(0);
    let arguments = ["label", "namespace", late.name.as_str(), "rasp.dev/inject=enabled"];
    ensure!(cluster.kubectl(&arguments, "").await?.success);
    let yaml =
        "apiVersion: rasp.dev/v1alpha1\nkind: RaspPolicy\nmetadata: {name: web}\nspec: {mode: Block}\n";
    cluster.apply(&late.name, yaml).await?;
    let unprotected =
        status(&cluster, &late.name, "web", "unprotected", |s| counts(s).unprotected == 1).await?;
    let degraded = condition(&unprotected, "Degraded").context("Degraded")?;
    ensure!(degraded.status == "True" && degraded.reason == "Unprotected", "{degraded:?}");
    ensure!(degraded.message.contains(&name(&pod)), "names the pod: {}", degraded.message);
    Ok(())
}

#[tokio::test]
async fn kubectl_get_shows_what_is_asked_for_and_what_is_observed() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let (shop, ..) = protected_web(&cluster).await?;
    policy(&cluster, &shop.name, "web", "{mode: Block, detections: {sqlInjection: {mode: Monitor}}}").await?;
    let printed = cluster.kubectl(&["-n", &shop.name, "get", "rp"], "").await?.stdout;
    let words: Vec<Vec<&str>> = printed.lines().map(|line| line.split_whitespace().collect()).collect();
    ensure!(words[0] == ["NAME", "MODE", "OBSERVED", "PROGRAMMED", "PODS", "AGE"], "{printed}");
    ensure!(words[1][..5] == ["web", "Block", "Mixed", "True", "1"], "{printed}");
    Ok(())
}

#[tokio::test]
async fn a_policy_whose_fields_all_lose_says_who_won() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let (shop, ..) = protected_web(&cluster).await?;
    policy(&cluster, &shop.name, "winner", "{podSelector: {matchLabels: {app: web}}, mode: Block}").await?;
    let yaml =
        "apiVersion: rasp.dev/v1alpha1\nkind: RaspPolicy\nmetadata: {name: loser}\nspec: {mode: Monitor}\n";
    cluster.apply(&shop.name, yaml).await?;
    let overridden = status(&cluster, &shop.name, "loser", "Overridden", |status| {
        condition(status, "Programmed").is_some_and(|condition| condition.reason == "Overridden")
    })
    .await?;
    let message = &condition(&overridden, "Programmed").context("Programmed")?.message;
    ensure!(message.contains("winner"), "{message}");
    Ok(())
}
