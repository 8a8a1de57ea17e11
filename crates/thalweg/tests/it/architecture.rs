//! Who may import whom: the arrows of the workspace only go downwards.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;

/// Which crates of ours each crate may use; the program may use all.
const MAY_USE: [(&str, &[&str]); 11] = [
    ("core", &[]),
    ("flow", &["core"]),
    ("formats", &["core"]),
    ("store", &["core"]),
    ("transfer", &["core", "store"]),
    ("ledger", &["core"]),
    ("steps", &["core", "formats"]),
    ("engine", &["core", "flow", "ledger", "store", "transfer"]),
    ("acquire", &["core", "formats"]),
    ("coordinate", &["core", "ledger"]),
    ("web", &["core", "flow", "ledger", "engine"]),
];

/// What only integration tests may use, and what it may use itself.
const TESTKIT: (&str, &[&str]) = ("testkit", &["core", "flow", "store", "ledger", "transfer", "engine"]);

#[test]
fn the_arrows_between_the_crates_are_those_of_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Json = serde_json::from_slice(&output.stdout).expect("cargo answers in JSON");
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.into_iter().chain([TESTKIT]).collect();
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(short) = name.strip_prefix("thalweg-") else { continue };
        let Some(may) = allowed.get(short) else {
            wrong.push(format!("{name} is not in the table"));
            continue;
        };
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let used = dependency["name"].as_str().unwrap_or_default();
            let Some(used) = used.strip_prefix("thalweg-") else { continue };
            let only_tests = dependency["kind"].as_str() == Some("dev");
            let fine = may.contains(&used) || (only_tests && (used == TESTKIT.0 || used == short));
            if !fine {
                wrong.push(format!("{name} -> thalweg-{used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that the table does not have: {wrong:?}");
}
