//! Workloads that know nothing of kube-rasp: servers from Debian packages in images of their own files.
//!
//! The same YAML is applied in a protected and an unprotected namespace; only the namespace's label differs.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use kube::api::{ListParams, LogParams};

use crate::cluster::{Cluster, TempNamespace, wait_for};
use crate::product::ENABLED;

/// Port of every test application.
pub const PORT: u16 = 8080;
/// nginx with its access log on standard output, on all addresses.
pub const NGINX: &str = "kube-rasp.test/nginx:1";
/// busybox, for servers on one address, Jobs and pods without a server.
pub const BUSYBOX: &str = "kube-rasp.test/busybox:1";
/// Debian's Prometheus.
pub const PROMETHEUS: &str = "kube-rasp.test/prometheus:1";

/// A Deployment of nginx named `name` with a Service of both families, HTTP probes by name of port.
pub fn nginx(name: &str, replicas: u32) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: web
        image: {NGINX}
        imagePullPolicy: Never
        ports: [{{name: http, containerPort: {PORT}}}]
        readinessProbe: {{httpGet: {{path: "/index.html?probe=1%27%20OR%20%271%27=%271", port: http}}, periodSeconds: 1}}
        livenessProbe: {{tcpSocket: {{port: http}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  ipFamilyPolicy: RequireDualStack
  selector: {{app: {name}}}
  ports: [{{name: http, port: 80, targetPort: http}}]
"#
    )
}

/// A protected namespace with one ready pod of [`nginx`] named `web`: where most tests begin.
pub async fn protected_web(cluster: &Cluster) -> anyhow::Result<(TempNamespace, Pod, IpAddr)> {
    let shop = cluster.namespace("shop", &ENABLED).await?;
    cluster.apply(&shop.name, &nginx("web", 1)).await?;
    let pod = ready_pods(cluster, &shop.name, "web", 1).await?.remove(0);
    let ip = *addresses(&pod)?.first().context("address")?;
    Ok((shop, pod, ip))
}

/// A bare pod of busybox that runs a shell command, without probes.
pub fn shell(name: &str, command: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: shell
    image: {BUSYBOX}
    imagePullPolicy: Never
    command: ["/bin/busybox", "sh", "-c", {command:?}]
    env:
    - {{name: POD_IP, valueFrom: {{fieldRef: {{fieldPath: status.podIP}}}}}}
    - {{name: POD_IPS, valueFrom: {{fieldRef: {{fieldPath: status.podIPs}}}}}}
"#
    )
}

/// The pods of a label, in the order of their names, once `count` of them are Ready and no other is left.
pub async fn ready_pods(
    cluster: &Cluster,
    namespace: &str,
    app: &str,
    count: usize,
) -> anyhow::Result<Vec<Pod>> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let parameters = ListParams::default().labels(&format!("app={app}"));
    let ask = || async {
        let mut list = pods.list(&parameters).await?.items;
        list.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        let settled = list.len() == count && list.iter().all(is_ready);
        Ok(settled.then_some(list))
    };
    let what = format!("{count} ready pods of {app} in {namespace}");
    match wait_for(&what, Duration::from_secs(90), ask).await {
        Ok(list) => Ok(list),
        Err(error) => {
            let printed = cluster.kubectl(&["-n", namespace, "describe", "pods"], "").await?;
            Err(error.context(printed.stdout))
        }
    }
}

/// Whether the Ready condition holds and the pod is not being deleted.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.is_some_and(|list| list.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}

/// `metadata.name`.
pub fn name(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}

/// `metadata.uid`.
pub fn uid(pod: &Pod) -> String {
    pod.metadata.uid.clone().unwrap_or_default()
}

/// Addresses of a pod: IPv4 first.
pub fn addresses(pod: &Pod) -> anyhow::Result<Vec<IpAddr>> {
    let ips = pod.status.as_ref().and_then(|status| status.pod_ips.as_ref()).context("pod has addresses")?;
    sorted(ips.iter().map(|ip| ip.ip.as_str()))
}

/// Cluster addresses of a Service: IPv4 first.
pub async fn service_addresses(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> anyhow::Result<Vec<IpAddr>> {
    let service = Api::<Service>::namespaced(cluster.client.clone(), namespace).get(name).await?;
    let ips = service.spec.and_then(|spec| spec.cluster_ips).context("service has addresses")?;
    sorted(ips.iter().map(String::as_str))
}

fn sorted<'a>(texts: impl Iterator<Item = &'a str>) -> anyhow::Result<Vec<IpAddr>> {
    let mut addresses = texts.map(str::parse).collect::<Result<Vec<IpAddr>, _>>()?;
    addresses.sort_by_key(IpAddr::is_ipv6);
    Ok(addresses)
}

/// Log of a container.
pub async fn log(cluster: &Cluster, namespace: &str, pod: &str, container: &str) -> anyhow::Result<String> {
    let parameters = LogParams { container: Some(container.to_owned()), ..LogParams::default() };
    Ok(Api::<Pod>::namespaced(cluster.client.clone(), namespace).logs(pod, &parameters).await?)
}

/// How often a container was restarted; init containers are looked at too.
pub fn restarts(pod: &Pod, container: &str) -> i32 {
    let Some(status) = &pod.status else { return -1 };
    [&status.container_statuses, &status.init_container_statuses]
        .into_iter()
        .flatten()
        .flatten()
        .find(|state| state.name == container)
        .map_or(-1, |state| state.restart_count)
}
