//! Proposes an exception for a finding, as narrow as the event allows: one rule, in one parameter of one path, for ninety
//! days, with a reason that a person has to write. Pure.
//!
//! Never applies anything. What is masked in an event cannot be named: a masked segment ends the path with `*`.

use jiff::{SignedDuration, Timestamp};
use rasp_policy::api::Exception;

use super::event::Event;

/// How long a false positive may wait for its repair.
const DAYS: i64 = 90;
/// Longest name.
const LONGEST: usize = 63;

/// An exception for a finding, if it is one that an exception could be for.
pub fn propose(event: &Event, now: Timestamp) -> Option<Exception> {
    event.unmapped.class.as_ref()?;
    if event.unmapped.exception.is_some() {
        return None;
    }
    let location = event.unmapped.location.clone().unwrap_or_default();
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let end = now.checked_add(SignedDuration::from_hours(24 * DAYS)).ok();
    // At midnight, in the one form that a policy takes.
    let end = end.and_then(|end| end.to_string().get(..10).map(|day| format!("{day}T00:00:00Z")));
    let exception = Exception {
        name: name(&event.unmapped.rule, &location.name),
        rule: given(&event.unmapped.rule),
        class: None,
        path: event.http_request.url.path.as_deref().and_then(path),
        part: given(&location.part),
        parameter: given(&location.name),
        reason: format!("REVIEW: say why this is no attack (request {})", event.unmapped.request_id),
        expires_at: end,
    };
    exception.check().is_ok().then_some(exception)
}

/// A path as exceptions name it: up to the first segment that is masked.
fn path(masked: &str) -> Option<String> {
    let path = match masked.find('*') {
        Some(at) => format!("{}*", masked.get(..at)?),
        None => masked.to_owned(),
    };
    path.starts_with('/').then_some(path)
}

fn name(rule: &str, parameter: &str) -> String {
    let both = format!("{rule}-{parameter}").to_ascii_lowercase();
    let mut name = String::new();
    for char in both.chars() {
        if char.is_ascii_alphanumeric() {
            name.push(char);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    name.truncate(LONGEST);
    name.trim_end_matches('-').to_owned()
}

/// The exception as it is written into a policy.
pub fn yaml(exception: &Exception) -> anyhow::Result<String> {
    let item = serde_yaml::to_string(&[exception])?;
    let lines = item.lines().map(|line| format!("    {line}\n"));
    Ok(format!("spec:\n  exceptions:\n{}", lines.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rasp_policy::api::RaspPolicySpec;

    use super::super::event::{Event, Location, Url};
    use super::{propose, yaml};

    fn event(rule: &str, path: Option<&str>, part: &str, name: &str) -> Event {
        let mut event = Event::default();
        event.unmapped.class = Some("sql_injection".to_owned());
        event.unmapped.rule = rule.to_owned();
        event.unmapped.request_id = "r1".to_owned();
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
            (Some("/search"), "q", Some("/search"), Some("q"), "sqli-tautology-q"),
            (Some("/users/*/x"), "filter[a]", Some("/users/*"), Some("filter[a]"), "sqli-tautology-filter-a"),
            (Some("/*"), "A.B", Some("/*"), Some("A.B"), "sqli-tautology-a-b"),
            (None, "", None, None, "sqli-tautology"),
            (Some("*"), "q", None, Some("q"), "sqli-tautology-q"),
        ];
        for (found, parameter, path, expected, name) in table {
            let exception = propose(&event("sqli-tautology", found, "query", parameter), now).unwrap();
            assert_eq!(exception.path.as_deref(), path, "{found:?}");
            assert_eq!(exception.parameter.as_deref(), expected, "{parameter}");
            assert_eq!(exception.name, name);
            assert_eq!(exception.expires_at.as_deref(), Some("2027-02-24T00:00:00Z"));
            let text = yaml(&exception).unwrap();
            let spec = serde_yaml::from_str::<serde_yaml::Value>(&text).unwrap()["spec"].clone();
            let spec: RaspPolicySpec = serde_yaml::from_value(spec).unwrap();
            spec.check().unwrap();
            assert_eq!(spec.exceptions.unwrap(), [exception], "{text}");
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
        assert_eq!(propose(&event("not a rule", Some("/"), "query", "q"), now), None);
    }
}
