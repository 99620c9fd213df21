//! `spec.enforcement`: Block for a share of requests, the same requests each time.

use serde::{Deserialize, Serialize};

use super::Rollout;

use crate::share::Share;
use crate::token::is_token;

/// The share of requests for which Block is Block, and not Monitor. Of policies with the same precedence the oldest says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(
    feature = "crd",
    derive(kube::KubeSchema),
    x_kube(
        validation = ("has(self.percent) != has(self.rollout)", "set either percent or rollout"),
        validation = (
            "has(self.header) == (has(self.hashOn) && self.hashOn == 'Header')",
            "header is the name of the field that hashOn: Header reads: set both or none"
        ),
        validation = (
            "has(self.cookie) == (has(self.hashOn) && self.hashOn == 'Cookie')",
            "cookie is the name of the cookie that hashOn: Cookie reads: set both or none"
        )
    )
)]
pub struct Enforcement {
    /// Clients of a hundred for which Block is in force, 0 to 100. Who is blocked at 10 is blocked at 25 as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(range(min = 0, max = 100)))]
    pub percent: Option<i32>,
    /// The same in steps, which the operator takes as long as they hold; set either. Of a RaspPolicy only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// What clients are told apart by, so that each is on one side every time. A client chooses its headers and cookies,
    /// and by them whether it is blocked. Built-in: ClientIP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash_on: Option<HashOn>,
    /// Name of the header, with hashOn Header. A request without it, or with several, is in the share that is blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "crd",
        schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"))
    )]
    pub header: Option<String>,
    /// Name of the cookie, with hashOn Cookie. A request without it, or with several, is in the share that is blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "crd",
        schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"))
    )]
    pub cookie: Option<String>,
}

/// What requests are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema), schemars(transform = crate::crd::undescribed))]
pub enum HashOn {
    /// The address of the client, behind trusted proxies.
    #[serde(rename = "ClientIP")]
    ClientIp,
    /// The value of a header.
    Header,
    /// The value of a cookie.
    Cookie,
}

impl Enforcement {
    /// The share: of a rollout whose step nobody says, its first.
    pub fn at(&self) -> i32 {
        self.percent.unwrap_or_else(|| self.rollout.as_ref().map_or(100, |rollout| rollout.percent(1)))
    }

    /// What the schema says, for readers that no API server protects.
    pub fn check(&self) -> Result<(), String> {
        match (self.percent, &self.rollout) {
            (Some(percent), None) if (0..=100).contains(&percent) => {}
            (Some(percent), None) => {
                return Err(format!("spec.enforcement.percent is {percent}; use 0 to 100"));
            }
            (None, Some(rollout)) => rollout.check()?,
            (None, None) => return Err("spec.enforcement.percent and rollout are missing: set either".into()),
            (Some(_), Some(_)) => {
                return Err("spec.enforcement.percent is set beside rollout: set either".into());
            }
        }
        let names = [
            ("header", "Header", HashOn::Header, &self.header),
            ("cookie", "Cookie", HashOn::Cookie, &self.cookie),
        ];
        for (field, word, hash_on, name) in names {
            if name.is_some() != (self.hash_on == Some(hash_on)) {
                return Err(format!(
                    "spec.enforcement.{field} is the name that hashOn: {word} reads: set both or none"
                ));
            }
            if name.as_ref().is_some_and(|name| !is_name(name)) {
                return Err(format!(
                    "spec.enforcement.{field} is not a name; use 1 to 128 letters, digits, and signs such as - or _"
                ));
            }
        }
        Ok(())
    }

    /// What whoever writes it should know, for the condition Accepted and for Warnings of the API server: a part of a sentence.
    /// `None` where clients cannot choose, or where nobody is left out.
    pub fn caution(&self) -> Option<String> {
        let share = Share::of(self, "");
        (share.key.is_chosen_by_clients() && !share.is_all()).then(|| {
            format!(
                "clients choose the {}, and by it whether they are blocked: this is for a rollout, not for protection",
                share.key.describe()
            )
        })
    }
}

/// The name of a field or of a cookie.
fn is_name(name: &str) -> bool {
    name.len() <= 128 && is_token(name)
}

#[cfg(test)]
mod tests {
    use super::Enforcement;

    #[test]
    fn a_share_is_a_percentage_and_names_what_it_reads() {
        let table = [
            ("{percent: 0}", ""),
            ("{percent: 100, hashOn: ClientIP}", ""),
            ("{percent: 10, hashOn: Header, header: X-User}", ""),
            ("{percent: 10, hashOn: Cookie, cookie: session}", ""),
            ("{rollout: {steps: [5, 100], interval: 10m, abortOn: {errorRatio: 0}}, hashOn: ClientIP}", ""),
            ("{hashOn: ClientIP}", "spec.enforcement.percent and rollout are missing"),
            (
                "{percent: 5, rollout: {steps: [5], interval: 10m, abortOn: {errorRatio: 0}}}",
                "spec.enforcement.percent is set beside rollout",
            ),
            (
                "{rollout: {steps: [5, 5], interval: 10m, abortOn: {errorRatio: 0}}}",
                "spec.enforcement.rollout.steps have to rise",
            ),
            ("{percent: 101}", "spec.enforcement.percent is 101"),
            ("{percent: -1}", "spec.enforcement.percent is -1"),
            ("{percent: 10, hashOn: Header}", "spec.enforcement.header is the name"),
            ("{percent: 10, header: x-user}", "spec.enforcement.header is the name"),
            ("{percent: 10, hashOn: Cookie, cookie: a, header: b}", "spec.enforcement.header is the name"),
            ("{percent: 10, hashOn: Cookie}", "spec.enforcement.cookie is the name"),
            ("{percent: 10, hashOn: Header, header: 'a b'}", "spec.enforcement.header is not a name"),
            ("{percent: 10, hashOn: Cookie, cookie: ''}", "spec.enforcement.cookie is not a name"),
        ];
        for (yaml, expected) in table {
            let said = serde_yaml::from_str::<Enforcement>(yaml).unwrap().check().err().unwrap_or_default();
            assert!(said.starts_with(expected) && expected.is_empty() == said.is_empty(), "{yaml}: {said}");
        }
    }

    #[test]
    fn who_lets_clients_choose_is_told_so() {
        let table = [
            ("{percent: 10}", None),
            ("{percent: 10, hashOn: ClientIP}", None),
            ("{percent: 10, hashOn: Header, header: X-User}", Some("clients choose the header x-user, and")),
            ("{percent: 0, hashOn: Cookie, cookie: Sid}", Some("clients choose the cookie Sid, and")),
            ("{percent: 100, hashOn: Cookie, cookie: sid}", None),
        ];
        for (yaml, expected) in table {
            let said = serde_yaml::from_str::<Enforcement>(yaml).unwrap().caution();
            let starts = |said: &str| expected.is_some_and(|expected| said.starts_with(expected));
            assert!(said.as_deref().map_or(expected.is_none(), starts), "{yaml}: {said:?}");
        }
    }
}
