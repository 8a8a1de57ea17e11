//! `checks`: whether all is as it must be, for people and for monitoring programs.

use clap::Args;
use serde_json::json;
use thalweg_core::Timestamp;
use thalweg_engine::Places;
use thalweg_engine::checks::{Checked, Finding, Level, is_here, stands};
use thalweg_flow::Check;

use super::{Context, Done};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{Cell, Table};
use crate::project::Project;
use crate::words::{count, did_you_mean, time};

/// Says how the checks of the flow stand: OK, WARNING, CRITICAL or UNKNOWN
///
/// Goes by the ledger and the free space of this host's stations; no engine has to run. A check with `when` is looked at
/// by the engine at its moments, and its last result is told until the next; a check with `hours` is OK outside them.
/// Ends with 0 when all are OK, 1 at a WARNING, 2 at a CRITICAL, 3 when the worst is UNKNOWN.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg checks\n  thalweg checks rawacf-late\n  thalweg checks --nagios rawacf-late\n  thalweg checks --check-mk\n  thalweg checks --json | jq '.checks[] | select(.level != \"OK\")'"
)]
pub(crate) struct Checks {
    /// Only these
    #[arg(value_name = "CHECK", conflicts_with_all = ["nagios", "check_mk"])]
    names: Vec<String>,
    /// One line about this check, as a plug-in of Nagios prints it, with performance data
    #[arg(long, value_name = "CHECK", conflicts_with_all = ["check_mk", "json"])]
    nagios: Option<String>,
    /// One line for each, as a local check of Check_MK prints it; always ends with 0
    #[arg(long, conflicts_with = "json")]
    check_mk: bool,
}

impl Checks {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let Some(name) = &self.nagios else {
            return match self.tell(context) {
                // An agent reads these lines only, and drops them all if the program ends with anything but 0.
                Err(failure) if self.check_mk && !failure.silent => {
                    let first = failure.message.lines().next().unwrap_or_default();
                    context.out.line(format!("{} \"thalweg\" - {}", Level::Unknown.code(), plain(first)))?;
                    Ok(Exit::Done)
                }
                told => told,
            };
        };
        // Whatever goes wrong is UNKNOWN to a monitoring program, and said on its line.
        let (level, line) = match one(context, name) {
            Ok(checked) => (checked.level, nagios(&checked)),
            Err(failure) => (Level::Unknown, plain(&format!("UNKNOWN {name}: {}", failure.message))),
        };
        context.out.line(line)?;
        Ok(exit(level))
    }

    fn tell(&self, context: &mut Context) -> Done {
        let project = context.project()?;
        let checks = &project.flow().checks;
        for name in &self.names {
            known(&project, name)?;
        }
        let wanted: Vec<&Check> =
            checks.values().filter(|check| self.names.is_empty() || self.names.contains(&check.name)).collect();
        let found = all(&project, &wanted, !self.names.is_empty(), context.now())?;
        // A check of which nobody asked makes no exit code.
        let worst = found.iter().map(|checked| checked.level).max().unwrap_or(Level::Ok);
        let out = &mut context.out;
        if out.json {
            out.document(&json!({ "flow": project.flow().name, "level": worst, "checks": found }))?;
            return Ok(exit(worst));
        }
        if self.check_mk {
            for checked in &found {
                out.line(local_check(checked))?;
            }
            // The server reads the lines; the code says only that they are there.
            return Ok(Exit::Done);
        }
        let mut table = Table::new(&[]);
        for checked in &found {
            let asked = checked.moment.map(|_| format!(" (looked at {})", time(checked.at))).unwrap_or_default();
            for finding in &checked.findings {
                table.row([
                    Cell::state(finding.level.as_str()),
                    checked.check.as_str().into(),
                    format!("{}{}{asked}", finding.text, limits(finding)).into(),
                ]);
            }
        }
        if table.is_empty() {
            out.line(if checks.is_empty() { "the flow has no checks" } else { "the flow has no checks of this host" })?;
        }
        out.table(&table)?;
        Ok(exit(worst))
    }
}

fn exit(level: Level) -> Exit {
    if level == Level::Ok { Exit::Done } else { Exit::Monitoring(level.code()) }
}

fn known<'a>(project: &'a Project, name: &str) -> Result<&'a Check, Failure> {
    project.flow().checks.get(name).ok_or_else(|| {
        Failure::usage(format!("the flow has no check `{name}`"))
            .help(did_you_mean(name, project.flow().checks.keys().map(String::as_str)))
    })
}

