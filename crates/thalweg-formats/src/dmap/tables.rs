//! The fields of the known record formats, in writing order.

use super::error::FieldFault;
use super::model::Kind;
use super::model::Kind as K;
use super::parse::{FieldRef, VectorRef};

/// A field of a format: name and type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Name.
    pub name: &'static str,
    /// Type of the scalar, or of the vector's elements.
    pub kind: Kind,
}

const fn e(name: &'static str, kind: Kind) -> Entry {
    Entry { name, kind }
}

/// A known record format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Averaged correlations.
    Rawacf,
    /// I/Q samples.
    Iqdat,
    /// Fitted parameters.
    Fitacf,
    /// Fitted parameters of sounding scans.
    Snd,
    /// Velocity vectors on a grid.
    Grid,
    /// Convection maps.
    Map,
}

/// All fields of a format.
struct Table {
    name: &'static str,
    scalars: [&'static [Entry]; 2],
    optional_scalars: &'static [Entry],
    vectors: &'static [Entry],
    optional_vectors: &'static [Entry],
    /// Vectors of which those present must have equal shape; by predicate over the name.
    groups: &'static [fn(&str) -> bool],
}

const TIMES: [&str; 6] = ["tsc", "tus", "tatten", "tnoise", "toff", "tsze"];

fn is_optional_vector(table: &Table, name: &str) -> bool {
    table.optional_vectors.iter().any(|entry| entry.name == name)
}

fn is_station_vector(name: &str) -> bool {
    STATION_VECTORS.iter().any(|entry| entry.name == name)
}

fn is_grid_vector(name: &str) -> bool {
    name.starts_with("vector.") && name != "vector.srng"
}

const RAWACF: Table = Table {
    name: "RAWACF",
    scalars: [RADAR_SCALARS, RAWACF_SCALARS],
    optional_scalars: RAWACF_OPTIONAL_SCALARS,
    vectors: RAWACF_VECTORS,
    optional_vectors: RAWACF_OPTIONAL_VECTORS,
    groups: &[],
};
const IQDAT: Table = Table {
    name: "IQDAT",
    scalars: [RADAR_SCALARS, IQDAT_SCALARS],
    optional_scalars: IQDAT_OPTIONAL_SCALARS,
    vectors: IQDAT_VECTORS,
    optional_vectors: &[],
    groups: &[|name| TIMES.contains(&name)],
};
const FITACF: Table = Table {
    name: "FITACF",
    scalars: [RADAR_SCALARS, FITACF_SCALARS],
    optional_scalars: FITACF_OPTIONAL_SCALARS,
    vectors: FITACF_VECTORS,
    optional_vectors: FITACF_OPTIONAL_VECTORS,
    groups: &[|name| is_optional_vector(&FITACF, name)],
};
const SND: Table = Table {
    name: "SND",
    scalars: [SND_SCALARS, &[]],
    optional_scalars: SND_OPTIONAL_SCALARS,
    vectors: &[],
    optional_vectors: SND_OPTIONAL_VECTORS,
    groups: &[|name| is_optional_vector(&SND, name)],
};
const GRID: Table = Table {
    name: "GRID",
    scalars: [PERIOD_SCALARS, &[]],
    optional_scalars: &[],
    vectors: STATION_VECTORS,
    optional_vectors: GRID_OPTIONAL_VECTORS,
    groups: &[is_station_vector, is_grid_vector],
};
const MAP: Table = Table {
    name: "MAP",
    scalars: [PERIOD_SCALARS, MAP_SCALARS],
    optional_scalars: MAP_OPTIONAL_SCALARS,
    vectors: STATION_VECTORS,
    optional_vectors: MAP_OPTIONAL_VECTORS,
    groups: &[
        is_station_vector,
        is_grid_vector,
        |name| matches!(name, "N" | "N+1" | "N+2" | "N+3"),
        |name| name.starts_with("model."),
        |name| name.starts_with("boundary."),
    ],
};

impl Format {
    /// All known formats.
    pub const ALL: [Self; 6] = [Self::Rawacf, Self::Iqdat, Self::Fitacf, Self::Snd, Self::Grid, Self::Map];

    fn table(self) -> &'static Table {
        match self {
            Self::Rawacf => &RAWACF,
            Self::Iqdat => &IQDAT,
            Self::Fitacf => &FITACF,
            Self::Snd => &SND,
            Self::Grid => &GRID,
            Self::Map => &MAP,
        }
    }

