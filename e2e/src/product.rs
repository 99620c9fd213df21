//! The installed kube-rasp as its users see it: policies and their status, sidecars, metrics.

use std::fmt::Debug;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::core::object::HasStatus;
use kube::{Api, Resource};
use rasp_policy::api::{
    ClusterRaspPolicy, Condition, RaspException, RaspPolicy, RaspPolicyStatus, TargetCounts,
};
use rasp_policy::pod::{ADMIN_PORT, BUNDLE_CONFIG_MAP, BUNDLE_KEY};
use serde::de::DeserializeOwned;

use crate::cluster::{Cluster, wait_for};
use crate::{http, workload};

/// Where the operator is installed.
pub const NAMESPACE: &str = "kube-rasp";
/// Its Deployment, Service and ServiceAccount.
pub const OPERATOR: &str = "kube-rasp-operator";
/// Labels of a namespace that asks for injection.
pub const ENABLED: [(&str, &str); 1] = [("rasp.dev/inject", "enabled")];
/// A request target with a SQL injection in its query.
pub const ATTACK: &str = "/index.html?id=1%27%20OR%20%271%27=%271";
/// A request target with words that a list of patterns would take for one.
pub const BENIGN: &str = "/index.html?q=O%27Brien+select+a+room";
/// Time a new policy has to reach every sidecar: kubelet's sync period of the test cluster, and patience with a
/// busy machine.
pub const ROLLOUT: Duration = Duration::from_secs(90);

/// Applies a policy and waits until its status says that every selected sidecar has it.
pub async fn policy(cluster: &Cluster, namespace: &str, name: &str, spec: &str) -> anyhow::Result<()> {
    let yaml = format!(
        "apiVersion: rasp.dev/v1alpha1\nkind: RaspPolicy\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    );
    cluster.apply(namespace, &yaml).await?;
    programmed(cluster, namespace, name).await.map(drop)
}

/// Waits until the current generation of a policy is programmed.
pub async fn programmed(cluster: &Cluster, namespace: &str, name: &str) -> anyhow::Result<RaspPolicyStatus> {
    status(cluster, namespace, name, "Programmed", |status| condition_is(status, "Programmed", "True")).await
}

/// Waits until the status of the current generation of a policy is as wanted.
pub async fn status(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    what: &str,
    wanted: impl Fn(&RaspPolicyStatus) -> bool,
) -> anyhow::Result<RaspPolicyStatus> {
    settled::<RaspPolicy>(&Api::namespaced(cluster.client.clone(), namespace), name, what, wanted).await
}

/// The same of a policy of the cluster.
pub async fn cluster_status(
    cluster: &Cluster,
    name: &str,
    what: &str,
    wanted: impl Fn(&RaspPolicyStatus) -> bool,
) -> anyhow::Result<RaspPolicyStatus> {
    settled::<ClusterRaspPolicy>(&Api::all(cluster.client.clone()), name, what, wanted).await
}

/// The same of an exception.
pub async fn exception_status(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    what: &str,
    wanted: impl Fn(&RaspPolicyStatus) -> bool,
) -> anyhow::Result<RaspPolicyStatus> {
    settled::<RaspException>(&Api::namespaced(cluster.client.clone(), namespace), name, what, wanted).await
}

async fn settled<K>(
    objects: &Api<K>,
    name: &str,
    what: &str,
    wanted: impl Fn(&RaspPolicyStatus) -> bool,
) -> anyhow::Result<RaspPolicyStatus>
where
    K: Resource + HasStatus<Status = RaspPolicyStatus> + Clone + Debug + DeserializeOwned,
{
    let ask = || async {
        let object = objects.get(name).await?;
        let current = |status: &&RaspPolicyStatus| status.observed_generation == object.meta().generation;
        Ok(object.status().filter(current).filter(|status| wanted(status)).cloned())
    };
    match wait_for(what, ROLLOUT, ask).await {
        Ok(status) => Ok(status),
        Err(error) => {
            let last = objects.get(name).await?;
            bail!("{error:#}; last status: {}", serde_json::to_string_pretty(&last.status())?)
        }
    }
}

/// A condition of a status.
pub fn condition<'a>(status: &'a RaspPolicyStatus, kind: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.r#type == kind)
}

/// Whether a condition has this status.
pub fn condition_is(status: &RaspPolicyStatus, kind: &str, value: &str) -> bool {
    condition(status, kind).is_some_and(|condition| condition.status == value)
}

/// Counts of pods in a status.
pub fn counts(status: &RaspPolicyStatus) -> TargetCounts {
    status.targets.unwrap_or_default()
}

