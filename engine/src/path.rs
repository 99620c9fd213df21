//! Path traversal (CWE-22, CAPEC-126): would this value, used as a path, leave the directory that it belongs to?
//!
//! The value is read as a lenient file system or a server that decodes twice reads it: separators and dots in all the
//! ways they can be written (`units`), then runs of `..` (`climb`), then the file that is meant (`targets`); or as a path
//! that is one as a whole (`absolute`, `requested`), or what is left of one (`remains`). What
//! stands around it tells a value that is a path from a text that has one in it.
//! Sources: OWASP Path Traversal, RFC 3986 5.2.4, RFC 3629 10 (overlong forms).

use rasp_policy::class::Class;

use crate::decode::Field;
use crate::detector::{Detector, Evidence, Needs, Report, Rule};
use crate::finding::Confidence::{self, Certain, High, Low, Medium};
use crate::finding::{Part, RuleId};
use crate::mask;
use crate::reason::Reason;

mod absolute;
mod climb;
mod remains;
mod requested;
pub(crate) mod targets;
pub(crate) mod units;

use absolute::absolute;
use climb::Climb;
use targets::Target;

pub(crate) static DETECTOR: Detector = Detector { class: Class::PathTraversal, needs: NEEDS, inspect, rules };

const NEEDS: Needs = Needs {
    // Never part of UTF-8.
    alone: b"\xC0\xC1",
    bytes: b"./%L\\",
    needles: &[
        "..",
        "/etc/",
        "etc/passwd",
        "etc/shadow",
        "access_log",
        "access.log",
        "error_log",
        "error.log",
        "httpd.conf",
        "php.ini",
        "my.ini",
        "passwd",
        "metabase.",
        "global.asa",
        ".netrc",
        ".rhosts",
        "_history",
        ".pgpass",
        "/.my.cnf",
        ".docker/",
        ".kube/",
        "....",
        "/./",
        "\\./",
        "/.\\",
        "/\\.",
        ".\\/",
        "inf/",
        "/proc/",
        "/var/",
        "/usr/",
        "/opt/",
        "/root/",
        "/home/",
        "/boot",
        "/dev/",
        "/sys/",
        "/windows",
        "/winnt",
        "c:/",
        "-inf/",
        "/apache",
        "/xampp",
        "/wamp",
        "/private/",
        "/library/",
        "/volumes/",
        ".ht",
        ".git/",
        ".ssh/",
        ".env",
        ".aws/",
        "wp-config",
        "0x2e",
        "%2e",
        "%c0",
        "\u{ff0e}",
        "\u{2024}",
        "li4vli4v",
        "ly4uly4u",
        "c:\\",
        "\\\\",
        "\\etc\\",
        "\\windows",
        "\\winnt",
        "boot.ini",
        "oot.ini",
        "win.ini",
        "li5cli5c",
        "l2v0yy",
        // What visitors ask for by a path.
        ".svn/",
        ".hg/",
        ".bzr/",
        ".docker",
        ".kube/",
        ".gnupg/",
        ".vscode/",
        ".idea/",
        "cvs/",
        ".git-credentials",
        ".gitconfig",
        ".netrc",
        ".npmrc",
        ".pypirc",
        ".pgpass",
        ".my.cnf",
        ".s3cfg",
        ".boto",
        ".ftpconfig",
        "_history",
        ".bashrc",
        ".profile",
        ".ds_store",
        "/.",
        "privkey.pem",
        "dump.rdb",
        "wp-content/",
        ".bak",
        ".old",
        ".save",
        ".swp",
        ".swo",
        ".orig",
        ".copy",
        ".backup",
        ".bkp",
        ".tmp",
        ".sql",
        ".mdb",
        ".php~",
        ".phtml~",
        ".asp~",
        ".aspx~",
        ".jsp~",
        ".py~",
        ".rb~",
        ".config~",
        ".ini~",
        ".inc~",
        ".conf~",
        ".cnf~",
        ".yml~",
        ".yaml~",
        ".properties~",
        ".php.1",
        ".config.1",
        ".ini.1",
        ".conf.1",
        ".yml.1",
    ],
};

const CLIMB: Rule =
    Rule { id: RuleId("path-climb"), reason: "the value climbs out of the directory that it belongs to" };
