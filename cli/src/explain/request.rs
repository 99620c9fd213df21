//! `raspctl explain REQUEST-ID`: what was found, where, why, which policy and field decided, and an exception to review.
//!
//! An event names the digest of the policies in force, not the policy that decided. That is worked out from the Bundle of the
//! namespace and the labels of the pod, and it is told when the Bundle has changed since.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use rasp_operator::inject::Settings;
use rasp_policy::api::Exception;
use rasp_policy::precedence::Field;
use serde::Serialize;

use super::event::Event;
use super::exception;
use super::logs::{self, Found};
use crate::cluster::{self, Cluster};
use crate::in_force::{self, Decided};
use crate::{args, print};

/// Everything about one event.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained {
    event: Event,
    /// The fields that decided what was done.
    decided_by: Vec<Decided>,
    /// Why that is not known, or what to know about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// For a finding that is no attack.
    #[serde(skip_serializing_if = "Option::is_none")]
    exception: Option<Exception>,
    /// The policy that the exception belongs into.
    #[serde(skip_serializing_if = "Option::is_none")]
    exception_for: Option<String>,
}

/// Looks and tells. `false` when there is no event.
pub fn run(args: &args::ExplainRequest, out: &mut dyn Write) -> anyhow::Result<bool> {
    let id = args.id.as_deref().context("name a request")?;
    ensure!(
        (1..=256).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()),
        "{id:?} is no request id: copy x-request-id of the answer"
    );
    let (found, explained) = match &args.from {
        Some(path) => {
            let found = logs::in_file(path, id)?;
            let note = || Err("without a cluster it is not known which policy decided".to_owned());
            let explained = found.events.iter().map(|event| explain(event, note())).collect();
            (found, explained)
        }
        None => cluster::with(&args.connection, async |cluster| look(&cluster, args, id).await)?,
    };
    if !print::document(out, args.output, &explained)? {
        explained.iter().try_for_each(|explained| tell(out, explained))?;
    }
    for unread in &found.unread {
        eprintln!("raspctl: not read: {}", print::plain(unread));
    }
    if explained.is_empty() {
        eprintln!("raspctl: {}", missing(args, &found));
    }
    Ok(!explained.is_empty())
}

fn missing(args: &args::ExplainRequest, found: &Found) -> String {
    let id = args.id.as_deref().unwrap_or_default();
    if args.from.is_some() {
        return format!("no event of request {id} in it");
    }
    format!(
        "no event of request {id} in the last {1} of the logs of {0} sidecars; it may be older (--since), of another namespace (-A), \
         rotated away by the kubelet, or nothing was found in it",
        found.pods,
        humantime::format_duration(args.since)
    )
}

async fn look(
    cluster: &Cluster,
    args: &args::ExplainRequest,
    id: &str,
) -> anyhow::Result<(Found, Vec<Explained>)> {
    let found = logs::in_cluster(cluster, args, id).await?;
    let settings = cluster::settings(&cluster.client, &args.operator_namespace).await.ok();
    let mut explained = Vec::new();
    let mut known = BTreeMap::new();
    for event in &found.events {
        let key = (event.unmapped.namespace.clone(), event.unmapped.pod.clone());
        if !known.contains_key(&key) {
            known.insert(key.clone(), in_force_of(cluster, event, settings.as_ref()).await);
        }
        let in_force = known.get(&key).map_or_else(|| Err(String::new()), Clone::clone);
        explained.push(explain(event, in_force));
    }
    Ok((found, explained))
}

/// What is in force for a pod now: all its fields, and the digest.
type InForceNow = Result<(Vec<Decided>, String), String>;

async fn in_force_of(cluster: &Cluster, event: &Event, settings: Option<&Settings>) -> InForceNow {
    let (Some(namespace), Some(pod)) = (&event.unmapped.namespace, &event.unmapped.pod) else {
        return Err("the event names no pod".to_owned());
    };
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let labels = pods.get(pod).await.map_err(|error| cluster::text(&error))?.metadata.labels;
    let found = in_force::fetch(&cluster.client, namespace, settings).await;
    let found = found.map_err(|error| format!("{error:#}"))?;
    Ok((found.explain(&labels.unwrap_or_default()), found.digest))
}

