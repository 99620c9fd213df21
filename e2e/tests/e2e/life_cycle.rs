//! Upgrade, rollback, uninstall and the plain manifests, each with protected pods that run on meanwhile.
//!
//! There is no released version yet. The later version of these tests is this chart under another version number, with its
//! images under another tag: what it shows is that the operator is replaced, not that two different ones understand each other.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use rasp_e2e::cluster::{Cluster, wait_for};
use rasp_e2e::http;
use rasp_e2e::product::{
    ATTACK, NAMESPACE, OPERATOR, ROLLOUT, condition_is, counts, operator_metrics, operator_pods, patch_mode,
    policy, programmed, sample, status,
};
use rasp_e2e::workload::{PORT, nginx, protected_web, ready_pods, shell};
use rasp_policy::api::RaspPolicyStatus;

use load::{Load, admissions, is_injected, question, sidecar_image};

mod load;

/// A policy that no default could explain.
const TEAPOT: &str = "{mode: Block, response: {status: 418, body: teapot}}";
const OURS: &str = "app.kubernetes.io/part-of=kube-rasp";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("rasp-e2e-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    fn file(&self, name: &str, contents: &str) -> anyhow::Result<String> {
        let path = self.0.join(name);
        std::fs::write(&path, contents)?;
        Ok(path.to_string_lossy().into_owned())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn upgrade(cluster: &Cluster, chart: &Path, settings: &str) -> anyhow::Result<()> {
    let chart = chart.to_string_lossy();
    let arguments = [
        "upgrade",
        "kube-rasp",
        &chart,
        "--namespace",
        NAMESPACE,
        "--reset-then-reuse-values",
        "--set",
        settings,
        "--wait",
        "--timeout",
        "120s",
        "--force-conflicts",
    ];
    cluster.helm(&arguments).await.map(drop)
}

/// The chart as a later version has it.
fn later_chart(folder: &Folder) -> anyhow::Result<PathBuf> {
    let to = folder.0.join("kube-rasp");
    let copied =
        std::process::Command::new("cp").arg("-r").arg(root().join("charts/kube-rasp")).arg(&to).status()?;
    ensure!(copied.success(), "copy the chart");
    let file = to.join("Chart.yaml");
    let text = std::fs::read_to_string(&file)?;
    let later = text.replace("ersion: 0.1.0", "ersion: 0.99.0");
    ensure!(later != text, "the chart has another version than this test knows: {text}");
    std::fs::write(&file, later)?;
    Ok(to)
}

/// Starts a pod once new pods get the sidecar of this tag: replicas that end serve for ten seconds more.
async fn start_pod(cluster: &Cluster, namespace: &str, name: &str, tag: &str) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let pod = question()?;
    let replaced = || async {
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let image = sidecar_image(&pods.create(&dry, &pod).await?);
        let operators = operator_pods(cluster).await?;
        let mut running =
            operators.iter().filter_map(|pod| pod.spec.as_ref()?.containers.first()?.image.as_deref());
        Ok((image.is_some_and(|image| image.ends_with(tag)) && running.all(|image| image.ends_with(tag)))
            .then_some(()))
    };
    wait_for(&format!("operators and sidecars {tag}"), Duration::from_secs(60), replaced).await?;
    cluster.apply(namespace, &shell(name, "exec /bin/busybox sleep 100000")).await?;
    let pod = ready_pods(cluster, namespace, name, 1).await?.remove(0);
    let image = sidecar_image(&pod).context("a sidecar")?;
    ensure!(image.ends_with(tag), "{image}");
    Ok(())
}

