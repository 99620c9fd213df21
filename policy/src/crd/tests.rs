use std::collections::BTreeMap;

use serde_yaml::Value;

use crate::api::Kind;

fn crd(kind: Kind) -> Value {
    serde_yaml::from_str(&super::yaml_of(kind).unwrap()).unwrap()
}

fn schema(kind: Kind) -> Value {
    crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// Every schema node with its dotted path; `[]` stands for items, `{}` for values of a map.
fn nodes(path: &str, node: &Value, found: &mut Vec<(String, Value)>) {
    found.push((path.to_owned(), node.clone()));
    if let Some(properties) = node["properties"].as_mapping() {
        for (name, child) in properties {
            nodes(&format!("{path}.{}", name.as_str().unwrap()), child, found);
        }
    }
    if !node["items"].is_null() {
        nodes(&format!("{path}[]"), &node["items"], found);
    }
    if !node["additionalProperties"].is_null() {
        nodes(&format!("{path}{{}}"), &node["additionalProperties"], found);
    }
}

fn nodes_of(kind: Kind) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    nodes("", &schema(kind), &mut found);
    assert!(found.len() > 25, "the walk found {} nodes only", found.len());
    found
}

fn all_nodes() -> impl Iterator<Item = (String, Value)> {
    Kind::ALL.into_iter().flat_map(nodes_of)
}

#[test]
fn every_leaf_is_bounded_so_that_the_budget_of_cel_rules_holds() {
    for (path, node) in all_nodes() {
        let bounded = match node["type"].as_str().unwrap_or_else(|| panic!("{path} has no type")) {
            "string" => {
                !node["enum"].is_null() || !node["maxLength"].is_null() || node["format"] == "date-time"
            }
            // Counters of Kubernetes itself and of pods; both only grow with what the API server admits.
            "integer" => !node["minimum"].is_null() || path.ends_with("observedGeneration"),
            "array" => !node["maxItems"].is_null(),
            "number" => !node["minimum"].is_null() && !node["maximum"].is_null(),
            "boolean" => true,
            "object" => !node["properties"].is_null() || !node["maxProperties"].is_null(),
            _ => false,
        };
        assert!(bounded, "{path} is unbounded: {node:?}");
    }
}

#[test]
fn no_field_has_a_default_or_accepts_null() {
    for (path, node) in all_nodes() {
        for key in ["default", "nullable", "anyOf", "oneOf", "allOf", "x-kubernetes-preserve-unknown-fields"]
        {
            assert!(node.get(key).is_none(), "{path} has {key}");
        }
        let values = node["enum"].as_sequence().map_or(&[][..], Vec::as_slice);
        assert!(values.iter().all(serde_yaml::Value::is_string), "{path}: {values:?}");
    }
}

#[test]
fn every_field_says_what_it_is_for_in_its_own_words() {
    for kind in Kind::ALL {
        words_of(kind);
    }
}

fn words_of(kind: Kind) {
    let mut seen = std::collections::BTreeMap::new();
    for (path, node) in nodes_of(kind) {
        // Both halves of a cluster's policy are the same; defaults are looked at.
        if path.starts_with(".spec.overrides.") {
            continue;
        }
        if path.ends_with("[]") && node["type"] != "object" || path.ends_with("{}") {
            continue;
        }
        // Every class has the same settings; those of one are looked at.
        let class =
            path.split_once(".detections.").map(|(_, rest)| rest).and_then(|rest| rest.split_once('.'));
        if class.is_some_and(|(class, _)| class != "sqlInjection") {
            continue;
        }
        // The lists of a signature have the same conditions; those of the path are looked at.
        let signature =
            path.split_once(".signatures[].").map(|(_, rest)| rest).and_then(|rest| rest.split_once("[]"));
        if signature.is_some_and(|(list, _)| list != "path") {
            continue;
        }
        let description = node["description"].as_str().unwrap_or_else(|| panic!("{path} has no description"));
        assert!(description.ends_with('.'), "{path}: {description}");
        if let Some(other) = seen.insert(description.to_owned(), path.clone()) {
            panic!("{path} and {other} have the same description, the one of their type");
        }
    }
}

#[test]
fn kubectl_get_shows_what_is_asked_for_and_what_is_in_force() {
    let table: [(Kind, &str, &[&str]); 3] = [
        (Kind::RaspPolicy, "rp", &["Mode", "Observed", "Programmed", "Pods", "Age"]),
        (Kind::ClusterRaspPolicy, "crp", &["Overrides", "Defaults", "Observed", "Programmed", "Pods", "Age"]),
        (
            Kind::RaspException,
            "rx",
            &["Rule", "Class", "Path", "Parameter", "Accepted", "Hits", "Expires", "Age"],
        ),
    ];
    for (kind, short, expected) in table {
        let crd = crd(kind);
        let names = &crd["spec"]["names"];
        assert_eq!((&names["kind"], &names["shortNames"][0]), (&kind.as_str().into(), &short.into()));
        assert_eq!(
            (&names["plural"], &names["categories"][0]),
            (&super::plural(kind).into(), &"rasp".into())
        );
        let scope = if kind == Kind::ClusterRaspPolicy { "Cluster" } else { "Namespaced" };
        assert_eq!(crd["spec"]["scope"], scope);
        let version = &crd["spec"]["versions"][0];
        assert!(version["subresources"]["status"].is_mapping());
        let columns: Vec<&str> = version["additionalPrinterColumns"]
            .as_sequence()
            .unwrap()
            .iter()
            .filter(|column| column["priority"].as_i64().unwrap_or(0) == 0)
            .map(|column| column["name"].as_str().unwrap())
            .collect();
        assert_eq!(columns, expected);
    }
}

