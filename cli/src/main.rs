//! Entry of `raspctl`: reads the command line and runs one command. Exit codes: 0 done; 1 something was refused, failed, is
//! not as expected or could not be read, and was told; 2 a wrong command line.
//!
//! In reading order: [`args`], [`run`] (files in, results out). Of manifests: [`stream`] (files into documents), [`tree`] (a
//! document that knows its places), [`workload`] (the pods in it), [`inject`] and [`uninject`] (what is to change), [`edit`] (how
//! the text changes), [`document`] (all of it for one document), [`outcome`] (what is told). Of clusters: [`cluster`] (asking),
//! [`fleet`] (who is protected), [`standing`] (policies by their status), [`check`], [`status`], [`in_force`] (the Bundle of a
//! namespace), [`explain`], [`rollback`]. Of policies:
//! [`mod@test`]. [`mod@print`] prints, [`complete`] answers kubectl.

mod args;
mod check;
mod cluster;
mod complete;
mod document;
mod edit;
mod explain;
mod fleet;
mod in_force;
mod inject;
mod outcome;
mod print;
mod rollback;
mod run;
mod settings;
mod standing;
mod status;
mod stream;
mod test;
mod tree;
mod uninject;
mod workload;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};

fn main() -> ExitCode {
    if let Some(words) = complete::asked(std::env::args_os()) {
        print!("{}", complete::answer(args::Args::command(), &words));
        return ExitCode::SUCCESS;
    }
    match run::run(parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever reads us had enough: head, less.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("raspctl: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// As a plugin the program is called `kubectl-rasp`, and its help says how it was called.
fn parse() -> args::Args {
    let mut command = args::Args::command();
    let called = std::env::args_os().next().map(std::path::PathBuf::from);
    if called.as_deref().and_then(|path| path.file_stem()).is_some_and(|name| name == "kubectl-rasp") {
        command = command.name("kubectl-rasp").bin_name("kubectl rasp");
    }
    args::Args::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
}

/// The error and its causes, without those that the one before has told in its own words.
fn told(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.contains(&cause) {
            continue;
        }
        if !told.is_empty() {
            told.push_str(": ");
        }
        told.push_str(&cause);
    }
    told
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
