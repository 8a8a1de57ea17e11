use std::path::Path;

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn no_tables() -> BTreeMap<String, Table> {
    BTreeMap::new()
}

fn run_dirs() -> BTreeMap<String, Table> {
    let rows = [("815000000..875000000".to_owned(), Value::from("S5")), ("875000000..".to_owned(), Value::from("A5"))];
    BTreeMap::from([("run_dir".to_owned(), Table::parse(&rows).unwrap())])
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text, &mut BTreeMap::new()).unwrap()
}

fn read(pattern: &Pattern, path: &str) -> Result<Fields, NoMatch> {
    let tables = run_dirs();
    pattern.matches(&RelPath::from_text(path), &PatternEnv { tables: &tables })
}

fn write(pattern: &Pattern, fields: &Fields) -> Result<String, FormatError> {
    let tables = run_dirs();
    pattern.format(fields, &PatternEnv { tables: &tables }, None).map(|path| path.as_str().to_owned())
}

/// `a=1;b='x';t=@2024-01-01T00:00:00Z` as fields.
fn fields(text: &str) -> Fields {
    text.split(';')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap();
            let value = match value.chars().next() {
                Some('\'') => Value::from(value.trim_matches('\'')),
                Some('@') => Value::Time(value[1..].parse().unwrap()),
                _ => Value::Int(value.parse().unwrap()),
            };
            (name.to_owned(), value)
        })
        .collect()
}

const BOREALIS: &str = "{time:%Y%m%d}/{time:%Y%m%d.%H%M.%S}.{site:[a-z]{3}}.{slice:int}.{kind:rawacf|antennas_iq}.h5";
const DMAP: &str = "{time:%Y%m%d.%H%M.%S}.{site:[a-z]{3}}.{slice:letter}.rawacf.bz2";
const IQ_PLOT: &str = "daily_plots/{time:%Y%m%d.%H%M.%S}.{site:[a-z]{3}}.{slice:int}.antennas_iq.antenna_{antenna:int}_{first:int}_{last:int}.jpg";
const DMT: &str = "dmt/L{site:H|L}O/New_Seis_Blrms/{site}-M-{gps/1e6}/{site}-Seis_Blrms_M-{gps:gps}-{dur:int}.gwf";
const RAW: &str = "{run_dir(gps)}/L0/L{site:H|L}O/{site}-R-{gps/1e5}/{site}-R-{gps:gps}-{dur:int}.gwf";
const LB: &str = "fits/LB/{rest:path}/solo_LB_stix-{type}_{obt:since(2000-01-01, 10)}_V{version:int(2)}{u:U|}.fits";
const L0: &str = "fits/L0/{rest:path}/solo_L0_stix-{name}_{when}_V{version:int(2)}{u:U|}.fits";