const TARGET: Rule = Rule {
    id: RuleId("path-target"),
    reason: "the value climbs to a file of the system or a secret of the application",
};
const DISGUISED: Rule = Rule {
    id: RuleId("path-disguised"),
    reason: "the value climbs with dots or separators that are written to pass a filter",
};
const TRUNCATED: Rule =
    Rule { id: RuleId("path-truncated"), reason: "the value climbs and ends the path with a NUL byte" };
const ABSOLUTE: Rule = Rule {
    id: RuleId("path-absolute"),
    reason: "the value is the path of a file of the system or of a secret of the application",
};
const SHARE: Rule =
    Rule { id: RuleId("path-share"), reason: "the value is the path of a share on a Windows host" };
const ENCODED: Rule = Rule {
    id: RuleId("path-encoded"),
    reason: "the value is the path of a file elsewhere, encoded as base64",
};

const FILLED: Rule = Rule {
    id: RuleId("path-filled"),
    reason: "the value fills a path up, so that what is put behind it is cut off",
};
const REQUESTED: Rule = Rule {
    id: RuleId("path-requested"),
    reason: "the request is for a file that no application means to serve",
};

fn rules() -> Vec<Rule> {
    vec![CLIMB, TARGET, DISGUISED, TRUNCATED, ABSOLUTE, SHARE, ENCODED, FILLED, REQUESTED]
}

fn inspect(field: &Field<'_>, report: &mut Report<'_>) -> Result<(), Reason> {
    report.budget().work(2 * field.value.len())?;
    let Some(Found { rule, confidence, start, end }) = detect(field.part, field.value) else { return Ok(()) };
    let is_looked_for =
        rule.id == ABSOLUTE.id && confidence == High && field.is_sought() && is_well_known(field.value);
    let confidence = if is_looked_for { Medium } else { confidence };
    let sample = mask::sample(field.value.get(start..end).unwrap_or_default(), targets::is_word);
    report.find(field, Evidence { rule, confidence, at: start..end, sample });
    Ok(())
}

/// Whether the value is a file that every guide of an administrator names, and nothing else: `/etc/hosts`. Lists of paths that
/// are tried go on to files that nobody looks for.
fn is_well_known(value: &[u8]) -> bool {
    const FILES: &[&str] = &[
        "/etc/hosts",
        "/etc/fstab",
        "/etc/resolv.conf",
        "/etc/hostname",
        "/etc/os-release",
        "/etc/crontab",
        "/etc/nsswitch.conf",
        "/etc/sysctl.conf",
        "/etc/exports",
        "/etc/nginx/nginx.conf",
        "/etc/ssh/sshd_config",
        "/etc/sudoers",
        "/etc/php.ini",
        "/etc/my.cnf",
        "/var/log/syslog",
        "/var/log/messages",
        "/var/log/dmesg",
        "/proc/cpuinfo",
        "/proc/meminfo",
        "/proc/mounts",
    ];
    FILES.iter().any(|file| file.as_bytes() == value.trim_ascii())
}

#[derive(Clone, Copy, Debug)]
struct Found {
    rule: Rule,
    confidence: Confidence,
    start: usize,
    end: usize,
}

fn detect(part: Part, value: &[u8]) -> Option<Found> {
    let blanks = value.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let mut best = absolute(part, value, blanks)
        .or_else(|| remains::dots(part, value, blanks))
        .or_else(|| remains::filled(value, blanks))
        .or_else(|| remains::steps(part, value, blanks))
        .or_else(|| remains::left_over(part, value, blanks));
    let text_from = text_from(value, blanks);
    climb::each(value, |climb| {
        if best.is_some_and(|known| known.confidence == Certain) {
            return;
        }
        let Some((rule, confidence)) = judge(part, value, &climb, climb.start <= text_from) else { return };
        if best.is_none_or(|known| confidence > known.confidence) {
            best = Some(Found { rule, confidence, start: climb.start, end: climb.end });
        }
    });
    best
}

/// The first byte that a path has only where it is part of a text: what comes after it is said, not used.
fn text_from(value: &[u8], blanks: usize) -> usize {
    let is_text = |byte: &u8| byte.is_ascii_whitespace() || b"<>\"'`(){}".contains(byte);
    let rest = value.get(blanks..).unwrap_or_default();
    rest.iter().position(is_text).map_or(value.len(), |at| at + blanks)
}

