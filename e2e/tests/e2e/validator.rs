//! The validating webhook: what only a compiler can say is said when a policy is written, and it is never in the way.

use std::time::Duration;

use anyhow::ensure;
use rasp_e2e::cluster::{Cluster, Printed, wait_for};
use rasp_e2e::product::scale_operator;

/// A policy whose signature does not see its own attack.
fn blind(name: &str, mode: &str) -> String {
    format!(
        "apiVersion: rasp.dev/v1alpha1\nkind: RaspPolicy\nmetadata: {{name: {name}}}\nspec: {{mode: {mode}, signatures: [{{id: local-a, \
         cve: CVE-2026-99999, date: '2026-11-26', title: T, confidence: High, path: [{{ends: [/a]}}], attacks: [GET /b], ordinary: [GET /c]}}]}}\n"
    )
}

async fn apply(cluster: &Cluster, namespace: &str, yaml: &str) -> anyhow::Result<Printed> {
    cluster.kubectl(&["-n", namespace, "apply", "--validate=strict", "-f", "-"], yaml).await
}

#[tokio::test]
async fn a_policy_that_cannot_be_compiled_is_refused_unless_it_only_lowers_a_mode_or_nobody_is_there()
-> anyhow::Result<()> {
    let cluster = Cluster::connect_alone().await?;
    let shop = cluster.namespace("shop", &[]).await?;
    // While the API server reaches nobody, the policy is taken; it has to go again, since what is applied twice is
    // not sent a second time.
    let refused = async |name: &str| {
        let printed = apply(&cluster, &shop.name, &blind(name, "Block")).await?;
        if printed.success {
            cluster.kubectl(&["-n", &shop.name, "delete", "rasppolicy", name], "").await?;
            return Ok(None);
        }
        Ok(Some(printed.stderr))
    };
    let limit = Duration::from_secs(30);
    let told = wait_for("the refusal", limit, || refused("bad")).await?;
    ensure!(told.contains("spec.signatures[local-a]"), "names the field: {told}");

    let before = scale_operator(&cluster, 0).await?;
    let taken = apply(&cluster, &shop.name, &blind("bad", "Block")).await?;
    scale_operator(&cluster, before).await?;
    ensure!(taken.success, "without the operator every policy is taken: {}", taken.stderr);

    wait_for("the refusal again", limit, || refused("other")).await?;
    let lowered = apply(&cluster, &shop.name, &blind("bad", "Monitor")).await?;
    ensure!(
        lowered.success && lowered.stderr.contains("the lower mode or share is in force at once"),
        "{lowered:?}"
    );
    let raised = apply(&cluster, &shop.name, &blind("bad", "Block")).await?;
    ensure!(!raised.success && raised.stderr.contains("spec.signatures[local-a]"), "{raised:?}");
    let labelled = cluster.kubectl(&["-n", &shop.name, "label", "rasppolicy", "bad", "team=a"], "").await?;
    ensure!(labelled.success && !labelled.stderr.contains("kube-rasp:"), "nobody is asked: {labelled:?}");

    let other_kinds = [
        ("RaspException", "{rule: no-such-rule, reason: r}", "spec.rule: is no-such-rule"),
        (
            "ClusterRaspPolicy",
            "{namespaceSelector: {matchLabels: {no: body}}, defaults: {exceptions: [{name: a, rule: none, reason: r}]}}",
            "spec.defaults.exceptions[",
        ),
    ];
    for (kind, spec, words) in other_kinds {
        let yaml =
            format!("apiVersion: rasp.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: bad}}\nspec: {spec}\n");
        let refused = apply(&cluster, &shop.name, &yaml).await?;
        ensure!(!refused.success && refused.stderr.contains(words), "{kind}: {refused:?}");
    }
    let over = "apiVersion: rasp.dev/v1alpha1\nkind: RaspException\nmetadata: {name: over}\nspec: {rule: xss-handler, reason: r, expiresAt: '2020-01-01T00:00:00Z'}\n";
    let warned = apply(&cluster, &shop.name, over).await?;
    ensure!(warned.success && warned.stderr.contains("spec.expiresAt is 2020-01-01T00:00:00Z"), "{warned:?}");
    Ok(())
}

#[tokio::test]
async fn the_ca_of_the_validator_is_put_back_when_somebody_takes_it_away() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let patch = r#"[{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": ""}]"#;
    let name = ["validatingwebhookconfiguration", "kube-rasp-validator"];
    let printed = cluster.kubectl(&["patch", name[0], name[1], "--type=json", "-p", patch], "").await?;
    ensure!(printed.success, "{}", printed.stderr);
    wait_for("the CA", Duration::from_secs(15), || async {
        let path = "jsonpath={.webhooks[0].clientConfig.caBundle}";
        let printed = cluster.kubectl(&["get", name[0], name[1], "-o", path], "").await?;
        Ok((!printed.stdout.is_empty()).then_some(()))
    })
    .await?;
    Ok(())
}
