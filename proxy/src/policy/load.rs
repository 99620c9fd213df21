//! From the text of an envelope to a Ruleset, every check on the way. Pure apart from the signature check.
//!
//! Order matters: nothing of a payload is believed, not even parsed, before its signature holds.

use std::sync::Arc;

use rasp_engine::Ruleset;
use rasp_policy::bundle::{self, Bundle, Envelope, Refusal};
use rasp_policy::precedence::{Deciders, Effective, ports, resolve_at};
use rasp_policy::selector::{Labels, Subject};

use super::InForce;
use super::keys::Keys;
use super::sequence::Last;

/// What a Bundle is checked against.
#[derive(Clone, Debug)]
pub struct Checks {
    /// Who may sign.
    pub keys: Keys,
    /// The pod's namespace.
    pub namespace: String,
    /// The namespace's UID, where the operator knew it at admission.
    pub namespace_uid: Option<String>,
    /// Lowest acceptable sequence, fixed at admission.
    pub floor: u64,
    /// `Kind/name` of the pod's controller, which targets of policies name.
    pub workload: String,
}

/// What is in force on a port, and who decided it.
#[derive(PartialEq)]
struct Decision {
    effective: Effective,
    deciders: Deciders,
}

/// A Bundle that passed every check.
#[derive(Clone, Debug)]
pub struct Verified {
    bundle: Bundle,
    digest: String,
    workload: String,
}

impl Checks {
    /// Verifies, parses and checks an envelope against what was last in force.
    pub fn open(&self, text: &[u8], last: Option<&Last>) -> Result<Verified, Refusal> {
        self.keys.learn(text);
        let payload =
            Envelope::open(text, |_key_id, message, signature| self.keys.verify(message, signature))?;
        let bundle = Bundle::from_verified(&payload)?;
        let uid_differs = self.namespace_uid.as_ref().is_some_and(|uid| *uid != bundle.namespace.uid);
        if bundle.namespace.name != self.namespace || uid_differs {
            return Err(Refusal::Namespace);
        }
        let digest = bundle::digest(&payload);
        let floor = match last {
            // Two different Bundles with one sequence: the one in force came first.
            Some(last) if last.digest != digest => last.sequence.saturating_add(1).max(self.floor),
            Some(last) => last.sequence.max(self.floor),
            None => self.floor,
        };
        if bundle.sequence < floor {
            return Err(Refusal::Older { found: bundle.sequence, floor });
        }
        Ok(Verified { bundle, digest, workload: self.workload.clone() })
    }
}

impl Verified {
    /// What has to be remembered once it is in force.
    pub fn last(&self) -> Last {
        Last { sequence: self.bundle.sequence, digest: self.digest.clone() }
    }

    /// Compiles it for a pod with these labels, without the exceptions that have ended [`super::now`]. A port that policies
    /// name has what is in force there of its own, unless that would be the same as another; equal Rulesets are one.
    pub fn build(&self, labels: &Labels, now: &str) -> Result<InForce, Refusal> {
        let subject = Subject { labels, workload: &self.workload };
        let (everywhere, mut expires) = self.resolve(subject, None, now);
        let ruleset = compile(&everywhere.effective)?;
        let mut own: Vec<(Decision, Arc<InForce>)> = Vec::new();
        let mut built = Vec::new();
        for port in ports(&self.bundle, subject) {
            let (here, ends) = self.resolve(subject, Some(port), now);
            expires = expires.into_iter().chain(ends).min();
            if here == everywhere {
                continue;
            }
            let known = own.iter().find(|(known, _)| *known == here).map(|(_, known)| Arc::clone(known));
            let in_force = if let Some(known) = known {
                known
            } else {
                let equal = if here.effective == everywhere.effective {
                    Some(&ruleset)
                } else {
                    let mut own = own.iter().filter(|(known, _)| known.effective == here.effective);
                    own.next().map(|(_, in_force)| &in_force.ruleset)
                };
                let ruleset = match equal {
                    Some(ruleset) => Arc::clone(ruleset),
                    None => compile(&here.effective)?,
                };
                let in_force = Arc::new(self.in_force(ruleset, here.deciders.clone()));
                own.push((here, Arc::clone(&in_force)));
                in_force
            };
            built.push((port, in_force));
        }
        Ok(InForce {
            sources: self.bundle.acknowledged(),
            expires,
            ports: built,
            ..self.in_force(ruleset, everywhere.deciders)
        })
    }

    fn resolve(&self, subject: Subject<'_>, port: Option<u16>, now: &str) -> (Decision, Option<String>) {
        let resolution = resolve_at(&self.bundle, subject, port);
        let deciders = Deciders::of(&self.bundle, &resolution);
        let mut effective = resolution.effective;
        let expires = effective.expire(now);
        (Decision { effective, deciders }, expires)
    }

    fn in_force(&self, ruleset: Arc<Ruleset>, deciders: Deciders) -> InForce {
        let (digest, sequence) = (Some(self.digest.clone()), Some(self.bundle.sequence));
        InForce { deciders, digest, sequence, ..InForce::of(ruleset) }
    }
}

fn compile(effective: &Effective) -> Result<Arc<Ruleset>, Refusal> {
    Ruleset::build(effective).map(Arc::new).map_err(|error| Refusal::Build(error.to_string()))
}

#[cfg(test)]
pub(crate) mod tests;
