//! The small closed sets of the ledger: states and kinds, each with a fixed code in the database and a word for people.
//!
//! Codes are part of the schema and are never reused; words are part of the JSON output.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! kind {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $code:literal, $word:literal;)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_meta])* $variant,)* }

        impl $name {
            /// All values, in order of their codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the word used in output and JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// Returns the value that `word` names.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }

            pub(crate) fn code(self) -> i64 {
                match self { $(Self::$variant => $code,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = String::deserialize(deserializer)?;
                Self::from_word(&word).ok_or_else(|| serde::de::Error::custom(format_args!("unknown word {word:?}")))
            }
        }

        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.code().into())
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                match value.as_i64()? { $($code => Ok(Self::$variant),)* other => Err(FromSqlError::OutOfRange(other)) }
            }
        }
    };
}

kind! {
    /// What is known of a file at its path.
    FileState {
        /// Seen, but not ready or not hashed yet.
        Settling = 0, "settling";
        /// There, hashed, usable.
        Present = 1, "present";
        /// Removed by a keep or a move.
        Retired = 2, "retired";
        /// Vanished without a rule.
        Gone = 3, "gone";
        /// Put aside as bad, or at a read-only station only marked so.
        Quarantined = 4, "quarantined";
        /// Revoked by the operator.
        Withdrawn = 5, "withdrawn";
        /// Delivered to a dropbox and taken away by its owner.
        Taken = 6, "taken";
    }
}

impl FileState {
    /// Tells if the file is no longer expected at its path.
    pub fn is_absent(self) -> bool {
        matches!(self, Self::Retired | Self::Gone | Self::Taken)
    }
}

kind! {
    /// How a version of a file came to be where it is.
    Origin {
        /// Found there.
        Seen = 0, "seen";
        /// Made there by a run.
        Made = 1, "made";
        /// Brought there by a transfer.
        Delivered = 2, "delivered";
        /// Taken over from an archive that existed before.
        Adopted = 3, "adopted";
    }
}

kind! {
    /// What observing a path brought.
    Change {
        /// The path was not known.
        New = 0, "new";
        /// Size, modification time or inode differ: another version.
        Changed = 1, "changed";
        /// As recorded; nothing was written.
        Same = 2, "same";
        /// It had been recorded as absent.
        Reappeared = 3, "reappeared";
        /// The same version, now taken as another product or with other fields.
        Reclassified = 4, "reclassified";
    }
}

kind! {
    /// How far a run is.
    RunState {
        /// The command runs.
        Running = 0, "running";
        /// The outputs are complete in the staging folder and journalled.
        Staged = 1, "staged";
        /// The outputs are being renamed into place.
        Publishing = 2, "publishing";
        /// Ended well.
        Done = 3, "done";
        /// Ended badly.
        Failed = 4, "failed";
        /// Stopped by request, or voided because an input changed.
        Cancelled = 5, "cancelled";
        /// Cut off by a crash; nothing is known of its end.
        Lost = 6, "lost";
    }
}

impl RunState {
    /// Tells if the run has ended, in whatever way.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled | Self::Lost)
    }
}

kind! {
    /// What is there for a key.
    KeyThere {
        /// Nothing yet.
        None = 0, "none";
        /// Made with the present identity.
        Done = 1, "done";
        /// Done without an input that may still come.
        Partial = 2, "partial";
        /// Made with another identity.
        Stale = 3, "stale";
        /// Removed by a keep or a move.
        Retired = 4, "retired";
        /// Gone without a rule.
        Lost = 5, "lost";
    }
}

kind! {
    /// What comes next for a key.
    KeyNext {
        /// Nothing.
        Nothing = 0, "nothing";
        /// It may start.
        Ready = 1, "ready";
        /// A run is at it.
        Running = 2, "running";
        /// An input is bad.
        Quarantined = 3, "quarantined";
        /// A condition on fixed facts excludes it.
        Skipped = 4, "skipped";
        /// Something is absent, not ready or too young.
        Waiting = 5, "waiting";
        /// A hold, lock, window, limit or conflict is in the way.
        Blocked = 6, "blocked";
        /// The last run of this identity failed.
        Failed = 7, "failed";
    }
}

kind! {
    /// What an operator's hold does.
    HoldKind {
        /// These files or keys are left alone.
        Hold = 0, "hold";
        /// Nothing of this starts.
        Pause = 1, "pause";
        /// What was begun is finished, nothing new starts.
        Drain = 2, "drain";
    }
}

kind! {
    /// How far a request is.
    RequestState {
        /// Asked, not begun.
        Open = 0, "open";
        /// Being worked on.
        Active = 1, "active";
        /// Fulfilled.
        Done = 2, "done";
        /// Ended with something not made.
        Failed = 3, "failed";
        /// Withdrawn by who asked.
        Cancelled = 4, "cancelled";
    }
}

macro_rules! id {
    ($($(#[$meta:meta])* $name:ident;)*) => { $(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.0.into())
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                value.as_i64().map(Self)
            }
        }
    )* };
}

id! {
    /// A file row: one path at one station.
    FileId;
    /// A run.
    RunId;
    /// A receipt.
    ReceiptId;
    /// An event.
    EventId;
    /// A hold, pause or drain.
    HoldId;
    /// A quarantine entry.
    QuarantineId;
    /// A request.
    RequestId;
}
