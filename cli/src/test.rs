//! `raspctl test`: what would policies do with these requests? Offline, with the code of the sidecar: [`mod@file`] reads requests,
//! [`mod@policies`] says which policies are for them, [`misread`] what an API server reads otherwise, [`judge`] judges them as the proxy has them judged, [`report`] tells what came out.
//!
//! What the proxy refuses before the engine (ambiguous framing, limits of connections) is not part of it.

mod file;
mod judge;
mod misread;
mod policies;
mod report;
mod schema;

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Context as _;
use jiff::Timestamp;
use rasp_engine::Ruleset;
use rasp_policy::document::{self, Object};

use crate::print::Paint;
use crate::{args, print, run};
use file::File;
use policies::{Pod, Policies};
use report::Suite;
pub use schema::schema;

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

fn policies(paths: &[std::path::PathBuf]) -> anyhow::Result<Vec<Object>> {
    let mut objects = Vec::new();
    let mut files = BTreeMap::new();
    for run::File { name: file, text } in run::read(paths)? {
        let read = document::read(&text).with_context(|| file.clone())?;
        misread::check(&text).map_err(|misread| anyhow::anyhow!("{file}: {misread}"))?;
        for Object { metadata, spec } in &read {
            let id = (spec.kind().as_str(), metadata.namespace.clone(), metadata.name.clone());
            if let Some(first) = files.insert(id, file.clone()) {
                let (kind, name) = (spec.kind().as_str(), &metadata.name);
                anyhow::bail!(
                    "{kind} {name} is in {first} and again in {file}: in a cluster only the one that was applied last is there"
                );
            }
        }
        objects.extend(read);
    }
    Ok(objects)
}

/// In whole seconds, as policies write times: exceptions that have ended are not in force here either.
fn now() -> String {
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
    now.to_string()
}

fn suite(name: &str, file: &File, objects: &[Object], now: &str) -> anyhow::Result<Suite> {
    let policies = Policies::of(objects, file).with_context(|| name.to_owned())?;
    let mut rulesets: BTreeMap<Pod, Ruleset> = BTreeMap::new();
    let mut cases = Vec::new();
    for request in &file.requests {
        let pod = Pod::of(file, request);
        if !rulesets.contains_key(&pod) {
            rulesets.insert(pod.clone(), policies.ruleset(&pod, now)?);
        }
        let Some(ruleset) = rulesets.get(&pod) else { continue };
        cases.push(report::case(request, &judge::judge(ruleset, request)));
    }
    Ok(Suite::of(name, cases))
}
