//! Whether a step says what its verb needs, and nothing that its verb cannot use.

use std::collections::BTreeMap;

use thalweg_core::pattern::Pattern;

use crate::diagnostic::Problem;
use crate::model::{Argument, CommandLine, Flow, Piece, Placeholder, Step, Verb, When};
use crate::parse::Draft;
use crate::reader::{Reader, listed, nearest};

// Only what is another program has a version that thalweg's own does not tell.
fn versions(reader: &mut Reader<'_>, step: &Step, place: &str) {
    let asks = reader.spot(&format!("{place}.version_from")).is_some();
    if asks && !matches!(step.does, Verb::Run(_)) {
        let span = reader.span_of(&format!("{place}.version_from"));
        reader.problem(
            Problem::error("contradiction", span, "`version_from` asks a program that the step does not run")
                .label("the verb is thalweg's own")
                .help("remove it: thalweg's own version is recorded with every run; it is for does = { run = [\"prog\", …] }"),
        );
    }
    if step.stale_on_version && !asks {
        let span = reader.span_of(&format!("{place}.stale_on"));
        reader.problem(
            Problem::error("missing-key", span, "`stale_on = \"version_from\"` needs something to ask")
                .label("`version_from` is missing")
                .help("add version_from = [\"prog\", \"--version\"]"),
        );
    }
}

/// Checks one step.
pub(super) fn check(reader: &mut Reader<'_>, draft: &Draft, step: &Step) {
    let flow = &draft.flow;
    let place = format!("steps.{}", step.name);
    if matches!(&step.does, Verb::Run(line) if line.args.is_empty()) {
        // The verb was not understood: what it needs is not known.
        return;
    }
    versions(reader, step, &place);
    let verb = match &step.does {
        Verb::Send => "send",
        Verb::Fetch => "fetch",
        Verb::Copy => "copy",
        Verb::Move => "move",
        Verb::Link => "link",
        Verb::Builtin(_) | Verb::Run(_) => "",
    };
    let given = |reader: &Reader<'_>, key: &str| {
        reader.spot(&format!("{place}.{key}")).is_some() || reader.spot(&format!("{place}.{key}.0")).is_some()
    };
    let missing = |reader: &mut Reader<'_>, key: &str, message: String, help: &str| {
        let misspelt = reader
            .problems
            .iter()
            .any(|problem| problem.code == "unknown-key" && problem.help == Some(format!("did you mean `{key}`?")));
        if !given(reader, key) && !misspelt {
            let span = reader.span_of(&format!("{place}.does"));
            reader.problem(
                Problem::error("missing-key", span, message).label(format!("`{key}` is missing")).help(help.to_owned()),
            );
        }
    };
    let useless = |reader: &mut Reader<'_>, key: &str, help: &str| {
        if given(reader, key) {
            let span = reader.span_of(&format!("{place}.{key}"));
            let who = if verb.is_empty() { "a command" } else { verb };
            reader.problem(
                Problem::error("contradiction", span, format!("`{key}` means nothing with {who}"))
                    .label("cannot be used")
                    .help(help.to_owned()),
            );
        }
    };
    match verb {
        "send" => {
            missing(reader, "to", "a send needs a station to send to".to_owned(), "add to = \"STATION\"");
            useless(reader, "makes", "a send brings the same product to another station; remove `makes`, or use copy");
            useless(reader, "from", "a send sends from `at`; to bring files here use fetch");
        }
        "fetch" => {
            missing(reader, "from", "a fetch needs a station to fetch from".to_owned(), "add from = \"STATION\"");
            useless(reader, "makes", "a fetch brings the same product here; remove `makes`");
            useless(reader, "to", "a fetch brings files to `at`; to bring them elsewhere use send");
        }
        "copy" | "move" | "link" if !given(reader, "to") => {
            missing(
                reader,
                "makes",
                format!("`{verb}` needs a product to make"),
                "add makes = \"PRODUCT\" (the same content under another path), or to = \"STATION\"",
            );
        }
        "" => {
            useless(
                reader,
                "to",
                "its outputs stay at `at`; a further step with does = \"send\" brings them elsewhere",
            );
        }
        _ => {}
    }
    if !verb.is_empty() {
        missing(reader, "takes", format!("`{verb}` needs files"), "add takes = \"PRODUCT\"");
    }
    if verb == "link" && given(reader, "to") {
        useless(reader, "to", "a link stays inside its station; use copy or send");
    }
    if !matches!(verb, "send" | "fetch") {
        if step.delete_extra.is_some() {
            useless(reader, "delete_extra", "only a send compares the trees of two stations");
        }
        useless(reader, "flag", "only a send puts a flag at its target");
    }
    same_station(reader, step, &place);
    read_only(reader, flow, step, &place);
    if step.takes.is_empty() && !given(reader, "takes") && verb.is_empty() && matches!(step.when, When::Arrives) {
        let span = reader.span_of(&format!("{place}.at"));
        reader.problem(
            Problem::error(
                "never-starts",
                reader.spot(&place).map_or(span, |text| text.span.clone()),
                format!("nothing starts `{}`", step.name),
            )
            .label("takes no files and has no timer")
            .help("add takes = \"PRODUCT\", or when = { every = \"1h\" }; its keys are then the moments of the timer"),
        );
    }
    for (n, role) in step.on_bad.along.iter().enumerate() {
        if !step.with.contains_key(role) && !step.takes.contains(role) {
            let known: Vec<&str> = step.with.keys().map(String::as_str).collect();
            let help = nearest(role, &known).map_or_else(
                || {
                    if known.is_empty() {
                        "the step has no `with`".to_owned()
                    } else {
                        format!("roles: {}", listed(&known))
                    }
                },
                |near| format!("did you mean `{near}`?"),
            );
            let span = reader.span_of(&format!("{place}.on_bad.along.{n}"));
            reader.problem(
                Problem::error("unknown-role", span, format!("there is no role `{role}`"))
                    .label("unknown role")
                    .help(help),
            );
        }
    }
    if let Verb::Builtin(line) | Verb::Run(line) = &step.does {
        placeholders(reader, flow, step, line);
    }
    if let Verb::Run(line) = &step.does {
        writes_nowhere(reader, step, line);
    }
}

