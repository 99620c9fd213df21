//! The live stream of Bundles as a sidecar reads it: frames are the same however they are cut, and never more than came.

use rasp_policy::stream::{ALIVE_FRAME, BadFrame, Decoder, Frame, Have, bundle_frame};

use super::pieces;

/// The first four bytes say where the rest is cut. All of it is also what a sidecar says it has.
pub fn run(data: &[u8]) {
    let rest = data.get(4..).unwrap_or_default();
    let (whole, end) = frames(&[rest]);
    assert_eq!(frames(&pieces(data)), (whole.clone(), end));
    let bytes = whole.iter().fold(Vec::new(), |mut bytes, frame| {
        match frame {
            Frame::Alive => bytes.extend(ALIVE_FRAME),
            Frame::Bundle(envelope) => {
                bytes.extend(bundle_frame(std::str::from_utf8(envelope).unwrap_or_default()));
            }
        }
        bytes
    });
    let are_texts = whole.iter().all(|frame| match frame {
        Frame::Alive => true,
        Frame::Bundle(envelope) => std::str::from_utf8(envelope).is_ok(),
    });
    assert!(!are_texts || rest.starts_with(&bytes), "what was read is what came");
    assert!(end.is_err() || !are_texts || rest == bytes);
    if let Ok(Ok(have)) = std::str::from_utf8(data).map(str::parse::<Have>) {
        assert_eq!(have.to_string().parse(), Ok(have));
    }
}

fn frames(pieces: &[&[u8]]) -> (Vec<Frame>, Result<(), BadFrame>) {
    let (mut decoder, mut found) = (Decoder::default(), Vec::new());
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => break,
                Err(bad) => return (found, Err(bad)),
            }
        }
    }
    (found, decoder.finish())
}
