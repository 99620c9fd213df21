use proptest::prelude::*;

use super::super::attribute::Writer;
use super::*;

fn mk_chain(fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.string(1, "rasp-guard");
    writer.string(3, "input");
    fill(&mut writer);
    writer.finish()
}

#[test]
fn objects_of_the_family_are_kept_in_order() {
    let mut dump = Dump::default();
    let mut table = Writer::default();
    table.string(1, "rasp-guard");
    table.be32(2, 1);
    dump.add(NEW_TABLE, FAMILY, &table.finish()).unwrap();
    let chain = mk_chain(|writer| {
        writer.nested(4, |hook| {
            hook.be32(1, 1);
            hook.bytes(2, &(-100i32).to_be_bytes());
        });
        writer.be32(5, 1);
        writer.string(7, "filter");
    });
    dump.add(NEW_CHAIN, FAMILY, &chain).unwrap();
    let mut rule = Writer::default();
    rule.string(1, "rasp-guard");
    rule.string(2, "input");
    rule.bytes(3, &9u64.to_be_bytes());
    dump.add(NEW_RULE, FAMILY, &rule.finish()).unwrap();

    let (table, name) = ("rasp-guard".to_owned(), "input".to_owned());
    let base = Base { kind: "filter".to_owned(), hook: 1, priority: -100, policy: 1 };
    assert_eq!(
        dump,
        Dump {
            tables: vec![Table { name: table.clone(), flags: 1 }],
            chains: vec![Chain { table: table.clone(), name: name.clone(), base: Some(base) }],
            rules: vec![Rule { table, chain: name, handle: 9, expressions: Vec::new() }],
        }
    );
}

#[test]
fn a_chain_without_a_hook_is_no_base_chain() {
    let mut dump = Dump::default();
    dump.add(NEW_CHAIN, FAMILY, &mk_chain(|_| {})).unwrap();
    assert_eq!(dump.chains[0].base, None);
}

#[test]
fn another_family_is_left_out_and_an_unreadable_object_is_not() {
    let mut dump = Dump::default();
    assert_eq!(dump.add(NEW_TABLE, 2, &[]), Some(()));
    assert_eq!(dump, Dump::default());
    assert_eq!(dump.add(NEW_TABLE, FAMILY, &[]), None);
    assert_eq!(dump.add(NEW_RULE, FAMILY, &mk_chain(|_| {})), None);
}

proptest! {
    #[test]
    fn no_bytes_panic(kind in 0xa00u16..0xa08, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Dump::default().add(kind, FAMILY, &bytes);
    }
}
