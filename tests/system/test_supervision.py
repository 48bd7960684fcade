# SPDX-License-Identifier: Apache-2.0
"""Processes that die, and how soon others take their place."""
import contextlib
import os
import pathlib
import re
import signal

import pytest

from world import Client, Instance, Sink, is_alive, message, wait_until

MASTER_ROUNDS = 3


def send(relay):
    """Whether a message was accepted."""
    with contextlib.suppress(OSError, ValueError), \
            Client("127.0.0.1", relay.port, 5) as client:
        client.command("EHLO client.example.test")
        return client.deliver("sender@example.test", ["user@example.com"], message())[0] == 250
    return False


def openers(path):
    """The processes that have the file open."""
    found = set()
    status = os.stat(path)
    for link in pathlib.Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            other = os.stat(link)
            if (other.st_dev, other.st_ino) == (status.st_dev, status.st_ino):
                found.add(int(link.parts[2]))
    return found


@pytest.mark.parametrize("role", ["smtpd", "queue"])
def test_a_role_that_is_killed_often_is_back_within_a_second_or_two(role):
    with Sink() as sink, Instance(relayhost=f"[127.0.0.1]:{sink.port}") as relay:
        for _ in range(7):  # pauses that go on doubling would be of many seconds
            [pid, *_] = wait_until(lambda: relay.role_pids().get(role), f"the role {role}")
            wait_until(lambda: send(relay), "mail to be taken")
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not is_alive(pid), "its end")
        wait_until(lambda: send(relay), "mail to be taken again")
        assert "is started again in" not in relay.log()


@pytest.mark.skipif(os.geteuid() != 0, reason="looks at what others' processes have open")
def test_a_killed_master_leaves_no_orphans_and_never_a_second_queue():
    with Sink() as sink, Instance(relayhost=f"[127.0.0.1]:{sink.port}") as relay:
        data = relay.queue / "store" / "data.mdb"
        for _ in range(MASTER_ROUNDS):
            assert send(relay)
            children = sum(relay.role_pids().values(), [])
            os.kill(relay.master_pid(), signal.SIGKILL)
            relay.start()
            assert openers(data) <= set(relay.role_pids()["queue"])
            wait_until(lambda: not any(map(is_alive, children)), "the end of its children")
            wait_until(lambda: send(relay), "mail to be taken by the new one")
        sink.wait(2 * MASTER_ROUNDS)
        assert not re.findall(r"fatal: ", relay.log())
