//! The binary: reads the command line, starts what it names, and turns the result into an exit status.
//!
//! 0 ended in good order, 1 failed, 64 the configuration is wrong.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use rasp_proxy::cli::{Cli, Command};
use rasp_proxy::control::{self, Drained};
use rasp_proxy::init::Form;
use rasp_proxy::{gateway, init, rules, sidecar};
use tracing_subscriber::EnvFilter;

/// Gives memory back when the connections that needed it have gone, or rest.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// EX_USAGE of sysexits.h.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { EXIT_USAGE } else { 0 });
        }
    };
    start_logging(&cli.log);
    if let Err(error) = run(cli.command) {
        let wrong = configuration_errors(&error);
        for error in &wrong {
            tracing::error!("{error}");
        }
        if !wrong.is_empty() {
            return ExitCode::from(EXIT_USAGE);
        }
        tracing::error!("{error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// One line for each wrong variable, if that is what went wrong.
fn configuration_errors(error: &anyhow::Error) -> Vec<String> {
    if let Some(errors) = error.downcast_ref::<sidecar::config::Errors>() {
        return errors.0.iter().map(ToString::to_string).collect();
    }
    error
        .downcast_ref::<init::ConfigError>()
        .map(|errors| errors.0.iter().map(ToString::to_string).collect())
        .unwrap_or_default()
}

fn run(command: Command) -> anyhow::Result<()> {
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        anyhow::bail!("a second TLS provider was installed");
    }
    match command {
        Command::Sidecar => Ok(sidecar::run(sidecar::config::Config::from_env()?)?),
        Command::Gateway(flags) => {
            Ok(gateway::run(gateway::Config::try_from(*flags).map_err(anyhow::Error::msg)?)?)
        }
        Command::Init => set_packet_rules(),
        Command::Drain(flags) => {
            let drained = control::drain(&flags.control_socket, flags.within).context("drain")?;
            match drained {
                Drained::Finished => tracing::info!("nothing is in flight any more"),
                Drained::Deadline => tracing::warn!("the time is up and something is still in flight"),
            }
            Ok(())
        }
        Command::Rules(flags) => {
            std::io::stdout().write_all(rules::render(flags.output)?.as_bytes()).context("print rules")
        }
    }
}

fn set_packet_rules() -> anyhow::Result<()> {
    let outcome = init::run(&init::Config::from_env()?)?;
    match outcome.form {
        Form::Listeners => tracing::info!("packet rules are set and proven"),
        Form::Plain => {
            tracing::warn!("packet rules are set and proven, in the form for kernels without nft_socket");
        }
    }
    Ok(())
}

/// JSON lines on standard error; standard output carries events alone. A panic is logged by its place only: its
/// message may hold bytes of a request.
fn start_logging(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panic");
    }));
}
