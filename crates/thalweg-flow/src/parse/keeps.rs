//! Keeps, checks, notification targets and served trees.

use std::collections::BTreeMap;

use toml::de::DeValue;

use crate::diagnostic::Problem;
use crate::keys;
use crate::model::{Bound, Check, CheckWhat, Delete, Keep, KeepNewest, Notify, Serve, When};
use crate::reader::{Entries, Reader, Text, Val};

use super::steps::read_when;
use super::{Draft, hours};

/// Reads one entry of `keeps`.
pub(super) fn read_keep<'s>(reader: &mut Reader<'s>, draft: &mut Draft, name: &Text, value: &Val<'s>) {
    let place = format!("keeps.{}", name.value);
    let Some(entries) = reader.entries(value, &keys::KEEP, &place) else { return };
    let at = reader.get_text(&entries, "at").map_or(Vec::new(), |text| reader.stations(draft, &text));
    let products = reader
        .get_texts(&entries, "products")
        .map_or(Vec::new(), |texts| texts.iter().filter_map(|text| reader.product(draft, text)).collect());
    let delete = reader.get(&entries, "delete", |reader, value| read_delete(reader, value, &place));
    let keep_newest = reader.get(&entries, "keep_newest", |reader, value| {
        let entries = reader.entries(value, &keys::KEEP_NEWEST, &format!("{place}.keep_newest"))?;
        let count = reader.get(&entries, "count", |reader, value| reader.integer(value, 1));
        let per = reader
            .get_texts(&entries, "per")
            .map_or(Vec::new(), |per| per.into_iter().map(|field| field.value).collect());
        Some(KeepNewest { count: u64::try_from(count?).unwrap_or(u64::MAX), per })
    });
    let only_if = reader.get(&entries, "only_if", |reader, value| {
        let parts: Vec<&Val<'s>> = match value.get_ref().as_array() {
            Some(parts) => parts.iter().collect(),
            None => vec![value],
        };
        let mut conditions = Vec::new();
        for part in parts {
            // Numbered as kept, so that the place of each condition can be found again.
            if let Some(condition) = reader.condition(part, &format!("{place}.only_if.{}", conditions.len())) {
                conditions.push(condition);
            }
        }
        Some(conditions)
    });
    let when = moments(reader, &entries, &place, "keep").unwrap_or(When::Arrives);
    let hours = hours::read_with(reader, &entries, &when);
    let keep = Keep {
        name: name.value.clone(),
        at,
        products,
        delete: delete.unwrap_or_default(),
        min_age: reader.get_duration(&entries, "min_age").unwrap_or_default(),
        keep_newest,
        only_if: only_if.unwrap_or_default(),
        condition: reader.get(&entries, "if", |reader, value| reader.condition(value, &format!("{place}.if"))),
        when,
        hours,
    };
    draft.flow.keeps.insert(name.value.clone(), keep);
}

fn read_delete<'s>(reader: &mut Reader<'s>, value: &Val<'s>, place: &str) -> Option<Delete> {
    if value.get_ref().as_table().is_none() {
        reader.word(value, &["at_once"])?;
        return Some(Delete { at_once: true, ..Delete::default() });
    }
    let entries = reader.entries(value, &keys::DELETE, &format!("{place}.delete"))?;
    let delete = Delete {
        at_once: false,
        older_than: reader.get_duration(&entries, "older_than"),
        when_free_below: reader.get(&entries, "when_free_below", Reader::threshold),
        oldest_first: reader.get_flag(&entries, "oldest_first").unwrap_or_default(),
        per_hour: reader.get(&entries, "per_hour", Reader::size),
    };
    if !entries.has("older_than") && !entries.has("when_free_below") {
        reader.problem(
            Problem::error("missing-key", value.span(), "this does not say when to delete")
                .label("neither `older_than` nor `when_free_below`")
                .help("write { older_than = \"90d\" }, { when_free_below = \"10%\" }, or delete = \"at_once\""),
        );
    }
    if delete.per_hour == Some(0) {
        reader.problem(
            Problem::error("out-of-range", entries.key_span("per_hour"), "nothing an hour deletes nothing")
                .label("zero")
                .help("write a size, or leave `per_hour` out"),
        );
    }
    Some(delete)
}

