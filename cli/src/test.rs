//! `raspctl test`: what would policies do with these requests? Offline, with the code of the sidecar: [`mod@file`] reads requests,
//! [`judge`] judges them as the proxy has them judged, [`report`] tells what came out.
//!
//! What the proxy refuses before the engine (ambiguous framing, limits of connections) is not part of it.

mod file;
mod judge;
mod report;

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use rasp_engine::Ruleset;
use rasp_policy::bundle::{Bundle, Entry, Namespace, SCHEMA_VERSION, Source};
use rasp_policy::document::{self, Document};
use rasp_policy::precedence::resolve;
use rasp_policy::selector::Labels;

use crate::print::Paint;
use crate::{args, print, run};
use file::File;
use report::Suite;

/// Judges, compares and tells. `false` when a request is judged otherwise than expected.
pub fn run(args: &args::Test, out: &mut dyn Write) -> anyhow::Result<bool> {
    let policies = policies(&args.filenames)?;
    let now = now();
    let mut suites = Vec::new();
    for run::File { name, text } in run::read(&args.requests)? {
        suites.push(suite(&name, &file::parse(&name, &text)?, &policies, &now)?);
    }
    if let Some(path) = &args.junit {
        std::fs::write(path, report::junit(&suites))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if !print::document(out, args.output, &suites)? {
        report::tell(out, &suites, Paint::of_stdout())?;
    }
    Ok(suites.iter().all(|suite| suite.failures == 0))
}

fn policies(paths: &[std::path::PathBuf]) -> anyhow::Result<Vec<Document>> {
    let mut policies = Vec::new();
    for file in run::read(paths)? {
        policies.extend(document::parse(&file.text).with_context(|| file.name.clone())?);
    }
    Ok(policies)
}

/// In whole seconds, as policies write times: exceptions that have ended are not in force here either.
fn now() -> String {
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
    now.to_string()
}

fn suite(name: &str, file: &File, policies: &[Document], now: &str) -> anyhow::Result<Suite> {
    let bundle = bundle(policies, file.namespace.as_deref()).with_context(|| name.to_owned())?;
    let mut rulesets: BTreeMap<&Labels, Ruleset> = BTreeMap::new();
    let mut cases = Vec::new();
    for request in &file.requests {
        let labels = request.pod_labels.as_ref().unwrap_or(&file.pod_labels);
        if !rulesets.contains_key(labels) {
            rulesets.insert(labels, ruleset(&bundle, labels, now)?);
        }
        let Some(ruleset) = rulesets.get(labels) else { continue };
        cases.push(report::case(request, &judge::judge(ruleset, request)));
    }
    Ok(Suite::of(name, cases))
}

/// The policies of one namespace. A document that names none belongs to every namespace.
fn bundle(policies: &[Document], namespace: Option<&str>) -> anyhow::Result<Bundle> {
    let of = |document: &Document| document.metadata.namespace.clone();
    let mut named: Vec<String> = policies.iter().filter_map(of).collect();
    named.sort();
    named.dedup();
    if namespace.is_none() && named.len() > 1 {
        bail!(
            "the policies are of several namespaces ({}): say which one the requests are for, in its field namespace",
            named.join(", ")
        );
    }
    let is_here = |document: &&Document| match (&document.metadata.namespace, namespace) {
        (Some(of), Some(namespace)) => of == namespace,
        _ => true,
    };
    let entries = policies.iter().filter(is_here).enumerate().map(|(index, document)| {
        // Position decides where precedence asks for age.
        let source = Source {
            name: document.metadata.name.clone(),
            uid: String::new(),
            generation: 0,
            created_at: format!("{index:08}"),
        };
        Entry::policy(source, document.spec.clone())
    });
    let entries = entries.collect();
    let namespace = Namespace { name: namespace.unwrap_or_default().to_owned(), uid: String::new() };
    Ok(Bundle { schema_version: SCHEMA_VERSION, namespace, sequence: 0, entries })
}

fn ruleset(bundle: &Bundle, labels: &Labels, now: &str) -> anyhow::Result<Ruleset> {
    let mut effective = resolve(bundle, labels).effective;
    effective.expire(now);
    Ok(Ruleset::check(&effective).and_then(|()| Ruleset::build(&effective))?)
}
