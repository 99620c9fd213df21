//! Replicas that go, certificates and keys that are exchanged, and a leader that was away: what admissions see of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use rasp_e2e::admissions::{self, Tally};
use rasp_e2e::cluster::{Cluster, wait_for};
use rasp_e2e::http;
use rasp_e2e::node::Operator;
use rasp_e2e::product::{
    ATTACK, ENABLED, NAMESPACE, OPERATOR, envelope, operator_metrics, operator_pods, patch_mode, policy,
    programmed, sample,
};
use rasp_e2e::workload::{PORT, is_ready, name, protected_web, restarts};

const ENFORCED: [(&str, &str); 1] = [("rasp.dev/inject", "enforced")];

#[tokio::test]
async fn five_hundred_admissions_while_replicas_are_killed_are_injected_or_refused_and_none_is_half_done()
-> anyhow::Result<()> {
    let cluster = Cluster::connect_alone().await?;
    let asking = cluster.namespace("asking", &ENABLED).await?;
    let insisting = cluster.namespace("insisting", &ENFORCED).await?;
    let namespaces = [asking.name.as_str(), insisting.name.as_str()];

    // Deleted as a drain or a rollout deletes them.
    let (kills, [asked, insisted]) = while_killing(&cluster, namespaces, 250, None).await?;
    println!("500 admissions, {kills} replicas deleted: enabled {asked:?}, enforced {insisted:?}");
    ensure!(kills >= 3, "{kills} replicas were deleted");
    ensure!(asked == Tally::injected(250) && insisted == Tally::injected(250), "{asked:?} {insisted:?}");

    // Killed without a word, as a node that dies kills them.
    let (kills, [asked, insisted]) = while_killing(&cluster, namespaces, 100, Some(0)).await?;
    println!("200 admissions, {kills} replicas killed: enabled {asked:?}, enforced {insisted:?}");
    ensure!(asked.half_done == 0 && insisted.half_done == 0, "{asked:?} {insisted:?}");
    ensure!(insisted.plain == 0, "an enforced namespace starts nothing unprotected: {insisted:?}");
    ensure!(asked.refused == 0, "an enabled namespace refuses nothing: {asked:?}");
    settled(&cluster).await
}

/// Admissions in both namespaces at once, while one replica after the other is deleted at random; never both at a time.
async fn while_killing(
    cluster: &Cluster,
    [asking, insisting]: [&str; 2],
    count: usize,
    grace: Option<u32>,
) -> anyhow::Result<(usize, [Tally; 2])> {
    let done = Arc::new(AtomicBool::new(false));
    let killing = async {
        let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), NAMESPACE);
        let mut kills = 0;
        while !done.load(Ordering::Acquire) {
            let all = operator_pods(cluster).await?;
            let ready: Vec<_> = all.iter().filter(|pod| is_ready(pod)).collect();
            if ready.len() == 2 {
                let chance = usize::from(Instant::now().elapsed().subsec_nanos().is_multiple_of(2));
                let victim = ready.get((kills + chance) % 2).context("two are ready")?;
                let parameters = DeleteParams { grace_period_seconds: grace, ..DeleteParams::default() };
                pods.delete(&name(victim), &parameters).await?;
                kills += 1;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        anyhow::Ok(kills)
    };
    let asking = async {
        let pace = Duration::from_millis(100);
        let tallies = tokio::try_join!(
            admissions::dry_run(cluster, asking, count, pace),
            admissions::dry_run(cluster, insisting, count, pace),
        );
        done.store(true, Ordering::Release);
        tallies
    };
    let (kills, (asked, insisted)) = tokio::try_join!(killing, asking)?;
    Ok((kills, [asked, insisted]))
}

/// Two replicas are ready, and no other is left.
async fn settled(cluster: &Cluster) -> anyhow::Result<()> {
    let ask = || async {
        let pods = operator_pods(cluster).await?;
        Ok((pods.len() == 2 && pods.iter().all(is_ready)).then_some(()))
    };
    wait_for("two ready replicas", Duration::from_secs(90), ask).await
}

