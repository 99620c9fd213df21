//! The policies of files as a Bundle of one namespace would hold them: what the operator looks up in a cluster says the file of
//! requests here. Pure.

use anyhow::{anyhow, bail};
use rasp_engine::Ruleset;
use rasp_policy::api::{TargetKind, TargetRef};
use rasp_policy::bundle::{Bundle, Entry, Namespace, SCHEMA_VERSION, Target};
use rasp_policy::document::{Error, Object, Spec, stand_alone};
use rasp_policy::precedence::resolve_at;
use rasp_policy::selector::{Labels, Subject};

use super::file::{File, Request};

/// Stands for the port that a file names.
const PORT: u16 = 1;

/// The pod that a request is for, as policies see it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pod {
    labels: Labels,
    workload: String,
    services: Vec<String>,
    /// Name of the port.
    port: Option<String>,
}

impl Pod {
    /// As a file says, and a request of it otherwise.
    pub fn of(file: &File, request: &Request) -> Self {
        let workload = request.workload.as_ref().or(file.workload.as_ref());
        Self {
            labels: request.pod_labels.as_ref().unwrap_or(&file.pod_labels).clone(),
            workload: workload.cloned().unwrap_or_default(),
            services: file.services.clone(),
            port: request.port.as_ref().or(file.port.as_ref()).cloned(),
        }
    }
}

/// The policies that are for a namespace.
pub struct Policies {
    bundle: Bundle,
    /// The `targetRefs` of each entry.
    targets: Vec<Option<Vec<TargetRef>>>,
}

impl Policies {
    /// Those of the namespace that the file names. A document that names none belongs to every namespace; a policy of the
    /// cluster is for those that its selector selects.
    pub fn of(objects: &[Object], file: &File) -> anyhow::Result<Self> {
        let namespace = file.namespace.as_deref();
        let mut named: Vec<&str> =
            objects.iter().filter_map(|object| object.metadata.namespace.as_deref()).collect();
        named.sort_unstable();
        named.dedup();
        if namespace.is_none() && named.len() > 1 {
            bail!(
                "the policies are of several namespaces ({}): say which one the requests are for, in its field namespace",
                named.join(", ")
            );
        }
        let mut labels = file.namespace_labels.clone();
        if let Some(name) = namespace {
            // As the API server labels every namespace.
            labels.insert("kubernetes.io/metadata.name".to_owned(), name.to_owned());
        }
        let here = objects.iter().filter(|object| match (&object.metadata.namespace, namespace) {
            (Some(of), Some(namespace)) => of == namespace,
            _ => true,
        });
        let (mut alone, mut targets) = (Vec::new(), Vec::new());
        for object in here {
            let mut object = object.clone();
            let refs = match &mut object.spec {
                Spec::Policy(spec) => spec.target_refs.take(),
                Spec::Exception(spec) => spec.target_refs.take(),
                Spec::Cluster(spec) => {
                    if spec.namespace_selector.take().is_some_and(|selector| !selector.matches(&labels)) {
                        continue;
                    }
                    None
                }
            };
            alone.push(object);
            targets.push(refs);
        }
        // The number would be that among these documents: the name says which one it is.
        let entries = stand_alone(&alone).map_err(|error| match error {
            Error::StandAlone { name, message, .. } => anyhow!("{name}: {message}"),
            other => other.into(),
        })?;
        let namespace = Namespace { name: namespace.unwrap_or_default().to_owned(), uid: String::new() };
        Ok(Self {
            bundle: Bundle { schema_version: SCHEMA_VERSION, namespace, sequence: 0, entries },
            targets,
        })
    }

    /// What is in force for a pod at `now`.
    pub fn ruleset(&self, pod: &Pod, now: &str) -> anyhow::Result<Ruleset> {
        let mut bundle = self.bundle.clone();
        for (entry, refs) in bundle.entries.iter_mut().zip(&self.targets) {
            aim(entry, refs.as_deref(), pod);
        }
        let subject = Subject { labels: &pod.labels, workload: &pod.workload };
        let mut effective = resolve_at(&bundle, subject, pod.port.as_ref().map(|_| PORT)).effective;
        effective.expire(now);
        Ok(Ruleset::check(&effective).and_then(|()| Ruleset::build(&effective))?)
    }
}

/// What is there of the targets. A Service that selects the pod has a selector that its labels fit, so it may be all of them.
fn aim(entry: &mut Entry, refs: Option<&[TargetRef]>, pod: &Pod) {
    entry.targets = refs.map(|refs| {
        let there = refs
            .iter()
            .filter(|target| target.kind != TargetKind::Service || pod.services.contains(&target.name));
        there
            .map(|target| Target {
                kind: target.kind,
                name: target.name.clone(),
                selector: if target.kind == TargetKind::Service { pod.labels.clone() } else { Labels::new() },
                ports: target
                    .section_name
                    .as_ref()
                    .map(|name| if pod.port.as_ref() == Some(name) { vec![PORT] } else { Vec::new() }),
            })
            .collect()
    });
}
