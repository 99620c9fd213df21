//! Certificates that somebody deletes, edits, or brings along.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use rasp_e2e::admissions::{self, Tally};
use rasp_e2e::cluster::{Cluster, wait_for};
use rasp_e2e::product::{NAMESPACE, OPERATOR, ReadOnly, operator_metrics, operator_pods, sample};
use rasp_e2e::workload::is_ready;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;

const SECRET: &str = "kube-rasp-webhook-tls";
const WEBHOOKS: &str = "kube-rasp-injector";
const ENFORCED: [(&str, &str); 1] = [("rasp.dev/inject", "enforced")];
/// What the documentation promises.
const REPAIR: Duration = Duration::from_secs(10);
/// Three failed readiness probes, two seconds apart, and as much again.
const UNREADY_AFTER: Duration = Duration::from_secs(15);

struct Seen {
    secrets: Api<Secret>,
    configurations: Api<MutatingWebhookConfiguration>,
}

impl Seen {
    fn new(cluster: &Cluster) -> Self {
        let client = cluster.client.clone();
        Self { secrets: Api::namespaced(client.clone(), NAMESPACE), configurations: Api::all(client) }
    }

    async fn secret(&self) -> anyhow::Result<Option<std::collections::BTreeMap<String, ByteString>>> {
        Ok(self.secrets.get_opt(SECRET).await?.and_then(|secret| secret.data))
    }

    /// The caBundle of each webhook.
    async fn bundles(&self) -> anyhow::Result<Vec<Option<ByteString>>> {
        let configuration = self.configurations.get(WEBHOOKS).await?;
        Ok(configuration
            .webhooks
            .unwrap_or_default()
            .into_iter()
            .map(|webhook| webhook.client_config.ca_bundle)
            .collect())
    }
}

#[tokio::test]
async fn a_secret_or_a_ca_bundle_that_is_deleted_or_edited_is_repaired_within_ten_seconds()
-> anyhow::Result<()> {
    let cluster = Cluster::connect_alone().await?;
    let seen = Seen::new(&cluster);
    let (secret, bundles) = (seen.secret().await?.context("a Secret")?, seen.bundles().await?);
    ensure!(bundles.iter().all(|bundle| bundle.as_ref() == secret.get("ca.crt")), "every webhook has the CA");
    let (stranger, _) = authority()?;
    let bundle = |value: serde_json::Value| json!([{ "op": "replace", "path": "/webhooks/1/clientConfig/caBundle", "value": value }]);
    let edits = [
        ("the Secret is deleted", None, None),
        ("the Secret is emptied", Some(json!({"data": {"tls.crt": null, "ca.key": null}})), None),
        ("the Secret is broken", Some(json!({"stringData": {"tls.crt": "text"}})), None),
        ("the caBundle is another", None, Some(bundle(json!(ByteString(stranger.into_bytes()))))),
        ("the caBundle is empty", None, Some(bundle(json!("")))),
    ];
    for (what, of_secret, of_webhooks) in edits {
        let parameters = PatchParams::default();
        match (of_secret, of_webhooks) {
            (Some(patch), _) => drop(seen.secrets.patch(SECRET, &parameters, &Patch::Merge(patch)).await?),
            (None, Some(patch)) => {
                let patch: Patch<()> = Patch::Json(serde_json::from_value(patch)?);
                seen.configurations.patch(WEBHOOKS, &parameters, &patch).await?;
            }
            (None, None) => drop(seen.secrets.delete(SECRET, &DeleteParams::default()).await?),
        }
        let start = Instant::now();
        let repaired = || async {
            let same = seen.secret().await?.as_ref() == Some(&secret) && seen.bundles().await? == bundles;
            Ok(same.then_some(()))
        };
        wait_for(&format!("the repair after {what}"), REPAIR, repaired).await?;
        println!("{what}: repaired after {:?}", start.elapsed());
    }
    let insisting = cluster.namespace("insisting", &ENFORCED).await?;
    injected_again(&cluster, &insisting.name).await
}

#[tokio::test]
async fn a_ca_bundle_that_nobody_repairs_is_told_and_takes_no_replica_out_of_the_service()
-> anyhow::Result<()> {
    let cluster = Cluster::connect_alone().await?;
    let seen = Seen::new(&cluster);
    let bundles = seen.bundles().await?;
    let hand = ReadOnly::start(&cluster, "mutatingwebhookconfigurations").await?;
    let stayed = with_broken_bundle(&cluster, &seen).await;
    hand.end(&cluster).await?;
    stayed?;
    let repaired = || async { Ok((seen.bundles().await? == bundles).then_some(())) };
    wait_for("the repair", REPAIR, repaired).await?;
    let insisting = cluster.namespace("insisting", &ENFORCED).await?;
    injected_again(&cluster, &insisting.name).await
}

