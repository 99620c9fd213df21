//! Judges the guard rails: validating admission policies that hold while the operator is away. Pure.
//!
//! Which mode was asked for is a value of the chart that the API server does not show: the strictest binding says it.

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};

use super::line::{Check, Line};
use super::needs;
use crate::cluster::Seen;
use crate::print::some;

/// The line about them. Where something is missing it fails if they are to refuse, and warns if they only tell.
pub fn judge(
    policies: &Seen<Vec<ValidatingAdmissionPolicy>>,
    bindings: &Seen<Vec<ValidatingAdmissionPolicyBinding>>,
) -> Line {
    const HINT: &str = "install the chart of this version again: it makes them, by guardRails.mode";
    let check = Check::GuardRails;
    let (policies, bindings) = match (policies, bindings) {
        (Ok(policies), Ok(bindings)) => (policies, bindings),
        (Err(error), _) | (_, Err(error)) => return check.unseen(error),
    };
    let wanted = needs::guard_rails();
    let of = |name: &String| policies.iter().find(|policy| policy.metadata.name.as_ref() == Some(name));
    let actions = |name: &String| -> Vec<&str> {
        let specs = bindings.iter().filter_map(|binding| binding.spec.as_ref());
        let bound = specs.filter(|spec| spec.policy_name.as_ref() == Some(name));
        bound.filter_map(|spec| spec.validation_actions.as_ref()).flatten().map(String::as_str).collect()
    };
    if wanted.iter().all(|name| of(name).is_none()) {
        return check.warn(
            "there are none: nothing keeps a container from taking the id or a port of the sidecar",
            "guardRails.mode=Warn of the chart tells what would be refused, Deny refuses it",
        );
    }
    let all: Vec<&str> = wanted.iter().flat_map(actions).collect();
    let mode = ["Deny", "Warn", "Audit"].into_iter().find(|mode| all.contains(mode)).unwrap_or("Off");
    let missing: Vec<String> = wanted
        .iter()
        .filter_map(|name| match of(name) {
            None => Some(format!("{name} is not there")),
            Some(_) if actions(name).is_empty() => Some(format!("{name} has no binding")),
            Some(_) => None,
        })
        .collect();
    if !missing.is_empty() {
        let message = format!("mode {mode}, but {}", some(&missing));
        return if mode == "Deny" { check.fail(message, HINT) } else { check.warn(message, HINT) };
    }
    let broken: Vec<String> = wanted.iter().filter(|name| of(name).is_some_and(is_broken)).cloned().collect();
    if !broken.is_empty() {
        return check.warn(
            format!("mode {mode}, but the API server warns of expressions of {}", some(&broken)),
            "kubectl get validatingadmissionpolicy NAME -o yaml says which, under status.typeChecking",
        );
    }
    let does = if mode == "Deny" { "refuse" } else { "tell of, and do not refuse," };
    check.pass(format!(
        "mode {mode}: {} policies of the API server {does} what would go around sidecars",
        wanted.len()
    ))
}

fn is_broken(policy: &ValidatingAdmissionPolicy) -> bool {
    let checked = policy.status.as_ref().and_then(|status| status.type_checking.as_ref());
    checked
        .and_then(|checked| checked.expression_warnings.as_ref())
        .is_some_and(|warnings| !warnings.is_empty())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::admissionregistration::v1::{
        ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
    };
    use serde_json::json;

    use super::super::line::Outcome;
    use super::super::needs;
    use super::judge;

    fn policies(broken: bool) -> Vec<ValidatingAdmissionPolicy> {
        let warnings = if broken {
            json!([{"fieldRef": "spec.validations[0]", "warning": "undefined field"}])
        } else {
            json!([])
        };
        let policy = |name: String| json!({"metadata": {"name": name}, "status": {"typeChecking": {"expressionWarnings": warnings.clone()}}});
        needs::guard_rails().into_iter().map(|name| serde_json::from_value(policy(name)).unwrap()).collect()
    }

    fn bindings(actions: &[&str]) -> Vec<ValidatingAdmissionPolicyBinding> {
        let binding = |name: String| json!({"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": actions}});
        needs::guard_rails().into_iter().map(|name| serde_json::from_value(binding(name)).unwrap()).collect()
    }

    #[test]
    fn what_is_missing_fails_where_it_is_to_refuse_and_warns_where_it_tells() {
        assert!(needs::guard_rails().contains(&"kube-rasp-status".to_owned()), "{:?}", needs::guard_rails());
        let (deny, warn) = (["Deny", "Audit"], ["Warn", "Audit"]);
        let mut fewer = policies(false);
        fewer.truncate(1);
        let mut unbound = bindings(&deny);
        unbound.truncate(1);
        for (policies, bindings, expected, says) in [
            (policies(false), bindings(&deny), Outcome::Pass, "mode Deny"),
            (policies(false), bindings(&warn), Outcome::Pass, "do not refuse"),
            (policies(false), bindings(&["Audit"]), Outcome::Pass, "mode Audit"),
            (fewer.clone(), bindings(&deny), Outcome::Fail, "is not there"),
            (fewer, bindings(&warn), Outcome::Warn, "is not there"),
            (policies(false), unbound, Outcome::Fail, "has no binding"),
            (policies(true), bindings(&deny), Outcome::Warn, "expressions of"),
            (vec![], vec![], Outcome::Warn, "there are none"),
        ] {
            let line = judge(&Ok(policies), &Ok(bindings));
            assert_eq!(line.status, expected, "{}", line.message);
            assert!(line.message.contains(says), "{}", line.message);
        }
        assert_eq!(judge(&Err("forbidden".to_owned()), &Ok(vec![])).status, Outcome::Warn);
    }
}
