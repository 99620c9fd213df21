use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use rasp_engine::Ruleset;
use rasp_policy::api::{Exception, FailureMode, Mode};
use rasp_policy::report::{EffectiveMode, PolicyState, STALE_AFTER};
use rasp_policy::selector::LabelSelector;

use super::Watch;
use crate::metrics::Metrics;
use crate::policy::load::tests::{Signer, bundle};
use crate::policy::sequence::Store;
use crate::policy::{Handle, InForce};

struct World {
    signer: Signer,
    directory: tempfile::TempDir,
    handle: Arc<Handle>,
    metrics: Arc<Metrics>,
    watch: Watch,
}

impl World {
    fn new() -> Self {
        Self::restarted(Signer::new(), tempfile::tempdir().unwrap())
    }

    fn restarted(signer: Signer, directory: tempfile::TempDir) -> Self {
        let metrics = Arc::new(Metrics::new().unwrap());
        let first = InForce::bootstrapping(Ruleset::bootstrapping(FailureMode::Closed));
        let handle = Arc::new(Handle::new(first, Arc::clone(&metrics)));
        let store = Store::new(directory.path());
        let config = directory.path().join("config");
        let watch = Watch::new(config, signer.checks(), store, Arc::clone(&handle), Arc::clone(&metrics));
        Self { signer, directory, handle, metrics, watch }
    }

    /// Writes both files as kubelet does: a new directory, then `..data` is swapped.
    fn mount(&mut self, envelope: Option<&str>, labels: &str) {
        let root = self.directory.path().join("config");
        let generation = root.join(format!("..{}", fastrand::u64(..)));
        std::fs::create_dir_all(&generation).unwrap();
        std::fs::write(generation.join("labels"), labels).unwrap();
        if let Some(envelope) = envelope {
            std::fs::write(generation.join("bundle.v1"), envelope).unwrap();
        }
        link(&generation, &root.join("..data"));
        for name in ["bundle.v1", "labels"] {
            link(&Path::new("..data").join(name), &root.join(name));
        }
        self.watch.look();
    }

    fn offer(&mut self, sequence: u64, mode: Mode) {
        let text = self.signer.seal(&bundle(sequence, mode, None).to_bytes());
        self.mount(Some(&text), "");
    }

    fn state(&self) -> (PolicyState, EffectiveMode, Option<u64>) {
        let status = self.handle.status();
        let mode = status.in_force.ruleset.effective().effective_mode();
        (status.state(), mode, status.in_force.sequence)
    }

    fn counted(&self, kind: &str) -> bool {
        let text = String::from_utf8(self.metrics.render()).unwrap();
        text.contains(&format!("rasp_errors_total{{kind=\"{kind}\"}} 1\n"))
    }
}

fn link(target: &Path, name: &Path) {
    let _ = std::fs::remove_file(name);
    symlink(target, name).unwrap();
}

#[test]
fn a_refused_bundle_is_counted_and_told_and_changes_nothing() {
    let mut world = World::new();
    world.mount(None, "");
    assert_eq!(world.state().0, PolicyState::Bootstrapping);
    world.offer(200, Mode::Block);
    let good = (PolicyState::Current, EffectiveMode::Block, Some(200));
    assert_eq!(world.state(), good);

    world.offer(150, Mode::Off);
    assert_eq!(world.state(), (PolicyState::Rejected, EffectiveMode::Block, Some(200)));
    let rejected = world.handle.status().rejected.unwrap();
    assert_eq!(rejected.reason, "older");
    assert!(world.counted("bundle_older"));

    let stranger = Signer::new().seal(&bundle(300, Mode::Off, None).to_bytes());
    world.mount(Some(&stranger), "");
    assert_eq!(world.state(), (PolicyState::Rejected, EffectiveMode::Block, Some(200)));
    assert_eq!(world.handle.status().rejected.unwrap().reason, "signature");
    world.watch.look();
    assert!(world.counted("bundle_signature"), "one refusal is counted once");

    world.offer(200, Mode::Block);
    assert_eq!(world.state(), good, "the good one is back");
    world.mount(None, "");
    assert_eq!(world.state(), good, "a lost file changes nothing");
    world.offer(201, Mode::Monitor);
    assert_eq!(world.state(), (PolicyState::Current, EffectiveMode::Monitor, Some(201)));
}

