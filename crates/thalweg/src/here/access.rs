//! What an account may do with files and folders: this one asks the system itself, another is asked through `runuser`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Access, access};

use super::finding::Finding;

/// Whose rights are asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Account {
    /// The one that runs this program.
    Own,
    /// Another one, by its name: only root can ask.
    Other(String),
}

/// What is wanted of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Read a file.
    Read,
    /// List a folder.
    List,
    /// Make, rename and remove files in a folder.
    Write,
    /// Read and write a file.
    Change,
    /// Start a program.
    Run,
}

impl Wanted {
    fn in_words(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::List => "list",
            Self::Write => "write into",
            Self::Change => "read and write",
            Self::Run => "start",
        }
    }

    fn letters(self) -> &'static str {
        match self {
            Self::Read => "r",
            Self::List => "rx",
            Self::Write => "rwx",
            Self::Change => "rw",
            Self::Run => "x",
        }
    }
}

impl Account {
    /// Returns its name for messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Own => own_name(),
            Self::Other(name) => name.clone(),
        }
    }

    /// Tells if the account may do something; none if nobody can tell.
    pub(crate) fn may(&self, path: &Path, wanted: Wanted) -> Option<bool> {
        match self {
            Self::Own => {
                let letters = wanted.letters();
                let mut flags = Access::empty();
                for (letter, flag) in [("r", Access::READ_OK), ("w", Access::WRITE_OK), ("x", Access::EXEC_OK)] {
                    flags.set(flag, letters.contains(letter));
                }
                Some(access(path, flags).is_ok())
            }
            Self::Other(name) => {
                let mut tests: Vec<OsString> = Vec::new();
                for letter in wanted.letters().chars() {
                    if !tests.is_empty() {
                        tests.push("-a".into());
                    }
                    tests.extend([format!("-{letter}").into(), path.as_os_str().to_owned()]);
                }
                let status = Command::new("runuser")
                    .args(["-u", name, "--", "test"])
                    .args(tests)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status();
                match status.ok()?.code() {
                    Some(0) => Some(true),
                    Some(1) => Some(false),
                    _ => None,
                }
            }
        }
    }
}

// The environment may say anything; the list of accounts says who it is, where it lists them all.
fn own_name() -> String {
    let uid = rustix::process::geteuid().as_raw();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    let said = || std::env::var("USER").ok().filter(|name| !name.is_empty());
    named.or_else(said).unwrap_or_else(|| format!("#{uid}"))
}

/// Returns the nearest folder above a path that is there, the path itself if it is.
pub(crate) fn nearest(path: &Path) -> PathBuf {
    path.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/")).to_owned()
}

/// Says what is wrong if an account may not do with a path what is wanted; what is not there yet is made by it.
pub(crate) fn look(account: &Account, path: &Path, wanted: Wanted, code: &'static str, place: &str) -> Option<Finding> {
    judge(account, path, wanted, code, place, None)
}

/// Says the same of what belongs to the program itself, in a folder that can be given to the account whole.
pub(crate) fn look_within(
    account: &Account,
    path: &Path,
    wanted: Wanted,
    code: &'static str,
    place: &str,
    whole: &Path,
) -> Option<Finding> {
    judge(account, path, wanted, code, place, Some(whole))
}

fn judge(
    account: &Account,
    path: &Path,
    wanted: Wanted,
    code: &'static str,
    place: &str,
    whole: Option<&Path>,
) -> Option<Finding> {
    let name = account.name();
    let (asked, wanted) = if path.exists() {
        (path.to_owned(), wanted)
    } else if matches!(wanted, Wanted::Write | Wanted::List) {
        (nearest(path), Wanted::Write)
    } else {
        return Some(Finding::error(
            code,
            place,
            format!("{} is not there", path.display()),
            "put it there, or correct its name",
        ));
    };
    let shown = asked.display();
    match account.may(&asked, wanted)? {
        true => None,
        false => {
            let what = wanted.in_words();
            let message = if asked == path {
                format!("{name} may not {what} {shown}")
            } else {
                format!("{} is not there, and {name} may not {what} {shown} to make it", path.display())
            };
            let letters = wanted.letters();
            // A folder above that may not be passed is the usual cause.
            let barred = asked.ancestors().skip(1).find(|folder| account.may(folder, Wanted::Run) == Some(false));
            let remedy = match barred {
                Some(folder) => format!("setfacl -m u:{name}:x '{}' (and so on up to it)", folder.display()),
                None if asked == path
                    && let Some(whole) = whole =>
                {
                    format!("chown -R {name}: '{}'", whole.display())
                }
                None if asked == path && asked.is_dir() && wanted == Wanted::Write => {
                    format!("chown {name}: '{shown}', or setfacl -m u:{name}:{letters} '{shown}'")
                }
                None if asked == path => format!("setfacl -m u:{name}:{letters} '{shown}'"),
                None => format!("install -d -o {name} '{}'", path.display()),
            };
            Some(Finding::error(code, place, message, remedy))
        }
    }
}
