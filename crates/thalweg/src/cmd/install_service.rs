//! `install-service`: the flow as a service of systemd.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{Context, Done};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::here::Finding;
use crate::out::Tone;
use crate::service::{Service, Wish, Written, is_root};

/// Makes the flow a service of systemd that starts at boot and runs without root
///
/// Writes a unit that runs this program with this flow, ledger, stations (--at) and parameters (--set), starts it again
/// whenever it ends, and watches that it is alive. As root: a unit of the system for the account that --user names. As
/// anybody else: a unit of one's own. What is missing on this host (account, rights) is told with its remedy; then the
/// commands that start, show and stop it. Nothing is started. A unit that somebody else wrote or edited is not replaced.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sudo thalweg install-service --user radar --flow /data/flow/flow.toml --log-dir /var/log/thalweg\n  thalweg install-service --set since=2026-01-01\n  thalweg install-service --dry-run\n  thalweg install-service --remove"
)]
pub(crate) struct InstallService {
    /// The account it runs as (for a unit of the system; an account of its own is best)
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The folder of its logs [default: `dir` of `[log]` in the flow file]
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
    /// Write the unit into this folder, and leave systemd alone
    #[arg(long, value_name = "DIR")]
    unit_dir: Option<PathBuf>,
    /// Stop the service and remove its unit; data, ledger and logs stay
    #[arg(long, conflicts_with = "log_dir")]
    remove: bool,
    /// Replace or remove a unit that was edited or written by something else
    #[arg(long)]
    force: bool,
    /// Show the unit and what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// The code of what systemd refused.
const SYSTEMCTL: &str = "systemctl";

impl InstallService {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let project = context.project()?;
        let wish = Wish {
            // Whose unit it is does not matter for removing it.
            user: self.user.clone().or_else(|| self.remove.then(|| "nobody".to_owned()).filter(|_| is_root())),
            log_dir: self.log_dir.clone(),
            unit_dir: self.unit_dir.clone(),
            force: self.force,
        };
        let service = Service::plan(&project, &wish, &context.global.set, &context.global.at)?;
        if self.remove {
            return self.remove(&service, context);
        }
        let written = service.write(self.dry_run)?;
        let needs = service.needs(&project, &wish);
        let mut done = Vec::new();
        let mut trouble = Vec::new();
        if service.managed && !self.dry_run {
            for line in [service.line("daemon-reload"), service.line("enable")] {
                match service.tell_systemd(&line) {
                    Ok(()) => done.push(line),
                    Err(said) => trouble.push(Finding::warning(
                        SYSTEMCTL,
                        "systemd",
                        format!("`{line}`: {said}"),
                        "do it by hand",
                    )),
                }
            }
        }
        let linger = linger(&service);
        self.tell(&service, written, &done, &[needs, trouble].concat(), linger, context)
    }

    fn tell(
        &self,
        service: &Service,
        written: Written,
        done: &[String],
        findings: &[Finding],
        linger: Option<String>,
        context: &mut Context,
    ) -> Done {
        let mut before = Vec::new();
        if !service.managed {
            before.push(service.line("daemon-reload"));
        }
        let commands = [
            ("at boot", service.line("enable")),
            ("start", service.line("start")),
            ("status", service.line("status")),
            ("stop", service.line("stop")),
            ("restart", service.line("restart")),
            ("logs", service.line("logs")),
        ];
        // A unit that systemd has not taken is no service yet.
        let refused = findings.iter().any(|finding| finding.code == SYSTEMCTL);
        let exit = if refused { Exit::Failed } else { Exit::Done };
        let out = &mut context.out;
        if out.json {
            let commands: serde_json::Map<String, serde_json::Value> = before
                .iter()
                .map(|line| ("reload".to_owned(), json!(line)))
                .chain(commands.iter().map(|(name, line)| (name.replace(' ', "_"), json!(line))))
                .collect();
            out.document(&json!({
                "unit": service.name, "path": service.path, "user": service.user, "text": service.text,
                "written": (!self.dry_run).then_some(written), "done": done, "findings": findings,
                "commands": commands, "linger": linger,
            }))?;
            return Ok(exit);
        }
        let path = service.path.display();
        if self.dry_run {
            out.line(format!("would write {path}:\n\n{}", service.text))?;
        } else {
            out.line(match written {
                Written::New => format!("{path} is written"),
                Written::Changed => format!("{path} is written anew; `{}` puts it into force", service.line("restart")),
                Written::Same => format!("{path} is there already, just so"),
            })?;
        }
        if !crate::service::systemd_runs() {
            out.line("systemd does not run on this host: nothing was told to it")?;
        }
        for line in done {
            out.line(format!("done: {line}"))?;
        }
        for finding in findings {
            finding.tell(out)?;
        }
        for line in &before {
            out.line(format!("{:<9}{line}", "first"))?;
        }
        for (name, line) in commands.iter().filter(|(name, _)| !(done.len() == 2 && *name == "at boot")) {
            out.line(format!("{name:<9}{line}"))?;
        }
        if let Some(line) = linger {
            let word = out.paint(Tone::Odd, "at boot ");
            out.line(format!("{word} {line}  (else it runs only while you are logged in)"))?;
        }
        Ok(exit)
    }

    fn remove(&self, service: &Service, context: &mut Context) -> Done {
        let there = service.removable()?;
        let stop = format!("{} --now", service.line("disable"));
        let mut done = Vec::new();
        if there && !self.dry_run {
            // A service that still runs would go on without its unit.
            if service.managed {
                service.tell_systemd(&stop).map_err(|said| {
                    Failure::new(Exit::Unexpected, format!("failed to stop the service: `{stop}`: {said}"))
                        .help("stop it by hand, then remove it again")
                })?;
                done.push(stop.clone());
            }
            service.remove()?;
            let reload = service.line("daemon-reload");
            if service.managed && service.tell_systemd(&reload).is_ok() {
                done.push(reload);
            }
        }
        let out = &mut context.out;
        if out.json {
            out.document(&json!({
                "unit": service.name, "path": service.path, "removed": there && !self.dry_run, "there": there, "done": done,
            }))?;
            return Ok(Exit::Done);
        }
        let path = service.path.display();
        for line in &done {
            out.line(format!("done: {line}"))?;
        }
        out.line(match (there, self.dry_run) {
            (false, _) => format!("{path} is not there: nothing to remove"),
            (true, true) if service.managed => format!("would do `{stop}` and remove {path}"),
            (true, true) => format!("would remove {path}"),
            (true, false) => format!("{path} is removed; data, ledger and logs stay as they are"),
        })?;
        Ok(Exit::Done)
    }
}

// Services of one's own end with one's last session, and do not start at boot, unless one lingers.
fn linger(service: &Service) -> Option<String> {
    if service.user.is_some() {
        return None;
    }
    let name = crate::here::access::Account::Own.name();
    let lingers = Path::new("/var/lib/systemd/linger").join(&name).exists();
    (!lingers).then(|| format!("sudo loginctl enable-linger {name}"))
}
