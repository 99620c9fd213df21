//! The command line of `raspctl`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use crate::cluster::Connection;

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
    /// Checks a cluster before kube-rasp is installed (--pre), or what is installed: a line each, pass, warn or fail, with a
    /// hint. Exit code 1 if a line fails.
    Check(Check),
    /// Shows namespaces, pods, policies and versions: who is protected, and by what.
    Status(Status),
    /// Explains a request that was found or refused, by its id; or, with `policy`, what is in force for a pod and why.
    Explain(Explain),
    /// Puts the policies and exceptions of a namespace back to what they were, or lists what that was. Asks before it changes
    /// anything.
    Rollback(Rollback),
    /// Judges requests of files by policies of files, without a cluster, and compares with what is expected. Exit code 1 if
    /// a request is judged otherwise.
    Test(Test),
    /// Adds the sidecar to the pods of manifests, as the webhook would: YAML on stdout, a line for each object on stderr.
    Inject(Inject),
    /// Takes out of manifests what `inject` added.
    Uninject(Files),
    /// Prints the version.
    Version {
        /// How it is printed.
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Prints the JSON schema of the requests that `test` reads, for editors.
    Schema,
    /// Prints the completion script of a shell, for example `raspctl completion bash > /etc/bash_completion.d/raspctl`; with
    /// `kubectl` the program kubectl_complete-rasp, by which kubectl completes `kubectl rasp`.
    Completion {
        /// For which.
        shell: Shell,
    },
    /// Writes the manual pages into a folder.
    Man {
        /// Made where it is not there.
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
    /// From which cluster.
    #[command(flatten)]
    pub connection: Connection,
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

/// Flags of `check`.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// Check what is needed before the installation.
    #[arg(long)]
    pub pre: bool,
    /// Fail on warnings as well.
    #[arg(long)]
    pub strict: bool,
    /// Where the operator runs, or will run.
    #[arg(long, value_name = "NAMESPACE", default_value = "kube-rasp")]
    pub operator_namespace: String,
    /// Where a pod is tried in a dry run, instead of the first namespace that asks for protection, or `default`.
    #[arg(long, value_name = "NAMESPACE")]
    pub probe_namespace: Option<String>,
    /// How the result is printed.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// Which cluster.
    #[command(flatten)]
    pub connection: Connection,
}

/// Flags of `status`.
#[derive(Debug, clap::Args)]
pub struct Status {
    /// Only this namespace, instead of all.
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// All namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// Where the operator runs.
    #[arg(long, value_name = "NAMESPACE", default_value = "kube-rasp")]
    pub operator_namespace: String,
    /// How the result is printed.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// Which cluster.
    #[command(flatten)]
    pub connection: Connection,
}

/// Flags of `explain`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Explain {
    /// What else.
    #[command(subcommand)]
    pub what: Option<Explained>,
    /// The request.
    #[command(flatten)]
    pub request: ExplainRequest,
}

/// What is explained beside requests.
#[derive(Debug, Subcommand)]
pub enum Explained {
    /// Shows each field that is in force for a pod, the policy that decided it, and those that lost.
    Policy(ExplainPolicy),
}

/// Flags of `explain REQUEST-ID`.
#[derive(Debug, clap::Args)]
pub struct ExplainRequest {
    /// The id: in the field x-request-id of the answer, and in its body.
    #[arg(value_name = "REQUEST-ID", required = true)]
    pub id: Option<String>,
    /// Where to look for it, instead of the namespace of the context.
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Look in all namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// A file with events, a JSON line each, or - for standard input, instead of the logs of the sidecars. No cluster is asked.
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// How far back the logs are read.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    pub since: Duration,
    /// Where the operator runs.
    #[arg(long, value_name = "NAMESPACE", default_value = "kube-rasp")]
    pub operator_namespace: String,
    /// How the result is printed.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// Which cluster.
    #[command(flatten)]
    pub connection: Connection,
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}: write for example 30m, 6h or 2days"))
}

/// Flags of `explain policy`.
#[derive(Debug, clap::Args)]
pub struct ExplainPolicy {
    /// The pod, as pod/NAME.
    #[arg(value_name = "pod/NAME")]
    pub pod: String,
    /// Its namespace, instead of the one of the context.
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Show what no policy decides as well.
    #[arg(long)]
    pub all: bool,
    /// Where the operator runs.
    #[arg(long, value_name = "NAMESPACE", default_value = "kube-rasp")]
    pub operator_namespace: String,
    /// How the result is printed.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// Which cluster.
    #[command(flatten)]
    pub connection: Connection,
}

/// Flags of `rollback`.
#[derive(Debug, clap::Args)]
pub struct Rollback {
    /// The namespace, instead of the one of the context.
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Back to this record, by its sequence, instead of the one before what is there.
    #[arg(long, value_name = "SEQUENCE")]
    pub to: Option<u64>,
    /// Show what the policies were, and change nothing.
    #[arg(long, conflicts_with_all = ["to", "dry_run", "prune", "yes"])]
    pub list: bool,
    /// Show what would change, and let the API server try it; change nothing.
    #[arg(long, visible_alias = "diff", conflicts_with = "yes")]
    pub dry_run: bool,
    /// Delete the policies and exceptions that were made since.
    #[arg(long)]
    pub prune: bool,
    /// Do not ask. Needed where standard input is no terminal.
    #[arg(short, long)]
    pub yes: bool,
    /// Where the operator runs.
    #[arg(long, value_name = "NAMESPACE", default_value = "kube-rasp")]
    pub operator_namespace: String,
    /// How the result is printed.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// Which cluster.
    #[command(flatten)]
    pub connection: Connection,
}

/// Flags of `test`.
#[derive(Debug, clap::Args)]
pub struct Test {
    /// Policies: a file, a folder of files, or - for standard input; may be given more than once.
    #[arg(short, long = "filename", required = true, value_name = "FILE")]
    pub filenames: Vec<PathBuf>,
    /// Requests with what is expected of them, in YAML or JSON (docs/raspctl.md).
    #[arg(required = true, value_name = "REQUESTS")]
    pub requests: Vec<PathBuf>,
    /// Write the results as JUnit XML too.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// How the result is printed.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
}

/// For what a completion script is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// Bash.
    Bash,
    /// Zsh.
    Zsh,
    /// Fish.
    Fish,
    /// Elvish.
    Elvish,
    /// PowerShell.
    Powershell,
    /// `kubectl rasp`, in any shell that completes kubectl.
    Kubectl,
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

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// One document.
    Json,
    /// One document.
    Yaml,
}

/// How the version is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[value(alias = "table")]
    Text,
    /// One object.
    Json,
    /// One object.
    Yaml,
}
