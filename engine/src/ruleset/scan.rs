//! Every value of a message goes through here: prefilter, detectors, known exploits, further readings. Each detector runs
//! on its own, so that one that panics takes nothing else with it. Called by [`super::Ruleset`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rasp_policy::api::Mode;
use rasp_policy::class::Class;
use rasp_policy::precedence::Effective;

use super::{BuildError, Inspection};
use crate::budget::Budget;
use crate::decode::{Field, Visit, nested};
use crate::detector::{self, DETECTORS, Detector, Report};
use crate::exploit::{self, signature::Signatures};
use crate::finding::Part;
use crate::header;
use crate::message::Head;
use crate::prefilter::{self, Prefilter};
use crate::reason::Reason;
use crate::web_shell;

/// Which detectors are run.
pub(super) struct Detection {
    pub detectors: &'static [&'static Detector],
    pub prefilter: &'static Prefilter,
    pub enabled: prefilter::Set,
    /// Those of them that read files, and documents.
    pub files: prefilter::Set,
    pub documents: prefilter::Set,
    /// Known exploits, where their class is not Off.
    pub exploits: Option<Arc<Signatures>>,
    /// Whether heads are judged as a whole, too.
    pub heads: bool,
    pub uploads: bool,
    /// Those that look at every name of an uploaded file, whatever bytes it has.
    pub names: prefilter::Set,
}

impl Detection {
    /// `None` where every class is Off.
    pub fn build(effective: &Effective) -> Result<Option<Self>, BuildError> {
        let prefilter = prefilter::shared();
        let signatures = exploit::signatures(effective)?;
        let is_on = |class: Class| effective.detection(class).mode != Mode::Off;
        let exploits = is_on(Class::KnownExploit);
        let exploits = exploits.then_some(signatures);
        let those = |part: Part| {
            let is_on = |detector: &Detector| {
                effective.detection(detector.class).mode != Mode::Off && detector::reads(detector.class, part)
            };
            let on = DETECTORS.iter().enumerate().filter(|(_, detector)| is_on(detector));
            on.fold(0, |set, (number, _)| set | 1 << number)
        };
        let uploads = DETECTORS.iter().position(|detector| detector.class == Class::WebShell);
        let names = uploads.map_or(0, |number| 1 << number);
        let (enabled, files, documents) = (those(Part::Text), those(Part::File), those(Part::Document));
        Ok((enabled != 0).then_some(Self {
            detectors: DETECTORS,
            prefilter,
            enabled: enabled | ESCAPES,
            files,
            documents,
            exploits,
            heads: is_on(Class::HeaderInjection),
            uploads: is_on(Class::WebShell),
            names: enabled & names,
        }))
    }

    /// Those that read values of this part.
    fn enabled(&self, part: Part) -> prefilter::Set {
        match part {
            Part::File => self.files,
            Part::Document => self.documents,
            _ => self.enabled,
        }
    }
}

impl std::fmt::Debug for Detection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Detection").field("enabled", &self.enabled).finish_non_exhaustive()
    }
}

/// Runs the detectors on every field that a decoder yields.
pub(super) struct Scan<'a> {
    pub detection: &'a Detection,
    pub inspection: &'a mut Inspection,
}

impl Scan<'_> {
    /// Runs one. Whatever makes it panic takes neither the findings of the others nor the rest of the message.
    fn run(
        &mut self,
        class: Class,
        inspect: impl FnOnce(&mut Inspection) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        if self.inspection.without.contains(class) {
            self.inspection.suspended.insert(class);
            return Ok(());
        }
        let before = self.inspection.work();
        let Ok(end) = catch_unwind(AssertUnwindSafe(|| inspect(self.inspection))) else {
            self.inspection.panicked(class);
            return Ok(());
        };
        let spent = self.inspection.work() - before;
        let run = &mut self.inspection.run;
        run.ran.insert(class);
        if spent > run.costliest.map_or(0, |(_, most)| most) {
            run.costliest = Some((class, spent));
        }
        end
    }

    /// Looks for known exploits, whose signatures speak of more than one field.
    pub fn exploits(&mut self, look: impl FnOnce(&Signatures, &mut Inspection) -> Result<(), Reason>) {
        let Some(set) = &self.detection.exploits else { return };
        if let Err(reason) = self.run(Class::KnownExploit, |inspection| look(set, inspection)) {
            self.note(reason);
        }
    }

    /// What a head says as a whole, and the names of files that fields of it give.
    pub fn head(&mut self, head: &Head<'_>) -> Result<(), Reason> {
        if self.detection.heads && header::concerns(head) {
            self.run(Class::HeaderInjection, |inspection| header::inspect_head(head, inspection))?;
        }
        if self.detection.uploads && web_shell::concerns(head) {
            self.run(Class::WebShell, |inspection| web_shell::inspect_head(head, inspection))?;
        }
        Ok(())
    }

    pub fn close(&mut self, head: &Head<'_>) {
        if !self.inspection.watch.is_empty() {
            self.exploits(|set, inspection| exploit::close(set, head, inspection));
        }
    }
}

impl Visit for Scan<'_> {
    fn field(&mut self, field: &Field<'_>) -> Result<(), Reason> {
        let Detection { detectors, prefilter, exploits, .. } = self.detection;
        self.inspection.budget.part()?;
        self.inspection.budget.work(field.value.len())?;
        let mut candidates = prefilter.candidates(field.value, self.detection.enabled(field.part));
        if field.part == Part::FileName {
            candidates |= self.detection.names;
        }
        let has_escapes = candidates & ESCAPES != 0;
        candidates &= !ESCAPES;
        while candidates != 0 {
            let number = candidates.trailing_zeros() as usize;
            candidates &= candidates - 1;
            let Some(detector) = detectors.get(number) else { break };
            let inspect = |inspection: &mut Inspection| {
                (detector.inspect)(field, &mut Report::new(detector.class, inspection))
            };
            self.run(detector.class, inspect)?;
        }
        if exploits.as_ref().is_some_and(|set| exploit::looks_at(set, field, self.inspection)) {
            self.exploits(|set, inspection| exploit::see(set, field, inspection));
        }
        nested::decode(field, has_escapes, self)
    }

    fn note(&mut self, reason: Reason) {
        self.inspection.note(reason);
    }

    fn budget(&mut self) -> &mut Budget {
        &mut self.inspection.budget
    }

    fn may_pass(&self) -> bool {
        self.inspection.watch.is_empty() && std::ptr::eq(self.detection.prefilter, prefilter::shared())
    }

    fn looks_at(&self, name: &[u8]) -> bool {
        self.detection.exploits.as_ref().is_some_and(|set| exploit::looks_at_name(set, name))
    }
}

/// Of a set of detectors: the bit of [`nested::NEEDS`].
const ESCAPES: prefilter::Set = 1 << DETECTORS.len();
