//! What goes into the ledger and comes out of it: plain data about files, copies and receipts.
//!
//! Names of stations, products and steps are text here and numbers in the database. No row knows how it is stored.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use thalweg_core::{ContentHash, Fields, RelPath, TimeRange, Timestamp};

use crate::kinds::{Change, FileId, FileState, Origin, QuarantineId, ReceiptId, RunId};

/// A file's place in its product: which product, which fields, which coverage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// Product name.
    pub product: String,
    /// Canonical text of the distinguishing fields (`thalweg_core::fields_text`).
    pub fields_key: String,
    /// Canonical text of the fields of its group, for "newest of its group".
    pub group_key: String,
    /// All fields.
    pub fields: Fields,
    /// Start of the coverage, if it has one.
    pub start: Option<Timestamp>,
    /// End of the coverage; with a start and no end it covers that instant.
    pub end: Option<Timestamp>,
    /// Why its time is not to be trusted; such a file is listed but in no coverage and nobody's newest.
    pub suspect: Option<String>,
}

/// What the file system says of a file; a change of size, modification time or inode is another version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// Bytes.
    pub size: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Change time, nanoseconds since 1970; recorded, never compared.
    pub ctime_ns: i64,
    /// Inode; 0 when not known, which is never compared.
    pub ino: u64,
    /// Device; recorded, never compared, since it may change at a restart.
    pub dev: u64,
}

/// A file seen at a station.
#[derive(Debug, Clone)]
pub struct Observed {
    /// Station name.
    pub station: String,
    /// Path at the station.
    pub path: RelPath,
    /// What its name says.
    pub identity: Identity,
    /// What the file system says.
    pub stat: Stat,
    /// Whether no writer is known to have it open.
    pub closed: bool,
    /// How it came there, if this is a new version; usually [`Origin::Seen`].
    pub origin: Origin,
    /// When it was seen.
    pub at: Timestamp,
}

/// What [`crate::Tx::observe`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ObserveOutcome {
    /// The file row.
    pub file: FileId,
    /// What is new.
    pub change: Change,
    /// Its state now.
    pub state: FileState,
}

/// What is known of a file once it is ready, probed and hashed.
#[derive(Debug, Clone)]
pub struct Settled {
    /// Product, fields and coverage, with what its content says.
    pub identity: Identity,
    /// The stat under which it was hashed; when the row has another by now, nothing is settled.
    pub stat: Stat,
    /// Digest of its bytes.
    pub content: ContentHash,
    /// The format's digest of its data, where the product compares by data.
    pub data_hash: Option<ContentHash>,
    /// Names of the fields to be found by value.
    pub indexed: Vec<String>,
    /// How this version came there.
    pub origin: Origin,
    /// The run that made or delivered it.
    pub run: Option<RunId>,
    /// How the copy was verified, e.g. `read`.
    pub verify_mode: String,
    /// When.
    pub at: Timestamp,
}

/// A file that a run has put into place.
#[derive(Debug, Clone)]
pub struct Output {
    /// Station name.
    pub station: String,
    /// Path at the station.
    pub path: RelPath,
    /// Product, fields and coverage.
    pub identity: Identity,
    /// What the file system says after the rename.
    pub stat: Stat,
    /// Digest of its bytes.
    pub content: ContentHash,
    /// The format's digest of its data, where the product compares by data.
    pub data_hash: Option<ContentHash>,
    /// Names of the fields to be found by value.
    pub indexed: Vec<String>,
    /// [`Origin::Made`] or [`Origin::Delivered`].
    pub origin: Origin,
    /// The run.
    pub run: Option<RunId>,
    /// How the copy was verified, e.g. `stream`.
    pub verify_mode: String,
    /// When.
    pub at: Timestamp,
}

