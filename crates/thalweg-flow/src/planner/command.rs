//! Filling the placeholders of a command line from a task.

use std::collections::BTreeMap;

use thalweg_core::Value;
use thalweg_core::pattern::{Pattern, PatternEnv, Table};

use super::{Task, TaskInput};
use crate::{Argument, CommandLine, Piece, Placeholder};

/// What the engine knows about a task's places: absolute paths, in the escaped text of [`thalweg_core::RelPath`].
pub struct Places<'a> {
    /// The task.
    pub task: &'a Task,
    /// The absolute path of an input.
    pub input: &'a dyn Fn(&TaskInput) -> String,
    /// Where the verb writes each output, in the order of the task's outputs; for a `many` the staging folder.
    pub outputs: &'a [String],
    /// Earlier outputs that an `update` works on from.
    pub previous: &'a [String],
    /// Parameters of the flow.
    pub params: &'a BTreeMap<String, Value>,
    /// Tables of the flow.
    pub tables: &'a BTreeMap<String, Table>,
}

/// A placeholder that cannot be filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("fill {{{placeholder}}} in the command: {why}")]
pub struct FillError {
    /// The placeholder as written.
    pub placeholder: String,
    /// What is missing.
    pub why: String,
}

/// Returns the arguments of a command with all placeholders filled, each in escaped text.
pub fn fill(line: &CommandLine, places: &Places<'_>) -> Result<Vec<String>, FillError> {
    let mut args = Vec::new();
    for argument in &line.args {
        match argument {
            Argument::Flagged { flag, what } => {
                for value in values(what, places)? {
                    args.push(flag.clone());
                    args.push(value);
                }
            }
            Argument::Pieces(pieces) => args.extend(pieces_filled(pieces, places)?),
        }
    }
    Ok(args)
}

// One argument, or as many as the list placeholder in it has values.
fn pieces_filled(pieces: &[Piece], places: &Places<'_>) -> Result<Vec<String>, FillError> {
    let mut all = vec![String::new()];
    for piece in pieces {
        let values = match piece {
            Piece::Text(text) => vec![text.clone()],
            Piece::Hole(hole) => values(hole, places)?,
        };
        all = all.iter().flat_map(|before| values.iter().map(move |value| format!("{before}{value}"))).collect();
    }
    Ok(all)
}

fn values(hole: &Placeholder, places: &Places<'_>) -> Result<Vec<String>, FillError> {
    let task = places.task;
    let inputs = |wanted: &dyn Fn(&TaskInput) -> bool| -> Vec<String> {
        task.inputs.iter().filter(|input| wanted(input)).map(|input| (places.input)(input)).collect()
    };
    let error = |why: &str| FillError { placeholder: name_of(hole), why: why.to_owned() };
    match hole {
        Placeholder::In => Ok(inputs(&|input| input.role.is_empty())),
        Placeholder::InNew => Ok(inputs(&|input| input.role.is_empty() && input.new)),
        Placeholder::InNamed(name) => {
            Ok(inputs(&|input| input.role == *name || (input.role.is_empty() && input.product == *name)))
        }
        Placeholder::Out => match places.outputs {
            [] => Err(error("the step makes nothing")),
            outputs => {
                let mut outputs = outputs.to_vec();
                outputs.dedup();
                Ok(outputs)
            }
        },
        Placeholder::OutNamed(name) => {
            let found = task.outputs.iter().zip(places.outputs).filter(|(output, _)| output.product == *name);
            let mut found: Vec<String> = found.map(|(_, path)| path.clone()).collect();
            found.dedup();
            if found.is_empty() { Err(error("the step does not make it")) } else { Ok(found) }
        }
        Placeholder::OutPrevious => Ok(places.previous.to_vec()),
        Placeholder::KeyStart | Placeholder::KeyEnd => {
            let span = task.span.ok_or_else(|| error("the key covers no span of time"))?;
            let at = if *hole == Placeholder::KeyStart { span.start } else { span.end };
            Ok(vec![at.to_string()])
        }
        Placeholder::Param(name) => match places.params.get(name) {
            Some(Value::List(values)) => Ok(values.iter().map(ToString::to_string).collect()),
            Some(value) => Ok(vec![value.to_string()]),
            None => Err(error("there is no such parameter")),
        },
        Placeholder::Field(text) => {
            if let Some(value) = task.fields.get(text) {
                return Ok(vec![value.to_string()]);
            }
            // Anything a path pattern can say about the fields: `{gps/1e6}`, `{date(time, "%Y")}`, `{time:%Y%m%d}`.
            let mut types = BTreeMap::new();
            let pattern = Pattern::parse(&format!("{{{text}}}"), &mut types).map_err(|_| error("no such field"))?;
            let env = PatternEnv { tables: places.tables };
            let path = pattern.format(&task.fields, &env, None).map_err(|why| error(&why.to_string()))?;
            Ok(vec![path.as_str().to_owned()])
        }
    }
}

fn name_of(hole: &Placeholder) -> String {
    match hole {
        Placeholder::In => "in".into(),
        Placeholder::InNamed(name) => format!("in.{name}"),
        Placeholder::InNew => "in.new".into(),
        Placeholder::Out => "out".into(),
        Placeholder::OutNamed(name) => format!("out.{name}"),
        Placeholder::OutPrevious => "out.previous".into(),
        Placeholder::KeyStart => "key.start".into(),
        Placeholder::KeyEnd => "key.end".into(),
        Placeholder::Param(name) => format!("${name}"),
        Placeholder::Field(text) => text.clone(),
    }
}
