//! `spec.enforcement`: the same clients are blocked each time, more of them as the share grows, and nobody escapes by leaving the
//! key out. Outside of the share everything is as in Monitor.

use std::collections::BTreeSet;

use rasp_policy::share::{Key, Share};

use super::client::{Client, ask, get, post};
use super::gateway::{Gateway, document};
use super::upgrades;
use super::upstream::Upstream;

const ATTACK: &str = "/search?q=1%27%20OR%20%271%27=%271";
const CLIENTS: usize = 400;

/// Block for so many of a hundred, by the header `X-User`.
pub fn by_user(percent: u8) -> String {
    format!("{{mode: Block, enforcement: {{percent: {percent}, hashOn: Header, header: X-User}}}}")
}

/// A user who is blocked from `percent` + 1 on, and not at `percent`. A policy file has no UID.
pub fn user_at(percent: u8) -> String {
    let share = |percent| Share { percent, key: Key::Header("x-user".into()), seed: String::new() };
    let is_at = |name: &String| {
        let bucket = Some(share(0).bucket(name.as_bytes()));
        share(percent + 1).contains(bucket) && !share(percent).contains(bucket)
    };
    (0..100_000).map(|number| format!("user-{number}")).find(is_at).unwrap()
}

/// An attack with these lines in its head.
fn attack(lines: &str) -> String {
    format!("GET {ATTACK} HTTP/1.1\r\nHost: app\r\n{lines}\r\n")
}

/// Which of the clients are refused.
fn blocked(client: &mut Client, line: impl Fn(usize) -> String) -> BTreeSet<usize> {
    let is_refused = |number: &usize| {
        client.send(attack(&line(*number)));
        match client.response().status() {
            403 => true,
            200 => false,
            status => panic!("{number}: {status}"),
        }
    };
    (0..CLIENTS).filter(is_refused).collect()
}

#[test]
fn the_clients_that_are_blocked_stay_blocked_while_the_share_grows() {
    let upstream = Upstream::ok();
    let gateway = Gateway::with(upstream.address, &by_user(0));
    let mut client = Client::connect(gateway.address);
    let user = |number: usize| format!("x-user: user-{number}\r\n");
    let mut before = BTreeSet::new();
    // Of 400, six standard deviations around the mean.
    for (percent, bounds) in [(0, 0..=0), (25, 48..=152), (50, 140..=260), (100, CLIENTS..=CLIENTS)] {
        if percent > 0 {
            gateway.change_policy(&document(&by_user(percent)));
        }
        let now = blocked(&mut client, user);
        assert!(bounds.contains(&now.len()), "{percent} %: {}", now.len());
        assert!(now.is_superset(&before), "{percent} %: {:?}", before.difference(&now));
        assert_eq!(blocked(&mut client, user), now, "{percent} %: the same clients each time");
        let keyless = ["", "x-user:\r\n", "x-user: user-0\r\nx-user: user-1\r\n"];
        for lines in keyless {
            client.send(attack(lines));
            let expected = if percent == 0 { 200 } else { 403 };
            assert_eq!(client.response().status(), expected, "{percent} % {lines:?}");
        }
        before = now;
    }
}

#[test]
fn a_cookie_is_a_key_as_well() {
    let gateway = Gateway::with(
        Upstream::ok().address,
        "{mode: Block, enforcement: {percent: 50, hashOn: Cookie, cookie: sid}}",
    );
    let mut client = Client::connect(gateway.address);
    let now = blocked(&mut client, |number| format!("Cookie: a=b; sid=session-{number}\r\n"));
    assert!((140..=260).contains(&now.len()), "{}", now.len());
    let parted = blocked(&mut client, |number| format!("Cookie: a=b\r\nCookie: sid=session-{number}\r\n"));
    assert_eq!(parted, now, "in a line of its own");
    for keyless in ["a=b", "sid=session-0; sid=session-1"] {
        client.send(attack(&format!("Cookie: {keyless}\r\n")));
        assert_eq!(client.response().status(), 403, "{keyless}");
    }
}

