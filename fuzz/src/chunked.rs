//! A body in chunks: the same in one piece as in many, and read by another parser in the same way.

use rasp_proxy::guard::Limits;
use rasp_proxy::guard::chunk::Chunked;

use super::{pieces, reader};

/// What of the bytes goes on, whether the body is over, and whether it was refused.
fn follow(pieces: &[&[u8]]) -> (Vec<u8>, bool, bool) {
    let (limits, mut body, mut kept, mut passed) =
        (Limits::default(), Chunked::default(), Vec::new(), Vec::new());
    for piece in pieces {
        kept.extend_from_slice(piece);
        match body.look(&kept, &limits) {
            Ok(length) => passed.extend(kept.drain(..length)),
            Err(_) => return (passed, false, true),
        }
        if body.is_over() {
            return (passed, true, false);
        }
    }
    (passed, false, false)
}

/// The first four bytes say where the rest is cut.
pub fn run(data: &[u8]) {
    let rest = &data[data.len().min(4)..];
    let (whole, over, refused) = follow(&[rest]);
    let (split, split_over, split_refused) = follow(&pieces(data));
    assert_eq!((over, refused), (split_over, split_refused), "pieces change the answer");
    if over {
        assert_eq!(whole, split);
        let (body, read) = reader::chunked(&whole).expect("another parser refuses what goes on");
        assert_eq!(read, whole.len(), "another parser sees another end");
        assert!(body.len() <= whole.len());
    }
}
