//! Splits a file into its YAML documents without losing a byte: what is not changed is written as it was read.
//! JSON is a document like any other. Called by [`crate::inject`] and [`crate::uninject`].

/// A piece of a file: the text of a document, and the line that separates it from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// `---` with its line end, and what follows it on the line; empty before the first document of most files.
    pub separator: &'a str,
    /// The document.
    pub text: &'a str,
}

/// The pieces, which concatenated are the file. A line that begins with `---` ends a document wherever it stands
/// (YAML 1.2.2 section 9.1.2: neither scalars nor comments may contain one).
pub fn pieces(file: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut separator, mut start, mut at) = ("", 0, 0);
    for line in file.split_inclusive('\n') {
        let end = at + line.len();
        if is_separator(line) {
            pieces.push(Piece { separator, text: file.get(start..at).unwrap_or_default() });
            separator = file.get(at..end).unwrap_or_default();
            start = end;
        }
        at = end;
    }
    pieces.push(Piece { separator, text: file.get(start..).unwrap_or_default() });
    pieces
}

/// `---` alone, or with a comment. A document that begins on that line (`--- {}`) is legal, and nobody writes it.
fn is_separator(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| {
        rest.trim().is_empty() || rest.starts_with([' ', '\t']) && rest.trim_start().starts_with('#')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_of_a_file_are_the_file() {
        for (file, texts) in [
            ("", vec![""]),
            ("a: 1\n", vec!["a: 1\n"]),
            ("a: 1\n---\nb: 2", vec!["a: 1\n", "b: 2"]),
            ("---\na: 1\n--- # next\n\n---\r\nb: |\n  ---\n", vec!["", "a: 1\n", "\n", "b: |\n  ---\n"]),
            ("---a: 1\n----\n", vec!["---a: 1\n----\n"]),
        ] {
            let pieces = pieces(file);
            assert_eq!(pieces.iter().map(|piece| piece.text).collect::<Vec<_>>(), texts, "{file:?}");
            let whole: String = pieces.iter().flat_map(|piece| [piece.separator, piece.text]).collect();
            assert_eq!(whole, file);
        }
    }
}
