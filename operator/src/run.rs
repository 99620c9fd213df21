//! Wiring: starts every part, and stops them in order when SIGTERM arrives.
//!
//! A part that ends by itself ends the process, so that kubelet starts it anew: an operator without its watches or its
//! loop would look alive and do nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ApiResource;
use kube::{Api, Client};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::admin::{self, Readiness};
use crate::apply::Writer;
use crate::args::{CertificateSource, Run};
use crate::ca_bundle::Keeper;
use crate::certificate::{self, Issued, Resolver};
use crate::controller::{self, Controller};
use crate::events::{self, Notice};
use crate::facts::{self, Facts};
use crate::history::{self, Historian};
use crate::leader::{Election, Leadership};
use crate::metrics::{ErrorKind, Metrics};
use crate::observe::{self, Cache};
use crate::probe::Probe;
use crate::publish::Publisher;
use crate::report::{Evictions, Receiver, Reports, Tokens};
use crate::routes::Routes;
use crate::secrets::{Held, Material, Terms};
use crate::server;
use crate::serving::Serving;
use crate::signing::Key;
use crate::stream::Streams;
use crate::watchdog::{Ledger, Restarts, Watchdog};

/// Secret with the signing key.
pub const SIGNING_SECRET: &str = "kube-rasp-signing-key";
/// Occurrences that wait for the API server; more are dropped, the webhook never waits.
const QUEUE: usize = 1024;
/// Pause before what failed at start is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// JSON lines on stderr. A filter that cannot be read falls back to `info` and says so.
pub fn install_log(filter: &str) {
    let (parsed, error) = match filter.parse::<EnvFilter>() {
        Ok(parsed) => (parsed, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(parsed)
        .with_writer(std::io::stderr)
        .init();
    if let Some(error) = error {
        tracing::warn!(%error, "RASP_LOG cannot be read, info is used");
    }
}

/// What every part shares.
struct Shared {
    args: Run,
    client: Client,
    cache: Arc<Cache>,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    leadership: Leadership,
    stop: CancellationToken,
}

/// The parts that are running, by name.
type Parts = JoinSet<&'static str>;

/// Runs until SIGTERM.
pub async fn run(args: Run) -> anyhow::Result<()> {
    let mut signals = signals().context("cannot listen for signals")?;
    let metrics = Arc::new(Metrics::new().context("cannot register metrics")?);
    let cache = Arc::new(Cache::default());
    let readiness = Arc::new(Readiness::new(Arc::clone(&cache)));
    admin::start(args.admin_listen, Arc::clone(&readiness), Arc::clone(&metrics))
        .with_context(|| format!("cannot listen on {}", args.admin_listen))?;
    let client = Client::try_default().await.context("cannot find the API server")?;

    let leases: Api<Lease> = Api::namespaced(client.clone(), &args.namespace);
    let (election, leadership) = Election::new(leases, &args.service, &args.pod_name);
    let shared =
        Shared { args, client, cache, metrics, readiness, leadership, stop: CancellationToken::new() };
    let mut parts = Parts::new();
    tokio::select! {
        started = start(&shared, &mut parts, election) => started?,
        () = signals.recv() => return Ok(()),
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "started");

    tokio::select! {
        ended = parts.join_next() => ended_early(ended)?,
        () = signals.recv() => {}
    }
    tracing::info!(grace = ?shared.args.shutdown_grace, "stopping");
    shared.readiness.stopping.store(true, Ordering::Release);
    shared.stop.cancel();
    // The listener and the election end by themselves; the rest is dropped with the set.
    let mut left = 2;
    while left > 0 {
        match parts.join_next().await {
            Some(Ok(LISTENER | ELECTION)) => left -= 1,
            Some(_) => {}
            None => break,
        }
    }
    Ok(())
}

const LISTENER: &str = "listener";
const ELECTION: &str = "election";

fn ended_early(ended: Option<Result<&'static str, tokio::task::JoinError>>) -> anyhow::Result<()> {
    match ended {
        Some(Ok(name)) => anyhow::bail!("{name} ended"),
        Some(Err(error)) => Err(error).context("a part failed"),
        None => anyhow::bail!("nothing was started"),
    }
}

async fn start(shared: &Shared, parts: &mut Parts, election: Election) -> anyhow::Result<()> {
    let Shared { args, metrics, stop, .. } = shared;
    let names = certificate::dns_names(&args.service, &args.namespace);
    let terms = Terms { names, owned: true };
    let signing = Arc::new(obtain::<Key>(shared, SIGNING_SECRET, &terms).await);
    let terms = Terms { owned: args.certificate_source == CertificateSource::Own, ..terms };
    let issued = Arc::new(obtain::<Issued>(shared, &args.certificate_secret, &terms).await);
    let served = issued.get();
    let resolver = Arc::new(Resolver::new(&served.cert_pem, &served.key_pem)?);
    let settings = facts::settings(args, &signing.get(), &served);
    let facts = Arc::new(Facts::new(Arc::clone(&shared.cache), settings));

    spawn_election(parts, election, metrics, stop);
    let (seen, webhooks) = watch::channel(Vec::new());
    spawn_watches(shared, parts, &signing, &issued, seen);
    let serving = Serving {
        issued: Arc::clone(&issued),
        signing: Arc::clone(&signing),
        resolver: Arc::clone(&resolver),
        facts: Arc::clone(&facts),
        cache: Arc::clone(&shared.cache),
        webhooks: webhooks.clone(),
        metrics: Arc::clone(metrics),
    };
    let serving = serving.run(args.clone());
    parts.spawn(async move {
        serving.await;
        "serving"
    });

    let publisher = Publisher {
        facts: Arc::clone(&facts),
        writer: Writer::new(shared.client.clone(), shared.leadership.clone()),
        namespace: args.namespace.clone(),
        metrics: Arc::clone(metrics),
    };
    parts.spawn(async move {
        publisher.run().await;
        "publisher"
    });

    let reports = Arc::new(Reports::default());
    let (occurrences, notices) = spawn_events(shared, parts);
    spawn_probe(shared, parts, webhooks, issued.subscribe(), notices.clone());
    let ledger = Arc::new(Ledger::new(args.proxy_image.clone(), args.proxy_allowed_images.clone()));
    spawn_watchdog(shared, parts, &ledger, &facts, notices.clone());
    let changes = spawn_history(shared, parts, &signing);
    let controller = controller(shared, &facts, &signing, &reports, (notices, changes), ledger);
    parts.spawn(async move {
        controller.run().await;
        "controller"
    });
    let tokens = Arc::new(Tokens::new(shared.client.clone(), Arc::clone(metrics)));
    let routes = Routes {
        facts,
        occurrences,
        receiver: Receiver {
            leadership: shared.leadership.clone(),
            tokens: Arc::clone(&tokens),
            reports,
            evictions: Evictions::new(Arc::clone(metrics)),
            cache: Arc::clone(&shared.cache),
        },
        streams: Streams::new(tokens, Arc::clone(&shared.cache), Arc::clone(metrics), stop.clone()),
        metrics: Arc::clone(metrics),
    };
    listen(shared, parts, routes, resolver).await
}

/// Waits for the API server as long as it takes: at first start it may come up after us.
async fn obtain<T: Material>(shared: &Shared, name: &str, terms: &Terms) -> Held<T> {
    loop {
        let api: Api<Secret> = Api::namespaced(shared.client.clone(), &shared.args.namespace);
        match Held::obtain(api, name, terms).await {
            Ok(held) => {
                shared.metrics.secret_problem(T::WHAT, None);
                return held;
            }
            Err(error) => {
                shared.metrics.secret_problem(T::WHAT, Some(error.reason()));
                shared.metrics.failed(ErrorKind::Secret);
                tracing::error!(%error, "waiting for a secret");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

fn spawn_election(parts: &mut Parts, election: Election, metrics: &Arc<Metrics>, stop: &CancellationToken) {
    let (metrics, stop) = (Arc::clone(metrics), stop.clone());
    parts.spawn(async move {
        election.run(&metrics, stop).await;
        ELECTION
    });
}

fn spawn_watches(
    shared: &Shared,
    parts: &mut Parts,
    signing: &Arc<Held<Key>>,
    issued: &Arc<Held<Issued>>,
    seen: watch::Sender<Vec<serde_json::Value>>,
) {
    let metrics = &shared.metrics;
    // So many watches at once make a large future.
    let all = Box::pin(observe::watch::all(
        shared.client.clone(),
        Arc::clone(&shared.cache),
        Arc::clone(signing),
        Arc::clone(metrics),
    ));
    parts.spawn(async move {
        all.await;
        "watches"
    });
    spawn_held(shared, parts, signing);
    spawn_held(shared, parts, issued);
    let keeper = Keeper {
        client: shared.client.clone(),
        kind: ApiResource::erase::<MutatingWebhookConfiguration>(&()),
        name: shared.args.webhook_configuration.clone(),
        leadership: shared.leadership.clone(),
        metrics: Arc::clone(metrics),
        placed: Arc::clone(&shared.readiness.ca_bundle),
        seen,
    };
    // Nobody waits for the second one: without it policies are taken unchecked, and pods are injected all the same.
    let validator = shared.args.validator_configuration.clone().map(|name| Keeper {
        client: shared.client.clone(),
        kind: ApiResource::erase::<ValidatingWebhookConfiguration>(&()),
        name,
        leadership: shared.leadership.clone(),
        metrics: Arc::clone(metrics),
        placed: Arc::default(),
        seen: watch::Sender::new(Vec::new()),
    });
    for keeper in std::iter::once(keeper).chain(validator) {
        let keeper = keeper.run(issued.subscribe());
        parts.spawn(async move {
            keeper.await;
            "ca_bundle"
        });
    }
}

fn spawn_held<T: Material>(shared: &Shared, parts: &mut Parts, held: &Arc<Held<T>>) {
    let (held, counted) = (Arc::clone(held), Arc::clone(&shared.metrics));
    let leadership = shared.leadership.clone();
    parts.spawn(async move {
        held.follow(&leadership, &counted).await;
        T::WHAT
    });
}

fn spawn_probe(
    shared: &Shared,
    parts: &mut Parts,
    webhooks: watch::Receiver<Vec<serde_json::Value>>,
    issued: watch::Receiver<Arc<Issued>>,
    notices: mpsc::Sender<Notice>,
) {
    let probe = Probe {
        services: Api::namespaced(shared.client.clone(), &shared.args.namespace),
        service: shared.args.service.clone(),
        namespace: shared.args.namespace.clone(),
        listen: shared.args.listen,
        webhooks,
        issued,
        metrics: Arc::clone(&shared.metrics),
        readiness: Arc::clone(&shared.readiness),
        notices,
    };
    parts.spawn(async move {
        probe.run().await;
        "probe"
    });
}

fn spawn_events(
    shared: &Shared,
    parts: &mut Parts,
) -> (mpsc::Sender<crate::webhook::Occurrence>, mpsc::Sender<Notice>) {
    let (occurrences, occurred) = mpsc::channel(QUEUE);
    let (notices, noticed) = mpsc::channel(QUEUE);
    let (client, metrics) = (shared.client.clone(), Arc::clone(&shared.metrics));
    let run = events::run(client, shared.args.pod_name.clone(), metrics, occurred, noticed);
    parts.spawn(async move {
        run.await;
        "events"
    });
    (occurrences, notices)
}

fn spawn_history(
    shared: &Shared,
    parts: &mut Parts,
    signing: &Arc<Held<Key>>,
) -> mpsc::Sender<history::Change> {
    let (changes, changed) = mpsc::channel(history::QUEUE);
    let historian = Historian {
        writer: Writer::new(shared.client.clone(), shared.leadership.clone()),
        signing: Arc::clone(signing),
        metrics: Arc::clone(&shared.metrics),
    };
    parts.spawn(async move {
        historian.run(changed).await;
        "history"
    });
    changes
}

fn spawn_watchdog(
    shared: &Shared,
    parts: &mut Parts,
    ledger: &Arc<Ledger>,
    facts: &Arc<Facts>,
    notices: mpsc::Sender<Notice>,
) {
    let per_minute = shared.args.restarts_per_minute;
    let (facts, args) = (Arc::clone(facts), shared.args.clone());
    let injects = move |template: &serde_json::Value, namespace: &observe::Namespace| {
        facts.injects(template, namespace, args.excludes(&namespace.name))
    };
    let (client, leadership) = (shared.client.clone(), shared.leadership.clone());
    let restarts = || Restarts::new(client, leadership, per_minute, Box::new(injects));
    let watchdog = Watchdog {
        ledger: Arc::clone(ledger),
        cache: Arc::clone(&shared.cache),
        leadership: shared.leadership.clone(),
        readiness: Arc::clone(&shared.readiness),
        notices,
        metrics: Arc::clone(&shared.metrics),
        settle: shared.args.watchdog_settle,
        restarts: (per_minute > 0).then(restarts),
    };
    parts.spawn(async move {
        watchdog.run().await;
        "watchdog"
    });
}

fn controller(
    shared: &Shared,
    facts: &Arc<Facts>,
    signing: &Arc<Held<Key>>,
    reports: &Arc<Reports>,
    (notices, history): (mpsc::Sender<Notice>, mpsc::Sender<history::Change>),
    watchdog: Arc<Ledger>,
) -> Controller {
    let facts = Arc::clone(facts);
    let args = shared.args.clone();
    let excluding = shared.args.clone();
    Controller {
        cache: Arc::clone(&shared.cache),
        reports: Arc::clone(reports),
        signing: Arc::clone(signing),
        writer: Writer::new(shared.client.clone(), shared.leadership.clone()),
        leadership: shared.leadership.clone(),
        metrics: Arc::clone(&shared.metrics),
        compile: Box::new(crate::plan::dry_run),
        why: Box::new(move |pod, namespace| facts.why(pod, namespace, args.excludes(&namespace.name))),
        notices,
        history,
        excludes: Box::new(move |namespace| excluding.excludes(namespace)),
        watchdog,
        last_good: std::sync::Mutex::default(),
        shares: std::sync::Mutex::default(),
        statuses: std::sync::Mutex::default(),
        status_pause: controller::STATUS_PAUSE,
    }
}

async fn listen(
    shared: &Shared,
    parts: &mut Parts,
    routes: Routes<Facts>,
    resolver: Arc<Resolver>,
) -> anyhow::Result<()> {
    let address = shared.args.listen;
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let tls = Arc::new(certificate::server_config(resolver)?);
    let (stop, grace) = (shared.stop.clone(), shared.args.shutdown_grace);
    parts.spawn(async move {
        server::serve(listener, tls, Arc::new(routes), stop, grace).await;
        LISTENER
    });
    shared.readiness.serving.store(true, Ordering::Release);
    Ok(())
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

fn signals() -> std::io::Result<Signals> {
    use tokio::signal::unix::{SignalKind, signal};
    Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
}

impl Signals {
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
