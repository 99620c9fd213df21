//! Keeps what is served the newest good content of the files, without a restart.
//!
//! Runs on a thread of its own and reads the files once a second: kubelet swaps a mounted directory by renaming
//! `..data`, which no watch of a file sees. Certificate and key may be replaced one after the other, so what cannot be
//! used is refused only when it is still there at the next look. What was refused never replaces what is served.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::application::Vouched;
use super::material::{Digest, Material, Place, Problem, now};
use super::server::Server;
use crate::metrics::Metrics;
use crate::reason::{Kind, Tls};

/// How often the files are looked at.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// The files of one port.
#[derive(Debug)]
pub struct Watch {
    port: u16,
    server: Arc<Server>,
    vouched: Option<Arc<Vouched>>,
    pairs: Vec<Pair>,
}

#[derive(Debug)]
struct Pair {
    place: Place,
    /// The newest that could be used.
    good: Option<Material>,
    /// What was last dealt with.
    seen: Digest,
    /// What could not be used at the last look, but may be half of a change.
    suspect: Option<Digest>,
}

/// Stands for files that cannot be read.
const UNREADABLE: Digest = [0; 32];

impl Watch {
    /// Nothing is read yet.
    pub fn new(port: u16, server: Arc<Server>, vouched: Option<Arc<Vouched>>, places: Vec<Place>) -> Self {
        let pair = |place| Pair { place, good: None, seen: UNREADABLE, suspect: None };
        Self { port, server, vouched, pairs: places.into_iter().map(pair).collect() }
    }

    /// Reads everything for the first time, and says what cannot be served. Served is what can be, even if a
    /// certificate has ended: a client decides itself whether that matters.
    pub fn begin(&mut self, metrics: &Metrics) -> Result<(), Problem> {
        let mut problem = None;
        for pair in &mut self.pairs {
            match pair.open(&self.server) {
                Ok(material) if !material.is_valid(now()) => {
                    metrics.error(&Kind::Tls(Tls::Material));
                    tracing::error!(port = self.port, place = %pair.place.certificate.display(),
                        "the certificate is not valid now, and served all the same");
                }
                Ok(_) => {}
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        self.publish(metrics);
        problem.map_or(Ok(()), Err)
    }

    /// Looks once, and acts when something changed.
    pub fn look(&mut self, metrics: &Metrics) {
        let mut changed = false;
        for pair in &mut self.pairs {
            changed |= pair.look(self.port, &self.server, metrics);
        }
        if changed {
            self.publish(metrics);
        } else if let Some(seconds) = self.server.expiry() {
            metrics.tls_expiry(self.port, seconds);
        }
    }

    /// Nothing is served before every pair was good once: a client must not get the certificate of another name.
    fn publish(&self, metrics: &Metrics) {
        let good: Option<Vec<Material>> = self.pairs.iter().map(|pair| pair.good.clone()).collect();
        let Some(good) = good else { return };
        if let Err(problem) = self.server.serve(&good) {
            return tracing::error!(port = self.port, %problem, "the certificates cannot be served together");
        }
        if let Some(vouched) = &self.vouched {
            vouched.extend(&good);
        }
        let seconds = self.server.expiry().unwrap_or_default();
        metrics.tls_expiry(self.port, seconds);
        tracing::info!(port = self.port, expires_in_seconds = seconds, "certificates in force");
    }
}

impl Pair {
    fn open(&mut self, server: &Server) -> Result<&Material, Problem> {
        let files = self.place.read()?;
        self.seen = files.digest();
        let material = files.load()?;
        server.check(&material)?;
        Ok(self.good.insert(material))
    }

    /// Whether there is something new to serve.
    fn look(&mut self, port: u16, server: &Server, metrics: &Metrics) -> bool {
        let read = self.place.read();
        let digest = read.as_ref().map_or(UNREADABLE, super::material::Files::digest);
        if digest == self.seen {
            self.suspect = None;
            return false;
        }
        let loaded = read.and_then(|files| files.load()).and_then(|material| {
            server.check(&material)?;
            let now = now();
            let better =
                self.good.as_ref().is_none_or(|good| !good.is_valid(now) && good.ends < material.ends);
            if material.is_valid(now) || better { Ok(material) } else { Err(Problem::NotValidNow) }
        });
        match loaded {
            Ok(material) => {
                (self.good, self.seen, self.suspect) = (Some(material), digest, None);
                true
            }
            Err(_) if self.suspect != Some(digest) => {
                self.suspect = Some(digest);
                false
            }
            Err(problem) => {
                (self.seen, self.suspect) = (digest, None);
                metrics.error(&Kind::Tls(Tls::Material));
                tracing::error!(port, place = %self.place.certificate.display(), %problem,
                    served = self.good.is_some(), "certificate refused; what is in force stays");
                false
            }
        }
    }
}

/// Looks until the process ends.
pub fn start(mut watches: Vec<Watch>, metrics: Arc<Metrics>) -> io::Result<()> {
    if watches.is_empty() {
        return Ok(());
    }
    std::thread::Builder::new().name("rasp-tls".into()).spawn(move || {
        loop {
            std::thread::sleep(INTERVAL);
            for watch in &mut watches {
                watch.look(&metrics);
            }
        }
    })?;
    Ok(())
}
