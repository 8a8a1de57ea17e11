//! Steps: what is done, where, with which files, when, and what happens when it fails.

use std::collections::BTreeMap;

use thalweg_core::ErrorClass;
use thalweg_core::pattern::FieldType;
use thalweg_core::time::Grid;
use thalweg_core::units::parse_duration;

use jiff::SignedDuration;
use jiff::tz::TimeZone;

use crate::diagnostic::Problem;
use crate::keys;
use crate::model::{
    CommandLine, Complete, Executor, GIVE_UP, Late, Make, Match, OnBad, Order, Per, Retry, Step, TIMEOUT, Verb, Wait,
    When, With, WithWhat,
};
use crate::reader::{Entries, Reader, Text, Val, in_order};

use super::{Draft, command, products};

/// Reads one entry of `steps`.
pub(super) fn read<'s>(reader: &mut Reader<'s>, draft: &mut Draft, name: &Text, value: &Val<'s>) {
    let place = format!("steps.{}", name.value);
    let Some(entries) = reader.entries(value, &keys::STEP, &place) else { return };
    // That a key stands there is known even when its value is wrong: the one mistake is told once.
    for key in ["takes", "makes", "each"] {
        let value = match key {
            "takes" => entries.get("takes"),
            "makes" => entries.get("makes"),
            _ => entries.get("each"),
        };
        if let Some(value) = value {
            reader.remember(format!("{place}.{key}"), &Text::at(value.span()));
        }
    }
    for key in ["version_from", "stale_on"] {
        if entries.has(key) {
            reader.remember(format!("{place}.{key}"), &Text::at(entries.key_span(key)));
        }
    }
    let at = reader.get_text(&entries, "at").map_or(Vec::new(), |text| reader.stations(draft, &text));
    let takes = named_products(reader, draft, &entries, "takes");
    let from = station_list(reader, draft, &entries, "from");
    let with = reader.get(&entries, "with", |reader, value| {
        reader.map(
            value,
            "a table of roles",
            "with.ROLE = { product = \"…\", match = [\"site\"] }",
            |reader, role, value| read_with(reader, draft, role, value, &place),
        )
    });
    let makes =
        reader.get(&entries, "makes", |reader, value| read_makes(reader, draft, value, &place)).unwrap_or_default();
    let around = command::Around { place: place.clone(), takes: entries.has("takes"), makes: entries.has("makes") };
    let does = reader.get(&entries, "does", |reader, value| command::read(reader, value, &around));
    let per = reader.get(&entries, "per", |reader, value| read_per(reader, draft, value, &takes, &place));
    let when = reader.get(&entries, "when", |reader, value| read_when(reader, value, &place)).unwrap_or(When::Arrives);
    let hours = super::hours::read_with(reader, &entries, &when);
    let step = Step {
        name: name.value.clone(),
        was: reader.get_text(&entries, "was").map(|was| was.value),
        version: reader
            .get(&entries, "version", |reader, value| reader.integer(value, 1))
            .map_or(1, |version| u32::try_from(version).unwrap_or(u32::MAX)),
        version_from: read_version_from(reader, &entries),
        stale_on_version: reader
            .get(&entries, "stale_on", |reader, value| reader.word(value, &["version_from"]))
            .is_some(),
        at,
        takes,
        from,
        with: with.map_or(BTreeMap::new(), |with| with.into_iter().map(|(role, with)| (role.value, with)).collect()),
        per,
        by_start: reader.get(&entries, "by", |reader, value| reader.word(value, &["start", "overlap"])) == Some(0),
        each: reader.get(&entries, "each", Reader::each).unwrap_or_default(),
        complete: reader
            .get(&entries, "complete", |reader, value| read_complete(reader, value, &place))
            .unwrap_or_default(),
        condition: reader.get(&entries, "if", |reader, value| reader.condition(value, &format!("{place}.if"))),
        makes,
        edits: reader.get_flag(&entries, "edits").unwrap_or_default(),
        to: station_list(reader, draft, &entries, "to"),
        flag: reader.get_text(&entries, "flag").map(|flag| flag.value),
        follow_append: reader.get(&entries, "follow", |reader, value| reader.word(value, &["append"])).is_some(),
        delete_extra: reader.get(&entries, "delete_extra", |reader, value| {
            let entries = reader.entries(value, &keys::DELETE_EXTRA, &format!("{place}.delete_extra"))?;
            reader.get(&entries, "at_most", Reader::percent)
        }),
        when,
        order: match reader
            .get(&entries, "order", |reader, value| reader.word(value, &["oldest_first", "newest_first"]))
        {
            Some(1) => Order::NewestFirst,
            _ => Order::OldestFirst,
        },
        hours,
        window: reader.get_duration(&entries, "window"),
        skip_back: reader.get_duration(&entries, "skip_back"),
        give_up: reader.get_duration(&entries, "give_up").or(Some(GIVE_UP)),
        priority: reader
            .get(&entries, "priority", |reader, value| reader.integer(value, i64::from(i32::MIN)))
            .map_or(0, |priority| i32::try_from(priority).unwrap_or(i32::MAX)),
        parallel: reader
            .get(&entries, "parallel", |reader, value| reader.integer(value, 1))
            .map(|count| usize::try_from(count).unwrap_or(usize::MAX)),
        batch: reader
            .get(&entries, "batch", |reader, value| reader.integer(value, 1))
            .map_or(1, |count| usize::try_from(count).unwrap_or(usize::MAX)),
        one_at_a_time: read_one_at_a_time(reader, &entries),
        exclusive: reader.get_text(&entries, "exclusive").map(|lock| lock.value),
        timeout: reader.get(&entries, "timeout", Reader::some_time).unwrap_or(TIMEOUT),
        memory: reader.get(&entries, "memory", Reader::size),
        retry: reader.get(&entries, "retry", |reader, value| read_retry(reader, value, &place)).unwrap_or_default(),
        after: named_steps(reader, draft, &entries, "after"),
        needs: named_steps(reader, draft, &entries, "needs"),
        on_bad: reader.get(&entries, "on_bad", |reader, value| read_on_bad(reader, value, &place)).unwrap_or_default(),
        executor: match reader.get(&entries, "executor", |reader, value| reader.word(value, &["local", "slurm"])) {
            Some(1) => Executor::Slurm,
            _ => Executor::Local,
        },
        network: reader.get_flag(&entries, "network").unwrap_or_default(),
        reads: reader
            .get_texts(&entries, "reads")
            .map_or(Vec::new(), |reads| reads.into_iter().map(|folder| folder.value).collect()),
        environment: reader
            .get(&entries, "environment", |reader, value| {
                reader.map(value, "a table of variables", "environment = { TZ = \"UTC\" }", |reader, _, value| {
                    Some(reader.text(value)?.value)
                })
            })
            .map_or(BTreeMap::new(), |variables| {
                variables.into_iter().map(|(name, value)| (name.value, value)).collect()
            }),
        // A verb that was not understood leaves an empty command, so that the rest of the step is still checked.
        does: does.unwrap_or(Verb::Run(CommandLine { args: Vec::new() })),
    };
    notes(reader, &step, &place);
    let step = with_same_product(reader, step, &entries, &place);
    draft.flow.step_order.push(name.value.clone());
    draft.flow.steps.insert(name.value.clone(), step);
}

