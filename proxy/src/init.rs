//! `rasp-proxy init`: programs the packet rules of a pod by netlink and proves them, in the init container.
//!
//! Synchronous, and needs NET_ADMIN in the network namespace and nothing else: no binary, no file, no address. It must
//! never touch another table, never leave a half of the rules behind (one transaction), and never succeed where the
//! kernel does not report exactly the rules that protect the pod. Running it again restores them. `main` calls it.
//!
//! Reading order: `config`, `ruleset` (the rules as data), `expression`, `message`, `kernel`, `dump`, `proof`.

mod attribute;
mod config;
mod dump;
mod expression;
mod kernel;
mod message;
mod proof;
mod ruleset;

use std::io;
use std::net::IpAddr;

use rustix::io::Errno;

pub use config::{Config, ConfigError, Problem};
pub use proof::Difference;
pub use ruleset::Form;

use expression::{Expression, SOCKET_WILDCARD};
use kernel::Netlink;
use message::{Batch, Step};

/// What is in force now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// `Plain` is weaker; it should be logged.
    pub form: Form,
}

/// Why the pod must not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pod shares the network of the node, whose own traffic the rules would redirect.
    #[error(
        "pod address {address} is an address of the node, so the pod uses its network: do not inject pods with hostNetwork"
    )]
    HostNetwork {
        /// The address of both.
        address: IpAddr,
    },
    /// No netlink socket.
    #[error("cannot open a netlink socket of netfilter: {remedy}")]
    OpenNetlink {
        /// What the kernel said.
        source: io::Error,
        /// What to do.
        remedy: String,
    },
    /// The kernel refused one step; none of the others took effect.
    #[error("cannot {step}: {remedy}")]
    Program {
        /// What was to be done.
        step: String,
        /// What the kernel said.
        source: io::Error,
        /// What to do.
        remedy: String,
    },
    /// The rules could not be read back.
    #[error("cannot read the packet rules back: {remedy}")]
    Dump {
        /// What the kernel said.
        source: io::Error,
        /// What to do.
        remedy: String,
    },
    /// The rules in force are not those that protect the pod.
    #[error(
        "the packet rules in force do not protect the pod: run `rasp-proxy init` again, and find who changed them"
    )]
    NotProven(#[source] Difference),
}

impl Error {
    /// Stable id for logs and metrics.
    pub fn id(&self) -> &'static str {
        match self {
            Self::HostNetwork { .. } => "host_network",
            Self::OpenNetlink { .. } => "open_netlink",
            Self::Program { .. } => "program",
            Self::Dump { .. } => "dump",
            Self::NotProven(_) => "not_proven",
        }
    }
}

/// Puts the rules in force and proves them; falls back to [`Form::Plain`] where the kernel has no `nft_socket`.
pub fn run(config: &Config) -> Result<Outcome, Error> {
    strongest(|form| enforce(config, form))
}

/// Like [`run`], with exactly this form.
pub fn run_with(config: &Config, form: Form) -> Result<Outcome, Error> {
    enforce(config, form).map_err(Attempt::into_error)
}

/// Proves that the rules of either form are in force, changing nothing. Needs NET_ADMIN, as the kernel shows rules
/// to nobody else.
pub fn prove(config: &Config) -> Result<Outcome, Error> {
    let dump = read_back(&open()?)?;
    let listeners = proof::compare(&ruleset::build(&config.skip_ports, Form::Listeners), &dump);
    let plain = proof::compare(&ruleset::build(&config.skip_ports, Form::Plain), &dump);
    match (listeners, plain) {
        (Ok(()), _) => Ok(Outcome { form: Form::Listeners }),
        (_, Ok(())) => Ok(Outcome { form: Form::Plain }),
        (Err(difference), _) => Err(Error::NotProven(difference)),
    }
}

/// Why an attempt to enforce failed.
#[derive(Debug)]
enum Attempt {
    NoSocketMatch(Error),
    Failed(Error),
}

impl Attempt {
    fn into_error(self) -> Error {
        match self {
            Self::NoSocketMatch(error) | Self::Failed(error) => error,
        }
    }
}

impl From<Error> for Attempt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Whether the kernel has `nft_socket` is told by trying: asking for a module would say less than a rule that works.
fn strongest(mut attempt: impl FnMut(Form) -> Result<Outcome, Attempt>) -> Result<Outcome, Error> {
    match attempt(Form::Listeners) {
        Err(Attempt::NoSocketMatch(_)) => attempt(Form::Plain),
        other => other,
    }
    .map_err(Attempt::into_error)
}

fn enforce(config: &Config, form: Form) -> Result<Outcome, Attempt> {
    if let Some(address) = config.host_address() {
        return Err(Error::HostNetwork { address }.into());
    }
    let tables = ruleset::build(&config.skip_ports, form);
    let netlink = open()?;
    let batch = Batch::build(&tables);
    netlink.load(&batch).map_err(|error| refused(&batch, &error))?;
    proof::compare(&tables, &read_back(&netlink)?).map_err(Error::NotProven)?;
    Ok(Outcome { form })
}

fn open() -> Result<Netlink, Error> {
    Netlink::open()
        .map_err(|errno| Error::OpenNetlink { source: errno.into(), remedy: remedy(errno, &["nfnetlink"]) })
}

fn read_back(netlink: &Netlink) -> Result<dump::Dump, Error> {
    netlink.dump().map_err(|error| {
        let (source, errno) = cause(&error);
        Error::Dump { source, remedy: remedy(errno, &["nf_tables"]) }
    })
}

/// Names the step of the batch that the kernel refused.
fn refused(batch: &Batch<'_>, error: &kernel::Error) -> Attempt {
    let step = match error {
        kernel::Error::Refused { sequence, .. } => {
            usize::try_from(*sequence).ok().and_then(|at| batch.steps.get(at)).copied()
        }
        _ => None,
    }
    .unwrap_or(Step::Begin);
    let (source, errno) = cause(error);
    let program = Error::Program { step: step.to_string(), source, remedy: remedy(errno, &step.modules()) };
    if lacks_module(errno) && matches_socket(&step) {
        Attempt::NoSocketMatch(program)
    } else {
        program.into()
    }
}

fn matches_socket(step: &Step<'_>) -> bool {
    let needle = Expression::Socket(SOCKET_WILDCARD);
    matches!(step, Step::CreateRule(_, rule) if rule.expressions.contains(&needle))
}

fn cause(error: &kernel::Error) -> (io::Error, Errno) {
    match error {
        kernel::Error::Netlink(errno) | kernel::Error::Refused { errno, .. } => ((*errno).into(), *errno),
        other => (io::Error::other(other.to_string()), Errno::IO),
    }
}

/// `EOPNOTSUPP` for a subsystem or a family, `ENOENT` for an expression or a chain type, both also in older kernels.
fn lacks_module(errno: Errno) -> bool {
    matches!(errno, Errno::OPNOTSUPP | Errno::NOENT | Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT)
}

fn remedy(errno: Errno, modules: &[&str]) -> String {
    match errno {
        Errno::PERM | Errno::ACCESS => {
            "run as UID 0 with the NET_ADMIN capability, which rasp-init adds in its securityContext"
                .to_owned()
        }
        Errno::MSGSIZE => "list fewer ports to skip".to_owned(),
        errno if lacks_module(errno) => {
            format!("load these kernel modules on the node, or exclude it: {}", modules.join(", "))
        }
        _ => "start the pod again; if it stays so, look at the kernel log of the node".to_owned(),
    }
}

#[cfg(test)]
mod tests;
