//! Verbs on the files of the SuperDARN radars.

mod convert;
mod stations;
mod to_dmap;

pub use stations::{STATIONS, station_id};
pub use to_dmap::{ToDmap, ToDmapOptions, ToDmapSummary, to_dmap};
