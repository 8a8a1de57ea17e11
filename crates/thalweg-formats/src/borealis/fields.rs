//! Which fields a file has, by version, layout and kind.

use super::version::{FileKind, Layout, Version};
use crate::hdf5::Dtype;

/// Where a field stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Attribute,
    Dataset,
}

/// Type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    U8,
    I16,
    U32,
    I64,
    F32,
    F64,
    Bool,
    Complex,
    /// Text of any length.
    Text,
    /// Texts as a run of UTF-32 characters in bytes.
    Characters,
    /// v1: by class, any width.
    AnyInt,
    AnyFloat,
    AnyNumber,
    AnyBool,
    /// v1: not looked at.
    Any,
}

impl Want {
    /// Tells if a type is exactly the one wanted.
    pub(super) fn accepts(self, found: &Dtype) -> bool {
        match self {
            Self::U8 | Self::Characters => *found == Dtype::U8,
            Self::I16 => *found == Dtype::I16,
            Self::U32 => *found == Dtype::U32,
            Self::I64 => *found == Dtype::I64,
            Self::F32 => *found == Dtype::F32,
            Self::F64 => *found == Dtype::F64,
            Self::Bool => *found == Dtype::Bool,
            Self::Complex => *found == Dtype::Complex64,
            Self::Text => found.is_text(),
            Self::AnyInt => matches!(found, Dtype::Int { .. }),
            Self::AnyFloat => matches!(found, Dtype::Float { .. }),
            Self::AnyNumber => matches!(found, Dtype::Int { .. } | Dtype::Float { .. }),
            Self::AnyBool => matches!(found, Dtype::Bool | Dtype::Int { .. }),
            Self::Any => true,
        }
    }

    /// Tells if values of a type can be had without loss; whole numbers are compared with their range when read.
    pub(super) fn accepts_widened(self, found: &Dtype) -> bool {
        match self {
            Self::U8 | Self::Bool => matches!(found, Dtype::Bool | Dtype::Int { .. }),
            Self::I16 | Self::U32 | Self::I64 => matches!(found, Dtype::Int { .. }),
            Self::F64 => matches!(found, Dtype::Float { .. }),
            Self::Characters => *found == Dtype::U8 || found.is_text(),
            _ => self.accepts(found),
        }
    }

    /// Returns the words for messages.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::U8 => "uint8",
            Self::I16 => "int16",
            Self::U32 => "uint32",
            Self::I64 => "int64",
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::Bool => "bool",
            Self::Complex => "complex64",
            Self::Text => "text",
            Self::Characters => "text as uint8",
            Self::AnyInt => "a whole number",
            Self::AnyFloat => "a float",
            Self::AnyNumber => "a number",
            Self::AnyBool => "a truth value",
            Self::Any => "anything",
        }
    }
}

/// A field of a version and layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) name: &'static str,
    pub(super) want: Want,
    pub(super) place: Place,
    /// In the array layout: one value for the whole file.
    pub(super) shared: bool,
    pub(super) required: bool,
}

/// What a field is in array files; all but `Rows` exist in site files too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// One value for the file.
    S,
    /// A row per record.
    R,
    /// In site files only.
    Site,
    /// In array files only.
    Rows,
    /// In both, with different content.
    X,
}

use Place::{Attribute as A, Dataset as D};
use Role::{R, Rows, S, Site, X};
use Want::{Bool, Characters, Complex, F32, F64, I16, I64, Text, U8, U32};

/// Kinds of files that have a field.
const ALL: &[FileKind] = &[FileKind::Rawacf, FileKind::Bfiq, FileKind::AntennasIq];
const RAWACF: &[FileKind] = &[FileKind::Rawacf];
const BFIQ: &[FileKind] = &[FileKind::Bfiq];
const ANTENNAS: &[FileKind] = &[FileKind::AntennasIq];
/// Those with samples.
const IQ: &[FileKind] = &[FileKind::Bfiq, FileKind::AntennasIq];
/// Those of formed beams.
const BEAMS: &[FileKind] = &[FileKind::Rawacf, FileKind::Bfiq];

type Row = (&'static str, Want, Place, &'static [FileKind], Role, u8, u8);

