//! The command line. Every flag has an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use rasp_policy::limits::{Assignment, Assignments};
use rasp_policy::pod::{IpNet, PortProtocol, env, network};

use crate::control;
use crate::gateway::{self, Upstream};
use crate::state::Hops;

mod tls;

/// Protects one application: inspects every request before the application port.
#[derive(Debug, Parser)]
#[command(name = "rasp-proxy", version = crate::VERSION)]
pub struct Cli {
    /// Log filter, for example info or rasp_proxy=debug. Logs go to standard error, events to standard output.
    #[arg(long, env = "RASP_LOG", default_value = "info", global = true)]
    pub log: String,
    /// What to run.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be run.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run as the sidecar of a pod; configured by the environment that injection sets.
    Sidecar,
    /// Run stand-alone in front of one upstream.
    Gateway(Box<Gateway>),
    /// Set and prove the packet rules of a pod, then exit. Needs NET_ADMIN.
    Init,
    /// Ask the running sidecar to end its connections in good order, and wait until it did.
    Drain(Drain),
    /// Print every detection rule: its class, its id for exceptions, and what it sees.
    Rules(Rules),
}

/// Flags of `gateway`.
#[derive(Debug, Args)]
pub struct Gateway {
    /// Address where clients connect, for example `127.0.0.1:9000` or `[::]:9000`.
    #[arg(long, env = "RASP_LISTEN", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// The application, host:port.
    #[arg(long, env = "RASP_UPSTREAM", value_name = "ADDR")]
    pub upstream: Upstream,
    /// What the application speaks: http, http1, http2 (or grpc), tls (or https), opaque (or tcp), or detect, which tells it
    /// by the first bytes of each connection.
    #[arg(long, env = "RASP_PROTOCOL", value_name = "PROTOCOL", default_value = "detect")]
    pub protocol: PortProtocol,
    /// TLS.
    #[command(flatten)]
    pub tls: tls::Flags,
    /// Networks of proxies whose X-Forwarded-For or Forwarded is believed, for example 10.0.0.0/8,fd00::/8.
    #[arg(long, env = "RASP_TRUSTED_PROXIES", value_name = "CIDR,...", value_delimiter = ',', value_parser = network)]
    pub trusted_proxies: Vec<IpNet>,
    /// Networks of load balancers that begin each connection with the PROXY protocol, version 1 or 2. A connection of
    /// theirs that does not is closed.
    #[arg(long, env = "RASP_PROXY_PROTOCOL_FROM", value_name = "CIDR,...", value_delimiter = ',', value_parser = network)]
    pub proxy_protocol_from: Vec<IpNet>,
    /// File of RaspPolicy documents, read again when it changes. Without one the built-in policy blocks.
    #[arg(long, env = "RASP_POLICY", value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Address of /metrics, /livez and /readyz.
    #[arg(long, env = "RASP_ADMIN", value_name = "ADDR")]
    pub admin: Option<SocketAddr>,
    /// Unix socket for `rasp-proxy drain`.
    #[arg(long, env = "RASP_CONTROL_SOCKET", value_name = "PATH")]
    pub control_socket: Option<PathBuf>,
    /// Limits and timers that differ from their defaults, for example timeout-head=5s,in-flight=500. Their names and
    /// defaults are in docs/limits.md.
    #[arg(long, env = env::LIMITS, value_name = "KEY=VALUE,...", default_value = "")]
    pub limits: Assignments,
    /// Threads that serve connections, as the limit of this name.
    #[arg(long, env = "RASP_WORKERS", value_name = "NUMBER", value_parser = workers)]
    pub workers: Option<Assignment>,
    /// How long in-flight requests may take after SIGTERM, or after the drain before it.
    #[arg(long, env = "RASP_GRACE", value_name = "TIME", default_value = "28s", value_parser = humantime::parse_duration)]
    pub grace: Duration,
}

/// Flags of `drain`.
#[derive(Debug, Args)]
pub struct Drain {
    /// Control socket of the running process.
    #[arg(long, env = "RASP_CONTROL_SOCKET", value_name = "PATH", default_value_os_t = control::default_path())]
    pub control_socket: PathBuf,
    /// How long to wait for in-flight requests.
    #[arg(long, env = "RASP_DRAIN_WITHIN", value_name = "TIME", default_value = "20s", value_parser = humantime::parse_duration)]
    pub within: Duration,
}

/// Flags of `rules`.
#[derive(Debug, Args)]
pub struct Rules {
    /// Form of the list.
    #[arg(short, long, env = "RASP_RULES_OUTPUT", value_enum, default_value_t = RuleFormat::Table)]
    pub output: RuleFormat,
}

/// Forms of the list of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RuleFormat {
    /// Columns, for people.
    Table,
    /// An array of objects.
    Json,
    /// A table for each class.
    Markdown,
}

fn workers(number: &str) -> Result<Assignment, String> {
    let line = format!("workers={number}").parse::<Assignments>().map_err(|error| error.to_string())?;
    line.0.first().copied().filter(|_| line.0.len() == 1).ok_or_else(|| "write a number".to_owned())
}

impl TryFrom<Gateway> for gateway::Config {
    type Error = String;

    fn try_from(flags: Gateway) -> Result<Self, String> {
        let Gateway { listen, upstream, protocol, tls, policy, admin, control_socket, .. } = flags;
        let tls = tls.declared(&upstream)?;
        let hops = Hops { proxy_protocol: flags.proxy_protocol_from, trusted: flags.trusted_proxies };
        let mut limits = flags.limits;
        limits.0.extend(flags.workers);
        Ok(Self {
            listen,
            upstream,
            protocol,
            tls,
            hops,
            policy,
            admin,
            control_socket,
            limits,
            grace: flags.grace,
        })
    }
}