fn one(context: &Context, name: &str) -> Result<Checked, Failure> {
    let project = context.project()?;
    let check = known(&project, name)?;
    let mut found = all(&project, &[check], true, context.now())?;
    found.pop().ok_or_else(|| Failure::usage(format!("the flow has no check `{name}`")))
}

// A check of another host's station is looked at there: here it is left out, or unknown to whoever asks for it by name.
fn all(project: &Project, checks: &[&Check], by_name: bool, now: Timestamp) -> Result<Vec<Checked>, Failure> {
    let Some(ledger) = project.ledger_if_any()? else {
        let text = "there is no ledger yet: `thalweg run` makes it".to_owned();
        let unknown = |check: &&Check| Checked::unknown(&check.name, now, text.clone());
        return Ok(checks.iter().map(unknown).collect());
    };
    let reader = ledger.reader()?;
    let places = Places::look(&project.setup);
    let mut found = Vec::new();
    for check in checks {
        if !is_here(check, &places) {
            if by_name {
                let text = format!("it is looked at where {} is, and known to the ledger there", check.at.join(", "));
                found.push(Checked::unknown(&check.name, now, text));
            }
            continue;
        }
        found.push(stands(project.flow(), check, &reader, &places, now)?);
    }
    Ok(found)
}

fn limits(finding: &Finding) -> String {
    let word = |limit: f64| match finding.unit.as_str() {
        "s" => {
            jiff::SignedDuration::try_from_secs_f64(limit).map(thalweg_core::units::format_duration).unwrap_or_default()
        }
        "B" => crate::words::size(rounded(limit)),
        _ => format!("{limit}"),
    };
    let parts: Vec<String> = [("warning", finding.warning), ("critical", finding.critical)]
        .into_iter()
        .filter_map(|(name, limit)| Some(format!("{name} {}", word(limit?))))
        .collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes, never negative; `as` saturates")]
fn rounded(number: f64) -> u64 {
    number as u64
}

// The worst first; what is OK is only counted.
fn summary(checked: &Checked) -> String {
    let bad: Vec<&str> = checked
        .findings
        .iter()
        .filter(|finding| finding.level == checked.level)
        .map(|finding| finding.text.as_str())
        .collect();
    match bad.as_slice() {
        [] => "nothing to look at".to_owned(),
        [one] => (*one).to_owned(),
        [first, rest @ ..] if checked.level == Level::Ok => {
            format!("{first}; {} OK", count(rest.len() as u64, "other is", "others are"))
        }
        many => many.join("; "),
    }
}

fn label(finding: &Finding) -> String {
    let mut parts: Vec<String> = finding.of.values().cloned().collect();
    parts.extend(finding.station.clone());
    if parts.is_empty() { "value".to_owned() } else { parts.join("_") }
}

// Free space warns below its limit, all else above.
fn range(finding: &Finding, limit: Option<f64>) -> String {
    match limit {
        Some(limit) if finding.unit == "B" => format!("{limit}:"),
        Some(limit) => format!("{limit}"),
        None => String::new(),
    }
}

fn data(finding: &Finding) -> Option<String> {
    let value = finding.value?;
    let (warning, critical) = (range(finding, finding.warning), range(finding, finding.critical));
    let label = label(finding).replace(['\'', '='], "_");
    Some(format!("'{label}'={value}{};{warning};{critical}", finding.unit))
}

// Line breaks and bars have a meaning in these lines.
fn plain(text: &str) -> String {
    text.replace(['|', '\n', '\r'], " ")
}

fn nagios(checked: &Checked) -> String {
    let data: Vec<String> = checked.findings.iter().filter_map(data).collect();
    let data = if data.is_empty() { String::new() } else { format!(" | {}", data.join(" ")) };
    format!("{} {}: {}{data}", checked.level.as_str(), checked.check, plain(&summary(checked)))
}

fn local_check(checked: &Checked) -> String {
    let data = |finding: &Finding| {
        let value = finding.value?;
        // These lines know upper limits only.
        let upper = finding.unit != "B";
        let limit = |limit: Option<f64>| limit.filter(|_| upper).map(|limit| limit.to_string()).unwrap_or_default();
        let name: String =
            label(finding).chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        Some(format!("{name}={value};{};{}", limit(finding.warning), limit(finding.critical)))
    };
    let data: Vec<String> = checked.findings.iter().filter_map(data).collect();
    let data = if data.is_empty() { "-".to_owned() } else { data.join("|") };
    format!("{} \"thalweg {}\" {data} {}", checked.level.code(), checked.check, plain(&summary(checked)))
}
