# SPDX-License-Identifier: Apache-2.0
"""Calls that fail for a while: answered or deferred with a 4xx, and over by itself when they work
again."""
import errno
import os
import pathlib
import signal

import pytest

import sweep
from sweep import FAIL, Fault, FaultyInstance, Ledger
from world import IS_SANITIZED, Client, Sink, message, wait_until

pytestmark = pytest.mark.skipif(not sweep.is_possible or IS_SANITIZED,
                                reason="needs patchelf; sanitizers stand in the same place")
ALWAYS = 1 << 30


def code_of_one(relay):
    with Client("127.0.0.1", relay.port) as client:
        client.command("EHLO client.example.test")
        return client.deliver("sender@example.test", ["user@example.com"], message())[0]


@pytest.mark.parametrize("call, error", [("pwrite", errno.EDQUOT), ("pwrite", errno.EROFS),
                                         ("fdatasync", errno.EROFS), ("fdatasync", errno.EIO)])
def test_a_queue_that_cannot_be_written_refuses_for_now_and_recovers_alone(call, error):
    with Sink() as sink, FaultyInstance(relayhost=f"[127.0.0.1]:{sink.port}",
                                        minimal_backoff_time="1s") as relay:
        ledger = Ledger(relay, sink)
        wait_until(ledger.send, "mail to be taken")
        wait_until(lambda: not ledger.missing(), "its delivery")
        relay.arm(Fault("queue", call, 0, ALWAYS, FAIL), error)
        codes = {code_of_one(relay) for _ in range(3)}
        assert relay.disarm() > 0
        wait_until(ledger.send, "mail to be taken again")
        wait_until(lambda: not ledger.missing(), "its delivery")
        assert codes <= {451, 452}


def test_a_master_that_cannot_fork_goes_on_trying():
    with Sink() as sink, FaultyInstance(relayhost=f"[127.0.0.1]:{sink.port}") as relay:
        ledger = Ledger(relay, sink)
        wait_until(ledger.send, "mail to be taken")
        relay.arm(Fault("master", "fork", 0, ALWAYS, FAIL))
        for pid in relay.role_pids()["smtpd"]:
            os.kill(pid, signal.SIGKILL)
        relay.wait_log(r"master\[\d+\]: warning: .*Resource temporarily unavailable", 3)
        relay.disarm()
        wait_until(ledger.send, "mail to be taken again")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_local_mail_waits_where_no_process_can_be_had():
    with FaultyInstance(mydestination="example.test", minimal_backoff_time="1s",
                        maximal_backoff_time="2s", queue_run_delay="1s") as relay:
        folder = relay.folder / "mail"
        folder.mkdir()
        folder.chmod(0o1777)
        relay.parameters["mail_spool_directory"] = f"{folder}/"
        relay.write()
        relay.reload()
        relay.arm(Fault("local", "fork", 0, ALWAYS, FAIL))
        relay.sendmail("-f", "sender@example.test", "nobody@example.test", input=message())
        relay.wait_log(r"postfix/local.*dsn=4\.3\.0, status=deferred")
        relay.disarm()
        relay.wait_log(r"to=<nobody@example\.test>.*status=sent")
        assert len(list(pathlib.Path(folder, "nobody", "new").iterdir())) == 1
