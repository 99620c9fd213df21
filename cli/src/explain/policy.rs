//! `raspctl explain policy pod/NAME`: each field, its value, who decided it, and who lost; a table for the pod, and one for each
//! port of it where something else is in force.

use std::io::Write;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use rasp_policy::precedence::Explanation;
use serde::Serialize;

use crate::cluster::{self, Cluster};
use crate::in_force::{self, InForce, Who};
use crate::{args, print};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained {
    namespace: String,
    pod: String,
    /// What `targetRefs` compare with the names of workloads.
    workload: String,
    digest: String,
    /// Of the Bundle.
    sequence: u64,
    /// Whether the signature of the Bundle was checked.
    verified: bool,
    /// The first for every port that is not named in the others.
    explanations: Vec<Part>,
}

#[derive(Debug, Serialize)]
struct Part {
    /// The policies that are for it, highest precedence first.
    policies: Vec<String>,
    #[serde(flatten)]
    explanation: Explanation,
}

/// Looks and tells.
pub fn run(args: &args::ExplainPolicy, out: &mut dyn Write) -> anyhow::Result<bool> {
    in_force::pod_name(&args.pod)?;
    let explained = cluster::with(&args.connection, async |cluster| look(&cluster, args).await)?;
    if !print::document(out, args.output, &explained)? {
        tell(out, &explained, args.all)?;
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
    Ok(explain(found, name, Who::of(&pod)))
}

fn explain(found: InForce, name: &str, pod: Who) -> Explained {
    let part =
        |explanation: Explanation| Part { policies: found.selected(&pod, explanation.port), explanation };
    Explained {
        namespace: found.bundle.namespace.name.clone(),
        pod: name.to_owned(),
        explanations: found.explain(&pod).into_iter().map(part).collect(),
        workload: pod.workload,
        digest: found.digest,
        sequence: found.bundle.sequence,
        verified: found.verified,
    }
}

fn tell(out: &mut dyn Write, explained: &Explained, all: bool) -> std::io::Result<()> {
    let Explained { namespace, pod, workload, digest, verified, explanations, .. } = explained;
    let signature = if *verified { "its signature is right" } else { "its signature was not checked" };
    let of = if workload.is_empty() { String::new() } else { format!(" of {}", print::plain(workload)) };
    writeln!(out, "pod {namespace}/{pod}{of}, Bundle {digest} ({signature})")?;
    let named: Vec<String> =
        explanations.iter().filter_map(|part| part.explanation.port).map(|port| port.to_string()).collect();
    for Part { policies, explanation } in explanations {
        let place = match explanation.port {
            Some(port) => format!("port {port}"),
            None if named.is_empty() => "every port".to_owned(),
            None => format!("every port but {}", named.join(", ")),
        };
        writeln!(out)?;
        if policies.is_empty() {
            writeln!(out, "{place}: no policy is for it, it monitors with the built-in values")?;
        } else {
            writeln!(
                out,
                "{place}, by these policies, highest precedence first: {}",
                print::plain(&policies.join(", "))
            )?;
        }
        let said = explanation.fields.iter().filter(|field| all || !field.decided_by.is_empty());
        let rows: Vec<Vec<String>> = said
            .map(|field| {
                let value = in_force::text(&field.field, &field.value);
                vec![
                    field.field.clone(),
                    print::plain(&value),
                    in_force::deciders(field),
                    print::plain(&in_force::losers(field)),
                ]
            })
            .collect();
        if !rows.is_empty() {
            print::table(out, &["FIELD", "VALUE", "DECIDED BY", "OVER"], &rows)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{explain, tell};
    use crate::in_force::tests::{every_level, front};

    #[test]
    fn a_pod_has_a_table_and_each_port_that_differs_one_of_its_own() {
        let explained = explain(every_level(), "front-1", front());
        let mut out = Vec::new();
        tell(&mut out, &explained, false).unwrap();
        let printed = String::from_utf8(out).unwrap();
        let beginning = "pod shop/front-1 of Deployment/front, Bundle sha256:aa (its signature is right)\n\nevery port but 8080, by";
        assert!(printed.starts_with(beginning), "{printed}");
        let (everywhere, port) = printed.split_once("\nport 8080, by these policies, highest precedence first: ClusterRaspPolicy lever, RaspPolicy shop/port").unwrap();
        for (table, mode) in [(everywhere, "Monitor"), (port, "Block")] {
            let row = table.lines().find(|line| line.starts_with("spec.mode")).unwrap();
            assert_eq!(row.split_whitespace().nth(1), Some(mode), "{printed}");
            assert!(!table.contains("maxDepth"), "what nobody decides is not shown: {table}");
        }
        let document = serde_json::to_value(&explained).unwrap();
        assert_eq!(document["explanations"][1]["port"], 8080);
        let mode = &document["explanations"][1]["fields"][0];
        assert_eq!(mode["decidedBy"][0]["level"], "Port", "{document:#}");
        assert_eq!(mode["overridden"][0]["name"], "front");
    }
}
