//! Policies of the cluster, exceptions as objects, and policies for one port.

use anyhow::{Context as _, ensure};
use rasp_e2e::cluster::Cluster;
use rasp_e2e::http;
use rasp_e2e::product::{
    ATTACK, BENIGN, ENABLED, cluster_status, condition, condition_is, counts, exception_status, policy,
    programmed, status,
};
use rasp_e2e::workload::{PORT, addresses, nginx, protected_web, ready_pods};
use rasp_policy::report::EffectiveMode;

/// A policy of the cluster that is deleted when the test ends, however it ends.
struct ClusterPolicy {
    cluster: Cluster,
    name: String,
}

impl ClusterPolicy {
    async fn apply(cluster: &Cluster, name: String, spec: &str) -> anyhow::Result<Self> {
        let yaml = format!(
            "apiVersion: rasp.dev/v1alpha1\nkind: ClusterRaspPolicy\nmetadata: {{name: {name}}}\nspec: {spec}\n"
        );
        let applied = Self { cluster: cluster.clone(), name };
        cluster.apply("default", &yaml).await?;
        Ok(applied)
    }

    async fn delete(&self) -> anyhow::Result<()> {
        delete(&self.cluster, &self.name).await
    }
}

async fn delete(cluster: &Cluster, name: &str) -> anyhow::Result<()> {
    let arguments = ["delete", "clusterrasppolicy", name, "--ignore-not-found", "--wait=false"];
    let printed = cluster.kubectl(&arguments, "").await?;
    ensure!(printed.success, "{}", printed.stderr);
    Ok(())
}

impl Drop for ClusterPolicy {
    fn drop(&mut self) {
        let (cluster, name) = (self.cluster.clone(), self.name.clone());
        // A runtime of its own: the test's may be unwinding.
        let deletion = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(delete(&cluster, &name)).ok()
        });
        let _ = deletion.join();
    }
}

#[tokio::test]
async fn an_override_of_the_cluster_ends_blocking_in_two_namespaces_and_its_status_says_so()
-> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let mut namespaces = Vec::new();
    for _ in 0..2 {
        let (shop, _, ip) = protected_web(&cluster).await?;
        namespaces.push((shop, ip));
    }
    let team = namespaces[0].0.name.clone();
    for (shop, ip) in &namespaces {
        let label = format!("team={team}");
        ensure!(cluster.kubectl(&["label", "namespace", &shop.name, &label], "").await?.success);
        let spec = "{podSelector: {matchLabels: {app: web}}, mode: Block, detections: {sqlInjection: {mode: Block}}}";
        policy(&cluster, &shop.name, "web", spec).await?;
        ensure!(http::get(*ip, PORT, ATTACK).await.status() == Some(403), "blocked before");
    }
    let spec =
        format!("{{namespaceSelector: {{matchLabels: {{team: {team}}}}}, overrides: {{mode: Monitor}}}}");
    let lever = ClusterPolicy::apply(&cluster, team.clone(), &spec).await?;
    let told = cluster_status(&cluster, &team, "programmed in both", |status| {
        condition_is(status, "Programmed", "True") && counts(status).programmed == 2
    })
    .await?;
    ensure!(told.effective_mode == Some(EffectiveMode::Monitor), "{told:?}");
    ensure!(counts(&told).matched == 2, "no other namespace: {told:?}");
    for (shop, ip) in &namespaces {
        ensure!(http::get(*ip, PORT, ATTACK).await.status() == Some(200), "passes");
        let loser = status(&cluster, &shop.name, "web", "Overridden", |status| {
            condition(status, "Programmed").is_some_and(|condition| condition.reason == "Overridden")
        })
        .await?;
        let message = &condition(&loser, "Programmed").context("Programmed")?.message;
        ensure!(message.contains(&format!("ClusterRaspPolicy {team}")), "names the winner: {message}");
    }
    lever.delete().await?;
    for (shop, ip) in &namespaces {
        programmed(&cluster, &shop.name, "web").await?;
        ensure!(http::get(*ip, PORT, ATTACK).await.status() == Some(403), "blocks again");
    }
    Ok(())
}

