//! Findings that the policy excepts: recorded, and kept apart from those that are judged.
//!
//! They are told apart where a finding is kept, not where it is judged: the list of findings is bounded, and many
//! excepted ones must not push an attack out of it. Called by [`crate::ruleset`].

use std::sync::Arc;

use rasp_policy::api::Exception;
use rasp_policy::api::exception::matches;
use rasp_policy::precedence::{Effective, EffectiveException};

use crate::decode::percent;
use crate::finding::{Finding, Part};
use crate::ruleset::BuildError;

/// A finding that the policy excepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excepted {
    /// The evidence.
    pub finding: Finding,
    /// The exception, as `policy/name`.
    pub exception: Arc<str>,
}

/// The exceptions of a policy.
#[derive(Debug)]
pub(crate) struct Exceptions(Vec<(Arc<str>, Exception)>);

/// The exceptions that concern one message, and what they took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Excepting {
    all: Option<Arc<Exceptions>>,
    /// Those whose path is that of the message.
    here: Vec<usize>,
    pub(crate) taken: Vec<Excepted>,
}

/// Excepted findings that are kept of one message.
const MOST: usize = 32;

impl Exceptions {
    /// `None` where there are none, which costs a request nothing.
    pub(crate) fn build(effective: &Effective) -> Option<Arc<Self>> {
        let compile = |EffectiveException { id, exception }: &EffectiveException| {
            (Arc::from(id.as_str()), exception.clone())
        };
        let all: Vec<_> = effective.exceptions.iter().map(compile).collect();
        (!all.is_empty()).then(|| Arc::new(Self(all)))
    }
}

/// Refuses names of rules and parts that do not exist. A sidecar does not ask: it may be older than the policy, and what
/// it does not know excepts nothing there.
pub(crate) fn check(effective: &Effective) -> Result<(), BuildError> {
    for EffectiveException { id, exception } in &effective.exceptions {
        let unknown = |field, value: &str, list| {
            Err(BuildError::Exception { id: id.clone(), field, value: value.to_owned(), list })
        };
        if let Some(rule) = &exception.rule
            && !crate::detector::rules().any(|(_, known)| known.id.0 == rule)
            && !effective.signatures.iter().any(|signature| signature.id == *rule)
        {
            return unknown("rule", rule, "`rasp-proxy rules` lists all rules");
        }
        if let Some(part) = &exception.part
            && !Part::ALL.iter().any(|known| known.as_str() == part)
        {
            return unknown("part", part, "docs/events.md lists all parts");
        }
    }
    Ok(())
}

impl Excepting {
    /// For a message with this target.
    pub(crate) fn new(all: Option<&Arc<Exceptions>>, target: &[u8]) -> Self {
        let Some(all) = all else { return Self::default() };
        let path = plain_path(target);
        let is_here = |(_, exception): &(Arc<str>, Exception)| match (&exception.path, &path) {
            (None, _) => true,
            (Some(pattern), Some(path)) => matches(pattern, path),
            (Some(_), None) => false,
        };
        let here = all.0.iter().enumerate().filter(|(_, row)| is_here(row)).map(|(index, _)| index).collect();
        Self { all: Some(Arc::clone(all)), here, taken: Vec::new() }
    }

    /// Takes a finding that is excepted, and gives back any other.
    pub(crate) fn take(&mut self, finding: Finding) -> Option<Finding> {
        let Some(all) = &self.all else { return Some(finding) };
        let excepts = |exception: &Exception| {
            exception.rule.as_ref().is_none_or(|rule| rule == finding.rule.0)
                && exception.class.is_none_or(|class| class == finding.class)
                && exception.part.as_ref().is_none_or(|part| part == finding.location.part.as_str())
                && exception
                    .parameter
                    .as_ref()
                    .is_none_or(|name| matches(name, finding.location.name.as_bytes()))
        };
        let mut here = self.here.iter().filter_map(|index| all.0.get(*index));
        let Some((id, _)) = here.find(|(_, exception)| excepts(exception)) else { return Some(finding) };
        if self.taken.len() < MOST {
            self.taken.push(Excepted { finding, exception: Arc::clone(id) });
        }
        None
    }
}

/// The decoded path of a target, unless applications could read it in several ways: an exception for `/a/*` must not be
/// one for `/a/..%2fb`.
fn plain_path(target: &[u8]) -> Option<Vec<u8>> {
    let rest = match target.iter().position(|byte| *byte == b':') {
        // The absolute form: `http://host/path`.
        Some(at) if !target.starts_with(b"/") => {
            let authority = target.get(at..)?.strip_prefix(b"://")?;
            authority.get(memchr::memchr(b'/', authority)?..)?
        }
        _ => target,
    };
    let end = rest.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(rest.len());
    let raw = rest.get(..end)?;
    let mut buffer = Vec::new();
    let path = percent::decode(raw, false, &mut buffer);
    let slashes = |bytes: &[u8]| memchr::memchr_iter(b'/', bytes).count();
    let is_odd = |byte: &u8| byte.is_ascii_control() || matches!(byte, b'\\' | b'%' | b';' | b'?' | b'#');
    let is_walk = |segment: &[u8]| matches!(segment, b"." | b"..");
    let is_plain = path.starts_with(b"/")
        && slashes(raw) == slashes(path)
        && !path.iter().any(is_odd)
        && !path.split(|byte| *byte == b'/').any(is_walk)
        && !path.windows(2).any(|pair| pair == b"//");
    is_plain.then(|| path.to_vec())
}

#[cfg(test)]
mod tests;
