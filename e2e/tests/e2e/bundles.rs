//! Bundles that nobody should obey, written where sidecars read them.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use rasp_e2e::cluster::{Cluster, wait_for};
use rasp_e2e::http;
use rasp_e2e::product::{
    ATTACK, BENIGN, ENABLED, NAMESPACE, ROLLOUT, ReadOnly, condition, condition_is, envelope, policy,
    programmed, sample, sidecar_metrics, status, write_envelope,
};
use rasp_e2e::workload::{PORT, name, protected_web, ready_pods, restarts};
use rasp_policy::bundle::{Bundle, Envelope};
use rcgen::{KeyPair, SigningKey as _};

#[tokio::test]
async fn a_policy_that_breaks_the_schema_is_refused_with_the_path_of_the_field() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let shop = cluster.namespace("shop", &ENABLED).await?;
    let table = [
        ("{mode: Blok}", "spec.mode"),
        ("{failureMode: Maybe}", "spec.failureMode"),
        ("{detections: {sqlInjection: {minConfidence: Sure}}}", "spec.detections.sqlInjection.minConfidence"),
        ("{detections: {sqlInjection: {mode: On}}}", "spec.detections.sqlInjection.mode"),
        ("{inspection: {maxBodyBytes: 1}}", "spec.inspection.maxBodyBytes"),
        ("{response: {status: 200}}", "spec.response.status"),
        ("{response: {contentType: text/html}}", "set body as well"),
        (
            "{podSelector: {matchExpressions: [{key: a, operator: In}]}}",
            "spec.podSelector.matchExpressions[0]",
        ),
        ("{mood: Block}", "spec.mood"),
    ];
    for (spec, expected) in table {
        let yaml = format!(
            "apiVersion: rasp.dev/v1alpha1\nkind: RaspPolicy\nmetadata: {{name: bad}}\nspec: {spec}\n"
        );
        let arguments = ["-n", shop.name.as_str(), "apply", "--validate=strict", "-f", "-"];
        let printed = cluster.kubectl(&arguments, &yaml).await?;
        ensure!(!printed.success && printed.stderr.contains(expected), "{spec}: {}", printed.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn a_tampered_an_unsigned_a_newer_and_an_older_bundle_are_refused_counted_reported_and_change_nothing()
-> anyhow::Result<()> {
    let cluster = Cluster::connect_alone().await?;
    let (shop, pod, ip) = protected_web(&cluster).await?;
    // The one that the pod was started with: the file has held it. A newer one that the stream was faster with would be
    // taken for a file on its way.
    let older = envelope(&cluster, &shop.name).await?;
    policy(&cluster, &shop.name, "web", "{mode: Block, response: {status: 418}}").await?;
    let good = envelope(&cluster, &shop.name).await?;
    let mut tampered: serde_json::Value = serde_json::from_str(&good)?;
    tampered["payload"] = serde_json::from_str::<serde_json::Value>(&older)?["payload"].clone();
    let mut unsigned: serde_json::Value = serde_json::from_str(&older)?;
    unsigned["signatures"] = serde_json::json!([]);

    // The operator would repair the ConfigMap before a sidecar reads it: take that right away for a while.
    let newer = of_the_future(&cluster, &good).await?;
    let hand = ReadOnly::start(&cluster, "configmaps").await?;
    let table = [
        (tampered.to_string(), "signature"),
        (unsigned.to_string(), "unsigned"),
        (newer, "unknown_field"),
        (older, "older"),
    ];
    let tested = async {
        for (text, reason) in table {
            let label = format!("kind=\"bundle_{reason}\"");
            let before = sample(&sidecar_metrics(ip).await?, "rasp_errors_total", &[&label]);
            write_envelope(&cluster, &shop.name, &text).await?;
            let counted = || async {
                let now = sample(&sidecar_metrics(ip).await?, "rasp_errors_total", &[&label]);
                Ok((now > before).then_some(()))
            };
            wait_for(&format!("{reason} to be counted"), ROLLOUT, counted).await?;
            let degraded = status(&cluster, &shop.name, "web", &format!("Degraded by {reason}"), |status| {
                condition(status, "Degraded")
                    .is_some_and(|c| c.status == "True" && c.message.contains(reason))
            })
            .await?;
            let message = &condition(&degraded, "Degraded").context("Degraded")?.message;
            ensure!(message.contains(&name(&pod)), "the pod is named: {message}");
            ensure!(
                http::get(ip, PORT, ATTACK).await.status() == Some(418),
                "{reason}: the last good policy blocks"
            );
            ensure!(http::get(ip, PORT, BENIGN).await.status() == Some(200), "{reason}: traffic goes on");
        }
        anyhow::Ok(())
    };
    let tested = tested.await;
    hand.end(&cluster).await?;
    tested?;
    let healthy = |status: &rasp_policy::api::RaspPolicyStatus| condition_is(status, "Degraded", "False");
    status(&cluster, &shop.name, "web", "not Degraded after the repair", healthy).await?;
    programmed(&cluster, &shop.name, "web").await?;
    let now = ready_pods(&cluster, &shop.name, "web", 1).await?.remove(0);
    ensure!(restarts(&now, "rasp-proxy") == 0, "nothing restarted");
    Ok(())
}

#[tokio::test]
async fn an_edited_or_deleted_bundle_is_repaired_by_the_operator() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let (shop, ..) = protected_web(&cluster).await?;
    policy(&cluster, &shop.name, "web", "{mode: Block}").await?;
    let good = envelope(&cluster, &shop.name).await?;
    write_envelope(&cluster, &shop.name, "{}").await?;
    // Sidecars may have seen what was there meanwhile, so the repair is a new Bundle of the same policies.
    let good = bundle(&good)?;
    let repaired = || async {
        let found = envelope(&cluster, &shop.name).await.ok().and_then(|text| bundle(&text).ok());
        let newer = |found: &Bundle| found.entries == good.entries && found.sequence > good.sequence;
        Ok(found.filter(newer).map(drop))
    };
    wait_for("the edited Bundle to be repaired", Duration::from_secs(60), repaired).await?;
    let arguments = ["-n", shop.name.as_str(), "delete", "configmap", "rasp-policy"];
    ensure!(cluster.kubectl(&arguments, "").await?.success);
    wait_for("the deleted Bundle to be repaired", Duration::from_secs(60), repaired).await?;
    Ok(())
}

/// What the operator of a later version may write: signed by the key in use, with a field that no sidecar of now knows.
async fn of_the_future(cluster: &Cluster, envelope: &str) -> anyhow::Result<String> {
    let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let data = secrets.get("kube-rasp-signing-key").await?.data.context("data")?;
    let key = KeyPair::from_pem(std::str::from_utf8(&data.get("signing.key").context("signing.key")?.0)?)?;
    let payload = Envelope::open(envelope.as_bytes(), |_, _, _| true)?;
    let mut bundle: serde_json::Value = serde_json::from_slice(&payload)?;
    bundle["entries"][0]["spec"]["ofTheFuture"] = serde_json::json!({"percent": 10});
    let sign = |message: &[u8]| key.sign(message).unwrap_or_default(); // no signature is refused as another reason
    Ok(Envelope::seal(&serde_json::to_vec(&bundle)?, "", sign).to_text())
}

/// What an envelope carries, whoever signed it.
fn bundle(envelope: &str) -> anyhow::Result<Bundle> {
    let payload = Envelope::open(envelope.as_bytes(), |_, _, _| true)?;
    Ok(Bundle::from_verified(&payload)?)
}