/// One path at one station.
#[derive(Debug, Clone, Serialize)]
pub struct FileRow {
    /// Its number.
    pub id: FileId,
    /// Station name.
    pub station: String,
    /// Product name.
    pub product: String,
    /// Canonical text of the distinguishing fields.
    pub fields_key: String,
    /// Canonical text of the fields of its group.
    pub group_key: String,
    /// All fields.
    pub fields: Fields,
    /// Path at the station.
    pub path: RelPath,
    /// Start of the coverage.
    pub start: Option<Timestamp>,
    /// End of the coverage.
    pub end: Option<Timestamp>,
    /// What the file system said last.
    pub stat: Stat,
    /// When the path was first seen.
    pub first_seen: Timestamp,
    /// When this version was first seen.
    pub arrived: Timestamp,
    /// Since when no change was seen.
    pub unchanged_since: Timestamp,
    /// Whether no writer is known to have it open.
    pub closed: bool,
    /// What is known of it.
    pub state: FileState,
    /// Since when it is in that state.
    pub state_at: Timestamp,
    /// Why it is in that state.
    pub why: Option<String>,
    /// How this version came there.
    pub origin: Origin,
    /// The run that made, delivered or removed it.
    pub run: Option<RunId>,
    /// Digest of its bytes, once hashed.
    pub content: Option<ContentHash>,
    /// The format's digest of its data, if taken.
    pub data_hash: Option<ContentHash>,
    /// Number of this version at this path, from 1.
    pub version: u32,
    /// Why its time is not to be trusted.
    pub suspect: Option<String>,
}

impl FileRow {
    /// Returns the coverage; a start without an end gives an empty range.
    pub fn range(&self) -> Option<TimeRange> {
        self.start.map(|start| TimeRange::new(start, self.end.unwrap_or(start)))
    }
}

/// One settled version of a file.
#[derive(Debug, Clone, Serialize)]
pub struct VersionRow {
    /// The file.
    pub file: FileId,
    /// Number, from 1.
    pub no: u32,
    /// Digest of its bytes.
    pub content: ContentHash,
    /// Bytes.
    pub size: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// When it was settled.
    pub seen: Timestamp,
    /// How it came there.
    pub origin: Origin,
    /// The run that made or delivered it.
    pub run: Option<RunId>,
}

/// What is asked of [`crate::Reader::page`]; what is left out does not restrict.
#[derive(Debug, Clone, Default)]
pub struct FileFilter {
    /// Only at this station.
    pub station: Option<String>,
    /// Only of this product.
    pub product: Option<String>,
    /// Only coverage that ends after this.
    pub from: Option<Timestamp>,
    /// Only coverage that starts before this.
    pub to: Option<Timestamp>,
    /// Only in these states; empty: all.
    pub states: Vec<FileState>,
    /// Only paths that begin so (escaped text).
    pub path_prefix: Option<String>,
    /// Only what comes after this file in the order of the listing.
    pub after: Option<FileId>,
}

/// How many files of a product are at a station in a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileTally {
    /// Station name.
    pub station: String,
    /// Product name.
    pub product: String,
    /// State.
    pub state: FileState,
    /// How many.
    pub files: u64,
    /// Their size together.
    pub bytes: u64,
}

/// Names one content of one file, without a place.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct InputRef {
    /// Product name.
    pub product: String,
    /// Canonical text of the distinguishing fields.
    pub fields_key: String,
    /// Digest of its bytes.
    pub content: ContentHash,
}

/// A verified presence, to be recorded.
#[derive(Debug, Clone)]
pub struct NewCopy {
    /// Product name.
    pub product: String,
    /// Canonical text of the distinguishing fields.
    pub fields_key: String,
    /// Digest of its bytes.
    pub content: ContentHash,
    /// Station name.
    pub station: String,
    /// Path at the station.
    pub path: RelPath,
    /// When it was verified.
    pub verified: Timestamp,
    /// How, e.g. `stream`, `read`, `have`.
    pub verify_mode: String,
    /// The run that brought or checked it.
    pub run: Option<RunId>,
}

/// A verified presence of a file's content at a station.
#[derive(Debug, Clone, Serialize)]
pub struct CopyRow {
    /// Product name.
    pub product: String,
    /// Canonical text of the distinguishing fields.
    pub fields_key: String,
    /// Digest of its bytes.
    pub content: ContentHash,
    /// Station name.
    pub station: String,
    /// Path at the station.
    pub path: RelPath,
    /// When it was last verified.
    pub verified: Timestamp,
    /// How.
    pub verify_mode: String,
    /// Whether it is there still, as far as is known.
    pub present: bool,
    /// The run that brought or checked it.
    pub run: Option<RunId>,
}

/// A receipt to be recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewReceipt {
    /// Product name.
    pub product: String,
    /// Canonical text of the distinguishing fields.
    pub fields_key: String,
    /// Digest of its bytes.
    pub content: ContentHash,
    /// Station name.
    pub station: String,
    /// When it was given, by the giver's clock.
    pub given: Timestamp,
    /// Ledger id of the giver.
    pub ledger: String,
    /// Ledger id of who passed it on.
    pub relayed_by: Option<String>,
    /// What the file was made from.
    pub inputs: Vec<InputRef>,
    /// When it was last confirmed, by our clock.
    pub confirmed: Timestamp,
}

