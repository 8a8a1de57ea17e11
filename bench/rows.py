"""The rows of the bench: what is put before ours and before the peer, and what is read off."""

import filecmp
import os
import shutil
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

from measure import Failed, Service, Used, cpu_of, high_water, median, resident, run, run_time_of, tree, wait_until

MIB = 1 << 20


@dataclass
class Figure:
    """One line of the table."""

    measure: str
    ours: str
    peer: str = "-"
    ratio: str = "-"
    goal: str = "-"
    kept: bool | None = None


@dataclass
class Result:
    figures: list = field(default_factory=list)
    uses: list = field(default_factory=list)  # (whose, Used)
    missing: str | None = None


class Bench:
    """What the rows need: programs, a folder to work in, how often."""

    def __init__(self, program, maker, peers, rounds):
        self.program, self.maker, self.peers, self.rounds = program, maker, peers, rounds
        self.folder = None

    def fresh(self, name):
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def ours(self, folder, *args):
        return [self.program, "--flow", folder / "flow.toml", *args]


def flow(folder, text):
    (folder / "flow.toml").write_text(text)


def compared(measure, ours, peer, limit, show="{:.2f} s"):
    """A figure against the peer's: ours may be `limit` times as much."""
    if peer is None:
        return Figure(measure, show.format(ours), "missing", goal=f"≤ {limit:g} ×")
    ratio = ours / peer
    return Figure(measure, show.format(ours), show.format(peer), f"{ratio:.2f}", f"≤ {limit:g} ×", ratio <= limit)


def bounded(measure, value, limit, show):
    return Figure(measure, show.format(value), goal="≤ " + show.format(limit), kept=value <= limit)


# ── close → action ──────────────────────────────────────────────────────────────────────────────────────────────────

ARRIVALS = """flow = "arrivals"
[stations.here]
root = "data"
[products.raw]
path = "in/{name}.dat"
[products.stamp]
path = "out/{name}.dat"
[steps.stamp]
at = "here"
takes = "raw"
makes = "stamp"
does = { run = ["./stamp", "{in}", "{out}"] }
"""
# The same for both sides: the moment at which the started process runs.
STAMP = '#!/bin/sh\ndate +%s%N >"$2"\n'
LOOP = (
    'exec 2>/dev/null; "$0" -m -q -e close_write -e moved_to --format %f data/in | '
    'while IFS= read -r name; do ./stamp "data/in/$name" "data/out/$name"; done'
)


class Arrivals:
    """A watched folder, with ours or a shell's loop at work on it."""

    def __init__(self, bench, name, ours):
        self.folder = bench.fresh(name)
        (self.folder / "data/in").mkdir(parents=True)
        (self.folder / "data/out").mkdir()
        stamp = self.folder / "stamp"
        stamp.write_text(STAMP)
        stamp.chmod(0o755)
        flow(self.folder, ARRIVALS)
        if ours:
            argv, options = bench.ours(self.folder, "run", "--quiet"), {}
        else:
            watch = bench.peers.find("inotifywait")
            argv, options = ["sh", "-c", LOOP, watch], {"env": bench.peers.environment()}
        self.service = Service(argv, cwd=self.folder, **options)
        self.closed = {}

    def __enter__(self):
        # It is at work when a first file has come through.
        for n in range(100):
            self.write(f"warm{n}")
            try:
                wait_until("the first file", lambda n=n: self.stamp_of(f"warm{n}"), 1)
                break
            except Failed:
                continue
        self.closed.clear()
        return self

    def __exit__(self, *problem):
        self.service.__exit__(*problem)

    def write(self, name):
        with open(self.folder / f"data/in/{name}.dat", "wb") as file:
            file.write(b"x" * 100)
        self.closed[name] = time.time_ns()

    def stamp_of(self, name):
        try:
            text = (self.folder / f"data/out/{name}.dat").read_text()
        except OSError:
            return None
        return int(text) if text.endswith("\n") else None

    def collect(self, patience):
        """Waits until all have come, or none has for a while; gives the waits in seconds, sorted."""
        waits, left, last = [], set(self.closed), time.monotonic()
        while left and time.monotonic() < last + patience:
            there = {entry.name[:-4] for entry in os.scandir(self.folder / "data/out")} & left
            came = {name: stamp for name in there if (stamp := self.stamp_of(name))}
            if came:
                last = time.monotonic()
                left -= came.keys()
                waits += [(stamp - self.closed[name]) / 1e9 for name, stamp in came.items()]
            time.sleep(0.05)
        return sorted(waits), len(left)


