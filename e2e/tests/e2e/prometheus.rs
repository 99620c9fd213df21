//! Debian's Prometheus in the cluster network scrapes sidecar and operator.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use rasp_e2e::cluster::{Cluster, wait_for};
use rasp_e2e::http;
use rasp_e2e::product::{ATTACK, operator_pods, policy};
use rasp_e2e::workload::{PORT, PROMETHEUS, addresses, protected_web, ready_pods};

#[tokio::test]
async fn prometheus_answers_for_detections_and_injections() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let (shop, _, ip) = protected_web(&cluster).await?;
    policy(&cluster, &shop.name, "web", "{mode: Block}").await?;
    for _ in 0..3 {
        ensure!(http::get(ip, PORT, ATTACK).await.status() == Some(403));
    }
    let mut operators = Vec::new();
    for operator in operator_pods(&cluster).await? {
        let ip = *addresses(&operator)?.first().context("address")?;
        operators.push(format!("\"{ip}:8080\""));
    }
    let operators = operators.join(", ");

    let monitoring = cluster.namespace("monitoring", &[]).await?;
    let yaml = format!(
        r#"
apiVersion: v1
kind: ConfigMap
metadata: {{name: prometheus}}
data:
  prometheus.yml: |
    global: {{scrape_interval: 1s}}
    scrape_configs:
    - job_name: sidecar
      static_configs: [{{targets: ["{ip}:16191"]}}]
    - job_name: operator
      static_configs: [{{targets: [{operators}]}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: prometheus, labels: {{app: prometheus}}}}
spec:
  containers:
  - name: prometheus
    image: {PROMETHEUS}
    imagePullPolicy: Never
    args: ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/tmp/data"]
    readinessProbe: {{httpGet: {{path: /-/ready, port: 9090}}, periodSeconds: 1}}
    volumeMounts: [{{name: config, mountPath: /etc/prometheus}}, {{name: data, mountPath: /tmp}}]
  volumes:
  - {{name: config, configMap: {{name: prometheus}}}}
  - {{name: data, emptyDir: {{}}}}
"#
    );
    cluster.apply(&monitoring.name, &yaml).await?;
    let prometheus = ready_pods(&cluster, &monitoring.name, "prometheus", 1).await?.remove(0);
    let address = *addresses(&prometheus)?.first().context("address")?;
    for (query, least) in [("sum(rasp_detections_total)", 3.0), ("sum(rasp_injection_requests_total)", 1.0)] {
        let ask = || async {
            let http::Outcome::Answered(answer) =
                http::get(address, 9090, &format!("/api/v1/query?query={query}")).await
            else {
                return Ok(None);
            };
            let answer: serde_json::Value = serde_json::from_slice(&answer.body)?;
            let value =
                answer["data"]["result"][0]["value"][1].as_str().and_then(|text| text.parse::<f64>().ok());
            Ok(value.filter(|value| *value >= least))
        };
        wait_for(query, Duration::from_secs(60), ask).await?;
    }
    Ok(())
}