#[rstest]
#[case::borealis(
    BOREALIS,
    "20221018/20221018.1200.00.sas.1.rawacf.h5",
    "kind='rawacf';site='sas';slice=1;time=@2022-10-18T12:00:00Z"
)]
#[case::dmap(DMAP, "20231004.1400.00.pgr.b.rawacf.bz2", "site='pgr';slice=1;time=@2023-10-04T14:00:00Z")]
#[case::special(
    "special_experiments/{time:%Y/%m}/{time:%Y%m%d.%H%M.%S}.{site:[a-z]{3}}.{slice:letter}.rawacf.bz2",
    "special_experiments/2023/10/20231004.1400.00.pgr.z.rawacf.bz2",
    "site='pgr';slice=25;time=@2023-10-04T14:00:00Z"
)]
#[case::plot(
    IQ_PLOT,
    "daily_plots/20240101.0000.00.sas.0.antennas_iq.antenna_3_0_70.jpg",
    "antenna=3;first=0;last=70;site='sas';slice=0;time=@2024-01-01T00:00:00Z"
)]
#[case::isfs_local(
    "raw_data/{dsm}_{time:%Y%m%d_%H%M%S}.dat",
    "raw_data/tse04_20170315_000000.dat",
    "dsm='tse04';time=@2017-03-15T00:00:00Z"
)]
#[case::isfs_network(
    "raw_data/isfs_{time:%Y%m%d_%H%M%S}.dat.bz2",
    "raw_data/isfs_20170315_040000.dat.bz2",
    "time=@2017-03-15T04:00:00Z"
)]
#[case::isfs_stats(
    "netcdf/{dataset}/isfs_{time:%Y%m%d}.nc",
    "netcdf/noqc_instrument/isfs_20170315.nc",
    "dataset='noqc_instrument';time=@2017-03-15T00:00:00Z"
)]
#[case::trend_in(
    "trend/minute-trend/L{site:H|L}O/{site}-M-{gps/1e7}/{site}-M-{gps:gps}-{dur:int}.gwf",
    "trend/minute-trend/LHO/H-M-89/H-M-899164800-3600.gwf",
    "dur=3600;gps=899164800;site='H'"
)]
#[case::dmt(DMT, "dmt/LHO/New_Seis_Blrms/H-M-899/H-Seis_Blrms_M-899164800-3600.gwf", "dur=3600;gps=899164800;site='H'")]
#[case::rds(
    "trend/minute-trend/L{site:H|L}O/{site}-M-{gps/1e6}/{site}-M-{gps:gps}-3600.gwf",
    "trend/minute-trend/LHO/H-M-899/H-M-899164800-3600.gwf",
    "gps=899164800;site='H'"
)]
#[case::raw(RAW, "A5/L0/LLO/L-R-8991/L-R-899164800-32.gwf", "dur=32;gps=899164800;site='L'")]
#[case::raw_before(RAW, "S5/L0/LLO/L-R-8749/L-R-874999984-32.gwf", "dur=32;gps=874999984;site='L'")]
#[case::ten_minutes(
    "trend/ten-minute-trend/L{site}O/{site}-D-{gps/1e6}/{site}-D-{gps:gps}-43200.gwf",
    "trend/ten-minute-trend/LHO/H-D-899/H-D-899164800-43200.gwf",
    "gps=899164800;site='H'"
)]
#[case::stix_tm(
    "tm/{name}PktTmRaw{rest}.xml",
    "tm/BatchRequest.PktTmRaw.SOL.0.2021.xml",
    "name='BatchRequest.';rest='.SOL.0.2021'"
)]
#[case::stix_lb(
    LB,
    "fits/LB/21/6/20/solo_LB_stix-21-6-20_0678153600_V01.fits",
    "obt=678153600;rest='21/6/20';type='21-6-20';u='';version=1"
)]
#[case::stix_u(
    LB,
    "fits/LB/21/solo_LB_stix-21-6-20_0678153600_V02U.fits",
    "obt=678153600;rest='21';type='21-6-20';u='U';version=2"
)]
#[case::stix_l0(
    L0,
    "fits/L0/2021/06/28/TM/solo_L0_stix-hk-maxi_20210628_V01U.fits",
    "name='hk-maxi';rest='2021/06/28/TM';u='U';version=1;when='20210628'"
)]
#[case::folder(
    "buf{n:int}/{stamp}-{block}/",
    "buf0/20240101T000000Z-BLOCK-1",
    "block='BLOCK-1';n=0;stamp='20240101T000000Z'"
)]
#[case::width("{n:int(3)}.dat", "007.dat", "n=7")]
#[case::zero("{n:int}.dat", "0.dat", "n=0")]
#[case::with_option("{a}[_{n:int}].dat", "x_12.dat", "a='x';n=12")]
#[case::without_option("{a}[_{n:int}].dat", "x.dat", "a='x'")]
#[case::option_in_folder("{a}/[{b:int}/]c.dat", "x/c.dat", "a='x'")]
#[case::option_in_folder_set("{a}/[{b:int}/]c.dat", "x/3/c.dat", "a='x';b=3")]
#[case::other_networks(
    "{time:%Y%m%d.%H%M.%S}.{site:[a-z]{3}}[.{slice:letter}].rawacf.bz2",
    "20060916.0200.11.han.rawacf.bz2",
    "site='han';time=@2006-09-16T02:00:11Z"
)]
#[case::literal_braces("a{{b}}[[c]]{n}.dat", "a{b}[c]x.dat", "n='x'")]
#[case::regex_with_brackets("{x:[a-z]{2}[0-9]{1,2}}.dat", "ab12.dat", "x='ab12'")]
#[case::newline("{name}.dat", "new\nline.dat", "name='new\nline'")]
#[case::backslash("a\\b{name}.dat", "a\\\\bx.dat", "name='x'")]
#[case::day_of_year("{t:%Y-%j}.dat", "2024-366.dat", "t=@2024-12-31T00:00:00Z")]
#[case::short_year("{t:%y%m%d}.dat", "990102.dat", "t=@1999-01-02T00:00:00Z")]
#[case::fraction("{t:%Y%m%dT%H%M%S_%f}.dat", "20240102T030405_000678.dat", "t=@2024-01-02T03:04:05.000678Z")]
#[case::milliseconds("{t:%FT%T.%3f}.dat", "2024-01-02T03:04:05.678.dat", "t=@2024-01-02T03:04:05.678Z")]
#[case::seconds_of_1970("{t:%s}.dat", "1704067200.dat", "t=@2024-01-01T00:00:00Z")]
#[case::unix("{t:unix}.dat", "1704067200.dat", "t=1704067200")]
#[case::date("{date(gps, \"%Y/%m\")}/{gps:gps}.gwf", "2008/07/899164814.gwf", "gps=899164814")]
#[case::letter_of("{letter(slice)}/{slice:int}.h5", "b/1.h5", "slice=1")]
#[case::number_of("{number(c)}/{c:[a-z]}.h5", "1/b.h5", "c='b'")]
#[case::arithmetic("{(gps - gps % 3600) / 100 + 1 * 2}/{gps:gps}", "8991650/899164814", "gps=899164814")]
#[case::shortest("{a}-{b}", "x-y-z", "a='x';b='y-z'")]
#[case::same_twice("{a}-{a}", "x-x", "a='x'")]
fn a_path_is_read_and_written(#[case] text: &str, #[case] path: &str, #[case] expected: &str) {
    let pattern = pattern(text);
    let found = read(&pattern, path).unwrap();
    assert_eq!(found, fields(expected));
    assert_eq!(write(&pattern, &found).unwrap(), path);
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    assert!(pattern.folder_may_match(folder), "{folder}");
    let env = run_dirs();
    let formed = pattern.folder_for(&found, &PatternEnv { tables: &env });
    assert!(path.starts_with(&formed), "{formed}");
}

