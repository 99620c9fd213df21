//! A pod that ends: what it is working on is finished, and the sidecar does not hold it up.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use rasp_e2e::cluster::{Cluster, wait_for};
use rasp_e2e::http;
use rasp_e2e::product::{ATTACK, BENIGN, ENABLED, policy};
use rasp_e2e::workload::{PORT, addresses, name, nginx, ready_pods};
use rasp_policy::pod::{PROXY_CONTAINER, env};

/// Time in which the pod is ending and its application does not know it yet, as in every rollout.
const NOTICE: Duration = Duration::from_secs(5);
/// What the pod may take at most.
const GRACE: Duration = Duration::from_secs(60);

/// What the sidecar was told of `terminationGracePeriodSeconds`.
fn told_grace(pod: &Pod) -> Option<String> {
    let containers = pod.spec.as_ref()?.init_containers.as_ref()?;
    let sidecar = containers.iter().find(|container| container.name == PROXY_CONTAINER)?;
    sidecar.env.as_ref()?.iter().find(|variable| variable.name == env::GRACE)?.value.clone()
}

#[tokio::test]
async fn a_pod_that_is_deleted_answers_what_it_was_asked_and_is_gone_long_before_its_grace_ends()
-> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let shop = cluster.namespace("shop", &ENABLED).await?;
    let grace = format!("terminationGracePeriodSeconds: {}", GRACE.as_secs());
    let hook = format!(
        "imagePullPolicy: Never\n        lifecycle: {{preStop: {{sleep: {{seconds: {}}}}}}}",
        NOTICE.as_secs()
    );
    let yaml = nginx("web", 1).replacen("terminationGracePeriodSeconds: 5", &grace, 1).replacen(
        "imagePullPolicy: Never",
        &hook,
        1,
    );
    cluster.apply(&shop.name, &yaml).await?;
    let pod = ready_pods(&cluster, &shop.name, "web", 1).await?.remove(0);
    let ip = *addresses(&pod)?.first().context("address")?;
    ensure!(told_grace(&pod).as_deref() == Some("60"), "the sidecar knows how long it has");
    policy(&cluster, &shop.name, "web", "{mode: Block}").await?;
    let arguments = ["-n", &shop.name, "scale", "deployment", "web", "--replicas=0"];
    ensure!(cluster.kubectl(&arguments, "").await?.success);

    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &shop.name);
    let ending = || async {
        let pod = pods.get_opt(&name(&pod)).await?.context("the pod is there until its application ended")?;
        Ok(pod.metadata.deletion_timestamp.map(drop))
    };
    wait_for("the pod to be ending", Duration::from_secs(60), ending).await?;
    let told = Instant::now();
    let mut answered = 0;
    while told.elapsed() < NOTICE * 2 / 3 {
        let status = http::get(ip, PORT, BENIGN).await.status();
        ensure!(status == Some(200), "after {answered} answers of the ending pod: {status:?}");
        let status = http::get(ip, PORT, ATTACK).await.status();
        ensure!(status == Some(403), "it protects to its end: {status:?}");
        answered += 2;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Takes two seconds: the application, and the sidecar after it, are asked to end meanwhile.
    let slow = http::get(ip, PORT, "/slow").await;
    ensure!(slow.status() == Some(200), "the request in flight: {}", slow.word());
    let gone = || async { Ok(pods.get_opt(&name(&pod)).await?.is_none().then_some(())) };
    wait_for("the pod to be gone", GRACE / 2, gone).await?;
    println!("{answered} answers while it was ending, gone after {:?}", told.elapsed());
    Ok(())
}
