//! Judges one request as the proxy has it judged: what of its head says what the body is, how much of the body is handed
//! over, and that an attack in the head is refused before the body is read. Pure.

use rasp_engine::{Body, BodyPlan, Head, Judgement, Outcome, Ruleset};
use rasp_policy::share::Share;

use super::file::Request;

/// The judgement over a request.
pub fn judge(ruleset: &Ruleset, request: &Request) -> Judgement {
    let enforced = is_enforced(&ruleset.effective().enforcement, request.enforced);
    let lines: &[(String, String)] = &request.headers;
    let (content_type, content_encoding) = (media_type(lines), encoding(lines));
    let head = Head {
        method: &request.method,
        target: request.target.as_bytes(),
        content_type: content_type.as_deref().map(str::as_bytes),
        content_encoding: content_encoding.as_deref().map(str::as_bytes),
        fields: &lines,
    };
    let mut inspection = ruleset.inspect_head(&head);
    let body = request.body();
    if body.is_empty() {
        return ruleset.decide_in(inspection, enforced);
    }
    if enforced && ruleset.enforces() && !inspection.findings().is_empty() {
        let early = ruleset.decide_in(inspection.clone(), enforced);
        if matches!(early.outcome, Outcome::Refuse(_)) {
            return early;
        }
    }
    let body = match ruleset.body_plan(&head) {
        BodyPlan::Skip => Body::Opaque,
        BodyPlan::Window(limit) | BodyPlan::Messages(limit) => match body.get(..limit) {
            Some(window) if body.len() > limit => Body::Truncated(window),
            _ => Body::Complete(body),
        },
    };
    ruleset.inspect_body(&head, body, &mut inspection);
    ruleset.decide_in(inspection, enforced)
}

/// Which clients are in the share depends on the UID of the policy, which no file knows: the request says on which side it is.
fn is_enforced(share: &Share, asked: Option<bool>) -> bool {
    share.is_all() || asked.unwrap_or(true) && share.percent > 0
}

fn values<'a>(lines: &'a [(String, String)], wanted: &'a str) -> impl Iterator<Item = &'a str> {
    lines.iter().filter(move |(name, _)| name == wanted).map(|(_, value)| value.as_str())
}

/// The one type that all of `Content-Type` agrees on, as the proxy reads it; none leaves the type to the body itself.
fn media_type(lines: &[(String, String)]) -> Option<String> {
    let first = values(lines, "content-type").next()?;
    let mut essences = values(lines, "content-type")
        .flat_map(elements)
        .map(|element| element.split(';').next().unwrap_or_default().trim());
    let essence = essences.next()?;
    essences.all(|other| other.eq_ignore_ascii_case(essence)).then(|| first.to_owned())
}

/// The encodings that change the body, of all lines of `Content-Encoding`.
fn encoding(lines: &[(String, String)]) -> Option<String> {
    let changing: Vec<&str> = values(lines, "content-encoding")
        .flat_map(elements)
        .filter(|element| !element.is_empty() && !element.eq_ignore_ascii_case("identity"))
        .collect();
    (!changing.is_empty()).then(|| changing.join(", "))
}

/// Elements between commas that are not part of a quoted parameter.
fn elements(line: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(move |char| {
        let ends = char == ',' && !quoted;
        quoted ^= char == '"' && !escaped;
        escaped = quoted && char == '\\' && !escaped;
        ends
    })
    .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::{encoding, media_type};

    #[test]
    fn the_head_says_of_the_body_what_the_proxy_reads() {
        let table: [(&[&str], Option<&str>); 6] = [
            (&[], None),
            (&["application/json"], Some("application/json")),
            (&["application/json", "Application/JSON; charset=utf-8"], Some("application/json")),
            (&["image/png", "application/json"], None),
            (&["image/png, application/json"], None),
            (
                &["multipart/form-data; boundary=\"a,b\\\",c\""],
                Some("multipart/form-data; boundary=\"a,b\\\",c\""),
            ),
        ];
        for (values, expected) in table {
            let lines: Vec<_> =
                values.iter().map(|value| ("content-type".to_owned(), (*value).to_owned())).collect();
            assert_eq!(media_type(&lines).as_deref(), expected, "{values:?}");
        }
        let lines = [
            ("content-encoding".to_owned(), "identity, gzip".to_owned()),
            ("content-encoding".to_owned(), "br".to_owned()),
        ];
        assert_eq!(encoding(&lines).as_deref(), Some("gzip, br"));
        assert_eq!(encoding(&lines[..0]), None);
    }
}
