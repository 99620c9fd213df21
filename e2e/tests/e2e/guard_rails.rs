//! Guard rails: the API server itself warns of, or refuses, what would get around the sidecar.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding as Binding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use rasp_e2e::cluster::{Cluster, TempNamespace, wait_for};
use rasp_e2e::product::{ENABLED, policy};
use rasp_e2e::workload::{BUSYBOX, protected_web, ready_pods, shell};
use rasp_policy::pod::{ADMIN_PORT, INBOUND_PORT, OUTBOUND_PORT, PROXY_UID};

const ENFORCED: [(&str, &str); 1] = [("rasp.dev/inject", "enforced")];
const SLEEP: &str = "exec /bin/busybox sleep 100000";

/// A pod that is at fault, and words that the answer must have: the field and what to do.
struct Fault {
    name: &'static str,
    labels: &'static str,
    pod: String,
    container: String,
    words: Vec<String>,
}

fn faults() -> Vec<Fault> {
    let fault = |name, pod: &str, container: &str, words: &[&str]| Fault {
        name,
        labels: "",
        pod: pod.to_owned(),
        container: container.to_owned(),
        words: words.iter().map(|word| (*word).to_owned()).collect(),
    };
    let mut table = vec![
        fault(
            "power",
            "",
            "{capabilities: {add: [NET_ADMIN]}}",
            &["container shell", "capabilities.add", "leave it out"],
        ),
        // As some runtimes accept it as well.
        fault("small", "", "{capabilities: {add: [net_admin]}}", &["container shell", "capabilities.add"]),
        fault("privileged", "", "{privileged: true}", &["container shell", "securityContext.privileged"]),
        fault(
            "gid",
            "",
            &format!("{{runAsGroup: {PROXY_UID}}}"),
            &["container shell", "runAsGroup", "use another id"],
        ),
    ];
    for member in ["runAsUser", "runAsGroup", "fsGroup"] {
        let context = format!("{{{member}: {PROXY_UID}}}");
        table.push(fault("pod", &context, "{}", &["spec.securityContext.", member, "use another id"]));
    }
    let context = format!("{{supplementalGroups: [1, {PROXY_UID}]}}");
    table.push(fault("groups", &context, "{}", &["spec.securityContext.supplementalGroups"]));
    table
}

fn yaml(fault: &Fault) -> String {
    let pod = if fault.pod.is_empty() { "{}" } else { &fault.pod };
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: {}, labels: {{app: web{}}}}}
spec:
  securityContext: {pod}
  containers:
  - name: shell
    image: {BUSYBOX}
    imagePullPolicy: Never
    command: ["/bin/busybox", "sleep", "100000"]
    securityContext: {}
"#,
        fault.name, fault.labels, fault.container
    )
}

fn port(port: u16) -> String {
    shell("port", SLEEP).replace("    env:\n", &format!("    ports: [{{containerPort: {port}}}]\n    env:\n"))
}

/// The bindings of the chart as they would be with `guardRails.mode=Deny`, for one namespace: other tests go on meanwhile.
/// That the chart renders Deny for that value is said by `make charts`.
struct Denied {
    bindings: Api<Binding>,
    names: Vec<String>,
}

impl Denied {
    async fn only_in(cluster: &Cluster, namespace: &TempNamespace) -> anyhow::Result<Self> {
        let bindings: Api<Binding> = Api::all(cluster.client.clone());
        let mut names = Vec::new();
        for of in [
            "kube-rasp-pods",
            "kube-rasp-pods-opted-in",
            "kube-rasp-ephemeral-containers",
            "kube-rasp-status",
        ] {
            let mut spec = bindings.get(of).await?.spec.context("spec")?;
            spec.validation_actions = Some(vec!["Deny".into(), "Audit".into()]);
            let resources = spec.match_resources.get_or_insert_default();
            let selector = resources.namespace_selector.get_or_insert_default();
            selector.match_expressions.get_or_insert_default().push(LabelSelectorRequirement {
                key: "kubernetes.io/metadata.name".into(),
                operator: "In".into(),
                values: Some(vec![namespace.name.clone()]),
            });
            let name = format!("{of}-{}", namespace.name);
            let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
            bindings.create(&PostParams::default(), &Binding { metadata, spec: Some(spec) }).await?;
            names.push(name);
        }
        Ok(Self { bindings, names })
    }

