//! Verbs on the files of the SuperDARN radars.

mod convert;
mod restructure;
mod stations;
mod to_dmap;

pub use restructure::{CleanSummary, RestructureSummary, clean, restructure};
pub use stations::{STATIONS, station_id};
pub use thalweg_formats::borealis::RestructureOptions;
pub use to_dmap::{ToDmap, ToDmapOptions, ToDmapSummary, to_dmap};