#[test]
fn a_restarted_container_refuses_what_its_predecessor_had_outlived() {
    let mut world = World::new();
    world.offer(200, Mode::Block);
    let mut world = World::restarted(world.signer, world.directory);
    world.offer(199, Mode::Off);
    assert_eq!(world.state(), (PolicyState::Bootstrapping, EffectiveMode::Block, None));
    assert_eq!(world.handle.status().rejected.unwrap().reason, "older");
    world.offer(200, Mode::Block);
    assert_eq!(world.state(), (PolicyState::Current, EffectiveMode::Block, Some(200)));
}

#[test]
fn labels_choose_the_policies_and_may_change() {
    let mut world = World::new();
    let selector = LabelSelector {
        match_labels: [("app".to_owned(), "web".to_owned())].into(),
        ..LabelSelector::default()
    };
    let text = world.signer.seal(&bundle(200, Mode::Block, Some(selector)).to_bytes());
    world.mount(Some(&text), "app=\"web\"\n");
    assert_eq!(world.state().1, EffectiveMode::Block);
    world.mount(Some(&text), "app=\"other\"\n");
    assert_eq!(world.state().1, EffectiveMode::Monitor, "the built-in default");
    world.mount(Some("broken"), "app=\"other\"\n");
    world.mount(Some("broken"), "app=\"web\"\n");
    assert_eq!(world.state(), (PolicyState::Rejected, EffectiveMode::Block, Some(200)));
}

#[test]
fn labels_that_cannot_be_read_choose_no_other_policy() {
    let mut world = World::new();
    let selector = LabelSelector {
        match_labels: [("app".to_owned(), "web".to_owned())].into(),
        ..LabelSelector::default()
    };
    let text = world.signer.seal(&bundle(200, Mode::Block, Some(selector.clone())).to_bytes());
    let newer = world.signer.seal(&bundle(201, Mode::Block, Some(selector)).to_bytes());
    world.mount(Some(&text), "app=\"web\"\n");
    let labels = world.directory.path().join("config/labels");
    std::fs::remove_file(&labels).unwrap();
    world.watch.look();
    assert_eq!(world.state(), (PolicyState::Current, EffectiveMode::Block, Some(200)));
    std::fs::write(world.directory.path().join("config/..data/bundle.v1"), newer).unwrap();
    world.watch.look();
    assert_eq!(
        world.state(),
        (PolicyState::Current, EffectiveMode::Block, Some(201)),
        "the last labels hold"
    );

    let mut world = World::restarted(world.signer, world.directory);
    world.watch.look();
    assert_eq!(world.state().0, PolicyState::Bootstrapping, "nobody knows yet what the labels are");
    link(Path::new("..data/labels"), &labels);
    world.watch.look();
    assert_eq!(world.state(), (PolicyState::Current, EffectiveMode::Block, Some(201)));
}

#[test]
fn an_exception_ends_without_a_new_bundle() {
    let mut world = World::new();
    let mut offered = bundle(200, Mode::Block, None);
    offered.entries[0].spec.exceptions = Some(vec![Exception {
        name: "x".into(),
        rule: Some("sqli-tautology".into()),
        class: None,
        path: None,
        part: None,
        parameter: None,
        reason: "for the test".into(),
        expires_at: Some("2999-01-01T00:00:00Z".into()),
    }]);
    let exceptions = |world: &World| {
        world.handle.load().ruleset.effective().exceptions.iter().map(|e| e.id.clone()).collect::<Vec<_>>()
    };
    let text = world.signer.seal(&offered.to_bytes());
    world.mount(Some(&text), "");
    assert_eq!(exceptions(&world), ["p/x"]);
    world.watch.look_at("2998-12-31T23:59:59Z");
    assert_eq!(exceptions(&world), ["p/x"]);
    world.watch.look_at("2999-01-01T00:00:00Z");
    assert!(exceptions(&world).is_empty());
    assert_eq!(world.state(), (PolicyState::Current, EffectiveMode::Block, Some(200)));

    offered.sequence += 1;
    offered.entries[0].spec.exceptions.as_mut().unwrap()[0].expires_at = Some("2001-01-01T00:00:00Z".into());
    let text = world.signer.seal(&offered.to_bytes());
    world.mount(Some(&text), "");
    assert_eq!(world.state().2, Some(201));
    assert!(exceptions(&world).is_empty(), "it had ended before it came");
}

