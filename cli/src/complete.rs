//! Completion of `kubectl rasp`: kubectl asks a program `kubectl_complete-rasp` with the words of the line, which asks us with
//! `__complete` before them, and is answered as Cobra programs do: a line for each suggestion, then `:` and a number. Pure.
//!
//! Asks no cluster. Called by `main` before the command line is read, since its last word is not whole.

use std::ffi::OsString;

use clap::{Arg, Command, ValueHint};

/// The program that kubectl asks.
pub const KUBECTL: &str = "#!/bin/sh\n# Completes `kubectl rasp`: executable, and on PATH as kubectl_complete-rasp.\nexec kubectl-rasp __complete \"$@\"\n";

/// The shell completes names of files itself.
const FILES: &str = ":0";
/// It does not (ShellCompDirectiveNoFileComp).
const NO_FILES: &str = ":4";

/// The words to complete, if this is what we are asked for.
pub fn asked(mut arguments: impl Iterator<Item = OsString>) -> Option<Vec<String>> {
    arguments.nth(1).filter(|first| first == "__complete")?;
    Some(arguments.map(|word| word.to_string_lossy().into_owned()).collect())
}

/// The answer. The last word is what is being typed.
pub fn answer(mut root: Command, words: &[String]) -> String {
    root.build();
    let (typed, before) =
        words.split_last().map_or(("", &[][..]), |(typed, before)| (typed.as_str(), before));
    let (mut command, mut pending, mut positional) = (&root, None, 0);
    for word in before {
        if pending.take().is_some() {
            continue;
        }
        if word.starts_with('-') && word.len() > 1 {
            pending = flag(command, word).filter(|arg| takes_a_value(arg) && !word.contains('='));
        } else if let Some(inner) = command.find_subcommand(word) {
            (command, positional) = (inner, 0);
        } else {
            positional += 1;
        }
    }
    let (mut lines, mut directive) = (Vec::new(), NO_FILES);
    let mut offer = |name: &str, help: String| {
        if name.starts_with(typed) {
            lines.push(if help.is_empty() { name.to_owned() } else { format!("{name}\t{help}") });
        }
    };
    let positionals: Vec<&Arg> = command.get_positionals().collect();
    let value = match (pending, typed.split_once('=').filter(|_| typed.starts_with("--"))) {
        (Some(arg), _) => Some((arg, String::new())),
        (None, Some((name, _))) => flag(command, name).map(|arg| (arg, format!("{name}="))),
        (None, None) if typed.starts_with('-') => {
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
                if let Some(long) = arg.get_long() {
                    offer(&format!("--{long}"), summary(arg.get_help()));
                }
            }
            None
        }
        (None, None) => {
            for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
                offer(inner.get_name(), summary(inner.get_about()));
            }
            // The last one may come more than once.
            positionals.get(positional).or(positionals.last()).map(|arg| (*arg, String::new()))
        }
    };
    if let Some((arg, prefix)) = value {
        for value in arg.get_possible_values().iter().filter(|value| !value.is_hide_set()) {
            offer(&format!("{prefix}{}", value.get_name()), summary(value.get_help()));
        }
        if !matches!(arg.get_value_hint(), ValueHint::Unknown | ValueHint::Other) {
            directive = FILES;
        }
    }
    lines.push(directive.to_owned());
    lines.join("\n") + "\n"
}

/// The flag that a word is, `--output`, `--output=x` or `-o`.
fn flag<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let name = word.split('=').next().unwrap_or_default();
    command.get_arguments().find(|arg| match name.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => name.strip_prefix('-').is_some_and(|short| {
            let mut chars = short.chars();
            chars.next().is_some_and(|first| arg.get_short() == Some(first)) && chars.next().is_none()
        }),
    })
}

fn takes_a_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

/// The first sentence of a help, in one line.
fn summary(help: Option<&clap::builder::StyledStr>) -> String {
    let text = help.map(ToString::to_string).unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    line.split(". ").next().unwrap_or_default().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::{answer, asked};
    use crate::args::Args;

    fn names(words: &[&str]) -> Vec<String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let answer = answer(Args::command(), &words);
        answer.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn words_are_completed_by_what_may_stand_there() {
        assert_eq!(names(&["che"]), ["check", ":4"]);
        assert_eq!(names(&["check", "--pr"]), ["--pre", "--probe-namespace", ":4"]);
        assert_eq!(names(&["status", "-o", ""]), ["table", "json", "yaml", ":4"]);
        assert_eq!(names(&["status", "--output=j"]), ["--output=json", ":4"]);
        assert_eq!(names(&["explain", "pol"]), ["policy", ":4"]);
        assert_eq!(names(&["explain", "policy", "pod/a", "--al"]), ["--all", ":4"]);
        assert_eq!(names(&["test", "-f", "a.yaml", "req"]), [":0"], "the shell knows its files");
        assert_eq!(names(&["check", "--kubeconfig", ""]), [":0"]);
        assert_eq!(names(&["check", "-n"]), [":4"]);
        assert_eq!(names(&["completion", "k"]), ["kubectl", ":4"]);
        assert!(names(&[""]).contains(&"status".to_owned()) && names(&[]).contains(&"test".to_owned()));
    }

    #[test]
    fn only_the_word_that_kubectl_is_answered_by_is_ours() {
        let words = |words: &[&str]| asked(words.iter().map(std::ffi::OsString::from));
        assert_eq!(
            words(&["kubectl-rasp", "__complete", "a", ""]),
            Some(vec!["a".to_owned(), String::new()])
        );
        assert_eq!(words(&["kubectl-rasp", "check", "__complete"]), None);
        assert_eq!(words(&["kubectl-rasp"]), None);
    }
}