/// A live station's word that it holds a verified copy.
#[derive(Debug, Clone, Serialize)]
pub struct ReceiptRow {
    /// Its number here.
    pub id: ReceiptId,
    /// Product name.
    pub product: String,
    /// Canonical text of the distinguishing fields.
    pub fields_key: String,
    /// Digest of its bytes.
    pub content: ContentHash,
    /// Station name.
    pub station: String,
    /// When it was given, by the giver's clock.
    pub given: Timestamp,
    /// Ledger id of the giver.
    pub ledger: String,
    /// Ledger id of who passed it on.
    pub relayed_by: Option<String>,
    /// What the file was made from.
    pub inputs: Vec<InputRef>,
    /// When it was last confirmed, by our clock.
    pub confirmed: Timestamp,
    /// When the giver took it back.
    pub revoked: Option<Timestamp>,
}

/// A bad file to be recorded as put aside.
#[derive(Debug, Clone)]
pub struct NewQuarantine {
    /// The file row; it becomes quarantined.
    pub file: Option<FileId>,
    /// Station name.
    pub station: String,
    /// Product name.
    pub product: String,
    /// Canonical text of the distinguishing fields.
    pub fields_key: String,
    /// Path at the station.
    pub path: RelPath,
    /// Where it was put, unless recorded only.
    pub moved_to: Option<RelPath>,
    /// The report beside it.
    pub report_path: Option<RelPath>,
    /// Digest of its bytes.
    pub content: Option<ContentHash>,
    /// Error class, a word.
    pub class: String,
    /// What is wrong with it.
    pub message: String,
    /// The run that found out.
    pub run: Option<RunId>,
    /// When.
    pub at: Timestamp,
}

/// A file put aside as bad.
#[derive(Debug, Clone, Serialize)]
pub struct QuarantineRow {
    /// Its number.
    pub id: QuarantineId,
    /// The file row.
    pub file: Option<FileId>,
    /// Station name.
    pub station: String,
    /// Product name.
    pub product: String,
    /// Canonical text of the distinguishing fields.
    pub fields_key: String,
    /// Path at the station.
    pub path: RelPath,
    /// Where it was put, unless recorded only.
    pub moved_to: Option<RelPath>,
    /// The report beside it.
    pub report_path: Option<RelPath>,
    /// Digest of its bytes.
    pub content: Option<ContentHash>,
    /// Error class, a word.
    pub class: String,
    /// What is wrong with it.
    pub message: String,
    /// The run that found out.
    pub run: Option<RunId>,
    /// When.
    pub at: Timestamp,
    /// When it was released.
    pub released: Option<Timestamp>,
}

/// What is asked of [`crate::Reader::quarantined`].
#[derive(Debug, Clone, Default)]
pub struct QuarantineFilter {
    /// Only at this station.
    pub station: Option<String>,
    /// Only of this product.
    pub product: Option<String>,
    /// Only this content.
    pub content: Option<ContentHash>,
    /// Only this file.
    pub file: Option<FileId>,
    /// Released ones too.
    pub released: bool,
    /// At most so many.
    pub limit: Option<u32>,
}

/// One deletion, with the receipts it rested on: the audit.
#[derive(Debug, Clone, Serialize)]
pub struct RetirementRow {
    /// The file row.
    pub file: FileId,
    /// Station name.
    pub station: String,
    /// Product name.
    pub product: String,
    /// Canonical text of the distinguishing fields.
    pub fields_key: String,
    /// Path at the station.
    pub path: RelPath,
    /// Digest of its bytes.
    pub content: Option<ContentHash>,
    /// Bytes.
    pub size: u64,
    /// The keep rule or step that removed it.
    pub keep: String,
    /// When.
    pub at: Timestamp,
    /// The evidence at that moment.
    pub receipts: Json,
}

/// What is asked of [`crate::Reader::retirements`]; newest first.
#[derive(Debug, Clone, Default)]
pub struct RetirementFilter {
    /// Only at this station.
    pub station: Option<String>,
    /// Only of this product.
    pub product: Option<String>,
    /// Only this file.
    pub file: Option<FileId>,
    /// Only at or after this.
    pub from: Option<Timestamp>,
    /// Only before this.
    pub to: Option<Timestamp>,
    /// At most so many.
    pub limit: Option<u32>,
}
