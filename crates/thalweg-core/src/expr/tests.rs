use std::collections::BTreeMap;

use jiff::SignedDuration;
use proptest::prelude::*;
use rstest::rstest;

use super::*;

/// Looks names up in a map; `age` moves, `in.…` is not there yet, the rest is absent.
struct Facts {
    values: BTreeMap<String, Value>,
    yes: Vec<String>,
    now: Timestamp,
}

impl ExprEnv for Facts {
    fn lookup(&self, name: &Name) -> Lookup {
        let text = name.to_string();
        match self.values.get(&text) {
            Some(value) if matches!(text.as_str(), "age" | "unchanged") => {
                Lookup::Moving { value: value.clone(), slope: 1 }
            }
            Some(value) if text == "left" => Lookup::Moving { value: value.clone(), slope: -1 },
            Some(value) => Lookup::Value(value.clone()),
            None if text.starts_with("in.") => Lookup::NotYet(text),
            None => Lookup::Absent,
        }
    }

    fn predicate(&self, predicate: &Predicate) -> bool {
        self.yes.contains(&predicate.to_string())
    }

    fn now(&self) -> Timestamp {
        self.now
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn facts() -> Facts {
    let hours = |hours| Value::Duration(SignedDuration::from_hours(hours));
    let values = [
        ("cpid", Value::Int(3800)),
        ("slice", Value::Int(0)),
        ("kind", Value::from("antennas_iq")),
        ("zero", Value::from("0")),
        ("ratio", Value::Float(0.5)),
        ("size", Value::Int(12_000_000_000)),
        ("u", Value::from("")),
        ("good", Value::Bool(true)),
        ("gps", Value::Int(899_164_801)),
        ("time", Value::Time(at("2024-01-10T00:00:00Z"))),
        ("mtime", Value::Time(at("2024-01-10T23:00:00Z"))),
        ("key.end", Value::Time(at("2024-01-11T00:00:00Z"))),
        ("in.found.date", Value::Time(at("2024-01-12T00:00:00Z"))),
        ("age", hours(13 * 24)),
        ("left", hours(5)),
        ("$distributed", Value::List(vec![Value::Int(151), Value::Int(3503)])),
        ("$limit", hours(2)),
    ];
    Facts {
        values: values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        yes: vec![
            "receipted at site".to_owned(),
            "rawacf-dmap receipted at campus".to_owned(),
            "2 copies elsewhere".to_owned(),
            "step search-products done".to_owned(),
            "receipted at {dsm}".to_owned(),
        ],
        now: at("2024-01-15T12:00:00Z"),
    }
}

fn verdict(text: &str) -> Verdict {
    Expr::parse(text)
        .unwrap_or_else(|error| panic!("{text}: {error:?}"))
        .eval(&facts())
        .unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

#[rstest]
// The conditions of the drafted flows.
#[case("kind == 'antennas_iq' and slice == 0", true)]
#[case("kind != 'antennas_iq'", false)]
#[case("cpid in $distributed", false)]
#[case("not (cpid in $distributed)", true)]
#[case("receipted at site", true)]
#[case("kind == 'antennas_iq' or receipted at campus", true)]
#[case("receipted at server", false)]
#[case("rawacf-dmap receipted at campus", true)]
#[case("step search-products done", true)]
#[case("in.found.date >= key.end + 24h", true)]
#[case("age >= 14d", false)]
#[case("abs(mtime - time) <= 24h", true)]
#[case("now - time > 2h", true)]
// Everything else.
#[case("2 copies elsewhere", true)]
#[case("3 copies elsewhere", false)]
#[case("receipted at {dsm}", true)]
#[case("'rawacf-dmap' receipted at \"campus\"", true)]
#[case("not receipted at campus and 2 copies elsewhere", true)]
#[case("cpid not in $distributed", true)]
#[case("cpid in [3800, 1]", true)]
#[case("cpid in [3800.0]", true)]
#[case("cpid in []", false)]
#[case("kind in ['rawacf', \"antennas_iq\"]", true)]
#[case("cpid in ['3800']", false)]
#[case("zero == 0", false)]
#[case("zero != 0", true)]
#[case("zero == '0'", true)]
#[case("slice == 0.0", true)]
#[case("ratio < 1", true)]
#[case("size > 10GB", true)]
#[case("size > 12GiB", false)]
#[case("u == ''", true)]
#[case("good", true)]
#[case("not good", false)]
#[case("good == true and good != false", true)]
#[case("absent == absent", false)]
#[case("absent == 1", false)]
#[case("absent != 1", true)]
#[case("absent < 1", false)]
#[case("absent >= 1", false)]
#[case("absent + 1 >= 1", false)]
#[case("absent in [1]", false)]
#[case("absent not in [1]", true)]
#[case("cpid in absent", false)]
#[case("absent", false)]
#[case("abs(absent) < 1", false)]
#[case("1 in [absent, 1]", true)]
#[case("time == 2024-01-10", true)]
#[case("time >= 2024-01-10T00:00:00Z", true)]
#[case("time < 2024-01-10T00:00:00+01:00", false)]
#[case("mtime - time == 23h", true)]
#[case("(mtime - time) / 1h == 23", true)]
#[case("(mtime - time) % 5h == 3h", true)]
#[case("2 * 90m == 3h and 3h / 2 == 1h30m", true)]
#[case("-(5 - 7) * 3 + 2 == 8", true)]
#[case("7 / 2 == 3 and 7.0 / 2 == 3.5 and 7 % 4 == 3", true)]
#[case("gps / 3600 * 3600 == 899164800", true)]
#[case("gps % 1e6 == 164801", true)]
#[case("min(3, 1, 2) == 1 and max(3, 1, 2) == 3", true)]
#[case("max(time, mtime) == mtime", true)]
#[case("$limit < 3h", true)]
#[case("1 < 2 and 2 < 3 or 1 > 2", true)]
#[case("not 1 > 2 and 1 < 2", true)]
#[case("slice == 0 or slice > 'x'", true)]
fn conditions_hold_or_do_not(#[case] text: &str, #[case] expected: bool) {
    let verdict = verdict(text);
    assert_eq!(verdict.holds, expected, "{}", verdict.because);
    assert!(verdict.waits_for.is_empty());
}

// Now is 2024-01-15T12:00:00Z, age is 13 days, left are 5 hours.
#[rstest]
#[case("age >= 14d", false, Some("2024-01-16T12:00:00Z"))]
#[case("age > 14d", false, Some("2024-01-16T12:00:00.000000001Z"))]
#[case("not (age >= 14d)", true, Some("2024-01-16T12:00:00Z"))]
#[case("age < 14d", true, Some("2024-01-16T12:00:00Z"))]
#[case("age <= 14d", true, Some("2024-01-16T12:00:00.000000001Z"))]
#[case("age == 14d", false, Some("2024-01-16T12:00:00Z"))]
#[case("age == 13d", true, Some("2024-01-15T12:00:00.000000001Z"))]
#[case("age >= 13d", true, None)]
#[case("age / 1d >= 14", false, Some("2024-01-16T12:00:00Z"))]
#[case("age >= 12d", true, None)]
#[case("14d - age <= 0s", false, Some("2024-01-16T12:00:00Z"))]
#[case("age + age >= 28d", false, Some("2024-01-16T12:00:00Z"))]
#[case("age * 2 >= 28d", false, Some("2024-01-16T12:00:00Z"))]
#[case("age / 2 >= 7d", false, Some("2024-01-16T12:00:00Z"))]
#[case("in.found.date >= key.end + 24h", true, None)]
#[case("in.found.date >= now", false, None)]
#[case("now >= in.found.date + 7d", false, Some("2024-01-19T00:00:00Z"))]
#[case("now - time > 2h", true, None)]
#[case("now - time > 6d", false, Some("2024-01-16T00:00:00.000000001Z"))]
#[case("now < 2026-01-01", true, Some("2026-01-01T00:00:00Z"))]
#[case("abs(mtime - time) <= 24h", true, None)]
#[case("abs(now - time) <= 7d", true, Some("2024-01-17T00:00:00.000000001Z"))]
#[case("abs(2024-01-20 - now) <= 24h", false, Some("2024-01-19T00:00:00Z"))]
#[case("abs(2024-01-16 - now) <= 24h", true, Some("2024-01-17T00:00:00.000000001Z"))]
#[case("abs(2024-01-16 - now) >= 24h", false, Some("2024-01-17T00:00:00Z"))]
#[case("left > 0s", true, Some("2024-01-15T17:00:00Z"))]
#[case("left >= 0s", true, Some("2024-01-15T17:00:00.000000001Z"))]
#[case("left + age >= 14d", false, None)]
#[case("min(age, 13d12h) >= 14d", false, None)]
#[case("max(age, 13d12h) >= 14d", false, Some("2024-01-16T12:00:00Z"))]
#[case("min(left, 2h) < 1h", false, Some("2024-01-15T16:00:00.000000001Z"))]
#[case("age % 1d >= 6h", false, Some("2024-01-15T18:00:00Z"))]
#[case("age % 1d < 6h", true, Some("2024-01-15T18:00:00Z"))]
#[case("(age + 7h) % 1d < 6h", false, Some("2024-01-16T05:00:00Z"))]
#[case("age >= 14d or good", true, None)]
#[case("age >= 14d and not good", false, None)]
#[case("age >= 14d and now >= 2024-01-18", false, Some("2024-01-18T00:00:00Z"))]
#[case("age >= 14d or now >= 2024-01-18", false, Some("2024-01-16T12:00:00Z"))]
#[case("age < 14d or now >= 2024-01-16", true, None)]
#[case("age in [14d]", false, Some("2024-01-16T12:00:00Z"))]
#[case("age >= 1000000w and good", false, None)]
fn time_alone_flips_a_condition(#[case] text: &str, #[case] holds: bool, #[case] expected: Option<&str>) {
    let verdict = verdict(text);
    assert_eq!(verdict.holds, holds, "{text}");
    assert_eq!(verdict.changes_at.map(|at| at.to_string()).as_deref(), expected, "{text}");
}

#[rstest]
#[case("in.kernel.date >= key.end + 24h", false, &["in.kernel.date"])]
#[case("not (in.kernel.date >= key.end)", false, &["in.kernel.date"])]
#[case("in.kernel.date != key.end", false, &["in.kernel.date"])]
#[case("in.kernel.date >= key.end or good", true, &[])]
#[case("in.kernel.date >= key.end and not good", false, &[])]
#[case("in.kernel.date >= key.end and good", false, &["in.kernel.date"])]
#[case("in.a >= 1 and in.b >= 1 and in.a >= 2", false, &["in.a", "in.b"])]
#[case("max(in.a, in.b) > 1", false, &["in.a", "in.b"])]
#[case("in.a + absent > 1", false, &[])]
#[case("in.a in [1]", false, &["in.a"])]
#[case("cpid in in.list", false, &["in.list"])]
#[case("in.ok", false, &["in.ok"])]
fn what_is_not_there_yet_leaves_a_condition_open(#[case] text: &str, #[case] holds: bool, #[case] waits_for: &[&str]) {
    let verdict = verdict(text);
    assert_eq!(verdict.holds, holds, "{text}");
    assert_eq!(verdict.waits_for, waits_for, "{text}");
}

#[rstest]
#[case("cpid in $distributed", "cpid in $distributed: cpid = 3800, $distributed = [151, 3503]")]
#[case("age >= 14d", "age >= 14d: age = 13d")]
#[case("kind == 'rawacf' and absent > 1", "kind == 'rawacf' and absent > 1: kind = 'antennas_iq', absent is not set")]
#[case("in.kernel.date > now", "in.kernel.date > now: in.kernel.date is not there yet, now = 2024-01-15T12:00:00Z")]
#[case("receipted at campus", "receipted at campus: receipted at campus: no")]
#[case("1 < 2", "1 < 2")]
fn the_reason_has_the_values(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(verdict(text).because, expected);
}

#[rstest]
#[case("age > 14", "age > 14", "14d")]
#[case("time > '2024-01-01'", "time > '2024-01-01'", "without quotes")]
#[case("gps > 2024-01-01", "gps > 2024-01-01", "as a date")]
#[case("time > 2h", "time > 2h", "now - time")]
#[case("kind > 5", "kind > 5", "give the field a type")]
#[case("good and cpid", "cpid", "compare it")]
#[case("cpid in kind", "kind", "x in [1, 2]")]
#[case("kind + 1 == 2", "kind + 1", "give the field a type")]
#[case("1 / slice == 1", "1 / slice", "")]
#[case("1 % slice == 1", "1 % slice", "")]
#[case("abs(kind) == 1", "abs(kind)", "")]
#[case("time + time > now", "time + time", "")]
#[case("$distributed == 151", "$distributed == 151", "x in [1, 2]")]
#[case("9223372036854775807 + 1 > 0", "9223372036854775807 + 1", "")]
#[case("time + 100000000w > now", "time + 100000000w", "")]
#[case("good < true", "good < true", "")]
fn senseless_operations_are_errors(#[case] text: &str, #[case] part: &str, #[case] help: &str) {
    let error = Expr::parse(text).unwrap().eval(&facts()).unwrap_err();
    assert_eq!(error.expr, part);
    assert!(error.help.as_deref().unwrap_or_default().contains(help), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Config);
}

#[rstest]
#[case("", 0..0, "empty")]
#[case("a = 1", 2..3, "`=`")]
#[case("a && b", 2..3, "`&`")]
#[case("a ! b", 2..3, "`!`")]
#[case("a < b < c", 6..7, "does not belong")]
#[case("a b", 2..3, "does not belong")]
#[case("(a", 2..2, "`)` is missing")]
#[case("a)", 1..2, "does not belong")]
#[case("[1 2]", 3..4, "missing")]
#[case("[1, 2", 5..5, "missing")]
#[case("a in 5", 5..6, "a list is expected")]
#[case("a ==", 4..4, "a value is expected")]
#[case("and a", 0..3, "before `and`")]
#[case("'x", 0..2, "closing quote")]
#[case("5x", 0..2, "no number")]
#[case("a > 2024-13-01", 4..14, "no time")]
#[case("floor(a)", 0..5, "no function")]
#[case("abs(a, b)", 0..9, "one value")]
#[case("min()", 0..5, "at least one")]
#[case("{slice} == 0", 0..7, "braces")]
#[case("receipted at", 12..12, "a station")]
#[case("step x", 6..6, "`done`")]
#[case("0 copies elsewhere", 0..1, "number of copies")]
#[case("2 copies", 8..8, "`elsewhere`")]
#[case("$ == 1", 0..1, "no name")]
#[case("99999999999999999999 > 1", 0..20, "too large")]
#[case("1e999 > 1", 0..5, "too large")]
fn mistakes_are_shown_in_place(#[case] text: &str, #[case] span: Range<usize>, #[case] message: &str) {
    let error = Expr::parse(text).unwrap_err();
    assert!(error.span == span && error.message.contains(message), "{error:?}");
}

#[test]
fn names_and_questions_are_listed() {
    let expr = Expr::parse("in.kernel.date >= key.end + 24h and cpid in $d and usb-a receipted at {dsm} and (cpid > 1 or step x done) and now > max(t, 2024-01-01)").unwrap();
    let names: Vec<String> = expr.names().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["in.kernel.date", "key.end", "cpid", "$d", "t"]);
    assert!(expr.names()[3].is_param() && !expr.names()[0].is_param());
    assert_eq!(expr.names()[0].0, ["in", "kernel", "date"]);
    assert_eq!(expr.names_with_spans()[2].1, 36..40);
    assert_eq!(
        expr.predicates(),
        [
            Predicate::ReceiptedAt { product: Some("usb-a".to_owned()), station: "{dsm}".to_owned() },
            Predicate::StepDone("x".to_owned())
        ]
    );
    assert!(expr.as_str().starts_with("in.kernel"));
}

#[rstest]
#[case("gps / 3600 * 3600", Some(Value::Int(899_164_800)))]
#[case("key.end + 24h", Some(Value::Time(at("2024-01-12T00:00:00Z"))))]
#[case("kind", Some(Value::from("antennas_iq")))]
#[case("absent + 1", None)]
#[case("in.kernel.date", None)]
#[case("gps > 1", Some(Value::Bool(true)))]
#[case("[gps % 2, 5]", Some(Value::List(vec![Value::Int(1), Value::Int(5)])))]
#[case("-ratio", Some(Value::Float(-0.5)))]
fn an_expression_has_a_value(#[case] text: &str, #[case] expected: Option<Value>) {
    assert_eq!(Expr::parse(text).unwrap().value(&facts()).unwrap(), expected);
}

#[test]
fn deep_or_long_expressions_end_in_an_error_or_a_value() {
    assert!(Expr::parse(&"(".repeat(10_000)).is_err());
    assert!(Expr::parse(&"not ".repeat(10_000)).is_err());
    assert!(Expr::parse(&"-".repeat(10_000)).is_err());
    assert!(Expr::parse(&"[".repeat(3_000)).is_err());
    let long = vec!["1"; 1000].join(" + ");
    assert_eq!(Expr::parse(&long).unwrap().value(&facts()).unwrap(), Some(Value::Int(1000)));
}

proptest! {
    #[test]
    fn any_text_is_refused_or_evaluated(words in proptest::collection::vec(proptest::sample::select(vec![
        "a", "cpid", "age", "now", "time", "left", "in.x", "$distributed", "(", ")", "[", "]", ",", "and", "or", "not", "in", "==", "<", ">=", "!=", "+", "-", "*", "/", "%",
        "abs(", "min(", "max(", "1", "0", "2.5", "24h", "10GB", "'x'", "2024-01-01", "receipted", "at", "copies", "elsewhere", "step", "done", "true", "{x}", "é", "1e308", "9223372036854775807",
    ]), 0..12)) {
        if let Ok(expr) = Expr::parse(&words.join(" ")) {
            let _ = (expr.eval(&facts()), expr.value(&facts()), expr.names(), expr.predicates());
        }
    }

    // The moment given is a change, and there is none before it.
    #[test]
    fn the_moment_of_change_is_exact(n in 0_usize..8, hours in -200_i64..400, step in 1_i64..50) {
        let condition = ["age >= {h}h", "abs(now - time) > {h}h", "left < {h}h", "now - time <= {h}h", "max(age, {h}h) > 320h", "min(left, {h}h) < 1h", "abs(left) < {h}h and age > 313h", "age % 7h < 3h"][n]
            .replace("{h}", &hours.to_string());
        // A negative span is written as a negation.
        let condition = condition.replace("-", " - ").replace("now  -  time", "now - time");
        let expr = Expr::parse(&condition).unwrap();
        let start = facts();
        let first = expr.eval(&start).unwrap();
        let holds_after = |nanos: i128| {
            let mut later = facts();
            let span = |hours: i64| i128::from(hours) * 3_600_000_000_000;
            later.now = Timestamp::from_nanosecond(start.now.as_nanosecond() + nanos).unwrap();
            let duration = |nanos: i128| Value::Duration(SignedDuration::from_nanos_i128(nanos));
            later.values.insert("age".to_owned(), duration(span(312) + nanos));
            later.values.insert("left".to_owned(), duration(span(5) - nanos));
            expr.eval(&later).unwrap().holds
        };
        let end = first.changes_at.map_or(i128::from(600 * step) * 60_000_000_000, |at| at.as_nanosecond() - start.now.as_nanosecond());
        if first.changes_at.is_some() {
            prop_assert_ne!(holds_after(end), first.holds, "{}", condition);
            prop_assert_eq!(holds_after(end - 1), first.holds, "{}", condition);
        }
        for n in 0..40 {
            prop_assert_eq!(holds_after((end - 1) * n / 40), first.holds, "{} at {}/40", condition, n);
        }
    }
}

#[rstest::rstest]
#[case("copy")]
#[case("copies")]
#[case("receipted")]
fn a_step_may_be_called_as_a_word_of_the_language(#[case] name: &str) {
    let expr = Expr::parse(&format!("step {name} done and 2 copies elsewhere")).unwrap();
    assert_eq!(expr.predicates(), [Predicate::StepDone(name.to_owned()), Predicate::CopiesElsewhere(2)]);
}
