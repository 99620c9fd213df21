//! Judges who is protected, by which version, under which policies. Pure.

use std::collections::BTreeMap;

use rasp_policy::api::{conditions, reasons};

use super::line::{Check, Line};
use super::look::Installed;
use crate::cluster::Seen;
use crate::fleet::{Namespace, State};
use crate::print::some;
use crate::standing::Standings;

/// All lines about namespaces, pods and policies.
pub fn judge(seen: &Installed) -> Vec<Line> {
    vec![
        versions(seen),
        namespaces(&seen.fleet, &seen.excluded),
        pods(&seen.fleet),
        interception(&seen.fleet),
        policies(&seen.policies),
    ]
}

fn versions(seen: &Installed) -> Line {
    const OWN: &str = env!("CARGO_PKG_VERSION");
    const LABEL: &str = "app.kubernetes.io/version";
    let check = Check::Versions;
    let deployment = seen.deployment.as_ref().ok().and_then(Option::as_ref);
    let labels = deployment.and_then(|deployment| deployment.metadata.labels.as_ref());
    let operator = labels.and_then(|labels| labels.get(LABEL)).map(String::as_str);
    let fleet = match &seen.fleet {
        Ok(fleet) => fleet,
        Err(error) => return check.unseen(error),
    };
    if let Some(operator) = operator.filter(|operator| *operator != OWN) {
        return check.warn(
            format!("this is raspctl {OWN}, the operator is {operator}"),
            "use the raspctl of the operator's version",
        );
    }
    let mut images: BTreeMap<&str, usize> = BTreeMap::new();
    for image in fleet.iter().flat_map(|namespace| &namespace.pods).filter_map(|pod| pod.image.as_deref()) {
        *images.entry(image).or_default() += 1;
    }
    let is_outdated = |state: &State| matches!(state, State::Outdated { .. });
    let outdated: Vec<String> = fleet.iter().flat_map(|namespace| namespace.names(is_outdated)).collect();
    let told: Vec<String> = images.iter().map(|(image, count)| format!("{count} x {image}")).collect();
    let sidecars = if told.is_empty() { "none".to_owned() } else { some(&told) };
    let message = format!("raspctl {OWN}, operator {}, sidecars: {sidecars}", operator.unwrap_or("unknown"));
    if !outdated.is_empty() {
        return check.warn(
            format!("{message}; {} differ from what is injected now: {}", outdated.len(), some(&outdated)),
            "restart their workloads: kubectl rollout restart",
        );
    }
    check.pass(message)
}

fn namespaces(fleet: &Seen<Vec<Namespace>>, excluded: &[String]) -> Line {
    let check = Check::Namespaces;
    let fleet = match fleet {
        Ok(fleet) => fleet,
        Err(error) => return check.unseen(error),
    };
    let asking: Vec<&Namespace> = fleet.iter().filter(|namespace| namespace.asks()).collect();
    let names = |namespaces: &[&Namespace]| {
        some(&namespaces.iter().map(|namespace| namespace.name.clone()).collect::<Vec<_>>())
    };
    let ignored: Vec<&Namespace> = asking.iter().filter(|namespace| namespace.excluded).copied().collect();
    let others = excluded.iter().map(String::as_str).filter(|name| !name.starts_with("kube-"));
    let excluded: Vec<&str> = std::iter::once("kube-*").chain(others).collect();
    let excluded = format!("excluded by name: {}", excluded.join(", "));
    if !ignored.is_empty() {
        return check.warn(
            format!("labelled, but {excluded}: {} get no sidecars", names(&ignored)),
            "take the label away, or change webhook.excludedNamespaces of the chart",
        );
    }
    let mislabelled: Vec<String> = fleet
        .iter()
        .filter(|namespace| namespace.is_mislabelled())
        .map(|namespace| format!("{} ({})", namespace.name, namespace.label()))
        .collect();
    if !mislabelled.is_empty() {
        return check.warn(
            format!("labelled, but with a value that asks for nothing: {}", some(&mislabelled)),
            "the values of rasp.dev/inject are enabled, enforced and disabled",
        );
    }
    if asking.is_empty() {
        return check.warn(
            format!("no namespace asks for protection; {excluded}"),
            "kubectl label namespace NAME rasp.dev/inject=enabled",
        );
    }
    check.pass(format!("{} ask for protection: {}; {excluded}", asking.len(), names(&asking)))
}