#[tokio::test]
async fn certificate_ca_and_signing_key_are_exchanged_under_load_and_sidecars_injected_before_go_on()
-> anyhow::Result<()> {
    let cluster = Cluster::connect_alone().await?;
    let (shop, pod, ip) = protected_web(&cluster).await?;
    let insisting = cluster.namespace("insisting", &ENFORCED).await?;
    policy(&cluster, &shop.name, "web", "{mode: Monitor}").await?;
    let reported = envelope(&cluster, &shop.name).await?;

    let done = Arc::new(AtomicBool::new(false));
    let load = async {
        let mut all = [Tally::default(); 2];
        while !done.load(Ordering::Acquire) {
            let pace = Duration::from_millis(20);
            let (asked, insisted) = tokio::try_join!(
                admissions::dry_run(&cluster, &shop.name, 20, pace),
                admissions::dry_run(&cluster, &insisting.name, 20, pace),
            )?;
            all = [all[0] + asked, all[1] + insisted];
        }
        anyhow::Ok(all)
    };
    let rotating = async {
        let rotated = async {
            rotate(&cluster, "kube-rasp-webhook-tls", "certificate", "tls.crt").await?;
            rotate(&cluster, "kube-rasp-webhook-tls", "ca", "ca.crt").await?;
            rotate(&cluster, "kube-rasp-signing-key", "signing-key", "signing.key").await?;
            // Every replica serves the new certificate after it has settled.
            tokio::time::sleep(Duration::from_secs(8)).await;
            anyhow::Ok(())
        };
        let rotated = rotated.await;
        done.store(true, Ordering::Release);
        rotated
    };
    let ([asked, insisted], ()) = tokio::try_join!(load, rotating)?;
    println!("admissions during three rotations: enabled {asked:?}, enforced {insisted:?}");
    ensure!(asked == Tally::injected(asked.injected) && asked.injected > 0, "{asked:?}");
    ensure!(insisted == Tally::injected(insisted.injected) && insisted.injected > 0, "{insisted:?}");

    // The sidecar knows the old CA and the old key only: it takes the new policy, and its report arrives.
    patch_mode(&cluster, &shop.name, "web", "Block").await?;
    programmed(&cluster, &shop.name, "web").await?;
    ensure!(http::get(ip, PORT, ATTACK).await.status() == Some(403), "blocks by a Bundle of the new key");
    let signer = |text: &str| -> anyhow::Result<String> {
        let value: serde_json::Value = serde_json::from_str(text)?;
        Ok(value["signatures"][0]["keyid"].as_str().context("key id")?.to_owned())
    };
    let now = envelope(&cluster, &shop.name).await?;
    ensure!(signer(&now)? != signer(&reported)?, "another key signs");
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &shop.name);
    let after = pods.get(&name(&pod)).await?;
    ensure!(restarts(&after, "rasp-proxy") == 0, "nothing restarted");
    let page = operator_metrics(&cluster).await?;
    for what in ["certificate", "ca", "signing_key"] {
        ensure!(sample(&page, "rasp_rotations_total", &[&format!("what=\"{what}\"")]) >= 1.0, "{page}");
    }
    Ok(())
}

/// Asks for a rotation as the documentation says, and waits until the Secret holds something else.
async fn rotate(cluster: &Cluster, secret: &str, what: &str, entry: &str) -> anyhow::Result<()> {
    let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let value = |secret: Secret| secret.data.and_then(|mut data| data.remove(entry));
    let before = value(secrets.get(secret).await?);
    let patch = serde_json::json!({"metadata": {"annotations": {"rasp.dev/rotate": what}}});
    secrets.patch(secret, &PatchParams::default(), &Patch::Merge(patch)).await?;
    let changed = || async {
        let found = secrets.get(secret).await?;
        let asked =
            found.metadata.annotations.as_ref().is_some_and(|all| all.contains_key("rasp.dev/rotate"));
        Ok((!asked && value(found) != before).then_some(()))
    };
    wait_for(&format!("the rotation of {what}"), Duration::from_secs(20), changed).await
}

#[tokio::test]
async fn a_leader_that_was_stopped_writes_nothing_when_it_goes_on() -> anyhow::Result<()> {
    let cluster = Cluster::connect_alone().await?;
    settled(&cluster).await?;
    let shop = cluster.namespace("shop", &ENABLED).await?;
    let policy =
        "apiVersion: rasp.dev/v1alpha1\nkind: RaspPolicy\nmetadata: {name: web}\nspec: {mode: Monitor}\n";
    cluster.apply(&shop.name, policy).await?;
    let written = || async { Ok(envelope(&cluster, &shop.name).await.ok()) };
    let first = wait_for("the first Bundle", Duration::from_secs(30), written).await?;

    let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let holder = || async {
        let spec = leases.get(OPERATOR).await?.spec.context("spec")?;
        anyhow::Ok(spec.holder_identity.unwrap_or_default())
    };
    let old = holder().await?;
    let stopped = Operator::of_pod(&old)?.stop()?;
    patch_mode(&cluster, &shop.name, "web", "Block").await?;
    let other = || async {
        let holder = holder().await?;
        Ok((holder != old && !holder.is_empty()).then_some(holder))
    };
    let new = wait_for("another leader", Duration::from_secs(30), other).await?;
    let changed = || async { Ok(Some(envelope(&cluster, &shop.name).await?).filter(|text| *text != first)) };
    let second = wait_for("the new leader's Bundle", Duration::from_secs(30), changed).await?;

    drop(stopped);
    tokio::time::sleep(Duration::from_secs(8)).await;
    ensure!(envelope(&cluster, &shop.name).await? == second, "the old leader wrote");
    ensure!(holder().await? == new, "the old leader took the Lease");
    settled(&cluster).await
}
