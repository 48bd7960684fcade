# SPDX-License-Identifier: Apache-2.0
"""What runs out: room on the disk, descriptors, whoever reads the log. Mail that was accepted is
delivered, and the relay recovers by itself."""
import contextlib
import os
import pathlib
import resource
import signal
import socket
import subprocess
import tempfile
import time

import pytest

from world import Client, Instance, Sink, free_port, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount and to set limits")

DESCRIPTORS = 64
SENDER, RECIPIENT = "sender@example.test", "user@example.com"


def content(token, size=200):
    return f"Subject: {token}\r\n\r\n" + f"{token} {'x' * 60}\r\n" * (size // 70 + 1)


def send(instance, token, size=200):
    with Client("127.0.0.1", instance.port, 20) as client:
        if client.banner[0] != 220:
            return client.banner[0]
        client.command("EHLO client.example.test")
        return client.deliver(SENDER, [RECIPIENT], content(token, size))[0]


def tokens_at(sink):
    return {message.content.split(b"\r\nSubject: ")[1].split(b"\r\n")[0].decode()
            for message in list(sink.messages)}


@pytest.fixture
def small_disk():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="waypost-small-"))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=240m,mode=0755", "tmpfs", folder],
                             check=False).returncode == 0
    if not mounted:
        pytest.skip("no mount here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
    folder.rmdir()


def test_a_full_disk_refuses_new_mail_for_a_while_and_loses_none(small_disk):
    port = free_port()
    with Instance(queue_directory=small_disk / "spool", relayhost=f"[127.0.0.1]:{port}",
                  minimal_backoff_time="1s", maximal_backoff_time="2s", queue_run_delay="1s",
                  queue_minfree="0") as instance:
        instance.queue = small_disk / "spool"
        promised, codes = set(), []
        for number in range(400):
            codes.append(send(instance, f"token-{number}", 1_500_000))
            if codes[-1] == 250:
                promised.add(f"token-{number}")
            if codes[-3:] == [452, 452, 452]:
                break
        assert len(promised) > 10 and codes[-1] == 452 and set(codes) == {250, 452}
        with Sink(port=port) as sink:
            def is_delivered():
                instance.run("postqueue", "-f")
                return promised <= tokens_at(sink)
            wait_until(is_delivered, "all that was promised")
            wait_until(lambda: send(instance, "afterwards", 1_500_000) == 250, "mail to be accepted")
            wait_until(lambda: "afterwards" in tokens_at(sink), "its delivery")


def test_without_descriptors_connections_wait_and_the_processor_is_idle():
    class Poor(Instance):
        def start(self):
            self.run("postfix", "start", preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS)))
            return self

    with Sink() as sink, Poor(relayhost=f"[127.0.0.1]:{sink.port}",
                              smtpd_client_connection_count_limit="0",
                              waypost_smtpd_workers="1") as instance:
        [pid] = instance.role_pids()["smtpd"]
        sockets = [socket.create_connection(("127.0.0.1", instance.port), 10)
                   for _ in range(3 * DESCRIPTORS)]

        def ticks():
            return sum(map(int, pathlib.Path(f"/proc/{pid}/stat").read_text()
                           .rsplit(")", 1)[1].split()[11:13]))
        time.sleep(0.5)
        before = ticks()
        time.sleep(2)
        spent = (ticks() - before) / os.sysconf("SC_CLK_TCK")
        assert spent < 1, f"{spent} s of processor time in 2 s of waiting"
        for each in sockets:
            each.close()
        wait_until(lambda: send(instance, "afterwards") == 250, "mail to be accepted")
        wait_until(lambda: "afterwards" in tokens_at(sink), "its delivery")
        assert instance.role_pids()["smtpd"] == [pid]


def test_a_log_that_nobody_reads_holds_up_no_mail():
    with Sink() as sink, Instance(relayhost=f"[127.0.0.1]:{sink.port}") as instance:
        [pid] = instance.role_pids()["log"]
        os.kill(pid, signal.SIGSTOP)
        try:
            expected = {f"token-{number}" for number in range(300)}
            for token in sorted(expected):
                assert send(instance, token) == 250
            wait_until(lambda: expected <= tokens_at(sink), "all deliveries")
        finally:
            os.kill(pid, signal.SIGCONT)
        assert send(instance, "afterwards") == 250
        instance.wait_log(r"status=sent")


def test_a_log_that_cannot_be_written_holds_up_no_mail(small_disk):
    with Sink() as sink, Instance(relayhost=f"[127.0.0.1]:{sink.port}",
                                  maillog_file=small_disk / "maillog",
                                  maillog_file_prefixes=f"/var, {small_disk}") as instance:
        instance.log_file = small_disk / "maillog"
        filler = small_disk / "filler"
        with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(65536)):
                pass
        expected = {f"token-{number}" for number in range(100)}
        for token in sorted(expected):
            assert send(instance, token) == 250
        wait_until(lambda: expected <= tokens_at(sink), "all deliveries")
        filler.unlink()
        assert send(instance, "afterwards") == 250
        instance.wait_log(r"status=sent")