#[rstest]
#[case::other_kind(BOREALIS, "20221018/20221018.1200.00.sas.1.bfiq.h5", "Other")]
#[case::upper_case(BOREALIS, "20231004/20231004.1400.00.PGR.1.rawacf.h5", "Other")]
#[case::not_a_file(BOREALIS, "notafile.txt", "Other")]
#[case::folder_of_another_day(BOREALIS, "20221019/20221018.1200.00.sas.1.rawacf.h5", "{time:%Y%m%d.%H%M.%S}")]
#[case::no_month(BOREALIS, "20221318/20221318.1200.00.sas.1.rawacf.h5", "time")]
#[case::no_leap_day("{t:%Y%m%d}", "20230229", "t")]
#[case::no_second("{t:%Y%m%d%H%M%S}", "20161231235960", "t")]
#[case::no_day_of_year("{t:%Y%j}", "2023366", "t")]
#[case::zeros("{n:int}.dat", "007.dat", "n")]
#[case::too_large("{n:int}.dat", "99999999999999999999.dat", "n")]
#[case::width("{n:int(3)}.dat", "0007.dat", "Other")]
#[case::block(DMT, "dmt/LHO/New_Seis_Blrms/H-M-898/H-Seis_Blrms_M-899164800-3600.gwf", "{gps/1e6}")]
#[case::two_sites(DMT, "dmt/LLO/New_Seis_Blrms/H-M-899/H-Seis_Blrms_M-899164800-3600.gwf", "the second {site}")]
#[case::run_dir(RAW, "S5/L0/LLO/L-R-8991/L-R-899164800-32.gwf", "{run_dir(gps)}")]
#[case::no_run(RAW, "S5/L0/LLO/L-R-1/L-R-100000-32.gwf", "{run_dir(gps)}")]
#[case::crosses("{a}.dat", "x/y.dat", "Other")]
#[case::regex_crosses("{a:.+}.dat", "x/y.dat", "Other")]
#[case::empty("{a}.dat", ".dat", "Other")]
#[case::letter("{a:letter}.dat", "A.dat", "Other")]
#[case::beyond_time("{t:unix}.dat", "999999999999999.dat", "t")]
fn another_path_is_refused(#[case] text: &str, #[case] path: &str, #[case] expected: &str) {
    let why = match read(&pattern(text), path).unwrap_err() {
        NoMatch::Other => "Other".to_owned(),
        NoMatch::Derived { part, .. } => part,
        NoMatch::BadValue { field, .. } => field,
    };
    assert_eq!(why, expected);
}

#[test]
fn a_derived_part_says_what_it_should_be() {
    let error = read(&pattern(DMT), "dmt/LHO/New_Seis_Blrms/H-M-898/H-Seis_Blrms_M-899164800-3600.gwf").unwrap_err();
    assert_eq!(
        error,
        NoMatch::Derived { part: "{gps/1e6}".to_owned(), expected: "899".to_owned(), found: "898".to_owned() }
    );
}

