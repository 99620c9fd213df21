use rasp_policy::api::Confidence;

use super::*;
use crate::finding::{Class, Encodings, Location, Part, RuleId};
use crate::reason::Reason;

fn mk_finding(confidence: Confidence) -> Finding {
    Finding {
        class: Class::SqlInjection,
        rule: RuleId("sqli-tautology"),
        reason: "for the test",
        location: Location {
            part: Part::Query,
            name: "q".into(),
            offset: 0,
            length: 1,
            encodings: Encodings::default(),
        },
        confidence,
        sample: String::new(),
    }
}

fn judged(
    modes: (Mode, Mode),
    failure_mode: FailureMode,
    finding: Option<Confidence>,
    coverage: Option<Reason>,
) -> (&'static str, Option<(u16, &'static str)>) {
    judged_in(true, modes, failure_mode, finding, coverage)
}

fn judged_in(
    enforced: bool,
    modes: (Mode, Mode),
    failure_mode: FailureMode,
    finding: Option<Confidence>,
    coverage: Option<Reason>,
) -> (&'static str, Option<(u16, &'static str)>) {
    let mut effective = Effective::builtin();
    effective = effective.in_mode(modes.1);
    effective.mode = modes.0;
    effective.failure_mode = failure_mode;
    let mut inspection = Inspection::for_test(finding.map(mk_finding).into_iter().collect());
    if let Some(reason) = coverage {
        inspection.note(reason);
    }
    let judgement = decide(&effective, inspection, enforced);
    let refusal = match judgement.outcome {
        Outcome::Forward(Pass { .. }) => None,
        Outcome::Refuse(Refusal { status, why }) => Some((status, why.as_str())),
    };
    (judgement.verdict.as_str(), refusal)
}

use Confidence::{Certain, High, Low, Medium};
use FailureMode::{Closed, Open};
use Mode::{Block, Monitor, Off};

