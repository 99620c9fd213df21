//! Whether connections to the selected pods pass the sidecars uninspected, as these report it: by port and reason, those
//! that are open and those of the last hour ([`rasp_policy::report::UNINSPECTED_WINDOW`]).

use rasp_policy::api::{conditions, reasons};
use rasp_policy::report::EffectiveMode;

use super::tally::Tally;
use super::{Judged, Whole, judged, list};

pub(super) fn judge(whole: &Whole<'_>) -> Judged {
    let tally = &whole.share.tally;
    told(tally).or_else(|| bypassable(tally)).or_else(|| established(whole)).unwrap_or_else(|| untold(tally))
}

/// What reports say against it.
fn told(tally: &Tally) -> Option<Judged> {
    let condition = |reason, message: String| judged(conditions::INSPECTED, "False", reason, message);
    let all = tally.modes.len();
    let off = tally.modes.iter().filter(|mode| **mode == EffectiveMode::Off).count();
    if off > 0 {
        let message = format!("everything is Off on {off} of {all} sidecars");
        return Some(condition(reasons::DETECTION_OFF, message));
    }
    let ports = tally.uninspected.iter().map(|(relayed, sidecars)| {
        format!("port {} ({}) on {sidecars} of {all}", relayed.port, relayed.reason.as_str())
    });
    let message = format!("relayed uninspected within the last hour: {} sidecars", list(ports));
    (!tally.uninspected.is_empty()).then(|| condition(reasons::UNINSPECTED, message))
}

/// Nothing is known against it, of what came through the sidecars. Without packet rules that need not be everything.
fn bypassable(tally: &Tally) -> Option<Judged> {
    let message = format!(
        "{} of {} sidecars do not see who dials the application itself: {}",
        tally.bypassable.len(),
        tally.modes.len(),
        tally.bypassable
    );
    let judged = judged(conditions::INSPECTED, "Unknown", reasons::BYPASSABLE, message);
    (!tally.bypassable.is_empty()).then_some(judged)
}

/// What an earlier leader had established, while sidecars have not yet reported to this one.
fn established(whole: &Whole<'_>) -> Option<Judged> {
    if whole.presumed == 0 {
        return None;
    }
    let mut before = whole.policy.status.conditions.iter();
    let before = before.find(|condition| condition.r#type == conditions::INSPECTED)?;
    let known = [
        ("True", reasons::ALL_CONNECTIONS),
        ("False", reasons::UNINSPECTED),
        ("False", reasons::DETECTION_OFF),
        ("Unknown", reasons::BYPASSABLE),
    ];
    let (status, reason) = known.into_iter().find(|(_, reason)| *reason == before.reason)?;
    Some(judged(conditions::INSPECTED, status, reason, before.message.clone()))
}

fn untold(tally: &Tally) -> Judged {
    let (status, reason, message) = match (tally.modes.len(), tally.sidecars()) {
        (0, 0) => ("Unknown", reasons::NO_TARGETS, "no selected pod has a sidecar"),
        (0, _) => ("Unknown", reasons::PENDING, "no sidecar has reported yet"),
        _ => ("True", reasons::ALL_CONNECTIONS, "no connection was relayed uninspected within the last hour"),
    };
    judged(conditions::INSPECTED, status, reason, message)
}
