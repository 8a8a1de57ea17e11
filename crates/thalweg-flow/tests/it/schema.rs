//! The schema that is published for editors agrees with what the parser accepts.

use serde_json::{Value, json};
use thalweg_flow::schema;

use crate::flows::text_of;

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&schema()).expect("a sound schema")
}

fn as_json(text: &str) -> Value {
    fn value(toml: &toml::Value) -> Value {
        match toml {
            toml::Value::String(text) => json!(text),
            toml::Value::Integer(number) => json!(number),
            toml::Value::Float(number) => json!(number),
            toml::Value::Boolean(flag) => json!(flag),
            toml::Value::Datetime(time) => json!(time.to_string()),
            toml::Value::Array(values) => values.iter().map(value).collect(),
            toml::Value::Table(table) => {
                Value::Object(table.iter().map(|(name, inner)| (name.clone(), value(inner))).collect())
            }
        }
    }
    value(&toml::Value::Table(text.parse::<toml::Table>().expect("TOML")))
}

#[test]
fn the_schema_is_a_schema() {
    jsonschema::meta::validate(&schema()).unwrap();
}

#[rstest::rstest]
fn the_schema_accepts_the_flows(
    #[values(
        "copy.toml",
        "small.toml",
        "superdarn.toml",
        "isfs.toml",
        "ligo.toml",
        "stix.toml",
        "coordinator.toml",
        "everything.toml"
    )]
    name: &str,
) {
    let validator = validator();
    let found: Vec<String> = validator
        .iter_errors(&as_json(&text_of(name)))
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(found.is_empty(), "{name}: {found:#?}");
}

#[rstest::rstest]
#[case("/stations/inbox/rooot", json!("x"))]
#[case("/steps/copy/take", json!("x"))]
#[case("/steps/copy/retry", json!({ "tries": 3 }))]
#[case("/steps/copy/timeout", json!(30))]
#[case("/steps/copy/timeout", json!("soon"))]
#[case("/steps/copy/batch", json!(0))]
#[case("/steps/copy/order", json!("youngest_first"))]
#[case("/products/note/ready", json!({ "quiet": 5 }))]
#[case("/flows", json!({}))]
fn the_schema_refuses_what_the_parser_refuses(#[case] pointer: &str, #[case] wrong: Value) {
    let mut flow = as_json(&text_of("copy.toml"));
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    flow.pointer_mut(parent).unwrap()[name] = wrong;
    assert!(!validator().is_valid(&flow), "{pointer}");
}

#[test]
fn the_schema_asks_for_what_is_needed() {
    let mut flow = as_json(&text_of("copy.toml"));
    flow["steps"]["copy"].as_object_mut().unwrap().remove("does");
    assert!(!validator().is_valid(&flow));
}
