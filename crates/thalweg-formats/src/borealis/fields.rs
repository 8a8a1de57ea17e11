//! Which fields a rawacf file has, by version and layout.

use super::version::{Layout, Version};
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

/// Name, type, place in site files, role, first and last version (second number).
const V0: &[(&str, Want, Place, Role, u8, u8)] = &[
    ("agc_status_word", U32, A, R, 6, 9),
    ("averaging_method", Text, A, S, 5, 9),
    ("beam_azms", F64, D, R, 0, 9),
    ("beam_nums", U32, D, R, 0, 9),
    ("blanked_samples", U32, D, S, 0, 4),
    ("blanked_samples", U32, D, R, 5, 9),
    ("borealis_git_hash", Text, A, S, 0, 9),
    ("correlation_descriptors", Characters, D, X, 0, 6),
    ("correlation_dimensions", U32, D, Site, 0, 6),
    ("data_descriptors", Text, D, X, 7, 9),
    ("data_dimensions", U32, D, Site, 7, 9),
    ("data_normalization_factor", F64, A, S, 0, 9),
    ("experiment_comment", Text, A, S, 0, 9),
    ("experiment_id", I64, A, S, 0, 5),
    ("experiment_id", I16, A, S, 6, 9),
    ("experiment_name", Text, A, S, 0, 9),
    ("first_range", F32, A, S, 0, 9),
    ("first_range_rtt", F32, A, S, 0, 9),
    ("freq", U32, A, S, 0, 9),
    ("gps_locked", U8, A, R, 6, 6),
    ("gps_locked", Bool, A, R, 7, 9),
    ("gps_to_system_time_diff", F64, A, R, 6, 9),
    ("int_time", F32, A, R, 0, 9),
    ("intf_acfs", Complex, D, R, 0, 9),
    ("intf_antenna_count", U32, A, S, 0, 9),
    ("lags", U32, D, S, 0, 9),
    ("lp_status_word", U32, A, R, 6, 9),
    ("main_acfs", Complex, D, R, 0, 9),
    ("main_antenna_count", U32, A, S, 0, 9),
    ("noise_at_freq", F64, D, R, 0, 9),
    ("num_beams", U32, A, Rows, 0, 9),
    ("num_blanked_samples", U32, A, Rows, 5, 9),
    ("num_sequences", I64, A, R, 0, 9),
    ("num_slices", I64, A, R, 0, 9),
    ("pulses", U32, D, S, 0, 9),
    ("range_sep", F32, A, S, 0, 9),
    ("rx_sample_rate", F64, A, S, 0, 9),
    ("samples_data_type", Text, A, S, 0, 9),
    ("scan_start_marker", U8, A, R, 0, 6),
    ("scan_start_marker", Bool, A, R, 7, 9),
    ("scheduling_mode", Text, A, S, 5, 9),
    ("slice_comment", Text, A, S, 0, 9),
    ("slice_id", U32, A, S, 5, 9),
    ("slice_interfacing", Text, A, R, 5, 9),
    ("sqn_timestamps", F64, D, R, 0, 9),
    ("station", Text, A, S, 0, 9),
    ("tau_spacing", U32, A, S, 0, 9),
    ("tx_antenna_phases", Complex, D, R, 7, 9),
    ("tx_pulse_len", U32, A, S, 0, 9),
    ("xcfs", Complex, D, R, 0, 9),
];