/// Name, type, place in site files, kinds, role, first and last version (second number).
const V0: &[Row] = &[
    ("agc_status_word", U32, A, ALL, R, 6, 9),
    ("antenna_arrays_order", Characters, D, IQ, S, 0, 6),
    ("antenna_arrays_order", Text, D, IQ, S, 7, 9),
    ("averaging_method", Text, A, RAWACF, S, 5, 9),
    ("beam_azms", F64, D, ALL, R, 0, 9),
    ("beam_nums", U32, D, ALL, R, 0, 9),
    ("blanked_samples", U32, D, BEAMS, S, 0, 4),
    ("blanked_samples", U32, D, ALL, R, 5, 9),
    ("borealis_git_hash", Text, A, ALL, S, 0, 9),
    ("correlation_descriptors", Characters, D, RAWACF, X, 0, 6),
    ("correlation_dimensions", U32, D, RAWACF, Site, 0, 6),
    ("data", Complex, D, IQ, R, 0, 9),
    ("data_descriptors", Characters, D, IQ, X, 0, 6),
    ("data_descriptors", Text, D, ALL, X, 7, 9),
    ("data_dimensions", U32, D, IQ, Site, 0, 6),
    ("data_dimensions", U32, D, ALL, Site, 7, 9),
    ("data_normalization_factor", F64, A, ALL, S, 0, 9),
    ("experiment_comment", Text, A, ALL, S, 0, 9),
    ("experiment_id", I64, A, ALL, S, 0, 5),
    ("experiment_id", I16, A, ALL, S, 6, 9),
    ("experiment_name", Text, A, ALL, S, 0, 9),
    ("first_range", F32, A, BEAMS, S, 0, 9),
    ("first_range", F32, A, ANTENNAS, S, 7, 9),
    ("first_range_rtt", F32, A, BEAMS, S, 0, 9),
    ("first_range_rtt", F32, A, ANTENNAS, S, 7, 9),
    ("freq", U32, A, ALL, S, 0, 9),
    ("gps_locked", U8, A, ALL, R, 6, 6),
    ("gps_locked", Bool, A, ALL, R, 7, 9),
    ("gps_to_system_time_diff", F64, A, ALL, R, 6, 9),
    ("int_time", F32, A, ALL, R, 0, 9),
    ("intf_acfs", Complex, D, RAWACF, R, 0, 9),
    ("intf_antenna_count", U32, A, ALL, S, 0, 9),
    ("lags", U32, D, BEAMS, S, 0, 9),
    ("lags", U32, D, ANTENNAS, S, 7, 9),
    ("lp_status_word", U32, A, ALL, R, 6, 9),
    ("main_acfs", Complex, D, RAWACF, R, 0, 9),
    ("main_antenna_count", U32, A, ALL, S, 0, 9),
    ("noise_at_freq", F64, D, ALL, R, 0, 9),
    ("num_beams", U32, A, ALL, Rows, 0, 9),
    ("num_blanked_samples", U32, A, ALL, Rows, 5, 9),
    ("num_ranges", U32, A, BFIQ, S, 0, 9),
    ("num_ranges", U32, A, ANTENNAS, S, 7, 9),
    ("num_samps", U32, A, IQ, S, 0, 9),
    ("num_sequences", I64, A, ALL, R, 0, 9),
    ("num_slices", I64, A, ALL, R, 0, 9),
    ("pulse_phase_offset", F32, D, IQ, S, 0, 5),
    ("pulse_phase_offset", F32, D, IQ, R, 6, 9),
    ("pulses", U32, D, ALL, S, 0, 9),
    ("range_sep", F32, A, BEAMS, S, 0, 9),
    ("range_sep", F32, A, ANTENNAS, S, 7, 9),
    ("rx_sample_rate", F64, A, ALL, S, 0, 9),
    ("samples_data_type", Text, A, ALL, S, 0, 9),
    ("scan_start_marker", U8, A, ALL, R, 0, 6),
    ("scan_start_marker", Bool, A, ALL, R, 7, 9),
    ("scheduling_mode", Text, A, ALL, S, 5, 9),
    ("slice_comment", Text, A, ALL, S, 0, 9),
    ("slice_id", U32, A, ALL, S, 5, 9),
    ("slice_interfacing", Text, A, ALL, R, 5, 9),
    ("sqn_timestamps", F64, D, ALL, R, 0, 9),
    ("station", Text, A, ALL, S, 0, 9),
    ("tau_spacing", U32, A, ALL, S, 0, 9),
    ("tx_antenna_phases", Complex, D, ALL, R, 7, 9),
    ("tx_pulse_len", U32, A, ALL, S, 0, 9),
    ("xcfs", Complex, D, RAWACF, R, 0, 9),
];