/// Changes `spec.mode` as `kubectl patch` does.
pub async fn patch_mode(cluster: &Cluster, namespace: &str, name: &str, mode: &str) -> anyhow::Result<()> {
    let patch = format!(r#"{{"spec":{{"mode":"{mode}"}}}}"#);
    let arguments = ["-n", namespace, "patch", "rasppolicy", name, "--type=merge", "-p", patch.as_str()];
    let printed = cluster.kubectl(&arguments, "").await?;
    anyhow::ensure!(printed.success, "kubectl patch: {}", printed.stderr);
    Ok(())
}

/// Scales the operator, waits until it is so, and returns how many replicas there were.
pub async fn scale_operator(cluster: &Cluster, replicas: i32) -> anyhow::Result<i32> {
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let before = deployments.get(OPERATOR).await?.spec.and_then(|spec| spec.replicas).unwrap_or(1);
    let patch = serde_json::json!({"spec": {"replicas": replicas}});
    deployments.patch(OPERATOR, &PatchParams::default(), &Patch::Merge(patch)).await?;
    let ask = || async {
        let ready =
            deployments.get(OPERATOR).await?.status.and_then(|status| status.ready_replicas).unwrap_or(0);
        let pods = operator_pods(cluster).await?;
        Ok((ready == replicas && i32::try_from(pods.len())? == replicas).then_some(before))
    };
    wait_for("the operator to be scaled", Duration::from_secs(90), ask).await
}

/// The operator's pods.
pub async fn operator_pods(cluster: &Cluster) -> anyhow::Result<Vec<Pod>> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let label = ListParams::default().labels("app.kubernetes.io/component=operator");
    Ok(pods.list(&label).await?.items)
}

/// The metrics pages of all replicas of the operator, one after the other: each counts what it was asked itself.
pub async fn operator_metrics(cluster: &Cluster) -> anyhow::Result<String> {
    let mut pages = String::new();
    for pod in operator_pods(cluster).await?.iter().filter(|pod| workload::is_ready(pod)) {
        let ip = *workload::addresses(pod)?.first().context("address")?;
        match http::get(ip, 8080, "/metrics").await {
            http::Outcome::Answered(response) => pages += &String::from_utf8(response.body)?,
            other => bail!("/metrics of the operator at {ip}: {}", other.word()),
        }
    }
    Ok(pages)
}

/// The envelope that the sidecars of a namespace read.
pub async fn envelope(cluster: &Cluster, namespace: &str) -> anyhow::Result<String> {
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), namespace);
    let map = maps.get(BUNDLE_CONFIG_MAP).await?;
    map.data.and_then(|mut data| data.remove(BUNDLE_KEY)).context("the ConfigMap holds a Bundle")
}

/// Overwrites the envelope, as somebody with write access to ConfigMaps could.
pub async fn write_envelope(cluster: &Cluster, namespace: &str, text: &str) -> anyhow::Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), namespace);
    let patch = serde_json::json!({"data": {BUNDLE_KEY: text}});
    maps.patch(BUNDLE_CONFIG_MAP, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// The metrics page of a sidecar.
pub async fn sidecar_metrics(ip: IpAddr) -> anyhow::Result<String> {
    match http::get(ip, ADMIN_PORT, "/metrics").await {
        http::Outcome::Answered(response) if response.status == 200 => Ok(String::from_utf8(response.body)?),
        other => bail!("/metrics of {ip}: {}", other.word()),
    }
}

/// Sum of the samples of a metric whose label set contains all of `labels` (`name="value"` each).
pub fn sample(page: &str, metric: &str, labels: &[&str]) -> f64 {
    page.lines()
        .filter(|line| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(['{', ' '])))
        .filter(|line| labels.iter().all(|label| line.contains(label)))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// The operator without the right to write objects of one resource, until [`ReadOnly::end`].
pub struct ReadOnly {
    original: ClusterRole,
}

impl ReadOnly {
    /// Takes the right away, and waits until API servers know.
    pub async fn start(cluster: &Cluster, resource: &str) -> anyhow::Result<Self> {
        let roles: Api<ClusterRole> = Api::all(cluster.client.clone());
        let bound = Api::<ClusterRoleBinding>::all(cluster.client.clone()).get(OPERATOR).await?;
        let original = roles.get(&bound.role_ref.name).await?;
        let mut reduced = original.clone();
        for rule in reduced.rules.iter_mut().flatten() {
            if rule.resources.iter().flatten().any(|known| known == resource) {
                rule.verbs.retain(|verb| ["get", "list", "watch"].contains(&verb.as_str()));
            }
        }
        reduced.rules.iter_mut().for_each(|rules| rules.retain(|rule| !rule.verbs.is_empty()));
        roles.replace(&bound.role_ref.name, &PostParams::default(), &reduced).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(Self { original })
    }

    /// Gives it back.
    pub async fn end(mut self, cluster: &Cluster) -> anyhow::Result<()> {
        let roles: Api<ClusterRole> = Api::all(cluster.client.clone());
        let name = self.original.metadata.name.clone().context("name")?;
        self.original.metadata.resource_version = roles.get(&name).await?.metadata.resource_version;
        roles.replace(&name, &PostParams::default(), &self.original).await?;
        Ok(())
    }
}