type Row = (
    (Mode, Mode),
    FailureMode,
    Option<Confidence>,
    Option<Reason>,
    &'static str,
    Option<(u16, &'static str)>,
);

const DETECTED: Option<(u16, &str)> = Some((403, "detected"));
const TOO_LARGE: Option<(u16, &str)> = Some((413, "body_too_large"));
const NOT_JUDGED: Option<(u16, &str)> = Some((503, "not_judged"));
const UNSUPPORTED: Option<(u16, &str)> = Some((415, "not_judged"));
const OPAQUE: Option<Reason> = Some(Reason::OpaqueBody);
const UNREAD: Option<Reason> = Some(Reason::UnsupportedBody);
const LARGE: Option<Reason> = Some(Reason::BodyTooLarge);
const FAILED: Option<Reason> = Some(Reason::InternalError);

/// (mode, mode of the class), failure mode, confidence, coverage: verdict, refusal. minConfidence is High.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    // Off
    ((Off, Off), Open, None, None, "allow", None),
    ((Off, Off), Closed, Some(Certain), None, "allow", None),
    ((Off, Off), Closed, None, LARGE, "allow", None),
    ((Off, Off), Closed, None, FAILED, "allow", None),
    ((Off, Off), Closed, Some(Certain), FAILED, "allow", None),
    // Monitor
    ((Monitor, Monitor), Open, None, None, "allow", None),
    ((Monitor, Monitor), Open, Some(Low), None, "allow", None),
    ((Monitor, Monitor), Open, Some(Medium), None, "allow", None),
    ((Monitor, Monitor), Open, Some(High), None, "would_block", None),
    ((Monitor, Monitor), Open, Some(Certain), None, "would_block", None),
    ((Monitor, Monitor), Closed, Some(High), None, "would_block", None),
    ((Monitor, Monitor), Open, None, OPAQUE, "allow", None),
    ((Monitor, Monitor), Closed, None, OPAQUE, "allow", None),
    ((Monitor, Monitor), Closed, None, UNREAD, "allow", None),
    ((Monitor, Monitor), Open, Some(High), OPAQUE, "would_block", None),
    ((Monitor, Monitor), Open, None, LARGE, "would_block", None),
    ((Monitor, Monitor), Closed, None, LARGE, "would_block", None),
    ((Monitor, Monitor), Open, Some(High), LARGE, "would_block", None),
    ((Monitor, Monitor), Open, None, FAILED, "error", None),
    ((Monitor, Monitor), Closed, None, FAILED, "error", None),
    ((Monitor, Monitor), Closed, Some(Medium), FAILED, "error", None),
    ((Monitor, Monitor), Closed, Some(High), FAILED, "would_block", None),
    // Block
    ((Block, Block), Open, None, None, "allow", None),
    ((Block, Block), Closed, None, None, "allow", None),
    ((Block, Block), Open, Some(Low), None, "allow", None),
    ((Block, Block), Open, Some(Medium), None, "allow", None),
    ((Block, Block), Closed, Some(Medium), None, "allow", None),
    ((Block, Block), Open, Some(High), None, "block", DETECTED),
    ((Block, Block), Open, Some(Certain), None, "block", DETECTED),
    ((Block, Block), Closed, Some(High), None, "block", DETECTED),
    ((Block, Block), Open, None, OPAQUE, "allow", None),
    ((Block, Block), Closed, None, OPAQUE, "allow", None),
    ((Block, Block), Closed, Some(Low), OPAQUE, "allow", None),
    ((Block, Block), Open, None, UNREAD, "allow", None),
    ((Block, Block), Closed, None, UNREAD, "block", UNSUPPORTED),
    ((Block, Block), Closed, Some(Low), UNREAD, "block", UNSUPPORTED),
    ((Block, Block), Closed, Some(Certain), UNREAD, "block", DETECTED),
    ((Block, Block), Closed, Some(Certain), OPAQUE, "block", DETECTED),
    ((Block, Block), Open, None, LARGE, "block", TOO_LARGE),
    ((Block, Block), Closed, None, LARGE, "block", TOO_LARGE),
    ((Block, Block), Open, Some(Medium), LARGE, "block", TOO_LARGE),
    ((Block, Block), Open, Some(High), LARGE, "block", DETECTED),
    ((Block, Block), Open, None, FAILED, "error", None),
    ((Block, Block), Open, Some(Medium), FAILED, "error", None),
    ((Block, Block), Open, Some(High), FAILED, "block", DETECTED),
    ((Block, Block), Closed, None, FAILED, "error", NOT_JUDGED),
    ((Block, Block), Closed, Some(Low), FAILED, "error", NOT_JUDGED),
    ((Block, Block), Closed, Some(Certain), FAILED, "block", DETECTED),
    // The class has a mode of its own
    ((Block, Monitor), Open, Some(Certain), None, "would_block", None),
    ((Block, Monitor), Closed, Some(Certain), FAILED, "error", NOT_JUDGED),
    ((Block, Monitor), Open, Some(Certain), FAILED, "would_block", None),
    ((Block, Monitor), Open, Some(Certain), LARGE, "block", TOO_LARGE),
    ((Block, Off), Open, Some(Certain), None, "allow", None),
    ((Monitor, Block), Open, Some(High), None, "block", DETECTED),
    ((Monitor, Block), Closed, None, FAILED, "error", None),
    ((Monitor, Block), Closed, None, LARGE, "would_block", None),
    ((Off, Block), Open, Some(High), None, "block", DETECTED),
    ((Off, Block), Closed, None, FAILED, "allow", None),
    ((Off, Block), Closed, None, LARGE, "allow", None),
    ((Off, Monitor), Closed, Some(High), None, "would_block", None),
];

#[test]
fn judges_as_the_table_says() {
    for (modes, failure_mode, finding, coverage, verdict, refusal) in TABLE {
        let got = judged(*modes, *failure_mode, *finding, *coverage);
        assert_eq!(got, (*verdict, *refusal), "{modes:?} {failure_mode:?} {finding:?} {coverage:?}");
    }
}

