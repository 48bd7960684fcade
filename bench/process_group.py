# SPDX-License-Identifier: Apache-2.0
"""All processes of a system that is measured, whoever their parents are: CPU time, also of those
that are gone, memory, and how often they flush to disk. In a control group of their own (version
2); where that cannot be had, by their parents, with what those have reaped."""
import contextlib
import itertools
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

from guard import Guard

SYNC_CALLS = ("fsync", "fdatasync", "syncfs", "sync", "sync_file_range", "msync")
WRITE_CALLS = ("write", "writev", "pwrite64", "pwritev", "pwritev2")
CALL = re.compile(r"^(\d+) +(?:\d+\.\d+ )?(\w+)\((\d*)(.*)")
serial = itertools.count()


def control_group_root():
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split(" - ")
        if fields[1].split()[0] == "cgroup2":
            return pathlib.Path(fields[0].split()[4])
    return None


class ProcessGroup:
    def __init__(self):
        self.group, self.first = None, None
        root = control_group_root()
        with contextlib.suppress(OSError, TypeError):
            group = root / f"bench-{os.getpid()}-{next(serial)}"
            group.mkdir()
            self.group = group
            Guard.tell("group", group)

    def launcher(self):
        """What goes in front of a command so that it and all it starts belong here."""
        return ["sh", "-c", f"echo $$ >{self.group}/cgroup.procs && exec \"$@\"", "sh"] \
            if self.group else []

    def started(self, process):
        """Where there is no control group: the root of the tree of processes."""
        self.first = process.pid
        Guard.tell("process", process.pid)

    def pids(self):
        if self.group:
            return sorted({int(each) for each in (self.group / "cgroup.procs").read_text().split()})
        found, waiting = [], [self.first] if self.first else []
        while waiting:
            pid = waiting.pop()
            with contextlib.suppress(OSError):
                waiting += map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
                               .split())
                found.append(pid)
        return found

    def cpu_seconds(self):
        if self.group:
            return int((self.group / "cpu.stat").read_text().split()[1]) / 1e6
        ticks = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                ticks += sum(map(int, fields[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def pss_kb(self):
        """Memory; pages that several share count once."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):  # it may end meanwhile
                for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1])
        return total

    def settle(self, seconds=10):
        """Waits until it has nothing more to do, so that the work behind the last delivery (log
        lines, what is taken out of the queue) is in the sum."""
        deadline = time.monotonic() + seconds
        last = self.cpu_seconds()
        while time.monotonic() < deadline:
            time.sleep(0.3)
            now = self.cpu_seconds()
            if now - last < 0.005:
                return
            last = now

    def flushes(self, work):
        """How many calls that wait for the disk these processes make during work()."""
        with tempfile.NamedTemporaryFile("r", prefix="strace-", errors="replace") as trace:
            attached = [option for pid in self.pids() for option in ("-p", str(pid))]
            tracer = subprocess.Popen(
                ["strace", "-f", "-s", "0", "-o", trace.name, "-e",
                 "trace=" + ",".join(SYNC_CALLS + WRITE_CALLS), "-e", "signal=none", *attached],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                self.wait_traced(tracer)
                work()
                is_sync = SyncDescriptors()
                return sum(is_flush(line, is_sync) for line in trace)
            finally:
                tracer.send_signal(signal.SIGINT)
                tracer.wait()

    def wait_traced(self, tracer):
        def is_traced(pid):
            with contextlib.suppress(OSError):
                return "TracerPid:\t0\n" not in pathlib.Path(f"/proc/{pid}/status").read_text()
            return True  # it is gone

        deadline = time.monotonic() + 20
        while not all(map(is_traced, self.pids())):
            if tracer.poll() is not None or time.monotonic() > deadline:
                raise OSError("strace cannot attach")
            time.sleep(0.05)

    def kill(self):
        """What did not end when it should have."""
        for _ in range(100):
            pids = self.pids()
            if not pids:
                break
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def close(self):
        self.kill()
        if self.group:
            with contextlib.suppress(OSError):
                self.group.rmdir()
            self.group = None


class SyncDescriptors:
    """Which descriptors were opened with O_SYNC or O_DSYNC: each write to one is a flush."""

    def __init__(self):
        self.known = {}

    def __call__(self, pid, fd):
        if (pid, fd) not in self.known:
            self.known[pid, fd] = False
            with contextlib.suppress(OSError):
                text = pathlib.Path(f"/proc/{pid}/fdinfo/{fd}").read_text()
                flags = int(re.search(r"flags:\s+(\d+)", text).group(1), 8)
                self.known[pid, fd] = bool(flags & os.O_DSYNC)
        return self.known[pid, fd]


def is_flush(line, is_sync):
    """Whether a line of strace's is such a call; its second half ("resumed") is not counted."""
    match = CALL.match(line)
    if not match:
        return False
    pid, name, fd, rest = match.groups()
    if name == "msync":
        return "MS_SYNC" in rest
    if name in SYNC_CALLS:
        return True
    return "RWF_DSYNC" in rest or "RWF_SYNC" in rest or (fd != "" and is_sync(pid, fd))
