//! `raspctl check`: is the cluster fit for kube-rasp (`--pre`), and is what is installed in order. [`look`] asks the API
//! server, [`cluster`], [`install`], [`guard`] and [`pods`] judge what was seen, purely; [`mod@line`] is what is told.
//!
//! Never changes anything: the one object it sends is a pod in a dry run. What may not be seen is a warning, not a pass.

mod cluster;
mod guard;
mod install;
mod line;
mod look;
mod needs;
mod pods;

use std::io::Write;

use crate::args;
use crate::cluster as api;
use crate::print::{self, Paint};
use line::{Line, Outcome, Report};
pub use look::{WEBHOOKS, excluded, is_excluded};

/// Looks, judges and tells. `false` when a line fails, or warns and that is a failure.
pub fn run(args: &args::Check, out: &mut dyn Write) -> anyhow::Result<bool> {
    let lines = api::with(&args.connection, async |cluster| {
        let version = look::version(&cluster).await;
        if version.is_err() {
            return Ok(vec![cluster::version(&version)]);
        }
        let seen = look::cluster(&cluster, args, version).await;
        let mut lines = cluster::judge(&seen, args.pre);
        if args.pre {
            lines.push(install::before(&seen));
        } else {
            let installed = look::installation(&cluster, args).await;
            lines.extend(install::judge(&installed));
            lines.push(guard::judge(&installed.guard_rails.0, &installed.guard_rails.1));
            lines.extend(pods::judge(&installed));
        }
        Ok(lines)
    })?;
    let report = Report::of(lines);
    if !print::document(out, args.output, &report)? {
        tell(out, &report, Paint::of_stdout())?;
    }
    Ok(report.fail == 0 && (report.warn == 0 || !args.strict))
}

fn tell(out: &mut dyn Write, report: &Report, paint: Paint) -> std::io::Result<()> {
    for Line { check, status, message, hint } in &report.lines {
        let word = paint.text(status.colour(), &format!("{:<4}", status.as_str()));
        writeln!(out, "{word}  {:<20}  {}", check.as_str(), print::plain(message))?;
        if let (Some(hint), true) = (hint, *status != Outcome::Pass) {
            writeln!(out, "      {:<20}  hint: {}", "", print::plain(hint))?;
        }
    }
    writeln!(out, "{} passed, {} warnings, {} failed", report.pass, report.warn, report.fail)
}
