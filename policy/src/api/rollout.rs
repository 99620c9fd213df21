//! `spec.enforcement.rollout`: the share of `enforcement` in steps that the operator takes by itself, and how far it is.
//! The spec says what is wanted and is never edited; the step is in `status.rollout`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Steps of one rollout at most.
const MOST_STEPS: usize = 10;
/// Seconds that a step may last: sidecars report every five at the shortest.
const INTERVAL: std::ops::RangeInclusive<u32> = 10..=86_400;
/// Requests that a step is judged by at least, where nothing else is said.
const MIN_REQUESTS: u64 = 100;

/// The share in steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(
    feature = "crd",
    derive(kube::KubeSchema),
    x_kube(
        validation = ("self.steps.isSorted()", "steps have to rise"),
        validation = (
            "duration(self.interval) >= duration('10s') && duration(self.interval) <= duration('24h')",
            "interval is from 10s to 24h"
        )
    )
)]
pub struct Rollout {
    /// Requests of a hundred in which findings are refused, step by step, each more than the one before: 1 to 10 of them, from
    /// 1 to 100. The last one is where it stays.
    #[cfg_attr(
        feature = "crd",
        schemars(
            length(min = 1, max = 10),
            inner(range(min = 1, max = 100)),
            extend("x-kubernetes-list-type" = "set")
        )
    )]
    pub steps: Vec<i32>,
    /// How long each step is watched, from the moment when every sidecar has it in force: 10s to 24h, such as 30m or 1h30m.
    #[cfg_attr(feature = "crd", schemars(length(max = 18), regex(pattern = r"^([0-9]{1,5}(h|m|s)){1,3}$")))]
    pub interval: String,
    /// What ends the rollout: then nothing is blocked any more, until the policy is changed.
    pub abort_on: AbortOn,
}

/// What ends a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(
    feature = "crd",
    derive(kube::KubeSchema),
    x_kube(validation = (
        "has(self.blockRatio) || has(self.errorRatio)",
        "set blockRatio, errorRatio or both"
    ))
)]
pub struct AbortOn {
    /// More blocked requests than this, of those in the share, 0 to 1: 0.05 is one in twenty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_ratio: Option<Ratio>,
    /// More requests than this, of those in the share, that the sidecar itself refused for another reason than a finding, or failed
    /// to inspect; 0 to 1. Answers of the application do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_ratio: Option<Ratio>,
    /// Requests in the share that a step needs before it is judged, 1 to 1000000. Until then the rollout waits, however long
    /// that takes. Built-in: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(range(min = 1, max = 1_000_000)))]
    pub min_requests: Option<i32>,
}

/// A part of a whole, in millionths, so that two sides that compare it agree. Written as a number from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio(u32);

impl Ratio {
    const WHOLE: u32 = 1_000_000;

    /// Whether `part` of `whole` is more than this. Nothing of nothing is not.
    pub fn is_exceeded(self, part: u64, whole: u64) -> bool {
        u128::from(part) * u128::from(Self::WHOLE) > u128::from(self.0) * u128::from(whole)
    }
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (f64::from(self.0) / f64::from(Self::WHOLE)).fmt(f)
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / f64::from(Self::WHOLE))
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ratio = f64::deserialize(deserializer)?;
        if !(0.0..=1.0).contains(&ratio) {
            return Err(serde::de::Error::custom(format_args!("{ratio} is no ratio; use 0 to 1")));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to a million, as was just checked"
        )]
        let millionths = (ratio * f64::from(Self::WHOLE)).round() as u32;
        Ok(Self(millionths))
    }
}

#[cfg(feature = "crd")]
impl schemars::JsonSchema for Ratio {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Ratio".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "number", "minimum": 0, "maximum": 1 })
    }
}

impl AbortOn {
    /// Requests in the share that a step needs before it is judged.
    pub fn least(&self) -> u64 {
        self.min_requests.and_then(|least| u64::try_from(least).ok()).unwrap_or(MIN_REQUESTS)
    }
}

impl Rollout {
    /// Seconds that each step is watched.
    pub fn seconds(&self) -> u32 {
        seconds(&self.interval).unwrap_or(*INTERVAL.end())
    }

