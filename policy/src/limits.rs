//! The limits and timers of a sidecar that people may change: names, units and ranges, and the one line that sets them.
//!
//! The line is written in an annotation, checked by injection, and read by the proxy, which has the defaults. A typo must
//! not become a limit that is silently not there, so everything that is not understood is an error.

use std::str::FromStr;

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds, written `300ms`, `5s`, `2m` or `1h`.
    Time,
    /// Bytes, written `4096`, `32Ki` or `1Mi`.
    Bytes,
    /// A number.
    Count,
}

/// One limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Its name.
    pub key: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// Lowest value, in milliseconds, bytes or pieces.
    pub least: u64,
    /// Highest value.
    pub most: u64,
    /// Whether `off` is a value, which is 0.
    pub may_be_off: bool,
}

const DAY: u64 = 24 * 3_600_000;

const fn time(key: &'static str) -> Limit {
    Limit { key, unit: Unit::Time, least: 100, most: DAY, may_be_off: false }
}

const fn optional_time(key: &'static str) -> Limit {
    Limit { may_be_off: true, ..time(key) }
}

const fn bytes(key: &'static str, least: u64, most: u64) -> Limit {
    Limit { key, unit: Unit::Bytes, least, most, may_be_off: false }
}

const fn count(key: &'static str, least: u64, most: u64) -> Limit {
    Limit { key, unit: Unit::Count, least, most, may_be_off: false }
}

/// Every limit.
pub const LIMITS: [Limit; 47] = [
    time("timeout-first-byte"),
    time("timeout-head"),
    time("timeout-body-idle"),
    time("timeout-held-body"),
    optional_time("timeout-response-head"),
    optional_time("timeout-stream-idle"),
    time("timeout-untaken-stream"),
    time("timeout-ping"),
    optional_time("timeout-keep-alive-idle"),
    optional_time("timeout-opaque-idle"),
    time("timeout-tls-handshake"),
    time("timeout-connect"),
    Limit { may_be_off: true, ..bytes("body-rate", 1, 1 << 30) },
    count("connections", 1, 10_000),
    count("in-flight", 1, 100_000),
    bytes("held-bodies", 1 << 20, 1 << 30),
    Limit { least: 1, most: 10_000, ..optional_time("inspection-time") },
    count("inspection-failures", 1, 1_000),
    count("workers", 1, 64),
    bytes("head", 4 << 10, 256 << 10),
    count("head-fields", 10, 1_000),
    bytes("field-name", 16, 1 << 10),
    bytes("field-value", 256, 64 << 10),
    bytes("target", 256, 32 << 10),
    bytes("method", 8, 256),
    count("blank-lines", 0, 16),
    bytes("chunk-extension", 0, 4 << 10),
    count("chunk-digits", 4, 16),
    bytes("trailer", 256, 64 << 10),
    count("trailer-fields", 1, 1_000),
    bytes("response-head", 8 << 10, 1 << 20),
    count("response-fields", 10, 1_000),
    bytes("response-status-line", 256, 64 << 10),
    count("response-interim", 0, 100),
    bytes("response-trailer", 256, 64 << 10),
    count("http2-streams", 1, 1_000),
    bytes("http2-stream-window", 16 << 10, 16 << 20),
    bytes("http2-connection-window", 64 << 10, 64 << 20),
    count("http2-settings", 10, 1_000_000),
    count("http2-pings", 10, 1_000_000),
    count("http2-priorities", 10, 1_000_000),
    count("http2-window-updates", 100, 1_000_000),
    count("http2-unknown", 10, 1_000_000),
    count("http2-resets", 10, 1_000_000),
    count("http2-empty", 10, 1_000_000),
    Limit { may_be_off: true, ..bytes("websocket-message", 125, 1 << 30) },
    Limit { may_be_off: true, ..count("websocket-rate", 1, 1_000_000) },
];

impl Limit {
    /// The limit of this name.
    pub fn find(key: &str) -> Option<&'static Self> {
        LIMITS.iter().find(|limit| limit.key == key)
    }

    /// A value as it is written.
    pub fn show(&self, value: u64) -> String {
        let steps: &[(u64, &str)] = match self.unit {
            _ if self.may_be_off && value == 0 => return "off".to_owned(),
            Unit::Time => &[(3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")],
            Unit::Bytes => &[(1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki"), (1, "")],
            Unit::Count => &[(1, "")],
        };
        let fits = steps.iter().find(|(size, _)| value.is_multiple_of(*size) && value >= *size);
        fits.map_or_else(|| value.to_string(), |(size, unit)| format!("{}{unit}", value / size))
    }

    fn read(&self, text: &str) -> Result<u64, Problem> {
        if text == "off" && self.may_be_off {
            return Ok(0);
        }
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let size = match (self.unit, unit) {
            (Unit::Time, "ms") | (Unit::Bytes | Unit::Count, "") => 1,
            (Unit::Time, "s") => 1000,
            (Unit::Time, "m") => 60_000,
            (Unit::Time, "h") => 3_600_000,
            (Unit::Bytes, "Ki") => 1 << 10,
            (Unit::Bytes, "Mi") => 1 << 20,
            (Unit::Bytes, "Gi") => 1 << 30,
            _ => return Err(Problem::Form(self.unit)),
        };
        let number: u64 = number.parse().map_err(|_| Problem::Form(self.unit))?;
        let value = number.saturating_mul(size);
        if (self.least..=self.most).contains(&value) {
            return Ok(value);
        }
        let off = if self.may_be_off { ", or off" } else { "" };
        Err(Problem::Range(format!("{} to {}{off}", self.show(self.least), self.show(self.most))))
    }
}

/// One limit and what it is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The limit.
    pub limit: &'static Limit,
    /// Milliseconds, bytes or pieces; 0 is off.
    pub value: u64,
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is no value of its unit.
    #[error("{}", match .0 {
        Unit::Time => "write a time such as 300ms, 5s, 2m or 1h",
        Unit::Bytes => "write bytes such as 4096, 32Ki or 1Mi",
        Unit::Count => "write a number",
    })]
    Form(Unit),
    /// It is too low or too high.
    #[error("use {0}")]
    Range(String),
}