    /// Returns the name in capitals.
    pub fn name(self) -> &'static str {
        self.table().name
    }

    /// Guesses the format from the names of a record's fields; `None` for a generic record.
    pub fn guess<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        // The most telling field of each; a SND record also has the revision of FITACF, a MAP record that of GRID.
        const MARKS: [(&str, Format); 6] = [
            ("snd.revision.major", Format::Snd),
            ("rawacf.revision.major", Format::Rawacf),
            ("iqdata.revision.major", Format::Iqdat),
            ("fitacf.revision.major", Format::Fitacf),
            ("map.major.revision", Format::Map),
            ("start.year", Format::Grid),
        ];
        let found = names.into_iter().filter_map(|name| MARKS.iter().position(|(mark, _)| *mark == name)).min()?;
        Some(MARKS[found].1)
    }

    /// Returns the fields in writing order: required scalars, optional scalars, required vectors, optional vectors.
    pub fn writing_order(self) -> impl Iterator<Item = &'static Entry> {
        let table = self.table();
        let scalars = table.scalars.into_iter().flatten().chain(table.optional_scalars);
        scalars.chain(table.vectors).chain(table.optional_vectors)
    }

    /// Returns everything in which the fields of a record differ from the format.
    pub fn faults(self, fields: &[(&str, FieldRef<'_>)]) -> Vec<FieldFault> {
        let table = self.table();
        let format = table.name;
        let is_scalar = |name: &str| {
            table.scalars.into_iter().flatten().chain(table.optional_scalars).find(|entry| entry.name == name)
        };
        let is_vector =
            |name: &str| table.vectors.iter().chain(table.optional_vectors).find(|entry| entry.name == name);
        let mut faults = Vec::new();
        for (name, field) in fields {
            let (expected, wanted) = match (is_scalar(name), is_vector(name)) {
                (Some(entry), _) => (entry, "scalar"),
                (None, Some(entry)) => (entry, "vector"),
                (None, None) => {
                    faults.push(FieldFault::NotInFormat { field: (*name).to_owned(), format });
                    continue;
                }
            };
            let found = if matches!(field, FieldRef::Vector(_)) { "vector" } else { "scalar" };
            if found != wanted || field.kind() != expected.kind {
                faults.push(FieldFault::WrongType {
                    field: (*name).to_owned(),
                    found: format!("{found} of {}", field.kind()),
                    expected: format!("{wanted} of {}", expected.kind),
                    format,
                });
            }
        }
        for entry in table.scalars.into_iter().flatten().chain(table.vectors) {
            if !fields.iter().any(|(name, _)| *name == entry.name) {
                faults.push(FieldFault::Missing { field: entry.name, format });
            }
        }
        for belongs in table.groups {
            let mut first: Option<(&str, &VectorRef<'_>)> = None;
            for (name, field) in fields {
                let FieldRef::Vector(vector) = field else { continue };
                match first {
                    _ if !belongs(name) => {}
                    None => first = Some((name, vector)),
                    Some((first, other)) if other.shape != vector.shape => faults.push(FieldFault::Shapes {
                        first: first.to_owned(),
                        first_shape: other.shape.clone(),
                        second: (*name).to_owned(),
                        second_shape: vector.shape.clone(),
                    }),
                    Some(_) => {}
                }
            }
        }
        faults
    }
}

const RADAR_SCALARS: &[Entry] = &[
    e("radar.revision.major", K::Char),
    e("radar.revision.minor", K::Char),
    e("origin.code", K::Char),
    e("origin.time", K::Text),
    e("origin.command", K::Text),
    e("cp", K::Short),
    e("stid", K::Short),
    e("time.yr", K::Short),
    e("time.mo", K::Short),
    e("time.dy", K::Short),
    e("time.hr", K::Short),
    e("time.mt", K::Short),
    e("time.sc", K::Short),
    e("time.us", K::Int),
    e("txpow", K::Short),
    e("nave", K::Short),
    e("atten", K::Short),
    e("lagfr", K::Short),
    e("smsep", K::Short),
    e("ercod", K::Short),
    e("stat.agc", K::Short),
    e("stat.lopwr", K::Short),
    e("noise.search", K::Float),
    e("noise.mean", K::Float),
    e("channel", K::Short),
    e("bmnum", K::Short),
    e("bmazm", K::Float),
    e("scan", K::Short),
    e("offset", K::Short),
    e("rxrise", K::Short),
    e("intt.sc", K::Short),
    e("intt.us", K::Int),
    e("txpl", K::Short),
    e("mpinc", K::Short),
    e("mppul", K::Short),
    e("mplgs", K::Short),
    e("nrang", K::Short),
    e("frang", K::Short),
    e("rsep", K::Short),
    e("xcf", K::Short),
    e("tfreq", K::Short),
    e("mxpwr", K::Int),
    e("lvmax", K::Int),
];

const PERIOD_SCALARS: &[Entry] = &[
    e("start.year", K::Short),
    e("start.month", K::Short),
    e("start.day", K::Short),
    e("start.hour", K::Short),
    e("start.minute", K::Short),
    e("start.second", K::Double),
    e("end.year", K::Short),
    e("end.month", K::Short),
    e("end.day", K::Short),
    e("end.hour", K::Short),
    e("end.minute", K::Short),
    e("end.second", K::Double),
];

const STATION_VECTORS: &[Entry] = &[
    e("stid", K::Short),
    e("channel", K::Short),
    e("nvec", K::Short),
    e("freq", K::Float),
    e("major.revision", K::Short),
    e("minor.revision", K::Short),
    e("program.id", K::Short),
    e("noise.mean", K::Float),
    e("noise.sd", K::Float),
    e("gsct", K::Short),
    e("v.min", K::Float),
    e("v.max", K::Float),
    e("p.min", K::Float),
    e("p.max", K::Float),
    e("w.min", K::Float),
    e("w.max", K::Float),
    e("ve.min", K::Float),
    e("ve.max", K::Float),
];

const RAWACF_SCALARS: &[Entry] =
    &[e("rawacf.revision.major", K::Int), e("rawacf.revision.minor", K::Int), e("combf", K::Text), e("thr", K::Float)];

const RAWACF_OPTIONAL_SCALARS: &[Entry] = &[e("mplgexs", K::Short), e("ifmode", K::Short), e("widetx", K::Short)];

const RAWACF_VECTORS: &[Entry] =
    &[e("ptab", K::Short), e("ltab", K::Short), e("pwr0", K::Float), e("slist", K::Short), e("acfd", K::Float)];

const RAWACF_OPTIONAL_VECTORS: &[Entry] = &[e("xcfd", K::Float)];

const IQDAT_SCALARS: &[Entry] = &[
    e("combf", K::Text),
    e("iqdata.revision.major", K::Int),
    e("iqdata.revision.minor", K::Int),
    e("seqnum", K::Int),
    e("chnnum", K::Int),
    e("smpnum", K::Int),
    e("skpnum", K::Int),
];

const IQDAT_OPTIONAL_SCALARS: &[Entry] = &[e("mplgexs", K::Short), e("ifmode", K::Short), e("widetx", K::Short)];

const IQDAT_VECTORS: &[Entry] = &[
    e("ptab", K::Short),
    e("ltab", K::Short),
    e("tsc", K::Int),
    e("tus", K::Int),
    e("tatten", K::Short),
    e("tnoise", K::Float),
    e("toff", K::Int),
    e("tsze", K::Int),
    e("data", K::Short),
];

const FITACF_SCALARS: &[Entry] = &[
    e("fitacf.revision.major", K::Int),
    e("fitacf.revision.minor", K::Int),
    e("combf", K::Text),
    e("noise.sky", K::Float),
    e("noise.lag0", K::Float),
    e("noise.vel", K::Float),
];

const FITACF_OPTIONAL_SCALARS: &[Entry] = &[
    e("mplgexs", K::Short),
    e("ifmode", K::Short),
    e("widetx", K::Short),
    e("algorithm", K::Text),
    e("tdiff", K::Float),
];

const FITACF_VECTORS: &[Entry] = &[e("ptab", K::Short), e("ltab", K::Short), e("pwr0", K::Float)];

const FITACF_OPTIONAL_VECTORS: &[Entry] = &[
    e("slist", K::Short),
    e("nlag", K::Short),
    e("qflg", K::Char),
    e("gflg", K::Char),
    e("p_l", K::Float),
    e("p_l_e", K::Float),
    e("p_s", K::Float),
    e("p_s_e", K::Float),
    e("v", K::Float),
    e("v_e", K::Float),
    e("w_l", K::Float),
    e("w_l_e", K::Float),
    e("w_s", K::Float),
    e("w_s_e", K::Float),
    e("sd_l", K::Float),
    e("sd_s", K::Float),
    e("sd_phi", K::Float),
    e("x_qflg", K::Char),
    e("x_gflg", K::Char),
    e("x_p_l", K::Float),
    e("x_p_l_e", K::Float),
    e("x_p_s", K::Float),
    e("x_p_s_e", K::Float),
    e("x_v", K::Float),
    e("x_v_e", K::Float),
    e("x_w_l", K::Float),
    e("x_w_l_e", K::Float),
    e("x_w_s", K::Float),
    e("x_w_s_e", K::Float),
    e("phi0", K::Float),
    e("phi0_e", K::Float),
    e("elv", K::Float),
    e("elv_fitted", K::Float),
    e("elv_error", K::Float),
    e("elv_low", K::Float),
    e("elv_high", K::Float),
    e("x_sd_l", K::Float),
    e("x_sd_s", K::Float),
    e("x_sd_phi", K::Float),
];

const SND_SCALARS: &[Entry] = &[
    e("radar.revision.major", K::Char),
    e("radar.revision.minor", K::Char),
    e("origin.code", K::Char),
    e("origin.time", K::Text),
    e("origin.command", K::Text),
    e("cp", K::Short),
    e("stid", K::Short),
    e("time.yr", K::Short),
    e("time.mo", K::Short),
    e("time.dy", K::Short),
    e("time.hr", K::Short),
    e("time.mt", K::Short),
    e("time.sc", K::Short),
    e("time.us", K::Int),
    e("nave", K::Short),
    e("lagfr", K::Short),
    e("smsep", K::Short),
    e("noise.search", K::Float),
    e("noise.mean", K::Float),
    e("channel", K::Short),
    e("bmnum", K::Short),
    e("bmazm", K::Float),
    e("scan", K::Short),
    e("rxrise", K::Short),
    e("intt.sc", K::Short),
    e("intt.us", K::Int),
    e("nrang", K::Short),
    e("frang", K::Short),
    e("rsep", K::Short),
    e("xcf", K::Short),
    e("tfreq", K::Short),
    e("noise.sky", K::Float),
    e("combf", K::Text),
    e("fitacf.revision.major", K::Int),
    e("fitacf.revision.minor", K::Int),
    e("snd.revision.major", K::Short),
    e("snd.revision.minor", K::Short),
];

const SND_OPTIONAL_SCALARS: &[Entry] = &[e("widetx", K::Short)];

const SND_OPTIONAL_VECTORS: &[Entry] = &[
    e("slist", K::Short),
    e("qflg", K::Char),
    e("gflg", K::Char),
    e("v", K::Float),
    e("v_e", K::Float),
    e("p_l", K::Float),
    e("w_l", K::Float),
    e("x_qflg", K::Char),
    e("phi0", K::Float),
    e("phi0_e", K::Float),
];

const GRID_OPTIONAL_VECTORS: &[Entry] = &[
    e("vector.mlat", K::Float),
    e("vector.mlon", K::Float),
    e("vector.kvect", K::Float),
    e("vector.stid", K::Short),
    e("vector.channel", K::Short),
    e("vector.index", K::Int),
    e("vector.vel.median", K::Float),
    e("vector.vel.sd", K::Float),
    e("vector.pwr.median", K::Float),
    e("vector.pwr.sd", K::Float),
    e("vector.wdt.median", K::Float),
    e("vector.wdt.sd", K::Float),
    e("vector.srng", K::Float),
];

const MAP_SCALARS: &[Entry] = &[
    e("map.major.revision", K::Short),
    e("map.minor.revision", K::Short),
    e("doping.level", K::Short),
    e("model.wt", K::Short),
    e("error.wt", K::Short),
    e("IMF.flag", K::Short),
    e("hemisphere", K::Short),
    e("fit.order", K::Short),
    e("latmin", K::Float),
    e("chi.sqr", K::Double),
    e("chi.sqr.dat", K::Double),
    e("rms.err", K::Double),
    e("lon.shft", K::Float),
    e("lat.shft", K::Float),
    e("mlt.start", K::Double),
    e("mlt.end", K::Double),
    e("mlt.av", K::Double),
    e("pot.drop", K::Double),
    e("pot.drop.err", K::Double),
    e("pot.max", K::Double),
    e("pot.max.err", K::Double),
    e("pot.min", K::Double),
    e("pot.min.err", K::Double),
];

const MAP_OPTIONAL_SCALARS: &[Entry] = &[
    e("source", K::Text),
    e("IMF.delay", K::Short),
    e("IMF.Bx", K::Double),
    e("IMF.By", K::Double),
    e("IMF.Bz", K::Double),
    e("IMF.Vx", K::Double),
    e("IMF.tilt", K::Double),
    e("IMF.Kp", K::Double),
    e("model.angle", K::Text),
    e("model.level", K::Text),
    e("model.tilt", K::Text),
    e("model.name", K::Text),
    e("noigrf", K::Short),
];

const MAP_OPTIONAL_VECTORS: &[Entry] = &[
    e("vector.mlat", K::Float),
    e("vector.mlon", K::Float),
    e("vector.kvect", K::Float),
    e("vector.stid", K::Short),
    e("vector.channel", K::Short),
    e("vector.index", K::Int),
    e("vector.srng", K::Float),
    e("vector.vel.median", K::Float),
    e("vector.vel.sd", K::Float),
    e("vector.pwr.median", K::Float),
    e("vector.pwr.sd", K::Float),
    e("vector.wdt.median", K::Float),
    e("vector.wdt.sd", K::Float),
    e("N", K::Double),
    e("N+1", K::Double),
    e("N+2", K::Double),
    e("N+3", K::Double),
    e("model.mlat", K::Float),
    e("model.mlon", K::Float),
    e("model.kvect", K::Float),
    e("model.vel.median", K::Float),
    e("boundary.mlat", K::Float),
    e("boundary.mlon", K::Float),
];
