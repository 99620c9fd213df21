use serde_yaml::Value;

fn crd() -> Value {
    serde_yaml::from_str(&super::rasp_policy_yaml().unwrap()).unwrap()
}

fn schema() -> Value {
    crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
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

fn all_nodes() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    nodes("", &schema(), &mut found);
    assert!(found.len() > 25, "the walk found {} nodes only", found.len());
    found
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
    let mut seen = std::collections::BTreeMap::new();
    for (path, node) in all_nodes() {
        if path.ends_with("[]") && node["type"] != "object" || path.ends_with("{}") {
            continue;
        }
        // Every class has the same settings; those of one are looked at.
        let class = path.strip_prefix(".spec.detections.").and_then(|rest| rest.split_once('.'));
        if class.is_some_and(|(class, _)| class != "sqlInjection") {
            continue;
        }
        // The lists of a signature have the same conditions; those of the path are looked at.
        let signature = path.strip_prefix(".spec.signatures[].").and_then(|rest| rest.split_once("[]"));
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
    let crd = crd();
    let names = &crd["spec"]["names"];
    assert_eq!(names["shortNames"][0], "rp");
    assert_eq!(names["categories"][0], "rasp");
    let version = &crd["spec"]["versions"][0];
    assert!(version["subresources"]["status"].is_mapping());
    let columns: Vec<&str> = version["additionalPrinterColumns"]
        .as_sequence()
        .unwrap()
        .iter()
        .filter(|column| column["priority"].as_i64().unwrap_or(0) == 0)
        .map(|column| column["name"].as_str().unwrap())
        .collect();
    assert_eq!(columns, ["Mode", "Observed", "Programmed", "Pods", "Age"]);
}

#[test]
fn words_that_yaml_1_1_reads_as_booleans_are_quoted() {
    let yaml = super::rasp_policy_yaml().unwrap();
    assert_eq!(yaml.matches("- 'Off'\n").count(), 2 + crate::class::Class::detected().count());
    assert!(!yaml.contains("- Off\n"));
    assert_eq!(super::quoted("a: on\nb:\n- no\nc: turn on\n"), "a: 'on'\nb:\n- 'no'\nc: turn on\n");
}
