# SPDX-License-Identifier: Apache-2.0
"""The two ends of a benchmark: bench-load and bench-sink, run as processes of their own."""
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import time

from guard import Guard


def option_list(options):
    """{"per_connection": 1, "starttls": True} as arguments; a list repeats its option."""
    arguments = []
    for name, value in options.items():
        name = "--" + name.replace("_", "-")
        for each in value if isinstance(value, list) else [value]:
            if each is True:
                arguments.append(name)
            elif each is not None and each is not False:  # 0 is a value
                arguments += [name, str(each)]
    return arguments


class End:
    """A process that prints a line of JSON when it is asked, and at its end."""

    def __init__(self, program, options, *arguments):
        # A report may be asked for before the process has got ready for the signal.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        self.process = subprocess.Popen([program, *option_list(options), *map(str, arguments)],
                                        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        Guard.tell("process", self.process.pid)
        self.text, self.latest, self.line_count = b"", None, 0

    def read_some(self, seconds):
        """Keeps the latest whole line; false at the end. Unbuffered, so that select tells the
        truth."""
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            raise TimeoutError(f"{self.process.args} says nothing")
        part = os.read(self.process.stdout.fileno(), 65536)
        self.text += part
        lines = self.text.split(b"\n")
        self.text = lines.pop()
        if lines:
            self.latest = json.loads(lines[-1])
            self.line_count += len(lines)
        return bool(part)

    def report(self):
        """What it says now, or has said at its end."""
        lines = self.line_count
        self.process.send_signal(signal.SIGUSR1)
        while self.line_count == lines and self.read_some(60):
            pass
        return self.last_report(0)

    def last_report(self, seconds=60):
        """Its latest line; with time, reads until it ends."""
        while seconds and self.read_some(seconds):
            pass
        if self.latest is None:
            raise EOFError(f"{self.process.args} ended without a word")
        return self.latest

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class BenchSink(End):
    def __init__(self, build, address="127.0.0.1", port=0, **options):
        self.address, self.port = address, port
        super().__init__(pathlib.Path(build) / "bench" / "bench-sink", options, address, port)
        deadline = time.monotonic() + 20
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise OSError(f"bench-sink does not answer at {address}:{port}")
            time.sleep(0.02)

    def answers(self):
        try:
            with socket.create_connection((self.address, self.port), 1):
                return True
        except OSError:
            return False

    def stop(self):
        """Its last report."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.last_report()
        finally:
            self.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


class BenchLoad(End):
    def __init__(self, build, port, **options):
        super().__init__(pathlib.Path(build) / "bench" / "bench-load", options, "127.0.0.1", port)

    def wait(self, seconds):
        """Its last report."""
        try:
            self.process.wait(seconds)
            return self.last_report()
        finally:
            self.kill()