#[test]
fn clients_behind_a_trusted_hop_are_told_apart() {
    let gateway = Gateway::with_both(
        Upstream::ok().address,
        "{mode: Block, enforcement: {percent: 50}}",
        &["--trusted-proxies", "127.0.0.0/8"],
    );
    let mut client = Client::connect(gateway.address);
    let now = blocked(&mut client, |number| {
        format!("X-Forwarded-For: 192.0.{}.{}\r\n", number / 200, number % 200)
    });
    assert!((140..=260).contains(&now.len()), "{}", now.len());
    // Without a trusted hop the client is who connected, whatever it says.
    let gateway = Gateway::with(Upstream::ok().address, "{mode: Block, enforcement: {percent: 50}}");
    let mut client = Client::connect(gateway.address);
    let now = blocked(&mut client, |number| format!("X-Forwarded-For: 192.0.2.{number}\r\n"));
    assert!([0, CLIENTS].contains(&now.len()), "{}", now.len());
}

#[test]
fn what_is_outside_is_told_as_in_monitor_and_marked() {
    let gateway = Gateway::with(Upstream::ok().address, "{mode: Block, enforcement: {percent: 0}}");
    assert_eq!(ask(gateway.address, get(ATTACK)).status(), 200);
    let event = &gateway.events(1)[0];
    let told = &event["unmapped"];
    assert_eq!((event["disposition"].as_str(), told["enforced"].as_bool()), (Some("Logged"), Some(false)));
    assert_eq!((told["verdict"].as_str(), told["mode"].as_str()), (Some("would_block"), Some("Monitor")));
    gateway.wait_for_metric("rasp_requests_total", &["would_block"], 1.0);
    let labels = ["\"sql_injection\"", "action=\"Log\"", "mode=\"Monitor\""];
    gateway.wait_for_metric("rasp_detections_total", &labels, 1.0);

    gateway.change_policy(&document("{mode: Block}"));
    assert_eq!(ask(gateway.address, get(ATTACK)).status(), 403);
    let event = gateway.events(2).remove(1);
    assert_eq!((event["unmapped"].get("enforced"), &event["unmapped"]["mode"]), (None, &"Block".into()));
    gateway.wait_for_metric("rasp_requests_total", &["\"block\""], 1.0);
    // Nothing is in Block: nobody is spared.
    gateway.change_policy(&document("{mode: Monitor, enforcement: {percent: 0}}"));
    assert_eq!(ask(gateway.address, get(ATTACK)).status(), 200);
    assert_eq!(gateway.events(3).remove(2)["unmapped"].get("enforced"), None);
}

/// What Block refuses, or answers otherwise, for another reason than a finding, and what Monitor and Block answer to it.
fn refused_by_block() -> Vec<(&'static str, String, u16, u16)> {
    let json = |text: &str| post("application/json", text);
    let twice = json("{}").replacen("Host", "Content-Type: Application/JSON\r\nHost", 1);
    vec![
        ("a finding", get(ATTACK), 200, 403),
        ("a body over the limit", json(&format!("{{\"a\":\"{}\"}}", "b".repeat(2_000))), 200, 413),
        ("a finding in a body", json("{\"q\":\"1' OR '1'='1\"}"), 200, 403),
        ("a body that cannot be judged", json(&("[".repeat(500) + &"]".repeat(500))), 200, 503),
        ("a body that cannot be read", post("application/x-unknown+json", "{"), 200, 400),
        ("the type twice", twice, 200, 400),
        (
            "ambiguous framing",
            get("/").replacen("Host", "Content-Length: 1\r\nContent-Length: 2\r\nHost", 1),
            400,
            400,
        ),
        ("a target of raw bytes", get("/a?b=<c>"), 400, 400),
    ]
}

#[test]
fn outside_of_the_share_nothing_is_refused_that_monitor_does_not_refuse() {
    let rest = "failureMode: Closed, http: {rawTarget: Refuse}, inspection: {maxBodyBytes: 1024}}";
    let upstream = Upstream::ok();
    let gateway = |spec: &str| Gateway::with(upstream.address, &format!("{spec}, {rest}"));
    let block = gateway("{mode: Block");
    let outside = gateway("{mode: Block, enforcement: {percent: 0}");
    let monitor = gateway("{mode: Monitor");
    for (what, request, passes, refused) in refused_by_block() {
        let answered = |gateway: &Gateway| ask(gateway.address, &request).status();
        assert_eq!(answered(&block), refused, "{what}, in Block");
        assert_eq!(answered(&monitor), passes, "{what}, in Monitor");
        assert_eq!(answered(&outside), passes, "{what}, outside");
    }
}

