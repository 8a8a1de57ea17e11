//! Reading the report lines of a child while it appends them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use thalweg_core::ReportLine;

use super::Ended;

/// Longest report line that is read.
const LONGEST_LINE: usize = 1 << 20;

/// Bytes read at one look.
const PORTION: usize = 64 << 10;

/// Bytes of reports read of one child in all.
const MOST_BYTES: u64 = 256 << 20;

/// Follows the report file through the descriptor with which it was made: what the child puts under its name later,
/// a link for instance, is never opened.
pub(super) struct Reports {
    file: File,
    at: u64,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// True while the rest of a line that is too long is passed over.
    skipping: bool,
    kept: Vec<ReportLine>,
    dropped: u64,
}

impl Reports {
    pub(super) fn new(file: File) -> Self {
        Self { file, at: 0, partial: Vec::new(), skipping: false, kept: Vec::new(), dropped: 0 }
    }

    /// Reads what is new, a portion at most; tells if there may be more.
    pub(super) fn look(&mut self, on_report: &mut dyn FnMut(ReportLine)) -> bool {
        let mut buffer = [0; PORTION];
        let got = match self.file.read_at(&mut buffer, self.at) {
            Ok(got) if self.at < MOST_BYTES => got,
            _ => return false,
        };
        self.at += got as u64;
        for part in buffer[..got].split_inclusive(|&b| b == b'\n') {
            if !self.skipping {
                self.partial.extend_from_slice(part);
            }
            if part.last() == Some(&b'\n') {
                if self.skipping {
                    self.skipping = false;
                } else {
                    self.end_line(on_report);
                }
            } else if self.partial.len() > LONGEST_LINE {
                self.partial = Vec::new();
                self.skipping = true;
                self.dropped += 1;
            }
        }
        got == PORTION
    }

    fn end_line(&mut self, on_report: &mut dyn FnMut(ReportLine)) {
        let line = self.partial.trim_ascii();
        if !line.is_empty() {
            match serde_json::from_slice::<ReportLine>(line) {
                Ok(report) => {
                    match report {
                        ReportLine::Progress { .. } => {}
                        _ if self.kept.len() < Ended::MAX_REPORTS => self.kept.push(report.clone()),
                        _ => self.dropped += 1,
                    }
                    on_report(report);
                }
                Err(_) => self.dropped += 1,
            }
        }
        self.partial.clear();
    }

    /// Reads the rest after the end of the child; returns the lines kept and the number of those that were not.
    pub(super) fn finish(mut self, on_report: &mut dyn FnMut(ReportLine)) -> (Vec<ReportLine>, u64) {
        while self.look(on_report) {}
        // The last line may lack its end.
        self.end_line(on_report);
        (self.kept, self.dropped)
    }
}
