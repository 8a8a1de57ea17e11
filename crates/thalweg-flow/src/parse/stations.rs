//! Stations: places, families of places, how they are reached and what their links allow.

use std::collections::BTreeMap;

use thalweg_core::units::Rate;
use thalweg_core::{Fields, Value};

use crate::diagnostic::Problem;
use crate::keys;
use crate::model::{Link, RESCAN, Reach, Station};
use crate::reader::{Entries, Reader, Text, Val, nearest};

use super::Draft;

const SCHEMES: [&str; 4] = ["ssh", "rsync", "s3", "https"];

/// Reads one entry of `stations`: a station, or a family of which it makes the members.
pub(super) fn read<'s>(reader: &mut Reader<'s>, draft: &mut Draft, name: &Text, value: &Val<'s>) {
    let place = format!("stations.{}", name.value);
    let Some(entries) = reader.entries(value, &keys::STATION, &place) else { return };
    let root = reader.get_text(&entries, "root");
    let reach = reader.get_text(&entries, "reach");
    let link = reader.get(&entries, "link", |reader, value| read_link(reader, value, &format!("{place}.link")));
    let volume = reader.get_text(&entries, "volume");
    let domain = reader.get_text(&entries, "domain");
    let common = Station {
        name: name.value.clone(),
        member_of: Fields::new(),
        root: root.as_ref().map_or(String::new(), |root| root.value.clone()),
        reach: None,
        link: link.unwrap_or_default(),
        volume: volume.as_ref().map(|volume| volume.value.clone()),
        domain: domain.as_ref().map_or(name.value.clone(), |domain| domain.value.clone()),
        dropbox: reader.get_flag(&entries, "dropbox").unwrap_or_default(),
        scratch: reader.get_flag(&entries, "scratch").unwrap_or_default(),
        read_only: reader.get_flag(&entries, "read_only").unwrap_or_default(),
        rescan: reader.get(&entries, "rescan", Reader::some_time).unwrap_or(RESCAN),
        reserve: reader.get(&entries, "reserve", Reader::threshold),
        by: reader.get_text(&entries, "by").map(|by| by.value),
    };
    if common.volume.is_some() {
        reader.note(
            &place,
            "`volume` is accepted: volumes are not looked for by label yet; the root is taken as it stands",
        );
    }
    let Some(root) = root else { return };
    if root.value.trim().is_empty() {
        reader.problem(
            Problem::error("bad-root", root.span.clone(), "`root` is empty")
                .label("no folder")
                .help("write the folder, e.g. \"/data\", or \".\" for the working folder"),
        );
        return;
    }
    let Some(each) = family_values(reader, &entries, name) else {
        let root = fill(reader, &root, &Fields::new());
        let reach = reach.and_then(|reach| {
            let filled = fill(reader, &reach, &Fields::new())?;
            read_reach(reader, &reach, filled, &place)
        });
        if let Some(root) = root {
            draft.flow.stations.insert(name.value.clone(), Station { root, reach, ..common });
        }
        return;
    };
    let mut members = Vec::new();
    let all = combinations(&each);
    let empty = all.is_empty() && each.values().any(Vec::is_empty);
    for fields in all {
        let filled = |reader: &mut Reader<'s>, text: &Text| fill(reader, text, &fields);
        let Some(own) = filled(reader, name) else { break };
        let Some(root) = filled(reader, &root) else { break };
        let reach = match &reach {
            Some(reach) => {
                let Some(url) = filled(reader, reach) else { break };
                read_reach(reader, reach, url, &place)
            }
            None => None,
        };
        let domain = match &domain {
            Some(domain) => filled(reader, domain).unwrap_or_default(),
            None => own.clone(),
        };
        if own.is_empty() || own.contains(['/', '{', '}', ' ']) {
            reader.problem(
                Problem::error("bad-name", name.span.clone(), format!("`{own}` cannot be a station's name"))
                    .label("a member would have this name")
                    .help("values of a family's fields are made of letters, digits, `-`, `_` and `.`"),
            );
            continue;
        }
        let station = Station { name: own.clone(), member_of: fields.clone(), root, reach, domain, ..common.clone() };
        if draft.flow.stations.insert(own.clone(), station).is_some() {
            reader.problem(
                Problem::error("same-name", name.span.clone(), format!("there are two stations `{own}`"))
                    .label("a member of this family has the name of another station")
                    .help("give the family another name, e.g. \"dsm-{dsm}\", or remove the value that stands twice"),
            );
        } else {
            members.push(own);
        }
    }
    if empty {
        reader.problem(
            Problem::warning("empty-family", name.span.clone(), format!("the family `{}` has no members", name.value))
                .label("no stations")
                .help("its list of values is empty; steps at or from it do nothing"),
        );
    }
    draft.families.insert(name.value.clone(), members);
}

