//! Proposes a RaspException for a finding, as narrow as the event allows: one rule, in one place of one path, in the pods of one
//! workload, for thirty days, with a reason that a person has to write. Pure.
//!
//! Never applies anything, and never proposes what is for every path or every value. What is masked in an event cannot be
//! named: a masked segment ends the path with `*`.

use jiff::{SignedDuration, Timestamp};
use kube::api::ObjectMeta;
use rasp_policy::api::{RaspException, RaspExceptionSpec, TargetKind, TargetRef};

use super::event::Event;

/// How long a false positive may wait for its repair.
const DAYS: i64 = 30;
/// Longest name.
const LONGEST: usize = 63;

/// An exception for a finding, or why none is proposed; `None` where the finding is not one that an exception could be for.
pub fn propose(event: &Event, now: Timestamp) -> Option<Result<RaspException, &'static str>> {
    event.unmapped.class.as_ref()?;
    if event.unmapped.exception.is_some() {
        return None;
    }
    Some(narrow(event, now))
}

fn narrow(event: &Event, now: Timestamp) -> Result<RaspException, &'static str> {
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let unmapped = &event.unmapped;
    let path = event.http_request.url.path.as_deref().and_then(path);
    let path =
        path.ok_or("the event does not show the path, and an exception without one is for every path")?;
    if path == "/*" {
        return Err(
            "the first segment of the path is masked, and an exception with what is left is for every path",
        );
    }
    let location = unmapped.location.clone().unwrap_or_default();
    if location.part.is_empty() {
        return Err(
            "the event does not say where it was found, and an exception without that is for every value",
        );
    }
    if location.name.contains('*') {
        return Err(
            "the name of the parameter has a * in it, which in an exception stands for any name that begins so",
        );
    }
    let end = now.checked_add(SignedDuration::from_hours(24 * DAYS)).ok();
    // At midnight, in the one form that a policy takes.
    let end = end.and_then(|end| end.to_string().get(..10).map(|day| format!("{day}T00:00:00Z")));
    let spec = RaspExceptionSpec {
        pod_selector: None,
        target_refs: unmapped.workload.as_deref().and_then(target).map(|target| vec![target]),
        rule: given(&unmapped.rule),
        class: None,
        path: given(&path),
        part: given(&location.part),
        parameter: given(&location.name),
        reason: format!("review: say why this is no attack (request {})", unmapped.request_id),
        expires_at: Some(end.ok_or("the clock of this machine is wrong")?),
    };
    spec.check().map_err(|_| "what the event says is not what an exception can name")?;
    let metadata = ObjectMeta {
        name: Some(name(&[&unmapped.rule, &path, &location.name])),
        namespace: unmapped.namespace.clone(),
        ..ObjectMeta::default()
    };
    Ok(RaspException { metadata, spec, status: None })
}

/// The workload of the pod, where policies can name it.
fn target(workload: &str) -> Option<TargetRef> {
    let (kind, name) = workload.split_once('/')?;
    let kinds = [TargetKind::Deployment, TargetKind::StatefulSet, TargetKind::DaemonSet];
    let kind = kinds.into_iter().find(|known| known.as_str() == kind)?;
    Some(TargetRef { group: Some("apps".to_owned()), kind, name: name.to_owned(), section_name: None })
}

/// A path as exceptions name it: up to the first segment that is masked.
fn path(masked: &str) -> Option<String> {
    let path = match masked.find('*') {
        Some(at) => format!("{}*", masked.get(..at)?),
        None => masked.to_owned(),
    };
    path.starts_with('/').then_some(path)
}

/// A name of an object, which two findings in different places seldom share.
fn name(parts: &[&str]) -> String {
    let all = parts.join("-").to_ascii_lowercase();
    let mut name = String::new();
    for char in all.chars() {
        if char.is_ascii_alphanumeric() {
            name.push(char);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    name.truncate(LONGEST);
    name.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rasp_policy::document;

    use super::super::event::{Event, Location, Url};
    use super::propose;

    fn event(rule: &str, path: Option<&str>, part: &str, name: &str) -> Event {
        let mut event = Event::default();
        event.unmapped.class = Some("sql_injection".to_owned());
        event.unmapped.rule = rule.to_owned();
        event.unmapped.request_id = "r1".to_owned();
        event.unmapped.namespace = Some("shop".to_owned());
        event.unmapped.workload = Some("Deployment/web".to_owned());
        event.unmapped.location =
            Some(Location { part: part.to_owned(), name: name.to_owned(), ..Location::default() });
        event.http_request.url = Url { path: path.map(ToOwned::to_owned) };
        event
    }

    #[test]
    fn an_exception_is_as_narrow_as_the_event_allows_and_is_one() {
        let now: Timestamp = "2026-11-26T13:00:00Z".parse().unwrap();
        let table = [
            // path of the event, parameter; path, parameter and name of the exception
            ("/search", "q", "/search", Some("q"), "sqli-tautology-search-q"),
            ("/users/*/x", "filter[a]", "/users/*", Some("filter[a]"), "sqli-tautology-users-filter-a"),
            ("/a/b", "", "/a/b", None, "sqli-tautology-a-b"),
        ];
        for (found, parameter, path, expected, name) in table {
            let exception =
                propose(&event("sqli-tautology", Some(found), "query", parameter), now).unwrap().unwrap();
            assert_eq!(exception.spec.path.as_deref(), Some(path), "{found:?}");
            assert_eq!(exception.spec.parameter.as_deref(), expected, "{parameter}");
            assert_eq!(exception.metadata.name.as_deref(), Some(name));
            assert_eq!(exception.spec.expires_at.as_deref(), Some("2026-12-26T00:00:00Z"));
            let text = serde_yaml::to_string(&exception).unwrap();
            let objects = document::read(&text).unwrap();
            let document::Spec::Exception(spec) = &objects[0].spec else { panic!("{text}") };
            assert_eq!((**spec).clone(), exception.spec, "{text}");
            assert_eq!(spec.target_refs.as_ref().unwrap()[0].text(), "Deployment/web");
            assert!(text.contains("namespace: shop"), "{text}");
        }
        let mut bare = event("sqli-tautology", Some("/"), "query", "q");
        bare.unmapped.workload = Some("Job/web".to_owned());
        assert_eq!(propose(&bare, now).unwrap().unwrap().spec.target_refs, None);
    }

    #[test]
    fn what_would_be_for_every_path_or_every_value_is_not_proposed() {
        let now = Timestamp::UNIX_EPOCH;
        for (path, part, name, says) in [
            (None, "query", "q", "the path"),
            (Some("*"), "query", "q", "the path"),
            (Some("/*"), "query", "q", "first segment"),
            (Some("/a"), "", "q", "where it was found"),
            (Some("/a"), "query", "q*", "a * in it"),
            (Some("/a"), "Query", "q", "can name"),
        ] {
            let said = propose(&event("sqli-tautology", path, part, name), now).unwrap().unwrap_err();
            assert!(said.contains(says), "{path:?} {part} {name}: {said}");
        }
    }

    #[test]
    fn what_no_exception_could_be_for_gets_none() {
        let now = Timestamp::UNIX_EPOCH;
        let mut refused = event("request_syntax", Some("/"), "", "");
        refused.unmapped.class = None;
        assert_eq!(propose(&refused, now), None);
        let mut excepted = event("sqli-tautology", Some("/"), "query", "q");
        excepted.unmapped.exception = Some("shop/known".to_owned());
        assert_eq!(propose(&excepted, now), None);
    }
}
