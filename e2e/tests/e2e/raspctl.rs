//! raspctl on the cluster, as its users run it: a process with a kubeconfig.

use std::net::IpAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Pod;
use rasp_e2e::cluster::{Cluster, Printed, variable, wait_for};
use rasp_e2e::http;
use rasp_e2e::product::{ATTACK, policy};
use rasp_e2e::workload::{PORT, addresses, name, nginx, protected_web, ready_pods};
use serde_json::Value;

pub(crate) async fn raspctl(arguments: &[&str], input: &str) -> anyhow::Result<Printed> {
    use tokio::io::AsyncWriteExt as _;
    let mut child = tokio::process::Command::new(variable("RASP_E2E_RASPCTL")?)
        .env("KUBECONFIG", variable("RASP_E2E_KUBECONFIG")?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("start raspctl")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).await?;
    }
    let output = child.wait_with_output().await?;
    Ok(Printed {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

pub(crate) async fn json(arguments: &[&str]) -> anyhow::Result<Value> {
    let printed = raspctl(&[arguments, &["-o", "json"]].concat(), "").await?;
    serde_json::from_str(&printed.stdout).with_context(|| format!("{arguments:?}: {printed:?}"))
}

fn line<'a>(report: &'a Value, check: &str) -> anyhow::Result<&'a Value> {
    let lines = report["lines"].as_array().context("lines")?;
    lines.iter().find(|line| line["check"] == check).with_context(|| format!("no line {check}: {report}"))
}

#[tokio::test]
async fn raspctl_check_passes_an_installation_that_works_and_names_unprotected_pods() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let late = cluster.namespace("late", &[]).await?;
    cluster.apply(&late.name, &nginx("web", 1)).await?;
    let bare = ready_pods(&cluster, &late.name, "web", 1).await?.remove(0);
    let arguments = ["label", "namespace", late.name.as_str(), "rasp.dev/inject=enabled"];
    ensure!(cluster.kubectl(&arguments, "").await?.success);

    let report = json(&["check", "--probe-namespace", &late.name]).await?;
    for check in [
        "kubernetes_version",
        "clock",
        "nodes",
        "crds",
        "permissions",
        "operator",
        "webhook",
        "ca_bundle",
        "certificate",
        "admission",
        "settings",
    ] {
        ensure!(line(&report, check)?["status"] == "pass", "{check}: {report:#}");
    }
    let pods = line(&report, "pods")?;
    ensure!(pods["status"] == "fail" && pods.to_string().contains("not_injected"), "{pods}");
    let named = format!("{}/{}", late.name, name(&bare));
    let status = json(&["status", "-n", &late.name]).await?;
    ensure!(status["namespaces"][0]["pods"][0]["pod"] == name(&bare), "{named}: {status:#}");
    ensure!(!raspctl(&["check"], "").await?.success, "a line that fails is exit code 1");

    let pre = json(&["check", "--pre"]).await?;
    for check in ["kubernetes_version", "crds", "permissions", "installation"] {
        ensure!(line(&pre, check)?["status"] == "pass", "{check}: {pre:#}");
    }
    Ok(())
}

