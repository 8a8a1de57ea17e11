//! Names that writers give to files that are not complete, and the pause between two listings.

use jiff::SignedDuration;

/// The names under which common writers keep what is not complete: hidden files (rsync puts six letters behind a dot at their end),
/// partial downloads, rsync's folder for delayed updates.
const TEMPORARY: [&str; 8] = [".*", "*.tmp", "*.part", "*.partial", "~*", ".~tmp~", "*.filepart", ".*.??????"];

/// Tells if a file's or folder's name (one part of a path) is a writer's temporary one, by the common patterns or by
/// `extra` ones.
pub fn is_temporary(name: &str, extra: &[String]) -> bool {
    TEMPORARY.into_iter().chain(extra.iter().map(String::as_str)).any(|pattern| glob_matches(pattern, name))
}

/// Tells if a pattern of `*` (any characters) and `?` (any one) describes the whole name.
pub fn glob_matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to go on when what follows the last star does not match: the star, and how far it reached.
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, reached)) = star else { return false };
                star = Some((at, reached + 1));
                p = at + 1;
                n = reached + 1;
            }
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// Returns the pause until the next listing: `every` times 0.75 to 1.25, by `share` from 0 to 1, so that many trees are
/// not listed at the same moment.
pub fn rescan_after(every: SignedDuration, share: f64) -> SignedDuration {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.5 };
    SignedDuration::try_from_secs_f64(every.as_secs_f64() * (0.75 + share / 2.0)).unwrap_or(every)
}