/// A `copy` (or `move`) to other stations that makes nothing by name brings the same product there.
fn with_same_product<'s>(reader: &mut Reader<'s>, mut step: Step, entries: &Entries<'_, 's>, place: &str) -> Step {
    if matches!(step.does, Verb::Copy | Verb::Move) && !entries.has("makes") && !step.to.is_empty() {
        match step.takes.as_slice() {
            [product] => step.makes = vec![Make { product: product.clone(), many: false, update: false }],
            [] => {}
            _ => {
                let span = reader.span_of(&format!("{place}.takes"));
                reader.problem(
                    Problem::error("contradiction", span, "one product is copied by one step")
                        .label("several products")
                        .help("make a step for each product, or use does = \"send\", which takes several"),
                );
            }
        }
    }
    step
}

fn read_version_from<'s>(reader: &mut Reader<'s>, entries: &Entries<'_, 's>) -> Vec<String> {
    let Some(words) = reader.get(entries, "version_from", Reader::list) else { return Vec::new() };
    if words.first().is_none_or(|program| program.value.is_empty()) {
        reader.problem(
            Problem::error("empty-list", entries.key_span("version_from"), "`version_from` names no program")
                .label("nothing to ask")
                .help("write version_from = [\"prog\", \"--version\"], or leave it out"),
        );
    }
    words.into_iter().map(|word| word.value).collect()
}

