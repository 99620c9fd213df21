//! Namespaces where NET_ADMIN may not be had, and the whole matrix of pods before a real API server.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rasp_e2e::cluster::{Cluster, Printed, wait_for};
use rasp_e2e::http;
use rasp_e2e::product::{ATTACK, BENIGN, ENABLED, condition_is, policy, status};
use rasp_e2e::workload::{BUSYBOX, PORT, addresses, ready_pods, service_addresses};
use serde_json::Value;

const RESTRICTED: (&str, &str) = ("pod-security.kubernetes.io/enforce", "restricted");

/// A web server that passes `restricted`, and a Service that opted in.
fn web(bind: &str) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 1
      securityContext: {{runAsNonRoot: true, runAsUser: 1000, seccompProfile: {{type: RuntimeDefault}}}}
      containers:
      - name: web
        image: {BUSYBOX}
        imagePullPolicy: Never
        command: ["/bin/busybox", "sh", "-c", "echo hello >/www/index.html && exec /bin/busybox httpd -f -p {bind}:{PORT} -h /www"]
        ports: [{{name: http, containerPort: {PORT}}}]
        readinessProbe: {{exec: {{command: ["/bin/busybox", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:{PORT}/"]}}, periodSeconds: 1}}
        securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
        volumeMounts: [{{name: www, mountPath: /www}}]
      volumes: [{{name: www, emptyDir: {{}}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec:
  selector: {{app: web}}
  ports: [{{name: http, port: 80, targetPort: rasp-http}}]
"#
    )
}

#[tokio::test]
async fn a_namespace_that_enforces_restricted_is_protected_through_its_services_and_status_says_what_is_not()
-> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let shop = cluster.namespace("shop", &[ENABLED[0], RESTRICTED]).await?;
    cluster.apply(&shop.name, &web("0.0.0.0")).await?;
    let pod = ready_pods(&cluster, &shop.name, "web", 1).await?.remove(0);
    let ours = pod.spec.as_ref().and_then(|spec| spec.init_containers.as_ref()).context("init containers")?;
    ensure!(ours.iter().map(|container| container.name.as_str()).collect::<Vec<_>>() == ["rasp-proxy"]);

    policy(&cluster, &shop.name, "block", "{mode: Block}").await?;
    let service = *service_addresses(&cluster, &shop.name, "web").await?.first().context("address")?;
    // The endpoints of the Service follow the pod.
    let served = || async { Ok((http::get(service, 80, BENIGN).await.status() == Some(200)).then_some(())) };
    wait_for("the Service to lead to the sidecar", Duration::from_secs(30), served).await?;
    ensure!(http::get(service, 80, ATTACK).await.status() == Some(403), "blocked before the application");
    let around = http::get(*addresses(&pod)?.first().context("address")?, PORT, ATTACK).await;
    ensure!(around.status() == Some(200), "the weaker guarantee, as documented: {}", around.word());

    let said = |status: &rasp_policy::api::RaspPolicyStatus| condition_is(status, "Inspected", "Unknown");
    let said = status(&cluster, &shop.name, "block", "Bypassable", said).await?;
    let inspected =
        said.conditions.iter().find(|condition| condition.r#type == "Inspected").context("Inspected")?;
    ensure!(inspected.reason == "Bypassable" && inspected.message.contains("(port 8080)"), "{inspected:?}");
    let told = || async {
        let events = cluster.kubectl(&["-n", &shop.name, "get", "events", "-o", "json"], "").await?.stdout;
        Ok((events.contains("InterceptionNone") && events.contains("rasp-http")).then_some(()))
    };
    wait_for("the event about the weaker guarantee", Duration::from_secs(30), told).await
}

#[tokio::test]
async fn an_application_on_loopback_is_protected_wholly_without_any_rights() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let shop = cluster.namespace("shop", &[("rasp.dev/inject", "enforced"), RESTRICTED]).await?;
    cluster.apply(&shop.name, &web("127.0.0.1")).await?;
    let pod = ready_pods(&cluster, &shop.name, "web", 1).await?.remove(0);
    policy(&cluster, &shop.name, "block", "{mode: Block}").await?;
    let service = *service_addresses(&cluster, &shop.name, "web").await?.first().context("address")?;
    let served = || async { Ok((http::get(service, 80, BENIGN).await.status() == Some(200)).then_some(())) };
    wait_for("the Service to lead to the sidecar", Duration::from_secs(30), served).await?;
    ensure!(http::get(service, 80, ATTACK).await.status() == Some(403));
    let around = http::get(*addresses(&pod)?.first().context("address")?, PORT, ATTACK).await;
    ensure!(around == http::Outcome::Refused, "nobody gets around: {}", around.word());
    let said = |status: &rasp_policy::api::RaspPolicyStatus| condition_is(status, "Inspected", "True");
    status(&cluster, &shop.name, "block", "AllConnections", said).await.map(drop)
}

/// One golden case of injection that gets a sidecar: what the API server is to accept.
struct Case {
    name: String,
    level: String,
    pod: Value,
    patched: Value,
}

/// `operator/tests/golden`: pods with the patches that the operator's own tests prove to be what it answers.
fn golden() -> anyhow::Result<Vec<Case>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../operator/tests/golden");
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(name) = file.strip_suffix(".patch.json") else { continue };
        let text = std::fs::read_to_string(folder.join(format!("{name}.pod.yaml")))?;
        let documents: Vec<Value> = serde_yaml::Deserializer::from_str(&text)
            .map(serde::Deserialize::deserialize)
            .collect::<Result<_, _>>()?;
        let of = |kind: &str| documents.iter().find(|document| document["kind"] == kind);
        // One that was injected before stands on another case, which is here as well.
        let Some(pod) = of("Pod") else { continue };
        let label = of("Namespace").map(|namespace| &namespace["metadata"]["labels"][RESTRICTED.0]);
        let level = match label.and_then(Value::as_str) {
            None | Some("privileged") => "privileged",
            Some("baseline") => "baseline",
            Some(_) => "restricted",
        };
        let mut pod = pod.clone();
        let patch: json_patch::Patch = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
        let mut patched = pod.clone();
        json_patch::patch(&mut patched, &patch).with_context(|| name.to_owned())?;
        for (pod, suffix) in [(&mut pod, "a"), (&mut patched, "b")] {
            pod["apiVersion"] = "v1".into();
            pod["kind"] = "Pod".into();
            if pod["metadata"].is_null() {
                pod["metadata"] = serde_json::json!({});
            }
            pod["metadata"]["name"] = format!("{}-{suffix}", &name[..name.len().min(240)]).into();
            pod["metadata"].as_object_mut().context("metadata")?.remove("namespace");
        }
        cases.push(Case { name: name.to_owned(), level: level.to_owned(), pod, patched });
    }
    Ok(cases)
}

async fn dry_run(cluster: &Cluster, namespace: &str, pods: &[&Value]) -> anyhow::Result<Printed> {
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": pods}).to_string();
    let arguments =
        ["-n", namespace, "create", "--dry-run=server", "--validate=false", "-o", "name", "-f", "-"];
    cluster.kubectl(&arguments, &list).await
}

#[tokio::test]
async fn the_api_server_accepts_every_pod_of_the_matrix_with_its_sidecar_that_it_accepts_without()
-> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let mut by_level: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for case in golden()? {
        by_level.entry(case.level.clone()).or_default().push(case);
    }
    let (mut accepted, mut wrong, mut impossible) = (0, Vec::new(), Vec::new());
    for (level, cases) in &by_level {
        // The label keeps our own webhook away: the patch is applied here.
        let labels = [("rasp.dev/inject", "disabled"), (RESTRICTED.0, level.as_str())];
        let namespace = cluster.namespace("matrix", &labels).await?;
        let pods: Vec<&Value> = cases.iter().flat_map(|case| [&case.pod, &case.patched]).collect();
        let printed = dry_run(&cluster, &namespace.name, &pods).await?;
        for case in cases {
            let stands = |pod: &Value| {
                let line = format!("pod/{}", pod["metadata"]["name"].as_str().unwrap_or_default());
                printed.stdout.lines().any(|name| name == line)
            };
            match (stands(&case.pod), stands(&case.patched)) {
                (true, true) => accepted += 1,
                (false, false) => impossible.push(case.name.as_str()),
                // Somebody else's mistake that the patch hides would be one of ours.
                (_, false) | (false, true) => wrong.push(case.name.as_str()),
            }
        }
        ensure!(wrong.is_empty(), "{level}: {wrong:?}\n{}", printed.stderr);
    }
    ensure!(
        accepted >= 60 && impossible.len() <= 12,
        "{accepted} accepted; without a sidecar neither: {impossible:?}"
    );
    Ok(())
}
