//! A signature of a known exploit, as files of the program and policies have it: the shape of a request, and requests that
//! show it. [`Signature::check`] says the same about sizes as the schema of the CRD, for readers that no API server
//! protects; what a signature means, and whether its requests have its shape, the engine checks.

use serde::{Deserialize, Serialize};

use super::Confidence;

/// The shape of an exploit of a published vulnerability. Every condition must be met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
pub struct Signature {
    /// Id of its rule in events and exceptions: `local-`, then for example the CVE, such as `local-cve-2026-12345`.
    #[cfg_attr(feature = "crd", schemars(length(max = 48), regex(pattern = r"^local-[a-z0-9-]+$")))]
    pub id: String,
    /// The vulnerability, for example `CVE-2026-12345`.
    #[cfg_attr(feature = "crd", schemars(length(max = 32), regex(pattern = r"^CVE-[0-9]{4}-[0-9]+$")))]
    pub cve: String,
    /// When the signature was written or last changed, for example `2026-11-26`.
    #[cfg_attr(
        feature = "crd",
        schemars(length(max = 10), regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))
    )]
    pub date: String,
    /// The product, and what the exploit does, in one line.
    #[cfg_attr(feature = "crd", schemars(length(min = 1, max = 128), regex(pattern = r"^[^|\n]+$")))]
    pub title: String,
    /// Where it is described, an https address. Absent: by its CVE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(length(max = 256), regex(pattern = r"^https://")))]
    pub reference: Option<String>,
    /// How sure a finding is. Certain: the product itself has no use for such a request.
    pub confidence: Confidence,
    /// Methods of requests it is for, in capital letters. Absent: every method.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(
        feature = "crd",
        schemars(length(max = 8), inner(length(min = 1, max = 32), regex(pattern = r"^[A-Z]+$")))
    )]
    pub methods: Vec<String>,
    /// What the path must be. The signature is found by the first of these conditions, so its texts are long and rare.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "crd", schemars(length(max = 8)))]
    pub path: Vec<SignatureCondition>,
    /// What parameters of query, form or JSON there must be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "crd", schemars(length(max = 8)))]
    pub parameters: Vec<SignatureCondition>,
    /// What fields the head must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "crd", schemars(length(max = 8)))]
    pub headers: Vec<SignatureCondition>,
    /// What the body must hold, as it comes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "crd", schemars(length(max = 8)))]
    pub body: Vec<SignatureCondition>,
    /// Requests that have the shape, which must be found: a line with method and target, then fields, an empty line and a
    /// body.
    #[cfg_attr(feature = "crd", schemars(length(min = 1, max = 8), inner(length(min = 1, max = 1024))))]
    pub attacks: Vec<String>,
    /// The nearest requests that people really send to the product, which must not be found.
    #[cfg_attr(feature = "crd", schemars(length(min = 1, max = 8), inner(length(min = 1, max = 1024))))]
    pub ordinary: Vec<String>,
}

/// One condition: of each list one text suffices, in any case of letters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
pub struct SignatureCondition {
    /// The name is one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "crd", schemars(length(max = 16), inner(length(min = 1, max = 128))))]
    pub name: Vec<String>,
    /// The name has one of these in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "crd", schemars(length(max = 16), inner(length(min = 1, max = 128))))]
    pub name_contains: Vec<String>,
    /// The value is one of these, or meets another of the lists below.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "crd", schemars(length(max = 16), inner(length(min = 1, max = 128))))]
    pub is: Vec<String>,
    /// The value begins with one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "crd", schemars(length(max = 16), inner(length(min = 1, max = 128))))]
    pub starts: Vec<String>,
    /// The value ends with one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "crd", schemars(length(max = 16), inner(length(min = 1, max = 128))))]
    pub ends: Vec<String>,
    /// The value has one of these in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "crd", schemars(length(max = 16), inner(length(min = 1, max = 128))))]
    pub contains: Vec<String>,
}

/// Signatures that one policy may carry.
pub const MOST: usize = 32;

impl Signature {
    /// What is too long or too many: the field, and what to do.
    pub fn check(&self) -> Result<(), String> {
        let Self {
            id,
            cve,
            title,
            reference,
            methods,
            path,
            parameters,
            headers,
            body,
            attacks,
            ordinary,
            ..
        } = self;
        let is_id = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !id.starts_with("local-") || id.len() < 7 || id.len() > 48 || !id.bytes().all(is_id) {
            return Err("id is not one: use local- and at most 42 of a-z, 0-9 and -".into());
        }
        let texts = [("cve", cve, 32), ("title", title, 128)];
        let texts = texts.into_iter().chain(reference.as_ref().map(|text| ("reference", text, 256)));
        for (field, text, most) in texts {
            if text.chars().count() > most {
                return Err(format!("{field} is too long; use at most {most} characters"));
            }
        }
        if methods.len() > 8 || methods.iter().any(|method| method.len() > 32) {
            return Err("methods are too many or too long; use at most 8 of at most 32 characters".into());
        }
        for (field, list) in
            [("path", path), ("parameters", parameters), ("headers", headers), ("body", body)]
        {
            if list.len() > 8 {
                return Err(format!("{field} has {} conditions; use at most 8", list.len()));
            }
            for SignatureCondition { name, name_contains, is, starts, ends, contains } in list {
                for texts in [name, name_contains, is, starts, ends, contains] {
                    if texts.len() > 16 || texts.iter().any(|text| !(1..=128).contains(&text.chars().count()))
                    {
                        return Err(format!(
                            "{field} has a list that is too long; use at most 16 texts of 1 to 128 characters"
                        ));
                    }
                }
            }
        }
        for (field, list) in [("attacks", attacks), ("ordinary", ordinary)] {
            if !(1..=8).contains(&list.len())
                || list.iter().any(|text| !(1..=1024).contains(&text.chars().count()))
            {
                return Err(format!("{field} is not right; give 1 to 8 requests of at most 1024 characters"));
            }
        }
        Ok(())
    }
}