/// Reads one entry of `checks`.
pub(super) fn read_check<'s>(reader: &mut Reader<'s>, draft: &mut Draft, name: &Text, value: &Val<'s>) {
    let place = format!("checks.{}", name.value);
    let Some(entries) = reader.entries(value, &keys::CHECK, &place) else { return };
    let mut subjects = Vec::new();
    for key in keys::CHECK_SUBJECTS {
        if let Some(text) = reader.get_text(&entries, key) {
            subjects.push((key, text));
        }
    }
    let at = reader.get_text(&entries, "at").map_or(Vec::new(), |text| reader.stations(draft, &text));
    let per =
        reader.get_texts(&entries, "per").map_or(Vec::new(), |per| per.into_iter().map(|field| field.value).collect());
    let subject = subjects.first().map_or("", |(key, _)| *key);
    let warning = reader.get(&entries, "warning", |reader, value| read_bound(reader, value, subject));
    let critical = reader.get(&entries, "critical", |reader, value| read_bound(reader, value, subject));
    let notify = reader.get_texts(&entries, "notify").unwrap_or_default();
    // A target that is not described is one that this file's user has not set up; checks notify nobody yet.
    let notify: Vec<String> = notify
        .into_iter()
        .filter_map(|text| {
            if draft.notify.is_empty() {
                Some(text.value)
            } else {
                reader.declared_name(&draft.notify, &text, "notification target", "unknown-target", "[notify]")
            }
        })
        .collect();
    let when = moments(reader, &entries, &place, "check").unwrap_or(When::Asked);
    let hours = hours::read(reader, &entries);
    if !notify.is_empty() {
        reader.note(&place, "`thalweg checks` looks, and nobody is notified yet");
    }
    order_of_bounds(reader, &entries, subject, warning.as_ref(), critical.as_ref());
    let [(key, text)] = subjects.as_slice() else {
        let given: Vec<&str> = subjects.iter().map(|(key, _)| *key).collect();
        let (message, label) = if given.is_empty() {
            (
                "the check does not say what it looks at".to_owned(),
                "one of `latency`, `last_success`, `failing`, `queue`, `free`, `silent` is missing".to_owned(),
            )
        } else {
            ("a check looks at one thing".to_owned(), format!("`{}` besides", given[1..].join("`, `")))
        };
        let span = subjects.get(1).map_or(entries.span.clone(), |(key, _)| entries.key_span(key));
        if given.len() > 1 || keys::CHECK_SUBJECTS.iter().all(|key| !entries.has(key)) {
            reader.problem(
                Problem::error("contradiction", span, message)
                    .label(label)
                    .help("write e.g. latency = \"PRODUCT\"; two things are two checks"),
            );
        }
        return;
    };
    let what = match *key {
        "latency" => reader.product(draft, text).map(CheckWhat::Latency),
        "last_success" => reader.step(draft, text).map(CheckWhat::LastSuccess),
        "failing" => reader.step(draft, text).map(CheckWhat::Failing),
        "queue" => reader.step(draft, text).map(CheckWhat::Queue),
        "free" => (!reader.stations(draft, text).is_empty() || draft.families.contains_key(&text.value))
            .then(|| CheckWhat::Free(text.value.clone())),
        _ => (!reader.stations(draft, text).is_empty() || draft.families.contains_key(&text.value))
            .then(|| CheckWhat::Silent(text.value.clone())),
    };
    let Some(what) = what else { return };
    draft.flow.checks.insert(
        name.value.clone(),
        Check { name: name.value.clone(), what, at, per, warning, critical, notify, when, hours },
    );
}

// The moments of a keep or check: as those of a step, without what only tasks have.
fn moments<'s>(reader: &mut Reader<'s>, entries: &Entries<'_, 's>, place: &str, of: &str) -> Option<When> {
    let when = reader.get(entries, "when", |reader, value| read_when(reader, value, place))?;
    let mut refuse = |what: &str, help: &str| {
        reader.problem(
            Problem::error("contradiction", entries.key_span("when"), format!("{what} means nothing for a {of}"))
                .label(format!("not for a {of}"))
                .help(help.to_owned()),
        );
    };
    match &when {
        When::Every { retry: Some(_), .. } => {
            refuse("`retry`", "remove it: what could not be done is done at the next moment");
        }
        When::Flag(_) => refuse("a flag", "write { every = \"1h\" } or { cron = \"0 3 * * *\" }"),
        When::Arrives if of == "check" => {
            refuse("\"arrives\"", "write \"asked\", { every = \"1h\" } or { cron = \"0 3 * * *\" }");
        }
        _ => return Some(when),
    }
    None
}

fn read_bound<'s>(reader: &mut Reader<'s>, value: &Val<'s>, subject: &str) -> Option<Bound> {
    match subject {
        "free" => reader.threshold(value).map(Bound::Space),
        "failing" => reader.integer(value, 0).map(Bound::Count),
        "queue" if matches!(value.get_ref(), DeValue::Integer(_)) => reader.integer(value, 0).map(Bound::Count),
        "" => None,
        _ => reader.duration(value).map(Bound::Age),
    }
}

fn order_of_bounds(
    reader: &mut Reader<'_>,
    entries: &Entries<'_, '_>,
    subject: &str,
    warning: Option<&Bound>,
    critical: Option<&Bound>,
) {
    use thalweg_core::units::Threshold;
    let swapped = match (warning, critical) {
        (Some(Bound::Age(warning)), Some(Bound::Age(critical))) => warning > critical,
        (Some(Bound::Count(warning)), Some(Bound::Count(critical))) => warning > critical,
        (Some(Bound::Space(Threshold::Bytes(warning))), Some(Bound::Space(Threshold::Bytes(critical)))) => {
            warning < critical
        }
        (Some(Bound::Space(Threshold::Percent(warning))), Some(Bound::Space(Threshold::Percent(critical)))) => {
            warning < critical
        }
        _ => false,
    };
    if swapped {
        let help = if subject == "free" {
            "free space falls: `critical` is the smaller one"
        } else {
            "`critical` is the greater one"
        };
        reader.problem(
            Problem::warning("bounds-swapped", entries.key_span("critical"), "CRITICAL comes before WARNING")
                .label("reached first")
                .help(help),
        );
    }
}

