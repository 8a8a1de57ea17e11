//! The documentation says what is there: its commands are understood, its flows are valid, its links lead somewhere, the
//! tests that it names exist, and the parts of the reference that are made from the program are as the program is now.
//!
//! `THALWEG_DOCS=write` has those parts written instead of compared.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use thalweg_flow::{InMemory, Settings, Source, parse, schema};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text_of(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns all files below a folder with one of these endings.
fn files_below(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_below(&path, ending, found);
        } else if path.extension().is_some_and(|found| found == ending) {
            found.push(path);
        }
    }
    found.sort();
}

/// Returns the pages of the documentation.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"]
        .iter()
        .map(|name| root().join(name))
        .collect();
    files_below(&root().join("docs"), "md", &mut pages);
    files_below(&root().join("flows"), "md", &mut pages);
    pages
}

/// Returns the fenced blocks of a page with their language and the number of their first line.
fn blocks(text: &str) -> Vec<(String, usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, usize, String)> = None;
    for (n, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(language), None) => open = Some((language.trim().to_owned(), n + 2, String::new())),
            (None, Some((_, _, body))) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// Returns the code spans outside blocks.
fn spans(text: &str) -> Vec<String> {
    let mut inside = false;
    let mut spans = Vec::new();
    let mut prose = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    for paragraph in prose.split("\n\n") {
        spans.extend(paragraph.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " ")));
    }
    spans
}

/// Cuts a line as a shell would: quotes, a comment, pipes.
fn words(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let (mut word, mut begun, mut quote) = (String::new(), false, None);
    let end_word = |word: &mut String, begun: &mut bool, commands: &mut Vec<Vec<String>>| {
        if std::mem::take(begun)
            && let Some(command) = commands.last_mut()
        {
            command.push(std::mem::take(word));
        }
    };
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => (quote, begun) = (Some(c), true),
            (None, '#') if !begun => break,
            (None, '|' | ';' | '&' | '>') => {
                end_word(&mut word, &mut begun, &mut commands);
                commands.push(Vec::new());
            }
            (None, c) if c.is_whitespace() => end_word(&mut word, &mut begun, &mut commands),
            (None, c) => {
                word.push(c);
                begun = true;
            }
        }
    }
    end_word(&mut word, &mut begun, &mut commands);
    commands
}

/// Returns the arguments of every call of the program in a line.
fn calls(line: &str) -> Vec<Vec<String>> {
    let strip = |command: Vec<String>| -> Option<Vec<String>> {
        let start = command.iter().position(|word| !word.contains('='))?;
        let command = &command[start..];
        match command.first().map(String::as_str)? {
            "thalweg" => Some(command[1..].to_vec()),
            "watch" => command.iter().position(|word| word == "thalweg").map(|at| command[at + 1..].to_vec()),
            "cargo" if command.iter().any(|word| word == "run") && command.iter().any(|word| word == "thalweg") => {
                command.iter().position(|word| word == "--").map(|at| command[at + 1..].to_vec())
            }
            _ => None,
        }
    };
    words(line).into_iter().filter_map(strip).collect()
}

fn program() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("thalweg"));
    command.env("COLUMNS", "100").env("NO_COLOR", "1").env_remove("THALWEG_FLOW");
    command
}

