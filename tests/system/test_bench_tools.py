# SPDX-License-Identifier: Apache-2.0
"""bench-load and bench-sink, whose figures others are to believe: beside smtp-source and smtp-sink,
with Debian's Postfix between them, and with peers that misbehave."""
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

import pytest

import reference
from certificates import Certificates
from world import BUILD, IS_SANITIZED, PATIENCE, ROOT, Client, Sink, free_port, is_alive, wait_until

sys.path.insert(0, str(ROOT / "bench"))
from ends import BenchLoad, BenchSink, option_list  # noqa: E402
from guard import family  # noqa: E402

needs_postfix = pytest.mark.skipif(os.geteuid() != 0 or not reference.is_installed(),
                                   reason="needs root and Debian's Postfix")

no_figures = pytest.mark.skipif(IS_SANITIZED, reason="nobody measures a build with sanitizers")


@pytest.fixture
def ids():
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield pathlib.Path(folder, "ids")


@pytest.fixture(scope="module")
def certificate():
    certificates = Certificates()
    cert, key = certificates.make("relay.example")
    return {"cert": cert, "key": key}


def test_a_number_that_is_zero_is_passed_on():
    assert option_list({"messages": 0, "stay": True, "starttls": False, "rate": None}) == \
        ["--messages", "0", "--stay"]


def load(port, **options):
    return BenchLoad(BUILD, port, patience=PATIENCE, **options).wait(PATIENCE * 3)


def sink(**options):
    return BenchSink(BUILD, port=free_port(), **options)


def settled(end, field, count):
    """The sink's report, once it has so many."""
    return wait_until(lambda: next((each for each in [end.report()] if each[field] >= count), None),
                      f"{count} {field}, there are {end.report()}")


@pytest.mark.parametrize("options", [
    {}, {"no_pipelining": True}, {"per_connection": 1}, {"per_connection": 3}, {"starttls": True},
    {"size": "realistic"}, {"size": "100000"}, {"recipients": 40, "domains": 7}, {"rate": 1000},
    {"starttls": True, "size": "100000x1,500x3", "per_connection": 2},
], ids=str)
def test_every_copy_is_accounted_for(options, ids, certificate):
    with sink(ids=ids, **certificate) as end:
        sent = load(end.port, sessions=7, messages=200, ids=ids, **options)
        got = end.stop()
    assert (sent["accepted"], sent["refused"], sent["lost_connections"]) == (200, 0, 0)
    copies = 200 * options.get("recipients", 1)
    assert (got["messages"], got["copies"], got["expected"]) == (200, copies, copies)
    assert (got["missing"], got["unexpected"], got["duplicates"], got["foreign"],
            got["damaged"]) == (0, 0, 0, 0, 0)
    assert got["latency_us"]["count"] == sent["latency_us"]["count"] == 200
    if options.get("per_connection") == 1:
        assert sent["connections"] == 200
    if options.get("starttls"):
        assert got["tls_connections"] == sent["connections"]


def test_content_is_mail_of_the_size_that_was_asked_for():
    with Sink(decode_data=False) as server:  # aiosmtpd, which counts for itself
        report = load(server.port, sessions=3, messages=30, size="5000x1,777x1", recipients=3)
        messages = server.wait(30)
    assert report["accepted"] == 30
    assert {len(each.content) for each in messages} <= {4999, 5000, 777, 776}
    assert len({len(each.content) for each in messages}) >= 2
    ids = set()
    for each in messages:
        head, body = each.content.decode().split("\r\n\r\n", 1)
        lines = each.content.decode().split("\r\n")
        assert not any("\n" in line or "\r" in line or len(line) > 100 for line in lines)
        headers = dict(line.split(": ", 1) for line in head.split("\r\n"))
        mark = headers["X-Bench-Mark"].split()[0]
        assert headers["Message-ID"] == f"<{mark}@bench.example>"
        assert body.endswith(f"end of {mark}\r\n")
        assert each.recipients == [f"u{number}@d0.bench.example" for number in range(3)]
        ids.add(mark)
    assert len(ids) == 30