    /// The share of a step, counted from 1. Beyond the last one it stays.
    pub fn percent(&self, step: i32) -> i32 {
        let index = usize::try_from(step.saturating_sub(1)).unwrap_or(0);
        self.steps.get(index).or(self.steps.last()).copied().unwrap_or(0)
    }

    /// How many steps there are.
    pub fn count(&self) -> i32 {
        i32::try_from(self.steps.len()).unwrap_or(i32::MAX)
    }

    /// What the schema says, for readers that no API server protects.
    pub(super) fn check(&self) -> Result<(), String> {
        let path = "spec.enforcement.rollout";
        if !(1..=MOST_STEPS).contains(&self.steps.len()) {
            return Err(format!("{path}.steps has {} items; use 1 to {MOST_STEPS}", self.steps.len()));
        }
        if let Some(step) = self.steps.iter().find(|step| !(1..=100).contains(*step)) {
            return Err(format!("{path}.steps has {step}; use 1 to 100"));
        }
        if self.steps.windows(2).any(|pair| pair.first() >= pair.last()) {
            return Err(format!("{path}.steps have to rise"));
        }
        if !seconds(&self.interval).is_some_and(|seconds| INTERVAL.contains(&seconds)) {
            return Err(format!("{path}.interval is not from 10s to 24h, such as 30m"));
        }
        if self.abort_on.block_ratio.is_none() && self.abort_on.error_ratio.is_none() {
            return Err(format!("{path}.abortOn is empty: set blockRatio, errorRatio or both"));
        }
        if let Some(least) = self.abort_on.min_requests.filter(|least| !(1..=1_000_000).contains(least)) {
            return Err(format!("{path}.abortOn.minRequests is {least}; use 1 to 1000000"));
        }
        Ok(())
    }
}

/// Of a duration as the API of Kubernetes writes them (GEP-2257), in whole seconds.
fn seconds(text: &str) -> Option<u32> {
    let (mut rest, mut sum, mut groups) = (text, 0_u32, 0);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at_checked(digits).filter(|_| digits <= 5)?;
        let unit = match tail.bytes().next()? {
            b'h' => 3600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        sum = number.parse::<u32>().ok()?.checked_mul(unit)?.checked_add(sum)?;
        (rest, groups) = (tail.get(1..)?, groups + 1);
    }
    (1..=3).contains(&groups).then_some(sum)
}

/// How far a rollout is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
pub struct RolloutStatus {
    /// The generation of the spec that is rolled out. Another one starts anew.
    #[cfg_attr(feature = "crd", schemars(range(min = 0)))]
    pub generation: i64,
    /// Progressing, Completed, or RolledBack.
    pub phase: RolloutPhase,
    /// The step that it is at, or ended at, counted from 1.
    #[cfg_attr(feature = "crd", schemars(range(min = 0)))]
    pub step: i32,
    /// How many steps the spec has.
    #[cfg_attr(feature = "crd", schemars(range(min = 0)))]
    pub steps: i32,
    /// The share that the Bundle asks for: that of the step, 0 after a rollback.
    #[cfg_attr(feature = "crd", schemars(range(min = 0)))]
    pub percent: i32,
    /// What it waits for, or how it ended: one word from a closed list.
    #[cfg_attr(feature = "crd", schemars(length(max = 64)))]
    pub reason: String,
    /// The same as a sentence, with numbers.
    #[cfg_attr(feature = "crd", schemars(length(max = 4096)))]
    pub message: String,
    /// When this generation began, RFC 3339.
    #[cfg_attr(feature = "crd", schemars(extend("format" = "date-time")))]
    pub started_at: String,
    /// When every sidecar had this step in force, RFC 3339. The interval runs from here; absent until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(extend("format" = "date-time")))]
    pub step_started_at: Option<String>,
    /// Requests that sidecars judged while this step was in force there.
    #[cfg_attr(feature = "crd", schemars(range(min = 0)))]
    pub requests: i64,
    /// Of these, requests in the share.
    #[cfg_attr(feature = "crd", schemars(range(min = 0)))]
    pub enforced: i64,
    /// Of those in the share, requests that were refused for a finding.
    #[cfg_attr(feature = "crd", schemars(range(min = 0)))]
    pub blocked: i64,
    /// Of those outside of the share, requests that would have been.
    #[cfg_attr(feature = "crd", schemars(range(min = 0)))]
    pub would_block: i64,
    /// Of those in the share, requests that the sidecar refused for another reason, or failed to inspect.
    #[cfg_attr(feature = "crd", schemars(range(min = 0)))]
    pub errors: i64,
}