// A program may take the paths from its standard input; more often `{out}` was forgotten. A `many` writes where it works.
fn writes_nowhere(reader: &mut Reader<'_>, step: &Step, line: &CommandLine) {
    let says = |what: &Placeholder| matches!(what, Placeholder::Out | Placeholder::OutNamed(_));
    let said = line.args.iter().any(|argument| match argument {
        Argument::Flagged { what, .. } => says(what),
        Argument::Pieces(pieces) => pieces.iter().any(|piece| matches!(piece, Piece::Hole(what) if says(what))),
    });
    let Some(make) = step.makes.iter().find(|make| !make.many).filter(|_| !said) else { return };
    let span = reader.span_of(&format!("steps.{}.does", step.name));
    reader.problem(
        Problem::warning(
            "no-output-path",
            span,
            format!("the command is not told where to write `{}`: no argument holds {{out}}", make.product),
        )
        .label("no {out}")
        .help("put {out} where the program takes the path of its output; without it, it has to take it from its standard input"),
    );
}

fn same_station(reader: &mut Reader<'_>, step: &Step, place: &str) {
    let (key, others, what) = match step.does {
        Verb::Send => ("to", &step.to, "sends to itself"),
        Verb::Fetch => ("from", &step.from, "fetches from itself"),
        _ => return,
    };
    // The members of a family share one text, so the place is that of the whole key.
    let Some(own) = others.iter().find(|station| step.at.contains(station)) else { return };
    let span = (0..)
        .map_while(|n| reader.spot(&format!("{place}.{key}.{n}")))
        .find(|text| text.value == **own)
        .map_or_else(|| reader.span_of(&format!("{place}.{key}")), |text| text.span.clone());
    let at = reader.span_of(&format!("{place}.at"));
    let help = if key == "to" {
        "name another station; a copy under another path of the same station is does = \"copy\" with makes = \"PRODUCT\""
    } else {
        "name another station"
    };
    reader.problem(
        Problem::error("same-station", span, format!("`{own}` {what}"))
            .label("the station itself")
            .also(at, "the step runs here")
            .help(help),
    );
}

fn read_only(reader: &mut Reader<'_>, flow: &Flow, step: &Step, place: &str) {
    let is = |name: &String| flow.stations.get(name).is_some_and(|station| station.read_only);
    let written: &[String] = if !step.to.is_empty() {
        &step.to
    } else if !step.makes.is_empty() || step.edits || matches!(step.does, Verb::Fetch) {
        &step.at
    } else {
        &[]
    };
    if let Some(station) = written.iter().find(|station| is(station)) {
        let key = if step.to.is_empty() { "at" } else { "to" };
        let span = reader.span_of(&format!("{place}.{key}"));
        reader.problem(
            Problem::error("read-only", span, format!("nothing is written at `{station}`"))
                .label("this station is read_only")
                .help("run the step at another station (from = \"…\" says where its inputs are), or remove read_only"),
        );
    } else if matches!(step.does, Verb::Move)
        && let Some(station) = step.at.iter().find(|station| is(station))
    {
        let span = reader.span_of(&format!("{place}.at"));
        reader.problem(
            Problem::error("read-only", span, format!("nothing is moved away from `{station}`"))
                .label("this station is read_only")
                .help("use copy instead of move"),
        );
    }
}

fn placeholders(reader: &mut Reader<'_>, flow: &Flow, step: &Step, line: &CommandLine) {
    for (n, argument) in line.args.iter().enumerate() {
        match argument {
            Argument::Flagged { what, .. } => placeholder(reader, flow, step, what, n),
            Argument::Pieces(pieces) => {
                for piece in pieces {
                    if let Piece::Hole(what) = piece {
                        placeholder(reader, flow, step, what, n);
                    }
                }
            }
        }
    }
}