async fn with_broken_bundle(cluster: &Cluster, seen: &Seen) -> anyhow::Result<()> {
    let failed = async || {
        let page = operator_metrics(cluster).await?;
        anyhow::Ok(sample(&page, "rasp_webhook_probe_total", &["result=\"tls\""]))
    };
    let before = failed().await?;
    let (stranger, _) = authority()?;
    let path = "/webhooks/1/clientConfig/caBundle";
    let patch = json!([{ "op": "replace", "path": path, "value": ByteString(stranger.into_bytes()) }]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(patch)?);
    seen.configurations.patch(WEBHOOKS, &PatchParams::default(), &patch).await?;
    let start = Instant::now();
    while start.elapsed() < UNREADY_AFTER {
        let pods = operator_pods(cluster).await?;
        ensure!(pods.len() == 2 && pods.iter().all(is_ready), "after {:?}", start.elapsed());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let told = || async { Ok((failed().await? >= before + 2.0).then_some(())) };
    wait_for("both replicas to tell it", REPAIR, told).await
}

/// Waits until pods are injected. After a rollout of the operator its Service gets the new replicas a moment after they are ready.
async fn injected_again(cluster: &Cluster, namespace: &str) -> anyhow::Result<()> {
    let reached = || async {
        let tally = admissions::dry_run(cluster, namespace, 4, Duration::ZERO).await?;
        Ok((tally == Tally::injected(4)).then_some(()))
    };
    wait_for("the webhook to be reached", REPAIR, reached).await
}

#[tokio::test]
async fn a_certificate_that_somebody_else_keeps_is_served_never_written_and_missed_when_it_is_gone()
-> anyhow::Result<()> {
    let cluster = Cluster::connect_alone().await?;
    let seen = Seen::new(&cluster);
    let before = seen.secret().await?.context("a Secret")?;
    let foreign = foreign();
    let result = match foreign {
        Ok(data) => with_foreign(&cluster, &seen, data).await,
        Err(error) => Err(error),
    };
    // Whatever happened: the operator keeps its own certificate again, the one that pods were injected with.
    source(&cluster, "self", &before).await?;
    result?;
    ensure!(seen.secret().await?.as_ref() == Some(&before), "its own Secret is good as it is");
    Ok(())
}

async fn with_foreign(
    cluster: &Cluster,
    seen: &Seen,
    data: std::collections::BTreeMap<String, ByteString>,
) -> anyhow::Result<()> {
    source(cluster, "secret", &data).await?;
    let ca = data.get("ca.crt").cloned();
    let placed = || async { Ok(seen.bundles().await?.iter().all(|bundle| *bundle == ca).then_some(())) };
    wait_for("the caBundle of the other CA", REPAIR, placed).await?;
    let insisting = cluster.namespace("insisting", &ENFORCED).await?;
    let injected = async || {
        let tally = admissions::dry_run(cluster, &insisting.name, 4, Duration::ZERO).await?;
        ensure!(tally == Tally::injected(4), "{tally:?}");
        anyhow::Ok(())
    };
    injected_again(cluster, &insisting.name).await?;
    seen.secrets.delete(SECRET, &DeleteParams::default()).await?;
    let told = || async {
        let page = operator_metrics(cluster).await?;
        let labels = ["secret=\"certificate\"", "reason=\"absent\""];
        Ok((sample(&page, "rasp_secret_problem", &labels) > 1.0).then_some(()))
    };
    wait_for("both replicas to miss the Secret", REPAIR, told).await?;
    injected().await?;
    ensure!(seen.secret().await?.is_none(), "nobody makes it");
    ensure!(operator_pods(cluster).await?.iter().all(is_ready), "what was in it is served");
    Ok(())
}

/// Puts this into the Secret, tells the operator who keeps it, and waits until both replicas were told.
async fn source(
    cluster: &Cluster,
    source: &str,
    data: &std::collections::BTreeMap<String, ByteString>,
) -> anyhow::Result<()> {
    let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    // The old replicas would repair what they keep themselves: first they are told, and wait for the Secret.
    let environment = json!([{ "name": "RASP_CERTIFICATE_SOURCE", "value": source }]);
    let containers = json!([{ "name": "operator", "env": environment }]);
    let patch = json!({"spec": {"replicas": 0, "template": {"spec": {"containers": containers}}}});
    deployments.patch(OPERATOR, &PatchParams::default(), &Patch::Strategic(patch)).await?;
    let gone = || async { Ok(operator_pods(cluster).await?.is_empty().then_some(())) };
    wait_for("the replicas to end", Duration::from_secs(60), gone).await?;
    if secrets.get_opt(SECRET).await?.is_some() {
        secrets.delete(SECRET, &DeleteParams::default()).await?;
    }
    let secret: Secret = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": data,
        "metadata": { "name": SECRET, "labels": { "app.kubernetes.io/managed-by": "kube-rasp" } },
    }))?;
    secrets.create(&kube::api::PostParams::default(), &secret).await?;
    let patch = json!({"spec": {"replicas": 2}});
    deployments.patch(OPERATOR, &PatchParams::default(), &Patch::Merge(patch)).await?;
    let ready = || async {
        let pods = operator_pods(cluster).await?;
        Ok((pods.len() == 2 && pods.iter().all(is_ready)).then_some(()))
    };
    wait_for("two ready replicas", Duration::from_secs(90), ready).await
}

/// A CA, and its key.
fn authority() -> anyhow::Result<(String, Issuer<'static, KeyPair>)> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key)?.pem();
    Ok((pem, Issuer::new(params, key)))
}

/// What cert-manager or a person would put there: no key of the CA.
fn foreign() -> anyhow::Result<std::collections::BTreeMap<String, ByteString>> {
    let (ca, issuer) = authority()?;
    let key = KeyPair::generate()?;
    let leaf =
        CertificateParams::new(vec![format!("{OPERATOR}.{NAMESPACE}.svc")])?.signed_by(&key, &issuer)?;
    let entries = [("ca.crt", ca), ("tls.crt", leaf.pem()), ("tls.key", key.serialize_pem())];
    Ok(entries.into_iter().map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes()))).collect())
}