#[test]
fn outside_of_the_share_a_body_is_on_its_way_before_it_is_whole() {
    let upstream = Upstream::ok();
    let gateway = Gateway::with(upstream.address, &by_user(50));
    let body = "a=first+half&b=1%27+OR+%271%27%3D%271";
    let (first, second) = body.split_at(12);
    let begin = |user: &str| {
        let mut client = Client::connect(gateway.address);
        client.send(
            post("application/x-www-form-urlencoded", body)
                .replacen("Host", &format!("X-User: {user}\r\nHost"), 1)
                .replace(second, ""),
        );
        client
    };
    let mut inside = begin(&user_at(10));
    let mut outside = begin(&user_at(60));
    upstream.wait_for(first);
    outside.send(second);
    assert_eq!(outside.response().status(), 200);
    upstream.wait_for(second);
    assert_eq!(upstream.text().matches(first).count(), 1, "that of the other one is held");
    inside.send(second);
    assert_eq!(inside.response().status(), 403);
    assert_eq!(upstream.text().matches(first).count(), 1);
    gateway.wait_for_metric("rasp_requests_total", &["would_block"], 1.0);
}

#[test]
fn a_websocket_is_on_the_side_of_its_handshake() {
    let upstream = upgrades::echo();
    let gateway = Gateway::with(upstream.address, &by_user(50));
    let attack = upgrades::masked(0x81, upgrades::ATTACK);
    let mut outside = upgrades::open_as(&gateway, &user_at(60));
    outside.send(&attack);
    assert_eq!(outside.exactly(attack.len() - 4)[2..], *upgrades::ATTACK);
    let event = &gateway.events(1)[0];
    let told = &event["unmapped"];
    assert_eq!((event["disposition"].as_str(), told["enforced"].as_bool()), (Some("Logged"), Some(false)));
    assert_eq!(told["verdict"], "would_block");
    assert!(
        upstream.text().to_lowercase().contains("sec-websocket-extensions"),
        "nothing is taken out of it"
    );

    let mut inside = upgrades::open_as(&gateway, &user_at(10));
    inside.send(&attack);
    assert!(inside.rest().ends_with(&upgrades::closing(1008)));
    assert_eq!(gateway.events(2)[1]["disposition"], "Blocked");

    // The one that is open changes sides with its user.
    let hello = upgrades::masked(0x81, b"hello");
    gateway.change_policy(&document(&by_user(100)));
    outside.send(&hello);
    outside.exactly(hello.len() - 4);
    gateway.change_policy(&document(&by_user(50)));
    outside.send(&attack);
    assert_eq!(outside.exactly(attack.len() - 4)[2..], *upgrades::ATTACK);
    gateway.change_policy(&document(&by_user(70)));
    outside.send(&attack);
    assert!(outside.rest().ends_with(&upgrades::closing(1008)));
}

#[test]
fn a_frame_that_is_none_ends_a_websocket_inside_of_the_share_only() {
    let upstream = Upstream::start(|conversation| {
        conversation.request()?;
        conversation.write(upgrades::SWITCHED)?;
        conversation.rest();
        None
    });
    let gateway = Gateway::with(upstream.address, &by_user(50));
    let unmasked = [0x81, 1, b'x'];
    let mut inside = upgrades::open_as(&gateway, &user_at(10));
    inside.send(unmasked);
    assert_eq!(inside.rest(), upgrades::closing(1002));
    let mut outside = upgrades::open_as(&gateway, &user_at(60));
    outside.send([&unmasked[..], b"and more"].concat());
    upstream.wait_for("and more");
}

#[test]
fn another_protocol_may_be_switched_to_outside_of_the_share_only() {
    let upstream = Upstream::ok();
    let gateway = Gateway::with(upstream.address, &by_user(50));
    for (user, asked) in [(user_at(10), 0), (user_at(60), 1)] {
        let request = format!(
            "GET /{user} HTTP/1.1\r\nHost: a\r\nX-User: {user}\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n"
        );
        assert_eq!(ask(gateway.address, &request).status(), 200);
        let upgrades = upstream.text().to_lowercase().matches("upgrade: foo").count();
        assert_eq!(upgrades, asked, "{user}");
    }
}
