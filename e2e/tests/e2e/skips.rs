//! Jobs end, and pods that are not injected are untouched and say why.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use rasp_e2e::cluster::{Cluster, wait_for};
use rasp_e2e::product::{ENABLED, operator_metrics, sample};
use rasp_e2e::workload;
use rasp_e2e::workload::{BUSYBOX, shell};

#[tokio::test]
async fn a_job_with_a_sidecar_completes() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let shop = cluster.namespace("shop", &ENABLED).await?;
    let yaml = format!(
        r#"
apiVersion: batch/v1
kind: Job
metadata: {{name: once}}
spec:
  backoffLimit: 0
  template:
    metadata: {{labels: {{app: once}}}}
    spec:
      restartPolicy: Never
      containers:
      - name: work
        image: {BUSYBOX}
        imagePullPolicy: Never
        command: ["/bin/busybox", "echo", "done"]
"#
    );
    cluster.apply(&shop.name, &yaml).await?;
    let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), &shop.name);
    let complete = || async {
        let status = jobs.get("once").await?.status.context("status")?;
        ensure!(status.failed.unwrap_or(0) == 0, "the job failed: {status:?}");
        Ok((status.succeeded == Some(1) && status.completion_time.is_some()).then_some(()))
    };
    wait_for("the Job to complete", Duration::from_secs(60), complete).await?;
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &shop.name);
    let pod = pods.list(&kube::api::ListParams::default().labels("app=once")).await?.items.remove(0);
    let names: Vec<_> =
        pod.spec.context("spec")?.init_containers.into_iter().flatten().map(|c| c.name).collect();
    ensure!(names == ["rasp-init", "rasp-proxy"], "it had a sidecar: {names:?}");
    Ok(())
}

#[tokio::test]
async fn a_skipped_pod_is_untouched_and_its_reason_is_told_in_warning_event_and_metric() -> anyhow::Result<()>
{
    let cluster = Cluster::connect().await?;
    let shop = cluster.namespace("shop", &ENABLED).await?;
    // name, what is different in the spec, reason as in the metric, whether kubectl prints a Warning
    let table = [
        ("hostnet", "hostNetwork: true", "host_network", true),
        ("uid", "securityContext: {runAsUser: 62102}", "own_uid_in_use", true),
    ];
    for (name, difference, reason, warned) in table {
        let yaml = shell(name, "exec /bin/busybox sleep 100000").replacen(
            "spec:\n",
            &format!("spec:\n  {difference}\n"),
            1,
        );
        let printed = cluster.apply(&shop.name, &yaml).await?;
        ensure!(printed.stderr.contains("Warning") == warned, "{name}: {}", printed.stderr);
        ensure!(
            printed.stderr.contains(reason) || printed.stderr.contains("kube-rasp"),
            "{}",
            printed.stderr
        );
        let pod = Api::<Pod>::namespaced(cluster.client.clone(), &shop.name).get(name).await?;
        ensure!(pod.spec.as_ref().context("spec")?.init_containers.is_none(), "{name} is untouched");
        ensure!(pod.metadata.annotations.unwrap_or_default().keys().all(|key| !key.starts_with("rasp.dev")));
        let told = || async {
            let metrics = operator_metrics(&cluster).await?;
            let label = format!("reason=\"{reason}\"");
            let namespace = format!("namespace=\"{}\"", shop.name);
            let counted = sample(&metrics, "rasp_injection_requests_total", &[&label, &namespace]) >= 1.0;
            let arguments = ["-n", shop.name.as_str(), "get", "events", "-o", "json"];
            let events = cluster.kubectl(&arguments, "").await?.stdout;
            let id = reason.replace('_', "");
            Ok((counted && events.to_lowercase().contains(&id)).then_some(()))
        };
        wait_for(&format!("{reason} in metric and event"), Duration::from_secs(60), told).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_pod_without_a_named_port_is_skipped_with_the_reason_where_packet_rules_are_forbidden()
-> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let labels = [ENABLED[0], ("pod-security.kubernetes.io/enforce", "baseline")];
    let shop = cluster.namespace("shop", &labels).await?;
    let printed = cluster.apply(&shop.name, &shell("plain", "exec /bin/busybox sleep 100000")).await?;
    ensure!(printed.stderr.contains("no_named_ports"), "{}", printed.stderr);
    let pod = workload::ready_pods(&cluster, &shop.name, "plain", 1).await?.remove(0);
    ensure!(pod.spec.context("spec")?.init_containers.is_none());
    Ok(())
}

#[tokio::test]
async fn an_enforced_namespace_refuses_a_pod_that_cannot_be_protected() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let strict = cluster.namespace("strict", &[("rasp.dev/inject", "enforced")]).await?;
    let yaml = shell("uid", "exec /bin/busybox sleep 100000").replacen(
        "spec:\n",
        "spec:\n  securityContext: {runAsUser: 62102}\n",
        1,
    );
    let printed = cluster.kubectl(&["-n", &strict.name, "apply", "-f", "-"], &yaml).await?;
    ensure!(!printed.success && printed.stderr.contains("62102"), "{}", printed.stderr);
    Ok(())
}
