//! The text of a systemd unit, and what is known of one that stands there already.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use thalweg_store::Hasher;

/// First words of every unit that this program wrote.
const HEAD: &str = "# Written by `thalweg install-service` for ";
/// Before the digest of everything below it.
const DIGEST: &str = "# Do not edit: `systemctl edit` adds to it. Digest of what follows: ";

/// What a unit is to say.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    /// Name of the flow.
    pub(super) flow: String,
    /// The flow file, absolute.
    pub(super) flow_path: PathBuf,
    /// Program and arguments.
    pub(super) command: Vec<std::ffi::OsString>,
    /// The account, for a unit of the system.
    pub(super) user: Option<String>,
    /// The working folder.
    pub(super) folder: PathBuf,
    /// Folders in which programs are looked for.
    pub(super) path: String,
    /// A file with further environment, which need not be there.
    pub(super) environment: PathBuf,
    /// Nothing that the flow writes lies in the folders of the system.
    pub(super) system_read_only: bool,
}

/// Returns the name of the unit of a flow.
pub(super) fn unit_name(flow: &str) -> String {
    let part: String =
        flow.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
    format!("thalweg-{part}.service")
}

/// Writes one argument so that systemd reads it as it is: nothing in it means anything.
pub(super) fn quoted(word: &OsStr, is_program: bool) -> String {
    let mut text = String::from("\"");
    for chunk in word.as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => text.extend(['\\', c]),
                '%' => text.push_str("%%"),
                // The program itself is no place for variables.
                '$' if !is_program => text.push_str("$$"),
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                c if c.is_control() => {
                    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                        text.push_str(&format!("\\x{byte:02x}"));
                    }
                }
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text.push('"');
    text
}

// The value of a setting that is one path to the end of its line.
fn whole_line(path: &Path) -> String {
    path.display().to_string().replace('%', "%%")
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().replace('%', "%%")
}

impl Unit {
    /// Returns the whole unit.
    pub(super) fn text(&self) -> String {
        let body = self.body();
        let path = self.flow_path.display().to_string().replace(|c: char| c.is_control(), "?");
        format!("{HEAD}{path}\n{DIGEST}{}\n{body}", digest(&body))
    }

    fn body(&self) -> String {
        let mut words = self.command.iter();
        let mut command = words.next().map(|program| quoted(program, true)).unwrap_or_default();
        for word in words {
            command.push(' ');
            command.push_str(&quoted(word, false));
        }
        let system = self.user.is_some();
        let mut lines = vec!["[Unit]".to_owned(), format!("Description=thalweg: the flow {}", one_line(&self.flow))];
        if system {
            lines.push("After=local-fs.target remote-fs.target network.target time-sync.target".into());
        }
        lines.extend([
            "# However often it ends, it is started again; not after what only a person can mend (see below).".into(),
            "StartLimitIntervalSec=0".into(),
            String::new(),
            "[Service]".into(),
            "Type=notify".into(),
            "NotifyAccess=main".into(),
            format!("ExecStart={command}"),
            "ExecReload=/bin/kill -HUP $MAINPID".into(),
        ]);
        lines.extend(self.user.iter().map(|user| format!("User={user}")));
        lines.extend([
            format!("WorkingDirectory={}", whole_line(&self.folder)),
            format!("Environment={}", quoted(OsStr::new(&format!("PATH={}", self.path)), true)),
            "# For secrets and parameters (THALWEG_PARAM_NAME=value), if it is there.".into(),
            format!("EnvironmentFile=-{}", whole_line(&self.environment)),
            "Restart=always".into(),
            "RestartSec=10".into(),
            "# Wrong options, a refusal: the same again until somebody has looked at it.".into(),
            "RestartPreventExitStatus=2 5".into(),
            "# It begins by bringing to an end what an earlier one left.".into(),
            "TimeoutStartSec=30min".into(),
            "WatchdogSec=5min".into(),
            "# A stop takes at most ten seconds; its children are its own to end.".into(),
            "TimeoutStopSec=20".into(),
            "KillMode=mixed".into(),
            "NoNewPrivileges=yes".into(),
        ]);
        if system {
            let kernel = ["ProtectKernelTunables", "ProtectKernelModules", "ProtectControlGroups"];
            lines.extend(kernel.map(|name| format!("{name}=yes")));
            lines.extend(["LockPersonality=yes".into(), "RestrictRealtime=yes".into()]);
            if self.system_read_only {
                lines.push("ProtectSystem=full".into());
            }
        }
        let target = if system { "multi-user.target" } else { "default.target" };
        lines.extend([String::new(), "[Install]".into(), format!("WantedBy={target}")]);
        lines.join("\n") + "\n"
    }
}

