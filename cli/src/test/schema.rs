//! The JSON schema of the file of requests, for editors: made from the types that read it, so that it cannot differ from them.
//! Printed by `raspctl schema`, and kept as `docs/requests.schema.json`.

use std::collections::BTreeSet;

use rasp_engine::Verdict;
use rasp_policy::class::Class;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::file::File;

/// The schema, in the draft that editors read.
pub fn schema() -> Value {
    let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<File>();
    let mut schema = schema.to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), "Requests for raspctl test".into());
    }
    without_defaults(&mut schema);
    schema
}

/// A default is in the form of the program there, not in that of the file.
fn without_defaults(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.remove("default");
            members.values_mut().for_each(without_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(without_defaults),
        _ => {}
    }
}

pub(super) fn headers(_: &mut SchemaGenerator) -> Schema {
    let value = serde_json::json!({"type": "string", "pattern": "^[^\\r\\n\\u0000]*$"});
    json_schema!({
        "type": "object",
        "propertyNames": {"pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"},
        "additionalProperties": {"oneOf": [value, {"type": "array", "items": value}]},
    })
}

pub(super) fn verdict(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": Verdict::ALL.map(Verdict::as_str)})
}

pub(super) fn class(_: &mut SchemaGenerator) -> Schema {
    let names: BTreeSet<&str> = Class::ALL.iter().flat_map(|class| [class.key(), class.as_str()]).collect();
    json_schema!({"type": "string", "enum": names})
}

#[cfg(test)]
mod tests {
    use super::schema;

    #[test]
    fn the_schema_beside_the_documentation_is_that_of_this_version() {
        let kept = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/requests.schema.json");
        let kept: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(kept).unwrap()).unwrap();
        assert_eq!(kept, schema(), "write it: raspctl schema > docs/requests.schema.json");
    }

    #[test]
    fn every_field_that_is_read_is_in_the_schema_and_no_other_one_is_allowed() {
        let schema = schema();
        let names = |pointer: &str| -> Vec<String> {
            schema.pointer(pointer).unwrap().as_object().unwrap().keys().cloned().collect()
        };
        assert!(names("/properties").contains(&"namespaceLabels".to_owned()));
        for (definition, field) in [("Request", "bodyBase64"), ("Expect", "verdict")] {
            let at = format!("/definitions/{definition}");
            assert!(names(&format!("{at}/properties")).contains(&field.to_owned()), "{schema:#}");
            assert_eq!(schema.pointer(&format!("{at}/additionalProperties")), Some(&false.into()));
        }
        assert!(!schema.to_string().contains("\"default\""));
    }
}
