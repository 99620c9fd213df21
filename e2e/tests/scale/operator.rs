//! The one replica of the operator: its process and its metrics.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rasp_e2e::cluster::{Cluster, wait_for};
use rasp_e2e::http::{self, Outcome};
use rasp_e2e::product::operator_pods;
use rasp_e2e::workload;

use crate::process::Process;

/// The operator.
pub struct Operator {
    /// Its process.
    pub process: Process,
    pod: String,
    /// Its address.
    pub ip: IpAddr,
}

impl Operator {
    /// Finds it.
    pub async fn find(cluster: &Cluster) -> anyhow::Result<Self> {
        let pods = operator_pods(cluster).await?;
        ensure!(pods.len() == 1, "the operator has one replica here, not {}", pods.len());
        let pod = pods.first().context("a pod")?;
        let ip = *workload::addresses(pod)?.first().context("an address")?;
        Ok(Self { process: process_of(&workload::name(pod))?, pod: workload::name(pod), ip })
    }

    /// The process that kubelet starts in the place of this one, which was killed.
    pub async fn successor(self) -> anyhow::Result<Self> {
        let found = || async {
            let process = process_of(&self.pod).ok();
            Ok(process.filter(|process| process.is_other(&self.process)))
        };
        let process = wait_for("the operator to be started anew", Duration::from_secs(60), found).await?;
        Ok(Self { process, ..self })
    }

    /// Its metrics page.
    pub async fn metrics(&self) -> anyhow::Result<String> {
        match http::get(self.ip, 8080, "/metrics").await {
            Outcome::Answered(response) => Ok(String::from_utf8(response.body)?),
            other => bail!("/metrics of the operator: {}", other.word()),
        }
    }

    /// Whether it says that it is ready.
    pub async fn is_ready(&self) -> bool {
        http::get(self.ip, 8080, "/readyz").await.status() == Some(200)
    }
}

fn process_of(pod: &str) -> anyhow::Result<Process> {
    Process::of_environment(&format!("RASP_OPERATOR_POD_NAME={pod}"), "run")
}