#[rstest]
#[case::letter("{n:letter}.dat", "n=26", "from 0 to 25")]
#[case::missing("{a}.{b}", "a='x'", "`b` is not set")]
#[case::slash("{a}.dat", "a='x/y'", "no `/`")]
#[case::empty("{a}.dat", "a=''", "not empty")]
#[case::ambiguous("{a}-{b}", "a='x-y';b='z'", "read back with `a` = `x` instead of `x-y`")]
#[case::parent("{a}/b", "a='..'", "inside the station")]
#[case::parent_in_path("{a:path}/b", "a='x/../y'", "inside the station")]
#[case::choice("{k:a|b}.dat", "k='c'", "one of \"a\", \"b\"")]
#[case::regex("{k:[a-z]{3}}.dat", "k='ABC'", "would not be read back")]
#[case::wide("{n:int(2)}.dat", "n=100", "at most 2 digits")]
#[case::negative("{n:int}.dat", "n=-1", "not negative")]
#[case::text_for_number("{n:int}.dat", "n='7'", "a whole number")]
#[case::number_for_text("{n}.dat", "n=7", "text")]
#[case::table(RAW, "gps=5;site='H';dur=32", "no row for 5")]
#[case::division("{n/m}/{n:int}/{m:int}", "n=5;m=0", "division by zero")]
#[case::half_an_option("{a}[_{b}_{c}].dat", "a='x';b='y'", "read back with `b` = unset")]
#[case::century("{t:%y%m%d}", "t=@1950-01-01T00:00:00Z", "1969 to 2068")]
fn fields_that_no_path_can_say_are_refused(#[case] text: &str, #[case] given: &str, #[case] expected: &str) {
    let error = write(&pattern(text), &fields(given)).unwrap_err();
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn a_time_may_stand_for_its_count_of_seconds() {
    let at = fields("gps=@2008-07-04T00:00:00Z");
    assert_eq!(
        write(&pattern("{gps/1e6}/{gps:gps}.gwf").clone(), &fields("gps=899164814")).unwrap(),
        "899/899164814.gwf"
    );
    assert_eq!(write(&pattern("{gps:gps}.gwf"), &at).unwrap(), "899164814.gwf");
    assert_eq!(write(&pattern("{gps:unix}.gwf"), &at).unwrap(), "1215129600.gwf");
}

#[test]
fn a_choice_that_may_be_nothing_is_nothing_when_unknown() {
    assert_eq!(write(&pattern("a{u:U|}.fits"), &Fields::new()).unwrap(), "a.fits");
}

#[rstest]
#[case("", 0..0, "empty")]
#[case("/a", 0..1, "relative")]
#[case("a//b", 1..3, "no name between")]
#[case("{a", 0..1, "not closed")]
#[case("a}", 1..2, "closes nothing")]
#[case("[{a}", 0..1, "not closed")]
#[case("[a]", 0..3, "at least one field")]
#[case("[{a}[{b}]]", 4..5, "")]
#[case("{}", 0..2, "no name")]
#[case("{:int}", 0..6, "no name")]
#[case("{n:integer}", 3..10, "no type")]
#[case("{n:itn}", 3..6, "no type")]
#[case("{n:interger}", 3..11, "no type")]
#[case("{n:int(0)}", 3..9, "digits")]
#[case("{n:[a-}", 3..6, "regular expression")]
#[case("{t:%Y%q}", 5..7, "no part of a time")]
#[case("{t:%m%d}", 0..8, "no year")]
#[case("{gps/1e6}", 0..9, "cannot be read back")]
#[case("{a/}/{a:int}", 3..3, "expected")]
#[case("{a?}/{a:int}", 2..3, "does not belong")]
#[case("{date(a)}/{a:unix}", 1..8, "how to write")]
#[case("{a:int}-{a:letter}", 11..17, "elsewhere")]
#[case("{t:since(x)}", 3..11, "ISO 8601")]
#[case("{k:a|a}", 3..6, "twice")]
#[case("{file:int}", 0..10, "no type")]
fn mistakes_are_shown_in_place(#[case] text: &str, #[case] span: Range<usize>, #[case] message: &str) {
    let errors = Pattern::parse(text, &mut BTreeMap::new()).unwrap_err();
    assert!(errors.iter().any(|error| error.span == span && error.message.contains(message)), "{errors:?}");
}

#[test]
fn all_mistakes_are_found_at_once() {
    let errors = Pattern::parse("{n:integer}/{t:%q}/{}/{x:int", &mut BTreeMap::new()).unwrap_err();
    assert_eq!(errors.len(), 4, "{errors:?}");
}

#[test]
fn a_type_given_once_holds_everywhere() {
    let mut types = BTreeMap::new();
    let main = Pattern::parse(BOREALIS, &mut types).unwrap();
    let site = Pattern::parse("{kind}_array/{file}", &mut types).unwrap();
    let month = Pattern::parse("raw/{time:%Y/%m}/{file}", &mut types).unwrap();
    let back = Pattern::parse("x/{time}.{slice}.h5", &mut types).unwrap();
    assert_eq!(site.base_fields()[0].kind, FieldType::Choice(vec!["rawacf".to_owned(), "antennas_iq".to_owned()]));
    assert!(site.uses_file_name() && !main.uses_file_name());
    let path = "20221018/20221018.1200.00.sas.1.rawacf.h5";
    let found = read(&main, path).unwrap();
    let tables = no_tables();
    let env = PatternEnv { tables: &tables };
    let name = Some("20221018.1200.00.sas.1.rawacf.h5");
    assert_eq!(site.format(&found, &env, name).unwrap().as_str(), "rawacf_array/20221018.1200.00.sas.1.rawacf.h5");
    assert_eq!(month.format(&found, &env, name).unwrap().as_str(), "raw/2022/10/20221018.1200.00.sas.1.rawacf.h5");
    assert_eq!(site.format(&found, &env, None), Err(FormatError::NoFile { pattern: "{kind}_array/{file}".to_owned() }));
    assert!(site.format(&found, &env, Some("../x")).is_err());
    assert_eq!(back.format(&found, &env, None).unwrap().as_str(), "x/20221018.1200.00.1.h5");
    assert_eq!(read(&site, "antennas_iq_array/anything").unwrap(), fields("kind='antennas_iq'"));
    assert_eq!(
        main.base_fields().iter().map(|field| field.name.as_str()).collect::<Vec<_>>(),
        ["time", "site", "slice", "kind"]
    );
    assert_eq!(main.time_field().unwrap().kind, FieldType::Time { format: "%Y%m%d.%H%M.%S".to_owned() });
}

#[test]
fn a_pattern_tells_what_it_uses() {
    let raw = pattern(RAW);
    assert_eq!(raw.tables(), ["run_dir"]);
    assert_eq!(raw.uses().into_iter().collect::<Vec<_>>(), ["dur", "gps", "site"]);
    assert_eq!(raw.as_str(), RAW);
    assert!(pattern("a/{b}/").is_folder());
    assert!(pattern("{a}[_{b}]").base_fields()[1].optional);
}

#[rstest]
#[case(BOREALIS, "", "20221018", Some(2))]
#[case(DMT, "dmt", "dmt/LHO/New_Seis_Blrms/H-M-899", Some(5))]
#[case(RAW, "", "A5/L0/LHO/H-R-8991", Some(5))]
#[case(LB, "fits/LB", "fits/LB/a/b", None)]
#[case("raw_data/{dsm}_{time:%Y%m%d_%H%M%S}.dat", "raw_data", "raw_data", Some(2))]
#[case("raw/{time:%Y/%m}/{name}", "raw", "raw/2022/10", Some(4))]
#[case("raw/[{dsm}/]x", "raw", "raw", Some(3))]
#[case("x.dat", "", "", Some(1))]
#[case("raw/{site}/{file}", "raw", "raw/H", Some(3))]
fn folders_are_formed_as_far_as_known(
    #[case] text: &str,
    #[case] fixed: &str,
    #[case] known: &str,
    #[case] depth: Option<usize>,
) {
    let tables = run_dirs();
    let pattern = pattern(text);
    let given = fields("gps=899164800;site='H';time=@2022-10-18T12:00:00Z;rest='a/b'");
    assert_eq!(pattern.fixed_folder(), fixed);
    assert_eq!(pattern.folder_for(&given, &PatternEnv { tables: &tables }), known);
    assert_eq!(pattern.depth_limit(), depth);
}

#[rstest]
#[case(BOREALIS, "", true)]
#[case(BOREALIS, "20221018", true)]
#[case(BOREALIS, "quarantine", false)]
#[case(BOREALIS, "20221018/deeper", false)]
#[case(DMT, "dmt/LHO", true)]
#[case(DMT, "dmt/LXO", false)]
#[case(DMT, "trend", false)]
#[case(LB, "fits/LB/any/depth/at/all", true)]
#[case(LB, "fits/L0", false)]
#[case("raw/{time:%Y/%m}/{name}", "raw/2024/13", true)]
#[case("raw/{time:%Y/%m}/{name}", "raw/2024/january", false)]
#[case("raw/[{dsm}/]x", "raw/tse04", true)]
fn folders_that_cannot_match_are_pruned(#[case] text: &str, #[case] folder: &str, #[case] expected: bool) {
    assert_eq!(pattern(text).folder_may_match(folder), expected);
}

#[rstest]
#[case::same(BOREALIS, BOREALIS, true)]
#[case::wildcard("{name}.bz2", DMAP, true)]
#[case::apart(BOREALIS, DMAP, false)]
#[case::crossing("{a}.rawacf.{b}", "{x}_data.{y}", true)]
#[case::suffixes("{a}.h5", "{a}.hdf5", false)]
#[case::trend_and_rds("t/{site:H|L}-M-{gps:gps}-{dur:int}.gwf", "t/{site:H|L}-M-{gps:gps}-3600.gwf", true)]
#[case::other_choice("{k:a|b}.dat", "{k:b|c}.dat", true)]
#[case::no_choice("{k:a|b}.dat", "{k:c|d}.dat", false)]
#[case::isfs("raw_data/{dsm}_{time:%Y%m%d_%H%M%S}.dat", "raw_data/isfs_{time:%Y%m%d_%H%M%S}.dat", true)]
#[case::isfs_bz2("raw_data/{dsm}_{time:%Y%m%d_%H%M%S}.dat", "raw_data/isfs_{time:%Y%m%d_%H%M%S}.dat.bz2", false)]
#[case::option("{a:[0-9]+}[x{b:[0-9]}].dat", "{n:int}x7.dat", true)]
#[case::deep("fits/{rest:path}/x.fits", "fits/L0/{d:int}/{n}.fits", true)]
#[case::folder_and_file("a/{b}/", "a/{b}", false)]
#[case::regexes("{a:[a-z]+[0-9]{2}}.x", "{b:\\w\\d+}.x", true)]
fn overlaps_are_found_with_an_example(#[case] one: &str, #[case] other: &str, #[case] expected: bool) {
    let (one, other) = (pattern(one), pattern(other));
    let example = one.overlap_example(&other);
    assert_eq!(example.is_some(), expected, "{example:?}");
    assert_eq!(other.overlap_example(&one).is_some(), expected);
    if let Some(example) = example {
        assert!(read(&one, &example).is_ok() && read(&other, &example).is_ok(), "{example}");
    }
}

#[rstest]
fn examples_match(
    #[values(BOREALIS, DMAP, IQ_PLOT, DMT, LB, L0, "buf{n:int}/{stamp}-{block}/", "{a}[_{n:int}].dat")] text: &str,
) {
    let pattern = pattern(text);
    let found = pattern.examples(5);
    assert_eq!(found.len(), 5, "{found:?}");
    for path in found {
        read(&pattern, &path).unwrap_or_else(|no| panic!("{path}: {no}"));
    }
}

#[rstest]
#[case(&[], "no rows")]
#[case(&["5..5"], "empty")]
#[case(&["a..b"], "neither")]
#[case(&["5"], "FROM..TO")]
#[case(&["1..10", "9..20"], "overlap")]
#[case(&["1..", "20.."], "overlap")]
#[case(&["..5", "..2"], "overlap")]
#[case(&["..", "1..2"], "overlap")]
#[case(&["1..2", "2020-01-01.."], "same kind")]
fn wrong_tables_are_refused(#[case] rows: &[&str], #[case] expected: &str) {
    let rows: Vec<_> = rows.iter().map(|row| ((*row).to_owned(), Value::Int(1))).collect();
    let error = Table::parse(&rows).unwrap_err();
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn tables_know_numbers_and_times() {
    let tables = run_dirs();
    let runs = &tables["run_dir"];
    for (key, expected) in [
        (814_999_999, None),
        (815_000_000, Some("S5")),
        (874_999_999, Some("S5")),
        (875_000_000, Some("A5")),
        (i64::MAX, Some("A5")),
        (i64::MIN, None),
    ] {
        assert_eq!(runs.lookup(&Value::Int(key)), expected.map(Value::from).as_ref(), "{key}");
    }
    let rows =
        [("..2020-01-01".to_owned(), Value::from("old")), ("2020-01-01..2021-01-01".to_owned(), Value::from("new"))];
    let times = BTreeMap::from([("era".to_owned(), Table::parse(&rows).unwrap())]);
    let env = PatternEnv { tables: &times };
    let pattern = pattern("{era(gps)}/{gps:gps}");
    // 1261872018 is 2020-01-01T00:00:00Z: a time typed field is looked up by its time.
    for (gps, expected) in [(1_261_872_017, "old"), (1_261_872_018, "new")] {
        let given = Fields::from([("gps".to_owned(), Value::Int(gps))]);
        assert_eq!(pattern.format(&given, &env, None).unwrap().as_str(), format!("{expected}/{gps}"));
    }
}

#[test]
fn the_table_of_names_holds() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/superdarn/names.tsv");
    let Ok(table) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: superdarn/names.tsv not present");
        return;
    };
    let array = pattern(
        "{time:%Y%m%d.%H%M.%S}.{site:[a-z]{3}}.{slice:int}.{kind:rawacf|bfiq|antennas_iq}.{end:h5|hdf5|hdf5.site}",
    );
    let dmap = pattern("{time:%Y%m%d.%H%M.%S}.{site:[a-z]{3}}[.{channel:[a-z]}].rawacf.bz2");
    let letters = pattern(DMAP);
    let plot = pattern(IQ_PLOT.strip_prefix("daily_plots/").unwrap());
    let long_term = pattern("{site}_rawacf_dmap/{time:%Y/%m}/{file}");
    let direct = pattern("{time:%Y%m%d.%H%M.%S}.{site:[a-z]{3}}.{slice:letter}.rawacf");
    let mut types = BTreeMap::new();
    Pattern::parse(direct.as_str(), &mut types).unwrap();
    let long_term = Pattern::parse(long_term.as_str(), &mut types).unwrap();
    let mut rows = 0;
    for line in table.lines().skip(1) {
        let [input, action, expected] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let time = |found: &Fields| match found["time"] {
            Value::Time(at) => at.to_string(),
            _ => String::new(),
        };
        rows += 1;
        match action {
            "array_to_dmap_name" => {
                let out = read(&array, input).ok().and_then(|found| write(&letters, &found).ok());
                assert_eq!(out.as_deref().unwrap_or("error"), expected, "{line}");
            }
            "dmap_to_array_names" => {
                let mut found = read(&letters, input).unwrap();
                found.insert("kind".to_owned(), Value::from("rawacf"));
                let names: Vec<_> = ["hdf5", "h5"]
                    .iter()
                    .map(|end| {
                        found.insert("end".to_owned(), Value::from(*end));
                        write(&array, &found).unwrap()
                    })
                    .collect();
                assert_eq!(names.join("|"), expected, "{line}");
            }
            "parse" => {
                let found = read(&dmap, input).unwrap();
                let at: jiff::civil::DateTime = time(&found).trim_end_matches('Z').parse().unwrap();
                let channel = found.get("channel").map(Value::to_string).unwrap_or_default();
                let said = format!(
                    "year={} month={} day={} hour={} minute={} second={} radar={} type=rawacf channel={channel}",
                    at.year(),
                    at.month(),
                    at.day(),
                    at.hour(),
                    at.minute(),
                    at.second(),
                    found["site"]
                );
                assert_eq!(said, expected, "{line}");
            }
            "set_key" => {
                let found = read(&array, input).unwrap();
                assert_eq!(write(&pattern("{time:%Y%m%d.%H%M.%S}"), &found).unwrap(), expected, "{line}");
            }
            "plot_name antenna 3, samples 0..70" => {
                let mut found = read(&array, input).unwrap();
                found.extend(fields("antenna=3;first=0;last=70"));
                assert_eq!(write(&plot, &found).unwrap(), expected, "{line}");
            }
            "plot_time" => assert_eq!(time(&read(&plot, input).unwrap()), expected, "{line}"),
            "long_term_dir" => {
                let tables = no_tables();
                let folder = long_term.folder_for(&read(&direct, input).unwrap(), &PatternEnv { tables: &tables });
                assert_eq!(format!("{folder}/"), expected, "{line}");
            }
            "timestamp_check" => {
                let (name, mtime) = input.split_once(" with mtime ").unwrap_or((input, "2000-01-01T00:00:00Z"));
                let verdict = match read(&array, name) {
                    Err(_) => "invalid_name",
                    Ok(found) => {
                        let Value::Time(at) = found["time"] else { panic!("{line}") };
                        let mtime: Timestamp = mtime.parse().unwrap();
                        if mtime.duration_since(at).abs() <= jiff::SignedDuration::from_hours(24) {
                            "ok"
                        } else {
                            "out_of_range"
                        }
                    }
                };
                assert_eq!(verdict, expected, "{line}");
            }
            other => panic!("unknown action {other}"),
        }
    }
    assert_eq!(rows, 16);
}