fn pods(fleet: &Seen<Vec<Namespace>>) -> Line {
    let check = Check::Pods;
    let fleet = match fleet {
        Ok(fleet) => fleet,
        Err(error) => return check.unseen(error),
    };
    let all: usize = fleet.iter().map(|namespace| namespace.pods.len()).sum();
    let mut by_reason: BTreeMap<&str, (Vec<String>, &str)> = BTreeMap::new();
    for namespace in fleet {
        for pod in &namespace.pods {
            if let State::Unprotected { reason, message } = &pod.state {
                let entry = by_reason.entry(reason).or_insert_with(|| (Vec::new(), message));
                entry.0.push(format!("{}/{}", namespace.name, pod.name));
            }
        }
    }
    if by_reason.is_empty() {
        return check.pass(format!("all {all} pods that ask for it are protected"));
    }
    let count: usize = by_reason.values().map(|(names, _)| names.len()).sum();
    let told: Vec<String> =
        by_reason.iter().map(|(reason, (names, _))| format!("{reason}: {}", some(names))).collect();
    let hints: Vec<String> =
        by_reason.iter().map(|(reason, (_, message))| format!("{reason}: {message}")).collect();
    check.fail(format!("{count} of {all} pods are NOT protected; {}", told.join("; ")), hints.join("; "))
}

fn interception(fleet: &Seen<Vec<Namespace>>) -> Line {
    let check = Check::Interception;
    let fleet = match fleet {
        Ok(fleet) => fleet,
        Err(error) => return check.unseen(error),
    };
    let of = |namespace: &Namespace| -> Vec<String> {
        let weaker = namespace.pods.iter().filter(|pod| pod.is_weaker());
        weaker.map(|pod| format!("{}/{}", namespace.name, pod.name)).collect()
    };
    let weaker: Vec<String> = fleet.iter().flat_map(of).collect();
    if weaker.is_empty() {
        return check.pass("no pod is served without packet rules");
    }
    check.warn(
        format!("{} pods are served without packet rules, which is weaker: {}", weaker.len(), some(&weaker)),
        "who dials a port of the application itself goes around the sidecar: keep them out by a NetworkPolicy \
         (docs/injection.md, Without NET_ADMIN)",
    )
}

