use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::config::MAX_SKIP_PORTS;
use super::super::ruleset::{Form, build};
use super::*;

fn mk_tables(ports: &[u16]) -> [Table; 2] {
    build(&ports.iter().copied().collect(), Form::Listeners)
}

/// Type, flags and sequence number of each message.
fn headers(mut bytes: &[u8]) -> Vec<(u16, u16, u32)> {
    let mut headers = Vec::new();
    while !bytes.is_empty() {
        let length = usize::try_from(u32::from_ne_bytes(bytes[..4].try_into().unwrap())).unwrap();
        let kind = u16::from_ne_bytes(bytes[4..6].try_into().unwrap());
        let flags = u16::from_ne_bytes(bytes[6..8].try_into().unwrap());
        headers.push((kind, flags, u32::from_ne_bytes(bytes[8..12].try_into().unwrap())));
        bytes = &bytes[aligned(length)..];
    }
    headers
}

#[test]
fn a_batch_replaces_both_tables_between_begin_and_commit() {
    let tables = mk_tables(&[]);
    let batch = Batch::build(&tables);
    let steps: Vec<String> = batch.steps.iter().map(ToString::to_string).collect();
    assert_eq!(
        steps,
        [
            "run the batch of nftables",
            "create table rasp-redirect",
            "delete table rasp-redirect",
            "create table rasp-redirect",
            "create chain prerouting of table rasp-redirect",
            "create rule \"leave port 16143\" of table rasp-redirect",
            "create rule \"leave port 16191\" of table rasp-redirect",
            "create rule \"redirect to the sidecar\" of table rasp-redirect",
            "create table rasp-guard",
            "delete table rasp-guard",
            "create table rasp-guard",
            "create chain input of table rasp-guard",
            "create rule \"accept loopback\" of table rasp-guard",
            "create rule \"accept established\" of table rasp-guard",
            "create rule \"accept port 16191\" of table rasp-guard",
            "create rule \"drop untracked\" of table rasp-guard",
            "create rule \"reject not redirected\" of table rasp-guard",
            "commit the batch of nftables",
        ]
    );
    let (table, delete, chain, rule) = (0xa00, 0xa02, 0xa03, 0xa06);
    let kinds = [
        [16, table, delete, table, chain].as_slice(),
        &[rule; 3],
        &[table, delete, table, chain],
        &[rule; 5],
        &[17],
    ]
    .concat();
    let headers = headers(&batch.bytes);
    assert_eq!(headers.iter().map(|(kind, ..)| *kind).collect::<Vec<u16>>(), kinds);
    assert!(headers.iter().zip(0..).all(|((_, _, sequence), at)| *sequence == at));
    let acknowledged: Vec<u32> =
        headers.iter().filter(|(_, flags, _)| flags & ACKNOWLEDGE != 0).map(|(.., s)| *s).collect();
    assert_eq!(acknowledged, [16]);
    assert_eq!(batch.last(), 16);
}

#[test]
fn the_largest_batch_fits_into_one_datagram() {
    let ports: BTreeSet<u16> = (1..).take(MAX_SKIP_PORTS).collect();
    let tables = build(&ports, Form::Listeners);
    let batch = Batch::build(&tables);
    assert!(batch.bytes.len() < 212_992 - 32, "{} bytes", batch.bytes.len());
}

#[test]
fn a_step_names_the_modules_it_needs() {
    let tables = mk_tables(&[]);
    let batch = Batch::build(&tables);
    let modules = |at: usize| batch.steps[at].modules();
    assert_eq!(modules(1), ["nf_tables"]);
    assert_eq!(modules(4), ["nft_chain_nat"]);
    assert_eq!(modules(7), ["nft_socket", "nft_redir"]);
    assert_eq!(modules(16), ["nft_ct", "nft_reject_inet"]);
}

fn mk_message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_message(&mut bytes, kind, flags, sequence, body);
    bytes
}

#[test]
fn replies_of_a_datagram_are_told_apart() {
    let mut refusal = (-2i32).to_ne_bytes().to_vec();
    refusal.extend_from_slice(&[0; 16]);
    let mut bytes = mk_message(NLMSG_ERROR, 0, 7, &refusal);
    bytes.extend(mk_message(NEW_RULE, DUMP_INTERRUPTED, 8, &[FAMILY, 0, 0, 1, 5, 0, 1, 0, 9]));
    bytes.extend(mk_message(NLMSG_DONE, 2, 9, &0i32.to_ne_bytes()));
    let replies = replies(&bytes).unwrap();
    assert_eq!(replies[0], Reply { sequence: 7, interrupted: false, content: Content::Status(2) });
    let object = Content::Object { kind: NEW_RULE, family: FAMILY, attributes: &[5, 0, 1, 0, 9] };
    assert_eq!(replies[1], Reply { sequence: 8, interrupted: true, content: object });
    assert_eq!(replies[2], Reply { sequence: 9, interrupted: false, content: Content::Done(0) });
}

#[test]
fn a_length_that_is_too_short_or_too_long_is_malformed() {
    for length in [0u32, 15, 21, u32::MAX] {
        let mut bytes = mk_message(NLMSG_DONE, 0, 0, &[0; 4]);
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        assert_eq!(replies(&bytes), None, "length {length}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = replies(&bytes);
    }

    #[test]
    fn no_damaged_batch_panics(at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let tables = mk_tables(&[80]);
        let mut bytes = Batch::build(&tables).bytes;
        let at = at.index(bytes.len());
        bytes[at] = value;
        let _ = replies(&bytes);
    }
}