/// v1: name, type, kinds, if it must be there.
const V1: &[(&str, Want, &[FileKind], bool)] = &[
    ("agc_status_word", Want::AnyInt, ALL, true),
    ("antenna_arrays", Text, BFIQ, true),
    ("antenna_locations", Want::AnyFloat, ALL, true),
    ("antennas", Want::AnyInt, ALL, true),
    ("antennas_iq_data", Complex, ANTENNAS, true),
    ("averaging_method", Text, RAWACF, true),
    ("beam_azms", Want::AnyFloat, ALL, true),
    ("beam_nums", Want::AnyInt, ALL, true),
    ("bfiq_data", Complex, BFIQ, true),
    ("blanked_samples", Want::AnyInt, ALL, true),
    ("borealis_git_hash", Text, ALL, true),
    ("cfs_freqs", Want::Any, ALL, false),
    ("cfs_masks", Want::Any, ALL, false),
    ("cfs_noise", Want::Any, ALL, false),
    ("cfs_range", Want::Any, ALL, false),
    ("data_normalization_factor", Want::AnyFloat, ALL, true),
    ("experiment_comment", Text, ALL, true),
    ("experiment_id", Want::AnyInt, ALL, true),
    ("experiment_name", Text, ALL, true),
    ("first_range", Want::AnyFloat, ALL, true),
    ("first_range_rtt", Want::AnyFloat, ALL, true),
    ("freq", Want::AnyInt, ALL, true),
    ("global_coord", Text, ALL, true),
    ("gps_locked", Want::AnyBool, ALL, true),
    ("gps_to_system_time_diff", Want::AnyFloat, ALL, true),
    ("int_time", Want::AnyFloat, ALL, true),
    ("intf_acfs", Complex, RAWACF, false),
    ("lag_numbers", Want::AnyInt, RAWACF, true),
    ("lag_numbers", Want::AnyInt, IQ, false),
    ("lag_pulse_descriptors", Text, RAWACF, true),
    ("lag_pulse_descriptors", Text, IQ, false),
    ("lag_pulses", Want::AnyInt, RAWACF, true),
    ("lag_pulses", Want::AnyInt, IQ, false),
    ("lags", Want::AnyInt, RAWACF, true),
    ("lags", Want::AnyInt, IQ, false),
    ("local_coord", Text, ALL, true),
    ("lp_status_word", Want::AnyInt, ALL, true),
    ("main_acfs", Complex, RAWACF, true),
    ("num_sequences", Want::AnyInt, ALL, true),
    ("num_slices", Want::AnyInt, ALL, true),
    ("pulse_phase_offset", Want::AnyFloat, IQ, false),
    ("pulses", Want::AnyInt, ALL, true),
    ("range_gates", Want::AnyInt, ALL, true),
    ("range_sep", Want::AnyFloat, ALL, true),
    ("rx_antennas", Want::AnyInt, ANTENNAS, true),
    ("rx_intf_antennas", Want::AnyInt, ALL, false),
    ("rx_intf_excitations", Complex, ALL, false),
    ("rx_main_antennas", Want::AnyInt, ALL, true),
    ("rx_main_excitations", Complex, ALL, true),
    ("rx_sample_rate", Want::AnyFloat, ALL, true),
    ("sample_time", Want::AnyNumber, IQ, true),
    ("samples_data_type", Text, ALL, true),
    ("scan_start_marker", Want::AnyBool, ALL, true),
    ("scheduling_mode", Text, ALL, true),
    ("slice_comment", Text, ALL, true),
    ("slice_id", Want::AnyInt, ALL, true),
    ("slice_interfacing", Text, ALL, true),
    ("sqn_timestamps", Want::AnyFloat, ALL, true),
    ("station", Text, ALL, true),
    ("station_location", Want::AnyFloat, ALL, true),
    ("tau_spacing", Want::AnyInt, ALL, true),
    ("tx_antennas", Want::AnyInt, ALL, true),
    ("tx_excitations", Complex, ALL, false),
    ("tx_pulse_len", Want::AnyInt, ALL, true),
    ("xcfs", Complex, RAWACF, false),
];

/// Attributes that other software leaves behind and that mean nothing.
pub(super) const IGNORED: [&str; 6] =
    ["CLASS", "TITLE", "VERSION", "FLAVOR", "DEEPDISH_IO_VERSION", "PYTABLES_FORMAT_VERSION"];

/// Returns the fields of a file, in order of names.
pub(super) fn expected(version: &Version, layout: Layout, kind: FileKind) -> Vec<Expected> {
    if layout == Layout::V1 {
        let here = V1.iter().filter(|(_, _, kinds, _)| kinds.contains(&kind));
        let field = |&(name, want, _, required)| Expected { name, want, place: D, shared: false, required };
        return here.map(field).collect();
    }
    let array = layout == Layout::Array;
    let number = version.format();
    let mut fields = Vec::new();
    for &(name, want, place, kinds, role, first, last) in V0 {
        let here = if array { role != Site } else { role != Rows };
        if !here || !kinds.contains(&kind) || !(first..=last).contains(&number) {
            continue;
        }
        let shared = matches!(role, S | X);
        let place = match (array, shared, place) {
            (true, true, A) => A,
            (true, ..) => D,
            (false, ..) => place,
        };
        // The one text that is kept per record; and what the usual writer of v0.7 makes of samples of antennas.
        let as_characters = name == "slice_interfacing" || (name == "data_descriptors" && kind == FileKind::AntennasIq);
        let want = if array && as_characters { Characters } else { want };
        fields.push(Expected { name, want, place, shared, required: true });
    }
    fields
}