/// Name, type, required.
const V1: &[(&str, Want, bool)] = &[
    ("agc_status_word", Want::AnyInt, true),
    ("antenna_locations", Want::AnyFloat, true),
    ("antennas", Want::AnyInt, true),
    ("averaging_method", Text, true),
    ("beam_azms", Want::AnyFloat, true),
    ("beam_nums", Want::AnyInt, true),
    ("blanked_samples", Want::AnyInt, true),
    ("borealis_git_hash", Text, true),
    ("cfs_freqs", Want::Any, false),
    ("cfs_masks", Want::Any, false),
    ("cfs_noise", Want::Any, false),
    ("cfs_range", Want::Any, false),
    ("data_normalization_factor", Want::AnyFloat, true),
    ("experiment_comment", Text, true),
    ("experiment_id", Want::AnyInt, true),
    ("experiment_name", Text, true),
    ("first_range", Want::AnyFloat, true),
    ("first_range_rtt", Want::AnyFloat, true),
    ("freq", Want::AnyInt, true),
    ("global_coord", Text, true),
    ("gps_locked", Want::AnyBool, true),
    ("gps_to_system_time_diff", Want::AnyFloat, true),
    ("int_time", Want::AnyFloat, true),
    ("intf_acfs", Complex, false),
    ("lag_numbers", Want::AnyInt, true),
    ("lag_pulse_descriptors", Text, true),
    ("lag_pulses", Want::AnyInt, true),
    ("lags", Want::AnyInt, true),
    ("local_coord", Text, true),
    ("lp_status_word", Want::AnyInt, true),
    ("main_acfs", Complex, true),
    ("num_sequences", Want::AnyInt, true),
    ("num_slices", Want::AnyInt, true),
    ("pulses", Want::AnyInt, true),
    ("range_gates", Want::AnyInt, true),
    ("range_sep", Want::AnyFloat, true),
    ("rx_intf_antennas", Want::AnyInt, false),
    ("rx_intf_excitations", Complex, false),
    ("rx_main_antennas", Want::AnyInt, true),
    ("rx_main_excitations", Complex, true),
    ("rx_sample_rate", Want::AnyFloat, true),
    ("samples_data_type", Text, true),
    ("scan_start_marker", Want::AnyBool, true),
    ("scheduling_mode", Text, true),
    ("slice_comment", Text, true),
    ("slice_id", Want::AnyInt, true),
    ("slice_interfacing", Text, true),
    ("sqn_timestamps", Want::AnyFloat, true),
    ("station", Text, true),
    ("station_location", Want::AnyFloat, true),
    ("tau_spacing", Want::AnyInt, true),
    ("tx_antennas", Want::AnyInt, true),
    ("tx_excitations", Complex, false),
    ("tx_pulse_len", Want::AnyInt, true),
    ("xcfs", Complex, false),
];

/// Attributes that other software leaves behind and that mean nothing.
pub(super) const IGNORED: [&str; 6] =
    ["CLASS", "TITLE", "VERSION", "FLAVOR", "DEEPDISH_IO_VERSION", "PYTABLES_FORMAT_VERSION"];

/// Fields whose values are used; the others are only checked.
pub(super) const USED: &[&str] = &[
    "agc_status_word",
    "beam_azms",
    "beam_nums",
    "borealis_git_hash",
    "correlation_dimensions",
    "data_dimensions",
    "data_normalization_factor",
    "experiment_comment",
    "experiment_id",
    "experiment_name",
    "first_range",
    "first_range_rtt",
    "freq",
    "int_time",
    "lag_pulses",
    "lags",
    "lp_status_word",
    "main_acfs",
    "noise_at_freq",
    "num_beams",
    "num_sequences",
    "pulses",
    "range_sep",
    "rx_sample_rate",
    "scan_start_marker",
    "slice_comment",
    "slice_id",
    "sqn_timestamps",
    "station",
    "tau_spacing",
    "tx_antenna_phases",
    "tx_excitations",
    "tx_pulse_len",
    "xcfs",
];

/// Returns the fields of a rawacf file, in order of names.
pub(super) fn expected(version: &Version, layout: Layout) -> Vec<Expected> {
    if layout == Layout::V1 {
        let field = |&(name, want, required)| Expected { name, want, place: D, shared: false, required };
        return V1.iter().map(field).collect();
    }
    let array = layout == Layout::Array;
    let number = version.format();
    let mut fields = Vec::new();
    for &(name, want, place, role, first, last) in V0 {
        let here = if array { role != Site } else { role != Rows };
        if !here || !(first..=last).contains(&number) {
            continue;
        }
        let shared = matches!(role, S | X);
        let place = match (array, shared, place) {
            (true, true, A) => A,
            (true, ..) => D,
            (false, ..) => place,
        };
        // The one text that is kept per record.
        let want = if array && name == "slice_interfacing" { Characters } else { want };
        fields.push(Expected { name, want, place, shared, required: true });
    }
    fields
}
