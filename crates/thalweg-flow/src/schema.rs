//! The JSON Schema of flow files, for editors: made from the same list of keys that the reader goes by.
//!
//! It says less than the reader: shapes and words, not whether names refer to something.

use serde_json::{Map, Value, json};

use crate::keys::{self, Key, Section, Shape};

/// Returns the JSON Schema (2020-12) of flow files, read from TOML as JSON.
pub fn schema() -> Value {
    let mut definitions = Map::new();
    for section in keys::sections().into_iter().filter(|section| section.name != keys::FLOW.name) {
        definitions.insert(word(section), object(section));
    }
    let mut schema = object(&keys::FLOW);
    if let Some(top) = schema.as_object_mut() {
        top.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        top.insert("title".to_owned(), json!("thalweg flow file"));
        top.insert("description".to_owned(), json!("Stations, products, steps, keeps and checks of one flow."));
        top.insert("$defs".to_owned(), Value::Object(definitions));
    }
    schema
}

/// Returns the name under which a section is defined: `a station` as `station`.
fn word(section: &Section) -> String {
    section.name.split_once(' ').map_or(section.name, |(_, rest)| rest).replace(' ', "-")
}

fn object(section: &Section) -> Value {
    let mut properties = Map::new();
    for key in section.keys {
        properties.insert(key.name.to_owned(), property(key));
    }
    let required: Vec<&str> = section.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut object = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

fn property(key: &Key) -> Value {
    let mut schema = of(&key.shape);
    schema["description"] = json!(key.about);
    schema
}

/// A parameter that stands for the whole value.
const PARAMETER: &str = "^\\$[A-Za-z_][A-Za-z0-9_-]*$";
/// One number with its unit after another.
const DURATION: &str = "^\\s*([0-9]+(\\.[0-9]+)?\\s*[A-Za-zµ]+\\s*)+$";
const AMOUNT: &str = "[0-9]+(\\.[0-9]+)?\\s*";

fn of(shape: &Shape) -> Value {
    let quantity = |pattern: String, example: &str| json!({ "type": "string", "pattern": format!("{pattern}|{PARAMETER}"), "examples": [example] });
    match shape {
        Shape::Text | Shape::Pattern => json!({ "type": "string" }),
        Shape::Condition => json!({ "type": "string", "minLength": 1 }),
        Shape::Duration => quantity(DURATION.to_owned(), "30m"),
        Shape::DurationRange => quantity(format!("{}(\\.\\..+)?$", DURATION.trim_end_matches('$')), "30s..10m"),
        Shape::Size => quantity(format!("^\\s*{AMOUNT}[A-Za-z]+\\s*$"), "2 GiB"),
        Shape::Rate => quantity(format!("^\\s*(unlimited|{AMOUNT}[A-Za-z]+\\s*/.+)\\s*$"), "800 KiB/s"),
        Shape::CountRate => quantity("^\\s*[0-9]+\\s*/.+$".to_owned(), "40/min"),
        Shape::Threshold => quantity(format!("^\\s*{AMOUNT}(%|[A-Za-z]+)\\s*$"), "10%"),
        Shape::Percent => quantity(format!("^\\s*{AMOUNT}%\\s*$"), "5%"),
        Shape::Boolean => json!({ "anyOf": [{ "type": "boolean" }, { "type": "string", "pattern": PARAMETER }] }),
        Shape::Integer(least) => {
            let mut number = json!({ "type": "integer" });
            if *least != i64::MIN {
                number["minimum"] = json!(least);
            }
            json!({ "anyOf": [number, { "type": "string", "pattern": PARAMETER }] })
        }
        Shape::Word(words) => json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": PARAMETER }] }),
        Shape::List(shape) => {
            json!({ "anyOf": [{ "type": "array", "items": of(shape) }, { "type": "string", "pattern": PARAMETER }] })
        }
        Shape::OneOrMany(shape) => json!({ "anyOf": [of(shape), { "type": "array", "items": of(shape) }] }),
        Shape::Table(section) => json!({ "$ref": format!("#/$defs/{}", word(section)) }),
        Shape::Map(shape) => json!({ "type": "object", "additionalProperties": of(shape) }),
        Shape::Any(shapes) => json!({ "anyOf": shapes.iter().map(of).collect::<Vec<_>>() }),
        Shape::Value => {
            let scalar = json!({ "type": ["string", "number", "boolean"] });
            json!({ "anyOf": [scalar, { "type": "array", "items": scalar }] })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_key_is_in_the_schema_with_a_description_and_no_other() {
        let schema = schema();
        for section in keys::sections() {
            let object = if section.name == keys::FLOW.name { &schema } else { &schema["$defs"][word(section)] };
            let properties = object["properties"].as_object().unwrap();
            let names: Vec<&str> = section.keys.iter().map(|key| key.name).collect();
            let mut sorted = names.clone();
            sorted.sort_unstable();
            let mut listed: Vec<&str> = properties.keys().map(String::as_str).collect();
            listed.sort_unstable();
            assert_eq!(listed, sorted, "{}", section.name);
            for (name, property) in properties {
                assert!(property["description"].as_str().is_some_and(|text| text.len() > 5), "{}.{name}", section.name);
            }
            assert_eq!(object["additionalProperties"], json!(false), "{}", section.name);
        }
    }

    #[test]
    fn references_lead_somewhere() {
        let schema = schema();
        let text = schema.to_string();
        for (at, _) in text.match_indices("#/$defs/") {
            let name = text[at + 8..].split('"').next().unwrap();
            assert!(schema["$defs"].get(name).is_some(), "{name}");
        }
    }
}
