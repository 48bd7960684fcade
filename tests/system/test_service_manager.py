# SPDX-License-Identifier: Apache-2.0
"""What a service manager (systemd) is told: ready, reloading, alive, stopping."""
import contextlib
import os
import signal
import socket
import subprocess

import pytest
from world import BUILD, PATIENCE, ROOT, Client, Instance, wait_until


class Manager:
    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(PATIENCE)
        self.told = []

    def wait(self, word):
        while word not in self.told:
            self.told += self.socket.recv(4096).decode().splitlines()
        del self.told[:self.told.index(word) + 1]


@pytest.fixture(params=["path", "abstract"])
def managed(request, tmp_path):
    address = str(tmp_path / "notify") if request.param == "path" else f"\0waypost-{os.getpid()}"
    manager = Manager(address)
    relay = Instance()
    environment = dict(relay.environment, NOTIFY_SOCKET=address.replace("\0", "@"),
                       WATCHDOG_USEC="600000")
    process = subprocess.Popen([relay.bin / "postfix", "-c", relay.config, "start-fg"],
                               env=environment, stderr=subprocess.DEVNULL)
    yield manager, relay, process
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=PATIENCE)
    relay.__exit__(None)


def test_ready_comes_when_connections_are_served(managed):
    manager, relay, process = managed
    manager.wait("READY=1")
    with relay.connect() as client:
        assert client.banner[0] == 220
    assert process.pid == relay.master_pid(), "what was started is what is watched"


def test_watchdog_reload_and_stop_are_told(managed):
    manager, relay, process = managed
    manager.wait("READY=1")
    manager.wait("WATCHDOG=1")
    manager.wait("WATCHDOG=1")
    relay.reload()
    manager.wait("RELOADING=1")
    manager.wait("READY=1")
    process.send_signal(signal.SIGTERM)
    manager.wait("STOPPING=1")
    assert process.wait(timeout=PATIENCE) == 0


def test_a_failed_reload_is_told_as_status(managed):
    manager, relay, _ = managed
    manager.wait("READY=1")
    relay.parameters["maximal_queue_lifetime"] = "20x"
    relay.write()
    os.kill(relay.master_pid(), signal.SIGHUP)
    manager.wait("STATUS=Relaying mail; the last reload failed, see the mail log")
    wait_until(lambda: "stays in force" in relay.log(), "the reason")


def test_in_the_foreground_it_says_why_it_cannot_start():
    relay = Instance(maillog_file_prefixes="/nowhere")
    try:
        done = relay.run("postfix", "start-fg", check=False)
        assert done.returncode != 0
        assert "is outside of maillog_file_prefixes (/nowhere)" in done.stderr
    finally:
        relay.__exit__(None)


def test_make_run_serves_until_it_is_interrupted():
    process = subprocess.Popen([ROOT / "scripts" / "run-instance", BUILD], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def greets():
        assert process.poll() is None, process.stdout.read()
        with contextlib.suppress(OSError), Client("127.0.0.1", 2525) as client:
            return client.banner[0] == 220
        return False
    try:
        wait_until(greets, "a greeting on port 2525")
    finally:
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0 and "swaks --server 127.0.0.1:2525" in said