    async fn remove(self) -> anyhow::Result<()> {
        for name in &self.names {
            self.bindings.delete(name, &DeleteParams::default()).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_pod_that_could_get_around_the_sidecar_is_warned_of_with_the_field_and_what_to_do()
-> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let shop = cluster.namespace("shop", &ENABLED).await?;
    for fault in faults() {
        let arguments = ["-n", shop.name.as_str(), "apply", "--dry-run=server", "-f", "-"];
        let printed = cluster.kubectl(&arguments, &yaml(&fault)).await?;
        ensure!(printed.success, "{}: only warned of: {}", fault.name, printed.stderr);
        let line = warning(&printed.stderr, "kube-rasp-pods");
        let line = line.with_context(|| format!("{}: no warning: {}", fault.name, printed.stderr))?;
        for word in &fault.words {
            ensure!(line.contains(word.as_str()), "{}: '{word}' is not in: {line}", fault.name);
        }
    }
    for number in [INBOUND_PORT, OUTBOUND_PORT, ADMIN_PORT] {
        let printed = cluster.apply(&shop.name, &port(number)).await?;
        ensure!(warning(&printed.stderr, "kube-rasp-pods").is_some(), "{number}: {}", printed.stderr);
        cluster.kubectl(&["-n", &shop.name, "delete", "pod", "port", "--now"], "").await?;
    }
    // The controller of a Deployment keeps what it is told to itself: its author is told at the template.
    let deployment = rasp_e2e::workload::nginx("web", 0)
        .replace("        image:", "        securityContext: {privileged: true}\n        image:");
    let printed = cluster.apply(&shop.name, &deployment).await?;
    let line = warning(&printed.stderr, "kube-rasp-workloads").with_context(|| printed.stderr.clone())?;
    ensure!(line.contains("spec.template: container web"), "{line}");
    let mistyped = rasp_e2e::workload::nginx("web", 0).replace(
        "metadata: {labels: {app: web}}",
        "metadata: {labels: {app: web}, annotations: {config.rasp.dev/limit: \"a=1\", config.rasp.dev/log-level: debug}}",
    );
    let printed = cluster.apply(&shop.name, &mistyped).await?;
    let line = warning(&printed.stderr, "kube-rasp-workloads").with_context(|| printed.stderr.clone())?;
    ensure!(
        line.contains("knows no config.rasp.dev/limit: new pods will run WITHOUT a sidecar"),
        "the one that is unknown, and what follows: {line}"
    );
    // The Jobs of a CronJob are made while nobody looks.
    let cron_job = format!(
        "apiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: nightly}}\nspec: {{schedule: '0 3 1 1 *', jobTemplate: {{spec: \
         {{template: {{spec: {{restartPolicy: Never, containers: [{{name: web, image: {BUSYBOX}, securityContext: {{privileged: \
         true}}}}]}}}}}}}}}}\n"
    );
    let printed = cluster.apply(&shop.name, &cron_job).await?;
    let line = warning(&printed.stderr, "kube-rasp-cron-jobs").with_context(|| printed.stderr.clone())?;
    ensure!(line.contains("spec.jobTemplate.spec.template: container web"), "{line}");
    Ok(())
}

/// The warning of a policy that kubectl printed.
fn warning(stderr: &str, policy: &str) -> Option<String> {
    let is_of = |line: &&str| line.starts_with("Warning:") && line.contains(&format!("'{policy}'"));
    stderr.lines().find(is_of).map(str::to_owned)
}

#[tokio::test]
async fn what_is_no_fault_is_not_warned_of() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let plain = cluster.namespace("plain", &[]).await?;
    let shop = cluster.namespace("shop", &ENABLED).await?;
    let quiet = async |namespace: &str, yaml: &str, what: &str| {
        let printed = cluster.apply(namespace, yaml).await?;
        ensure!(!printed.stderr.contains("kube-rasp-"), "{what}: {}", printed.stderr);
        anyhow::Ok(())
    };
    // Ours have NET_ADMIN, the id and the port themselves.
    quiet(&shop.name, &rasp_e2e::workload::nginx("web", 1), "a workload").await?;
    quiet(&shop.name, &shell("bare", SLEEP), "a pod").await?;
    ready_pods(&cluster, &shop.name, "bare", 1).await?;
    // Nobody's business.
    let table = faults();
    let power = table.first().context("a fault")?;
    quiet(&plain.name, &yaml(power), "a pod of a namespace that asks for nothing").await?;
    let opted_out = Fault { labels: ", rasp.dev/inject: \"false\"", name: "out", ..faults().remove(0) };
    quiet(&shop.name, &yaml(&opted_out), "a pod that opted out").await?;
    // Asked for by the pod itself.
    let opted_in = Fault { labels: ", rasp.dev/inject: \"true\"", name: "in", ..faults().remove(0) };
    let printed = cluster.apply(&plain.name, &yaml(&opted_in)).await?;
    ensure!(warning(&printed.stderr, "kube-rasp-pods").is_some(), "{}", printed.stderr);
    Ok(())
}

#[tokio::test]
async fn deny_refuses_pods_ephemeral_containers_and_forged_status_and_lets_ours_pass() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let strict = cluster.namespace("strict", &ENFORCED).await?;
    let denied = Denied::only_in(&cluster, &strict).await?;
    let result = refusals(&cluster, &strict.name).await;
    denied.remove().await?;
    result
}

