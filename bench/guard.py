# SPDX-License-Identifier: Apache-2.0
"""What a benchmark has started does not outlive it, also where it is killed: a process of its own
that hears a pipe end, then kills what it was told of, with all children, and removes folders."""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time


class Guard:
    """Begins with the first that is told."""

    process = None

    @classmethod
    def tell(cls, kind, what):
        """kind: process (an id), group (the folder of a control group), folder."""
        if cls.process is None:
            cls.process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE,
                                           start_new_session=True)
        cls.process.stdin.write(f"{kind} {what}\n".encode())
        cls.process.stdin.flush()


def started_at(pid):
    """Tells a process from a later one with its id."""
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    return None


def family(pid):
    """A process and all below it."""
    found = [pid]
    with contextlib.suppress(OSError):
        for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += family(int(child))
    return found


def members(groups):
    found = []
    for group in groups:
        with contextlib.suppress(OSError):
            found += map(int, (pathlib.Path(group) / "cgroup.procs").read_text().split())
    return found


def main():
    told = {"process": {}, "group": {}, "folder": {}}
    for line in sys.stdin:
        kind, what = line.rstrip("\n").split(" ", 1)
        told[kind][what] = started_at(what) if kind == "process" else None
    for _ in range(10):
        pids = members(told["group"])
        for pid, begin in told["process"].items():
            if begin is not None and started_at(pid) == begin:
                pids += family(int(pid))
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    for group in told["group"]:
        with contextlib.suppress(OSError):
            os.rmdir(group)
    for folder in told["folder"]:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()
