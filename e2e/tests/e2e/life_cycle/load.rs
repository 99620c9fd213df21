//! Requests and admissions that never stop while a test does something to the operator: each has to end as before.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use rasp_e2e::cluster::Cluster;
use rasp_e2e::http;
use rasp_e2e::product::{ATTACK, BENIGN};
use rasp_e2e::workload::{BUSYBOX, PORT};

/// Clients of a pod that never stop: what they saw must not depend on what happens to the operator.
pub struct Load {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<anyhow::Result<usize>>,
}

impl Load {
    pub fn start(ip: IpAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut rounds = 0;
            while !stopped.load(Ordering::Relaxed) {
                for (target, expected) in [(BENIGN, 200), (ATTACK, 418)] {
                    let seen = http::get(ip, PORT, target).await;
                    ensure!(seen.status() == Some(expected), "round {rounds}, {target}: {}", seen.word());
                }
                rounds += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(rounds)
        });
        Self { stop, task }
    }

    pub async fn end(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let rounds = self.task.await??;
        ensure!(rounds > 100, "only {rounds} rounds");
        println!("{rounds} rounds, each answered as before");
        Ok(())
    }
}

/// Asks for pods all the time and looks whether each would have been injected.
pub fn admissions(cluster: &Cluster, namespace: &str) -> Load {
    let (cluster, namespace) = (cluster.clone(), namespace.to_owned());
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let task = tokio::spawn(async move {
        let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &namespace);
        let pod = question()?;
        let mut count = 0;
        while !stopped.load(Ordering::Relaxed) {
            let made = pods.create(&PostParams { dry_run: true, ..PostParams::default() }, &pod).await?;
            ensure!(is_injected(&made), "admission {count} was not injected");
            count += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(count)
    });
    Load { stop, task }
}

/// A pod for dry runs.
pub fn question() -> anyhow::Result<Pod> {
    Ok(serde_json::from_value(serde_json::json!({
        "metadata": {"generateName": "ask-"},
        "spec": {"containers": [{"name": "shell", "image": BUSYBOX}]},
    }))?)
}

pub fn sidecar_image(pod: &Pod) -> Option<String> {
    let containers = pod.spec.as_ref()?.init_containers.as_ref()?;
    containers.iter().find(|container| container.name == "rasp-proxy")?.image.clone()
}

pub fn is_injected(pod: &Pod) -> bool {
    sidecar_image(pod).is_some()
}
