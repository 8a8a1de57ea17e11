"""Running commands and saying what they used: time on the wall, processor time, memory."""

import os
import resource
import statistics
import subprocess
import threading
import time
from dataclasses import dataclass


class Failed(Exception):
    """A command that should have worked did not."""


@dataclass
class Used:
    wall: float
    cpu: float
    peak: int  # bytes, of the largest process among the command and its children


def median(uses):
    """The median of each figure by itself; memory is the highest seen."""
    return Used(
        wall=statistics.median(use.wall for use in uses),
        cpu=statistics.median(use.cpu for use in uses),
        peak=max(use.peak for use in uses),
    )


def run(argv, **options):
    """Runs a command to its end. Children that it waited for count; how long it was starved by others does not in `cpu`."""
    own_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sampled = Sampler()
    with open(os.devnull, "r+b") as null:
        options = {"stdin": null, "stdout": null, "stderr": subprocess.PIPE, **options}
        begun = time.perf_counter()
        child = subprocess.Popen([str(arg) for arg in argv], **options)
        sampled.follow(child.pid)
        said = child.stderr.read() if child.stderr else b""
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    sampled.stop()
    if child.stderr:
        child.stderr.close()
    if child.returncode != 0:
        words = said.decode(errors="replace").strip().splitlines()[-3:]
        raise Failed(f"{' '.join(map(str, argv))} ended with {child.returncode}: {' / '.join(words)}")
    # A child begins as a copy of this process, whose size then counts as its own: below that only samples tell.
    peak = usage.ru_maxrss * 1024 if usage.ru_maxrss > own_peak + 512 else sampled.peak
    return Used(wall, usage.ru_utime + usage.ru_stime, peak)


class Sampler:
    """Looks now and then at the high-water mark of a process and of its children; seldom enough not to disturb."""

    def __init__(self, pause=0.02):
        self.peak = 0
        self.pause = pause
        self.over = threading.Event()
        self.thread = None

    def follow(self, pid):
        self.thread = threading.Thread(target=self.look, args=(pid,), daemon=True)
        self.thread.start()

    def look(self, pid):
        pause = 0.002
        while not self.over.wait(pause):
            self.peak = max([self.peak, *map(high_water, tree(pid))])
            pause = self.pause

    def stop(self):
        self.over.set()
        self.thread.join()


def tree(pid):
    """A process and all below it."""
    pids = [pid]
    for one in pids:
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{task}/children") as file:
                    pids.extend(map(int, file.read().split()))
        except OSError:
            pass
    return pids


def field(pid, name):
    """A line of /proc/PID/status in bytes; 0 when the process is gone."""
    try:
        with open(f"/proc/{pid}/status") as file:
            for line in file:
                if line.startswith(name + ":"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def high_water(pid):
    return field(pid, "VmHWM")


def resident(pid):
    return field(pid, "VmRSS")


def cpu_of(pid):
    """Processor time of a living process, its threads and the children it waited for, in seconds."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def run_time_of(pid):
    """Processor time of a living process's threads to the nanosecond, in seconds."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as file:
            total += int(file.read().split()[0])
    return total / 1e9


class Service:
    """A command that runs until it is stopped."""

    def __init__(self, argv, **options):
        null = subprocess.DEVNULL
        options = {"stdin": null, "stdout": null, "stderr": null, "start_new_session": True, **options}
        self.child = subprocess.Popen([str(arg) for arg in argv], **options)
        self.pid = self.child.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # The whole session: a shell's loop has a reader and a writer.
        for signal in (15, 9):
            try:
                os.killpg(self.pid, signal)
                self.child.wait(timeout=20)
                break
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        self.child.wait()


def wait_until(what, ready, seconds):
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise Failed(f"{what} did not happen within {seconds} s")
        time.sleep(0.005)