/// Checks what concerns several stations.
pub(super) fn finish(reader: &mut Reader<'_>, draft: &mut Draft) {
    let with_by: Vec<(String, String)> =
        draft.flow.stations.values().filter_map(|station| Some((station.name.clone(), station.by.clone()?))).collect();
    for (station, by) in with_by {
        let place = format!("stations.{station}.by");
        // Members of a family share the text of the family.
        let text = reader.spot(&place).cloned().or_else(|| {
            draft
                .families
                .iter()
                .find(|(_, members)| members.contains(&station))
                .and_then(|(family, _)| reader.spot(&format!("stations.{family}.by")).cloned())
        });
        let Some(text) = text else { continue };
        let resolved = reader.stations(draft, &text);
        if resolved.first() == Some(&station) && by == station {
            reader.problem(
                Problem::error("contradiction", text.span.clone(), "a station does not send to itself")
                    .label("itself")
                    .help("name the live station that sends here, or leave `by` out"),
            );
        }
    }
}

/// Returns the values of a family's fields; `None`: a station of its own.
fn family_values<'s>(
    reader: &mut Reader<'s>,
    entries: &Entries<'_, 's>,
    name: &Text,
) -> Option<BTreeMap<String, Vec<Value>>> {
    let given = entries.has("each");
    let each = reader.get(entries, "each", Reader::each);
    let wanted = names_in_braces(&name.value);
    if !given {
        if !wanted.is_empty() {
            reader.problem(
                Problem::error("missing-key", name.span.clone(), format!("the family `{}` has no values", name.value))
                    .label("braces make a family")
                    .help(format!("add each = {{ {} = [\"…\"] }}", wanted[0])),
            );
            return Some(BTreeMap::new());
        }
        return None;
    }
    let each = each.unwrap_or_default();
    for field in &wanted {
        if !each.contains_key(field) {
            let known: Vec<&str> = each.keys().map(String::as_str).collect();
            reader.unknown_field(name.span.clone(), field, &known, "`each`");
        }
    }
    for field in each.keys() {
        if !wanted.contains(field) {
            reader.problem(
                Problem::error(
                    "bad-family",
                    entries.key_span("each"),
                    format!("`{field}` does not stand in the family's name"),
                )
                .label("members would share a name")
                .help(format!("write the name with it: [stations.\"{}{{{field}}}\"]", name.value)),
            );
        }
    }
    let sound = wanted.iter().all(|field| each.contains_key(field)) && each.keys().all(|field| wanted.contains(field));
    Some(if sound { each } else { BTreeMap::new() })
}

/// Returns the names between braces.
pub(super) fn names_in_braces(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { break };
        names.push(name.to_owned());
        rest = after;
    }
    names
}

/// Returns every combination of one value for each field.
pub(crate) fn combinations(each: &BTreeMap<String, Vec<Value>>) -> Vec<Fields> {
    const MOST: usize = 100_000;
    if each.is_empty() {
        return Vec::new();
    }
    let mut all = vec![Fields::new()];
    for (field, values) in each {
        let mut next = Vec::new();
        for fields in &all {
            for value in values {
                if next.len() >= MOST {
                    break;
                }
                let mut fields = fields.clone();
                fields.insert(field.clone(), value.clone());
                next.push(fields);
            }
        }
        all = next;
    }
    all
}

/// Fills `{field}` from a family's fields and `{$name}` or `$name` from parameters.
fn fill(reader: &mut Reader<'_>, text: &Text, fields: &Fields) -> Option<String> {
    let mut filled = String::new();
    let mut at = 0;
    while let Some(open) = text.value[at..].find('{').map(|open| at + open) {
        let Some(close) = text.value[open..].find('}').map(|close| open + close) else { break };
        filled.push_str(&text.value[at..open]);
        let name = &text.value[open + 1..close];
        let span = text.part(&(open..close + 1));
        match name.strip_prefix('$') {
            Some(param) => filled.push_str(&reader.param(param, &span)?.to_string()),
            None => match fields.get(name) {
                Some(value) => filled.push_str(&value.to_string()),
                None => {
                    let known: Vec<&str> = fields.keys().map(String::as_str).collect();
                    reader.unknown_field(span, name, &known, "the station's family");
                    return None;
                }
            },
        }
        at = close + 1;
    }
    filled.push_str(&text.value[at..]);
    Some(filled)
}

