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


def option_list(options):
    """{"per_connection": 1, "starttls": True} as arguments; a list repeats its option."""
    arguments = []
    for name, value in options.items():
        name = "--" + name.replace("_", "-")
        for each in value if isinstance(value, list) else [value]:
            if each is True:
                arguments.append(name)
            elif each not in (None, False):
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

    def read_line(self, seconds):
        """Unbuffered, so that select tells the truth."""
        line = b""
        deadline = time.monotonic() + seconds
        while not line.endswith(b"\n"):
            left = max(0, deadline - time.monotonic())
            if not select.select([self.process.stdout], [], [], left)[0]:
                raise TimeoutError(f"{self.process.args} says nothing")
            part = os.read(self.process.stdout.fileno(), 65536)
            if not part:
                raise EOFError(f"{self.process.args} ended")
            line += part
        return json.loads(line.splitlines()[-1])

    def report(self):
        self.process.send_signal(signal.SIGUSR1)
        return self.read_line(60)

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
        report = self.read_line(60)
        self.kill()
        return report

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
            return self.read_line(1)
        finally:
            self.kill()
