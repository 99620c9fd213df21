use std::io::Write as _;

use proptest::prelude::*;

use super::*;
use crate::budget::Limits;

const TEXT: &[u8] = b"id=1' or 1=1--&name=Ada";
/// `TEXT`, by the reference encoders.
const BROTLI: &[u8] = b"\x0b\x0b\x80id=1' or 1=1--&name=Ada\x03";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd\x20\x17\xb9\x00\x00id=1' or 1=1--&name=Ada";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn undone(codings: &str, bytes: &[u8]) -> Undone {
    undo(codings.as_bytes(), bytes, &mut Budget::new(Limits::for_body(131_072))).unwrap()
}

#[test]
fn every_coding_is_undone() {
    let whole = || Undone::Whole(TEXT.to_vec());
    assert_eq!(undone("gzip", &gzip(TEXT)), whole());
    assert_eq!(undone("X-GZIP", &[gzip(&TEXT[..5]), gzip(&TEXT[5..])].concat()), whole());
    assert_eq!(undone("deflate", &zlib(TEXT)), whole());
    assert_eq!(undone("deflate", &deflate(TEXT)), whole());
    assert_eq!(undone("br", BROTLI), whole());
    assert_eq!(undone("zstd", ZSTD), whole());
    let skipped = [&b"\x50\x2a\x4d\x18\x01\x00\x00\x00x"[..], ZSTD].concat();
    assert_eq!(undone("zstd", &skipped), whole());
    assert_eq!(undone("deflate, identity, gzip", &gzip(&zlib(TEXT))), whole());
}

#[test]
fn what_is_not_encoded_is_told_and_what_breaks_off_is_read() {
    for coding in ["gzip", "deflate", "br", "zstd", "compress", "gzip, gzip, gzip, gzip"] {
        assert_eq!(undone(coding, TEXT), Undone::Not, "{coding}");
    }
    let long = TEXT.repeat(2_000);
    let packed = gzip(&long);
    match undone("gzip", &packed[..packed.len() - 12]) {
        Undone::Cut(bytes, Reason::EncodedBody) => assert!(long.starts_with(&bytes) && !bytes.is_empty()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bomb_stays_small() {
    let bomb = gzip(&vec![0; 8 << 20]);
    match undone("gzip", &bomb) {
        Undone::Cut(bytes, Reason::DecodedTooLarge) => assert!(bytes.len() <= 100 * bomb.len()),
        other => panic!("{other:?}"),
    }
    let twice = gzip(&bomb);
    match undone("gzip, gzip", &twice) {
        Undone::Cut(bytes, Reason::DecodedTooLarge) => assert!(bytes.len() <= 1 << 20),
        other => panic!("{other:?}"),
    }
    // Asks for a window of 3.75 TiB, and for one of 128 MiB.
    for window in [0xFF, 17 << 3] {
        let frame = [&[0x28, 0xB5, 0x2F, 0xFD, 0x00, window][..], &[0xB9, 0, 0], TEXT].concat();
        assert_eq!(undone("zstd", &frame), Undone::Not);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(
        coding in proptest::sample::select(vec!["gzip", "deflate", "br", "zstd", "gzip, zstd"]),
        start in 0_usize..12,
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        for whole in [gzip(TEXT), zlib(TEXT), deflate(TEXT), BROTLI.to_vec(), ZSTD.to_vec()] {
            let input = [&whole[..start.min(whole.len())], &bytes].concat();
            let mut budget = Budget::new(Limits::for_body(131_072));
            if let Ok(Undone::Whole(output) | Undone::Cut(output, _)) = undo(coding.as_bytes(), &input, &mut budget) {
                prop_assert!(output.len() <= 1 << 20);
            }
        }
    }
}