fn notes(reader: &mut Reader<'_>, step: &Step, place: &str) {
    if step.executor == Executor::Slurm {
        reader.note(place, "`executor = \"slurm\"` is accepted: nothing hands tasks to Slurm, so the step is blocked; leave it out to run them as child processes of this host");
    }
    if step.follow_append {
        reader.note(
            place,
            "`follow = \"append\"` is accepted: growing files are not followed yet; each is taken when it is complete",
        );
    }
    if step.delete_extra.is_some() {
        reader.note(place, "`delete_extra` is accepted: nothing is removed at the target yet");
    }
}

fn named_products<'s>(
    reader: &mut Reader<'s>,
    draft: &Draft,
    entries: &Entries<'_, 's>,
    key: &'static str,
) -> Vec<String> {
    reader
        .get_texts(entries, key)
        .map_or(Vec::new(), |texts| texts.iter().filter_map(|text| reader.product(draft, text)).collect())
}

fn named_steps<'s>(
    reader: &mut Reader<'s>,
    draft: &Draft,
    entries: &Entries<'_, 's>,
    key: &'static str,
) -> Vec<String> {
    reader
        .get_texts(entries, key)
        .map_or(Vec::new(), |texts| texts.iter().filter_map(|text| reader.step(draft, text)).collect())
}

fn station_list<'s>(
    reader: &mut Reader<'s>,
    draft: &Draft,
    entries: &Entries<'_, 's>,
    key: &'static str,
) -> Vec<String> {
    let texts = reader.get_texts(entries, key).unwrap_or_default();
    let mut stations: Vec<String> = Vec::new();
    for text in &texts {
        for station in reader.stations(draft, text) {
            if !stations.contains(&station) {
                stations.push(station);
            }
        }
    }
    stations
}

fn read_with<'s>(reader: &mut Reader<'s>, draft: &Draft, role: &Text, value: &Val<'s>, place: &str) -> Option<With> {
    let place = format!("{place}.with.{}", role.value);
    reader.remember(&place, role);
    let entries = reader.entries(value, &keys::WITH, &place)?;
    let product = reader.get_text(&entries, "product").map(|text| reader.product(draft, &text));
    let from = station_list(reader, draft, &entries, "from");
    let on = reader.get(&entries, "match", |reader, value| read_match(reader, value, &place));
    let wait = reader.get(&entries, "wait", |reader, value| {
        if value.get_ref().as_str() == Some("forever") {
            return Some(Wait::Forever);
        }
        reader.duration(value).map(Wait::For)
    });
    let late = reader
        .get(&entries, "late", |reader, value| reader.word(value, &["upgrade", "ignore"]))
        .map(|word| if word == 0 { Late::Upgrade } else { Late::Ignore });
    let file = reader.get_text(&entries, "file");
    if ["new", "previous"].contains(&role.value.as_str()) {
        reader.problem(
            Problem::error("bad-name", role.span.clone(), format!("`{}` cannot be a role", role.value))
                .label("{in.new} has a meaning of its own")
                .help("give the role another name"),
        );
    }
    match (product, file) {
        (Some(_), Some(file)) => {
            reader.problem(
                Problem::error(
                    "contradiction",
                    file.span.clone(),
                    "an input is a product or a settings file, not both",
                )
                .label("and `product` besides")
                .help("remove `product` or `file`, or make two roles of it"),
            );
            None
        }
        (None, None) => {
            if !entries.has("product") && !entries.has("file") {
                reader.problem(
                    Problem::error(
                        "missing-key",
                        role.span.clone(),
                        format!("the role `{}` says no input", role.value),
                    )
                    .label("neither `product` nor `file`")
                    .help("write { product = \"…\", match = [\"site\"] } or { file = \"settings.txt\" }"),
                );
            }
            None
        }
        (None, Some(file)) => {
            for key in ["from", "match"] {
                if entries.has(if key == "from" { "from" } else { "match" }) {
                    reader.problem(
                        Problem::error(
                            "contradiction",
                            entries.key_span(key),
                            format!("`{key}` says something about a product, and this is a settings file"),
                        )
                        .label("means nothing here")
                        .help(format!("remove `{key}`")),
                    );
                }
            }
            Some(With {
                what: WithWhat::File(file.value),
                wait: wait.unwrap_or(Wait::Forever),
                late: late.unwrap_or(Late::Ignore),
            })
        }
        (Some(product), None) => {
            let on = on.unwrap_or(Match::Overlap);
            let newest = matches!(on, Match::Newest);
            Some(With {
                what: WithWhat::Product { product: product?, from, on },
                wait: wait.unwrap_or(if newest { Wait::For(SignedDuration::ZERO) } else { Wait::Forever }),
                late: late.unwrap_or(if newest { Late::Ignore } else { Late::Upgrade }),
            })
        }
    }
}

