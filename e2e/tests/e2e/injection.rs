//! From a namespace label to a 403 before the application port.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Pod;
use rasp_e2e::cluster::{Cluster, variable, wait_for};
use rasp_e2e::product::{ATTACK, BENIGN, ENABLED, policy, sample, sidecar_metrics};
use rasp_e2e::workload::{
    self, PORT, addresses, log, name, nginx, protected_web, ready_pods, service_addresses,
};
use rasp_e2e::{http, product};

const BLOCK: &str = "{mode: Block}";
/// Time until what a container writes is in its log.
const LOGGED: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_labelled_namespace_serves_benign_requests_and_blocks_attacks_before_the_application()
-> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let plain = cluster.namespace("plain", &[]).await?;
    let shop = cluster.namespace("shop", &ENABLED).await?;
    cluster.apply(&plain.name, &nginx("web", 1)).await?;
    cluster.apply(&shop.name, &nginx("web", 1)).await?;
    let twin = ready_pods(&cluster, &plain.name, "web", 1).await?.remove(0);
    let pod = ready_pods(&cluster, &shop.name, "web", 1).await?.remove(0);
    ensure!(init_containers(&twin).is_empty(), "the unlabelled namespace is left alone");
    policy(&cluster, &shop.name, "block", BLOCK).await?;

    let mut targets = addresses(&pod)?.into_iter().map(|ip| (ip, PORT)).collect::<Vec<_>>();
    targets.extend(service_addresses(&cluster, &shop.name, "web").await?.into_iter().map(|ip| (ip, 80)));
    ensure!(targets.len() == 4, "pod and Service, IPv4 and IPv6: {targets:?}");
    let twin_ip = *addresses(&twin)?.first().context("address")?;
    for (ip, port) in targets {
        for target in ["/big.bin", BENIGN] {
            let protected = http::get(ip, port, target).await;
            let unprotected = http::get(twin_ip, PORT, target).await;
            let (http::Outcome::Answered(protected), http::Outcome::Answered(unprotected)) =
                (protected, unprotected)
            else {
                anyhow::bail!("no answer to {target} at {ip}:{port}");
            };
            ensure!(protected.status == 200 && protected.body == unprotected.body, "{target} at {ip}:{port}");
            ensure!(!protected.body.is_empty(), "{target} has a body");
        }
        let http::Outcome::Answered(blocked) = http::get(ip, port, ATTACK).await else {
            anyhow::bail!("no answer to the attack at {ip}:{port}");
        };
        ensure!(blocked.status == 403, "attack at {ip}:{port}: {}", blocked.head);
        ensure!(blocked.field("content-type") == Some("application/problem+json"), "{}", blocked.head);
        let id = blocked.field("x-request-id").context("a block has a request id")?.to_owned();
        let body = String::from_utf8(blocked.body)?;
        ensure!(body.contains(&id), "the body names the request: {body}");
        ensure!(!body.to_lowercase().contains("sql"), "the body does not name the rule: {body}");
        // The event is written after the answer, and kubelet reads it later still.
        let told = || async {
            let events = log(&cluster, &shop.name, &name(&pod), "rasp-proxy").await?;
            Ok(events.lines().find(|line| line.contains(&id)).map(ToOwned::to_owned))
        };
        let event = wait_for("an event line for the request", LOGGED, told).await?;
        let event: serde_json::Value = serde_json::from_str(&event)?;
        ensure!(
            event["unmapped"]["verdict"] == "block" && event["unmapped"]["class"] == "sql_injection",
            "{event}"
        );
        ensure!(!event.to_string().contains("OR '1'"), "the payload is masked: {event}");
    }
    let benign = || async {
        let access = log(&cluster, &shop.name, &name(&pod), "web").await?;
        Ok((access.matches("/big.bin").count() >= 4).then_some(access))
    };
    let access = wait_for("the benign requests in the application's log", LOGGED, benign).await?;
    ensure!(access.matches("/big.bin").count() == 4, "each reached the application once:\n{access}");
    // The readiness probe of the application looks like an attack on purpose, and is from kubelet.
    let attacks = access.lines().filter(|line| line.contains("id=1%27")).count();
    ensure!(attacks == 0, "an attack reached the application:\n{access}");
    ensure!(access.contains("probe=1%27"), "probes pass whatever they look like");
    Ok(())
}