/// What is wrong with a line of limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An element is no `KEY=VALUE`.
    #[error(
        "element {0} is no KEY=VALUE: write them with commas between them, e.g. timeout-head=5s,in-flight=500"
    )]
    Element(usize),
    /// There is no such limit.
    #[error("element {0} names no limit: docs/limits.md lists them all")]
    Unknown(usize),
    /// A limit is set twice.
    #[error("{0} is set twice: leave one out")]
    Twice(&'static str),
    /// A value is not understood or out of range.
    #[error("{key}: {problem}")]
    Value {
        /// The limit.
        key: &'static str,
        /// What is wrong with its value, and what to do.
        problem: Problem,
    },
}

/// Limits that were set, in the order of the line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignments(pub Vec<Assignment>);

impl Assignments {
    /// The line that sets them.
    pub fn to_text(&self) -> String {
        let each = self.0.iter().map(|set| format!("{}={}", set.limit.key, set.limit.show(set.value)));
        each.collect::<Vec<_>>().join(",")
    }
}

impl FromStr for Assignments {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self, Error> {
        let mut set: Vec<Assignment> = Vec::new();
        if line.trim().is_empty() {
            return Ok(Self(set));
        }
        for (number, element) in (1..).zip(line.split(',')) {
            let (key, value) = element.split_once('=').ok_or(Error::Element(number))?;
            let limit = Limit::find(key.trim()).ok_or(Error::Unknown(number))?;
            if set.iter().any(|known| known.limit == limit) {
                return Err(Error::Twice(limit.key));
            }
            let value =
                limit.read(value.trim()).map_err(|problem| Error::Value { key: limit.key, problem })?;
            set.push(Assignment { limit, value });
        }
        Ok(Self(set))
    }
}

#[cfg(test)]
mod tests {
    use super::{Assignments, LIMITS};

    #[test]
    fn a_line_sets_limits_and_is_written_as_it_was_read() {
        for line in
            ["", "timeout-head=5s", "in-flight=500,held-bodies=32Mi,timeout-response-head=off,body-rate=1500"]
        {
            assert_eq!(line.parse::<Assignments>().unwrap().to_text(), line);
        }
        let spaced: Assignments = " timeout-connect = 300ms , workers=2 ".parse().unwrap();
        assert_eq!(spaced.to_text(), "timeout-connect=300ms,workers=2");
        assert_eq!(spaced.0[0].value, 300);
    }

    #[test]
    fn what_is_not_understood_is_named_with_what_to_do() {
        let table = [
            ("timeout-head", "element 1 is no KEY=VALUE"),
            ("timeout-head=5s,", "element 2 is no KEY=VALUE"),
            ("workers=1,timeout-haed=5s", "element 2 names no limit: docs/limits.md"),
            ("workers=1,workers=1", "workers is set twice: leave one out"),
            ("timeout-head=5", "timeout-head: write a time such as 300ms"),
            ("timeout-head=-5s", "timeout-head: write a time"),
            ("timeout-head=off", "timeout-head: write a time"),
            ("timeout-head=0s", "timeout-head: use 100ms to 24h"),
            ("timeout-stream-idle=25h", "timeout-stream-idle: use 100ms to 24h, or off"),
            ("timeout-head=99999999999999999999h", "timeout-head: write a time"),
            ("held-bodies=1MB", "held-bodies: write bytes such as 4096"),
            ("held-bodies=1", "held-bodies: use 1Mi to 1Gi"),
            ("workers=two", "workers: write a number"),
            ("workers=65", "workers: use 1 to 64"),
        ];
        for (line, expected) in table {
            let error = line.parse::<Assignments>().unwrap_err().to_string();
            assert!(error.starts_with(expected), "{line}: {error}");
        }
    }

    #[test]
    fn every_limit_has_a_name_of_its_own_and_a_range() {
        for (index, limit) in LIMITS.iter().enumerate() {
            assert!(limit.least <= limit.most, "{}", limit.key);
            assert!(LIMITS[..index].iter().all(|other| other.key != limit.key), "{}", limit.key);
        }
    }
}