#[test]
fn acts_from_the_lowest_confidence_that_the_policy_names() {
    let mut effective = Effective::builtin_blocking();
    for minimum in [Low, Medium, High, Certain] {
        effective.set_detection(Class::SqlInjection, |class| class.min_confidence = minimum);
        for confidence in [Low, Medium, High, Certain] {
            let judgement = decide(&effective, Inspection::for_test(vec![mk_finding(confidence)]), true);
            let expected = if confidence >= minimum { Verdict::Block } else { Verdict::Allow };
            assert_eq!(judgement.verdict, expected, "{confidence:?} {minimum:?}");
            assert_eq!(judgement.findings.len(), 1, "evidence is kept whatever the verdict");
        }
    }
}

#[test]
fn refuses_with_the_configured_status() {
    let mut effective = Effective::builtin_blocking();
    effective.response_status = 451;
    let judgement = decide(&effective, Inspection::for_test(vec![mk_finding(High)]), true);
    assert!(matches!(judgement.outcome, Outcome::Refuse(Refusal { status: 451, why: Why::Detected })));
}

#[test]
fn each_reason_has_one_effect_in_block_with_closed() {
    let rows: &[(Reason, &str, Option<u16>)] = &[
        (Reason::DetectionOff, "allow", None),
        (Reason::OpaqueProtocol, "allow", None),
        (Reason::OpaqueBody, "allow", None),
        (Reason::UnsupportedBody, "block", Some(415)),
        (Reason::EncodedBody, "block", Some(415)),
        (Reason::MalformedBody, "block", Some(400)),
        (Reason::BodyTooLarge, "block", Some(413)),
        (Reason::TooManyParts, "error", Some(503)),
        (Reason::TooDeep, "error", Some(503)),
        (Reason::DecodedTooLarge, "error", Some(503)),
        (Reason::WorkLimit, "error", Some(503)),
        (Reason::Suspended, "error", Some(503)),
        (Reason::InternalError, "error", Some(503)),
        (Reason::NoPolicy, "error", Some(503)),
    ];
    assert_eq!(rows.len(), Reason::ALL.len());
    for (reason, verdict, status) in rows {
        let got = judged((Block, Block), Closed, None, Some(*reason));
        assert_eq!((got.0, got.1.map(|(status, _)| status)), (*verdict, *status), "{reason:?}");
    }
}

/// Two findings: class, rule, confidence, part and name of each.
type Pair = [(Class, &'static str, Confidence, Part, &'static str); 2];

const SQL: Class = Class::SqlInjection;
const XSS: Class = Class::CrossSiteScripting;

fn judged_pair(effective: &Effective, pair: Pair) -> Verdict {
    judged_pair_in(true, effective, pair)
}

fn judged_pair_in(enforced: bool, effective: &Effective, pair: Pair) -> Verdict {
    let findings = pair.map(|(class, rule, confidence, part, name)| Finding {
        class,
        rule: RuleId(rule),
        location: Location { part, name: name.into(), offset: 0, length: 1, encodings: Encodings::default() },
        ..mk_finding(confidence)
    });
    decide(effective, Inspection::for_test(findings.into()), enforced).verdict
}

#[test]
fn two_findings_of_medium_block_where_they_are_independent() {
    let effective = Effective::builtin_blocking();
    let rows: &[(Pair, Verdict)] = &[
        ([(SQL, "a", Medium, Part::Query, "q"), (XSS, "b", Medium, Part::Query, "r")], Verdict::Block),
        ([(SQL, "a", Medium, Part::Query, "q"), (SQL, "b", Medium, Part::Query, "r")], Verdict::Block),
        ([(SQL, "a", Medium, Part::Query, "q"), (SQL, "b", Medium, Part::Form, "q")], Verdict::Block),
        // What two rules see in one value is one thing.
        ([(SQL, "a", Medium, Part::Query, "q"), (XSS, "b", Medium, Part::Query, "q")], Verdict::Allow),
        // So is what one rule sees twice.
        ([(SQL, "a", Medium, Part::Query, "q"), (SQL, "a", Medium, Part::Query, "r")], Verdict::Allow),
        // Documents hold code.
        ([(SQL, "a", Medium, Part::Json, "q"), (XSS, "b", Medium, Part::Json, "r")], Verdict::Allow),
        ([(SQL, "a", Medium, Part::Query, "q"), (XSS, "b", Medium, Part::Text, "")], Verdict::Allow),
        // A hint is no finding to count.
        ([(SQL, "a", Medium, Part::Query, "q"), (XSS, "b", Low, Part::Query, "r")], Verdict::Allow),
    ];
    for (pair, verdict) in rows {
        assert_eq!(judged_pair(&effective, *pair), *verdict, "{pair:?}");
        let [one, other] = *pair;
        assert_eq!(judged_pair(&effective, [other, one]), *verdict, "{pair:?}");
    }
}