#[tokio::test]
async fn a_pod_is_injected_in_order_and_its_own_containers_stay_as_they_were() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let plain = cluster.namespace("plain", &[]).await?;
    let shop = cluster.namespace("shop", &ENABLED).await?;
    for namespace in [&plain.name, &shop.name] {
        cluster.apply(namespace, &nginx("web", 1)).await?;
    }
    let twin = ready_pods(&cluster, &plain.name, "web", 1).await?.remove(0);
    let pod = ready_pods(&cluster, &shop.name, "web", 1).await?.remove(0);
    ensure!(init_containers(&pod) == ["rasp-init", "rasp-proxy"], "{:?}", init_containers(&pod));
    let own = |pod: &Pod| -> anyhow::Result<serde_json::Value> {
        let mut containers = serde_json::to_value(&pod.spec.as_ref().context("spec")?.containers)?;
        // The API server adds a volume with a random name for the service account.
        for container in containers.as_array_mut().context("containers")? {
            container.as_object_mut().context("container")?.remove("volumeMounts");
        }
        Ok(containers)
    };
    ensure!(own(&pod)? == own(&twin)?, "the application's containers and probes are intact");
    ensure!(workload::restarts(&pod, "rasp-proxy") == 0 && workload::restarts(&pod, "web") == 0);
    let ours = pod.spec.as_ref().and_then(|spec| spec.init_containers.as_ref()).context("init containers")?;
    let mounts = ours.iter().flat_map(|container| container.volume_mounts.iter().flatten());
    let with_token: Vec<_> = mounts.filter(|mount| mount.name.starts_with("kube-api-access")).collect();
    ensure!(with_token.is_empty(), "our containers do not get the application's API token: {with_token:?}");
    let shown = images(&pod);
    let built: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(variable("RASP_E2E_IMAGES")?)?)?;
    let expected = built["kube-rasp.test/proxy:dev"].as_str().context("digest of the proxy image")?;
    ensure!(shown.iter().all(|image| image.contains(expected)), "runs {shown:?}, built {expected}");
    let expected = built["kube-rasp.test/operator:dev"].as_str().context("digest of the operator image")?;
    for operator in product::operator_pods(&cluster).await? {
        let statuses = operator.status.and_then(|status| status.container_statuses).context("statuses")?;
        ensure!(statuses.iter().all(|status| status.image_id.contains(expected)), "{statuses:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_pod_label_opts_in_and_out_of_a_namespace() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let plain = cluster.namespace("plain", &[]).await?;
    let labelled = |value: &str| {
        nginx("web", 1).replacen(
            "metadata: {labels: {app: web}}",
            &format!("metadata: {{labels: {{app: web, rasp.dev/inject: \"{value}\"}}}}"),
            1,
        )
    };
    cluster.apply(&plain.name, &labelled("true")).await?;
    let pod = ready_pods(&cluster, &plain.name, "web", 1).await?.remove(0);
    ensure!(init_containers(&pod) == ["rasp-init", "rasp-proxy"], "opted in by its own label");

    let shop = cluster.namespace("shop", &ENABLED).await?;
    cluster.apply(&shop.name, &labelled("false")).await?;
    let pod = ready_pods(&cluster, &shop.name, "web", 1).await?.remove(0);
    ensure!(init_containers(&pod).is_empty(), "opted out by its own label");

    let enforced = cluster.namespace("enforced", &[("rasp.dev/inject", "enforced")]).await?;
    cluster.apply(&enforced.name, &labelled("false")).await?;
    let pod = ready_pods(&cluster, &enforced.name, "web", 1).await?.remove(0);
    ensure!(init_containers(&pod) == ["rasp-init", "rasp-proxy"], "enforced ignores the opt-out");
    Ok(())
}

#[tokio::test]
async fn every_published_metric_of_a_sidecar_moves_with_traffic() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let (shop, _, ip) = protected_web(&cluster).await?;
    policy(&cluster, &shop.name, "block", BLOCK).await?;
    let before = sidecar_metrics(ip).await?;
    ensure!(http::get(ip, PORT, BENIGN).await.status() == Some(200));
    ensure!(http::get(ip, PORT, ATTACK).await.status() == Some(403));
    let after = sidecar_metrics(ip).await?;
    let grew =
        |metric: &str, labels: &[&str]| sample(&after, metric, labels) - sample(&before, metric, labels);
    ensure!(grew("rasp_requests_total", &["port=\"8080\"", "verdict=\"block\""]) >= 1.0, "{after}");
    ensure!(grew("rasp_requests_total", &["port=\"8080\"", "verdict=\"allow\""]) >= 1.0, "{after}");
    ensure!(grew("rasp_detections_total", &["class=\"sql_injection\"", "mode=\"Block\""]) >= 1.0, "{after}");
    ensure!(grew("rasp_inspection_seconds_count", &[]) >= 2.0, "{after}");
    ensure!(sample(&after, "rasp_policy_state", &["state=\"current\""]) >= 1.0, "{after}");
    ensure!(product::sample(&after, "rasp_build_info", &[]) >= 1.0, "{after}");
    Ok(())
}

fn init_containers(pod: &Pod) -> Vec<&str> {
    let containers = pod.spec.as_ref().and_then(|spec| spec.init_containers.as_ref());
    containers.into_iter().flatten().map(|container| container.name.as_str()).collect()
}

/// Image ids of our two containers as the runtime reports them.
fn images(pod: &Pod) -> Vec<&str> {
    let statuses = pod.status.as_ref().and_then(|status| status.init_container_statuses.as_ref());
    statuses.into_iter().flatten().map(|status| status.image_id.as_str()).collect()
}
