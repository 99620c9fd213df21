//! Runs one command. Reads files, and writes manifests to stdout and what became of them to stderr.

use std::collections::BTreeMap;
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::CommandFactory as _;
use rasp_operator::inject::{Level, NamespaceFacts};
use rasp_policy::api::{self, RaspPolicySpec};
use rasp_policy::bundle::{Bundle, Entry, Namespace, SCHEMA_VERSION, Source};

use crate::args::{self, Args, Asked, Command, Output};
use crate::document::{self, Change};
use crate::inject::{self, Inject};
use crate::uninject::Uninject;
use crate::{check, complete, explain, outcome, rollback, settings, status, stream, test, tree, workload};

/// Runs it. `false` when something was refused.
pub fn run(args: Args) -> anyhow::Result<bool> {
    match args.command {
        Command::Check(check) => check::run(&check, &mut std::io::stdout().lock()),
        Command::Status(status) => status::run(&status, &mut std::io::stdout().lock()),
        Command::Explain(explain) => explain::run(&explain, &mut std::io::stdout().lock()),
        Command::Rollback(rollback) => rollback::run(&rollback, &mut std::io::stdout().lock()),
        Command::Test(test) => test::run(&test, &mut std::io::stdout().lock()),
        Command::Inject(inject) => run_inject(&inject),
        Command::Uninject(files) => write(&read(&files.filenames)?, &Uninject, files.diff),
        Command::Version { output } => version(output).map(|()| true),
        Command::Schema => {
            writeln!(std::io::stdout().lock(), "{}", serde_json::to_string_pretty(&test::schema())?)?;
            Ok(true)
        }
        Command::Completion { shell } => completion(shell).map(|()| true),
        Command::Man { folder } => {
            std::fs::create_dir_all(&folder)
                .and_then(|()| clap_mangen::generate_to(Args::command(), &folder))
                .with_context(|| format!("cannot write to {}", folder.display()))?;
            Ok(true)
        }
    }
}

/// A file and what is in it.
pub struct File {
    /// Its path, or `stdin`.
    pub name: String,
    /// Its text.
    pub text: String,
}

fn run_inject(args: &args::Inject) -> anyhow::Result<bool> {
    let settings = match &args.settings {
        Some(path) => settings::read(path)?,
        None => settings::fetch(&args.connection, &args.operator_namespace)?,
    };
    let files = read(&args.files.filenames)?;
    let level = match args.level {
        Asked::Enabled => Level::Enabled,
        Asked::Enforced => Level::Enforced,
        Asked::Object => Level::Object,
    };
    let unknown = NamespaceFacts { bundle: bundle(args.failure_mode), ..NamespaceFacts::default() };
    let mut namespaces = BTreeMap::new();
    for piece in files.iter().flat_map(|file| stream::pieces(&file.text)) {
        // What cannot be read is told when it is its turn.
        let Ok(Some(root)) = tree::read(piece.text) else { continue };
        let objects = workload::objects(&root);
        namespaces.extend(objects.iter().filter_map(|object| inject::namespace(object, &unknown, level)));
    }
    let namespace = args.namespace.clone();
    write(&files, &Inject { settings, level, namespaces, unknown, namespace }, args.files.diff)
}

/// A namespace whose policies say nothing but the failure mode. Its sequence is the lowest.
fn bundle(failure_mode: args::FailureMode) -> Option<Arc<Bundle>> {
    if failure_mode == args::FailureMode::Open {
        return None;
    }
    let text = String::new;
    let source = Source { name: text(), uid: text(), generation: 0, created_at: text() };
    let spec = RaspPolicySpec { failure_mode: Some(api::FailureMode::Closed), ..RaspPolicySpec::default() };
    Some(Arc::new(Bundle {
        schema_version: SCHEMA_VERSION,
        namespace: Namespace { name: text(), uid: text() },
        sequence: 0,
        entries: vec![Entry::policy(source, spec)],
    }))
}

/// Files as they are, folders with what is in them, in the order of names.
pub fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<File>> {
    let mut files = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
            files.push(File { name: "stdin".to_owned(), text });
        } else if path.is_dir() {
            let context = || format!("cannot read {}", path.display());
            let entries = std::fs::read_dir(path).with_context(context)?;
            let mut inside =
                entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
            inside.retain(|path| {
                let extension = path.extension().and_then(|extension| extension.to_str());
                path.is_file() && matches!(extension, Some("yaml" | "yml" | "json"))
            });
            inside.sort();
            anyhow::ensure!(
                !inside.is_empty(),
                "{} has no file that ends in .yaml, .yml or .json",
                path.display()
            );
            for path in inside {
                files.push(read_file(&path)?);
            }
        } else {
            files.push(read_file(path)?);
        }
    }
    Ok(files)
}

fn read_file(path: &Path) -> anyhow::Result<File> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    Ok(File { name, text })
}

/// Changes all documents. Every file begins a document of its own.
fn write(files: &[File], change: &dyn Change, diff: bool) -> anyhow::Result<bool> {
    let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr().lock());
    let (mut is_done, mut ends_a_line) = (true, true);
    for (number, file) in files.iter().enumerate() {
        let mut new = String::with_capacity(file.text.len());
        for piece in stream::pieces(&file.text) {
            let changed = document::change(piece.text, change);
            new.push_str(piece.separator);
            new.push_str(&changed.text);
            for (label, outcome, warnings) in &changed.told {
                is_done &= !outcome.is_failure();
                outcome::tell(&mut err, label, outcome, warnings)?;
            }
        }
        if diff {
            let names = (format!("a/{}", file.name), format!("b/{}", file.name));
            let difference = similar::TextDiff::from_lines(&file.text, &new);
            write!(out, "{}", difference.unified_diff().header(&names.0, &names.1))?;
        } else {
            if number > 0 && !new.starts_with("---") {
                writeln!(out, "{}---", if ends_a_line { "" } else { "\n" })?;
            }
            ends_a_line = new.is_empty() || new.ends_with('\n');
            out.write_all(new.as_bytes())?;
        }
    }
    out.flush()?;
    Ok(is_done)
}

fn completion(shell: args::Shell) -> anyhow::Result<()> {
    use clap_complete::Shell;
    let shell = match shell {
        args::Shell::Bash => Shell::Bash,
        args::Shell::Zsh => Shell::Zsh,
        args::Shell::Fish => Shell::Fish,
        args::Shell::Elvish => Shell::Elvish,
        args::Shell::Powershell => Shell::PowerShell,
        args::Shell::Kubectl => {
            return Ok(std::io::stdout().lock().write_all(complete::KUBECTL.as_bytes())?);
        }
    };
    clap_complete::generate(shell, &mut Args::command(), "raspctl", &mut std::io::stdout());
    Ok(())
}

fn version(output: Output) -> anyhow::Result<()> {
    let version = BTreeMap::from([("clientVersion", env!("CARGO_PKG_VERSION"))]);
    let mut out = std::io::stdout().lock();
    match output {
        Output::Text => writeln!(out, "raspctl {}", env!("CARGO_PKG_VERSION"))?,
        Output::Json => writeln!(out, "{}", serde_json::to_string(&version)?)?,
        Output::Yaml => write!(out, "{}", serde_yaml::to_string(&version)?)?,
    }
    Ok(())
}