fn explain(event: &Event, in_force: InForceNow) -> Explained {
    let proposed = exception::propose(event, Timestamp::now());
    let mut fields = in_force::deciding(event.class(), &event.unmapped.rule);
    if event.unmapped.exception.is_some() {
        fields.push(Field::Exceptions);
    }
    let (all, note) = match in_force {
        Err(error) => (Vec::new(), Some(error)),
        Ok((all, digest)) if event.unmapped.policy_digest.as_ref() == Some(&digest) => (all, None),
        Ok((all, digest)) => {
            let note =
                format!("the policies have changed since: these are of {digest}, which is in force now");
            (all, Some(note))
        }
    };
    let paths: Vec<_> = fields.iter().map(|field| field.path()).collect();
    let decided_by: Vec<Decided> =
        all.iter().filter(|decided| paths.iter().any(|path| *path == decided.field)).cloned().collect();
    // A list takes the place of the lists of less specific policies, so the one that decides the list gets it.
    let owner = |field: &str| all.iter().find(|decided| decided.field == field)?.by.first().cloned();
    let exception_for = proposed.as_ref().and_then(|_| {
        owner("spec.exceptions")
            .or_else(|| decided_by.iter().rev().find_map(|decided| decided.by.first().cloned()))
    });
    let note = note.filter(|_| !fields.is_empty());
    Explained { event: event.clone(), decided_by, note, exception: proposed, exception_for }
}

fn tell(out: &mut dyn Write, explained: &Explained) -> anyhow::Result<()> {
    let Explained { event, decided_by, note, exception, exception_for } = explained;
    let Event { unmapped, http_request, src_endpoint, dst_endpoint, .. } = event;
    let plain = print::plain;
    let or_dash = |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), print::plain);
    let time = Timestamp::from_millisecond(event.time)
        .map_or_else(|_| event.time.to_string(), |time| time.to_string());
    let line = |out: &mut dyn Write, name: &str, text: &str| writeln!(out, "  {name:<9} {text}");
    writeln!(out, "{}: {}", plain(&event.disposition), plain(&event.finding_info.title))?;
    line(
        out,
        "request",
        &format!("{} at {time}, verdict {}", plain(&unmapped.request_id), plain(&unmapped.verdict)),
    )?;
    let path = http_request.url.path.as_deref().map_or_else(|| "(path not shown)".to_owned(), print::plain);
    let client = match (&src_endpoint.ip, src_endpoint.port) {
        (Some(ip), Some(port)) => format!("{}, port {port}", plain(ip)),
        (ip, _) => or_dash(ip),
    };
    let port = dst_endpoint.port.map_or_else(|| "-".to_owned(), |port| port.to_string());
    line(out, "", &format!("{} {path}, from {client} to port {port}", plain(&http_request.http_method)))?;
    if unmapped.pod.is_some() {
        let (namespace, pod) = (or_dash(&unmapped.namespace), or_dash(&unmapped.pod));
        line(out, "pod", &format!("{namespace}/{pod} of {}", or_dash(&unmapped.workload)))?;
    }
    let confidence = unmapped.confidence.as_ref().map(|word| format!(", confidence {}", plain(word)));
    let class =
        unmapped.class.as_ref().map(|class| format!(" of class {}", plain(class))).unwrap_or_default();
    line(out, "rule", &format!("{}{class}{}", plain(&unmapped.rule), confidence.unwrap_or_default()))?;
    if let Some(location) = &unmapped.location {
        let encodings = if location.encodings.is_empty() {
            String::new()
        } else {
            format!(", after undoing {}", plain(&location.encodings.join(", ")))
        };
        let (part, name) = (plain(&location.part), plain(&location.name));
        let bytes = format!("{} bytes from byte {}", location.length, location.offset);
        line(out, "where", &format!("{part} {name:?}, {bytes}{encodings}"))?;
    }
    if let Some(sample) = &unmapped.sample {
        line(out, "shape", &plain(sample))?;
    }
    if let Some(exception) = &unmapped.exception {
        line(out, "excepted", &format!("by {}: recorded, and not acted on", plain(exception)))?;
    }
    for decided in decided_by {
        let by = if decided.by.is_empty() { "built-in".to_owned() } else { decided.by.join(", ") };
        line(out, "decided", &format!("{} is {}: {by}", decided.field, plain(&decided.value)))?;
    }
    if unmapped.class.is_none() && in_force::deciding(None, &unmapped.rule).is_empty() {
        line(out, "decided", "by no policy: it is so whatever a policy says, except for mode Off")?;
    }
    note.iter().try_for_each(|note| line(out, "note", &plain(note)))?;
    line(out, "policies", &or_dash(&unmapped.policy_digest))?;
    if let Some(exception) = exception {
        let place = exception_for.as_deref().unwrap_or("the policy of the pod");
        writeln!(out, "\n  If it is no attack: an exception for {place}, to be reviewed")?;
        for line in exception::yaml(exception)?.lines() {
            writeln!(out, "    {line}")?;
        }
    }
    Ok(writeln!(out)?)
}