#[test]
fn every_count_of_pods_that_are_not_as_they_should_be_has_a_column() {
    for kind in [Kind::RaspPolicy, Kind::ClusterRaspPolicy] {
        let crd = crd(kind);
        let columns = crd["spec"]["versions"][0]["additionalPrinterColumns"].as_sequence().unwrap();
        let shown: Vec<&str> = columns.iter().map(|column| column["jsonPath"].as_str().unwrap()).collect();
        let counts = nodes_of(kind).into_iter().map(|(path, _)| path);
        let mut counts = counts.filter(|path| path.starts_with(".status.targets.")).peekable();
        assert!(counts.peek().is_some());
        for count in counts.filter(|path| path != ".status.targets.matched") {
            assert!(shown.contains(&count.as_str()), "{kind:?} {count}: {shown:?}");
        }
    }
}

#[test]
fn each_kind_has_only_the_fields_that_mean_something_in_it() {
    let has = |kind, path: &str| nodes_of(kind).iter().any(|(known, _)| known == path);
    for half in ["defaults", "overrides"] {
        assert!(has(Kind::ClusterRaspPolicy, &format!(".spec.{half}.mode")));
        for field in ["podSelector", "targetRefs"] {
            assert!(!has(Kind::ClusterRaspPolicy, &format!(".spec.{half}.{field}")), "{half}.{field}");
        }
        let schema = &schema(Kind::ClusterRaspPolicy)["properties"]["spec"]["properties"][half];
        assert!(schema.get("x-kubernetes-validations").is_none(), "a rule about fields that are not there");
    }
    assert!(has(Kind::RaspPolicy, ".spec.targetRefs[].sectionName"));
    let counts = Kind::ALL.map(|kind| has(kind, ".status.hits"));
    assert_eq!(counts, [false, false, true]);
    let rolled_out = Kind::ALL.map(|kind| has(kind, ".status.rollout.step"));
    assert_eq!(rolled_out, [true, false, false]);
    assert!(has(Kind::RaspPolicy, ".spec.enforcement.rollout.abortOn.blockRatio"));
    for half in ["defaults", "overrides"] {
        let spec = &schema(Kind::ClusterRaspPolicy)["properties"]["spec"];
        let enforcement = &spec["properties"][half]["properties"]["enforcement"];
        assert!(enforcement["properties"]["rollout"].is_null());
        assert_eq!(enforcement["required"], Value::Sequence(vec!["percent".into()]));
        let rules = enforcement["x-kubernetes-validations"].as_sequence().unwrap();
        let speaks_of_it = |rule: &Value| rule["rule"].as_str().unwrap().contains("rollout");
        assert!(
            !rules.is_empty() && !rules.iter().any(speaks_of_it),
            "a rule about a field that is not there"
        );
    }
}

#[test]
fn the_rules_of_a_kind_are_in_its_crd() {
    let table = [
        (Kind::RaspPolicy, "set either podSelector or targetRefs"),
        (Kind::ClusterRaspPolicy, "set either defaults or overrides"),
        (Kind::RaspException, "set either rule or class"),
        (Kind::RaspException, "set either podSelector or targetRefs"),
    ];
    for (kind, message) in table {
        let spec = &schema(kind)["properties"]["spec"];
        let rules = spec["x-kubernetes-validations"].as_sequence().unwrap();
        assert!(rules.iter().any(|rule| rule["message"] == message), "{kind:?}: {message}");
    }
}

#[test]
fn an_exception_has_the_same_fields_in_a_policy_and_as_an_object() {
    let object = schema(Kind::RaspException)["properties"]["spec"].clone();
    let listed = schema(Kind::RaspPolicy)["properties"]["spec"]["properties"]["exceptions"]["items"].clone();
    // The object has a name without a field, and says which pods it is for.
    let fields = |schema: &Value, others: &[&str]| -> BTreeMap<String, Value> {
        let fields = schema["properties"].as_mapping().unwrap().iter();
        let fields = fields.map(|(name, field)| (name.as_str().unwrap().to_owned(), bare(field.clone())));
        fields.filter(|(name, _)| !others.contains(&name.as_str())).collect()
    };
    assert_eq!(fields(&object, &["podSelector", "targetRefs"]), fields(&listed, &["name"]));
    for rule in listed["x-kubernetes-validations"].as_sequence().unwrap() {
        assert!(object["x-kubernetes-validations"].as_sequence().unwrap().contains(rule), "{rule:?}");
    }
}

/// Without its description, which says what it is where it stands.
fn bare(mut field: Value) -> Value {
    field.as_mapping_mut().unwrap().remove("description");
    field
}

#[test]
fn words_that_yaml_1_1_reads_as_booleans_are_quoted() {
    let yaml = super::yaml_of(Kind::RaspPolicy).unwrap();
    assert_eq!(yaml.matches("- 'Off'\n").count(), 2 + crate::class::Class::detected().count());
    assert!(!yaml.contains("- Off\n"));
    assert_eq!(super::quoted("a: on\nb:\n- no\nc: turn on\n"), "a: 'on'\nb:\n- 'no'\nc: turn on\n");
}
