//! Stand-alone: one listener in front of one upstream, with a file of policies or the built-in one in Block.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rasp_engine::Ruleset;
use rasp_policy::limits::Assignments;
use rasp_policy::pod::{PortProtocol, PortProtocols};
use rasp_policy::precedence::Effective;

use crate::connection::Target;
use crate::drain::Drain;
use crate::exchange::incident::Incidents;
use crate::limits::Limits;
use crate::listener::{memory, raise_file_limit};
use crate::load::Load;
use crate::policy::{Handle, InForce, file};
use crate::process::{self, Error, Sockets};
use crate::state::{Hops, Identity, Memory, Shared};
use crate::tls::declared;

/// How a gateway is started.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// The application, `host:port`.
    pub upstream: Upstream,
    /// What the application speaks.
    pub protocol: PortProtocol,
    /// TLS with clients and with the application.
    pub tls: declared::Gateway,
    /// Whose word about the client is believed.
    pub hops: Hops,
    /// RaspPolicy documents.
    pub policy: Option<PathBuf>,
    /// `/metrics`, `/livez`, `/readyz`.
    pub admin: Option<SocketAddr>,
    /// Control socket for `rasp-proxy drain`.
    pub control_socket: Option<PathBuf>,
    /// What differs from the default limits.
    pub limits: Assignments,
    /// How long in-flight work may take after SIGTERM.
    pub grace: Duration,
}

/// `host:port`; the name is resolved for each connection.
#[derive(Clone, Debug)]
pub struct Upstream {
    address: Arc<str>,
    port: u16,
}

impl Upstream {
    /// The host, an address of version 6 without its brackets.
    pub fn host(&self) -> &str {
        let host = self.address.rsplit_once(':').map_or(&*self.address, |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }
}

impl std::str::FromStr for Upstream {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
        let bare_v6 = host.contains(':') && !host.starts_with('[');
        match port.parse() {
            Ok(port) if port != 0 && !host.is_empty() && !host.contains('/') && !bare_v6 => {
                Ok(Self { address: text.into(), port })
            }
            _ => Err("expected host:port, for example 127.0.0.1:8080 or [::1]:8080".into()),
        }
    }
}

/// Runs until a signal ends the process.
pub fn run(config: Config) -> Result<(), Error> {
    raise_file_limit();
    let mut limits = Limits::in_gateway();
    limits.set(&config.limits);
    let (metrics, events, writer) = process::telemetry()?;
    let (file, in_force) = match config.policy.clone().map(file::File::open).transpose()? {
        Some((file, in_force)) => (Some(file), in_force),
        None => (None, InForce::builtin(Ruleset::build(&Effective::builtin_blocking())?)),
    };
    let tls = Arc::new(declared::in_gateway(config.tls, config.upstream.port, config.protocol, &metrics)?);
    let traffic = process::listen(config.listen)?;
    let listen = traffic.local_addr()?;
    let sockets = Sockets {
        traffic: vec![traffic],
        admin: config.admin.map(process::listen).transpose()?,
        control: config.control_socket.as_deref().map(process::listen_control).transpose()?,
    };
    let mode = in_force.ruleset.effective().effective_mode().as_str();
    let admin =
        sockets.admin.as_ref().and_then(|socket| socket.local_addr().ok()).map(|address| address.to_string());
    tracing::info!(
        %listen,
        admin,
        upstream = &*config.upstream.address,
        mode,
        "gateway starts"
    );
    let policy = Arc::new(Handle::new(in_force, Arc::clone(&metrics)));
    if let Some(file) = file {
        let (policy, metrics) = (Arc::clone(&policy), Arc::clone(&metrics));
        std::thread::Builder::new()
            .name("rasp-policy".into())
            .spawn(move || file.watch(&policy, &metrics))?;
    }
    let mut protocols = PortProtocols::default();
    let protocol = match config.protocol {
        // What comes out of TLS that ends here is inspected, unless somebody says that it is no HTTP.
        PortProtocol::Detect | PortProtocol::Tls if tls.ends(config.upstream.port) => PortProtocol::Http,
        protocol => protocol,
    };
    protocols.declare(config.upstream.port, protocol);
    let shared = Arc::new(Shared {
        policy,
        metrics,
        events,
        incidents: Incidents::default(),
        drain: Drain::default(),
        timers: limits.timers,
        messages: limits.messages,
        identity: Identity::default(),
        probes: Vec::new(),
        protocols,
        tls,
        hops: config.hops,
        body_memory: Memory::new(memory::here().bodies.min(limits.held_bodies)),
        unjudged: process::unjudged()?,
        load: Load::new(&limits),
        inspect: Ruleset::inspect_head_without,
    });
    let Upstream { address, port } = config.upstream;
    let target = Target::Gateway(address, port);
    let find = move |_: &_, _| Some(target.clone());
    process::run(&shared, sockets, (&limits, config.grace), &writer, std::future::ready(()), find)
}
