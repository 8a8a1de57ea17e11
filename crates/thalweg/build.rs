//! Finds out from which commit the program is built.

use std::path::Path;
use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

// A package of another project may lie in that one's repository: only our own says anything of us.
fn commit() -> Option<String> {
    let top = git(&["rev-parse", "--show-toplevel"])?;
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().ok()?;
    if Path::new(&top).canonicalize().ok()? != ours {
        return None;
    }
    for name in ["HEAD", "index"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name]) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    // What is changed and not committed has to be known whenever it is built in.
    for folder in std::fs::read_dir(ours.join("crates")).ok()?.flatten() {
        println!("cargo::rerun-if-changed={}", folder.path().join("src").display());
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
    Some(if changed { format!("{commit}, changed") } else { commit })
}

fn main() {
    println!("cargo::rerun-if-env-changed=THALWEG_BUILD");
    let given = std::env::var("THALWEG_BUILD").ok().filter(|given| !given.trim().is_empty());
    let build = given.or_else(commit).unwrap_or_else(|| "unknown build".to_owned());
    println!("cargo::rustc-env=THALWEG_BUILD={}", build.replace(['\n', '\r'], " "));
    println!("cargo::rerun-if-changed=build.rs");
}