#[test]
fn a_restarted_container_has_what_the_stream_brought_although_the_file_is_older() {
    let mut world = World::new();
    world.offer(200, Mode::Block);
    let brought = world.signer.seal(&bundle(300, Mode::Monitor, None).to_bytes());
    assert!(world.watch.offered(brought.as_bytes()));
    let in_force = (PolicyState::Current, EffectiveMode::Monitor, Some(300));
    assert_eq!(world.state(), in_force);

    let mut world = World::restarted(world.signer, world.directory);
    world.watch.look();
    assert_eq!(world.state(), in_force, "the operator is away, and the file still holds 200");
    let page = String::from_utf8(world.metrics.render()).unwrap();
    assert!(page.contains("rasp_policy_source{source=\"kept\"} 1\n"), "{page}");
    world.offer(250, Mode::Off);
    assert_eq!(world.state(), in_force, "the file is on its way");
    world.offer(301, Mode::Block);
    assert_eq!(world.state(), (PolicyState::Current, EffectiveMode::Block, Some(301)));
    world.offer(250, Mode::Off);
    assert_eq!(world.state(), (PolicyState::Rejected, EffectiveMode::Block, Some(301)), "the file went back");

    std::fs::write(world.directory.path().join("bundle"), &brought[..brought.len() / 2]).unwrap();
    let mut world = World::restarted(world.signer, world.directory);
    world.offer(302, Mode::Block);
    assert_eq!(
        world.state(),
        (PolicyState::Current, EffectiveMode::Block, Some(302)),
        "a torn one is no fault"
    );
}

#[test]
fn the_end_of_what_one_source_offers_does_not_excuse_the_other() {
    let mut world = World::new();
    world.offer(200, Mode::Block);
    assert!(world.watch.offered(b"broken"));
    assert_eq!(world.state().0, PolicyState::Rejected);
    world.mount(None, "");
    world.offer(200, Mode::Block);
    assert_eq!(world.state().0, PolicyState::Rejected, "the stream offers nothing better yet");
    let newer = world.signer.seal(&bundle(201, Mode::Monitor, None).to_bytes());
    assert!(world.watch.offered(newer.as_bytes()));
    assert_eq!(world.state(), (PolicyState::Current, EffectiveMode::Monitor, Some(201)));
}

#[test]
fn an_offer_before_the_labels_are_known_has_to_come_again() {
    let mut world = World::new();
    let text = world.signer.seal(&bundle(200, Mode::Block, None).to_bytes());
    assert!(!world.watch.offered(text.as_bytes()));
    assert_eq!(world.state().0, PolicyState::Bootstrapping);
    world.mount(None, "");
    assert!(world.watch.offered(text.as_bytes()));
    assert_eq!(world.state(), (PolicyState::Current, EffectiveMode::Block, Some(200)));
}

#[test]
fn a_policy_is_stale_while_the_operator_is_not_heard_of_and_stays_in_force() {
    let mut world = World::new();
    world.offer(200, Mode::Block);
    let began = std::time::Instant::now();
    world.handle.listen(began);
    world.handle.listen(began + STALE_AFTER / 2);
    assert_eq!(world.state().0, PolicyState::Current);
    world.handle.listen(began + STALE_AFTER);
    assert_eq!(world.state(), (PolicyState::Stale, EffectiveMode::Block, Some(200)));
    let page = String::from_utf8(world.metrics.render()).unwrap();
    assert!(page.contains("rasp_policy_state{state=\"stale\"} 1\n"), "{page}");
    world.mount(Some("broken"), "");
    assert_eq!(world.state().0, PolicyState::Rejected, "which says more");
    world.offer(200, Mode::Block);
    world.handle.heard();
    assert_eq!(world.state().0, PolicyState::Current);
}
