//! Entry of `raspctl`: reads the command line and runs one command. Exit codes: 0 done; 1 something was refused or
//! could not be read, and was told on stderr; 2 a wrong command line.
//!
//! In reading order: [`args`], [`stream`] (files into documents), [`tree`] (a document that knows its places), [`workload`]
//! (the pods in it), [`inject`] and [`uninject`] (what is to change), [`edit`] (how the text changes), [`document`] (all of
//! it for one document), [`outcome`] (what is told).

mod args;
mod document;
mod edit;
mod inject;
mod outcome;
mod run;
mod settings;
mod stream;
mod tree;
mod uninject;
mod workload;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match run::run(args::Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever reads us had enough: head, less.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("raspctl: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
