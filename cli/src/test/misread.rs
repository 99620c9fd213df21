//! Words that Kubernetes reads otherwise than we do: it reads YAML 1.1, in which `Off` is *false*. A policy that passes here and that no
//! API server takes would be found out in the cluster only. Pure.

use std::fmt;

use serde_json::Value;

use crate::{stream, tree};

/// A word that is none for Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misread {
    /// Path of the field.
    path: String,
    /// As it stands there.
    word: String,
    /// What an API server is sent.
    is: Value,
}

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, word, is } = self;
        write!(f, "{path} is {word}, which Kubernetes reads as {is}: write \"{word}\", with the quotes")
    }
}

/// Compares what we read of each document with what `kubectl` reads.
pub fn check(file: &str) -> Result<(), Misread> {
    for piece in stream::pieces(file) {
        let (Ok(ours), Ok(Some(theirs))) =
            (serde_yaml::from_str::<Value>(piece.text), tree::read(piece.text))
        else {
            continue;
        };
        compare("", &ours, &theirs.value())?;
    }
    Ok(())
}

fn compare(path: &str, ours: &Value, theirs: &Value) -> Result<(), Misread> {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => ours.iter().try_for_each(|(key, ours)| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            theirs.get(key).map_or(Ok(()), |theirs| compare(&path, ours, theirs))
        }),
        (Value::Array(ours), Value::Array(theirs)) => {
            let mut pairs = ours.iter().zip(theirs).enumerate();
            pairs.try_for_each(|(index, (ours, theirs))| compare(&format!("{path}[{index}]"), ours, theirs))
        }
        (Value::String(_), Value::String(_)) => Ok(()),
        (Value::String(word), is) => {
            Err(Misread { path: path.to_owned(), word: word.clone(), is: is.clone() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_word_that_kubernetes_takes_for_something_else_is_named_with_its_field() {
        for (text, said) in [
            (
                "spec: {mode: Off}",
                "spec.mode is Off, which Kubernetes reads as false: write \"Off\", with the quotes",
            ),
            (
                "a: 1\n---\nspec:\n  list:\n  - x: yes\n",
                "spec.list[0].x is yes, which Kubernetes reads as true",
            ),
            ("labels: {version: 0o17}\nb: on", "b is on, which Kubernetes reads as true"),
        ] {
            let error = check(text).unwrap_err().to_string();
            assert!(error.starts_with(said), "{text}: {error}");
        }
        for text in ["spec: {mode: \"Off\", a: 'no', b: Offline, c: true, d: 1}", "", "# nothing", "a: ["] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }
}