fn judge(part: Part, value: &[u8], climb: &Climb, is_alone: bool) -> Option<(Rule, Confidence)> {
    let rest = value.get(climb.end..).unwrap_or_default();
    let name = units::name(rest);
    let target = targets::find(name.bytes());
    let behind = rest.get(name.read..).unwrap_or_default();
    let words = behind.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).take(4).count();
    let is_alone = is_alone && words < 3 && part != Part::Text && !behind.contains(&b'\n');
    if !is_alone {
        // Part of a text, which may be about paths.
        return match (target, climb.count) {
            (Some(_), 2..) | (_, 4..) => Some((if target.is_some() { TARGET } else { CLIMB }, Medium)),
            _ => None,
        };
    }
    let has_nul = climb.has_nul || behind.first() == Some(&0) || behind.starts_with(b"%00");
    let depth = depth_before(value.get(..climb.start).unwrap_or_default());
    let starts = depth == 0 || is_separators(value.get(..climb.start).unwrap_or_default());
    let leaves_root = part == Part::Path && value.starts_with(b"/") && climb.count > depth;
    // A segment that holds a separator held it encoded.
    let in_segment = part == Part::Path
        && !value.starts_with(b"/")
        && value.iter().any(|byte| matches!(byte, b'/' | b'\\'));
    match (target, climb.count) {
        (Some(Target::Secret), 2..) => return Some((TARGET, Certain)),
        (Some(Target::Secret), _) | (Some(Target::System), 2..) => return Some((TARGET, High)),
        _ => {}
    }
    if has_nul {
        return Some((TRUNCATED, if climb.count > 2 { Certain } else { High }));
    }
    // `..%2fa`, `..;/a`: one step is enough where nobody writes it like that. `.../a` is a path that was shortened.
    let is_shortened = value.get(climb.start..climb.end).is_some_and(|run| run == b".../" || run == b"...\\");
    let is_named = !name.bytes().is_empty() && part.is_parameter_or_file();
    let goes_on = !rest.is_empty() && part.is_parameter_or_file();
    if climb.is_odd
        && (climb.count > 1 || in_segment || starts && (climb.is_forged || goes_on && !is_shortened))
    {
        return Some((DISGUISED, High));
    }
    // `../config.php`
    if starts && targets::is_private(name.bytes()) && is_named && part != Part::Path {
        return Some((TARGET, High));
    }
    let is_asset = targets::is_asset(name.bytes());
    let confidence = match (climb.count, part) {
        (6.., _) => Certain,
        (5, _) => High,
        // No program that uploads a file names it so.
        (_, Part::FileName) if starts && !name.bytes().is_empty() => High,
        (3.., part) if !part.is_parameter_or_file() && (is_asset || !starts) => Medium,
        (3.., Part::Path) if climb.count <= depth && !climb.is_odd => Medium,
        (3.., _) => High,
        _ if leaves_root || in_segment => High,
        (2, Part::Query | Part::QueryName | Part::Form | Part::Cookie) if starts && !is_asset => High,
        // `/../a`: out of the root itself. What resolves a path has nothing left of that.
        (1, Part::Query | Part::Form | Part::Cookie)
            if starts && goes_on && !is_asset && is_rooted(value, climb.start) =>
        {
            High
        }
        // `..\name`: no address of a page is written so.
        (1, Part::Query | Part::Form | Part::Cookie)
            if starts && is_named && !is_asset && value.get(climb.end - 1) == Some(&b'\\') =>
        {
            High
        }
        (2, _) => Medium,
        _ if climb.is_odd => Medium,
        _ => Low,
    };
    Some((if climb.is_odd { DISGUISED } else { CLIMB }, confidence))
}

/// `0x5c`, `%2f`: nothing but separators, however they are written.
fn is_separators(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let (unit, length, _) = units::unit(rest);
        if unit != units::Unit::Slash {
            return false;
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    true
}

/// A separator stands before the climb, and nothing that is the name of a directory.
fn is_rooted(value: &[u8], start: usize) -> bool {
    let before = value.get(..start).unwrap_or_default().trim_ascii_start();
    matches!(before.first(), Some(b'/' | b'\\'))
}

/// Directories that a path has entered before it climbs.
fn depth_before(before: &[u8]) -> usize {
    before.split(|byte| matches!(byte, b'/' | b'\\')).filter(|name| !name.is_empty() && *name != b".").count()
}

#[cfg(test)]
mod tests;