@needs_postfix
@pytest.mark.parametrize("option", ["", "-p"], ids=["with PIPELINING", "without PIPELINING"])
def test_postfixs_sink_takes_what_the_generator_sends(option):
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        os.chmod(folder, 0o777)
        port = free_port()
        process = subprocess.Popen(
            ["/usr/sbin/smtp-sink", *option.split(), "-u", "nobody", "-d", f"{folder}/%M.",
             f"127.0.0.1:{port}", "100"])
        try:
            report = load(port, sessions=5, messages=100, size=3000)
            files = [each.read_bytes() for each in pathlib.Path(folder).iterdir()]
        finally:
            process.terminate()
            process.wait(PATIENCE)
    assert (report["accepted"], report["lost_connections"]) == (100, 0)
    assert len(files) == 100
    assert len({text.split(b"end of ")[1].split()[0] for text in files}) == 100


@needs_postfix
def test_sink_takes_what_postfixs_generator_sends():
    with sink() as end:
        subprocess.run(["/usr/sbin/smtp-source", "-s", "5", "-m", "100", "-l", "20000", "-f",
                        "a@b.example", "-t", "x@d.example", f"127.0.0.1:{end.port}"], check=True,
                       timeout=PATIENCE)
        got = end.stop()
    assert (got["messages"], got["foreign"], got["copies"]) == (100, 100, 0)


@needs_postfix
@pytest.mark.parametrize("is_tls", [False, True], ids=["clear", "TLS"])
def test_mail_through_postfix_is_accounted_for(is_tls, ids, certificate):
    with sink(ids=ids, **(certificate if is_tls else {})) as end:
        tls = {"smtp_tls_security_level": "encrypt", "smtpd_tls_security_level": "encrypt",
               "smtpd_tls_cert_file": certificate["cert"],
               "smtpd_tls_key_file": certificate["key"]} if is_tls else {}
        with reference.Reference(
                "smtp unix - - n - - smtp\n", default_transport=f"smtp:[127.0.0.1]:{end.port}",
                mynetworks="127.0.0.0/8", smtpd_peername_lookup="no", mydestination="",
                smtpd_relay_restrictions="permit_mynetworks, reject", **tls) as postfix:
            sent = load(postfix.port, sessions=5, messages=60, size="realistic", recipients=3,
                        ids=ids, starttls=is_tls)
            got = settled(end, "copies", 180)
    assert (sent["accepted"], sent["recipients_accepted"]) == (60, 180)
    assert (got["missing"], got["duplicates"], got["foreign"], got["damaged"]) == (0, 0, 0, 0)
    assert bool(got["tls_connections"]) == is_tls
    assert got["latency_us"]["max"] >= sent["latency_us"]["min"] > 0


def compare(*arguments):
    """The cells of bench/run's tables, a list for each row of a relay or the harness."""
    process = subprocess.Popen(
        [ROOT / "bench" / "run", BUILD, "--rounds", "1", "--seconds", "10", "--messages", "40",
         *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        stdout, stderr = process.communicate(timeout=100)
    finally:
        process.terminate()  # it takes its relays down
        process.wait(PATIENCE)
    assert process.returncode == 0, stderr
    rows = [line.split("|")[1:-1] for line in stdout.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in row] for row in rows]
    rows = [row for row in rows if row[0] not in ("---", "")]
    for row in rows:
        print(row)
        if row[0] != "no relay":
            assert float(row[1]) > 0 and float(row[4]) > 0 and float(row[7]) > 0, (row, stderr)
            assert not any(word in row[-1] for word in ("not delivered", "twice", "damaged")), row
    return rows


@needs_postfix
@no_figures
def test_relays_are_compared_in_one_run():
    rows = compare("--only", "waypost,postfix", "--no-flushes", "--scenario", "20-sessions,restart")
    assert [row[0] for row in rows] == ["Waypost", "Postfix", "no relay"] * 2
    assert rows[1][2] == rows[1][5] == "1"  # it is what the others are compared with


@needs_postfix
@no_figures
def test_a_bench_that_is_killed_leaves_nothing_running():
    place = pathlib.Path(tempfile.mkdtemp(prefix="waypost-killed-", dir="/var/tmp"))
    place.chmod(0o755)
    process = subprocess.Popen(
        [ROOT / "bench" / "run", BUILD, "--rounds", "9", "--folder", place, "--only",
         "waypost", "--no-flushes", "--scenario", "20-sessions"], stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)

    def masters():
        """Processes that were started with a configuration there, the bench itself aside."""
        return [int(each.parent.name) for each in pathlib.Path("/proc").glob("[0-9]*/cmdline")
                if f"{place}/".encode() in content_of(each)
                and int(each.parent.name) != process.pid]

    def roles():
        return sum([family(pid)[1:] for pid in masters()], [])
    try:
        started = wait_until(lambda: len(roles()) > 4 and roles(), "a relay with its processes")
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: not masters() and not any(map(is_alive, started)), "the end of the relay")
    wait_until(lambda: not list(place.iterdir()), "its folder to be removed")
    place.rmdir()


