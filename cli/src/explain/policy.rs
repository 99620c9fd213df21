//! `raspctl explain policy pod/NAME`: each field, its value, who decided it, and who lost.

use std::io::Write;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde::Serialize;

use crate::cluster::{self, Cluster};
use crate::in_force::{self, Decided};
use crate::{args, print};

#[derive(Debug, Serialize)]
struct Explained {
    namespace: String,
    pod: String,
    digest: String,
    /// Whether the signature of the Bundle was checked.
    verified: bool,
    /// The policies that select the pod, highest precedence first.
    policies: Vec<String>,
    fields: Vec<Decided>,
}

/// Looks and tells.
pub fn run(args: &args::ExplainPolicy, out: &mut dyn Write) -> anyhow::Result<bool> {
    let explained = cluster::with(&args.connection, async |cluster| look(&cluster, args).await)?;
    if !print::document(out, args.output, &explained)? {
        tell(out, &explained)?;
    }
    Ok(true)
}

async fn look(cluster: &Cluster, args: &args::ExplainPolicy) -> anyhow::Result<Explained> {
    let client = &cluster.client;
    let namespace = args.namespace.as_ref().unwrap_or(&cluster.namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let name = in_force::pod_name(&args.pod)?;
    let pod = pods.get(name).await.map_err(|error| anyhow::anyhow!("{}", cluster::text(&error)))?;
    let settings = cluster::settings(client, &args.operator_namespace).await.ok();
    let found = in_force::fetch(client, namespace, settings.as_ref()).await?;
    let labels = pod.metadata.labels.unwrap_or_default();
    let mut fields = found.explain(&labels);
    fields.retain(|field| args.all || !field.by.is_empty());
    Ok(Explained {
        namespace: namespace.clone(),
        pod: name.to_owned(),
        policies: found.selected(&labels),
        digest: found.digest,
        verified: found.verified,
        fields,
    })
}

fn tell(out: &mut dyn Write, explained: &Explained) -> std::io::Result<()> {
    let Explained { namespace, pod, digest, verified, policies, fields } = explained;
    let signature = if *verified { "its signature is right" } else { "its signature was not checked" };
    writeln!(out, "pod {namespace}/{pod}, Bundle {digest} ({signature})")?;
    if policies.is_empty() {
        writeln!(out, "No policy selects it: it monitors, with the built-in values.")?;
    } else {
        writeln!(out, "selected by, highest precedence first: {}", policies.join(", "))?;
    }
    if fields.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let row = |field: &Decided| {
        let by = if field.by.is_empty() { "built-in".to_owned() } else { field.by.join(", ") };
        vec![field.field.clone(), print::plain(&field.value), by, field.over.join(", ")]
    };
    let rows: Vec<Vec<String>> = fields.iter().map(row).collect();
    print::table(out, &["FIELD", "VALUE", "DECIDED BY", "OVER"], &rows)
}