#[tokio::test]
async fn an_upgrade_and_its_rollback_lose_no_request_no_protection_and_no_admission() -> anyhow::Result<()> {
    let cluster = Cluster::connect_alone().await?;
    let (shop, _, ip) = protected_web(&cluster).await?;
    policy(&cluster, &shop.name, "teapot", TEAPOT).await?;
    let folder = Folder::new("upgrade")?;
    let later = later_chart(&folder)?;
    let before = revision(&cluster).await?;

    let (load, asked) = (Load::start(ip), admissions(&cluster, &shop.name));
    let result = async {
        upgrade(&cluster, &later, "images.operator.tag=next,images.proxy.tag=next").await?;
        start_pod(&cluster, &shop.name, "later", ":next").await?;
        // The sidecar of the earlier version follows the operator of the later one.
        policy(&cluster, &shop.name, "teapot", &TEAPOT.replace("teapot", "kettle")).await?;
        let http::Outcome::Answered(blocked) = http::get(ip, PORT, ATTACK).await else { bail!("no answer") };
        ensure!(blocked.status == 418 && blocked.body == b"kettle", "{}", blocked.head);
        older_sidecars_are_told(&cluster, &shop.name, 1).await
    }
    .await;
    let back = [
        "rollback",
        "kube-rasp",
        &before,
        "--namespace",
        NAMESPACE,
        "--wait",
        "--timeout",
        "120s",
        "--force-conflicts",
    ];
    cluster.helm(&back).await?;
    result?;

    start_pod(&cluster, &shop.name, "back", ":dev").await?;
    // And the sidecar of the later version follows the operator of the earlier one.
    let status = programmed_again(&cluster, &shop.name).await?;
    ensure!(status == 3, "web, later and back acknowledge: {status}");
    load.end().await?;
    asked.end().await
}

/// So many pods have the policy and a sidecar of another version: gauge, status and column say so, and it is no fault.
async fn older_sidecars_are_told(cluster: &Cluster, namespace: &str, older: i32) -> anyhow::Result<()> {
    let told = |status: &RaspPolicyStatus| counts(status).outdated_sidecars == Some(older);
    let status = status(cluster, namespace, "teapot", "with an older sidecar", told).await?;
    ensure!(condition_is(&status, "Degraded", "False") && counts(&status).outdated == 0, "{status:?}");
    let labels = [&*format!("namespace=\"{namespace}\""), "reason=\"OutdatedSidecar\""];
    let counted = sample(&operator_metrics(cluster).await?, "rasp_pods_outdated", &labels);
    ensure!(counted.total_cmp(&f64::from(older)).is_eq(), "{counted}");
    let printed = cluster.kubectl(&["-n", namespace, "get", "rasppolicies", "-o", "wide"], "").await?.stdout;
    ensure!(printed.contains("OUTDATED SIDECARS"), "{printed}");
    Ok(())
}

/// Changes the policy and returns how many pods acknowledge it.
async fn programmed_again(cluster: &Cluster, namespace: &str) -> anyhow::Result<i32> {
    policy(cluster, namespace, "teapot", &TEAPOT.replace("teapot", "again")).await?;
    let all = || async {
        let status = programmed(cluster, namespace, "teapot").await?;
        let count = status.targets.unwrap_or_default().programmed;
        Ok((count >= 3).then_some(count))
    };
    wait_for("every pod to acknowledge", ROLLOUT, all).await
}

/// The release's revision number.
async fn revision(cluster: &Cluster) -> anyhow::Result<String> {
    let printed =
        cluster.helm(&["list", "--namespace", NAMESPACE, "--filter", "^kube-rasp$", "-o", "json"]).await?;
    let list: serde_json::Value = serde_json::from_str(&printed.stdout)?;
    let revision = &list[0]["revision"];
    let text = revision.as_str().map_or_else(|| revision.to_string(), str::to_owned);
    ensure!(text.parse::<u32>().is_ok(), "a revision: {}", printed.stdout);
    Ok(text)
}

#[tokio::test]
async fn after_an_uninstall_pods_keep_their_policy_until_the_manifests_or_the_chart_take_over()
-> anyhow::Result<()> {
    let cluster = Cluster::connect_alone().await?;
    let (shop, _, ip) = protected_web(&cluster).await?;
    policy(&cluster, &shop.name, "teapot", TEAPOT).await?;
    let folder = Folder::new("uninstall")?;
    let values =
        cluster.helm(&["get", "values", "kube-rasp", "--namespace", NAMESPACE, "-o", "json"]).await?.stdout;
    let values = folder.file("values.json", &values)?;

    let load = Load::start(ip);
    let result = without_chart(&cluster, &shop.name, ip).await;
    // Whatever happened, the other tests need it back.
    let back = install(&cluster, &values).await;
    result?;
    back?;

    // The same keys, the same policies: nobody restarts a pod because of a new installation.
    policy(&cluster, &shop.name, "teapot", &TEAPOT.replace("teapot", "back")).await?;
    load.end().await?;
    patch_mode(&cluster, &shop.name, "teapot", "Monitor").await?;
    programmed(&cluster, &shop.name, "teapot").await?;
    ensure!(http::get(ip, PORT, ATTACK).await.status() == Some(200), "the pod follows the new installation");
    Ok(())
}

