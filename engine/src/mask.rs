//! What of a value may leave the process: its shape and the words of the language that a detector reads, never its data.

const LONGEST_SAMPLE: usize = 96;
const LONGEST_NAME: usize = 64;

/// Punctuation and words that `is_known` stay; of any other word only its length is seen (at most 8 letters `a`),
/// digits become `9`.
pub(crate) fn sample(bytes: &[u8], is_known: impl Fn(&[u8]) -> bool) -> String {
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
        if is_known(word) {
            shape.extend(word.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
        } else {
            shape.extend(word.iter().take(8).map(|byte| if byte.is_ascii_digit() { '9' } else { 'a' }));
        }
        rest = after;
    }
    shape
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// A parameter name that is safe to log: an ordinary name stays as it is, anything else becomes its shape.
pub(crate) fn name(bytes: &[u8]) -> String {
    let ordinary = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-[]$:".contains(byte);
    let bytes = bytes.get(..LONGEST_NAME).unwrap_or(bytes);
    bytes.iter().map(|byte| if ordinary(byte) { char::from(*byte) } else { '?' }).collect()
}