/// Where a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema), schemars(transform = crate::crd::undescribed))]
pub enum RolloutPhase {
    /// Between its first step and its end.
    Progressing,
    /// The last step held.
    Completed,
    /// A step did not hold: nothing is blocked until the policy is changed.
    RolledBack,
}

#[cfg(test)]
mod tests {
    use super::{Ratio, Rollout, seconds};

    #[test]
    fn a_rollout_rises_lasts_and_says_what_ends_it() {
        let ends = "abortOn: {errorRatio: 0}";
        let table = [
            (format!("{{steps: [5, 25, 100], interval: 10m, {ends}}}"), ""),
            (format!("{{steps: [1], interval: 10s, {ends}}}"), ""),
            (
                "{steps: [50], interval: 1h30m, abortOn: {blockRatio: 0.05, errorRatio: 1, minRequests: 1}}"
                    .into(),
                "",
            ),
            (format!("{{steps: [], interval: 10m, {ends}}}"), ".steps has 0 items"),
            (format!("{{steps: [1,2,3,4,5,6,7,8,9,10,11], interval: 10m, {ends}}}"), ".steps has 11 items"),
            (format!("{{steps: [0, 5], interval: 10m, {ends}}}"), ".steps has 0; use 1"),
            (format!("{{steps: [5, 101], interval: 10m, {ends}}}"), ".steps has 101; use 1"),
            (format!("{{steps: [5, 5], interval: 10m, {ends}}}"), ".steps have to rise"),
            (format!("{{steps: [25, 5], interval: 10m, {ends}}}"), ".steps have to rise"),
            (format!("{{steps: [5], interval: 9s, {ends}}}"), ".interval is not from 10s"),
            (format!("{{steps: [5], interval: 25h, {ends}}}"), ".interval is not from 10s"),
            ("{steps: [5], interval: 10m, abortOn: {}}".into(), ".abortOn is empty"),
            (
                "{steps: [5], interval: 10m, abortOn: {errorRatio: 0, minRequests: 0}}".into(),
                ".abortOn.minRequests is 0",
            ),
        ];
        for (yaml, expected) in table {
            let said = serde_yaml::from_str::<Rollout>(&yaml).unwrap().check().err().unwrap_or_default();
            let said = said.strip_prefix("spec.enforcement.rollout").unwrap_or(&said);
            assert!(said.starts_with(expected) && expected.is_empty() == said.is_empty(), "{yaml}: {said}");
        }
        let refused = serde_yaml::from_str::<Ratio>("1.5").unwrap_err().to_string();
        assert!(refused.contains("1.5 is no ratio; use 0 to 1"), "{refused}");
        assert!(serde_yaml::from_str::<Ratio>(".nan").is_err());
    }

    #[test]
    fn a_ratio_is_exact_and_stays_as_it_was_written() {
        for text in ["0.0", "0.05", "0.0001", "0.333333", "1.0"] {
            let ratio: Ratio = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&ratio).unwrap(), text);
        }
        let twentieth: Ratio = serde_json::from_str("0.05").unwrap();
        let table = [(0, 0, false), (5, 100, false), (6, 100, true), (1, 19, true), (1, 20, false)];
        for (part, whole, expected) in table {
            assert_eq!(twentieth.is_exceeded(part, whole), expected, "{part} of {whole}");
        }
        assert!(twentieth.is_exceeded(u64::MAX, u64::MAX), "what a sidecar makes up does not overflow");
        let none: Ratio = serde_json::from_str("0").unwrap();
        assert!(none.is_exceeded(1, 1_000_000) && !none.is_exceeded(0, 1_000_000));
    }

    #[test]
    fn durations_are_those_of_kubernetes() {
        let table = [
            ("10s", Some(10)),
            ("10m", Some(600)),
            ("1h30m5s", Some(5405)),
            ("99999h", Some(359_996_400)),
            ("", None),
            ("10", None),
            ("s", None),
            ("1d", None),
            ("-1s", None),
            ("1.5h", None),
            ("100000s", None),
            ("1s1s1s1s", None),
        ];
        for (text, expected) in table {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
