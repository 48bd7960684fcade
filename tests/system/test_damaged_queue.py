# SPDX-License-Identifier: Apache-2.0
"""A queue whose disk fails it: bits that flip, a file that shrinks, a file system that the kernel
makes read-only. What is damaged is set aside and told; all else is delivered."""
import os
import pathlib
import re
import signal
import struct
import subprocess
import tempfile
import threading

import pytest

from world import Client, Instance, Sink, free_port, wait_until

SENDER, RECIPIENT = "sender@example.test", "user@example.com"
BODY_BYTES = 6000  # beyond a leaf of the store: content in pages of its own


def relay_to(port, **parameters):
    return Instance(relayhost=f"[127.0.0.1]:{port}", minimal_backoff_time="1s",
                    maximal_backoff_time="2s", queue_run_delay="1s", **parameters)


def body(token):
    line = f"{token} and what follows it in a line of some length\r\n"
    return line * (BODY_BYTES // len(line))


def send(relay, token, recipient=RECIPIENT):
    """The reply's code; 0 where there was none."""
    try:
        with Client("127.0.0.1", relay.port, 20) as client:
            if client.banner[0] != 220:
                return client.banner[0]
            client.command("EHLO client.example.test")
            content = f"Subject: {token}\r\n\r\n{body(token)}"
            return client.deliver(SENDER, [recipient], content)[0]
    except (OSError, ValueError):
        return 0


def fill(relay, count):
    tokens = {f"token-{number:03}." for number in range(count)}
    for token in sorted(tokens):
        assert send(relay, token) == 250
    relay.wait_log(r"status=deferred", count)
    return tokens


def tokens_at(sink):
    """Of the messages that came, each of them whole."""
    found = set()
    for message in list(sink.messages):
        token = re.search(r"^Subject: (\S+)", message.text, re.M)[1]
        assert message.text.endswith(f"\r\n\r\n{body(token)}"), message.text
        found.add(token)
    return found


def half_of_the_tree(path):
    """How many bytes of a file of LMDB's have the root and half of what is below it (lmdb.h keeps
    that to itself; tests/unit/store/damage_test.c looks at all other cuts)."""
    content = path.read_bytes()
    metas = [struct.unpack_from("<Q8xQ", content, meta * 4096 + 16 + 24 + 48 + 40)
             for meta in range(2)]
    root = max(metas, key=lambda meta: meta[1])[0]
    page = content[root * 4096:(root + 1) * 4096]
    [lower] = struct.unpack_from("<H", page, 12)
    nodes = struct.unpack_from(f"<{(lower - 16) // 2}H", page, 16)
    children = sorted(int.from_bytes(page[node:node + 6], "little") for node in nodes)
    return (max(root, children[len(children) // 2]) + 1) * 4096


def flip_a_bit(path, text):
    """In each place where the file has the text; how many there are."""
    content = path.read_bytes()
    places = [match.start() for match in re.finditer(re.escape(text), content)]
    with open(path, "r+b") as file:
        for place in places:
            file.seek(place)
            file.write(bytes([content[place] ^ 4]))
    return len(places)


def test_a_message_with_a_flipped_bit_is_set_aside_and_told_and_the_rest_is_served():
    port = free_port()
    with relay_to(port) as relay:
        tokens = fill(relay, 20)
        assert flip_a_bit(relay.queue / "store" / "data.mdb", b"token-007. and what") > 0
        with Sink(port=port) as sink:
            wait_until(lambda: tokens - {"token-007."} <= tokens_at(sink), "all the others")
            [queue_id] = relay.wait_log(
                r"error: (\w+): its content fails the checksum .*; the message is on hold: restore it, "
                r"or delete it with postsuper -d")
            assert f"{queue_id}!" in relay.run("mailq", config_option="-C").stdout
            assert send(relay, "afterwards.") == 250
            wait_until(lambda: "afterwards." in tokens_at(sink), "mail that comes later")
            relay.run("postsuper", "-d", queue_id)
            wait_until(relay.queue_is_empty, "an empty queue")
            assert "token-007." not in tokens_at(sink)


def test_an_envelope_with_a_flipped_bit_is_set_aside_and_told_and_the_rest_is_served():
    port = free_port()
    with relay_to(port) as relay:
        tokens = fill(relay, 20)
        assert send(relay, "victim.", "victim@example.com") == 250
        relay.wait_log(r"to=<victim@example.com>.*status=deferred")
        relay.stop()
        assert flip_a_bit(relay.queue / "store" / "data.mdb", b"\0victim@example.com") > 0
        relay.start()
        with Sink(port=port) as sink:
            wait_until(lambda: tokens <= tokens_at(sink), "all the others")
            [queue_id] = set(relay.wait_log(
                r"error: (\w+): its record in the queue cannot be read .*; it is left alone"))
            shown = relay.run("mailq", config_option="-C")
            assert f"{queue_id}: its record in the queue is damaged" in shown.stderr
            assert "empty" not in shown.stdout
            shown = relay.run("postcat", "-q", queue_id, check=False)
            assert body("victim.").splitlines()[-1] in shown.stdout and shown.returncode != 0
            assert "Deleted: 1 message" in relay.run("postsuper", "-d", queue_id).stderr
            assert relay.queue_is_empty() and relay.run("mailq", config_option="-C").stderr == ""
            assert "victim." not in tokens_at(sink)


def test_a_queue_file_cut_short_in_use_is_rescued_and_mail_goes_on():
    port = free_port()
    with relay_to(port) as relay:
        fill(relay, 60)
        data = relay.queue / "store" / "data.mdb"
        [pid] = relay.role_pids()["queue"]
        os.kill(pid, signal.SIGSTOP)  # nothing changes while the tree is looked at
        os.truncate(data, half_of_the_tree(data))
        os.kill(pid, signal.SIGCONT)
        with Sink(port=port) as sink:
            wait_until(lambda: send(relay, "afterwards.") == 250, "mail to be taken again")
            wait_until(lambda: "afterwards." in tokens_at(sink), "its delivery")
            relay.wait_log(r"the queue's data file was damaged \(.*truncated.*\); rescued \d+ records")
            relay.wait_log(r"the queue was repaired: .*release it with postqueue -f")
            assert tokens_at(sink) == {"afterwards."}
            relay.run("postqueue", "-f")

            def is_settled():
                told = set(re.findall(r"error: (\w+): its (?:content|record)", relay.log()))
                listed = relay.run("mailq", config_option="-C")
                left = set(re.findall(r"^([0-9A-F]{6,})\b", listed.stdout, re.M))
                return left <= told
            wait_until(is_settled, "the rest to be delivered or told as damaged")
        # The mapping ends it, or a read or a commit fails first and the file is opened anew; once.
        ends = re.findall(r"process queue pid \d+ (?:killed by signal|exit status)", relay.log())
        reopened = re.findall("reopened the queue after an error", relay.log())
        assert len(ends) + len(reopened) == 1
        assert (data.parent / "data.mdb.damaged").exists()


def test_a_queue_file_that_is_lost_is_waited_for_and_never_made_anew():
    port = free_port()
    with relay_to(port) as relay:
        tokens = fill(relay, 20)
        [pid] = relay.role_pids()["queue"]
        os.kill(pid, signal.SIGSTOP)
        data = relay.queue / "store" / "data.mdb"
        copy = data.read_bytes()
        os.truncate(data, 2 * 4096)
        os.kill(pid, signal.SIGKILL)
        relay.wait_log(r"fatal: queue: .*data\.mdb.*it cannot be rescued \(.*\): put a copy of the file "
                       r"in its place, or move the whole folder away", 3)
        assert send(relay, "meanwhile.") == 451
        assert len(re.findall(r"fatal: queue: ", relay.log())) < 10, "pauses grow"
        assert data.stat().st_size == 2 * 4096
        data.write_bytes(copy)
        with Sink(port=port) as sink:
            wait_until(lambda: tokens <= tokens_at(sink), "what was promised")


@pytest.fixture
def ext4():
    """A small file system of its own, that becomes read-only at its first error."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="waypost-ext4-"))
    image = folder.with_suffix(".image")
    with open(image, "wb") as file:
        file.truncate(256 << 20)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", image], check=False).returncode == 0 and \
        mount(image, folder)
    if not made:
        image.unlink()
        pytest.skip("no loop devices here")
    yield folder, image
    subprocess.run(["umount", "-l", folder], check=True)
    folder.rmdir()
    image.unlink()


def mount(image, folder):
    return subprocess.run(["mount", "-o", "loop,errors=remount-ro", image, folder],
                          check=False).returncode == 0


def make_read_only(folder):
    """As the kernel does when it finds the file system damaged."""
    device = pathlib.Path(os.path.realpath(subprocess.run(
        ["findmnt", "-no", "SOURCE", folder], check=True, capture_output=True,
        text=True).stdout.strip())).name
    trigger = pathlib.Path("/sys/fs/ext4") / device / "trigger_fs_error"
    try:
        trigger.write_text("a test")
    except OSError:
        pytest.skip("this kernel makes no such errors")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_a_file_system_made_read_only_under_load_loses_nothing_that_was_promised(ext4):
    folder, image = ext4
    port = free_port()
    promised, answers, stopped = set(), set(), threading.Event()
    with relay_to(port, queue_directory=folder / "spool") as relay:
        relay.queue = folder / "spool"

        def client(number):
            count = 0
            while not stopped.is_set():
                count += 1
                token = f"load-{number}-{count}."
                code = send(relay, token)
                answers.add(code)
                if code == 250:
                    promised.add(token)
        clients = [threading.Thread(target=client, args=(number,)) for number in range(4)]
        for each in clients:
            each.start()
        try:
            wait_until(lambda: len(promised) > 20, "some load")
            make_read_only(folder)
            relay.wait_log(r"fatal: queue: the file system with the queue is read-only, .*mount it again")
        finally:
            stopped.set()
            for each in clients:
                each.join()
        assert answers <= {250, 451, 0}
        relay.kill_everything()  # a stop wants to write, too
        subprocess.run(["umount", folder], check=True)
        subprocess.run(["e2fsck", "-p", image], check=False, capture_output=True)
        assert mount(image, folder)
        with Sink(port=port) as sink:
            relay.start()
            wait_until(lambda: promised <= tokens_at(sink), "what was promised")
            relay.stop()
