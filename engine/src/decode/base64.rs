//! Base64 (RFC 4648) as leniently as applications read it: both alphabets, with or without padding and line breaks.

use base64::Engine as _;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Appends what the text stands for. `None` where it is something else.
pub(super) fn decode_into(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let is_url = memchr::memchr2(b'-', b'_', text).is_some();
    let engine = if is_url { &LENIENT_URL_SAFE } else { &LENIENT };
    if memchr::memchr2(b'\r', b'\n', text).is_none() {
        return engine.decode_vec(text, out).ok();
    }
    let joined: Vec<u8> = text.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    engine.decode_vec(joined, out).ok()
}

/// The alphabet of RFC 4648 section 4, with any padding: applications differ in what they ask for.
pub(super) const LENIENT: GeneralPurpose = lenient(&STANDARD);
const LENIENT_URL_SAFE: GeneralPurpose = lenient(&URL_SAFE);

const fn lenient(alphabet: &Alphabet) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(alphabet, config)
}
