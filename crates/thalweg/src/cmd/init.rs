//! `init`: a flow file to begin with.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use thalweg_engine::{makes_root, root_of};

use super::{Context, Done};
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{Cell, Table};
use crate::project::Project;
use crate::words::did_you_mean;

/// A flow to begin with.
struct Template {
    name: &'static str,
    about: &'static str,
    flow: &'static str,
    /// What is told beside it, in README.md.
    readme: Option<&'static str>,
}

/// All of them, the usual one first.
const TEMPLATES: [Template; 2] = [
    Template {
        name: "two-stations",
        about: "two folders and an external command, with comments that explain each part",
        flow: include_str!("../../../../flows/two-stations/flow.toml"),
        readme: None,
    },
    Template {
        name: "superdarn",
        about: "a radar's files from the radar computer over its site to the campus server and to those who use them",
        flow: include_str!("../../../../flows/superdarn/flow.toml"),
        readme: Some(include_str!("../../../../flows/superdarn/README.md")),
    },
];

/// Writes a commented flow file to begin with
///
/// It passes `thalweg check` and runs as it stands, with its stations as folders beside it. A file that is there already
/// is never overwritten.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg init\n  thalweg init superdarn --dir radar\n  thalweg init --flow /data/flow/flow.toml\n  thalweg init --list"
)]
pub(crate) struct Init {
    /// The template (see --list)
    #[arg(value_name = "TEMPLATE", default_value = "two-stations")]
    template: String,
    /// The folder of the new flow.toml; made if it is missing [default: the working folder]
    #[arg(long, value_name = "D")]
    dir: Option<PathBuf>,
    /// List the templates
    #[arg(long)]
    list: bool,
}

impl Init {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        if self.list {
            return list(context);
        }
        let Some(template) = TEMPLATES.iter().find(|template| template.name == self.template) else {
            return Err(Failure::usage(format!("there is no template `{}`", self.template))
                .help(did_you_mean(&self.template, TEMPLATES.iter().map(|template| template.name))));
        };
        // What the environment says is meant for all commands, and gives way to what is said for this one.
        let surrounding = std::env::var_os("THALWEG_FLOW").map(PathBuf::from);
        let path = match (self.dir, &context.global.flow) {
            (Some(dir), Some(flow)) if surrounding.as_ref() != Some(flow) => {
                return Err(Failure::usage("--flow names the new file and --dir its folder: not both").help(format!(
                    "leave --dir out: --flow {}",
                    quoted(&dir.join(flow.file_name().unwrap_or(flow.as_os_str())).to_string_lossy())
                )));
            }
            (Some(dir), _) => dir.join("flow.toml"),
            (None, Some(flow)) => flow.clone(),
            (None, None) => PathBuf::from("flow.toml"),
        };
        let failed = |error: &std::io::Error| {
            Failure::config(format!("failed to write {}: {error}", path.display()))
                .help("name another folder with --dir")
        };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| failed(&error))?;
        }
        // Made by its name alone, so that nothing that is there, a link neither, is ever written into.
        let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(Failure::new(
                    Exit::Refused,
                    format!("failed to write {}: it is there already", path.display()),
                )
                .help("name another folder with --dir or another file with --flow, or remove it first"));
            }
            Err(error) => return Err(failed(&error)),
        };
        file.write_all(template.flow.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| failed(&error))?;
        let readme = match template.readme {
            Some(text) => beside(&path, text)?,
            None => None,
        };
        let inputs = make_inputs(context, &path)?;
        let out = &mut context.out;
        if out.json {
            out.document(&json!({ "path": path, "template": template.name, "readme": readme, "made": inputs }))?;
            return Ok(Exit::Done);
        }
        out.line(format!("{} is written from the template {}", path.display(), template.name))?;
        match &readme {
            Some(readme) => out.line(format!("{} says what to change", readme.display()))?,
            None if template.readme.is_some() => {
                out.note("there is a README.md already, which stays: that of the template was not written");
            }
            None => {}
        }
        for input in &inputs {
            out.line(format!("{} is made: what arrives comes there", input.display()))?;
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder {
            out.line(format!("  cd {}", quoted(&folder.to_string_lossy())))?;
        }
        let name = path.file_name().unwrap_or(path.as_os_str());
        // The name that is looked for by itself, unless another is set for all commands.
        let flow = if name == "flow.toml" && surrounding.is_none() {
            String::new()
        } else {
            format!(" --flow {}", quoted(&name.to_string_lossy()))
        };
        let width = 35 + flow.len();
        for (command, what) in [
            ("thalweg check", "what is wrong with it, at its line"),
            ("thalweg check --here", "what is wrong on this host"),
            ("thalweg plan", "what would be done now and why; touches nothing"),
            ("thalweg run --once", "does it and ends; without --once it goes on and watches"),
            ("thalweg install-service --dry-run", "how it would run from boot on"),
        ] {
            let command = format!("{command}{flow}");
            out.line(format!("  {command:<width$}{what}"))?;
        }
        Ok(Exit::Done)
    }
}

// Returns a word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

// Writes README.md beside a flow file; one that is there already, somebody else's, stays, and the flow does without.
fn beside(flow: &Path, text: &str) -> Result<Option<PathBuf>, Failure> {
    let path = flow.with_file_name("README.md");
    let written = match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(mut file) => file.write_all(text.as_bytes()).and_then(|()| file.sync_all()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(None),
        Err(error) => Err(error),
    };
    let failed = |error| {
        Failure::config(format!("failed to write {}: {error}", path.display()))
            .help("the flow file is written and complete; remove it to begin anew, once what is said here is mended")
    };
    written.map_err(failed)?;
    Ok(Some(path))
}

// A run makes the roots to which the flow writes; those from which it reads have to be there.
fn make_inputs(context: &mut Context, flow: &Path) -> Result<Vec<PathBuf>, Failure> {
    let global = Global { flow: Some(flow.to_owned()), ..context.global.clone() };
    let project = Project::load(&global, None, &context.clock)?;
    let mut made = Vec::new();
    for station in project.flow().stations.values() {
        let root = root_of(&project.setup, station);
        if makes_root(project.flow(), station) || root.exists() {
            continue;
        }
        std::fs::create_dir_all(&root).map_err(|error| {
            Failure::config(format!("failed to make the folder {}: {error}", root.display()))
                .help("the flow file is written: make the folder by hand, or name another as the station's `root`")
        })?;
        made.push(root);
    }
    Ok(made)
}

fn list(context: &mut Context) -> Done {
    let out = &mut context.out;
    if out.json {
        for template in &TEMPLATES {
            out.object(&json!({ "template": template.name, "about": template.about }))?;
        }
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["template", ""]);
    for template in &TEMPLATES {
        table.row([Cell::from(template.name), template.about.into()]);
    }
    out.table(&table)?;
    Ok(Exit::Done)
}