#[test]
fn hostile_names_come_back() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/transfer/names.json");
    let Ok(names) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: transfer/names.json not present");
        return;
    };
    let names: Vec<serde_json::Value> = serde_json::from_str(&names).unwrap();
    let (plain, suffixed) = (pattern("in/{name}"), pattern("in/{name}.{end}"));
    assert!(!names.is_empty());
    for name in names {
        let bytes = decode_base64(name["b64"].as_str().unwrap());
        assert_eq!(bytes.len() as u64, name["len"].as_u64().unwrap());
        let path = RelPath::from_text("in").join(RelPath::from_bytes(&bytes).as_str());
        for pattern in [&plain, &suffixed] {
            if let Ok(found) = read(pattern, path.as_str()) {
                assert_eq!(write(pattern, &found).unwrap(), path.as_str());
            } else {
                assert!(
                    std::ptr::eq(pattern, &suffixed)
                        && !path.as_str().trim_end_matches('.').chars().skip(4).any(|c| c == '.'),
                    "{path}"
                );
            }
        }
    }
}

#[test]
fn the_names_of_stix_files_come_back() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/stix/expected/mixed/json");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: stix/expected/mixed/json not present");
        return;
    };
    let level_binary = pattern(
        "solo_LB_stix-{type}_{obt:since(2000-01-01, 10)}[-{until:int(10)}]_V{version:int(2)}{u:U|}[_{request:int(10)}-{sequence:int(5)}].json",
    );
    let mut count = 0;
    for name in entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("solo_LB_"))
    {
        let found = read(&level_binary, &name).unwrap_or_else(|no| panic!("{name}: {no}"));
        assert_eq!(write(&level_binary, &found).unwrap(), name);
        count += 1;
    }
    assert!(count > 0);
}