#[tokio::test]
async fn an_exception_lets_a_request_pass_and_its_hits_are_counted() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let (shop, _, ip) = protected_web(&cluster).await?;
    policy(&cluster, &shop.name, "web", "{mode: Block}").await?;
    ensure!(http::get(ip, PORT, ATTACK).await.status() == Some(403), "blocked before");
    let yaml = |name: &str, end: &str| {
        format!(
            "apiVersion: rasp.dev/v1alpha1\nkind: RaspException\nmetadata: {{name: {name}}}\nspec: {{class: sqlInjection, \
             path: /index.html, parameter: id, reason: a test{end}}}\n"
        )
    };
    let ending = |year| format!(", expiresAt: '{year}-01-01T00:00:00Z'");
    cluster.apply(&shop.name, &yaml("filter", &ending(2099))).await?;
    exception_status(&cluster, &shop.name, "filter", "programmed", |status| {
        condition_is(status, "Accepted", "True") && condition_is(status, "Programmed", "True")
    })
    .await?;
    for _ in 0..3 {
        ensure!(http::get(ip, PORT, ATTACK).await.status() == Some(200), "passes");
    }
    let elsewhere = ATTACK.replace("index.html", "other.html");
    ensure!(http::get(ip, PORT, &elsewhere).await.status() == Some(403), "and nowhere else");
    let used = exception_status(&cluster, &shop.name, "filter", "hits", |status| {
        status.hits.is_some_and(|hits| hits > 0)
    })
    .await?;
    ensure!(used.last_hit.is_some(), "{used:?}");

    for (name, end, reason) in
        [("past", ending(2020), "Expired"), ("ever", String::new(), "PermanentNotAllowed")]
    {
        cluster.apply(&shop.name, &yaml(name, &end)).await?;
        exception_status(&cluster, &shop.name, name, reason, |status| {
            condition(status, "Accepted").is_some_and(|c| c.status == "False" && c.reason == reason)
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_policy_for_one_port_of_a_service_leaves_the_other_ports_alone() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let shop = cluster.namespace("shop", &ENABLED).await?;
    cluster.apply(&shop.name, &nginx("web", 1)).await?;
    let pod = ready_pods(&cluster, &shop.name, "web", 1).await?.remove(0);
    let ip = *addresses(&pod)?.first().context("address")?;
    // The pod's port is named by the container, and the Service leads to it by that name.
    let spec = "{targetRefs: [{kind: Service, name: web, sectionName: http}], mode: Block}";
    policy(&cluster, &shop.name, "port", spec).await?;
    ensure!(http::get(ip, PORT, ATTACK).await.status() == Some(403), "blocked on the port");
    ensure!(http::get(ip, PORT, BENIGN).await.status() == Some(200));
    let told = programmed(&cluster, &shop.name, "port").await?;
    ensure!(condition_is(&told, "ResolvedRefs", "True"), "{told:?}");

    let spec = "{targetRefs: [{kind: Service, name: web, sectionName: admin}, {kind: Deployment, name: gone}], mode: Block}";
    let yaml =
        format!("apiVersion: rasp.dev/v1alpha1\nkind: RaspPolicy\nmetadata: {{name: port}}\nspec: {spec}\n");
    cluster.apply(&shop.name, &yaml).await?;
    let missing = status(&cluster, &shop.name, "port", "TargetNotFound", |status| {
        condition(status, "ResolvedRefs").is_some_and(|condition| condition.reason == "TargetNotFound")
    })
    .await?;
    let message = &condition(&missing, "ResolvedRefs").context("ResolvedRefs")?.message;
    ensure!(message.contains("Service/web port admin") && message.contains("Deployment/gone"), "{message}");
    // Another port of the pod than the one that is named has no policy: it monitors.
    rasp_e2e::cluster::wait_for("the port to monitor again", rasp_e2e::product::ROLLOUT, || async {
        Ok((http::get(ip, PORT, ATTACK).await.status() == Some(200)).then_some(()))
    })
    .await
}

#[tokio::test]
async fn the_other_kinds_break_their_schemas_by_name() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let shop = cluster.namespace("shop", &[]).await?;
    let table = [
        ("ClusterRaspPolicy", "{}", "set either defaults or overrides"),
        ("ClusterRaspPolicy", "{defaults: {}, overrides: {}}", "set either defaults or overrides"),
        ("ClusterRaspPolicy", "{overrides: {podSelector: {}}}", "spec.overrides.podSelector"),
        ("ClusterRaspPolicy", "{overrides: {mode: Blok}}", "spec.overrides.mode"),
        ("RaspException", "{reason: r}", "set either rule or class"),
        ("RaspException", "{class: sqlInjection, reason: r}", "needs path and parameter"),
        ("RaspException", "{rule: a}", "spec.reason"),
        (
            "RaspPolicy",
            "{podSelector: {}, targetRefs: [{kind: Service, name: a}]}",
            "set either podSelector or targetRefs",
        ),
        ("RaspPolicy", "{targetRefs: [{kind: Pod, name: a}]}", "spec.targetRefs[0].kind"),
        (
            "RaspPolicy",
            "{targetRefs: [{group: apps, kind: Service, name: a}]}",
            "the group of a Service is empty",
        ),
        ("RaspPolicy", "{targetRefs: []}", "spec.targetRefs"),
    ];
    for (kind, spec, expected) in table {
        let yaml =
            format!("apiVersion: rasp.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: bad}}\nspec: {spec}\n");
        let arguments =
            ["-n", shop.name.as_str(), "apply", "--dry-run=server", "--validate=strict", "-f", "-"];
        let printed = cluster.kubectl(&arguments, &yaml).await?;
        ensure!(!printed.success && printed.stderr.contains(expected), "{kind} {spec}: {}", printed.stderr);
    }
    Ok(())
}
