use super::{Effective, Field, Level, explain, ports, resolve, resolve_at};
use crate::api::{Confidence, FailureMode, Kind, Mode, Origin, RaspPolicySpec, RawTarget, TargetKind};
use crate::bundle::{Bundle, Entry, Namespace, SCHEMA_VERSION, Source, Target};
use crate::class::Class;
use crate::report::EffectiveMode;
use crate::selector::{Labels, Subject};
use crate::share::Key;

/// A Bundle of policies `(name, creation day, spec)`.
fn mk_bundle(policies: &[(&str, u8, &str)]) -> Bundle {
    let entries = policies
        .iter()
        .map(|(name, day, spec)| {
            let source = Source {
                name: (*name).to_owned(),
                uid: format!("uid-{name}"),
                generation: 1,
                created_at: format!("2026-01-{day:02}T00:00:00Z"),
            };
            let spec = serde_yaml::from_str(spec).unwrap_or_else(|error| panic!("{spec}: {error}"));
            Entry::policy(source, spec)
        })
        .collect();
    Bundle {
        schema_version: SCHEMA_VERSION,
        namespace: Namespace { name: "shop".into(), uid: "uid".into() },
        sequence: 1,
        entries,
    }
}

fn sql(effective: &Effective) -> super::EffectiveDetection {
    effective.detection(Class::SqlInjection)
}

fn web() -> Labels {
    Labels::from([("app".to_owned(), "web".to_owned())])
}

const SELECT_WEB: &str = "podSelector: {matchLabels: {app: web}}";

#[test]
fn without_policies_the_built_in_defaults_are_in_force() {
    let resolution = resolve(&mk_bundle(&[]), &web());
    assert_eq!(resolution.effective, Effective::builtin());
    assert_eq!(resolution.effective.mode, Mode::Monitor);
    assert_eq!(resolution.effective.failure_mode, FailureMode::Open);
    assert_eq!(sql(&resolution.effective).min_confidence, Confidence::High);
    assert_eq!(resolution.effective.max_body_bytes, 131_072);
    assert_eq!(resolution.effective.response_status, 403);
    assert!(resolution.winners.is_empty() && resolution.selected.is_empty());
}