async fn refusals(cluster: &Cluster, namespace: &str) -> anyhow::Result<()> {
    let refused = async |arguments: &[&str], input: &str, words: &[&str]| {
        let arguments: Vec<&str> = ["-n", namespace].into_iter().chain(arguments.iter().copied()).collect();
        // A new binding is known to the API server after a moment.
        let ask = || async {
            let printed = cluster.kubectl(&arguments, input).await?;
            Ok((!printed.success).then_some(printed.stderr))
        };
        let said = wait_for(&format!("a refusal of {arguments:?}"), Duration::from_secs(20), ask).await?;
        for word in words {
            ensure!(said.contains(word), "'{word}' is not in: {said}");
        }
        anyhow::Ok(())
    };
    let try_out = ["apply", "--dry-run=server", "-f", "-"];
    for fault in faults() {
        // Some are refused by the webhook before: the words are the guard rail's where it is asked.
        refused(&try_out, &yaml(&fault), &[]).await.with_context(|| fault.name)?;
    }
    let power = faults().remove(0);
    refused(&try_out, &yaml(&power), &["'kube-rasp-pods'", "denied", "capabilities.add"]).await?;
    let out = shell("out", SLEEP).replace("labels: {", "labels: {rasp.dev/inject: \"false\", ");
    refused(&try_out, &out, &["metadata.labels['rasp.dev/inject']", "enforced", "remove the label"]).await?;

    cluster.apply(namespace, &shell("ours", SLEEP)).await?;
    ready_pods(cluster, namespace, "ours", 1).await?;
    for context in [format!("{{\"runAsUser\":{PROXY_UID}}}"), r#"{"privileged":true}"#.to_owned()] {
        let patch = ephemeral("bad", &context);
        let arguments = ["patch", "pod", "ours", "--subresource=ephemeralcontainers", "-p", &patch];
        refused(
            &arguments,
            "",
            &["'kube-rasp-ephemeral-containers'", "ephemeral container bad", "securityContext"],
        )
        .await?;
    }
    let patch = ephemeral("good", "{}");
    let arguments =
        ["-n", namespace, "patch", "pod", "ours", "--subresource=ephemeralcontainers", "-p", &patch];
    let printed = cluster.kubectl(&arguments, "").await?;
    ensure!(printed.success, "debugging goes on: {}", printed.stderr);

    policy(cluster, namespace, "p", "{mode: Block}").await?;
    let forged = r#"{"status":{"effectiveMode":"Block"}}"#;
    let arguments = ["patch", "rasppolicy", "p", "--subresource=status", "--type=merge", "-p", forged];
    refused(&arguments, "", &["'kube-rasp-status'", "status is written by the operator", "change spec"])
        .await?;
    // The operator's own writes go on: the next generation is programmed as well.
    policy(cluster, namespace, "p", "{mode: Monitor}").await
}

fn ephemeral(name: &str, context: &str) -> String {
    format!(
        r#"{{"spec":{{"ephemeralContainers":[{{"name":"{name}","image":"{BUSYBOX}","imagePullPolicy":"Never","command":["/bin/busybox","true"],"securityContext":{context}}}]}}}}"#
    )
}

#[tokio::test]
async fn a_label_of_a_namespace_that_asks_for_nothing_is_warned_of() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let shop = cluster.namespace("label", &ENABLED).await?;
    for (label, warns) in [
        ("rasp.dev/inject=true", "is none of enabled, enforced and disabled"),
        ("rasp.dev/inject=enforced", ""),
        ("rasp.dev/Inject=enabled", "kube-rasp knows one label of namespaces"),
    ] {
        let printed = cluster.kubectl(&["label", "--overwrite", "namespace", &shop.name, label], "").await?;
        ensure!(printed.success, "{label}: {}", printed.stderr);
        ensure!(printed.stderr.contains("Warning") != warns.is_empty(), "{label}: {}", printed.stderr);
        ensure!(printed.stderr.contains(warns), "{label}: {}", printed.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn the_expressions_of_the_guard_rails_fit_the_types_that_they_judge() -> anyhow::Result<()> {
    use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy as Policy;
    let cluster = Cluster::connect().await?;
    let (_shop, pod, _) = protected_web(&cluster).await?;
    let ours: Vec<_> = pod.spec.context("spec")?.init_containers.into_iter().flatten().collect();
    ensure!(ours.len() == 2, "the pod was admitted with ours");
    let policies: Api<Policy> = Api::all(cluster.client.clone());
    for name in [
        "kube-rasp-pods",
        "kube-rasp-workloads",
        "kube-rasp-cron-jobs",
        "kube-rasp-ephemeral-containers",
        "kube-rasp-namespaces",
        "kube-rasp-status",
    ] {
        let ask = || async {
            let policy = policies.get(name).await?;
            let seen =
                policy.status.filter(|status| status.observed_generation == policy.metadata.generation);
            Ok(seen.map(|status| status.type_checking.and_then(|types| types.expression_warnings)))
        };
        let warnings = wait_for("type checking", Duration::from_secs(30), ask).await?;
        if let Some(warnings) = warnings.filter(|list| !list.is_empty()) {
            bail!("{name}: {warnings:#?}");
        }
    }
    Ok(())
}
