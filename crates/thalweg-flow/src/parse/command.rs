//! What a step does: verb lines and commands, cut into arguments with placeholders.
//!
//! Nothing is filled here, and there is no shell: an argument stays one argument whatever a field holds.

use crate::diagnostic::Problem;
use crate::keys;
use crate::model::{Argument, CommandLine, Piece, Placeholder, Verb};
use crate::reader::{Reader, Text, Val, listed, nearest};

/// Subcommands that the language names; those that the program does not have are accepted with a note.
const PLANNED: [&str; 30] = [
    "dmap check",
    "dmap dump",
    "dmap ls",
    "dmap cat",
    "dmap cut",
    "superdarn to-dmap",
    "superdarn restructure",
    "superdarn plot-iq",
    "superdarn plot-rawacf",
    "superdarn clean",
    "dmap salvage",
    "image resize",
    "gwf inspect",
    "gwf verify",
    "gwf channels",
    "gwf dump",
    "gwf copy",
    "gwf trend",
    "gwf diff",
    "gwf plot",
    "gwf relay",
    "nidas ls",
    "nidas dump",
    "nidas merge",
    "nidas stats",
    "stix process",
    "stix publish",
    "stix status",
    "stix plot",
    "publish",
];

/// The verbs of the engine itself.
const ENGINE: [&str; 5] = ["send", "fetch", "copy", "move", "link"];

/// What of the step matters to its command.
pub(super) struct Around {
    pub(super) place: String,
    pub(super) takes: bool,
    pub(super) makes: bool,
}

/// Reads `does`.
pub(super) fn read<'s>(reader: &mut Reader<'s>, value: &Val<'s>, around: &Around) -> Option<Verb> {
    if value.get_ref().as_table().is_some() {
        let entries = reader.entries(value, &keys::RUN, &format!("{}.does", around.place))?;
        if let Some(text) = entries.get("run").and_then(|value| reader.plain_text(value)) {
            let words: Vec<String> = text.value.split_whitespace().map(|word| format!("{word:?}")).collect();
            let help = format!("no shell cuts it; write [{}]", words.join(", "));
            reader.problem(
                Problem::error("wrong-type", text.span, "`run` takes a list of arguments")
                    .label("this is a text")
                    .help(help),
            );
            return None;
        }
        let args = reader.get(&entries, "run", Reader::list)?;
        if args.is_empty() || args[0].value.trim().is_empty() {
            reader.problem(
                Problem::error("empty-command", value.span(), "the command is empty")
                    .label("no program")
                    .help("write { run = [\"program\", \"{in}\", \"-o\", \"{out}\"] }"),
            );
            return None;
        }
        for (n, arg) in args.iter().enumerate() {
            reader.remember(format!("{}.does.run.{n}", around.place), arg);
        }
        let args: Option<Vec<Argument>> =
            args.iter().map(|arg| argument(reader, arg, 0..arg.value.len(), false)).collect();
        return Some(Verb::Run(CommandLine { args: args? }));
    }
    let line = reader.plain_text(value);
    let Some(line) = line else {
        reader.wrong_type(
            value,
            "a verb line or { run = [\"program\", …] }",
            "write does = \"send\", does = \"superdarn to-dmap\", or does = { run = [\"program\", \"{in}\"] }",
        );
        return None;
    };
    reader.remember(format!("{}.does", around.place), &line);
    read_line(reader, &line, around)
}

