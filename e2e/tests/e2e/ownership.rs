//! Argo CD, Flux and people apply the chart again and again: what the operator writes stays, and nothing is left to do.

use anyhow::{Context as _, ensure};
use rasp_e2e::cluster::Cluster;
use rasp_e2e::product::NAMESPACE;

const CONFIGURATION: &str = "mutatingwebhookconfiguration/kube-rasp-injector";

/// The caBundle of each webhook.
async fn bundles(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let path = "jsonpath={range .webhooks[*]}{.clientConfig.caBundle}{\"\\n\"}{end}";
    let printed = cluster.kubectl(&["get", CONFIGURATION, "-o", path], "").await?;
    ensure!(printed.success, "{}", printed.stderr);
    Ok(printed.stdout.lines().map(str::to_owned).collect())
}

#[tokio::test]
async fn another_manager_that_applies_the_chart_leaves_the_ca_bundle_and_finds_no_difference_afterwards()
-> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let manifest = cluster.helm(&["get", "manifest", "kube-rasp", "--namespace", NAMESPACE]).await?.stdout;
    let before = bundles(&cluster).await?;
    ensure!(
        before.len() >= 3 && before.iter().all(|bundle| !bundle.is_empty()),
        "the operator wrote them: {before:?}"
    );

    let by = "--field-manager=argocd-controller";
    for round in ["first", "second"] {
        let applied = cluster
            .kubectl(&["apply", "--server-side", "--force-conflicts", by, "-f", "-"], &manifest)
            .await?;
        ensure!(applied.success, "{round}: {}", applied.stderr);
        ensure!(bundles(&cluster).await? == before, "{round}: the caBundle stays");
    }
    // As Argo CD with server-side diff compares: what would be applied against what is there.
    let diff =
        cluster.kubectl(&["diff", "--server-side", "--force-conflicts", by, "-f", "-"], &manifest).await?;
    ensure!(diff.success && diff.stdout.is_empty(), "a difference is left: {}{}", diff.stdout, diff.stderr);
    // As those do who apply from the client.
    let mine = manifest.split("\n---\n").find(|part| part.contains("kind: MutatingWebhookConfiguration"));
    let applied = cluster.kubectl(&["apply", "-f", "-"], mine.context("the webhook")?).await?;
    ensure!(applied.success, "{}", applied.stderr);
    ensure!(bundles(&cluster).await? == before, "the caBundle stays after a client-side apply");
    Ok(())
}
