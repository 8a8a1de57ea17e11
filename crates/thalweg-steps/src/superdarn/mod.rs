//! Verbs on the files of the SuperDARN radars.

mod convert;
mod plot_iq;
mod plot_rawacf;
mod restructure;
mod stations;
mod to_dmap;

pub use plot_iq::{Antennas, IqStyle, PlotIqOptions, PlotIqSummary, plot_iq};
pub use plot_rawacf::{PlotRawacfOptions, PlotRawacfSummary, plot_rawacf};
pub use restructure::{CleanSummary, RestructureSummary, clean, restructure};
pub use stations::{STATIONS, station_id};
pub use thalweg_formats::borealis::RestructureOptions;
pub use to_dmap::{ToDmap, ToDmapOptions, ToDmapSummary, to_dmap};
