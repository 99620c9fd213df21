//! How long a change of a policy takes until its Bundle stands in the ConfigMap that sidecars read.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use rasp_e2e::cluster::wait_for;
use rasp_policy::crd::RaspPolicy;
use rasp_policy::pod::BUNDLE_CONFIG_MAP;
use serde_json::json;

/// Changes the policy of a namespace, and waits for its Bundle.
pub async fn policy_to_bundle(client: &Client, namespace: &str) -> anyhow::Result<Duration> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let version =
        || async { Ok::<_, kube::Error>(maps.get(BUNDLE_CONFIG_MAP).await?.metadata.resource_version) };
    let before = version().await?;
    let policies: Api<RaspPolicy> = Api::namespaced(client.clone(), namespace);
    let start = Instant::now();
    let patch = Patch::Merge(json!({ "spec": { "mode": "Block" } }));
    policies.patch("web", &PatchParams::default(), &patch).await?;
    let written = || async { Ok((version().await? != before).then_some(())) };
    wait_for("the Bundle", Duration::from_secs(60), written).await?;
    Ok(start.elapsed())
}