fn read_match<'s>(reader: &mut Reader<'s>, value: &Val<'s>, place: &str) -> Option<Match> {
    if value.get_ref().as_table().is_some() {
        let computed = reader.map(
            value,
            "a table of fields and expressions",
            "match = { gps = \"gps - 3600\" }",
            |reader, name, value| {
                reader.remember(format!("{place}.match.{}", name.value), name);
                reader.condition(value, &format!("{place}.match.{}.expression", name.value))
            },
        )?;
        return Some(Match::Computed(computed.into_iter().map(|(name, expr)| (name.value, expr)).collect()));
    }
    if value.get_ref().as_array().is_some() {
        let fields = reader.list(value)?;
        for (n, field) in fields.iter().enumerate() {
            reader.remember(format!("{place}.match.{n}"), field);
        }
        return Some(Match::Fields(fields.into_iter().map(|field| field.value).collect()));
    }
    reader.word(value, &["overlap", "newest"]).map(|word| if word == 0 { Match::Overlap } else { Match::Newest })
}

fn read_per<'s>(reader: &mut Reader<'s>, draft: &Draft, value: &Val<'s>, takes: &[String], place: &str) -> Option<Per> {
    let place = format!("{place}.per");
    let whole = reader.plain_text(value).unwrap_or_else(|| Text::at(value.span()));
    reader.remember(&place, &whole);
    let mut per = Per::default();
    let parts: Vec<&Val<'s>> = match value.get_ref().as_array() {
        Some(parts) => parts.iter().collect(),
        None => vec![value],
    };
    if parts.is_empty() {
        reader.problem(
            Problem::error("empty-list", value.span(), "`per` is empty")
                .label("nothing to group by")
                .help("leave `per` out for one task for each driving file"),
        );
        return None;
    }
    let mut sound = true;
    for (n, part) in parts.into_iter().enumerate() {
        let before = per.grid.is_some();
        match read_per_part(reader, draft, part, takes) {
            Some(PerPart::Field(text)) => {
                reader.remember(format!("{place}.{n}"), &text);
                per.fields.push(text.value);
            }
            Some(PerPart::Grid(grid, field)) => {
                if before {
                    reader.problem(
                        Problem::error("contradiction", part.span(), "a step has at most one time grid")
                            .label("the second one")
                            .help("remove one of them"),
                    );
                }
                per.grid = Some(grid);
                per.grid_field = field;
            }
            None => sound = false,
        }
    }
    sound.then_some(per)
}

enum PerPart {
    Field(Text),
    Grid(Grid, Option<String>),
}

fn read_per_part<'s>(reader: &mut Reader<'s>, draft: &Draft, value: &Val<'s>, takes: &[String]) -> Option<PerPart> {
    if value.get_ref().as_table().is_some() {
        let pairs = reader.map(
            value,
            "a table of one field and a number",
            "per = { gps = 3600 }",
            |reader, field, value| Some((field.clone(), reader.integer(value, 1)?)),
        )?;
        let [(_, (field, length))] = pairs.as_slice() else {
            reader.problem(
                Problem::error("wrong-type", value.span(), "a grid counts on one field")
                    .label(format!("{} fields", pairs.len()))
                    .help("write { gps = 3600 }, and further fields beside it: [\"site\", { gps = 3600 }]"),
            );
            return None;
        };
        return field_grid(reader, draft, field, *length, takes)
            .map(|grid| PerPart::Grid(grid, Some(field.value.clone())));
    }
    if matches!(value.get_ref(), toml::de::DeValue::Integer(_) | toml::de::DeValue::Float(_)) {
        return reader.some_time(value).map(|span| PerPart::Grid(Grid::Period(span), None));
    }
    let text = reader.text(value)?;
    if text.value.starts_with(|c: char| c.is_ascii_digit()) {
        return match parse_duration(&text.value) {
            Ok(span) if span.is_positive() => Some(PerPart::Grid(Grid::Period(span), None)),
            Ok(_) => {
                reader.problem(
                    Problem::error("out-of-range", text.span.clone(), "a cell is longer than nothing")
                        .label("no time at all")
                        .help("write \"8h\" or \"1d\""),
                );
                None
            }
            Err(error) => {
                reader.problem(
                    Problem::error(
                        "wrong-unit",
                        text.part(&(0..text.value.len())),
                        format!("`{}` is not a span of time", text.value),
                    )
                    .label(error.message)
                    .help(error.help),
                );
                None
            }
        };
    }
    Some(PerPart::Field(text))
}

