//! What a port's TLS is declared to be, in the words of annotation, environment and command line.
//!
//! Injection reads the annotation and mounts the Secrets, the sidecar serves them; both use these types.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Whether clients show a certificate. It is checked against `ca.crt` of the Secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    None,
    /// They are asked; one that is shown must be good.
    Optional,
    /// Without a good one there is no connection.
    Required,
}

/// How the sidecar speaks to the application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToApplication {
    /// Without TLS.
    #[default]
    Plain,
    /// In TLS again: the application keeps its own listener.
    Tls,
}

/// Which certificate of the application is accepted, where it is spoken to in TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// One that a Secret of the port holds or held, or one that its `ca.crt` has signed.
    #[default]
    Secret,
    /// Any: inside the pod there is nobody between the two.
    Off,
}

/// One word that declares nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use {0}")]
pub struct UnknownWord(&'static str);

impl FromStr for ClientAuth {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word {
            "none" => Ok(Self::None),
            "optional" => Ok(Self::Optional),
            "required" => Ok(Self::Required),
            _ => Err(UnknownWord("none, optional or required")),
        }
    }
}

impl FromStr for ToApplication {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word {
            "plain" => Ok(Self::Plain),
            "tls" => Ok(Self::Tls),
            _ => Err(UnknownWord("plain or tls")),
        }
    }
}

impl FromStr for Verify {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word {
            "secret" => Ok(Self::Secret),
            "off" => Ok(Self::Off),
            _ => Err(UnknownWord("secret or off")),
        }
    }
}

/// A port whose TLS ends in the sidecar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsPort {
    /// The application's port.
    pub port: u16,
    /// Names of the Secrets, each mounted as a directory of [`super::TLS_DIR`]. The first one's certificate is for
    /// clients that ask for no name, or an unknown one.
    pub secrets: Vec<String>,
    /// Client certificates.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// To the application.
    #[serde(default)]
    pub upstream: ToApplication,
    /// Its certificate.
    #[serde(default)]
    pub verify: Verify,
}
