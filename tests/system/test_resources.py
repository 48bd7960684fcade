# SPDX-License-Identifier: Apache-2.0
"""What runs out: room on the disk, descriptors, whoever reads the log. Mail that was accepted is
delivered, and the relay recovers by itself."""
import contextlib
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

from world import BUILD, IS_SANITIZED, Client, Instance, Sink, free_port, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount and to set limits")

DESCRIPTORS = 64
MEMORY_BYTES = 30 << 20
DEPTH = 50_000  # messages
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


@pytest.fixture
def small_memory():
    """The file that takes the processes of a control group with little memory."""
    roots = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
    for root, limit in roots:
        group = pathlib.Path(root) / f"waypost-test-{os.getpid()}"
        with contextlib.suppress(OSError):
            group.mkdir()
            (group / limit).write_text(str(MEMORY_BYTES))
            yield group
            wait_until(lambda: not (group / "cgroup.procs").read_text(), "the group to be empty")
            group.rmdir()
            return
        with contextlib.suppress(OSError):
            group.rmdir()
    pytest.skip("no control groups for memory here")


def reached_limit(group):
    """How often something asked for memory beyond the limit."""
    with contextlib.suppress(OSError):
        return int((group / "memory.failcnt").read_text())
    return int(dict(map(str.split, (group / "memory.events").read_text().splitlines()))["max"])


@pytest.mark.skipif(IS_SANITIZED, reason="sanitizers need more memory")
def test_with_little_memory_large_messages_from_many_are_not_lost(small_memory):
    class Small(Instance):
        def start(self):
            self.run("postfix", "start", preexec_fn=lambda: (
                small_memory / "cgroup.procs").write_text(str(os.getpid())))
            return self

    def client(number):
        for count in range(2):
            token = f"token-{number}-{count}"
            with contextlib.suppress(OSError, ValueError):
                if send(instance, token, 800_000) == 250:
                    promised.add(token)
    promised = set()
    with Sink() as sink, Small(relayhost=f"[127.0.0.1]:{sink.port}", minimal_backoff_time="1s",
                               maximal_backoff_time="2s", queue_run_delay="1s",
                               smtpd_client_connection_count_limit="0") as instance:
        clients = [threading.Thread(target=client, args=(number,)) for number in range(10)]
        for each in clients:
            each.start()
        for each in clients:
            each.join()
        assert reached_limit(small_memory)
        wait_until(lambda: promised <= tokens_at(sink), "all that was promised", 40)
        wait_until(lambda: send(instance, "afterwards") == 250, "mail to be taken afterwards")


@pytest.mark.skipif(IS_SANITIZED, reason="sanitizers need more memory")
def test_a_deep_queue_is_delivered_from_at_once_and_fits_into_little_memory():
    with Sink() as sink, Instance(relayhost=f"[127.0.0.1]:{sink.port}",
                                  transport_maps="inline:{d0.example=smtp:[127.0.0.1]:"
                                  f"{sink.port}}}", qmgr_message_active_limit="500") as instance:
        empty = anonymous_bytes(instance.role_pids()["queue"][0])
        instance.stop()
        store = instance.queue / "store"
        subprocess.run([BUILD / "bench" / "bench-fill", store, str(DEPTH), "1", "0"], check=True)
        for path in [store, *store.iterdir()]:
            shutil.chown(path, "postfix", "postfix")
        begin = time.monotonic()
        instance.start()
        sink.wait(1)
        assert time.monotonic() - begin < 10
        [pid] = instance.role_pids()["queue"]
        most = 0
        while len(sink.messages) < 600:
            most = max(most, anonymous_bytes(pid))
            time.sleep(0.05)
        assert most - empty < 200 * DEPTH, f"{most - empty} bytes for {DEPTH} messages"


def anonymous_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no memory of {pid}")