/// Makes the grid that counts on a field: its unit is what the field counts.
fn field_grid(reader: &mut Reader<'_>, draft: &Draft, field: &Text, length: i64, takes: &[String]) -> Option<Grid> {
    let products: Vec<_> = takes.iter().filter_map(|name| draft.flow.products.get(name)).collect();
    if products.len() < takes.len() {
        return Some(Grid::Gps(length));
    }
    let mut grid = None;
    for product in products {
        let next = match product.types.get(&field.value) {
            Some(FieldType::Gps { .. }) => Grid::Gps(length),
            Some(FieldType::Unix { .. } | FieldType::Since { .. } | FieldType::Time { .. }) => {
                Grid::Period(SignedDuration::from_secs(length))
            }
            Some(_) => {
                reader.problem(
                    Problem::error(
                        "wrong-type",
                        field.span.clone(),
                        format!("`{}` of `{}` counts no seconds", field.value, product.name),
                    )
                    .label("not a time")
                    .help(format!(
                        "give it a type in the path: {{{0}:gps}}, {{{0}:unix}} or {{{0}:since(2000-01-01)}}",
                        field.value
                    )),
                );
                return None;
            }
            None => {
                let known: Vec<&str> = product.types.keys().map(String::as_str).collect();
                reader.unknown_field(field.span.clone(), &field.value, &known, &format!("`{}`", product.name));
                return None;
            }
        };
        if grid.is_some_and(|grid| grid != next) {
            reader.problem(
                Problem::error(
                    "contradiction",
                    field.span.clone(),
                    format!("`{}` counts differently in the products taken", field.value),
                )
                .label("one grid for all")
                .help("use a grid of time instead, e.g. per = \"1h\""),
            );
            return None;
        }
        grid = Some(next);
    }
    grid.or(Some(Grid::Gps(length)))
}

fn read_complete<'s>(reader: &mut Reader<'s>, value: &Val<'s>, place: &str) -> Option<Complete> {
    let place = format!("{place}.complete");
    if value.get_ref().as_table().is_none() {
        reader.remember(&place, &Text::at(value.span()));
        return reader
            .word(value, &["any", "covered"])
            .map(|word| if word == 0 { Complete::Any } else { Complete::Covered });
    }
    let entries = reader.entries(value, &keys::COMPLETE, &place)?;
    let each = reader.get(&entries, "each", |reader, value| {
        if let Some(table) = value.get_ref().as_table() {
            for (name, _) in in_order(table) {
                reader.remember(format!("{place}.each.{}", name.value), &name);
            }
        }
        reader.each(value)
    });
    Some(Complete::Each {
        each: each.unwrap_or_default(),
        covered_past_end: reader.get_flag(&entries, "covered_past_end").unwrap_or_default(),
        or_after: reader.get_duration(&entries, "or_after"),
    })
}

