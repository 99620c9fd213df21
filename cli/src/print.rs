//! How results are printed: a table for people, one document for programs. Colours go to a terminal only, and not where
//! `NO_COLOR` is set (no-color.org). Texts from a cluster lose their control characters: a name in a log line could
//! otherwise write to the terminal.

use std::io::{IsTerminal as _, Write};

use rasp_operator::text::is_printable;
use serde::Serialize;

use crate::args::Format;

/// Prints a value as a document; `false` where a table is asked for.
pub fn document<T: Serialize>(out: &mut dyn Write, format: Format, value: &T) -> anyhow::Result<bool> {
    match format {
        Format::Table => return Ok(false),
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(value)?)?,
        Format::Yaml => write!(out, "{}", serde_yaml::to_string(value)?)?,
    }
    Ok(true)
}

/// Prints columns, two blanks between them. The last one is not filled up.
pub fn table(out: &mut dyn Write, head: &[&str], rows: &[Vec<String>]) -> std::io::Result<()> {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())
    };
    line(&mut head.iter().copied())?;
    rows.iter().try_for_each(|row| line(&mut row.iter().map(String::as_str)))
}

/// A text without what a terminal obeys, and without what is not seen or turns text round.
pub fn plain(text: &str) -> String {
    text.chars().map(|char| if is_printable(char) { char } else { '?' }).collect()
}

/// The first of several names, and how many there are more.
pub fn some(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}

/// A colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// As it should be.
    Green,
    /// Worth a look.
    Yellow,
    /// Wrong.
    Red,
}

/// Whether stdout is coloured.
#[derive(Clone, Copy, Debug)]
pub struct Paint(bool);

impl Paint {
    /// As stdout and the environment say.
    pub fn of_stdout() -> Self {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self(!forbidden && std::io::stdout().is_terminal())
    }

    /// The text in a colour.
    pub fn text(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Red => 31,
        };
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::{Colour, Paint, plain, some, table};

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_without_blanks() {
        let mut out = Vec::new();
        let rows = [vec!["a".to_owned(), String::new()], vec!["long name".to_owned(), "x".to_owned()]];
        table(&mut out, &["NAME", "B"], &rows).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "NAME       B\na\nlong name  x\n");
    }

    #[test]
    fn a_text_from_a_log_cannot_write_to_the_terminal() {
        assert_eq!(plain("a\x1b[31mb\r\nc\u{9b}"), "a?[31mb??c?");
        assert_eq!(plain("\u{202e}evil\u{200b}"), "?evil?");
        assert_eq!(Paint(false).text(Colour::Red, "a"), "a");
        assert_eq!(Paint(true).text(Colour::Red, "a"), "\x1b[31ma\x1b[0m");
    }

    #[test]
    fn of_many_names_five_are_shown() {
        let names: Vec<String> = (0..7).map(|number: u8| number.to_string()).collect();
        assert_eq!(some(&names), "0, 1, 2, 3, 4 and 2 more");
        assert_eq!(some(&names[..2]), "0, 1");
    }
}