fn policies(policies: &Standings) -> Line {
    const HINT: &str = "kubectl describe says why, for example kubectl describe rasppolicy";
    let check = Check::Policies;
    let (mut invalid, mut waiting, mut expired, mut idle) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for policy in &policies.all {
        let named = |condition: &str| {
            let reason =
                policy.condition(condition).map_or("no status", |condition| condition.reason.as_str());
            format!("{} ({reason})", policy.title())
        };
        if policy.has_expired() {
            expired.push(policy.title());
        } else if policy.is(conditions::ACCEPTED, "False") {
            invalid.push(named(conditions::ACCEPTED));
        } else if policy.is(conditions::RESOLVED_REFS, "False") {
            waiting.push(named(conditions::RESOLVED_REFS));
        } else if policy.selects_nobody() {
            idle.push(policy.title());
        } else if policy.said(conditions::PROGRAMMED).1 == reasons::SIDECAR_TOO_OLD {
            // The Bundle that it refused degrades the policy as well, which says less.
            waiting.push(named(conditions::PROGRAMMED));
        } else if policy.is(conditions::DEGRADED, "True") {
            waiting.push(named(conditions::DEGRADED));
        } else if policy.condition(conditions::PROGRAMMED).is_none_or(|condition| condition.status == "False")
        {
            waiting.push(named(conditions::PROGRAMMED));
        }
    }
    if !invalid.is_empty() {
        return check.fail(format!("not accepted: {}", some(&invalid)), HINT);
    }
    if !waiting.is_empty() {
        return check.warn(format!("not in force everywhere: {}", some(&waiting)), HINT);
    }
    if !expired.is_empty() {
        return check.warn(
            format!("ended, and without effect: {}", some(&expired)),
            "delete them, or give them another expiresAt",
        );
    }
    if !policies.unseen.is_empty() {
        return check.unseen(&policies.unseen.join("; "));
    }
    if policies.all.is_empty() {
        return check.pass("there is no policy: sidecars monitor and block nothing");
    }
    if idle.is_empty() {
        return check.pass(format!("all {} are in force", policies.all.len()));
    }
    // A Job comes and goes, so that this is no warning; or it is a typing error in a selector.
    let in_force = policies.all.len() - idle.len();
    check.pass(format!("{in_force} are in force; {} select no running pod: {}", idle.len(), some(&idle)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::line::Outcome;
    use rasp_policy::api::{RaspException, RaspPolicy};

    use super::{interception, namespaces, pods, policies};
    use crate::fleet;
    use crate::standing::Standings;

    fn seen(namespaces: &[(&str, &str)], pods: &[(&str, &str)]) -> Vec<fleet::Namespace> {
        let namespaces: Vec<_> = namespaces
            .iter()
            .map(|(name, label)| json!({"metadata": {"name": name, "labels": {"rasp.dev/inject": label}}}))
            .collect();
        let pods: Vec<_> = pods
            .iter()
            .map(|(namespace, name)| {
                let containers = if name.starts_with("safe") { json!([{"name": "rasp-proxy", "image": "p:1"}]) } else { json!([]) };
                json!({"metadata": {"namespace": namespace, "name": name}, "spec": {"initContainers": containers}})
            })
            .collect();
        fleet::sort(&namespaces, &pods, None, |name| name == "kube-system")
    }

    #[test]
    fn unprotected_pods_are_named_and_fail() {
        let fleet = Ok(seen(&[("shop", "enabled")], &[("shop", "safe-1"), ("shop", "web-1")]));
        let line = pods(&fleet);
        assert_eq!(line.status, Outcome::Fail);
        assert!(
            line.message.starts_with("1 of 2 pods are NOT protected; unknown: shop/web-1"),
            "{}",
            line.message
        );
        let fleet = Ok(seen(&[("shop", "enabled")], &[("shop", "safe-1")]));
        assert_eq!(pods(&fleet).status, Outcome::Pass);
        assert_eq!(pods(&Err("forbidden".to_owned())).status, Outcome::Warn);
    }

    #[test]
    fn a_labelled_namespace_that_is_excluded_is_named() {
        let line = namespaces(
            &Ok(seen(&[("kube-system", "enabled"), ("shop", "enforced")], &[])),
            &["kube-system".to_owned()],
        );
        assert_eq!(line.status, Outcome::Warn);
        assert!(line.message.contains("kube-system get no sidecars"), "{}", line.message);
        for name in ["kube-system", "kube-node-lease", "kube-anything"] {
            assert!(
                super::super::is_excluded(&[], name),
                "{name}: as the operator excludes it by its prefix"
            );
        }
        let enforced = Ok(seen(&[("kube-system", "enforced")], &[]));
        assert_eq!(namespaces(&enforced, &["kube-system".to_owned()]).status, Outcome::Warn);
        assert_eq!(namespaces(&Ok(seen(&[("shop", "enforced")], &[])), &[]).status, Outcome::Pass);
        assert_eq!(namespaces(&Ok(vec![]), &[]).status, Outcome::Warn);
    }

    #[test]
    fn a_label_that_asks_for_nothing_by_a_typing_error_is_named() {
        let line = namespaces(&Ok(seen(&[("shop", "enforced"), ("typo", "true")], &[])), &[]);
        assert_eq!(line.status, Outcome::Warn);
        assert!(line.message.contains("asks for nothing: typo (true)"), "{}", line.message);
        let line = namespaces(&Ok(seen(&[("shop", "enforced"), ("off", "disabled")], &[])), &[]);
        assert_eq!(line.status, Outcome::Pass, "{}", line.message);
    }

    #[test]
    fn policies_that_are_not_in_force_are_told_by_their_conditions() {
        let policy = |conditions: serde_json::Value| -> RaspPolicy {
            serde_json::from_value(json!({
                "apiVersion": "rasp.dev/v1alpha1", "kind": "RaspPolicy",
                "metadata": {"namespace": "shop", "name": "a"}, "spec": {}, "status": {"conditions": conditions},
            }))
            .unwrap()
        };
        let condition = |kind: &str, status: &str, reason: &str| json!({"type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": "2026-11-26T00:00:00Z"});
        let table = [
            (json!([condition("Programmed", "True", "Programmed")]), Outcome::Pass, "all 1 are in force"),
            (
                json!([condition("Programmed", "Unknown", "NoTargets")]),
                Outcome::Pass,
                "select no running pod: shop/a",
            ),
            (
                json!([
                    condition("Programmed", "True", "Programmed"),
                    condition("ResolvedRefs", "False", "TargetNotFound")
                ]),
                Outcome::Warn,
                "shop/a (TargetNotFound)",
            ),
            (json!([condition("Programmed", "False", "Pending")]), Outcome::Warn, "shop/a (Pending)"),
            (json!([condition("Accepted", "False", "Invalid")]), Outcome::Fail, "shop/a (Invalid)"),
            (
                json!([
                    condition("Programmed", "True", "Programmed"),
                    condition("Degraded", "True", "Unprotected")
                ]),
                Outcome::Warn,
                "shop/a (Unprotected)",
            ),
            (
                json!([
                    condition("Programmed", "False", "SidecarTooOld"),
                    condition("Degraded", "True", "BundleRejected")
                ]),
                Outcome::Warn,
                "shop/a (SidecarTooOld)",
            ),
            (json!([]), Outcome::Warn, "shop/a (no status)"),
        ];
        for (conditions, expected, says) in table {
            let line = policies(&Standings { all: vec![policy(conditions).into()], unseen: vec![] });
            assert_eq!(line.status, expected, "{}", line.message);
            assert!(line.message.contains(says), "{}", line.message);
        }
        let exception = |reason: &str| -> RaspException {
            serde_json::from_value(json!({
                "apiVersion": "rasp.dev/v1alpha1", "kind": "RaspException", "metadata": {"namespace": "shop", "name": "e"},
                "spec": {"rule": "a", "reason": "r"}, "status": {"conditions": [condition("Accepted", "False", reason)]},
            }))
            .unwrap()
        };
        for (reason, expected, says) in [
            ("Expired", Outcome::Warn, "ended, and without effect: RaspException/shop/e"),
            ("PermanentNotAllowed", Outcome::Fail, "RaspException/shop/e (PermanentNotAllowed)"),
        ] {
            let line = policies(&Standings { all: vec![exception(reason).into()], unseen: vec![] });
            assert_eq!((line.status, line.message.contains(says)), (expected, true), "{}", line.message);
        }
        let unseen = Standings { all: vec![], unseen: vec!["RaspExceptions: forbidden".to_owned()] };
        assert_eq!(policies(&unseen).status, Outcome::Warn);
    }

    #[test]
    fn pods_that_can_be_reached_around_their_sidecars_are_named() {
        let mut fleet = seen(&[("shop", "enabled")], &[("shop", "safe-1"), ("shop", "safe-2")]);
        assert_eq!(interception(&Ok(fleet.clone())).status, Outcome::Pass);
        fleet[0].pods[1].interception = Some(rasp_policy::pod::Interception::None);
        let line = interception(&Ok(fleet));
        assert_eq!(line.status, Outcome::Warn);
        assert!(line.message.ends_with("weaker: shop/safe-2"), "{}", line.message);
    }
}
