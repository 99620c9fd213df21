//! `rasp-bench run`: what the proxy costs, side by side with others, in one run on one machine.
//!
//! Every contender gets the same requests in turn, round after round, so that a busy machine hurts all of them; what
//! counts is the ratio, not the number. Load generator and application are threads of this process, so that the CPU of
//! a contender's own processes is the contender's alone. `make bench` builds what is compared.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

mod application;
mod contender;
mod load;
mod naive;
mod rate;
mod run;
mod scenario;
mod table;
mod usage;

#[derive(Parser)]
#[command(about = "What the proxy costs, side by side with others")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compare the proxy with a naive one, nginx and HAProxy
    Run(Flags),
    /// Compare the naive proxy with one that shares its upstream connections
    Pooling(Flags),
    /// Be the naive proxy
    Naive {
        /// Where clients connect
        listen: SocketAddr,
        /// The application
        upstream: SocketAddr,
        /// Speak HTTP/2 with prior knowledge, on both sides
        #[arg(long)]
        http2: bool,
        /// Share idle upstream connections between clients
        #[arg(long)]
        pooled: bool,
    },
}

/// How long, of what, and where to.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// Two minutes instead of a quarter of an hour
    #[arg(long)]
    quick: bool,
    /// Only scenarios with this in their name
    #[arg(long)]
    only: Option<String>,
    /// Only these contenders (direct, naive, nginx, haproxy, rasp)
    #[arg(long, value_delimiter = ',')]
    against: Vec<String>,
    /// The proxy that is judged
    #[arg(long)]
    proxy: Option<PathBuf>,
    /// Folder for the table
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

impl Flags {
    /// How often each contender has its turn, and how long.
    fn rounds(&self) -> (usize, Duration) {
        if self.quick { (4, Duration::from_millis(400)) } else { (10, Duration::from_millis(1200)) }
    }

    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Run(flags) => run::all(&flags),
        Command::Pooling(flags) => run::pooling(&flags),
        Command::Naive { listen, upstream, http2, pooled } => naive::run(listen, upstream, http2, pooled),
    }
}
