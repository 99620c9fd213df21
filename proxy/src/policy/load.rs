//! From the text of an envelope to a Ruleset, every check on the way. Pure apart from the signature check.
//!
//! Order matters: nothing of a payload is believed, not even parsed, before its signature holds.

use rasp_engine::Ruleset;
use rasp_policy::bundle::{self, Bundle, Envelope, Refusal};
use rasp_policy::precedence::resolve;
use rasp_policy::selector::Labels;

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
}

/// A Bundle that passed every check.
#[derive(Clone, Debug)]
pub struct Verified {
    bundle: Bundle,
    digest: String,
}

impl Checks {
    /// Verifies, parses and checks an envelope against what was last in force.
    pub fn open(&self, text: &[u8], last: Option<&Last>) -> Result<Verified, Refusal> {
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
        Ok(Verified { bundle, digest })
    }
}

impl Verified {
    /// What has to be remembered once it is in force.
    pub fn last(&self) -> Last {
        Last { sequence: self.bundle.sequence, digest: self.digest.clone() }
    }

    /// Compiles it for a pod with these labels, without the exceptions that have ended [`super::now`].
    pub fn build(&self, labels: &Labels, now: &str) -> Result<InForce, Refusal> {
        let mut effective = resolve(&self.bundle, labels).effective;
        let expires = effective.expire(now);
        let ruleset = Ruleset::build(&effective).map_err(|error| Refusal::Build(error.to_string()))?;
        Ok(InForce {
            ruleset,
            digest: Some(self.digest.clone()),
            sequence: Some(self.bundle.sequence),
            sources: self.bundle.acknowledged(),
            expires,
            loaded: true,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