#[test]
fn what_a_policy_says_of_a_class_decides_whether_its_findings_count() {
    let pair = [(SQL, "a", Medium, Part::Query, "q"), (XSS, "b", Medium, Part::Query, "r")];
    let rows: &[(Mode, Confidence, Verdict)] = &[
        (Block, High, Verdict::Block),
        (Monitor, High, Verdict::WouldBlock),
        (Off, High, Verdict::Allow),
        (Block, Certain, Verdict::Allow),
        (Block, Medium, Verdict::Block),
    ];
    for (mode, minimum, verdict) in rows {
        let mut effective = Effective::builtin_blocking();
        effective.set_detection(SQL, |class| {
            class.mode = *mode;
            class.min_confidence = *minimum;
        });
        assert_eq!(judged_pair(&effective, pair), *verdict, "{mode:?} {minimum:?}");
    }
}

/// The same policy with Monitor wherever it says Block.
fn lowered(mode: Mode) -> Mode {
    if mode == Block { Monitor } else { mode }
}

#[test]
fn outside_of_the_share_a_request_is_judged_as_in_monitor_throughout() {
    let coverages = || Reason::ALL.iter().copied().map(Some).chain([None]);
    let findings = [None, Some(Low), Some(Medium), Some(High), Some(Certain)];
    let mut compared = 0;
    for mode in [Off, Monitor, Block] {
        for of_class in [Off, Monitor, Block] {
            for failure_mode in [Open, Closed] {
                for (finding, coverage) in findings
                    .into_iter()
                    .flat_map(|finding| coverages().map(move |coverage| (finding, coverage)))
                {
                    let outside = judged_in(false, (mode, of_class), failure_mode, finding, coverage);
                    let monitored =
                        judged((lowered(mode), lowered(of_class)), failure_mode, finding, coverage);
                    let what = (mode, of_class, failure_mode, finding, coverage);
                    assert_eq!(outside, monitored, "{what:?}");
                    assert_eq!(outside.1, None, "{what:?}");
                    compared += 1;
                }
            }
        }
    }
    assert_eq!(compared, 9 * 2 * findings.len() * (Reason::ALL.len() + 1));
    let rows = [
        (Closed, Some(Certain), None, "would_block"),
        (Closed, None, LARGE, "would_block"),
        (Closed, None, UNREAD, "allow"),
        (Closed, None, FAILED, "error"),
    ];
    for (failure_mode, finding, coverage, verdict) in rows {
        let outside = judged_in(false, (Block, Block), failure_mode, finding, coverage);
        assert_eq!(outside, (verdict, None), "{finding:?} {coverage:?}");
    }
}

#[test]
fn outside_of_the_share_neither_findings_that_meet_nor_lost_classes_refuse() {
    let pair: Pair = [(SQL, "a", Medium, Part::Query, "q"), (XSS, "b", Medium, Part::Query, "r")];
    let mut effective = Effective::builtin_blocking();
    effective.failure_mode = Closed;
    assert_eq!(judged_pair_in(false, &effective, pair), Verdict::WouldBlock);
    for (enforced, refused) in [(true, true), (false, false)] {
        let mut inspection = Inspection::for_test(Vec::new());
        inspection.panicked(SQL);
        let judgement = decide(&effective, inspection, enforced);
        assert_eq!(judgement.verdict, Verdict::Error);
        assert_eq!(matches!(judgement.outcome, Outcome::Refuse(_)), refused);
    }
}
