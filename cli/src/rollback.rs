//! `raspctl rollback`: puts the policies and exceptions of a namespace back to what they were, as `kubectl rollout undo` does it,
//! with the rights of whoever calls it; `--list` shows what they were. The operator makes a new Bundle of it, with a new sequence.
//!
//! Says what would change before it changes anything, lets the API server try all of it in a dry run, and asks on a terminal.
//! Only records that the operator signed are believed. Policies of the cluster are never touched.

use std::io::{BufRead as _, IsTerminal as _, Write};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use rasp_operator::validate;
use rasp_policy::api::{Kind, RaspExceptionSpec, RaspPolicySpec};
use rasp_policy::history::Record;
use serde::{Deserialize as _, Serialize};

use crate::cluster::{self, Cluster};
use crate::print::plain;
use crate::{args, in_force, print};

mod history;
mod plan;
mod write;

use history::History;
use plan::{Action, Step};

/// How long the operator is given to make the new Bundle.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked for.
const AGAIN: Duration = Duration::from_millis(500);

/// What is done, as programs read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rollback {
    namespace: String,
    /// Sequence of the record.
    to: u64,
    /// When that was made.
    made_at: String,
    dry_run: bool,
    steps: Vec<Step>,
    warnings: Vec<String>,
    /// The API server has taken all of it.
    done: bool,
    /// Of the new Bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
}

/// Does it, or lists.
pub fn run(args: &args::Rollback, out: &mut dyn Write) -> anyhow::Result<bool> {
    cluster::with(&args.connection, async |cluster| {
        let namespace = args.namespace.as_ref().unwrap_or(&cluster.namespace);
        let history = history::fetch(&cluster.client, namespace, &args.operator_namespace).await?;
        if args.list {
            list(out, args.output, &history).map(|()| true)
        } else {
            undo(out, args, &cluster, &history).await
        }
    })
}

fn list(out: &mut dyn Write, format: args::Format, history: &History) -> anyhow::Result<()> {
    let listed = history.listed();
    if print::document(out, format, &listed)? {
        return Ok(());
    }
    let now = Timestamp::now();
    let rows: Vec<Vec<String>> = listed.records.iter().map(|one| one.row(now)).collect();
    if rows.is_empty() {
        writeln!(out, "There is no history: the policies have not changed since the operator keeps one.")?;
    } else {
        print::table(out, &history::HEAD, &rows)?;
    }
    listed.warnings.iter().try_for_each(|text| writeln!(out, "warning: {}", plain(text)))?;
    Ok(())
}

async fn undo(
    out: &mut dyn Write,
    args: &args::Rollback,
    cluster: &Cluster,
    history: &History,
) -> anyhow::Result<bool> {
    let (client, namespace) = (&cluster.client, &history.bundle.namespace.name);
    let live = write::live(client, namespace).await?;
    let target = plan::choose(&history.records, &live, args.to).map_err(anyhow::Error::msg)?;
    let steps = plan::plan(target, &live, args.prune);
    let mut planned = Rollback {
        namespace: namespace.clone(),
        to: target.sequence,
        made_at: target.time.clone(),
        dry_run: args.dry_run,
        warnings: warnings(history, target, &steps, Timestamp::now()),
        steps,
        done: false,
        sequence: None,
    };
    let for_people = args.output == args::Format::Table;
    if for_people {
        tell(out, &planned)?;
    }
    if planned.steps.iter().any(|step| step.action.is_a_write()) {
        write::all(client, namespace, &planned.steps, true)
            .await
            .context("nothing was changed: in a dry run the API server refused")?;
        if !args.dry_run {
            if !args.yes && !confirmed(&planned)? {
                bail!("nothing was changed");
            }
            write::all(client, namespace, &planned.steps, false).await?;
            planned.sequence = new_bundle(cluster, args, history).await;
            if planned.sequence.is_none() {
                let seconds = PATIENCE.as_secs();
                planned.warnings.push(format!(
                    "the operator has made no new Bundle within {seconds} s: what was in force stays until it does; see raspctl status"
                ));
            }
        }
    }
    planned.done = !args.dry_run;
    if !print::document(out, args.output, &planned)? {
        end(out, &planned)?;
    }
    Ok(true)
}