fn placeholder(reader: &mut Reader<'_>, flow: &Flow, step: &Step, what: &Placeholder, argument: usize) {
    let report = |reader: &mut Reader<'_>, written: &str, message: String, help: String| {
        let span = span_of(reader, step, written, argument);
        reader.problem(Problem::error("bad-placeholder", span, message).label("cannot be filled").help(help));
    };
    let updates = step.makes.iter().any(|make| make.update);
    // What could not be read was told, and may be what is asked for here.
    let whole = super::is_whole(reader, flow, step);
    let read = super::is_read(reader, step);
    match what {
        Placeholder::In | Placeholder::InNamed(_) if !whole => {}
        Placeholder::Out | Placeholder::OutNamed(_) | Placeholder::InNew | Placeholder::OutPrevious if !read => {}
        Placeholder::In if step.takes.is_empty() => {
            report(
                reader,
                "in",
                "the step takes nothing".to_owned(),
                "add takes = \"PRODUCT\", or name a role: {in.ROLE}".to_owned(),
            );
        }
        Placeholder::Out if step.makes.is_empty() => {
            report(
                reader,
                "out",
                "the step makes nothing".to_owned(),
                "add makes = \"PRODUCT\", or remove {out}".to_owned(),
            );
        }
        Placeholder::InNew | Placeholder::OutPrevious if !updates => {
            let written = if *what == Placeholder::InNew { "in.new" } else { "out.previous" };
            report(
                reader,
                written,
                format!("{{{written}}} belongs to an output that is built up"),
                "write makes = { product = \"…\", update = true }, or use {in}".to_owned(),
            );
        }
        Placeholder::InNamed(name) if !step.with.contains_key(name) && !step.takes.contains(name) => {
            let known: Vec<&str> = step.takes.iter().chain(step.with.keys()).map(String::as_str).collect();
            let help = nearest(name, &known).map_or_else(
                || format!("inputs of this step: {}", listed(&known)),
                |near| format!("did you mean {{in.{near}}}?"),
            );
            report(reader, &format!("in.{name}"), format!("the step has no input `{name}`"), help);
        }
        Placeholder::OutNamed(name) if !step.makes.iter().any(|make| make.product == *name) => {
            let known: Vec<&str> = step.makes.iter().map(|make| make.product.as_str()).collect();
            let help = nearest(name, &known).map_or_else(
                || {
                    if known.is_empty() {
                        "the step makes nothing".to_owned()
                    } else {
                        format!("it makes {}", listed(&known))
                    }
                },
                |near| format!("did you mean {{out.{near}}}?"),
            );
            report(reader, &format!("out.{name}"), format!("the step does not make `{name}`"), help);
        }
        Placeholder::Field(text) => field(reader, flow, step, text, argument),
        _ => {}
    }
}

fn field(reader: &mut Reader<'_>, flow: &Flow, step: &Step, text: &str, argument: usize) {
    if !super::is_whole(reader, flow, step) || !super::is_read(reader, step) {
        return;
    }
    let known = super::keys::key_fields(flow, step);
    let names: Vec<&str> = known.iter().copied().collect();
    let wrong = if known.contains(text) {
        None
    } else {
        let mut types = BTreeMap::new();
        match Pattern::parse(&format!("{{{text}}}"), &mut types) {
            Ok(pattern) => pattern.uses().into_iter().find(|name| !known.contains(name.as_str())),
            Err(_) => Some(text.to_owned()),
        }
    };
    let Some(wrong) = wrong else { return };
    let span = span_of(reader, step, text, argument);
    let mut choices = names.clone();
    choices.extend(["in", "out", "key.start", "key.end"]);
    let help = match nearest(&wrong, &choices) {
        Some(near) => format!("did you mean {{{near}}}?"),
        None => format!(
            "fields of this step's keys: {}; besides {{in}}, {{out}}, {{key.start}}, {{key.end}}, {{$PARAMETER}}; a brace itself is written `{{{{`",
            listed(&names)
        ),
    };
    reader.problem(
        Problem::error("unknown-field", span, format!("`{}` has no field `{wrong}`", step.name))
            .label("cannot be filled")
            .help(help),
    );
}

/// Returns the place of a placeholder in the verb line or in the element of the command.
fn span_of(reader: &Reader<'_>, step: &Step, written: &str, argument: usize) -> std::ops::Range<usize> {
    let line = format!("steps.{}.does", step.name);
    let element = format!("{line}.run.{argument}");
    for place in [element.as_str(), line.as_str()] {
        let Some(text) = reader.spot(place) else { continue };
        for wanted in [format!("{{{written}}}"), format!(" {written}}}")] {
            if let Some(at) = text.value.find(&wanted) {
                let start = if wanted.starts_with(' ') { text.value[..at].rfind('{').unwrap_or(at) } else { at };
                return text.part(&(start..at + wanted.len()));
            }
        }
    }
    reader.span_of(&line)
}
