//! Which policy decided the mode of each class, made ready for events when a policy is compiled: nothing is looked up for a
//! request. A sidecar keeps it beside its Ruleset.

use std::sync::Arc;

use super::{Field, Resolution};
use crate::api::within;
use crate::bundle::{Bundle, Entry};
use crate::class::Class;

/// A policy that decided a mode, as events name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// `RaspPolicy shop/web`, `ClusterRaspPolicy base`; of a file without the namespace.
    pub name: String,
    /// `metadata.uid`; empty for a document of a file.
    pub uid: String,
    /// `metadata.generation`; 0 for a document of a file.
    pub generation: i64,
    /// The field that says it, by its path in the object.
    pub field: String,
}

/// Who decided the modes in force. Nobody where they are the built-in ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deciders {
    mode: Option<Arc<Decided>>,
    classes: [Option<Arc<Decided>>; Class::COUNT],
}

impl Deciders {
    /// Of what [`super::resolve_at`] decided about this Bundle.
    pub fn of(bundle: &Bundle, resolution: &Resolution) -> Self {
        let mut deciders = Self::default();
        // The mode comes first, and a class follows it unless a policy sets that of the class.
        for &(field, index) in &resolution.winners {
            let Some(entry) = bundle.entries.get(index) else { continue };
            match field {
                Field::Mode => {
                    let decided = Some(Arc::new(decided(bundle, entry, field)));
                    deciders.classes = std::array::from_fn(|_| decided.clone());
                    deciders.mode = decided;
                }
                Field::ClassMode(class) => {
                    // A mode of cluster overrides wins over those of classes.
                    let said = if field.is_set(&entry.spec) { field } else { Field::Mode };
                    if let Some(of_class) = deciders.classes.get_mut(class.index()) {
                        *of_class = Some(Arc::new(decided(bundle, entry, said)));
                    }
                }
                _ => {}
            }
        }
        deciders
    }

    /// Who decided the mode of what belongs to no class.
    pub fn mode(&self) -> Option<&Arc<Decided>> {
        self.mode.as_ref()
    }

    /// Who decided the mode of a class.
    pub fn class(&self, class: Class) -> Option<&Arc<Decided>> {
        self.classes.get(class.index())?.as_ref()
    }
}

fn decided(bundle: &Bundle, entry: &Entry, field: Field) -> Decided {
    let path = field.path().into_owned();
    let namespace = &bundle.namespace.name;
    Decided {
        name: if namespace.is_empty() {
            format!("{} {}", entry.kind.as_str(), entry.source.name)
        } else {
            entry.title(namespace)
        },
        uid: entry.source.uid.clone(),
        generation: entry.source.generation,
        field: entry.origin.map_or_else(|| path.clone(), |origin| within(origin, &path)),
    }
}

#[cfg(test)]
mod tests {
    use super::Deciders;
    use crate::class::Class::{CrossSiteScripting, SqlInjection};
    use crate::precedence::resolve;
    use crate::selector::Labels;

    fn deciders(namespace: &str, documents: &[(&str, &str, &str)]) -> Deciders {
        let document = |(kind, name, spec): &(&str, &str, &str)| {
            format!(
                "---\napiVersion: rasp.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"
            )
        };
        let yaml: String = documents.iter().map(document).collect();
        let entries = if yaml.is_empty() {
            Vec::new()
        } else {
            crate::document::stand_alone(&crate::document::read(&yaml).unwrap()).unwrap()
        };
        let namespace = crate::bundle::Namespace { name: namespace.into(), uid: String::new() };
        let bundle = crate::bundle::Bundle {
            schema_version: crate::bundle::SCHEMA_VERSION,
            namespace,
            sequence: 1,
            entries,
        };
        Deciders::of(&bundle, &resolve(&bundle, &Labels::new()))
    }

    #[test]
    fn the_policy_and_the_field_that_decided_a_mode_are_known() {
        const CLASS: &str = "{mode: Monitor, detections: {sqlInjection: {mode: Block}}}";
        // policies; of the mode, of SQL injection, of cross-site scripting
        type Row = (&'static [(&'static str, &'static str, &'static str)], [&'static str; 3]);
        let table: [Row; 6] = [
            (&[], ["", "", ""]),
            (&[("RaspPolicy", "a", "{failureMode: Closed}")], ["", "", ""]),
            (&[("RaspPolicy", "a", "{mode: Block}")], ["RaspPolicy shop/a spec.mode"; 3]),
            (
                &[("RaspPolicy", "a", CLASS)],
                [
                    "RaspPolicy shop/a spec.mode",
                    "RaspPolicy shop/a spec.detections.sqlInjection.mode",
                    "RaspPolicy shop/a spec.mode",
                ],
            ),
            (
                &[
                    ("RaspPolicy", "a", "{detections: {sqlInjection: {mode: Monitor}}}"),
                    ("ClusterRaspPolicy", "base", "{defaults: {mode: Block}}"),
                ],
                [
                    "ClusterRaspPolicy base spec.defaults.mode",
                    "RaspPolicy shop/a spec.detections.sqlInjection.mode",
                    "ClusterRaspPolicy base spec.defaults.mode",
                ],
            ),
            // The lever of an incident: it decides of the class as well, and says nothing of it.
            (
                &[("RaspPolicy", "a", CLASS), ("ClusterRaspPolicy", "lever", "{overrides: {mode: Monitor}}")],
                ["ClusterRaspPolicy lever spec.overrides.mode"; 3],
            ),
        ];
        for (documents, expected) in table {
            let deciders = deciders("shop", documents);
            let found = [deciders.mode(), deciders.class(SqlInjection), deciders.class(CrossSiteScripting)];
            let found = found.map(|decided| {
                decided.map(|decided| format!("{} {}", decided.name, decided.field)).unwrap_or_default()
            });
            assert_eq!(found, expected, "{documents:?}");
        }
        let of_file = deciders("", &[("RaspPolicy", "a", "{mode: Block}")]);
        assert_eq!(of_file.mode().unwrap().name, "RaspPolicy a");
    }
}