/// What has to be known, and cannot be seen in the steps.
fn warnings(history: &History, target: &Record, steps: &[Step], now: Timestamp) -> Vec<String> {
    let mut warnings = Vec::new();
    for step in steps {
        let name = step.title();
        match (&step.managed_by, step.action) {
            (Some(by), action) if action.is_a_write() => warnings
                .push(format!("{name} is kept by {by}, which will put its own back: go back there as well")),
            _ => {}
        }
        match step.action {
            Action::Keep => {
                warnings.push(format!("{name} was made since and stays in force; --prune deletes it"));
            }
            Action::Unknown => {
                warnings.push(format!("{name} is left alone: what it said then is not known"));
            }
            _ => {}
        }
        warnings.extend(cautions(step, now).into_iter().map(|text| format!("{name}: {text}")));
    }
    warnings.extend(plan::cluster_differences(target, &history.bundle));
    warnings
}

/// What is not now as it was then, although the same is written: an exception may have ended, and a rollout has to begin anew.
fn cautions(step: &Step, now: Timestamp) -> Vec<String> {
    let Some(spec) = &step.spec else { return Vec::new() };
    let spec = match step.kind {
        Kind::RaspException => RaspExceptionSpec::deserialize(spec).map(|spec| spec.policy(&step.name)),
        _ => RaspPolicySpec::deserialize(spec),
    };
    // The API server says what is wrong with one that cannot be read.
    let Ok(spec) = spec else { return Vec::new() };
    let mut told = validate::warnings(step.kind, &spec, now);
    let rollout = spec.enforcement.as_ref().and_then(|enforcement| enforcement.rollout.as_ref());
    told.extend(rollout.map(|rollout| {
        let first = rollout.percent(1);
        format!("its rollout begins anew, wherever it was then: Block is for {first} % of requests at first")
    }));
    told
}

fn tell(out: &mut dyn Write, planned: &Rollback) -> std::io::Result<()> {
    let Rollback { namespace, to, made_at, steps, warnings, .. } = planned;
    writeln!(out, "namespace {namespace}, back to {to} of {}", plain(made_at))?;
    for step in steps.iter().filter(|step| step.action.is_a_write()) {
        writeln!(out, "\n{} {}", step.action.verb(), step.title())?;
        for line in step.diff.lines() {
            writeln!(out, "{}", plain(line))?;
        }
    }
    if !warnings.is_empty() {
        writeln!(out)?;
    }
    warnings.iter().try_for_each(|text| writeln!(out, "warning: {}", plain(text)))
}

/// What is told once it is over; the plan stands above.
fn end(out: &mut dyn Write, planned: &Rollback) -> std::io::Result<()> {
    let writes = planned.steps.iter().filter(|step| step.action.is_a_write()).count();
    writeln!(out)?;
    match (writes, planned.dry_run, planned.sequence) {
        (0, ..) if planned.steps.iter().any(|step| step.action == Action::Keep) => {
            writeln!(
                out,
                "Nothing was changed: all that differs was made since, and only --prune deletes that."
            )
        }
        (0, ..) => writeln!(out, "Nothing to change: the objects are as they were then."),
        (_, true, _) => {
            writeln!(out, "Nothing was changed (--dry-run); the API server would take all of it.")
        }
        (_, _, Some(sequence)) => {
            writeln!(
                out,
                "Done: {writes} changed. The new Bundle has the sequence {sequence}; raspctl status tells who has it."
            )
        }
        (_, _, None) => {
            writeln!(out, "Done: {writes} changed.")?;
            let last = planned.warnings.last().into_iter();
            last.map(String::as_str).try_for_each(|text| writeln!(out, "warning: {text}"))
        }
    }
}

/// Asked on a terminal only; nobody in a pipeline goes back by mistake.
fn confirmed(planned: &Rollback) -> anyhow::Result<bool> {
    let stdin = std::io::stdin();
    ensure!(stdin.is_terminal(), "nothing was changed: this is no terminal, so say --yes (or --dry-run)");
    let writes = planned.steps.iter().filter(|step| step.action.is_a_write()).count();
    eprint!("\nChange {writes} objects in {}? [y/N] ", planned.namespace);
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The sequence of the Bundle that the operator makes of it.
async fn new_bundle(cluster: &Cluster, args: &args::Rollback, history: &History) -> Option<u64> {
    let before = &history.bundle;
    let settings = cluster::settings(&cluster.client, &args.operator_namespace).await.ok()?;
    let end = tokio::time::Instant::now() + PATIENCE;
    while tokio::time::Instant::now() < end {
        let found = in_force::fetch(&cluster.client, &before.namespace.name, Some(&settings)).await;
        match found.map(|found| found.bundle.sequence) {
            Ok(sequence) if sequence > before.sequence => return Some(sequence),
            // It may be written this very moment.
            _ => tokio::time::sleep(AGAIN).await,
        }
    }
    None
}

#[cfg(test)]
mod tests;
