//! The watchdog: a workload that was there before its namespace asked is told, and restarted where somebody wants that.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use rasp_e2e::cluster::{Cluster, wait_for};
use rasp_e2e::product::{NAMESPACE, counts, operator_metrics, sample, status};
use rasp_e2e::workload::{nginx, ready_pods};

/// Changes values of the installed chart.
async fn set(cluster: &Cluster, values: &str) -> anyhow::Result<()> {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/kube-rasp");
    let chart = chart.to_string_lossy();
    let arguments = [
        "upgrade",
        "kube-rasp",
        &chart,
        "--namespace",
        NAMESPACE,
        "--reuse-values",
        "--force-conflicts",
        "--wait",
        "--timeout",
        "120s",
        "--set",
        values,
    ];
    cluster.helm(&arguments).await.map(drop)
}

async fn events(cluster: &Cluster, namespace: &str) -> anyhow::Result<String> {
    let arguments =
        ["-n", namespace, "get", "events", "-o", "custom-columns=R:.reason,K:.involvedObject.kind"];
    Ok(cluster.kubectl(&arguments, "").await?.stdout)
}

#[tokio::test]
async fn a_deployment_from_before_its_namespace_asked_is_told_and_restarted_once() -> anyhow::Result<()> {
    let cluster = Cluster::connect_alone().await?;
    set(&cluster, "watchdog.restart.enabled=true,watchdog.settle=2s,watchdog.restart.maxPerMinute=60")
        .await?;
    let tested = restarted_once(&cluster).await;
    // Its next look sees that the restart has finished; then it asks for nothing that it will not be granted any more.
    tokio::time::sleep(Duration::from_secs(6)).await;
    set(&cluster, "watchdog.restart.enabled=false,watchdog.settle=60s,watchdog.restart.maxPerMinute=2")
        .await?;
    tested
}

async fn restarted_once(cluster: &Cluster) -> anyhow::Result<()> {
    let late = cluster.namespace("late", &[]).await?;
    let kept = cluster.namespace("kept", &[]).await?;
    for namespace in [&late.name, &kept.name] {
        cluster.apply(namespace, &nginx("web", 2)).await?;
    }
    ready_pods(cluster, &kept.name, "web", 2).await?;
    let before = ready_pods(cluster, &late.name, "web", 2).await?;
    let exclude = ["annotate", "namespace", &kept.name, "rasp.dev/watchdog-restart=disabled"];
    ensure!(cluster.kubectl(&exclude, "").await?.success);
    let policy =
        "apiVersion: rasp.dev/v1alpha1\nkind: RaspPolicy\nmetadata: {name: web}\nspec: {mode: Block}\n";
    for namespace in [&kept.name, &late.name] {
        let label = ["label", "namespace", namespace, "rasp.dev/inject=enabled"];
        ensure!(cluster.kubectl(&label, "").await?.success);
        cluster.apply(namespace, policy).await?;
    }
    status(cluster, &kept.name, "web", "unprotected", |status| counts(status).unprotected == 2).await?;
    let labels = [&*format!("namespace=\"{}\"", kept.name), "reason=\"StartedUnprotected\""];
    let unprotected = sample(&operator_metrics(cluster).await?, "rasp_pods_unprotected", &labels);
    ensure!(unprotected.total_cmp(&2.0).is_eq(), "the gauge says why: {unprotected}");
    status(cluster, &late.name, "web", "protected by a restart", |status| {
        counts(status).unprotected == 0 && counts(status).programmed == 2
    })
    .await?;
    let after = ready_pods(cluster, &late.name, "web", 2).await?;
    ensure!(after.iter().all(|pod| !before.iter().any(|old| old.metadata.uid == pod.metadata.uid)));
    let told = || async {
        let (late, kept) = (events(cluster, &late.name).await?, events(cluster, &kept.name).await?);
        let all = late.contains("StartedUnprotected")
            && late.contains("WorkloadRestarted")
            && kept.contains("StartedUnprotected");
        ensure!(!kept.contains("WorkloadRestarted"), "the excluded namespace is left alone: {kept}");
        Ok(all.then_some(()))
    };
    wait_for("the events", Duration::from_secs(60), told).await?;
    let arguments = ["-n", &late.name, "get", "deployment", "web", "-o", "jsonpath={.metadata.annotations}"];
    let annotations = cluster.kubectl(&arguments, "").await?.stdout;
    ensure!(
        annotations.contains("rasp.dev/restarted-for") && annotations.contains("StartedUnprotected"),
        "{annotations}"
    );
    let metrics = operator_metrics(cluster).await?;
    let counted =
        |result: &str| sample(&metrics, "rasp_watchdog_restarts_total", &[&format!("result=\"{result}\"")]);
    // Namespaces of other tests may have been restarted as well.
    ensure!(counted("restarted") > 0.5, "it counts");
    let arguments = ["-n", &late.name, "get", "deployment", "web", "-o", "jsonpath={.metadata.generation}"];
    let generation = cluster.kubectl(&arguments, "").await?.stdout;
    ensure!(generation == "2", "made and restarted once, not {generation}");
    ensure!(counted("excluded") > 0.5, "and the other one was looked at");
    Ok(())
}