/// Both charts, with the values of a file.
async fn install(cluster: &Cluster, values: &str) -> anyhow::Result<()> {
    let crds = root().join("charts/kube-rasp-crds");
    let chart = root().join("charts/kube-rasp");
    for (name, chart, more) in [
        ("kube-rasp-crds", crds, vec!["--force-conflicts"]),
        ("kube-rasp", chart, vec!["--force-conflicts", "--wait", "--timeout", "120s", "--values", values]),
    ] {
        let chart = chart.to_string_lossy();
        let arguments: Vec<&str> = ["upgrade", "--install", name, &chart, "--namespace", NAMESPACE]
            .into_iter()
            .chain(more)
            .collect();
        cluster.helm(&arguments).await?;
    }
    Ok(())
}

async fn without_chart(cluster: &Cluster, shop: &str, ip: IpAddr) -> anyhow::Result<()> {
    cluster
        .helm(&["uninstall", "kube-rasp", "--namespace", NAMESPACE, "--wait", "--timeout", "120s"])
        .await?;
    let gone = || async { Ok(operator_pods(cluster).await?.is_empty().then_some(())) };
    wait_for("the operator's pods to be gone", Duration::from_secs(60), gone).await?;
    nothing_is_left(cluster).await?;

    // Nothing stands in the way of what happens next.
    cluster.apply(shop, &shell("later", "exec /bin/busybox sleep 100000")).await?;
    let later = ready_pods(cluster, shop, "later", 1).await?.remove(0);
    ensure!(!is_injected(&later), "there is nobody to inject it");
    let other = cluster.namespace("other", &[("rasp.dev/inject", "enforced")]).await?;
    let yaml = "apiVersion: rasp.dev/v1alpha1\nkind: RaspPolicy\nmetadata: {name: p}\nspec: {mode: Block}\n";
    cluster.apply(&other.name, yaml).await?;
    let deleted = cluster.kubectl(&["-n", &other.name, "delete", "rp", "p", "--timeout=10s"], "").await?;
    ensure!(deleted.success, "a policy can be deleted: {}", deleted.stderr);
    let deleted = cluster.kubectl(&["delete", "namespace", &other.name, "--timeout=30s"], "").await?;
    ensure!(deleted.success, "a namespace can be deleted: {}", deleted.stderr);

    cluster.helm(&["uninstall", "kube-rasp-crds", "--namespace", NAMESPACE]).await?;
    let kept = cluster.kubectl(&["-n", shop, "get", "rasppolicies", "-o", "name"], "").await?;
    ensure!(kept.stdout.contains("teapot"), "the chart of the CRDs leaves them, and the policies: {kept:?}");
    plain_manifests(cluster, shop, ip).await
}

/// Nothing that acts, and nothing that a new installation trips over.
async fn nothing_is_left(cluster: &Cluster) -> anyhow::Result<()> {
    let kinds = "mutatingwebhookconfigurations,validatingwebhookconfigurations,validatingadmissionpolicies,\
        validatingadmissionpolicybindings,clusterroles,clusterrolebindings";
    for arguments in [
        vec!["get", kinds, "-l", OURS, "-o", "name"],
        vec![
            "-n",
            NAMESPACE,
            "get",
            "deployments,services,serviceaccounts,roles,rolebindings,pdb,leases,pods",
            "-o",
            "name",
        ],
    ] {
        let printed = cluster.kubectl(&arguments, "").await?;
        let left: Vec<&str> =
            printed.stdout.lines().filter(|line| *line != "serviceaccount/default").collect();
        ensure!(printed.success && left.is_empty(), "left: {left:?} {}", printed.stderr);
    }
    Ok(())
}

