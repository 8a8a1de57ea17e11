//! Planning does no input or output: the sources of the crate, and of the vocabulary below it, name nothing that could.

use std::path::{Path, PathBuf};

/// What no line of code may name, and in which one file it may all the same, since the file is there for that.
const FORBIDDEN: [(&str, Option<&str>); 16] = [
    ("std::fs", None),
    ("std::env", None),
    ("std::net", None),
    ("std::process", None),
    ("thread::spawn", None),
    ("std::os", None),
    ("std::io", None),
    ("SystemTime", None),
    ("Instant::now", None),
    ("Timestamp::now", Some("clock.rs")),
    ("Zoned::now", None),
    ("println!", None),
    ("print!", None),
    ("dbg!", None),
    ("rustix", None),
    ("libc", None),
];

/// All sources below a folder, tests beside the code left out.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of sources").flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "rs")
                && path.file_name().is_some_and(|name| name != "tests.rs")
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The lines of code with their numbers: without comments, and without what is compiled for tests only.
fn code(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut depth = 0_usize;
    let mut of_tests = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            of_tests = true;
            continue;
        }
        if of_tests && line.trim_start().starts_with("mod ") && line.trim_end().ends_with('{') {
            // Tests within a file stand at its end.
            break;
        }
        if std::mem::take(&mut of_tests) {
            continue;
        }
        let mut kept = String::new();
        let mut rest = line;
        while !rest.is_empty() {
            if depth > 0 {
                match (rest.find("*/"), rest.find("/*")) {
                    (Some(end), start) if start.is_none_or(|start| end < start) => {
                        (depth, rest) = (depth - 1, &rest[end + 2..]);
                    }
                    (_, Some(start)) => (depth, rest) = (depth + 1, &rest[start + 2..]),
                    _ => break,
                }
                continue;
            }
            match (rest.find("//"), rest.find("/*")) {
                (Some(end), start) if start.is_none_or(|start| end < start) => {
                    kept.push_str(&rest[..end]);
                    break;
                }
                (_, Some(start)) => {
                    kept.push_str(&rest[..start]);
                    (depth, rest) = (1, &rest[start + 2..]);
                }
                _ => {
                    kept.push_str(rest);
                    break;
                }
            }
        }
        if !kept.trim().is_empty() {
            lines.push((number + 1, kept));
        }
    }
    lines
}

fn offences(krate: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(krate).join("src");
    let sources = sources(&root);
    assert!(sources.len() > 5, "the sources of {krate} are found");
    let mut wrong = Vec::new();
    for path in sources {
        let text = std::fs::read_to_string(&path).expect("a source");
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        for (number, line) in code(&text) {
            for (word, fine_in) in FORBIDDEN {
                if line.contains(word) && fine_in != Some(name.as_str()) {
                    wrong.push(format!("{}:{number}: {word}: {}", path.display(), line.trim()));
                }
            }
        }
    }
    wrong
}

#[test]
fn the_flow_crate_touches_nothing_outside_itself() {
    assert_eq!(offences("thalweg-flow"), Vec::<String>::new());
}

#[test]
fn the_core_crate_touches_nothing_outside_itself() {
    assert_eq!(offences("thalweg-core"), Vec::<String>::new());
}

#[test]
fn the_search_sees_code_and_not_comments() {
    let text = "//! std::fs\nuse std::fs; // std::env\n/* std::net\n std::net */ let x = 1;\n#[cfg(test)]\nmod tests;\nlet y = 2;\n#[cfg(test)]\nmod more { use std::net; }\n";
    let seen: Vec<String> = code(text).into_iter().map(|(_, line)| line.trim().to_owned()).collect();
    assert_eq!(seen, ["use std::fs;", "let x = 1;", "let y = 2;"]);
}
