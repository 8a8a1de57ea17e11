//! What a flow file means once it is read.

use jiff::SignedDuration;
use thalweg_core::Value;
use thalweg_core::units::{CountRate, Rate, Threshold};
use thalweg_flow::{
    Argument, CommandLine, Compare, Complete, Flow, InMemory, Late, Match, Piece, Placeholder, Ready, Settings, Source,
    SpanRule, Verb, Wait, When, WithWhat, parse,
};

use crate::flows::{parse_text, surroundings, text_of};

fn flow(name: &str) -> Flow {
    parse_text(name, &text_of(name)).flow
}

/// Returns the copy flow with further lines in its product or its step.
fn with(product: &str, step: &str) -> String {
    text_of("copy.toml")
        .replace("ready = \"closed\"", product)
        .replace("does = \"send\"", if step.is_empty() { "does = \"send\"" } else { step })
}

fn text(text: &str) -> Argument {
    Argument::Pieces(vec![Piece::Text(text.to_owned())])
}

fn hole(what: Placeholder) -> Argument {
    Argument::Pieces(vec![Piece::Hole(what)])
}

fn line(does: &str) -> CommandLine {
    let flow = parse_text(
        "copy.toml",
        &with(
            "",
            &format!("makes = \"other\"\ndoes = {does}\nwith.dmt = {{ product = \"other\", match = \"newest\" }}"),
        )
        .replace("to = \"archive\"", "[products.other]\npath = \"{name}.out\""),
    )
    .flow;
    match &flow.steps["copy"].does {
        Verb::Builtin(line) | Verb::Run(line) => line.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_copy_flow_says_what_it_means() {
    let flow = flow("copy.toml");
    let step = &flow.steps["copy"];
    assert_eq!(flow.name, "copy");
    assert!(matches!(step.does, Verb::Send));
    assert_eq!(
        (step.at.as_slice(), step.takes.as_slice(), step.to.as_slice()),
        (["inbox".to_owned()].as_slice(), ["note".to_owned()].as_slice(), ["archive".to_owned()].as_slice())
    );
    assert!(matches!(step.when, When::Arrives));
    assert_eq!((step.batch, step.version), (1, 1));
    assert_eq!(step.timeout, SignedDuration::from_hours(6));
    assert_eq!(flow.stations["archive"].domain, "archive");
    assert!(flow.products["note"].ready.closed);
    assert!(flow.notes.is_empty());
}

#[test]
fn a_flow_without_a_name_has_that_of_its_file() {
    let text = text_of("copy.toml").replace("flow = \"copy\"", "");
    assert_eq!(parse_text("flows/radar.toml", &text).flow.name, "radar");
}

#[test]
fn the_small_flow_says_what_it_means() {
    let flow = flow("small.toml");
    let link = &flow.stations["campus"].link;
    assert_eq!(link.limit, Some(Rate::BytesPerSecond(800 * 1024)));
    assert_eq!(link.hours, [(0, 360, None)]);
    assert_eq!(link.zone.as_ref().and_then(|zone| zone.iana_name()), Some("America/Regina"));
    let product = &flow.products["rawacf"];
    assert!(matches!(product.span, Some(SpanRule::Fixed(span)) if span == SignedDuration::from_hours(2)));
    assert_eq!(product.time_field.as_deref(), Some("time"));
    assert_eq!(product.ready.not_newest, Some(vec!["site".to_owned()]));
    let dmap = &flow.steps["dmap"];
    let Verb::Builtin(line) = &dmap.does else { panic!("{:?}", dmap.does) };
    assert_eq!(
        line.args,
        [text("superdarn"), text("to-dmap"), hole(Placeholder::In), text("-o"), hole(Placeholder::Out)]
    );
    assert_eq!(dmap.retry.wait, (SignedDuration::from_secs(30), SignedDuration::from_mins(10)));
    let keep = &flow.keeps["radar-disk"];
    assert_eq!(keep.delete.when_free_below, Some(Threshold::Percent(20.0)));
    assert_eq!(keep.only_if.len(), 1);
    assert_eq!(flow.step_order, ["to-site", "dmap", "to-campus"]);
    let places: Vec<&str> = flow.notes.iter().map(|note| note.place.as_str()).collect();
    for place in ["stations.campus", "stations.campus.link", "checks.rawacf-late"] {
        assert!(places.contains(&place), "{place}: {places:?}");
    }
}

#[test]
fn a_family_stands_as_its_members() {
    let flow = flow("isfs.toml");
    let members = ["tse04", "tse06", "rsw02"].map(str::to_owned);
    let station = &flow.stations["tse06"];
    assert_eq!(station.member_of.get("dsm"), Some(&Value::from("tse06")));
    assert_eq!(station.reach.as_ref().map(|reach| reach.url.as_str()), Some("ssh://daq@tse06"));
    assert_eq!(station.domain, "tse06");
    assert_eq!(flow.steps["pull"].from, members);
    assert_eq!(flow.keeps["loggers"].at, members);
    let merge = &flow.steps["merge"];
    let Complete::Each { each, covered_past_end: true, or_after: Some(after) } = &merge.complete else {
        panic!("{:?}", merge.complete)
    };
    assert_eq!(each["dsm"].len(), 3);
    assert_eq!(*after, SignedDuration::from_hours(24));
    let Verb::Builtin(line) = &merge.does else { panic!("{:?}", merge.does) };
    assert!(
        line.args
            .contains(&Argument::Flagged { flag: "-i".to_owned(), what: Placeholder::InNamed("network".to_owned()) })
    );
    assert!(line.args.contains(&hole(Placeholder::KeyStart)));
    assert!(matches!(&flow.steps["pull"].when, When::Every { retry: Some(_), .. }));
}

#[test]
fn looked_up_inputs_have_their_defaults() {
    let flow = flow("everything.toml");
    let with = &flow.steps["day"].with;
    let on = |role: &str| match &with[role].what {
        WithWhat::Product { on, .. } => on.clone(),
        WithWhat::File(_) => panic!("{role} is a file"),
    };
    assert!(matches!(on("aux"), Match::Fields(fields) if fields == ["site"]));
    assert!(matches!(on("before"), Match::Computed(computed) if computed.contains_key("gps")));
    assert!(matches!(on("last"), Match::Newest));
    assert_eq!((with["last"].wait, with["last"].late), (Wait::For(SignedDuration::ZERO), Late::Ignore));
    assert_eq!((with["same"].wait, with["same"].late), (Wait::Forever, Late::Upgrade));
    assert_eq!((with["channels"].wait, with["channels"].late), (Wait::Forever, Late::Ignore));
    assert_eq!(flow.steps["pull"].parallel, Some(4));
    assert_eq!(flow.stations["radar"].root, "/data/radar");
    assert_eq!(
        flow.stations["campus"].link.hours,
        [(0, 360, None), (360, 480, Some(Rate::BytesPerSecond(2_000_000))), (1320, 1440, None)]
    );
    assert_eq!(
        flow.stations["campus"].link.connections,
        Some(CountRate { count: 40, per: SignedDuration::from_mins(1) })
    );
    assert_eq!(flow.products["raw"].compare, Compare::Data);
    assert_eq!(flow.notify["mail"].settings["password"], "file:secrets/mail");
}

#[rstest::rstest]
#[case::nothing("", Ready { closed: true, ..Ready::default() })]
#[case::word("ready = \"renamed\"", Ready { renamed: true, ..Ready::default() })]
#[case::words("ready = [\"closed\", \"unopened\"]", Ready { closed: true, unopened: true, ..Ready::default() })]
#[case::quiet_word("ready = \"quiet 2m\"", Ready { quiet: Some(SignedDuration::from_mins(2)), ..Ready::default() })]
#[case::closed_stays_on("ready = { not_newest = [] }", Ready { closed: true, not_newest: Some(Vec::new()), ..Ready::default() })]
#[case::closed_off("ready = { quiet = \"60s\", closed = false }", Ready { quiet: Some(SignedDuration::from_mins(1)), ..Ready::default() })]
fn ready_rules(#[case] written: &str, #[case] expected: Ready) {
    let flow = parse_text("copy.toml", &with(written, "")).flow;
    assert_eq!(format!("{:?}", flow.products["note"].ready), format!("{expected:?}"));
}

#[test]
fn verb_lines_are_cut_at_blanks_outside_braces_and_quotes() {
    let line = line(
        "\"gwf copy {-i in.dmt}  -t @{in} 'two words' {date(time, \\\"%Y %m\\\")}x{out} '{in}'\""
            .replace("{date(time, \\\"%Y %m\\\")}x", "{name}x")
            .as_str(),
    );
    assert_eq!(
        line.args,
        [
            text("gwf"),
            text("copy"),
            Argument::Flagged { flag: "-i".to_owned(), what: Placeholder::InNamed("dmt".to_owned()) },
            text("-t"),
            Argument::Pieces(vec![Piece::Text("@".to_owned()), Piece::Hole(Placeholder::In)]),
            text("two words"),
            Argument::Pieces(vec![
                Piece::Hole(Placeholder::Field("name".to_owned())),
                Piece::Text("x".to_owned()),
                Piece::Hole(Placeholder::Out)
            ]),
            text("{in}"),
        ]
    );
}

#[test]
fn elements_of_a_command_are_arguments_as_they_stand() {
    let line = line("{ run = [\"my tool\", \"it's\", \"\", \"{in}\", \"{out}\"] }");
    assert_eq!(line.args, [text("my tool"), text("it's"), text(""), hole(Placeholder::In), hole(Placeholder::Out)]);
}

#[test]
fn a_copy_to_another_station_is_the_same_product_there() {
    let flow = parse_text("copy.toml", &with("", "does = \"copy\"")).flow;
    let step = &flow.steps["copy"];
    assert!(matches!(step.does, Verb::Copy));
    assert_eq!((step.makes[0].product.as_str(), step.to.as_slice()), ("note", ["archive".to_owned()].as_slice()));
}

#[test]
fn parameters_are_overridden_from_outside() {
    let text = format!(
        "[params]\nroot = \"in\"\nlist = [1, 2]\ncount = 3\nhosts = {{ file = \"absent\" }}\nkey = {{ env = \"ABSENT\" }}\n{}",
        text_of("copy.toml").replace("flow = \"copy\"", "").replace("root = \"in\"", "root = \"$root\"")
    );
    let source = Source::new("copy.toml", text);
    let mut around = InMemory::default();
    around.environment.insert("THALWEG_PARAM_ROOT".to_owned(), "from-environment".to_owned());
    around.environment.insert("THALWEG_PARAM_COUNT".to_owned(), "5".to_owned());
    around.environment.insert("THALWEG_PARAM_KEY".to_owned(), "k".to_owned());
    let mut settings = Settings::default();
    settings.set.insert("list".to_owned(), "7, 8".to_owned());
    settings.set.insert("hosts".to_owned(), "a".to_owned());
    let parsed = parse(&source, &settings, &around).unwrap();
    assert_eq!(parsed.flow.stations["inbox"].root, "from-environment");
    assert_eq!(parsed.flow.params["count"], Value::Int(5));
    assert_eq!(parsed.flow.params["list"], Value::List(vec![Value::Int(7), Value::Int(8)]));
    assert_eq!(parsed.flow.params["hosts"], Value::from("a"));
    assert_eq!(parsed.flow.params["key"], Value::from("k"), "a reference that is replaced need not lead anywhere");
    settings.set.insert("root".to_owned(), "from-command-line".to_owned());
    let parsed = parse(&source, &settings, &around).unwrap();
    assert_eq!(parsed.flow.stations["inbox"].root, "from-command-line");
    settings.set.insert("rooot".to_owned(), "x".to_owned());
    settings.set.insert("count".to_owned(), "many".to_owned());
    let found = parse(&source, &settings, &around).unwrap_err();
    let rendered = found.render(false, 100);
    assert!(rendered.contains("--set rooot") && rendered.contains("did you mean `root`?"), "{rendered}");
    assert!(rendered.contains("\"many\" is not a number"), "{rendered}");
}

#[test]
fn verbs_that_this_program_lacks_are_accepted_with_a_note() {
    let settings = Settings { known_verbs: vec!["dmap check".to_owned()], ..Settings::default() };
    let parsed = parse(&Source::new("isfs.toml", text_of("isfs.toml")), &settings, &surroundings()).unwrap();
    let note = parsed.flow.notes.iter().find(|note| note.place == "steps.merge").unwrap();
    assert!(note.message.contains("nidas merge"), "{}", note.message);
}

#[test]
fn a_list_of_numbers_is_not_set_to_texts() {
    let text = format!("[params]\nlist = [1, 2]\n{}", text_of("copy.toml").replace("flow = \"copy\"", ""));
    let mut settings = Settings::default();
    settings.set.insert("list".to_owned(), "1,two".to_owned());
    let rendered =
        parse(&Source::new("copy.toml", text), &settings, &InMemory::default()).unwrap_err().render(false, 100);
    assert!(rendered.contains("is not a list of whole numbers"), "{rendered}");
}

const NAMED: &str = r#"
flow = "named"
[params]
sites = ["sas"]
[stations.a]
root = "/a"
[stations.b]
root = "/b"
[products.raw]
path = "raw/{time:%Y}/{time:%Y%m%d}.{site:$sites}.dat"
path_at.b = "flat/{file}"
format = "nidas"
compare = "data"
[products.odd]
path = "odd/{day:%Y}/{day:%m%d}.dat"
path_at.b = "odd/{file}"
[products.plain]
path = "plain/{time:%Y%m%d}.dat"
format = "gwf"
[products.bytes]
path = "bytes/{time:%Y%m%d}.dat"
compare = "data"
[steps.plot]
at = "a"
takes = "raw"
does = "superdarn plot-iq {in}"
[steps.print]
at = "a"
takes = "plain"
does = { run = ["awk", "{{print $1}}", "{in}"] }
"#;

#[test]
fn a_file_name_at_another_station_gives_the_fields_of_the_path() {
    let parsed = parse(&Source::new("named.toml", NAMED), &Settings::default(), &InMemory::default()).unwrap();
    assert_eq!(parsed.flow.products["raw"].path_at["b"].as_str(), "flat/{time:%Y%m%d}.{site:(sas)}.dat");
    // A name without its year cannot be read back.
    assert_eq!(parsed.flow.products["odd"].path_at["b"].as_str(), "odd/{file}");
    let Verb::Run(CommandLine { args }) = &parsed.flow.steps["print"].does else { panic!("a command") };
    assert_eq!(args[1], Argument::Pieces(vec![Piece::Text("{print $1}".to_owned())]));
}

#[test]
fn what_nothing_carries_out_yet_is_noted_and_a_comparison_without_format_warned_of() {
    let known = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let settings = Settings {
        known_verbs: known(&["superdarn to-dmap"]),
        known_formats: known(&["borealis", "dmap"]),
        ..Settings::default()
    };
    let parsed = parse(&Source::new("named.toml", NAMED), &settings, &InMemory::default()).unwrap();
    let notes: Vec<(&str, &str)> =
        parsed.flow.notes.iter().map(|note| (note.place.as_str(), note.message.as_str())).collect();
    assert!(
        notes.iter().any(|(place, message)| *place == "steps.plot" && message.contains("superdarn plot-iq")),
        "{notes:?}"
    );
    assert!(
        notes.iter().any(|(place, message)| *place == "products.raw"
            && message.starts_with("nothing reads the format nidas yet: `compare`")),
        "{notes:?}"
    );
    // A format that nothing asks for is a label.
    assert!(!notes.iter().any(|(place, _)| *place == "products.plain"), "{notes:?}");
    assert!(parsed.warnings.iter().any(|problem| problem.code == "missing-format"), "{:?}", parsed.warnings);
}

#[rstest::rstest]
#[case::one("\"01:30-06:00\"", &[(90, 360)], "01:30-06:00 UTC")]
#[case::all_day("\"00:00-24:00\"", &[(0, 1440)], "00:00-24:00 UTC")]
#[case::over_midnight("\"22:00-06:00\"", &[(0, 360), (1320, 1440)], "22:00-06:00 UTC")]
#[case::until_midnight("\"22:00-00:00\"", &[(1320, 1440)], "22:00-24:00 UTC")]
#[case::several("[\"13:00-17:00\", \"08:00-12:00\"]", &[(480, 720), (780, 1020)], "08:00-12:00, 13:00-17:00 UTC")]
fn hours_are_ranges_of_a_day(#[case] hours: &str, #[case] ranges: &[(u16, u16)], #[case] told: &str) {
    let lines = format!("does = \"send\"\nhours = {hours}\nzone = \"UTC\"");
    let flow = parse_text("copy.toml", &with("ready = \"closed\"", &lines)).flow;
    let found = flow.steps["copy"].hours.as_ref().expect("hours");
    assert_eq!(found.ranges, ranges);
    assert_eq!(found.to_string(), told);
}

#[test]
fn keeps_and_checks_take_moments_and_hours() {
    let flow = flow("everything.toml");
    let keep = flow.keeps.values().find(|keep| keep.hours.is_some()).expect("a keep with hours");
    assert!(matches!(&keep.when, When::Cron { line, .. } if line == "0 3 * * *"));
    assert_eq!(keep.hours.as_ref().map(ToString::to_string).as_deref(), Some("22:00-06:00 America/Regina"));
    let check = flow.checks.values().find(|check| check.hours.is_some()).expect("a check with hours");
    assert!(matches!(check.when, When::Every { every, .. } if every == SignedDuration::from_mins(10)));
    assert!(matches!(flow.keeps["cache"].when, When::Arrives) && flow.keeps["cache"].hours.is_none());
    assert!(matches!(flow.checks["pull"].when, When::Asked));
}

#[test]
fn a_keep_says_when_it_sets_out_next() {
    let flow = flow("everything.toml");
    let keep = flow.keeps.values().find(|keep| keep.hours.is_some()).expect("a keep with hours");
    let at = |text: &str| text.parse::<thalweg_core::Timestamp>().expect("a time");
    let turn = |last: &str, now: &str| thalweg_flow::planner::keep::turn(keep, "here", Some(at(last)), at(now));
    // Three in the morning UTC is nine in the evening there: an hour before its hours begin.
    let early = turn("2024-01-30T03:00:00Z", "2024-01-31T02:00:00Z").expect_err("not yet");
    assert_eq!((early.code.as_ref(), early.until), ("moment", Some(at("2024-01-31T04:00:00Z"))));
    let due = turn("2024-01-30T03:00:00Z", "2024-01-31T03:30:00Z").expect_err("not yet");
    assert_eq!((due.code.as_ref(), due.until), ("hours", Some(at("2024-01-31T04:00:00Z"))));
    assert_eq!(turn("2024-01-30T03:00:00Z", "2024-01-31T04:00:00Z"), Ok(Some(at("2024-01-31T03:00:00Z"))));
    assert!(turn("2024-01-31T03:00:00Z", "2024-01-31T05:00:00Z").is_err(), "once");
}