fn digest(body: &str) -> String {
    let mut hasher = Hasher::new();
    hasher.update(body.as_bytes());
    hasher.digest().to_string()
}

/// What stands at the place of a unit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing.
    Nothing,
    /// What this program wrote, as it wrote it, for this flow file.
    Own(String),
    /// What this program wrote, and somebody has edited.
    Edited,
    /// Something else.
    Foreign,
}

/// Says what a text at the place of a unit is, and for which flow file it was written.
pub(super) fn standing(text: Option<&str>) -> Standing {
    let Some(text) = text else { return Standing::Nothing };
    let parts = text.strip_prefix(HEAD).and_then(|rest| rest.split_once('\n'));
    let Some((path, rest)) = parts else { return Standing::Foreign };
    let own = rest
        .strip_prefix(DIGEST)
        .and_then(|rest| rest.split_once('\n'))
        .is_some_and(|(written, body)| written == digest(body));
    if own { Standing::Own(path.to_owned()) } else { Standing::Edited }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_an_argument_means_anything_to_systemd() {
        for (word, written) in [
            ("plain", r#""plain""#),
            ("two words", r#""two words""#),
            (r#"a"b\c"#, r#""a\"b\\c""#),
            ("50%h $HOME ${X}", r#""50%%h $$HOME $${X}""#),
            ("a\tb\nc\x01", r#""a\tb\nc\x01""#),
            ("é;", r#""é;""#),
            ("", r#""""#),
        ] {
            assert_eq!(quoted(OsStr::new(word), false), written);
        }
        assert_eq!(quoted(OsStr::new("/opt/$x/t"), true), r#""/opt/$x/t""#);
        assert_eq!(quoted(OsStr::from_bytes(b"a\xffb"), false), r#""a\xffb""#);
    }

    #[test]
    fn a_unit_knows_if_it_is_as_it_was_written() {
        let unit = Unit {
            flow: "a 100% flow\n".into(),
            flow_path: "/x/flow.toml".into(),
            command: vec!["/bin/thalweg".into(), "run".into()],
            user: None,
            folder: "/x".into(),
            path: "/usr/bin".into(),
            environment: "/x/.thalweg/service.env".into(),
            system_read_only: true,
        };
        let text = unit.text();
        assert_eq!(standing(None), Standing::Nothing);
        assert_eq!(standing(Some(&text)), Standing::Own("/x/flow.toml".into()));
        assert_eq!(standing(Some(&text.replace("RestartSec=10", "RestartSec=1"))), Standing::Edited);
        assert_eq!(standing(Some(&format!("{text}\n"))), Standing::Edited);
        assert_eq!(standing(Some("[Unit]\n")), Standing::Foreign);
        assert!(text.contains("Description=thalweg: the flow a 100%% flow \n"), "{text}");
    }

    #[test]
    fn a_name_has_no_character_that_a_unit_cannot_have() {
        assert_eq!(unit_name("superdarn"), "thalweg-superdarn.service");
        assert_eq!(unit_name("a/b c@é"), "thalweg-a-b-c--.service");
    }
}
