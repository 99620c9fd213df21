//! Whether the rollout of `enforcement` is at its end, as its own status says.

use rasp_policy::api::{RolloutPhase, RolloutStatus, conditions, reasons};

use super::{Judged, Whole, judged};

pub(super) fn judge(whole: &Whole<'_>) -> Option<Judged> {
    let rollout = whole.rollout?;
    let status = if rollout.phase == RolloutPhase::Completed { "True" } else { "False" };
    Some(judged(conditions::ROLLED_OUT, status, reason(rollout), rollout.message.as_str()))
}

/// What degrades: nothing is blocked although the policy asks for it.
pub(super) fn fault(whole: &Whole<'_>) -> Option<(&'static str, String)> {
    let rollout = whole.rollout.filter(|rollout| rollout.phase == RolloutPhase::RolledBack)?;
    Some((reasons::ROLLED_BACK, rollout.message.clone()))
}

/// One of the closed list: a status is read from an object that others may have written.
fn reason(rollout: &RolloutStatus) -> &'static str {
    match rollout.phase {
        RolloutPhase::Completed => reasons::COMPLETED,
        RolloutPhase::RolledBack => reasons::ROLLED_BACK,
        RolloutPhase::Progressing => {
            let known = [
                reasons::WAITING_FOR_SIDECARS,
                reasons::WAITING_FOR_SAMPLE,
                reasons::SUPERSEDED,
                reasons::NOT_IN_BLOCK,
                reasons::NO_TARGETS,
            ];
            known.into_iter().find(|known| *known == rollout.reason).unwrap_or(reasons::OBSERVING)
        }
    }
}