fn decode_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = text.bytes().filter_map(|c| DIGITS.iter().position(|digit| *digit == c));
    let (mut bytes, mut held, mut count) = (Vec::new(), 0_usize, 0);
    for six in bits {
        held = held << 6 | six;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(held >> count & 255).unwrap());
        }
    }
    bytes
}

#[test]
fn long_paths_cost_time_in_proportion() {
    // Many ways to cut a long name would take for ever if they were tried one after another.
    let pattern = pattern("{a}-{b}-{c}-{d}-{e}-{f}-{g}.dat");
    let name = format!("{}.txt.dat.x", "a-".repeat(2000));
    assert_eq!(read(&pattern, &name), Err(NoMatch::Other));
    assert!(read(&pattern, &format!("{}x.dat", "a-".repeat(2000))).is_ok());
}

proptest! {
    #[test]
    fn any_text_is_refused_or_compiled(text in "[a-c/.{}\\[\\]:%Y|()0-9+*\"\\\\]{0,24}") {
        if let Ok(pattern) = Pattern::parse(&text, &mut BTreeMap::new()) {
            let _ = (pattern.fixed_folder(), pattern.depth_limit(), pattern.folder_may_match("a/b"));
            for path in pattern.examples(2) {
                prop_assert!(pattern.uses_file_name() || read(&pattern, &path).is_ok() || !pattern.tables().is_empty());
            }
        }
    }

    #[test]
    fn what_is_read_is_written_again(path in "[a-c0-2_.-]{1,6}(/[a-c0-2_.-]{1,6}){0,2}", n in 0_usize..8) {
        let text = ["{a}", "{a}/{b}", "{a}_{n:int}", "{a}[_{n:int}].{b}", "{rest:path}/{a}.{b}", "{a:[a-c]+}{n:int(2)}{b}", "{l:letter}{b}", "{k:a|b|}{b}/{rest:path}"][n];
        let pattern = pattern(text);
        if let Ok(found) = read(&pattern, &path) && RelPath::from_text(path.as_str()).is_confined() {
            prop_assert_eq!(write(&pattern, &found).unwrap(), path);
        }
    }

    #[test]
    fn what_is_written_is_read_again(seconds in 0_i64..4_000_000_000, slice in 0_i64..30, site in "[a-z]{3}", kind in 0_usize..2, text in "[a-z_.]{1,8}", u in 0_usize..2) {
        let given = Fields::from([
            ("time".to_owned(), Value::Time(Timestamp::from_second(seconds).unwrap())),
            ("slice".to_owned(), Value::Int(slice)),
            ("site".to_owned(), Value::Text(site)),
            ("kind".to_owned(), Value::from(["rawacf", "antennas_iq"][kind])),
            ("gps".to_owned(), Value::Int(seconds)),
            ("text".to_owned(), Value::Text(text)),
            ("u".to_owned(), Value::from(["U", ""][u])),
        ]);
        for text in [BOREALIS, DMAP, "{gps/1e6}/{gps % 7}-{gps:gps}{u:U|}.{text}", "{time:%Y/%j}/{text}{time:_%H%M%S}", "{text}.{kind:rawacf|antennas_iq}[.{slice:int}]"] {
            let pattern = pattern(text);
            match write(&pattern, &given) {
                Ok(path) => {
                    for (name, value) in read(&pattern, &path).unwrap() {
                        prop_assert_eq!(&given[&name], &value);
                    }
                }
                Err(FormatError::BadValue { field, .. }) => prop_assert!(field == "slice" && slice > 25),
                // Two fields that meet without a sign between them may be cut elsewhere; then nothing is written.
                Err(error) => prop_assert!(matches!(error, FormatError::Unreadable { .. }) && pattern.as_str().contains("text"), "{}", error),
            }
        }
    }
}

#[test]
fn a_misspelt_type_is_no_fixed_word() {
    let errors = Pattern::parse("{n:itn}", &mut BTreeMap::new()).unwrap_err();
    assert_eq!(
        errors[0].help.as_deref(),
        Some("did you mean `:int`? for the fixed word write `:(itn)`, for the word or nothing `:itn|`")
    );
    assert!(Pattern::parse("{kind:rawacf}", &mut BTreeMap::new()).is_ok());
    let tables = BTreeMap::new();
    let env = PatternEnv { tables: &tables };
    let fixed = Pattern::parse("{n:(itn)}.dat", &mut BTreeMap::new()).unwrap();
    assert!(fixed.matches(&crate::RelPath::from_bytes(b"itn.dat"), &env).is_ok());
    assert!(fixed.matches(&crate::RelPath::from_bytes(b"int.dat"), &env).is_err());
}
