//! Settings of the attack classes, by the key of the class. A map, so that a class needs no field of its own; the schema
//! and the reader know the classes that have a detector, and no other.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Detection;
use crate::class::Class;

/// Settings of the attack classes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detections(BTreeMap<Class, Detection>);

impl Detections {
    /// What is written for a class.
    pub fn get(&self, class: Class) -> Option<&Detection> {
        self.0.get(&class)
    }

    /// Writes what is said for a class.
    pub fn set(&mut self, class: Class, detection: Detection) {
        self.0.insert(class, detection);
    }
}

impl FromIterator<(Class, Detection)> for Detections {
    fn from_iter<I: IntoIterator<Item = (Class, Detection)>>(settings: I) -> Self {
        Self(settings.into_iter().collect())
    }
}

impl Serialize for Detections {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(class, detection)| (class.key(), detection)))
    }
}

impl<'de> Deserialize<'de> for Detections {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Detections;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("settings by attack class")
    }

    /// What another version knows and this one does not is passed over, as an unknown field is; reading of files
    /// reports it.
    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Detections, M::Error> {
        let mut settings = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            let Some(class) = Class::from_key(&key) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if let Some(detection) = map.next_value::<Option<Detection>>()?
                && settings.insert(class, detection).is_some()
            {
                return Err(serde::de::Error::custom(format_args!("duplicate field `{key}`")));
            }
        }
        Ok(Detections(settings))
    }
}

#[cfg(feature = "crd")]
impl schemars::JsonSchema for Detections {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Detections".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut properties = serde_json::Map::new();
        for class in Class::detected() {
            let mut schema = generator.subschema_for::<Detection>();
            let number = class.cwe().map(|cwe| format!(" (CWE-{cwe})")).unwrap_or_default();
            schema.insert("description".to_owned(), format!("{}{number}.", class.title()).into());
            properties.insert(class.key().to_owned(), schema.into());
        }
        schemars::json_schema!({ "type": "object", "properties": properties })
    }
}