fn read_makes<'s>(reader: &mut Reader<'s>, draft: &Draft, value: &Val<'s>, place: &str) -> Option<Vec<Make>> {
    let parts: Vec<&Val<'s>> = match value.get_ref().as_array() {
        Some(parts) => parts.iter().collect(),
        None => vec![value],
    };
    let mut makes: Vec<Make> = Vec::new();
    let named = parts.len();
    for part in parts {
        let place = format!("{place}.makes.{}", makes.len());
        let (text, many, update) = if part.get_ref().as_table().is_some() {
            let Some(entries) = reader.entries(part, &keys::MAKE, &place) else { continue };
            let text = reader.get_text(&entries, "product");
            (
                text,
                reader.get_flag(&entries, "many").unwrap_or_default(),
                reader.get_flag(&entries, "update").unwrap_or_default(),
            )
        } else if part.get_ref().as_str().is_some() {
            (reader.text(part), false, false)
        } else {
            reader.wrong_type(
                part,
                "a product or { product = …, many = true }",
                "write makes = \"PRODUCT\", or makes = { product = \"PRODUCT\", many = true }",
            );
            continue;
        };
        let Some(text) = text else { continue };
        let Some(product) = reader.product(draft, &text) else { continue };
        reader.remember(&place, &text);
        if makes.iter().any(|make| make.product == product) {
            reader.problem(
                Problem::error("twice", text.span.clone(), format!("`{product}` is named twice"))
                    .label("the second time")
                    .help("name each product once; a step that makes several files of one product says many = true"),
            );
            continue;
        }
        makes.push(Make { product, many, update });
    }
    if makes.len() < named {
        reader.remember(format!("{place}.makes.unread"), &Text::at(value.span()));
    }
    Some(makes)
}

pub(super) fn read_when<'s>(reader: &mut Reader<'s>, value: &Val<'s>, place: &str) -> Option<When> {
    let place = format!("{place}.when");
    if value.get_ref().as_table().is_none() {
        if let Some(text) = value.get_ref().as_str()
            && (text.starts_with("every ") || text.split_whitespace().count() == 5)
        {
            let text = text.to_owned();
            let help = text.strip_prefix("every ").map_or(format!("write when = {{ cron = \"{text}\" }}"), |every| {
                format!("write when = {{ every = \"{every}\" }}")
            });
            reader.problem(
                Problem::error("unknown-word", value.span(), "a trigger with a time is a table")
                    .label("not in this form")
                    .help(help),
            );
            return None;
        }
        return reader
            .word(value, &["arrives", "asked"])
            .map(|word| if word == 0 { When::Arrives } else { When::Asked });
    }
    let entries = reader.entries(value, &keys::WHEN, &place)?;
    let every = reader.get(&entries, "every", Reader::some_time);
    let spread = reader.get_duration(&entries, "spread");
    let retry = reader.get(&entries, "retry", Reader::some_time);
    let cron = reader.get_text(&entries, "cron");
    let zone = reader.get(&entries, "zone", Reader::zone);
    let flag =
        reader.get(&entries, "flag", |reader, value| products::pattern_text(reader, value, &format!("{place}.flag")));
    let given: Vec<&str> =
        [("every", entries.has("every")), ("cron", entries.has("cron")), ("flag", entries.has("flag"))]
            .into_iter()
            .filter(|(_, given)| *given)
            .map(|(key, _)| key)
            .collect();
    if given.len() != 1 {
        let (message, label) = if given.is_empty() {
            ("the trigger says no moment", "none of `every`, `cron`, `flag`")
        } else {
            ("a step has one trigger", "several of `every`, `cron`, `flag`")
        };
        reader.problem(
            Problem::error("contradiction", value.span(), message)
                .label(label)
                .help("write { every = \"1h\" }, { cron = \"31 * * * *\" } or { flag = \"flags/{name}\" }"),
        );
        return None;
    }
    for (key, given, with) in
        [("spread", spread.is_some(), "every"), ("retry", retry.is_some(), "every"), ("zone", zone.is_some(), "cron")]
    {
        if given && !entries.has(if with == "every" { "every" } else { "cron" }) {
            reader.problem(
                Problem::error("contradiction", entries.key_span(key), format!("`{key}` belongs to `{with}`"))
                    .label("means nothing here")
                    .help(format!("remove it, or use `{with}`")),
            );
        }
    }
    if let Some(every) = every {
        if let Some(spread) = spread.filter(|spread| *spread >= every) {
            let shown = thalweg_core::units::format_duration(spread);
            reader.problem(
                Problem::error(
                    "out-of-range",
                    entries.key_span("spread"),
                    format!("moments are spread over {shown}, which is not less than the period"),
                )
                .label("too long")
                .help("make `spread` shorter than `every`"),
            );
        }
        return Some(When::Every { every, spread: spread.unwrap_or_default(), retry });
    }
    if let Some(line) = cron {
        check_cron(reader, &line)?;
        return Some(When::Cron { line: line.value, zone: zone.unwrap_or(TimeZone::UTC) });
    }
    let flag = flag?;
    let mut types = BTreeMap::new();
    if let Err(errors) = thalweg_core::pattern::Pattern::parse(&flag.value, &mut types) {
        for error in errors {
            let mut problem =
                Problem::error("bad-pattern", flag.part(&error.span), error.message.clone()).label("in this pattern");
            problem.help = error.help.or_else(|| Some("write a path pattern such as \"flags/{site}.flag\"".to_owned()));
            reader.problem(problem);
        }
    }
    Some(When::Flag(flag.value))
}

