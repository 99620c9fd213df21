//! `raspctl explain REQUEST-ID`: what was found, where, why, which policy and field decided, and an exception to review.
//!
//! An event names the policy that decided the mode. Who decided all else, and who decided where an event of an older sidecar
//! does not say it, is worked out from the Bundle of the namespace, and the labels, the workload and the port of the pod, and
//! it is told when the Bundle has changed since.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use rasp_operator::inject::Settings;
use rasp_policy::api::RaspException;
use rasp_policy::precedence::{self, Explanation, Field, Level};
use serde::Serialize;

use super::event::Event;
use super::exception;
use super::logs::{self, Found};
use crate::cluster::{self, Cluster};
use crate::in_force::{self, InForce, Who};
use crate::{args, print};

/// Everything about one event.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained {
    event: Event,
    /// The fields that decided what was done.
    decided_by: Vec<precedence::Explained>,
    /// Why that is not known, or what to know about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// For a finding that is no attack.
    #[serde(skip_serializing_if = "Option::is_none")]
    exception: Option<RaspException>,
    /// Why there is none, or why it would do nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    exception_note: Option<String>,
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
    if let Some(path) = &args.from {
        return format!("no event of request {id} in {}", path.display());
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

/// What is in force now, and for whom.
type InForceNow = Result<(InForce, Who), String>;

async fn in_force_of(cluster: &Cluster, event: &Event, settings: Option<&Settings>) -> InForceNow {
    let (Some(namespace), Some(pod)) = (&event.unmapped.namespace, &event.unmapped.pod) else {
        return Err("the event names no pod".to_owned());
    };
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let pod = pods.get(pod).await.map_err(|error| cluster::text(&error))?;
    let found = in_force::fetch(&cluster.client, namespace, settings).await;
    Ok((found.map_err(|error| format!("{error:#}"))?, Who::of(&pod)))
}

fn explain(event: &Event, in_force: InForceNow) -> Explained {
    let mut fields = in_force::deciding(event.class(), &event.unmapped.rule);
    if event.policy.is_some() {
        // The event knows better than the Bundle of now.
        fields.retain(|field| !matches!(field, Field::Mode | Field::ClassMode(_)));
    }
    if event.unmapped.exception.is_some() {
        fields.push(Field::Exceptions);
    }
    let (now, note) = match in_force {
        Err(error) => (None, Some(error)),
        Ok((found, pod)) => {
            let note = (event.unmapped.policy_digest.as_ref() != Some(&found.digest)).then(|| {
                format!(
                    "the policies have changed since: these are of {}, which is in force now",
                    found.digest
                )
            });
            (Some(found.explain_at(&pod, event.dst_endpoint.port)), note)
        }
    };
    let decided_by =
        now.iter().flat_map(|now| fields.iter().filter_map(move |field| in_force::field(now, *field)));
    // Of all requests nobody has to be told.
    let is_told = |field: &precedence::Explained| {
        field.field != Field::Enforcement.path() || !field.decided_by.is_empty()
    };
    let decided_by = decided_by.filter(is_told).collect();
    // Without a cluster it is enough that the event says it.
    let note = note.filter(|_| !fields.is_empty() && (now.is_some() || event.policy.is_none()));
    let (exception, exception_note) = match exception::propose(event, Timestamp::now()) {
        None => (None, None),
        Some(Err(why)) => (None, Some(why.to_owned())),
        Some(Ok(exception)) => (Some(exception), now.as_ref().and_then(overridden)),
    };
    Explained { event: event.clone(), decided_by, note, exception, exception_note }
}

/// RaspExceptions are added to any list, but not to one of cluster overrides.
fn overridden(now: &Explanation) -> Option<String> {
    let exceptions = in_force::field(now, Field::Exceptions)?;
    let by = exceptions.decided_by.first().filter(|by| by.level == Level::ClusterOverrides)?;
    Some(format!(
        "it would do nothing: {} {} overrides the exceptions of this namespace",
        by.kind.as_str(),
        by.name
    ))
}

fn tell(out: &mut dyn Write, explained: &Explained) -> anyhow::Result<()> {
    let Explained { event, decided_by, note, exception, exception_note } = explained;
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
    if let Some(policy) = &event.policy {
        let generation = policy.version.as_ref().map(|version| format!(", generation {version}"));
        let said = format!(
            "{} is {}: {}{}, as the event says",
            or_dash(&unmapped.policy_field),
            plain(&unmapped.mode),
            plain(&policy.name),
            plain(&generation.unwrap_or_default())
        );
        line(out, "decided", &said)?;
    }
    if unmapped.enforced == Some(false) {
        line(out, "share", "it is outside of the share that spec.enforcement blocks: judged as in Monitor")?;
    }
    for decided in decided_by {
        let value = plain(&in_force::text(&decided.field, &decided.value));
        line(out, "decided", &format!("{} is {value}: {}", decided.field, in_force::deciders(decided)))?;
    }
    if unmapped.class.is_none() && in_force::deciding(None, &unmapped.rule).is_empty() {
        line(out, "decided", "by no policy: it is so whatever a policy says, except for mode Off")?;
    }
    note.iter().try_for_each(|note| line(out, "note", &plain(note)))?;
    line(out, "policies", &or_dash(&unmapped.policy_digest))?;
    if exception.is_none() {
        exception_note
            .iter()
            .try_for_each(|why| line(out, "exception", &format!("none is proposed: {why}")))?;
    }
    if let Some(exception) = exception {
        writeln!(out, "\n  If it is no attack: an exception, to be reviewed, completed and applied")?;
        exception_note.iter().try_for_each(|note| writeln!(out, "  {}", plain(note)))?;
        for line in serde_yaml::to_string(exception)?.lines() {
            writeln!(out, "    {line}")?;
        }
    }
    Ok(writeln!(out)?)
}