fn read_reach(reader: &mut Reader<'_>, text: &Text, url: String, place: &str) -> Option<Reach> {
    let whole = text.part(&(0..text.value.len()));
    let help = "write ssh://USER@HOST, rsync://HOST/MODULE, s3://BUCKET/PREFIX or https://HOST/PATH";
    let Some((scheme, rest)) = url.split_once("://") else {
        reader.problem(
            Problem::error("bad-reach", whole, format!("`{url}` does not say how the station is reached"))
                .label("no scheme such as ssh://")
                .help(help),
        );
        return None;
    };
    if !SCHEMES.contains(&scheme) {
        let help = nearest(scheme, &SCHEMES).map_or(help.to_owned(), |near| format!("did you mean `{near}://`?"));
        reader.problem(
            Problem::error("bad-reach", whole, format!("stations are not reached by `{scheme}`"))
                .label("unknown scheme")
                .help(help),
        );
        return None;
    }
    let authority = rest.split('/').next().unwrap_or_default();
    let (user, host) = authority.rsplit_once('@').map_or(("", authority), |(user, host)| (user, host));
    let host = host.split(':').next().unwrap_or_default();
    // A name that starts with `-` would be taken for an option by the programs that it is handed to.
    let odd = |part: &str| part.starts_with('-') || part.chars().any(|c| c.is_whitespace() || c.is_control());
    let reason = if host.is_empty() && !authority.contains('[') {
        Some("no host")
    } else if odd(rest) || odd(host) || odd(user) {
        Some("blanks, control characters and a leading `-` cannot stand here")
    } else {
        None
    };
    if let Some(reason) = reason {
        reader.problem(Problem::error("bad-reach", whole, format!("`{url}` is no address")).label(reason).help(help));
        return None;
    }
    reader.note(place, format!("reached by {scheme}: links are read and checked, and nothing goes over them yet"));
    Some(Reach { scheme: scheme.to_owned(), url })
}

fn read_link<'s>(reader: &mut Reader<'s>, value: &Val<'s>, place: &str) -> Option<Link> {
    let entries = reader.entries(value, &keys::LINK, place)?;
    let limit = reader.get(&entries, "limit", Reader::rate);
    let zone = reader.get(&entries, "zone", Reader::zone);
    let hours = reader.get(&entries, "hours", |reader, value| {
        let hours = reader.map(
            value,
            "a table of hours and rates",
            "hours = { \"00:00-06:00\" = \"unlimited\" }",
            |reader, name, value| Some((name.clone(), reader.rate(value)?)),
        )?;
        Some(hours.into_iter().map(|(_, pair)| pair).collect::<Vec<_>>())
    });
    let connections = reader.get(&entries, "connections", Reader::count_rate);
    let limited = limit.is_some_and(|rate| rate != Rate::Unlimited);
    if limited || hours.is_some() || connections.is_some() {
        reader.note(place, "limits of links are read and checked, and nothing keeps to them yet");
    }
    if hours.is_some() && !entries.has("zone") {
        reader.problem(
            Problem::error(
                "missing-key",
                entries.key_span("hours"),
                "`hours` are hours of a time zone, and the link names none",
            )
            .label("`zone` is missing")
            .help("add zone = \"UTC\", or another such as zone = \"Europe/Zurich\""),
        );
    }
    let hours = hours.map_or(Vec::new(), |hours| read_hours(reader, &hours));
    Some(Link { limit: limit.filter(|rate| *rate != Rate::Unlimited), zone, hours, connections })
}

fn read_hours(reader: &mut Reader<'_>, written: &[(Text, Rate)]) -> Vec<(u16, u16, Option<Rate>)> {
    let mut hours: Vec<(u16, u16, Option<Rate>)> = Vec::new();
    for (name, rate) in written {
        let rate = Some(*rate).filter(|rate| *rate != Rate::Unlimited);
        let parts = name.value.split_once('-').and_then(|(from, to)| Some((minute(from)?, minute(to)?)));
        let Some((from, to)) = parts.filter(|(from, to)| from != to) else {
            reader.problem(
                Problem::error("bad-hours", name.span.clone(), format!("`{}` is no range of hours", name.value))
                    .label("not HH:MM-HH:MM")
                    .help("write \"00:00-06:00\"; a range over midnight is \"22:00-04:00\""),
            );
            continue;
        };
        // A range over midnight is two within a day.
        let ranges = if from < to { vec![(from, to)] } else { vec![(from, 24 * 60), (0, to)] };
        for (from, to) in ranges.into_iter().filter(|(from, to)| from < to) {
            if hours.iter().any(|(other, end, _)| from < *end && *other < to) {
                reader.problem(
                    Problem::error("bad-hours", name.span.clone(), "these hours overlap with others")
                        .label("overlaps")
                        .help("give each hour of the day one rate"),
                );
            }
            hours.push((from, to, rate));
        }
    }
    hours.sort_by_key(|range| range.0);
    hours
}

pub(super) fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let digits = |part: &str| {
        (part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse::<u16>().ok()).flatten()
    };
    let (hour, minute) = (digits(hour)?, digits(minute)?);
    (minute < 60 && (hour < 24 || (hour == 24 && minute == 0))).then_some(hour * 60 + minute)
}