fn check_cron(reader: &mut Reader<'_>, line: &Text) -> Option<()> {
    let fields = line.value.split_whitespace().count();
    let reason = if fields == 5 {
        match croner::parser::CronParser::builder()
            .seconds(croner::parser::Seconds::Disallowed)
            .build()
            .parse(&line.value)
        {
            Ok(_) => return Some(()),
            Err(error) => error.to_string(),
        }
    } else {
        format!("{fields} field{} instead of 5", if fields == 1 { "" } else { "s" })
    };
    reader.problem(
        Problem::error("bad-cron", line.part(&(0..line.value.len())), format!("`{}` is no cron line", line.value))
            .label(reason.to_lowercase().trim_end_matches('.').to_owned())
            .help("five fields: minute (0-59), hour (0-23), day (1-31), month (1-12), day of the week (0-7, 0 = Sunday), e.g. \"31 * * * *\""),
    );
    None
}

fn read_one_at_a_time<'s>(reader: &mut Reader<'s>, entries: &Entries<'_, 's>) -> Option<Vec<String>> {
    match entries.get("one_at_a_time").and_then(|value| value.get_ref().as_bool()) {
        Some(true) => Some(Vec::new()),
        Some(false) => None,
        None => reader
            .get_texts(entries, "one_at_a_time")
            .map(|fields| fields.into_iter().map(|field| field.value).collect()),
    }
}

fn read_retry<'s>(reader: &mut Reader<'s>, value: &Val<'s>, place: &str) -> Option<Retry> {
    let entries = reader.entries(value, &keys::RETRY, &format!("{place}.retry"))?;
    let default = Retry::default();
    let times = reader
        .get(&entries, "times", |reader, value| reader.integer(value, 0))
        .map_or(default.times, |times| u32::try_from(times).unwrap_or(u32::MAX));
    let wait = reader.get(&entries, "wait", Reader::duration_range).unwrap_or(default.wait);
    let only = reader.get(&entries, "only", |reader, value| match value.get_ref().as_array() {
        Some(values) => {
            Some(values.iter().filter_map(|value| reader.word(value, &keys::ERROR_CLASSES)).collect::<Vec<_>>())
        }
        None => reader.word(value, &keys::ERROR_CLASSES).map(|word| vec![word]),
    });
    let only = only
        .unwrap_or_default()
        .into_iter()
        .filter_map(|word| ErrorClass::from_word(keys::ERROR_CLASSES[word]))
        .collect();
    Some(Retry { times, wait, only })
}

fn read_on_bad<'s>(reader: &mut Reader<'s>, value: &Val<'s>, place: &str) -> Option<OnBad> {
    let entries = reader.entries(value, &keys::ON_BAD, &format!("{place}.on_bad"))?;
    let put = reader.get_text(&entries, "put");
    if let Some(put) = &put
        && (put.value.starts_with('/') || put.value.split('/').any(|part| part == "..") || put.value.is_empty())
    {
        reader.problem(
            Problem::error("bad-folder", put.part(&(0..put.value.len())), "`put` is a folder below the station's root")
                .label("leaves the root")
                .help("write a relative folder: put = \"conversion_failure\""),
        );
    }
    let along = reader
        .get_texts(&entries, "along")
        .map_or(Vec::new(), |roles| roles.into_iter().map(|role| role.value).collect());
    Some(OnBad {
        // Said or not, that folder is nobody's product.
        put: put.map(|put| put.value).filter(|put| put != "quarantine"),
        along,
    })
}
