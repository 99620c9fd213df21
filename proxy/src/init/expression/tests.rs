use proptest::prelude::*;

use super::*;

fn encoded(expressions: &[Expression]) -> Vec<u8> {
    let mut list = Writer::default();
    for expression in expressions {
        expression.encode(&mut list);
    }
    list.finish()
}

#[cfg(target_endian = "little")]
fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

#[test]
#[cfg(target_endian = "little")]
fn the_form_of_linux_6_18_is_read_without_what_the_kernel_adds() {
    // The redirect: the kernel adds the upper end of the port range, and clears the mark of nested attributes.
    let list = unhex(
        "24000100 09000100 6d657461 00000000 14000200 08000200 00000010 08000100 00000001
         2c000100 08000100 636d7000 20000200 08000100 00000001 08000200 00000000 0c000300 05000100 06000000
         24000100 0b000100 736f636b 65740000 14000200 08000100 00000002 08000200 00000001
         2c000100 08000100 636d7000 20000200 08000100 00000001 08000200 00000003 0c000300 05000100 01000000
         2c000100 0e000100 696d6d65 64696174 65000000 18000200 08000100 00000001 0c000200 06000100 3f0f0000
         2c000100 0a000100 72656469 72000000 1c000200 08000100 00000001 08000200 00000001 08000300 00000002",
    );
    let expected = vec![
        Expression::Meta(META_L4PROTO),
        Expression::Compare { operator: EQUAL, value: vec![6] },
        Expression::Socket(SOCKET_WILDCARD),
        Expression::Compare { operator: LESS_OR_EQUAL, value: vec![1] },
        Expression::Load(vec![0x3f, 0x0f]),
        Expression::Redirect,
    ];
    assert_eq!(Expression::decode_list(&list), Some(expected));

    // The end of the guard: the kernel names the operation of `bitwise`.
    let list = unhex(
        "20000100 07000100 63740000 14000200 08000100 00000001 08000200 00000002
         4c000100 0c000100 62697477 69736500 3c000200 08000100 00000001 08000200 00000001 08000300 00000004
         08000600 00000000 0c000400 08000100 20000000 0c000500 08000100 00000000
         30000100 0e000100 696d6d65 64696174 65000000 1c000200 08000100 00000000 10000200 0c000200 08000100 fffffffb
         1c000100 0b000100 72656a65 63740000 0c000200 08000100 00000001",
    );
    let expected = vec![
        Expression::Ct(CT_STATUS),
        Expression::Bitwise { mask: vec![0x20, 0, 0, 0], xor: vec![0; 4] },
        Expression::Verdict(RETURN),
        Expression::Reject(TCP_RESET),
    ];
    assert_eq!(Expression::decode_list(&list), Some(expected));
}

#[test]
#[cfg(target_endian = "little")]
fn the_written_form_is_the_one_the_kernel_documents() {
    let bytes = encoded(&[Expression::Compare { operator: EQUAL, value: vec![6] }]);
    let expected = unhex(
        "2c000180 08000100 636d7000 20000280 08000100 00000001 08000200 00000000 0c000380 05000100 06000000",
    );
    assert_eq!(bytes, expected);
}

/// The data of one expression, written by hand.
fn foreign(name: &str, fill: impl FnOnce(&mut Writer)) -> Expression {
    let mut list = Writer::default();
    list.nested(LIST_ELEMENT, |element| {
        element.string(NAME, name);
        element.nested(DATA, fill);
    });
    Expression::decode_list(&list.finish()).unwrap().remove(0)
}

#[test]
fn a_form_that_is_never_written_is_equal_to_nothing_that_is() {
    type Fill = fn(&mut Writer);
    let cases: [(&str, &str, Fill); 8] = [
        ("redir to a range of ports", "redir", |d| {
            d.be32(1, 1);
            d.be32(2, 2);
        }),
        ("redir with random ports", "redir", |d| {
            d.be32(1, 1);
            d.be32(3, 6);
        }),
        ("bitwise that shifts", "bitwise", |d| {
            d.be32(1, 1);
            d.be32(2, 1);
            d.be32(3, 4);
            d.nested(4, |m| m.bytes(1, &[32, 0, 0, 0]));
            d.nested(5, |x| x.bytes(1, &[0; 4]));
            d.be32(6, 1);
        }),
        ("meta that sets", "meta", |d| {
            d.be32(2, 3);
            d.be32(3, 1);
        }),
        ("ct of one direction", "ct", |d| {
            d.be32(1, 1);
            d.be32(2, 2);
            d.bytes(3, &[0]);
        }),
        ("another register", "ct", |d| {
            d.be32(1, 2);
            d.be32(2, 2);
        }),
        ("reject with an ICMP code", "reject", |d| {
            d.be32(1, 1);
            d.be32(2, 3);
        }),
        ("jump to a chain", "immediate", |d| {
            d.be32(1, 0);
            d.nested(2, |data| {
                data.nested(2, |verdict| {
                    verdict.be32(1, 1);
                    verdict.string(2, "elsewhere");
                });
            });
        }),
    ];
    for (case, name, fill) in cases {
        let found = foreign(name, fill);
        assert!(matches!(found, Expression::Other { .. }), "{case}: {found:?}");
    }
}

#[test]
fn an_attribute_that_a_newer_kernel_adds_is_a_default() {
    let found = foreign("meta", |data| {
        data.be32(1, 1);
        data.be32(2, META_L4PROTO);
        data.be32(4, 0);
    });
    assert_eq!(found, Expression::Meta(META_L4PROTO));
}

fn any_expression() -> impl Strategy<Value = Expression> {
    let bytes = || proptest::collection::vec(any::<u8>(), 1..20);
    prop_oneof![
        any::<u32>().prop_map(Expression::Meta),
        (any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(base, offset, length)| Expression::Payload {
            base,
            offset,
            length
        }),
        any::<u32>().prop_map(Expression::Ct),
        any::<u32>().prop_map(Expression::Socket),
        (any::<u32>(), bytes()).prop_map(|(operator, value)| Expression::Compare { operator, value }),
        bytes().prop_map(|mask| Expression::Bitwise { xor: vec![0; mask.len()], mask }),
        bytes().prop_map(Expression::Load),
        any::<u32>().prop_map(Expression::Verdict),
        Just(Expression::Redirect),
        any::<u32>().prop_map(Expression::Reject),
        ("[a-z]{9,12}", bytes()).prop_map(|(name, data)| Expression::Other { name, data }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(expressions in proptest::collection::vec(any_expression(), 0..8)) {
        prop_assert_eq!(Expression::decode_list(&encoded(&expressions)), Some(expressions));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Some(expressions) = Expression::decode_list(&bytes) {
            for expression in &expressions {
                let _ = expression.to_string();
            }
        }
    }

    #[test]
    fn no_damaged_list_panics(
        expressions in proptest::collection::vec(any_expression(), 1..8),
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encoded(&expressions);
        let at = at.index(bytes.len());
        bytes[at] = value;
        bytes.truncate(cut.index(bytes.len()) + 1);
        let _ = Expression::decode_list(&bytes);
    }
}