#[test]
fn every_field_of_a_policy_changes_what_is_in_force() {
    type Row = (Field, &'static str, fn(&Effective) -> bool);
    let table: [Row; 16] = [
        (Field::Mode, "mode: Block", |e| e.mode == Mode::Block && sql(e).mode == Mode::Block),
        (Field::Enforcement, "enforcement: {percent: 10, hashOn: Header, header: x-user}", |e| {
            e.enforcement.percent == 10
                && e.enforcement.key == Key::Header("x-user".into())
                && e.enforcement.seed == "uid-a"
        }),
        (Field::FailureMode, "failureMode: Closed", |e| e.failure_mode == FailureMode::Closed),
        (Field::ClassMode(Class::SqlInjection), "detections: {sqlInjection: {mode: Off}}", |e| {
            e.mode == Mode::Monitor && sql(e).mode == Mode::Off
        }),
        (
            Field::ClassMinConfidence(Class::SqlInjection),
            "detections: {sqlInjection: {minConfidence: Low}}",
            |e| sql(e).min_confidence == Confidence::Low,
        ),
        (Field::MaxBodyBytes, "inspection: {maxBodyBytes: 2048}", |e| e.max_body_bytes == 2048),
        (Field::MaxDepth, "inspection: {maxDepth: 8}", |e| e.max_depth == 8),
        (Field::MaxValues, "inspection: {maxValues: 100}", |e| e.max_values == Some(100)),
        (Field::MaxMultipartParts, "inspection: {maxMultipartParts: 5}", |e| e.max_multipart_parts == 5),
        (Field::MaxDecompressionRatio, "inspection: {maxDecompressionRatio: 9}", |e| {
            e.max_decompression_ratio == 9
        }),
        (Field::MaxDecompressedBytes, "inspection: {maxDecompressedBytes: 2048}", |e| {
            e.max_decompressed_bytes == Some(2048)
        }),
        (Field::RawTarget, "http: {rawTarget: Refuse}", |e| e.raw_target == RawTarget::Refuse),
        (Field::ResponseStatus, "response: {status: 418}", |e| e.response_status == 418),
        (Field::ResponseBody, "response: {body: no, contentType: text/html}", |e| {
            e.response_body.as_ref().is_some_and(|b| b.text == "no" && b.content_type == "text/html")
        }),
        (Field::Exceptions, "exceptions: [{name: x, rule: sqli-comment, reason: r}]", |e| {
            e.exceptions.iter().map(|exception| exception.id.as_str()).eq(["a/x"])
        }),
        (
            Field::Signatures,
            "signatures: [{id: local-a, cve: CVE-2026-1, date: 2026-11-26, title: T, confidence: High, \
             attacks: [GET /], ordinary: [GET /]}]",
            |e| e.signatures.iter().map(|signature| signature.id.as_str()).eq(["local-a"]),
        ),
    ];
    let of_one_class = |field: &Field| !matches!(field, Field::ClassMode(class) | Field::ClassMinConfidence(class) if *class != Class::SqlInjection);
    assert_eq!(table.map(|row| row.0).to_vec(), Field::all().filter(of_one_class).collect::<Vec<_>>());
    for (field, spec, holds) in table {
        assert!(!holds(&Effective::builtin()), "{spec} is the built-in value, so the row shows nothing");
        let resolution = resolve(&mk_bundle(&[("a", 1, spec)]), &web());
        assert!(holds(&resolution.effective), "{spec}: {:?}", resolution.effective);
        assert_eq!(resolution.winners, [(field, 0)], "{spec}");
    }
}

#[test]
fn the_more_specific_policy_wins_then_the_strictest_then_the_oldest_then_the_lowest_name() {
    type Row<'a> = (&'a [(&'a str, u8, &'a str)], Mode, usize);
    let with_web = |rest: &str| format!("{SELECT_WEB}\n{rest}");
    // Policies as (name, creation day, spec), the mode in force, the winner of the mode.
    let table: [Row<'_>; 7] = [
        (&[("ns", 1, "mode: Block"), ("web", 2, &with_web("mode: Monitor"))], Mode::Monitor, 1),
        (&[("web", 2, &with_web("mode: Off")), ("ns", 1, "mode: Block")], Mode::Off, 0),
        (&[("a", 1, "mode: Monitor"), ("b", 2, "mode: Block")], Mode::Block, 1),
        (&[("a", 1, "mode: Off"), ("b", 2, "mode: Monitor")], Mode::Monitor, 1),
        (&[("b", 1, "mode: Block"), ("a", 2, "mode: Block")], Mode::Block, 0),
        (&[("b", 1, "mode: Block"), ("a", 1, "mode: Block")], Mode::Block, 1),
        (
            &[("a", 1, "podSelector: {matchLabels: {app: api}}\nmode: Off"), ("b", 2, "mode: Block")],
            Mode::Block,
            1,
        ),
    ];
    for (policies, mode, winner) in table {
        let resolution = resolve(&mk_bundle(policies), &web());
        assert_eq!(resolution.effective.mode, mode, "{policies:?}");
        assert_eq!(resolution.winners, [(Field::Mode, winner)], "{policies:?}");
    }
}