def both(bench):
    return [("ours", True)] + ([("peer", False)] if bench.peers.find("inotifywait") else [])


def latency(bench):
    """One file at a time, 20 ms apart: from the close to the start of the step's process."""
    result, p50s, p90s = Result(), {}, {}
    for n in range(bench.rounds):
        for whose, ours in both(bench):
            with Arrivals(bench, "latency", ours) as arrivals:
                for k in range(150):
                    arrivals.write(f"f{k:05}")
                    time.sleep(0.02)
                waits, lost = arrivals.collect(5)
            if lost:
                raise Failed(f"{whose}: {lost} of 150 files never came")
            p50s.setdefault(whose, []).append(statistics.median(waits) * 1e3)
            p90s.setdefault(whose, []).append(waits[len(waits) * 9 // 10] * 1e3)
    middle = {whose: statistics.median(all) for whose, all in p50s.items()}
    high = {whose: statistics.median(all) for whose, all in p90s.items()}
    result.figures.append(compared("p50", middle["ours"], middle.get("peer"), 1.5, "{:.1f} ms"))
    late = compared("p90", high["ours"], high.get("peer"), 1.5, "{:.1f} ms")
    late.goal, late.kept = "-", None
    result.figures.append(late)
    return result


def burst(count, rounds=None):
    def row(bench):
        result, waits, lost, last = Result(), {}, {}, {}
        for _ in range(rounds or bench.rounds):
            for whose, ours in both(bench):
                with Arrivals(bench, "burst", ours) as arrivals:
                    before = sum(map(cpu_of, tree(arrivals.service.pid)))
                    for k in range(count):
                        arrivals.write(f"f{k:05}")
                    some, missing = arrivals.collect(10)
                    pids = tree(arrivals.service.pid)
                    cpu = sum(map(cpu_of, pids)) - before
                    peak = max(map(high_water, pids))
                waits.setdefault(whose, []).append(statistics.median(some))
                last.setdefault(whose, []).append(some[-1])
                lost[whose] = max(lost.get(whose, 0), missing)
                result.uses.append((whose, Used(some[-1], cpu, peak)))
        shown = str(lost["peer"]) if "peer" in lost else "missing"
        result.figures.append(Figure("lost", str(lost["ours"]), shown, goal="0", kept=lost["ours"] == 0))
        for name, figures in (("p50", waits), ("last one", last)):
            mine, theirs = (statistics.median(figures[w]) if w in figures else None for w in ("ours", "peer"))
            line = compared(name, mine, theirs, 1, "{:.2f} s")
            line.goal, line.kept = "-", None
            result.figures.append(line)
        return result

    row.__doc__ = f"{count:,} files at once: none may be lost."
    return row


# ── steps ───────────────────────────────────────────────────────────────────────────────────────────────────────────

STEPS = """flow = "steps"
[stations.here]
root = "data"
[products.raw]
path = "in/{name}.dat"
[products.copy]
path = "out/{name}.dat"
[steps.copy]
at = "here"
takes = "raw"
makes = "copy"
does = { run = ["cp", "{in}", "{out}"] }
"""
MAKEFILE = """all: $(patsubst data/in/%.dat,data/made/%.dat,$(wildcard data/in/*.dat))
data/made/%.dat: data/in/%.dat
\tcp $< $@
"""


def steps(bench):
    """1,000 `cp` as external commands: a first run over a folder, its ledger durable, against `make -j2`."""
    folder, count = bench.fresh("steps"), 1000
    (folder / "data/in").mkdir(parents=True)
    for n in range(count):
        (folder / f"data/in/f{n:04}.dat").write_bytes(b"x" * 1024)
    flow(folder, STEPS)
    (folder / "Makefile").write_text(MAKEFILE)
    make, mine, theirs = bench.peers.find("make"), [], []
    for _ in range(bench.rounds):
        for gone in ("data/out", ".thalweg"):
            shutil.rmtree(folder / gone, ignore_errors=True)
        mine.append(run(bench.ours(folder, "run", "--once", "--quiet"), cwd=folder))
        made = len(os.listdir(folder / "data/out"))
        if made != count:
            raise Failed(f"ours made {made} of {count}")
        if make:
            shutil.rmtree(folder / "data/made", ignore_errors=True)
            (folder / "data/made").mkdir()
            theirs.append(run([make, "-s", "-j2"], cwd=folder, env=bench.peers.environment()))
    return against(mine, theirs, lambda ours, peer: [compared("wall", ours.wall, peer and peer.wall, 1.2)])


def against(mine, theirs, figures):
    result = Result()
    ours, peer = median(mine), median(theirs) if theirs else None
    result.figures = figures(ours, peer)
    result.uses = [("ours", ours)] + ([("peer", peer)] if peer else [])
    return result


# ── scan ────────────────────────────────────────────────────────────────────────────────────────────────────────────

SCAN = """flow = "scan"
[stations.here]
root = "data"
[products.raw]
path = "{day:int}/{name}.dat"
"""


def scan(bench):
    """A listing of 300,000 files of which none has changed, against `find -printf`."""
    folder = bench.fresh("scan")
    for day in range(300):
        (folder / f"data/{day:03}").mkdir(parents=True)
        for n in range(1000):
            with open(folder / f"data/{day:03}/f{n:06}.dat", "wb"):
                pass
    flow(folder, SCAN)
    first = run(bench.ours(folder, "run", "--once", "--quiet"), cwd=folder)
    find, mine, theirs = bench.peers.find("find"), [], []
    for _ in range(bench.rounds):
        mine.append(run(bench.ours(folder, "scan", "--quiet"), cwd=folder))
        if find:
            argv = [find, folder / "data", "-type", "f", "-printf", "%s %T@ %i %p\\n"]
            theirs.append(run(argv, env=bench.peers.environment()))
    result = against(
        mine,
        theirs,
        lambda ours, peer: [
            compared("wall", ours.wall, peer and peer.wall, 1.5),
            bounded("peak memory", ours.peak / MIB, 60, "{:.0f} MiB"),
        ],
    )
    result.uses.append(("ours, taking them in", first))
    return result


# ── idle ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def idle(bench):
    """`run` with nothing to do, for a minute. Below 0.1 % of one processor nothing is measurable."""
    with Arrivals(bench, "idle", True) as arrivals:
        for k in range(100):
            arrivals.write(f"f{k:05}")
        arrivals.collect(10)
        time.sleep(3)
        pid = arrivals.service.pid
        before = run_time_of(pid)
        time.sleep(60)
        used, memory = run_time_of(pid) - before, resident(pid)
        peak = high_water(pid)
    result = Result()
    result.figures.append(bounded("memory", memory / MIB, 30, "{:.0f} MiB"))
    result.figures.append(bounded("processor time in a minute", used * 1e3, 60, "{:.0f} ms"))
    result.uses = [("ours", Used(60, used, peak))]
    return result


# ── conversions of the radars ───────────────────────────────────────────────────────────────────────────────────────


def less_processor_time(mine, theirs, times, most=None):
    """Ours takes so many times less processor time, and at most so many MiB."""

    def figures(ours, peer):
        less = Figure("processor time", f"{ours.cpu:.2f} s", "missing", goal=f"≤ 1/{times}")
        if peer:
            less.peer, less.ratio = f"{peer.cpu:.2f} s", f"1/{peer.cpu / ours.cpu:.1f}"
            less.kept = peer.cpu >= times * ours.cpu
        memory = [bounded("peak memory", ours.peak / MIB, most, "{:.0f} MiB")] if most else []
        return [less] + memory

    return against(mine, theirs, figures)


def site_file(bench, name, kind, records):
    """Makes a file in site layout; returns its path."""
    source = bench.fresh(name) / f"20240912.1800.00.sas.0.{kind}.hdf5.site"
    run([bench.maker, kind, source, str(records)])
    return source


PEER_CONVERT = (
    "import sys; from pydarnio import BorealisConvert; "
    "BorealisConvert(sys.argv[1], sys.argv[2], sys.argv[3], borealis_file_structure='site')"
)


def conversion(bench, kind, records, times, most=None):
    source = site_file(bench, kind, kind, records)
    folder, python, mine, theirs = source.parent, bench.peers.python(), [], []
    for _ in range(bench.rounds):
        for name in ("ours", "peer"):
            (folder / name).unlink(missing_ok=True)
        # The file's name as it is given becomes part of the output.
        ours = [bench.program, "superdarn", "to-dmap", "--compat", source.name, "-o", "ours"]
        mine.append(run(ours, cwd=folder))
        if python:
            theirs.append(run([python, "-c", PEER_CONVERT, source.name, kind, "peer"], cwd=folder))
    result = less_processor_time(mine, theirs, times, most)
    if python:
        same = filecmp.cmp(folder / "ours", folder / "peer", shallow=False)
        result.figures.append(Figure("both made the same bytes", "yes" if same else "no", kept=same))
    return result


def rawacf(bench):
    """A rawacf file of two hours, site layout, 2,057 records, to DMAP, against pyDARNio."""
    return conversion(bench, "rawacf", 2057, 20, 64)


def bfiq(bench):
    """A bfiq file of 500 records to IQDAT, against pyDARNio."""
    return conversion(bench, "bfiq", 500, 15)


# Names of records are milliseconds.
TEN_TIMES = (
    "import sys, h5py; short, long = h5py.File(sys.argv[1]), h5py.File(sys.argv[2], 'w'); "
    "[short.copy(name, long, str(int(name) + n * 7200000)) for n in range(10) for name in short]"
)


def rawacf_long(bench):
    """A rawacf file ten times as long: memory does not grow."""
    python = bench.peers.python()
    if not python:
        return Result(missing="h5py, which makes the input")
    short = site_file(bench, "rawacf-long", "rawacf", 2057)
    folder, source = short.parent, short.with_name("20240912.2000.00.sas.0.rawacf.hdf5.site")
    run([python, "-c", TEN_TIMES, short, source])
    use = run([bench.program, "superdarn", "to-dmap", source, "-o", folder / "long.rawacf"])
    return Result([bounded("peak memory", use.peak / MIB, 64, "{:.0f} MiB")], [("ours", use)])


def packed(bench):
    """A rawacf file of two hours to DMAP in bzip2, against bzip2 -9 of the DMAP file alone."""
    source = site_file(bench, "packed", "rawacf", 2057)
    folder = source.parent
    run([bench.program, "superdarn", "to-dmap", source, "-o", folder / "plain.rawacf"])
    program, mine, theirs = shutil.which("bzip2"), [], []
    for _ in range(bench.rounds):
        (folder / "ours.rawacf.bz2").unlink(missing_ok=True)
        mine.append(run([bench.program, "superdarn", "to-dmap", source, "-o", folder / "ours.rawacf.bz2"]))
        if program:
            theirs.append(run([program, "-9", "-k", "-f", folder / "plain.rawacf"]))

    def figures(ours, peer):
        return [compared("processor time", ours.cpu, peer.cpu if peer else None, 1.15)]

    return against(mine, theirs, figures)


# The whole file in memory, with the compression that array files have.
PEER_RESTRUCTURE = (
    "import sys; from pydarnio import BorealisRead, BorealisWrite; "
    "read = BorealisRead(sys.argv[1], 'antennas_iq', 'site'); "
    "BorealisWrite(sys.argv[2], read.arrays, 'antennas_iq', 'array', hdf5_compression='gzip')"
)


def restructure(bench):
    """An antennas_iq site file of 336 MB to the array layout, against pyDARNio's whole-file way."""
    source = site_file(bench, "restructure", "antennas_iq", 220)
    folder = source.parent
    python, mine, theirs = bench.peers.python(), [], []
    for _ in range(bench.rounds):
        for name in ("ours.hdf5", "peer.hdf5"):
            (folder / name).unlink(missing_ok=True)
        mine.append(run([bench.program, "superdarn", "restructure", source, "-o", folder / "ours.hdf5"]))
        if python:
            theirs.append(run([python, "-c", PEER_RESTRUCTURE, source, folder / "peer.hdf5"]))
    return less_processor_time(mine, theirs, 4, 100)


PEER_DMAP_READ = "import sys, dmap; dmap.read_rawacf(sys.argv[1], mode='strict')"
PEER_DMAP_WRITE = "import sys, dmap; dmap.write_rawacf(dmap.read_rawacf(sys.argv[1], mode='strict'), sys.argv[2])"


def dmap(bench):
    """A DMAP file of 57 MB: checked record by record, and read and written, against darn-dmap."""
    source = site_file(bench, "dmap", "rawacf", 2057)
    folder = source.parent
    run([bench.program, "superdarn", "to-dmap", source, "-o", folder / "x.rawacf"])
    python, result = bench.peers.python(), Result()
    check, copy = ["dmap", "check", "--strict", folder / "x.rawacf"], ["dmap", "cat", folder / "x.rawacf", "--force"]
    for what, ours, peer in (
        ("read", check, [PEER_DMAP_READ, folder / "x.rawacf"]),
        (
            "read and written",
            [*copy, "-o", folder / "ours.rawacf"],
            [PEER_DMAP_WRITE, folder / "x.rawacf", folder / "peer.rawacf"],
        ),
    ):
        mine, theirs = [], []
        for _ in range(bench.rounds):
            mine.append(run([bench.program, *ours]))
            (folder / "peer.rawacf").unlink(missing_ok=True)
            if python:
                theirs.append(run([python, "-c", *peer]))
        one = less_processor_time(mine, theirs, 2)
        one.figures[0].measure = what
        result.figures += one.figures
        result.uses += [(f"{whose}, {what}", use) for whose, use in one.uses]
    return result


def plot(bench):
    """One picture of an antennas_iq file of 3 GB: reads only what it draws."""
    source = site_file(bench, "plot", "antennas_iq", 2000)
    use = run([bench.program, "superdarn", "plot-iq", source, "-o", source.parent, "--antennas", "3"])
    return Result([bounded("peak memory", use.peak / MIB, 150, "{:.0f} MiB")], [("ours", use)])


# ── start ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def start(bench):
    """Any command on a small flow, from its start to its end; the slowest counts."""
    folder = bench.fresh("start")
    (folder / "data/in").mkdir(parents=True)
    for n in range(10):
        (folder / f"data/in/f{n:04}.dat").write_bytes(b"x")
    flow(folder, STEPS)
    run(bench.ours(folder, "run", "--once", "--quiet"), cwd=folder)
    commands = [["--help"], ["check"], ["status"], ["plan"], ["why", "here/out/f0003.dat"], ["find", "raw"], ["runs"]]
    result = Result()
    for args in commands:
        uses = [run(bench.ours(folder, *args), cwd=folder) for _ in range(7 * bench.rounds)]
        middle = median(uses)
        result.figures.append(bounded(" ".join(args[:1]), middle.wall * 1e3, 20, "{:.1f} ms"))
        result.uses.append((f"ours, {args[0]}", middle))
    return result


ROWS = {
    "latency": (latency, True),
    "burst-500": (burst(500), True),
    "burst-50000": (burst(50_000, rounds=1), False),
    "steps": (steps, True),
    "scan": (scan, False),
    "idle": (idle, False),
    "rawacf": (rawacf, True),
    "rawacf-long": (rawacf_long, False),
    "packed": (packed, False),
    "bfiq": (bfiq, False),
    "restructure": (restructure, False),
    "dmap": (dmap, False),
    "plot": (plot, False),
    "start": (start, False),
}
