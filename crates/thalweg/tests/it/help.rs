//! Help texts: fixed as snapshots, each with an example.

use crate::flows::thalweg;

/// The subcommands of the command-line contract that are built, with the words that come before their help.
const COMMANDS: [&[&str]; 46] = [
    &["init"],
    &["install-service"],
    &["check"],
    &["graph"],
    &["schema"],
    &["plan"],
    &["run"],
    &["make"],
    &["status"],
    &["why"],
    &["runs"],
    &["log"],
    &["find"],
    &["gaps"],
    &["coverage"],
    &["lineage"],
    &["scan"],
    &["retry"],
    &["hold"],
    &["release"],
    &["pause"],
    &["resume"],
    &["drain"],
    &["trim"],
    &["verify"],
    &["quarantine"],
    &["quarantine", "list"],
    &["quarantine", "release"],
    &["send"],
    &["dmap", "check"],
    &["dmap", "dump"],
    &["dmap", "ls"],
    &["dmap", "cat"],
    &["dmap", "cut"],
    &["dmap", "salvage"],
    &["superdarn", "to-dmap"],
    &["superdarn", "restructure"],
    &["superdarn", "clean"],
    &["superdarn", "plot-iq"],
    &["superdarn", "plot-rawacf"],
    &["image", "resize"],
    &["completions"],
    &["man"],
    &["probe"],
    &["demo"],
    &[],
];

fn help(words: &[&str], flag: &str) -> String {
    let output = thalweg().args(words).arg(flag).env("COLUMNS", "100").output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{words:?} {flag}");
    String::from_utf8(output.stdout).expect("help is text")
}

#[test]
fn every_subcommand_shows_an_example() {
    for words in COMMANDS.into_iter().filter(|words| !words.is_empty()) {
        let text = help(words, "--help");
        let call = format!("thalweg {}", words.join(" "));
        let examples = text.split("Examples:").nth(1).unwrap_or_else(|| panic!("{call} has no examples:\n{text}"));
        assert!(examples.contains(&call), "the examples of {call} do not show it:\n{text}");
    }
}

#[test]
fn the_list_of_commands_stays() {
    let text = help(&[], "-h");
    let commands = text.split("Commands:").nth(1).and_then(|rest| rest.split("Options:").next()).unwrap_or_default();
    insta::assert_snapshot!("commands", commands.split("Global options:").next().unwrap_or_default().trim_end());
}

#[test]
fn the_help_of_each_command_stays() {
    let mut all = String::new();
    for words in COMMANDS {
        let text = help(words, "-h");
        // What every command has stands once, in the help of the program.
        let own =
            if words.is_empty() { text.as_str() } else { text.split("Global options:").next().unwrap_or_default() };
        all.push_str(&format!("===== thalweg {}\n{}\n", words.join(" "), own.trim_end()));
    }
    insta::assert_snapshot!("help", all);
}

#[test]
fn exit_codes_stand_in_the_help_and_in_the_manual() {
    let manual = thalweg().arg("man").output().expect("it runs");
    let manual = String::from_utf8_lossy(&manual.stdout).into_owned();
    let text = help(&[], "--help");
    for (code, meaning) in [("3", "invalid configuration"), ("5", "refused for safety"), ("75", "try later")] {
        assert!(text.contains(&format!("{code}  {meaning}")), "{text}");
        assert!(manual.contains(&format!("{code}\n{meaning}")), "{manual}");
    }
}

#[test]
fn every_command_has_a_page_of_the_manual() {
    let folder = tempfile::TempDir::new().expect("a folder");
    thalweg().args(["man", "--dir", "man1"]).current_dir(folder.path()).assert().success();
    for words in COMMANDS.into_iter().filter(|words| *words != ["probe"]) {
        let name = [&["thalweg"], words].concat().join("-");
        let page = std::fs::read_to_string(folder.path().join(format!("man1/{name}.1"))).unwrap_or_default();
        assert!(page.contains("EXIT STATUS"), "{name}");
    }
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = thalweg().args(["completions", shell]).output().expect("it runs");
        assert!(output.status.success() && output.stdout.len() > 1000, "{shell}");
    }
}