#[test]
fn fields_without_an_order_of_strictness_go_to_the_oldest() {
    let bundle = mk_bundle(&[
        ("young", 9, "inspection: {maxBodyBytes: 1024}\nfailureMode: Closed\nhttp: {rawTarget: Refuse}"),
        ("old", 1, "inspection: {maxBodyBytes: 4096}\nfailureMode: Open\nhttp: {rawTarget: Encode}"),
    ]);
    let resolution = resolve(&bundle, &web());
    assert_eq!(resolution.effective.max_body_bytes, 4096);
    assert_eq!(resolution.effective.failure_mode, FailureMode::Closed, "a mode: the strictest");
    assert_eq!(resolution.effective.raw_target, RawTarget::Refuse, "the strictest as well");
    let winners = [(Field::FailureMode, 0), (Field::MaxBodyBytes, 1), (Field::RawTarget, 0)];
    assert_eq!(resolution.winners, winners);
    assert_eq!(resolution.selected.iter().map(|(_, index)| *index).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn policies_complete_each_other_field_by_field() {
    let specific = format!("{SELECT_WEB}\nresponse: {{status: 404}}");
    let bundle = mk_bundle(&[("ns", 1, "mode: Block\nresponse: {status: 418}"), ("web", 2, &specific)]);
    let web_pod = resolve(&bundle, &web()).effective;
    assert_eq!((web_pod.mode, web_pod.response_status), (Mode::Block, 404));
    let other = resolve(&bundle, &Labels::new()).effective;
    assert_eq!((other.mode, other.response_status), (Mode::Block, 418));
}

#[test]
fn a_class_follows_the_mode_in_force_unless_it_has_its_own() {
    // mode, sqlInjection.mode, mode of the class
    let table = [
        (None, None, Mode::Monitor),
        (Some(Mode::Block), None, Mode::Block),
        (Some(Mode::Off), None, Mode::Off),
        (Some(Mode::Block), Some(Mode::Monitor), Mode::Monitor),
        (Some(Mode::Monitor), Some(Mode::Block), Mode::Block),
        (None, Some(Mode::Off), Mode::Off),
    ];
    for (mode, class, expected) in table {
        let spec = RaspPolicySpec {
            mode,
            detections: Some(
                [(Class::SqlInjection, crate::api::Detection { mode: class, min_confidence: None })]
                    .into_iter()
                    .collect(),
            ),
            ..RaspPolicySpec::default()
        };
        let mut bundle = mk_bundle(&[("a", 1, "{}")]);
        bundle.entries[0].spec = spec;
        assert_eq!(sql(&resolve(&bundle, &web()).effective).mode, expected, "{mode:?} {class:?}");
    }
}

#[test]
fn exceptions_of_equals_are_united_and_a_more_specific_list_takes_their_place() {
    let one = |name: &str| format!("exceptions: [{{name: {name}, rule: sqli-comment, reason: r}}]");
    let specific = format!("{SELECT_WEB}\n{}", one("z"));
    let bundle = mk_bundle(&[("young", 9, &one("y")), ("old", 1, &one("x")), ("web", 5, &specific)]);
    let ids = |labels: &Labels| -> Vec<String> {
        resolve(&bundle, labels).effective.exceptions.into_iter().map(|exception| exception.id).collect()
    };
    assert_eq!(ids(&Labels::new()), ["old/x", "young/y"]);
    assert_eq!(ids(&web()), ["web/z"]);
    let winners = [(Field::Exceptions, 1), (Field::Exceptions, 0)];
    assert_eq!(resolve(&bundle, &Labels::new()).winners, winners, "both decide");
    let none = format!("{SELECT_WEB}\nexceptions: []");
    let bundle = mk_bundle(&[("ns", 1, &one("x")), ("web", 5, &none)]);
    assert!(resolve(&bundle, &web()).effective.exceptions.is_empty(), "an empty list inherits nothing");
}

#[test]
fn signatures_of_equals_are_united_and_the_first_of_one_id_counts() {
    let one = |id: &str, title: &str| {
        format!(
            "signatures: [{{id: local-{id}, cve: CVE-2026-1, date: 2026-11-26, title: {title}, confidence: High, \
             attacks: [GET /], ordinary: [GET /]}}]"
        )
    };
    let bundle = mk_bundle(&[
        ("young", 9, &one("y", "Young")),
        ("old", 1, &one("x", "Old")),
        ("youngest", 10, &one("x", "Other")),
    ]);
    let titles: Vec<_> = resolve(&bundle, &Labels::new())
        .effective
        .signatures
        .into_iter()
        .map(|signature| (signature.id, signature.title))
        .collect();
    assert_eq!(titles, [("local-x".into(), "Old".into()), ("local-y".into(), "Young".into())]);
}

#[test]
fn an_exception_ends_at_its_time_and_the_next_end_is_told() {
    let spec = "exceptions:
- {name: ever, rule: a, reason: r}
- {name: first, rule: a, reason: r, expiresAt: '2027-01-01T00:00:00Z'}
- {name: second, rule: a, reason: r, expiresAt: '2027-01-02T00:00:00Z'}";
    // now, exceptions left, next end
    let table = [
        ("2026-12-31T23:59:59Z", 3, Some("2027-01-01T00:00:00Z")),
        ("2027-01-01T00:00:00Z", 2, Some("2027-01-02T00:00:00Z")),
        ("2027-01-03T00:00:00Z", 1, None),
    ];
    for (now, left, next) in table {
        let mut effective = resolve(&mk_bundle(&[("a", 1, spec)]), &web()).effective;
        assert_eq!(effective.expire(now).as_deref(), next, "{now}");
        assert_eq!(effective.exceptions.len(), left, "{now}");
    }
}

/// An entry of each level for port 80 of `Deployment/web` (app=web), the highest first; all of one age.
fn every_level(spec: &str) -> Vec<(Level, Entry)> {
    let target = |kind, name: &str, ports: Option<Vec<u16>>| {
        let selector = match kind {
            TargetKind::Service => Labels::from([("app".to_owned(), "web".to_owned())]),
            _ => Labels::new(),
        };
        Some(vec![Target { kind, name: name.to_owned(), selector, ports }])
    };
    let entry = |name: &str| mk_bundle(&[(name, 1, spec)]).entries.remove(0);
    let cluster =
        |name: &str, origin| Entry { kind: Kind::ClusterRaspPolicy, origin: Some(origin), ..entry(name) };
    vec![
        (Level::ClusterOverrides, cluster("z-overrides", Origin::Overrides)),
        (
            Level::Port,
            Entry { targets: target(TargetKind::Service, "web", Some(vec![80])), ..entry("y-port") },
        ),
        (
            Level::Workload,
            Entry { targets: target(TargetKind::Deployment, "web", None), ..entry("x-workload") },
        ),
        (Level::Namespace, entry("w-namespace")),
        (Level::ClusterDefaults, cluster("v-defaults", Origin::Defaults)),
    ]
}

fn of(entries: Vec<Entry>) -> Bundle {
    Bundle { entries, ..mk_bundle(&[]) }
}

/// The precedence of the documentation, one row after the other: of any two levels the higher one decides, also where the
/// lower one is stricter and older, and for a list.
#[test]
fn of_any_two_levels_the_higher_one_decides() {
    let labels = web();
    let pod = Subject { labels: &labels, workload: "Deployment/web" };
    let weak = every_level("mode: Monitor\nexceptions: [{name: x, rule: sqli-comment, reason: r}]");
    let strict = every_level("mode: Block\nexceptions: [{name: y, rule: sqli-comment, reason: r}]");
    let levels: Vec<Level> = weak.iter().map(|(level, _)| *level).collect();
    assert_eq!([&levels[..], &[Level::Builtin]].concat(), Level::ALL);
    for (high, (level, winner)) in weak.iter().enumerate() {
        for (_, loser) in &strict[high + 1..] {
            let mut loser = loser.clone();
            loser.source.created_at = "2020-01-01T00:00:00Z".to_owned();
            let bundle = of(vec![loser.clone(), winner.clone()]);
            let resolution = resolve_at(&bundle, pod, Some(80));
            let row = format!("{level:?} over {}", loser.source.name);
            assert_eq!(resolution.effective.mode, Mode::Monitor, "{row}");
            assert_eq!(resolution.winners, [(Field::Mode, 1), (Field::Exceptions, 1)], "{row}");
            assert_eq!(resolution.losers, [(Field::Mode, 0), (Field::Exceptions, 0)], "{row}");
            assert_eq!(resolution.selected[0], (*level, 1), "{row}");
            assert_eq!(resolution.effective.exceptions.len(), 1, "{row}");
        }
    }
    for (level, entry) in every_level("mode: Block") {
        let alone = of(vec![entry]);
        assert_eq!(resolve_at(&alone, pod, Some(80)).effective.mode, Mode::Block, "{level:?} over built-in");
    }
}

#[test]
fn between_two_of_one_level_the_strictest_then_the_oldest_then_the_lowest_name_decides() {
    let labels = web();
    let pod = Subject { labels: &labels, workload: "Deployment/web" };
    for ((level, weak), (_, strict)) in every_level("mode: Off").into_iter().zip(every_level("mode: Block")) {
        let mut strict = strict;
        strict.source.name.push_str("-strict");
        strict.source.created_at = "2027-01-01T00:00:00Z".to_owned();
        let bundle = of(vec![weak, strict]);
        assert_eq!(resolve_at(&bundle, pod, Some(80)).effective.mode, Mode::Block, "{level:?}");
        let mut names = of(vec![bundle.entries[1].clone(), bundle.entries[1].clone()]);
        names.entries[1].source.name = "a".to_owned();
        assert_eq!(resolve_at(&names, pod, Some(80)).winners, [(Field::Mode, 1)], "{level:?}");
    }
}

#[test]
fn a_port_has_a_policy_of_its_own_and_the_others_do_not_see_it() {
    let labels = web();
    let pod = Subject { labels: &labels, workload: "Deployment/web" };
    let mut entries: Vec<Entry> = every_level("mode: Block").into_iter().map(|(_, entry)| entry).collect();
    entries.retain(|entry| entry.source.name == "y-port");
    let bundle = of(entries);
    assert_eq!(ports(&bundle, pod).into_iter().collect::<Vec<_>>(), [80]);
    assert_eq!(resolve_at(&bundle, pod, Some(80)).effective.mode, Mode::Block);
    assert_eq!(resolve_at(&bundle, pod, Some(81)).effective.mode, Mode::Monitor);
    assert_eq!(resolve(&bundle, pod).effective.mode, Mode::Monitor, "every other port");
    let other = Labels::from([("app".to_owned(), "other".to_owned())]);
    assert!(ports(&bundle, &other).is_empty() && resolve(&bundle, &other).selected.is_empty());
}

#[test]
fn targets_select_pods_by_the_selector_of_a_service_or_by_the_workload() {
    let (labels, none) = (web(), Labels::new());
    // kind, name, selector, workload of a pod with app=web, whether it is selected
    let table = [
        (TargetKind::Service, "s", "web", "Deployment/other", true),
        (TargetKind::Service, "s", "api", "Service/s", false),
        (TargetKind::Service, "headless", "", "Deployment/web", false),
        (TargetKind::Deployment, "web", "", "Deployment/web", true),
        (TargetKind::Deployment, "web", "", "Deployment/web-2", false),
        (TargetKind::Deployment, "web", "", "StatefulSet/web", false),
        (TargetKind::DaemonSet, "web", "", "DaemonSet/web", true),
        (TargetKind::StatefulSet, "web", "", "", false),
    ];
    for (kind, name, app, workload, expected) in table {
        let selector = Some(app).filter(|app| !app.is_empty());
        let selector = selector.map(|app| ("app".to_owned(), app.to_owned())).into_iter().collect();
        let target = Target { kind, name: name.to_owned(), selector, ports: None };
        assert_eq!(target.selects(Subject { labels: &labels, workload }), expected, "{target:?} {workload}");
        assert!(app.is_empty() || !target.selects(Subject { labels: &none, workload: "" }));
    }
    let nothing = Entry { targets: Some(vec![]), ..mk_bundle(&[("a", 1, "mode: Block")]).entries.remove(0) };
    assert!(!nothing.selects(&labels), "targets of which none is there select nothing, not everything");
}

#[test]
fn rasp_exceptions_are_added_to_any_list_but_one_of_cluster_overrides() {
    let list = |name: &str| format!("exceptions: [{{name: {name}, rule: sqli-comment, reason: r}}]");
    let rx = |name: &str, spec: &str| Entry {
        kind: Kind::RaspException,
        ..mk_bundle(&[(name, 1, spec)]).entries.remove(0)
    };
    let ids = |bundle: &Bundle| -> Vec<String> {
        resolve(bundle, &web()).effective.exceptions.into_iter().map(|exception| exception.id).collect()
    };
    let mine = rx("mine", &list("mine"));
    let others = rx("others", &format!("podSelector: {{matchLabels: {{app: other}}}}\n{}", list("others")));
    let specific = mk_bundle(&[("web", 1, &format!("{SELECT_WEB}\n{}", list("z")))]).entries.remove(0);
    assert_eq!(ids(&of(vec![mine.clone(), others.clone()])), ["RaspException/mine"]);
    assert_eq!(ids(&of(vec![specific, mine.clone(), others])), ["web/z", "RaspException/mine"]);
    let mut lever = mk_bundle(&[("stop", 1, "exceptions: []")]).entries.remove(0);
    (lever.kind, lever.origin) = (Kind::ClusterRaspPolicy, Some(Origin::Overrides));
    let bundle = of(vec![lever, mine]);
    assert!(ids(&bundle).is_empty(), "an override of the cluster ends them all");
    assert_eq!(resolve(&bundle, &web()).losers, [(Field::Exceptions, 1)]);
}

/// The lever of an incident: it must not need the knowledge of every class that some policy switches on by itself; nor may
/// a class be switched off below an override to Block.
#[test]
fn the_mode_of_an_override_is_that_of_every_class_unless_an_override_says_otherwise() {
    let overriding = |name: &str, spec: &str| Entry {
        kind: Kind::ClusterRaspPolicy,
        origin: Some(Origin::Overrides),
        ..mk_bundle(&[(name, 1, spec)]).entries.remove(0)
    };
    let below = |mode: &str| {
        let spec =
            format!("mode: {mode}\ndetections: {{sqlInjection: {{mode: {mode}, minConfidence: Low}}}}");
        mk_bundle(&[("below", 1, &spec)]).entries.remove(0)
    };
    // overrides, the mode below, mode of the class
    let table: [(&[&str], &str, Mode); 5] = [
        (&["mode: Monitor"], "Block", Mode::Monitor),
        (&["mode: Block"], "Off", Mode::Block),
        (&["mode: Monitor\ndetections: {sqlInjection: {mode: Block}}"], "Off", Mode::Block),
        (&["mode: Monitor", "detections: {sqlInjection: {mode: Off}}"], "Block", Mode::Off),
        (&["failureMode: Closed"], "Block", Mode::Block),
    ];
    for (overrides, mode, expected) in table {
        let mut entries = vec![below(mode)];
        entries.extend(overrides.iter().enumerate().map(|(at, spec)| overriding(&format!("o{at}"), spec)));
        let resolution = resolve(&of(entries), &web());
        assert_eq!(sql(&resolution.effective).mode, expected, "{overrides:?} over {mode}");
        assert_eq!(sql(&resolution.effective).min_confidence, Confidence::Low, "any other field is its own");
        let field = Field::ClassMode(Class::SqlInjection);
        let lost = resolution.losers.contains(&(field, 0));
        assert_eq!(
            lost,
            expected != Mode::Block || mode != "Block",
            "{overrides:?}: {:?}",
            resolution.losers
        );
        assert!(resolution.winners.iter().any(|(of, _)| *of == field), "somebody decides it");
    }
}

#[test]
fn an_explanation_names_who_decided_each_field_and_who_lost() {
    let labels = web();
    let pod = Subject { labels: &labels, workload: "Deployment/web" };
    let mut entries: Vec<Entry> = every_level("mode: Block").into_iter().map(|(_, entry)| entry).collect();
    entries[0].spec.mode = Some(Mode::Monitor);
    let explanation = explain(&of(entries), pod, Some(80));
    let mode = &explanation.fields[0];
    assert_eq!((mode.field.as_str(), &mode.value), ("spec.mode", &serde_json::json!("Monitor")));
    let told = |deciders: &[super::Decider]| -> Vec<String> {
        let text = |d: &super::Decider| {
            format!("{} {:?}/{} {} {}", d.kind.as_str(), d.namespace, d.name, d.level.as_str(), d.value)
        };
        deciders.iter().map(text).collect()
    };
    assert_eq!(told(&mode.decided_by), [r#"ClusterRaspPolicy None/z-overrides cluster overrides "Monitor""#]);
    assert_eq!(told(&mode.overridden)[0], r#"RaspPolicy Some("shop")/y-port port "Block""#);
    assert_eq!(mode.overridden.len(), 4);
    let failure = &explanation.fields[2];
    assert_eq!((&failure.value, failure.decided_by.len()), (&serde_json::json!("Open"), 0), "built in");
    let text = serde_json::to_string(&explanation).unwrap();
    assert_eq!(serde_json::from_str::<super::Explanation>(&text).unwrap(), explanation);
    assert!(text.contains(r#""level":"ClusterOverrides""#) && text.contains(r#""port":80"#), "{text}");
}

#[test]
fn of_equals_the_oldest_says_the_share_and_its_uid_is_the_seed() {
    let bundle =
        mk_bundle(&[("new", 2, "enforcement: {percent: 50}"), ("old", 1, "enforcement: {percent: 10}")]);
    let resolution = resolve(&bundle, &web());
    let share = &resolution.effective.enforcement;
    assert_eq!((share.percent, share.seed.as_str()), (10, "uid-old"));
    assert_eq!(resolution.losers, [(Field::Enforcement, 0)]);
}

#[test]
fn block_for_a_share_of_requests_is_not_reported_as_block() {
    let table = [
        ("mode: Block", EffectiveMode::Block),
        ("mode: Block\nenforcement: {percent: 100}", EffectiveMode::Block),
        ("mode: Block\nenforcement: {percent: 99}", EffectiveMode::Mixed),
        ("mode: Block\nenforcement: {percent: 0}", EffectiveMode::Monitor),
        (
            "mode: Monitor\ndetections: {webShell: {mode: Block}}\nenforcement: {percent: 5}",
            EffectiveMode::Mixed,
        ),
        (
            "mode: Monitor\ndetections: {webShell: {mode: Block}}\nenforcement: {percent: 0}",
            EffectiveMode::Monitor,
        ),
        ("mode: \"Off\"\nenforcement: {percent: 0}", EffectiveMode::Off),
        ("mode: Monitor\nenforcement: {percent: 10}", EffectiveMode::Monitor),
    ];
    for (spec, expected) in table {
        let resolution = resolve(&mk_bundle(&[("a", 1, spec)]), &web());
        assert_eq!(resolution.effective.effective_mode(), expected, "{spec}");
    }
}

#[test]
fn block_of_cluster_overrides_is_for_every_request_unless_overrides_say_a_share() {
    let canary = "enforcement: {percent: 0}";
    let table = [
        ("mode: Block", canary, 100, "over"),
        ("detections: {sqlInjection: {mode: Block}}", canary, 100, "over"),
        ("mode: Block\nenforcement: {percent: 20}", canary, 20, "over"),
        // They lower something, or say nothing of modes.
        ("mode: Monitor", canary, 0, "team"),
        ("detections: {sqlInjection: {mode: \"Off\"}}", canary, 0, "team"),
        ("failureMode: Closed", canary, 0, "team"),
        ("enforcement: {percent: 5}", "mode: Block\nenforcement: {percent: 50}", 5, "over"),
    ];
    for (overrides, team, percent, decided_by) in table {
        let mut bundle = mk_bundle(&[("over", 2, overrides), ("team", 1, team)]);
        bundle.entries[0].kind = Kind::ClusterRaspPolicy;
        bundle.entries[0].origin = Some(Origin::Overrides);
        let resolution = resolve(&bundle, &web());
        assert_eq!(resolution.effective.enforcement.percent, percent, "{overrides}");
        let mut winners = resolution.winners.iter().filter(|(field, _)| *field == Field::Enforcement);
        let winner = winners.next().map(|&(_, index)| bundle.entries[index].source.name.as_str());
        assert_eq!((winner, winners.next()), (Some(decided_by), None), "{overrides}");
        let lost = resolution.losers.contains(&(Field::Enforcement, 1));
        assert_eq!(lost, decided_by == "over", "{overrides}");
    }
}

#[test]
fn the_step_of_a_rollout_is_that_of_the_policy_that_decides_the_share() {
    let mut bundle =
        mk_bundle(&[("a", 2, "enforcement: {percent: 5}"), ("b", 3, "enforcement: {percent: 9}")]);
    let rollout = serde_yaml::from_str("{steps: [5], interval: 10m, abortOn: {errorRatio: 0.01}}").unwrap();
    let step = crate::rollout::Step::of(&rollout, 1);
    bundle.entries[0].rollout = Some(step.clone());
    let counted = resolve(&bundle, &web()).effective.rollout.unwrap();
    assert_eq!((counted.id.uid.as_str(), counted.id.generation, counted.id.step), ("uid-a", 1, 1));
    assert_eq!(counted.step, step);
    bundle.entries[1].source.created_at = "2026-01-01T00:00:00Z".to_owned();
    assert_eq!(
        resolve(&bundle, &web()).effective.rollout,
        None,
        "the older policy decides, and rolls nothing out"
    );
    let text = String::from_utf8(bundle.to_bytes()).unwrap();
    assert!(
        text.contains(r#""rollout":{"number":1,"reportSeconds":60,"abortOn":{"errorRatio":0.01}}"#),
        "{text}"
    );
    assert_eq!(Bundle::from_verified(text.as_bytes()).unwrap(), bundle);
}