def content_of(path):
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""


@needs_postfix
@no_figures
def test_bench_keeps_idle_connections_beside_the_load():
    [row, _] = compare("--only", "waypost", "--no-flushes", "--scenario", "idle", "--idle", "30")
    assert "idle connections kept: 30" in row[-1]


@needs_postfix
@no_figures
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace counts the flushes")
def test_bench_counts_a_flush_for_each_message_of_one_session():
    [row, _] = compare("--only", "waypost", "--scenario", "1-session")
    assert 1 <= float(row[8]) < 10, row  # nothing shares the commit that a 250 waits for


@pytest.mark.parametrize("stage,field,count", [
    ("mail=450:4", "refused", 25), ("end=550:10", "refused", 10), ("rcpt=452:5", "refused", 20)])
@pytest.mark.parametrize("no_pipelining", [False, True])
def test_refusals_are_counted_on_both_sides(stage, field, count, no_pipelining, ids):
    with sink(refuse=stage, ids=ids) as end:
        sent = load(end.port, sessions=4, messages=100, ids=ids, no_pipelining=no_pipelining)
        got = end.stop()
    assert (sent["accepted"], sent["refused"], sent["unsent"]) == (100 - count, count, 0)
    assert (got["messages"], got["refused"]) == (100 - count, count)
    assert (got["expected"], got["missing"]) == (100 - count, 0)


def test_refused_recipient_is_not_expected_at_the_sink(ids):
    with sink(refuse="rcpt=550:3", ids=ids) as end:
        sent = load(end.port, messages=30, recipients=4, ids=ids)
        got = end.stop()
    assert (sent["accepted"], sent["recipients_accepted"], sent["recipients_refused"]) == \
        (30, 80, 40)
    assert (got["copies"], got["expected"], got["missing"]) == (80, 80, 0)


def test_what_does_not_arrive_is_named(ids):
    with sink() as first:
        load(first.port, messages=20, ids=ids)
    with sink(ids=ids) as end:
        got = end.stop()
    assert (got["expected"], got["missing"]) == (20, 20)
    assert got["missing_copies"] == ids.read_text().splitlines()[:10]


MARKED = ("X-Bench-Mark: ab01.{number:08x} 0000000000000001\r\n\r\n{body}"
          "end of ab01.{end:08x}\r\n")


def test_sink_sees_duplicates_and_damage():
    with sink() as end, Client("127.0.0.1", end.port) as client:
        client.command("EHLO x.example")
        for number, last in [(1, 1), (2, 2), (1, 1), (3, 4)]:
            content = MARKED.format(number=number, end=last, body=".\r\n..\r\nx.\r\n" * 9000)
            assert client.deliver("a@b.example", ["u5@d0.bench.example"], content)[0] == 250
        assert client.deliver("a@b.example", ["u5@d0.bench.example"], MARKED.format(
            number=5, end=5, body="")[:-2] + "cut off\r\n")[0] == 250
        assert client.deliver("a@b.example", ["other@d0.bench.example"], MARKED.format(
            number=6, end=6, body=""))[0] == 250
        got = end.stop()
    assert (got["messages"], got["copies"], got["duplicates"], got["damaged"],
            got["foreign"]) == (6, 2, 1, 2, 1)


def test_sink_reads_content_that_comes_byte_by_byte():
    with sink() as end, Client("127.0.0.1", end.port) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(2):
            content = MARKED.format(number=number, end=number, body="..\r\n.x.\r\n")
            for byte in ("MAIL FROM:<>\r\nRCPT TO:<u0@d0.bench.example>\r\nDATA\r\n" + content +
                         ".\r\n"):
                client.send(byte)
            assert [client.reply()[0] for _ in range(4)] == [250, 250, 354, 250]
        got = end.stop()
    assert (got["messages"], got["copies"], got["damaged"], got["foreign"]) == (2, 2, 0, 0)


