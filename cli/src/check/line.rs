//! What a check tells: one line each, with a name that scripts may match on.

use serde::Serialize;

use crate::print::Colour;

/// What is checked. The names are frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Version of the API server.
    KubernetesVersion,
    /// The clock of this machine and of the nodes against that of the API server.
    Clock,
    /// Kubelets, kernels and operating systems.
    Nodes,
    /// The CustomResourceDefinitions.
    Crds,
    /// What the installer, or the operator, may do.
    Permissions,
    /// What is left, or runs already, where kube-rasp is to be installed.
    Installation,
    /// The operator and what serves the webhook.
    Operator,
    /// The MutatingWebhookConfiguration.
    Webhook,
    /// Whether the API server can trust the certificate.
    CaBundle,
    /// The ValidatingWebhookConfiguration.
    Validator,
    /// When the certificate ends.
    Certificate,
    /// Whether a pod would really be injected.
    Admission,
    /// What the operator publishes.
    Settings,
    /// What the API server itself refuses or warns of.
    GuardRails,
    /// Versions of this program, the operator and the sidecars.
    Versions,
    /// Namespaces that ask for protection and do not get it.
    Namespaces,
    /// Pods that are asked to be protected and are not.
    Pods,
    /// Pods that can be reached around their sidecars.
    Interception,
    /// Policies that are not in force, and exceptions that have ended.
    Policies,
}

impl Check {
    /// Name in every form of the output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KubernetesVersion => "kubernetes_version",
            Self::Clock => "clock",
            Self::Nodes => "nodes",
            Self::Crds => "crds",
            Self::Permissions => "permissions",
            Self::Installation => "installation",
            Self::Operator => "operator",
            Self::Webhook => "webhook",
            Self::CaBundle => "ca_bundle",
            Self::Validator => "validator",
            Self::Certificate => "certificate",
            Self::Admission => "admission",
            Self::Settings => "settings",
            Self::GuardRails => "guard_rails",
            Self::Versions => "versions",
            Self::Namespaces => "namespaces",
            Self::Pods => "pods",
            Self::Interception => "interception",
            Self::Policies => "policies",
        }
    }

    /// It is as it should be.
    pub fn pass(self, message: impl Into<String>) -> Line {
        Line { check: self, status: Outcome::Pass, message: message.into(), hint: None }
    }

    /// It works, or could not be seen, and deserves a look.
    pub fn warn(self, message: impl Into<String>, hint: impl Into<String>) -> Line {
        Line { check: self, status: Outcome::Warn, message: message.into(), hint: Some(hint.into()) }
    }

    /// It is wrong.
    pub fn fail(self, message: impl Into<String>, hint: impl Into<String>) -> Line {
        Line { check: self, status: Outcome::Fail, message: message.into(), hint: Some(hint.into()) }
    }

    /// It could not be looked at.
    pub fn unseen(self, why: &str) -> Line {
        self.warn(
            format!("not visible: {why}"),
            "run this with the rights of a cluster administrator to have it checked",
        )
    }
}

/// What came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be.
    Pass,
    /// Worth a look, or not visible.
    Warn,
    /// Wrong.
    Fail,
}

impl Outcome {
    /// As it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }

    /// Its colour.
    pub fn colour(self) -> Colour {
        match self {
            Self::Pass => Colour::Green,
            Self::Warn => Colour::Yellow,
            Self::Fail => Colour::Red,
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What was checked.
    pub check: Check,
    /// What came out.
    pub status: Outcome,
    /// What was seen.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// All lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many pass.
    pub pass: usize,
    /// How many warn.
    pub warn: usize,
    /// How many fail.
    pub fail: usize,
    /// In the order of the checks.
    pub lines: Vec<Line>,
}

impl Report {
    /// Counts the lines.
    pub fn of(lines: Vec<Line>) -> Self {
        let count = |status| lines.iter().filter(|line| line.status == status).count();
        let (pass, warn, fail) = (count(Outcome::Pass), count(Outcome::Warn), count(Outcome::Fail));
        Self { pass, warn, fail, lines }
    }
}