fn read_line(reader: &mut Reader<'_>, line: &Text, around: &Around) -> Option<Verb> {
    let cuts = cut(reader, line)?;
    let words: Vec<&str> = cuts.iter().map(|range| &line.value[range.clone()]).collect();
    let whole = line.part(&(0..line.value.len()));
    let Some(first) = words.first() else {
        reader.problem(
            Problem::error("empty-command", whole, "the step does nothing")
                .label("no verb")
                .help("write \"send\", \"copy\", a subcommand, or { run = [\"program\", …] }"),
        );
        return None;
    };
    if ENGINE.contains(first) {
        if let Some(extra) = cuts.get(1) {
            let end = cuts.last().map_or(extra.end, |last| last.end);
            reader.problem(
                Problem::error("extra-arguments", line.part(&(extra.start..end)), format!("`{first}` stands alone"))
                    .label("not understood")
                    .help(match *first {
                        "fetch" => "say from where with from = \"STATION\"",
                        "send" => "say whereto with to = \"STATION\"",
                        _ => "say what comes out with makes = \"PRODUCT\", and whereto with to = \"STATION\"",
                    }),
            );
        }
        return Some(match *first {
            "send" => Verb::Send,
            "fetch" => Verb::Fetch,
            "copy" => Verb::Copy,
            "move" => Verb::Move,
            _ => Verb::Link,
        });
    }
    let starts = |verb: &str| verb.split(' ').enumerate().all(|(n, word)| words.get(n) == Some(&word));
    let known = &reader.settings.known_verbs;
    if !known.is_empty() && !known.iter().any(|verb| starts(verb)) {
        if PLANNED.iter().any(|verb| starts(verb)) {
            let verb = words.iter().take(2).copied().collect::<Vec<_>>().join(" ");
            reader.note(&around.place, format!("`{verb}` is accepted: this program cannot carry it out yet"));
        } else {
            unknown_verb(reader, line, &cuts, &words);
            return None;
        }
    }
    let mut args: Vec<Argument> = Vec::new();
    for range in cuts {
        args.push(argument(reader, line, range, true)?);
    }
    if args.iter().all(is_plain) {
        let hole = |placeholder| Argument::Pieces(vec![Piece::Hole(placeholder)]);
        if around.takes {
            args.push(hole(Placeholder::In));
        }
        if around.makes {
            args.push(Argument::Pieces(vec![Piece::Text("-o".to_owned())]));
            args.push(hole(Placeholder::Out));
        }
    }
    Some(Verb::Builtin(CommandLine { args }))
}

fn is_plain(argument: &Argument) -> bool {
    match argument {
        Argument::Pieces(pieces) => pieces.iter().all(|piece| matches!(piece, Piece::Text(_))),
        Argument::Flagged { .. } => false,
    }
}

fn unknown_verb(reader: &mut Reader<'_>, line: &Text, cuts: &[std::ops::Range<usize>], words: &[&str]) {
    let mut verbs: Vec<String> = reader.settings.known_verbs.clone();
    verbs.extend(PLANNED.iter().chain(&ENGINE).map(|verb| (*verb).to_owned()));
    verbs.sort();
    verbs.dedup();
    let names: Vec<&str> = verbs.iter().map(String::as_str).collect();
    let two = words.iter().take(2).copied().collect::<Vec<_>>().join(" ");
    let group: Vec<&str> =
        names.iter().copied().filter(|verb| verb.split(' ').next() == words.first().copied()).collect();
    let own = format!(
        "for a program of your own write does = {{ run = [{}] }}",
        words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
    );
    let help = match (nearest(&two, &names).or_else(|| nearest(words[0], &names)), group.is_empty()) {
        (Some(near), _) => format!("did you mean `{near}`? {own}"),
        (None, false) => format!("there are {}; {own}", listed(&group)),
        (None, true) => own,
    };
    let end = cuts.get(1).map_or(cuts[0].end, |second| if group.is_empty() { cuts[0].end } else { second.end });
    reader.problem(
        Problem::error(
            "unknown-verb",
            line.part(&(cuts[0].start..end)),
            format!("there is no verb `{}`", &line.value[cuts[0].start..end]),
        )
        .label("unknown verb")
        .help(help),
    );
}

/// Cuts a line at blanks outside braces and quotes.
fn cut(reader: &mut Reader<'_>, line: &Text) -> Option<Vec<std::ops::Range<usize>>> {
    let mut cuts = Vec::new();
    let mut start = None;
    let mut depth = 0_usize;
    let mut open_brace = 0;
    let mut quote = None;
    let mut second = None;
    for (at, c) in line.value.char_indices() {
        // Doubled braces are text.
        if second.take() == Some(at) {
            continue;
        }
        if quote.is_none() && depth == 0 && matches!(c, '{' | '}') && line.value[at + 1..].starts_with(c) {
            second = Some(at + 1);
            start.get_or_insert(at);
            continue;
        }
        match c {
            '\'' if depth == 0 => {
                quote = if quote.is_some() { None } else { Some(at) };
                start.get_or_insert(at);
            }
            _ if quote.is_some() => {}
            '{' => {
                if depth == 0 {
                    open_brace = at;
                }
                depth += 1;
                start.get_or_insert(at);
            }
            '}' if depth > 0 => depth -= 1,
            c if c.is_whitespace() && depth == 0 => {
                if let Some(start) = start.take() {
                    cuts.push(start..at);
                }
            }
            _ => {
                start.get_or_insert(at);
            }
        }
    }
    if let Some(at) = quote {
        reader.problem(
            Problem::error("unclosed", line.part(&(at..line.value.len())), "this quote is not closed")
                .label("opened here")
                .help("close it with another '"),
        );
        return None;
    }
    if depth > 0 {
        reader.problem(
            Problem::error("unclosed", line.part(&(open_brace..line.value.len())), "this brace is not closed")
                .label("opened here")
                .help("close it with `}`; a brace itself is written `{{`"),
        );
        return None;
    }
    if let Some(start) = start {
        cuts.push(start..line.value.len());
    }
    Some(cuts)
}