def test_latency_counts_from_the_moment_a_message_was_due():
    with sink(delay="end=50") as end:
        paced = load(end.port, sessions=1, messages=20, rate=1000)
        closed = load(end.port, sessions=1, messages=5)
    # The server takes 50 ms for each while one is due each millisecond: the last one waits for all.
    assert paced["latency_us"]["max"] >= 20 * 50000 - 20000
    assert closed["latency_us"]["min"] >= 50000
    assert closed["latency_us"]["count"] == 5


@pytest.mark.parametrize("stage", ["banner", "mail", "rcpt", "end"])
def test_delayed_replies_hold_nobody_else_up(stage):
    with sink(delay=f"{stage}=300") as end:
        report = load(end.port, sessions=60, messages=60)
        got = end.stop()
    assert (report["accepted"], got["copies"]) == (60, 60)
    assert 0.3 <= report["wall_s"] < 12  # 60 times 300 ms if they waited for each other


def test_open_loop_keeps_its_rate():
    with sink() as end:
        report = load(end.port, sessions=5, messages=100, rate=200)
    assert report["wall_s"] >= 99 / 200
    assert report["accepted"] == 100


def test_idle_connections_stay():
    with sink() as end:
        report = load(end.port, sessions=2, messages=50, idle=300)
        got = end.stop()
    assert (report["idle_open"], report["idle_lost"], report["accepted"]) == (300, 0, 50)
    assert got["most_connections"] == 302


class Scripted:
    """A server that says its lines, one for each that it reads, then closes; and again."""

    def __init__(self, *plays):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.thread = threading.Thread(target=self.run, args=(plays,), daemon=True)
        self.thread.start()

    def run(self, plays):
        for play in plays:
            connection, _ = self.server.accept()
            with connection, connection.makefile("rb") as file:
                for reply in play:
                    connection.sendall(reply)
                    if reply.startswith(b"354"):
                        while file.readline() not in (b".\r\n", b""):
                            pass
                    elif reply is not play[-1]:
                        file.readline()
        self.server.close()


HELLO = [b"220 x\r\n", b"250 x\r\n", b"250 ok\r\n", b"250 ok\r\n"]
GOOD = [*HELLO, b"354 x\r\n", b"250 ok\r\n", b"221 bye\r\n"]


def test_connection_that_ends_before_the_content_is_tried_again():
    server = Scripted(HELLO[:3], [b"421 not now\r\n"], [b""], [*HELLO, b"421 shut down\r\n"], GOOD)
    report = load(server.port, messages=1)
    assert (report["accepted"], report["unanswered"], report["connections"]) == (1, 0, 3)
    assert (report["lost_connections"], report["connect_failures"]) == (2, 2)


def test_connection_that_ends_behind_the_content_is_unanswered(ids):
    server = Scripted([*HELLO, b"354 x\r\n", b""], GOOD)
    report = load(server.port, messages=2, ids=ids)
    assert (report["accepted"], report["unanswered"], report["sent"]) == (1, 1, 2)
    assert len(ids.read_text().splitlines()) == 1  # nobody knows whether it was accepted


def test_reply_that_makes_no_sense_ends_the_connection():
    server = Scripted([b"hello\r\n"], [b"220 x\r\n", b"99 bottles\r\n"], GOOD)
    report = load(server.port, messages=1)
    assert (report["accepted"], report["lost_connections"], report["connect_failures"]) == (1, 1, 1)


def test_generator_ends_though_nobody_answers():
    with socket.create_server(("127.0.0.1", 0)) as server:
        report = BenchLoad(BUILD, server.getsockname()[1], sessions=3, messages=10, seconds=0.2,
                           patience=0.3).wait(PATIENCE)
    assert (report["accepted"], report["begun"], report["unsent"]) == (0, 3, 3)


def test_generator_waits_for_a_server_that_is_not_there_yet(ids):
    port = free_port()
    sender = BenchLoad(BUILD, port, sessions=3, messages=10, ids=ids)
    try:
        wait_until(lambda: sender.report()["connect_failures"] >= 3, "failed connections")
        with BenchSink(BUILD, port=port, ids=ids) as end:
            report = sender.wait(PATIENCE)
            got = end.stop()
    finally:
        sender.kill()
    assert (report["accepted"], got["missing"], got["copies"]) == (10, 0, 10)
