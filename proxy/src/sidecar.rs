//! The sidecar of a pod: redirected connections in, or those to ports of its own where packet rules may not be set; the
//! pod's own ports out; policy from the mounted directory and from the operator.

use std::net::{Ipv6Addr, TcpListener};
use std::sync::{Arc, mpsc};

use rasp_engine::Ruleset;

use crate::connection::Target;
use crate::drain::Drain;
use crate::exchange::incident::Incidents;
use crate::limits::Limits;
use crate::listener::{destination, memory, raise_file_limit};
use crate::load::Load;
use crate::metrics::Metrics;
use crate::policy::sequence::Store;
use crate::policy::stream::Stream;
use crate::policy::watch::{Offer, Watch};
use crate::policy::{Handle, InForce};
use crate::process::{self, Error, Sockets};
use crate::report::Reporter;
use crate::state::{Memory, Shared};
use crate::tls::declared;

mod around;
pub mod config;
use around::Around;
use config::Config;

/// Runs until a signal ends the process.
pub fn run(config: Config) -> Result<(), Error> {
    raise_file_limit();
    let mut limits = Limits::in_pod();
    limits.set(&config.limits);
    let (metrics, events, writer) = process::telemetry()?;
    let (offers, offered) = mpsc::channel();
    let policy = watch_policy(&config, &metrics, offered)?;
    let tls = Arc::new(declared::in_pod(&config.tls, &config.protocols, &metrics)?);
    let sockets = Sockets {
        traffic: listen(&config)?,
        admin: Some(process::listen(config.admin)?),
        control: Some(process::listen_control(&config.control_socket)?),
    };
    tracing::info!(
        pod = config.identity.pod,
        namespace = config.identity.namespace,
        loaded = policy.load().loaded,
        served = config.served.to_text(),
        "sidecar starts"
    );
    let shared = Arc::new(Shared {
        policy: Arc::clone(&policy),
        metrics: Arc::clone(&metrics),
        events,
        incidents: Incidents::default(),
        drain: Drain::default(),
        timers: limits.timers,
        messages: limits.messages,
        identity: config.identity.clone(),
        probes: config.probes,
        protocols: config.protocols,
        tls,
        hops: config.hops,
        body_memory: Memory::new(memory::here().bodies.min(limits.held_bodies)),
        unjudged: process::unjudged()?,
        load: Load::new(&limits),
        inspect: Ruleset::inspect_head_without,
    });
    let stream = Stream::new(config.operator.clone(), Arc::clone(&policy), Arc::clone(&metrics), offers)?;
    let reporter = Reporter::new(
        config.operator,
        config.identity,
        policy,
        Arc::clone(&metrics),
        Arc::clone(&shared.load.breaker),
    )?;
    let (pod_ips, served) = (config.pod_ips, config.served);
    let applications: Vec<u16> = served.applications().collect();
    let beside = async move {
        if applications.is_empty() {
            tokio::join!(reporter.run(), stream.run());
            return;
        }
        let (around, reachable) = Around::of(applications);
        tokio::join!(around.watch(), reporter.around(reachable).run(), stream.run());
    };
    process::run(&shared, sockets, (&limits, config.grace), &writer, beside, move |stream, peer| {
        if !served.is_empty() {
            return destination::behind(stream, &served).map(Target::Served);
        }
        match destination::find(stream, peer, &pod_ips) {
            Ok(destination) => Some(Target::Pod(destination)),
            Err(refusal) => {
                metrics.error(&refusal.kind());
                tracing::debug!(reason = refusal.kind().id(), "connection refused: {refusal}");
                None
            }
        }
    })
}

/// One socket for each port of the sidecar's own, or the one that packet rules redirect to.
fn listen(config: &Config) -> Result<Vec<TcpListener>, Error> {
    if config.served.is_empty() {
        return Ok(vec![process::listen(config.listen)?]);
    }
    config.served.own().map(|port| process::listen((Ipv6Addr::UNSPECIFIED, port).into())).collect()
}

/// Loads what is mounted, before any connection is accepted, and keeps watching it.
fn watch_policy(
    config: &Config,
    metrics: &Arc<Metrics>,
    offered: mpsc::Receiver<Offer>,
) -> Result<Arc<Handle>, Error> {
    let first = InForce::bootstrapping(Ruleset::bootstrapping(config.failure_mode));
    let policy = Arc::new(Handle::new(first, Arc::clone(metrics)));
    let store = Store::new(&config.run_directory);
    config.checks.keys.keep_in(&config.run_directory);
    let mut watch = Watch::new(
        config.config_directory.clone(),
        config.checks.clone(),
        store,
        Arc::clone(&policy),
        Arc::clone(metrics),
    );
    watch.look();
    std::thread::Builder::new().name("rasp-policy".into()).spawn(move || watch.run(&offered))?;
    Ok(policy)
}
