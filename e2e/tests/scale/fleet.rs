//! The objects: namespaces, half of which ask for injection from the beginning and half of which only later; pods of a node
//! that does not exist, said to be running; policies.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, Error};
use rasp_policy::crd::RaspPolicy;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Calls at once.
const AT_ONCE: usize = 32;

/// How many there are.
pub struct Fleet {
    pub namespaces: usize,
    pub pods: usize,
    pub policies: usize,
}

/// The name of the n-th namespace. Those with an even number ask for injection from the beginning.
pub fn name(n: usize) -> String {
    format!("scale-{n:05}")
}

impl Fleet {
    /// Pods that have no sidecar although their namespaces ask by now.
    pub fn unprotected(&self) -> usize {
        (0..self.pods).filter(|n| self.namespace_of(*n) % 2 == 1).count()
    }

    fn namespace_of(&self, pod: usize) -> usize {
        pod % self.namespaces
    }

    /// Makes the namespaces, and the service account that a controller would make.
    pub async fn namespaces(&self, client: &Client) -> anyhow::Result<()> {
        let of_namespace = |client: Client, n: usize| async move {
            let labels =
                if n.is_multiple_of(2) { json!({ "rasp.dev/inject": "enabled" }) } else { json!({}) };
            let object = json!({ "metadata": { "name": name(n), "labels": labels } });
            let namespaces: Api<Namespace> = Api::all(client.clone());
            namespaces.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
            let account = json!({ "metadata": { "name": "default" } });
            let accounts: Api<ServiceAccount> = Api::namespaced(client, &name(n));
            match accounts.create(&PostParams::default(), &serde_json::from_value(account)?).await {
                Err(Error::Api(status)) if status.code == 409 => Ok(()),
                other => Ok(other.map(drop)?),
            }
        };
        each("namespaces", client, self.namespaces, of_namespace).await.map(drop)
    }

    /// Labels the other half.
    pub async fn label(&self, client: &Client) -> anyhow::Result<()> {
        let of_namespace = |client: Client, n: usize| async move {
            let patch = json!({ "metadata": { "labels": { "rasp.dev/inject": "enabled" } } });
            let namespaces: Api<Namespace> = Api::all(client);
            let name = name(2 * n + 1);
            namespaces.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await?;
            Ok(())
        };
        each("labels", client, self.namespaces / 2, of_namespace).await.map(drop)
    }

    /// One policy for each of the first namespaces.
    pub async fn policies(&self, client: &Client) -> anyhow::Result<()> {
        let of_namespace = |client: Client, n: usize| async move {
            let policies: Api<RaspPolicy> = Api::namespaced(client, &name(n));
            let object = json!({
                "apiVersion": "rasp.dev/v1alpha1",
                "kind": "RaspPolicy",
                "metadata": { "name": "web" },
                "spec": { "mode": "Monitor", "podSelector": { "matchLabels": { "app": "web" } } },
            });
            policies.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
            Ok(())
        };
        each("policies", client, self.policies, of_namespace).await.map(drop)
    }

    /// Makes the pods and says that they run; pods made in a second.
    pub async fn pods(&self, client: &Client) -> anyhow::Result<f64> {
        let namespaces = self.namespaces;
        let of_pod = move |client: Client, n: usize| async move {
            let pods: Api<Pod> = Api::namespaced(client, &name(n % namespaces));
            let made = pods.create(&PostParams::default(), &pod(&format!("web-{n}"))?).await?;
            let name = made.metadata.name.context("a pod has a name")?;
            let status = json!({ "status": { "phase": "Running", "startTime": "2026-01-01T00:00:00Z" } });
            pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
            Ok(())
        };
        each("pods", client, self.pods, of_pod).await
    }

    /// Deletes so many unprotected pods at once; how many there were.
    pub async fn delete_unprotected(&self, client: &Client, count: usize) -> anyhow::Result<usize> {
        let unprotected: Vec<usize> =
            (0..self.pods).filter(|n| self.namespace_of(*n) % 2 == 1).take(count).collect();
        let (namespaces, count) = (self.namespaces, unprotected.len());
        let unprotected = Arc::new(unprotected);
        let of_pod = move |client: Client, n: usize| {
            let unprotected = Arc::clone(&unprotected);
            async move {
                let n = *unprotected.get(n).context("a pod")?;
                let pods: Api<Pod> = Api::namespaced(client, &name(n % namespaces));
                let now = DeleteParams::default().grace_period(0);
                pods.delete(&format!("web-{n}"), &now).await?;
                Ok(())
            }
        };
        each("deletions", client, count, of_pod).await?;
        Ok(count)
    }
}

/// Calls for 0 to `count`, a few at once; how many in a second.
async fn each<F>(
    what: &str,
    client: &Client,
    count: usize,
    call: impl Fn(Client, usize) -> F,
) -> anyhow::Result<f64>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let start = Instant::now();
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut calls = JoinSet::new();
    for n in 0..count {
        let slot = Arc::clone(&slots).acquire_owned().await?;
        let call = call(client.clone(), n);
        calls.spawn(async move {
            let _slot = slot;
            call.await
        });
        while let Some(done) = calls.try_join_next() {
            done?.with_context(|| format!("making {what}"))?;
        }
    }
    while let Some(done) = calls.join_next().await {
        done?.with_context(|| format!("making {what}"))?;
    }
    let rate = crate::to_f64(count) / start.elapsed().as_secs_f64();
    println!("{count} {what} in {:.1?}", start.elapsed());
    Ok(rate)
}

/// A pod as applications have them: two containers, variables, probes, volumes; about 4 KiB once the API server has it.
pub fn pod(name: &str) -> anyhow::Result<Pod> {
    let env: Vec<Value> = (0..20)
        .map(|n| json!({ "name": format!("SETTING_{n}"), "value": format!("value-{n}-of-the-application") }))
        .collect();
    let container = |name: &str, port: u16| {
        json!({
            "name": name,
            "image": format!("registry.example.com/shop/{name}:1.42.0"),
            "env": env,
            "ports": [{ "name": format!("http-{name}"), "containerPort": port }],
            "readinessProbe": { "httpGet": { "path": "/ready", "port": port } },
            "livenessProbe": { "httpGet": { "path": "/live", "port": port } },
            "resources": { "requests": { "cpu": "100m", "memory": "128Mi" }, "limits": { "memory": "256Mi" } },
            "volumeMounts": [{ "name": "config", "mountPath": "/etc/config" }],
        })
    };
    let object = json!({
        "metadata": {
            "name": name,
            "labels": { "app": "web", "pod-template-hash": "5f6d8b9c7", "team": "shop" },
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5f6d8b9c7", "controller": true,
                "uid": "2f1c1d8e-0000-4000-8000-000000000000",
            }],
        },
        "spec": {
            "nodeName": "nowhere",
            "containers": [container("front", 8080), container("cache", 8081)],
            "volumes": [{ "name": "config", "configMap": { "name": "config" } }],
        },
    });
    serde_json::from_value(object).context("a pod")
}