/// `kubectl apply` of what `make generate` writes is an installation too, and its removal is complete.
async fn plain_manifests(cluster: &Cluster, shop: &str, ip: IpAddr) -> anyhow::Result<()> {
    let read = |name: &str| std::fs::read_to_string(root().join("manifests").join(name));
    let install = read("install.yaml")?
        .replace("registry.example.com/kube-rasp/operator:0.1.0", "kube-rasp.test/operator:dev")
        .replace("registry.example.com/kube-rasp/proxy:0.1.0", "kube-rasp.test/proxy:dev")
        .replace("IfNotPresent", "Never");
    let mut settings = install.lines().filter(|line| !line.starts_with('#'));
    ensure!(!settings.any(|line| line.contains("registry.example.com")), "every image is replaced");
    for yaml in [&read("crds.yaml")?, &install] {
        let applied = cluster.kubectl(&["apply", "-f", "-"], yaml).await?;
        ensure!(applied.success, "{}", applied.stderr);
    }
    let deployment = format!("deployment/{OPERATOR}");
    let rollout = ["-n", NAMESPACE, "rollout", "status", &deployment, "--timeout=90s"];
    let rolled = cluster.kubectl(&rollout, "").await?;
    ensure!(rolled.success, "{}{}", rolled.stdout, rolled.stderr);
    let asked = async {
        // What was started meanwhile is counted as unprotected until it is started again.
        cluster.kubectl(&["-n", shop, "delete", "pod", "later", "--now"], "").await?;
        policy(cluster, shop, "teapot", &TEAPOT.replace("teapot", "manifests")).await?;
        let http::Outcome::Answered(blocked) = http::get(ip, PORT, ATTACK).await else { bail!("no answer") };
        ensure!(blocked.body == b"manifests", "the pod follows the manifests' operator: {}", blocked.head);
        let fresh = cluster.namespace("fresh", &[("rasp.dev/inject", "enforced")]).await?;
        cluster.apply(&fresh.name, &nginx("web", 1)).await?;
        let pod = ready_pods(cluster, &fresh.name, "web", 1).await?.remove(0);
        ensure!(is_injected(&pod), "new pods are injected");
        anyhow::Ok(())
    }
    .await;
    // All but the namespace, which holds the keys that running pods trust.
    let removed: Vec<&str> =
        install.split("\n---\n").filter(|part| !part.contains("kind: Namespace\n")).collect();
    let deleted =
        cluster.kubectl(&["delete", "--wait", "--timeout=60s", "-f", "-"], &removed.join("\n---\n")).await?;
    ensure!(deleted.success, "{}", deleted.stderr);
    asked?;
    let gone = || async { Ok(operator_pods(cluster).await?.is_empty().then_some(())) };
    wait_for("the operator's pods to be gone", Duration::from_secs(60), gone).await?;
    nothing_is_left(cluster).await
}

#[tokio::test]
async fn helm_test_passes_and_leaves_nothing() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let printed = cluster.helm(&["test", "kube-rasp", "--namespace", NAMESPACE, "--timeout", "150s"]).await?;
    ensure!(printed.stdout.contains("protected: ") || printed.stderr.contains("protected: "), "{printed:?}");
    let gone = || async {
        let namespace = cluster
            .kubectl(&["get", "namespace", "rasp-test", "--ignore-not-found", "-o", "name"], "")
            .await?;
        let pod = cluster
            .kubectl(
                &["-n", NAMESPACE, "get", "pod", "kube-rasp-test", "--ignore-not-found", "-o", "name"],
                "",
            )
            .await?;
        Ok((namespace.stdout.is_empty() && pod.stdout.is_empty()).then_some(()))
    };
    wait_for("the test's objects to be gone", Duration::from_secs(60), gone).await
}

#[tokio::test]
async fn a_lease_that_somebody_deletes_is_made_anew() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let before = leases.get(OPERATOR).await?;
    ensure!(
        before.metadata.annotations.is_some_and(|all| all.contains_key("meta.helm.sh/release-name")),
        "it is the chart's"
    );
    leases.delete(OPERATOR, &DeleteParams::default()).await?;
    let held = || async {
        let lease = leases.get_opt(OPERATOR).await?.filter(|lease| lease.metadata.uid != before.metadata.uid);
        Ok(lease.and_then(|lease| lease.spec?.holder_identity).filter(|holder| !holder.is_empty()))
    };
    let holder = wait_for("a new holder", Duration::from_secs(30), held).await?;
    let running: Vec<String> = operator_pods(&cluster).await?.iter().map(rasp_e2e::workload::name).collect();
    ensure!(running.contains(&holder), "{holder} is one of {running:?}");
    let of_helm = leases.get(OPERATOR).await?.metadata.annotations.unwrap_or_default();
    ensure!(of_helm.contains_key("meta.helm.sh/release-name"), "an uninstall removes it: {of_helm:?}");
    Ok(())
}
