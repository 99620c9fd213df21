//! Each leaf of the CRD changes what can be observed at the application port, and every example applies.

use anyhow::{Context as _, ensure};
use rasp_e2e::cluster::{Cluster, wait_for};
use rasp_e2e::http::{self, Outcome};
use rasp_e2e::product::{ATTACK, ENABLED, ROLLOUT, policy};
use rasp_e2e::workload::{PORT, addresses, nginx, ready_pods};

/// A finding below High: blocked only where the policy asks for it.
const DOUBTFUL: &str = "/index.html?id=sleep(5)";

#[tokio::test]
async fn each_leaf_of_a_policy_changes_what_a_client_sees() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let shop = cluster.namespace("shop", &ENABLED).await?;
    cluster.apply(&shop.name, &nginx("web", 1)).await?;
    cluster.apply(&shop.name, &nginx("other", 1)).await?;
    let web =
        *addresses(&ready_pods(&cluster, &shop.name, "web", 1).await?.remove(0))?.first().context("ip")?;
    let other =
        *addresses(&ready_pods(&cluster, &shop.name, "other", 1).await?.remove(0))?.first().context("ip")?;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let large = vec![b'a'; 4096];

    policy(&cluster, &shop.name, "p", "{mode: Monitor}").await?;
    ensure!(http::get(web, PORT, ATTACK).await.status() == Some(200), "mode: Monitor");
    policy(&cluster, &shop.name, "p", "{mode: Block}").await?;
    ensure!(http::get(web, PORT, ATTACK).await.status() == Some(403), "mode: Block");
    ensure!(
        http::request(web, PORT, "POST", "/", &form, &large).await.status() == Some(200),
        "body within the limit"
    );

    policy(&cluster, &shop.name, "p", "{mode: Block, podSelector: {matchLabels: {app: web}}}").await?;
    ensure!(http::get(web, PORT, ATTACK).await.status() == Some(403), "podSelector: selected");
    // Programmed counts the pods that are selected; one that no longer is follows in its own time.
    let passes = || async { Ok((http::get(other, PORT, ATTACK).await.status() == Some(200)).then_some(())) };
    wait_for("podSelector: not selected", ROLLOUT, passes).await?;

    let spec = "{mode: Block, detections: {sqlInjection: {mode: Monitor}}, inspection: {maxBodyBytes: 1024}}";
    policy(&cluster, &shop.name, "p", spec).await?;
    ensure!(http::get(web, PORT, ATTACK).await.status() == Some(200), "detections.sqlInjection.mode");
    let refused = http::request(web, PORT, "POST", "/", &form, &large).await.status();
    ensure!(refused == Some(413), "inspection.maxBodyBytes: {refused:?}");

    let spec = "{mode: Block, detections: {sqlInjection: {minConfidence: Certain}}}";
    policy(&cluster, &shop.name, "p", spec).await?;
    let strict = http::get(web, PORT, DOUBTFUL).await.status();
    let spec = "{mode: Block, detections: {sqlInjection: {minConfidence: Low}}}";
    policy(&cluster, &shop.name, "p", spec).await?;
    let lax = http::get(web, PORT, DOUBTFUL).await.status();
    ensure!(
        (strict, lax) == (Some(200), Some(403)),
        "detections.sqlInjection.minConfidence: {strict:?} {lax:?}"
    );

    let json = [("content-type", "application/json")];
    let deep = "[".repeat(500) + &"]".repeat(500);
    for (failure_mode, expected) in [("Open", 200), ("Closed", 503)] {
        policy(&cluster, &shop.name, "p", &format!("{{mode: Block, failureMode: {failure_mode}}}")).await?;
        let seen = http::request(web, PORT, "POST", "/", &json, deep.as_bytes()).await.status();
        ensure!(seen == Some(expected), "failureMode {failure_mode}, a document nested too deep: {seen:?}");
    }

    let spec = "{mode: Block, response: {status: 418, body: <h1>no</h1>, contentType: text/html}}";
    policy(&cluster, &shop.name, "p", spec).await?;
    let Outcome::Answered(blocked) = http::get(web, PORT, ATTACK).await else { anyhow::bail!("no answer") };
    ensure!(blocked.status == 418, "response.status: {}", blocked.head);
    ensure!(blocked.body == b"<h1>no</h1>", "response.body");
    ensure!(blocked.field("content-type") == Some("text/html"), "response.contentType: {}", blocked.head);
    Ok(())
}

#[tokio::test]
async fn every_example_applies() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let shop = cluster.namespace("shop", &ENABLED).await?;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/examples");
    let mut count = 0;
    for file in std::fs::read_dir(&folder)?.flatten() {
        let yaml = std::fs::read_to_string(file.path())?;
        cluster.apply(&shop.name, &yaml).await.with_context(|| format!("{:?}", file.file_name()))?;
        // Those of the cluster select labels that no namespace of a test has.
        let arguments = ["-n", shop.name.as_str(), "delete", "--wait=false", "-f", "-"];
        ensure!(cluster.kubectl(&arguments, &yaml).await?.success, "delete {:?}", file.file_name());
        count += 1;
    }
    ensure!(count >= 3, "{count} examples in {}", folder.display());
    Ok(())
}

/// The objects that a page shows: blocks of YAML, one document each. What begins with `spec` is that of a RaspPolicy; kinds that
/// this cluster does not have are left out.
fn shown(page: &str) -> Vec<String> {
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let plain = blocks.map(|block| {
        let indent = block.len() - block.trim_start_matches(' ').len();
        block.lines().flat_map(|line| [line.get(indent..).unwrap_or_default(), "\n"]).collect::<String>()
    });
    let documents: Vec<String> =
        plain.flat_map(|block| block.split("---\n").map(str::to_owned).collect::<Vec<_>>()).collect();
    let whole = documents.into_iter().map(|document| match document.strip_prefix("spec:\n") {
        Some(_) => {
            format!("apiVersion: rasp.dev/v1alpha1\nkind: RaspPolicy\nmetadata: {{name: sample}}\n{document}")
        }
        None => document,
    });
    let is_known = |document: &String| {
        let version = document.lines().find_map(|line| line.strip_prefix("apiVersion: "));
        version.is_some_and(|version| {
            !version.starts_with("argoproj") && !version.starts_with("security.openshift")
        })
    };
    whole.filter(is_known).collect()
}

#[tokio::test]
async fn every_sample_of_the_documentation_is_taken_by_the_api_server() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let shop = cluster.namespace("shop", &ENABLED).await?;
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut pages = vec![root.join("README.md")];
    for folder in ["docs", "docs/detection"] {
        pages.extend(std::fs::read_dir(root.join(folder))?.flatten().map(|entry| entry.path()));
    }
    let mut count = 0;
    for page in pages.iter().filter(|page| page.extension().is_some_and(|extension| extension == "md")) {
        for sample in shown(&std::fs::read_to_string(page)?) {
            let sample = sample.replace("namespace: shop", &format!("namespace: {}", shop.name));
            let arguments =
                ["-n", shop.name.as_str(), "apply", "--dry-run=server", "--validate=strict", "-f", "-"];
            let printed = cluster.kubectl(&arguments, &sample).await?;
            ensure!(printed.success, "{}: {}\n{sample}", page.display(), printed.stderr);
            // A Service or workload of a sample is not there; what is said of that stands in the status.
            ensure!(!printed.stderr.contains("Warning"), "{}: {}", page.display(), printed.stderr);
            count += 1;
        }
    }
    ensure!(count >= 20, "{count} samples");
    Ok(())
}
