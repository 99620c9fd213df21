//! The command line of `raspctl`.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Works with kube-rasp from a terminal or a pipeline. Also runs as `kubectl rasp`.
#[derive(Debug, Parser)]
#[command(name = "raspctl", version, propagate_version = true)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Adds the sidecar to the pods of manifests, as the webhook would: YAML on stdout, a line for each object on stderr.
    Inject(Inject),
    /// Takes out of manifests what `inject` added.
    Uninject(Files),
    /// Prints the version.
    Version {
        /// How.
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Prints the completion script of a shell, for example `raspctl completion bash > /etc/bash_completion.d/raspctl`.
    Completion {
        /// For which.
        shell: Shell,
    },
    /// Writes the manual pages into a folder.
    Man {
        /// Which has to be there.
        folder: PathBuf,
    },
}

/// Which manifests, and how to write them.
#[derive(Debug, clap::Args)]
pub struct Files {
    /// A file of YAML or JSON, a folder of such files, or - for standard input; may be given more than once.
    #[arg(short, long = "filename", required = true, value_name = "FILE")]
    pub filenames: Vec<PathBuf>,
    /// Print what would change instead of the manifests.
    #[arg(long)]
    pub diff: bool,
}

/// Flags of `inject`.
#[derive(Debug, clap::Args)]
pub struct Inject {
    /// Which manifests.
    #[command(flatten)]
    pub files: Files,
    /// With what is injected, instead of what the operator in the cluster publishes: a file with the value of
    /// settings.yaml in its ConfigMap kube-rasp-injection.
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// Where the operator runs.
    #[arg(long, value_name = "NAMESPACE", default_value = "kube-rasp")]
    pub operator_namespace: String,
    /// How the namespaces ask for injection whose manifests are not among the files.
    #[arg(long, value_enum, default_value_t = Asked::Enabled)]
    pub level: Asked,
    /// Namespace of objects that name none.
    #[arg(short, long, default_value = "default")]
    pub namespace: String,
    /// What the sidecars do until they have a policy: what the policies of the namespace say.
    #[arg(long, value_enum, default_value_t = FailureMode::Open)]
    pub failure_mode: FailureMode,
}

/// Values of the namespace label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Asked {
    /// Pods may opt out.
    Enabled,
    /// They may not.
    Enforced,
    /// Only pods with the label "true".
    Object,
}

/// Values of `spec.failureMode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailureMode {
    /// What cannot be inspected passes.
    #[value(name = "Open")]
    Open,
    /// It is refused.
    #[value(name = "Closed")]
    Closed,
}

/// How something is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One object.
    Json,
    /// One object.
    Yaml,
}
