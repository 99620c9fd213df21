//! Entry of `rasp-operator`: reads the command line, installs the TLS provider and the log, and hands over to the library.

use anyhow::Context as _;
use clap::Parser as _;
use rasp_operator::args::{Args, Command, Generate};

/// Gives back what the first lists took, which the C library's does not.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Generate { what: Generate::Crd } => {
            print!("{}", rasp_policy::crd::yaml().context("cannot print the CRDs")?);
            Ok(())
        }
        Command::Test(test) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let found =
                runtime.context("cannot start the runtime")?.block_on(rasp_operator::selftest::run(&test));
            println!("{}", found.context("the test failed")?);
            Ok(())
        }
        Command::Run(run) => {
            rasp_operator::run::install_log(&run.log);
            rustls::crypto::aws_lc_rs::default_provider()
                .install_default()
                .map_err(|_| anyhow::anyhow!("another TLS provider is installed already"))?;
            tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .context("cannot start the runtime")?
                .block_on(rasp_operator::run::run(*run))
                .context("the operator stopped")
        }
    }
}
