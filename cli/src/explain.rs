//! `raspctl explain`: why was a request found or refused, and which policy decided ([`request`]); what is in force for a pod,
//! and who decided it ([`policy`]). [`event`] reads events, [`logs`] finds them, [`exception`] proposes exceptions. Reads only.

mod event;
mod exception;
mod logs;
mod policy;
mod request;

use std::io::Write;

use crate::args;

/// Runs it. `false` when nothing was found.
pub fn run(args: &args::Explain, out: &mut dyn Write) -> anyhow::Result<bool> {
    match &args.what {
        Some(args::Explained::Policy(args)) => policy::run(args, out),
        None => request::run(&args.request, out),
    }
}
