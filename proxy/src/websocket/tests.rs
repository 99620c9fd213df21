use proptest::prelude::*;

use super::{Follower, Limits, Rate, Seen, Sender, Step, close};
use crate::reason::BadFrame;

const WINDOW: Limits = Limits { message: u64::MAX, rate: 0, window: 64, extensions: false };

/// A frame of a client: first byte, payload.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xFA, 0x21, 0x3D];
    let mut frame = vec![first];
    match u16::try_from(payload.len()).unwrap() {
        short @ 0..=125 => frame.push(0x80 | u8::try_from(short).unwrap()),
        long => {
            frame.push(0xFE);
            frame.extend(long.to_be_bytes());
        }
    }
    frame.extend(key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// The messages of a stream of frames, and where the follower left it.
fn messages(follower: &mut Follower, mut bytes: &[u8]) -> Result<Vec<(Seen, String)>, BadFrame> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let Step { taken, seen, .. } = follower.follow(bytes)?;
        bytes = &bytes[taken..];
        found.extend(seen.map(|seen| (seen, String::from_utf8_lossy(follower.text()).into_owned())));
    }
    Ok(found)
}

#[test]
fn text_is_put_together_across_fragments_with_a_ping_between() {
    let frames =
        [masked(0x01, b"1' OR "), masked(0x89, b"ping"), masked(0x00, b"'1'"), masked(0x80, b"='1")].concat();
    let mut follower = Follower::new(Sender::Client, WINDOW);
    assert_eq!(messages(&mut follower, &frames), Ok(vec![(Seen::Text, "1' OR '1'='1".to_owned())]));
    assert!(!follower.is_longer() && follower.is_between());

    let (mut single, mut found) = (Follower::new(Sender::Client, WINDOW), Vec::new());
    for byte in &frames {
        found.extend(messages(&mut single, &[*byte]).unwrap());
    }
    assert_eq!(found, [(Seen::Text, "1' OR '1'='1".to_owned())]);
}

#[test]
fn of_a_long_message_the_beginning_is_kept() {
    let frame = masked(0x81, &[b'a'; 200]);
    let mut follower = Follower::new(Sender::Client, WINDOW);
    assert_eq!(messages(&mut follower, &frame), Ok(vec![(Seen::Text, "a".repeat(64))]));
    assert!(follower.is_longer());
}

#[test]
fn what_is_not_text_is_not_kept() {
    let mut follower = Follower::new(Sender::Client, WINDOW);
    assert_eq!(
        messages(&mut follower, &masked(0x82, b"\x00\x01")),
        Ok(vec![(Seen::Opaque { packed: false }, String::new())])
    );
    let mut packed = Follower::new(Sender::Client, Limits { extensions: true, ..WINDOW });
    assert_eq!(
        messages(&mut packed, &masked(0xC1, b"x")),
        Ok(vec![(Seen::Opaque { packed: true }, String::new())])
    );
}

#[test]
fn a_step_says_where_the_frame_began_that_ends_with_it() {
    let (first, second) = (masked(0x81, b"one"), masked(0x81, b"two"));
    let both = [first.clone(), second].concat();
    let mut follower = Follower::new(Sender::Client, WINDOW);
    let step = follower.follow(&both).unwrap();
    assert_eq!(step, Step { taken: first.len(), begins: Some(0), seen: Some(Seen::Text) });
    let step = follower.follow(&both[step.taken..both.len() - 1]).unwrap();
    assert_eq!((step.begins, step.seen), (Some(0), None));
    let step = follower.follow(&both[both.len() - 1..]).unwrap();
    assert_eq!((step.begins, step.seen), (None, Some(Seen::Text)), "it began in an earlier read");
}

#[test]
fn a_frame_that_is_none_is_named() {
    use BadFrame as Bad;
    use Sender::{Application, Client};
    let unmasked =
        |first: u8, payload: &[u8]| [&[first, u8::try_from(payload.len()).unwrap()][..], payload].concat();
    let table: Vec<(Sender, Vec<u8>, Bad)> = vec![
        (Client, unmasked(0x81, b"x"), Bad::Mask),
        (Application, masked(0x81, b"x"), Bad::Mask),
        (Client, masked(0xC1, b"x"), Bad::Reserved),
        (Client, masked(0xA1, b"x"), Bad::Reserved),
        (Client, masked(0x91, b"x"), Bad::Reserved),
        (Client, masked(0x83, b"x"), Bad::Opcode),
        (Client, masked(0x8B, b"x"), Bad::Opcode),
        (Client, masked(0x09, b"x"), Bad::Control),
        (Client, masked(0x89, &[b'x'; 126]), Bad::Control),
        (Client, masked(0x88, b"x"), Bad::Control),
        (Client, masked(0x80, b"x"), Bad::Fragment),
        (Client, [masked(0x01, b"x"), masked(0x81, b"y")].concat(), Bad::Fragment),
        (Client, [masked(0x88, b""), masked(0x81, b"y")].concat(), Bad::AfterClose),
        (Client, vec![0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], Bad::Length),
        (Application, vec![0x82, 0x7F, 0x80, 0, 0, 0, 0, 0, 0, 0], Bad::Length),
        (Application, vec![0x82, 0x7E, 0, 5], Bad::Length),
        (Application, vec![0x82, 0x7F, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], Bad::Length),
    ];
    for (sender, frames, bad) in table {
        let found = messages(&mut Follower::new(sender, WINDOW), &frames);
        assert_eq!(found, Err(bad), "{sender:?} {frames:02x?}");
    }
    let small = Limits { message: 4, ..WINDOW };
    let fragments = [masked(0x01, b"abc"), masked(0x80, b"de")].concat();
    assert_eq!(messages(&mut Follower::new(Client, small), &fragments), Err(Bad::TooLarge));
}

#[test]
fn messages_of_one_second_have_a_limit() {
    let limits = Limits { rate: 2, ..WINDOW };
    let mut rate = Rate::default();
    let counted: Vec<bool> =
        [0, 0, 0, 1, 1, 7].iter().map(|second| rate.count(*second, &limits).is_ok()).collect();
    assert_eq!(counted, [true, true, false, true, true, true]);
    assert!((0..1000).all(|_| rate.count(7, &WINDOW).is_ok()), "no limit");
}

#[test]
fn a_close_frame_is_one_for_its_receiver() {
    let mut from_us = Follower::new(Sender::Application, WINDOW);
    assert_eq!(messages(&mut from_us, &close(Sender::Client, 1001)).unwrap()[0].0, Seen::Close);
    let mut from_us = Follower::new(Sender::Client, WINDOW);
    assert_eq!(messages(&mut from_us, &close(Sender::Application, 1008)).unwrap()[0].0, Seen::Close);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_and_where_a_read_ends_changes_nothing(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        cut in 0..200_usize,
    ) {
        let limits = Limits { extensions: true, ..WINDOW };
        let cut = cut.min(bytes.len());
        let whole = messages(&mut Follower::new(Sender::Client, limits), &bytes);
        let mut follower = Follower::new(Sender::Client, limits);
        let halves = messages(&mut follower, &bytes[..cut]).and_then(|mut found| {
            found.extend(messages(&mut follower, &bytes[cut..])?);
            Ok(found)
        });
        prop_assert_eq!(whole, halves);
    }
}