#[tokio::test]
async fn raspctl_status_and_explain_tell_what_is_in_force_and_why_a_request_was_blocked() -> anyhow::Result<()>
{
    let cluster = Cluster::connect().await?;
    let (shop, pod, ip): (_, Pod, IpAddr) = protected_web(&cluster).await?;
    policy(&cluster, &shop.name, "all", "{mode: Monitor, response: {status: 418}}").await?;
    policy(&cluster, &shop.name, "web", "{podSelector: {matchLabels: {app: web}}, mode: Block}").await?;

    let status = json(&["status", "-n", &shop.name]).await?;
    let namespace = &status["namespaces"][0];
    ensure!(namespace["protected"] == 1 && namespace["outdated"] == 0, "{status:#}");
    ensure!(namespace["mode"] == "Block" || namespace["mode"] == "Mixed", "{status:#}");
    let block =
        namespace["policies"].as_array().and_then(|all| all.iter().find(|one| one["policy"] == "web"));
    let block = block.context("the policy")?;
    ensure!(block["observed"] == "Block" && block["digest"] == namespace["digest"], "{status:#}");

    let explained = json(&["explain", "policy", &format!("pod/{}", name(&pod)), "-n", &shop.name]).await?;
    ensure!(explained["verified"] == true, "{explained:#}");
    let fields = &explained["explanations"][0]["fields"];
    let mode = fields.as_array().and_then(|all| all.iter().find(|field| field["field"] == "spec.mode"));
    let mode = mode.context("spec.mode")?;
    ensure!(mode["decidedBy"][0]["name"] == "web" && mode["overridden"][0]["name"] == "all", "{explained:#}");

    let http::Outcome::Answered(blocked) = http::get(ip, PORT, ATTACK).await else {
        anyhow::bail!("no answer")
    };
    ensure!(blocked.status == 418, "{}", blocked.head);
    let id = blocked.field("x-request-id").context("a request id")?;
    // The event is written after the answer, and kubelet reads it later still.
    let told = || async {
        let printed = raspctl(&["explain", id, "-n", &shop.name], "").await?;
        Ok(printed.success.then_some(printed))
    };
    let printed = wait_for("the event of the request", Duration::from_secs(15), told).await?;
    let place = format!("{}/{}", shop.name, name(&pod));
    for says in [
        place.as_str(),
        "Blocked: ",
        "sql_injection",
        "where     query \"id\"",
        &format!("spec.mode is Block: RaspPolicy {}/web", shop.name),
        "kind: RaspException",
        "path: /index.html",
    ] {
        ensure!(printed.stdout.contains(says), "{says}: {printed:?}");
    }
    ensure!(!printed.stdout.contains("have changed since"), "{printed:?}");
    // What it proposes is an exception that the API server takes, and that lets the request pass.
    let explained = json(&["explain", id, "-n", &shop.name]).await?;
    cluster.apply(&shop.name, &explained[0]["exception"].to_string()).await?;
    wait_for("the exception to be in force", Duration::from_secs(20), || async {
        Ok((http::get(ip, PORT, ATTACK).await.status() == Some(200)).then_some(()))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_manifest_that_raspctl_injects_runs_as_one_that_the_webhook_injects() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    // The namespace asks for nothing, so that the sidecar can only be from the manifest.
    let plain = cluster.namespace("plain", &[]).await?;
    let manifest = nginx("web", 1);
    let injected = raspctl(&["inject", "-f", "-", "--namespace", &plain.name], &manifest).await?;
    ensure!(injected.success && injected.stderr.contains("deployment/web: injected"), "{injected:?}");
    let again = raspctl(&["uninject", "-f", "-"], &injected.stdout).await?;
    ensure!(again.stdout == manifest, "uninject gives it back: {again:?}");
    cluster.apply(&plain.name, &injected.stdout).await?;
    let pod = ready_pods(&cluster, &plain.name, "web", 1).await?.remove(0);
    let ip = *addresses(&pod)?.first().context("address")?;
    ensure!(http::get(ip, PORT, ATTACK).await.status() == Some(200), "it monitors without a Bundle");
    // And once the namespace asks, the webhook says of the same pod that it is what it would have made.
    let arguments = ["label", "namespace", plain.name.as_str(), "rasp.dev/inject=enabled"];
    ensure!(cluster.kubectl(&arguments, "").await?.success);
    let restart = ["-n", plain.name.as_str(), "delete", "pods", "--all", "--wait=false", "--grace-period=1"];
    ensure!(cluster.kubectl(&restart, "").await?.success);
    ready_pods(&cluster, &plain.name, "web", 1).await?;
    let status = json(&["status", "-n", &plain.name]).await?;
    let namespace = &status["namespaces"][0];
    ensure!(namespace["protected"] == 1 && namespace["unprotected"] == 0, "{status:#}");
    policy(&cluster, &plain.name, "web", "{mode: Block}").await?;
    let pod = ready_pods(&cluster, &plain.name, "web", 1).await?.remove(0);
    let ip = *addresses(&pod)?.first().context("address")?;
    ensure!(http::get(ip, PORT, ATTACK).await.status() == Some(403), "and it gets its policy");
    Ok(())
}