#[test]
fn every_command_in_the_documentation_is_understood() {
    let mut wrong = Vec::new();
    let mut looked_at = 0;
    for page in pages() {
        let text = text_of(&page);
        let in_blocks = blocks(&text).into_iter().filter(|(language, _, _)| language == "sh");
        let mut lines: Vec<String> =
            in_blocks.flat_map(|(_, _, body)| body.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        // In prose a command may be named without what it needs, or with a stroke for the rest.
        lines.extend(spans(&text).into_iter().filter(|span| span.starts_with("thalweg ") && !span.contains('…')));
        for line in lines {
            for mut arguments in calls(&line) {
                // What stands before it is parsed, and nothing is done.
                arguments.push("--help".to_owned());
                let output = program().args(&arguments).output().expect("the program starts");
                looked_at += 1;
                if !output.status.success() {
                    wrong.push(format!("{}: {line}\n{}", page.display(), String::from_utf8_lossy(&output.stderr)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(looked_at > 20, "only {looked_at} commands were found");
}

#[test]
fn every_flow_in_the_documentation_is_valid() {
    let settings = Settings { known_verbs: vec!["dmap".to_owned(), "superdarn".to_owned()], ..Settings::default() };
    let mut wrong = Vec::new();
    let mut looked_at = 0;
    for page in pages() {
        for (language, line, body) in blocks(&text_of(&page)) {
            if language != "toml" || !body.lines().any(|line| line.starts_with("flow =")) {
                continue;
            }
            looked_at += 1;
            let source = Source::new(format!("{}:{line}", page.display()), body);
            if let Err(problems) = parse(&source, &settings, &InMemory::default()) {
                wrong.push(problems.render(false, 120));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(looked_at >= 3, "only {looked_at} flows were found");
}

#[test]
fn every_test_named_in_the_architecture_exists() {
    let mut wrong = Vec::new();
    let mut looked_at = 0;
    for name in spans(&text_of(&root().join("ARCHITECTURE.md"))) {
        let parts: Vec<&str> = name.split("::").collect();
        let (Some(package), Some(test)) = (parts.first(), parts.last()) else { continue };
        let is_name = |part: &&str| part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if parts.len() < 3 || !package.starts_with("thalweg") || package.contains('_') || !parts.iter().all(is_name) {
            continue;
        }
        looked_at += 1;
        let mut sources = Vec::new();
        files_below(&root().join("crates").join(package), "rs", &mut sources);
        let module = parts[parts.len() - 2];
        let in_module = |path: &PathBuf| {
            path.with_extension("").components().any(|part| part.as_os_str() == module)
                || (module == "tests" && path.to_string_lossy().contains("src"))
        };
        let found =
            sources.iter().filter(|path| in_module(path)).any(|path| text_of(path).contains(&format!("fn {test}(")));
        if !found {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "not found: {wrong:#?}");
    assert!(looked_at > 20, "only {looked_at} tests were found");
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut wrong = Vec::new();
    for page in pages() {
        let text = text_of(&page);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") || target.starts_with('#') || target.contains(char::is_whitespace) {
                continue;
            }
            let path = target.split('#').next().unwrap_or_default();
            let folder = page.parent().expect("a page lies in a folder");
            if !folder.join(path).exists() {
                wrong.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Compares a page with what it should be, or writes it.
fn page_is(path: &Path, wanted: &str) {
    let found = fs::read_to_string(path).unwrap_or_default();
    if found == wanted {
        return;
    }
    if std::env::var_os("THALWEG_DOCS").is_some_and(|value| value == "write") {
        let mut file = fs::File::create(path).expect("the page can be written");
        file.write_all(wanted.as_bytes()).expect("the page can be written");
        return;
    }
    let line = found.lines().zip(wanted.lines()).take_while(|(found, wanted)| found == wanted).count();
    panic!(
        "{} is not as the program is, from line {} on:\n  there:  {}\n  wanted: {}\nTHALWEG_DOCS=write has it written anew",
        path.display(),
        line + 1,
        found.lines().nth(line).unwrap_or("(end)"),
        wanted.lines().nth(line).unwrap_or("(end)"),
    );
}

/// The tables of the language in the order of the reference, with what they are for.
const SECTIONS: [(&str, &str); 23] = [
    ("", "The file itself"),
    ("parameter", "`params.NAME`, where the value is not written out"),
    ("station", "`stations.NAME`"),
    ("link", "`stations.NAME.link`"),
    ("product", "`products.NAME`"),
    ("ready-rule", "`products.NAME.ready`"),
    ("step", "`steps.NAME`"),
    ("input-by-role", "`steps.NAME.with.ROLE`"),
    ("rule-of-completeness", "`steps.NAME.complete`"),
    ("output", "`steps.NAME.makes`"),
    ("command", "`steps.NAME.does`"),
    ("trigger", "`steps.NAME.when`"),
    ("retry-rule", "`steps.NAME.retry`"),
    ("rule-for-bad-inputs", "`steps.NAME.on_bad`"),
    ("rule-for-extra-files", "`steps.NAME.delete_extra`"),
    ("keep", "`keeps.NAME`"),
    ("rule-of-deletion", "`keeps.NAME.delete`"),
    ("rule-for-the-newest-files", "`keeps.NAME.keep_newest`"),
    ("check", "`checks.NAME`"),
    ("notification-target", "`notify.NAME`"),
    ("served-tree", "`serve.NAME`"),
    ("run", "`[run]`"),
    ("log", "`[log]`"),
];

/// Returns what may stand at a key, in words.
fn shape(schema: &Value) -> String {
    if let Some(target) = schema["$ref"].as_str() {
        let name = target.trim_start_matches("#/$defs/");
        return format!("[{}](#{name})", name.replace('-', " "));
    }
    if let Some(all) = schema["anyOf"].as_array() {
        let mut shapes: Vec<String> = Vec::new();
        for one in all.iter().filter(|one| !is_parameter(one)) {
            let shape = shape(one);
            if !shapes.contains(&shape) {
                shapes.push(shape);
            }
        }
        return shapes.join(" or ");
    }
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    }
    if let Some(example) = schema["examples"][0].as_str() {
        return format!("as `\"{example}\"`");
    }
    match &schema["type"] {
        Value::String(name) => match name.as_str() {
            "string" => "text".to_owned(),
            "boolean" => "true, false".to_owned(),
            "integer" => {
                schema["minimum"].as_i64().map_or_else(|| "number".to_owned(), |least| format!("number from {least}"))
            }
            "array" => format!("list of {}", shape(&schema["items"])),
            "object" => format!("table of {}", shape(&schema["additionalProperties"])),
            other => other.to_owned(),
        },
        Value::Array(_) => "text, number, true or false".to_owned(),
        _ => "anything".to_owned(),
    }
}

fn is_parameter(schema: &Value) -> bool {
    schema["examples"].is_null() && schema["pattern"].as_str().is_some_and(|pattern| pattern.starts_with("^\\$"))
}

fn tables_of_keys() -> String {
    let schema = schema();
    let mut text = String::new();
    let mut left: BTreeSet<&String> = schema["$defs"].as_object().expect("sections").keys().collect();
    for (name, place) in SECTIONS {
        let section = if name.is_empty() { &schema } else { &schema["$defs"][name] };
        left.retain(|left| *left != name);
        let title = if name.is_empty() { "flow file".to_owned() } else { name.replace('-', " ") };
        let required: Vec<&str> =
            section["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let _ = write!(text, "\n### {title}\n\n{place}\n\n| key | value | meaning |\n|---|---|---|\n");
        for (key, about) in section["properties"].as_object().unwrap_or_else(|| panic!("no section {name}")) {
            let must = if required.contains(&key.as_str()) { " (required)" } else { "" };
            let meaning = about["description"].as_str().unwrap_or_default();
            let cell = |text: &str| text.replace('|', "\\|");
            let _ = writeln!(text, "| `{key}`{must} | {} | {} |", cell(&shape(about)), cell(meaning));
        }
    }
    assert!(left.is_empty(), "sections without a place in the reference: {left:?}");
    text
}

#[test]
fn the_reference_of_the_language_is_made_from_the_schema() {
    const BEGIN: &str = "<!-- made from the schema: begin -->\n";
    const END: &str = "\n<!-- made from the schema: end -->";
    let path = root().join("docs/reference/flow-language.md");
    let page = text_of(&path);
    let (before, rest) = page.split_once(BEGIN).expect("the mark of the beginning");
    let (_, after) = rest.split_once(END).expect("the mark of the end");
    page_is(&path, &format!("{before}{BEGIN}{}{END}{after}", tables_of_keys()));
}

/// Returns the help of a command and of all below it.
fn help(command: &[String], text: &mut String) {
    let output = program().args(command).arg("--help").output().expect("the program starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    let help = String::from_utf8(output.stdout).expect("help is text");
    // The global options and exit codes are the same everywhere: they stand once.
    let own = if command.is_empty() { help.as_str() } else { without_globals(&help) };
    let examples = help.find("\nExamples:").filter(|_| !command.is_empty()).map_or("", |at| &help[at..]);
    let examples = if own.contains(examples) { "" } else { examples };
    let name = std::iter::once("thalweg").chain(command.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    let lines: Vec<&str> = own.trim_end().lines().chain(examples.trim_end().lines()).map(str::trim_end).collect();
    let _ = write!(text, "\n## {name}\n\n```text\n{}\n```\n", lines.join("\n"));
    let commands = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    for line in commands.lines().take_while(|line| !line.is_empty()) {
        let is_entry = line.starts_with("  ") && !line.starts_with("   ");
        let Some(word) = line.split_whitespace().next().filter(|word| is_entry && *word != "help") else { continue };
        help_of(command, word, text);
    }
}

fn help_of(above: &[String], word: &str, text: &mut String) {
    let mut command = above.to_vec();
    command.push(word.to_owned());
    help(&command, text);
}

fn without_globals(help: &str) -> &str {
    help.split("\nGlobal options:").next().unwrap_or(help)
}

#[test]
fn the_reference_of_the_commands_is_their_help() {
    let mut text = String::from(
        "# Commands\n\nMade from the program: this is what `--help` says. Global options and exit codes stand with the first.\n",
    );
    help(&[], &mut text);
    page_is(&root().join("docs/reference/commands.md"), &text);
}