/// Reads one argument: text and holes. Quotes have a meaning in lines only.
fn argument(reader: &mut Reader<'_>, text: &Text, range: std::ops::Range<usize>, in_line: bool) -> Option<Argument> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut at = range.start;
    let mut quoted = false;
    let value = text.value.clone();
    while at < range.end {
        let rest = &value[at..range.end];
        let Some(c) = rest.chars().next() else { break };
        if c == '\'' && in_line {
            quoted = !quoted;
            at += 1;
            continue;
        }
        if matches!(c, '{' | '}') && !quoted && rest[1..].starts_with(c) {
            plain.push(c);
            at += 2;
            continue;
        }
        if c == '{' && !quoted {
            let Some(length) = matching_brace(rest) else {
                reader.problem(
                    Problem::error("unclosed", text.part(&(at..range.end)), "this brace is not closed")
                        .label("opened here")
                        .help("close it with `}`; a brace itself is written `{{`"),
                );
                return None;
            };
            let inside = rest[1..length].trim().to_owned();
            let span = at..at + length + 1;
            if let Some((flag, name)) = inside.strip_prefix('-').and_then(|_| inside.split_once(char::is_whitespace)) {
                if span != range {
                    reader.problem(
                        Problem::error(
                            "bad-placeholder",
                            text.part(&span),
                            format!("`{{{inside}}}` stands alone in its argument"),
                        )
                        .label("fills several arguments")
                        .help("put blanks around it"),
                    );
                    return None;
                }
                let what = placeholder(reader, text, name.trim(), &span)?;
                if !is_list(&what) {
                    reader.problem(
                        Problem::error("bad-placeholder", text.part(&span), "a flag before each file needs files")
                            .label("names no files")
                            .help("write {-i in}, {-i in.PRODUCT} or {-i in.ROLE}"),
                    );
                }
                return Some(Argument::Flagged { flag: flag.to_owned(), what });
            }
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Hole(placeholder(reader, text, &inside, &span)?));
            at = span.end;
            continue;
        }
        plain.push(c);
        at += c.len_utf8();
    }
    if !plain.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    let lists = pieces.iter().filter(|piece| matches!(piece, Piece::Hole(what) if is_list(what))).count();
    if lists > 1 {
        reader.problem(
            Problem::error("bad-placeholder", text.part(&range), "one argument holds at most one placeholder of files")
                .label(format!("{lists} of them"))
                .help("put blanks between them"),
        );
    }
    Some(Argument::Pieces(pieces))
}

fn is_list(placeholder: &Placeholder) -> bool {
    matches!(placeholder, Placeholder::In | Placeholder::InNamed(_) | Placeholder::InNew)
}

fn matching_brace(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn placeholder(
    reader: &mut Reader<'_>,
    text: &Text,
    inside: &str,
    span: &std::ops::Range<usize>,
) -> Option<Placeholder> {
    Some(match inside {
        "" => {
            reader.problem(
                Problem::error("bad-placeholder", text.part(span), "nothing stands between the braces")
                    .label("empty")
                    .help("write {in}, {out}, {key.start}, {FIELD} or {$PARAMETER}; a brace itself is written `{{`"),
            );
            return None;
        }
        "in" => Placeholder::In,
        "in.new" => Placeholder::InNew,
        "out" => Placeholder::Out,
        "out.previous" => Placeholder::OutPrevious,
        "key.start" => Placeholder::KeyStart,
        "key.end" => Placeholder::KeyEnd,
        other => {
            if let Some(name) = other.strip_prefix("in.") {
                Placeholder::InNamed(name.to_owned())
            } else if let Some(name) = other.strip_prefix("out.") {
                Placeholder::OutNamed(name.to_owned())
            } else if let Some(name) = other.strip_prefix('$') {
                reader.param(name, &text.part(span))?;
                Placeholder::Param(name.to_owned())
            } else {
                Placeholder::Field(other.to_owned())
            }
        }
    })
}
