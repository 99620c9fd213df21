//! Admissions without pods: dry runs of a creation, which go the whole way through the webhook and leave nothing.

use std::ops::Add;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use crate::cluster::{Cluster, wait_for};

/// What became of pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Everything that injection adds is there.
    pub injected: usize,
    /// Nothing of it is there.
    pub plain: usize,
    /// The API server said no.
    pub refused: usize,
    /// Some of it is there.
    pub half_done: usize,
}

impl Tally {
    /// All of them injected.
    pub fn injected(count: usize) -> Self {
        Self { injected: count, ..Self::default() }
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            injected: self.injected + other.injected,
            plain: self.plain + other.plain,
            refused: self.refused + other.refused,
            half_done: self.half_done + other.half_done,
        }
    }
}

/// Waits until the API server reaches the webhook: a test before may have replaced the operator, whose Service gets new
/// replicas a moment after they are ready, and a pod that is made in this moment runs unprotected.
pub async fn reached(cluster: &Cluster) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), "default");
    let asked = || async {
        let tally = admission(pods.clone(), "reached", true).await?;
        Ok((tally == Tally::injected(1)).then_some(()))
    };
    wait_for("the webhook to be reached", Duration::from_secs(60), asked).await
}

/// Asks for `count` pods in a namespace, four at a time, one every `pace` at most.
pub async fn dry_run(
    cluster: &Cluster,
    namespace: &str,
    count: usize,
    pace: Duration,
) -> anyhow::Result<Tally> {
    let mut tasks = tokio::task::JoinSet::new();
    let mut tally = Tally::default();
    for index in 0..count {
        if tasks.len() >= 4
            && let Some(one) = tasks.join_next().await
        {
            tally = tally + one??;
        }
        let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
        tasks.spawn(async move { admission(pods, &format!("dry-{index}"), false).await });
        tokio::time::sleep(pace).await;
    }
    while let Some(one) = tasks.join_next().await {
        tally = tally + one??;
    }
    Ok(tally)
}

/// `opts_in`: by its own label, in a namespace that asks for nothing.
async fn admission(pods: Api<Pod>, name: &str, opts_in: bool) -> anyhow::Result<Tally> {
    let labels = if opts_in { json!({ "rasp.dev/inject": "true" }) } else { json!({ "app": "dry" }) };
    let pod: Pod = serde_json::from_value(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "labels": labels },
        "spec": { "containers": [{ "name": "app", "image": "app", "ports": [{ "containerPort": 8080 }] }] },
    }))?;
    let parameters = PostParams { dry_run: true, ..PostParams::default() };
    match pods.create(&parameters, &pod).await {
        Ok(pod) => Ok(judged(&pod)),
        Err(kube::Error::Api(status)) => {
            println!("refused: {}", status.message);
            Ok(Tally { refused: 1, ..Tally::default() })
        }
        Err(error) => Err(error.into()),
    }
}

/// Both containers and both volumes, or neither.
fn judged(pod: &Pod) -> Tally {
    let spec = pod.spec.clone().unwrap_or_default();
    let containers = spec.init_containers.unwrap_or_default().into_iter().map(|container| container.name);
    let volumes = spec.volumes.unwrap_or_default().into_iter().map(|volume| volume.name);
    let mut ours: Vec<_> = containers.chain(volumes).filter(|name| name.starts_with("rasp-")).collect();
    ours.sort();
    match ours.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => Tally { plain: 1, ..Tally::default() },
        ["rasp-config", "rasp-init", "rasp-proxy", "rasp-run"] => Tally::injected(1),
        _ => Tally { half_done: 1, ..Tally::default() },
    }
}