/// Reads one entry of `notify`.
pub(super) fn read_notify<'s>(reader: &mut Reader<'s>, draft: &mut Draft, name: &Text, value: &Val<'s>) {
    let place = format!("notify.{}", name.value);
    let Some(entries) = reader.entries(value, &keys::NOTIFY, &place) else { return };
    let kinds = ["slack", "email", "webhook", "command"];
    let kind = reader.get(&entries, "kind", |reader, value| reader.word(value, &kinds)).map(|word| kinds[word]);
    let mut settings = BTreeMap::new();
    for key in ["channel", "from", "server"] {
        if let Some(text) = reader.get_text(&entries, key) {
            settings.insert(key.to_owned(), text.value);
        }
    }
    for key in ["to", "run"] {
        if let Some(texts) = reader.get_texts(&entries, key) {
            settings
                .insert(key.to_owned(), texts.into_iter().map(|text| text.value).collect::<Vec<_>>().join("\u{1f}"));
        }
    }
    if let Some(repeat) = reader.get_duration(&entries, "repeat") {
        settings.insert("repeat".to_owned(), thalweg_core::units::format_duration(repeat));
    }
    for key in ["url", "user", "password", "token"] {
        if let Some(secret) = reader.get(&entries, key, |reader, value| read_secret(reader, value, key, &place)) {
            settings.insert(key.to_owned(), secret);
        }
    }
    let needed: &[&'static str] = match kind {
        Some("slack" | "webhook") => &["url"],
        Some("email") => &["to", "server"],
        Some("command") => &["run"],
        _ => &[],
    };
    for key in needed {
        if !entries.has(key) {
            reader.problem(
                Problem::error("missing-key", entries.span.clone(), format!("`{key}` is missing"))
                    .label(format!("a target of this kind needs `{key}`"))
                    .help(format!("add `{key}`")),
            );
        }
    }
    reader.note(&place, "notification targets are read and checked, and nobody is notified yet");
    if let Some(kind) = kind {
        draft
            .flow
            .notify
            .insert(name.value.clone(), Notify { name: name.value.clone(), kind: kind.to_owned(), settings });
    }
}

/// Reads a setting that may be secret: `{ env = … }` as `env:NAME`, `{ file = … }` as `file:PATH`, text where it may
/// stand in a file that others read.
fn read_secret<'s>(reader: &mut Reader<'s>, value: &Val<'s>, key: &str, place: &str) -> Option<String> {
    if value.get_ref().as_table().is_some() {
        let entries = reader.entries(value, &keys::PARAM, &format!("{place}.{key}"))?;
        let file = reader.get_text(&entries, "file");
        let env = reader.get_text(&entries, "env");
        return match (file, env) {
            (Some(file), None) => Some(format!("file:{}", file.value)),
            (None, Some(env)) => Some(format!("env:{}", env.value)),
            _ => {
                reader.problem(
                    Problem::error(
                        "contradiction",
                        value.span(),
                        "a secret is read from a file or from the environment",
                    )
                    .label("one of `file`, `env`")
                    .help("write { file = \"secrets/hook\" } or { env = \"HOOK\" }"),
                );
                None
            }
        };
    }
    let text = reader.text(value)?;
    if matches!(key, "password" | "token") {
        reader.problem(
            Problem::error("open-secret", text.span.clone(), format!("a {key} does not stand in a flow file"))
                .label("everybody who reads the file can read it")
                .help(format!("write {key} = {{ file = \"secrets/{key}\" }} or {key} = {{ env = \"VARIABLE\" }}")),
        );
        return None;
    }
    Some(text.value)
}

/// Reads one entry of `serve`.
pub(super) fn read_serve<'s>(reader: &mut Reader<'s>, draft: &mut Draft, name: &Text, value: &Val<'s>) {
    let place = format!("serve.{}", name.value);
    let Some(entries) = reader.entries(value, &keys::SERVE, &place) else { return };
    let at = reader.get_text(&entries, "at");
    let stations = at.as_ref().map_or(Vec::new(), |text| reader.stations(draft, text));
    let serve = Serve {
        name: name.value.clone(),
        at: stations.first().cloned().unwrap_or_default(),
        http: reader.get_flag(&entries, "http").unwrap_or_default(),
        rsync: reader.get_text(&entries, "rsync").map(|module| module.value),
        datafind: reader.get_flag(&entries, "datafind").unwrap_or_default(),
    };
    if let Some(at) = at.filter(|_| stations.len() > 1) {
        reader.problem(
            Problem::error("contradiction", at.span.clone(), "one tree is served, not a family of them")
                .label("several stations")
                .help("name one member of the family"),
        );
    }
    reader.note(&place, "served trees are read and checked, and nothing serves them yet");
    draft.flow.serve.insert(name.value.clone(), serve);
}
