//! What of a value may leave the process: its shape and the SQL words in it, never its data.

use super::functions::FUNCTIONS;
use super::words::WORDS;

const LONGEST_SAMPLE: usize = 96;
const LONGEST_NAME: usize = 64;

/// SQL words and punctuation stay; of any other word only its length is seen (at most 8 letters `a`), digits become `9`.
pub(super) fn sample(bytes: &[u8]) -> String {
    let mut shape = String::new();
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        if shape.len() >= LONGEST_SAMPLE {
            shape.push('~');
            break;
        }
        let length = rest.iter().take_while(|byte| is_word_byte(**byte)).count();
        if length == 0 {
            shape.push(if first.is_ascii_graphic() { char::from(*first) } else { ' ' });
            rest = after;
            continue;
        }
        let (word, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        push_word(&mut shape, word);
        rest = after;
    }
    shape
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn push_word(shape: &mut String, word: &[u8]) {
    if WORDS.find(word).is_some() || FUNCTIONS.find(word).is_some() {
        shape.extend(word.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
    } else {
        shape.extend(word.iter().take(8).map(|byte| if byte.is_ascii_digit() { '9' } else { 'a' }));
    }
}

/// A parameter name that is safe to log: an ordinary name stays as it is, anything else becomes its shape.
pub(crate) fn name(bytes: &[u8]) -> String {
    let ordinary = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-[]$:".contains(byte);
    let bytes = bytes.get(..LONGEST_NAME).unwrap_or(bytes);
    bytes.iter().map(|byte| if ordinary(byte) { char::from(*byte) } else { '?' }).collect()
}
