# SPDX-License-Identifier: Apache-2.0
"""waypost queue: selecting queued mail and acting on what was selected, up and down, for people and
for scripts."""
import json
import os
import pty
import re
import subprocess
import time

import pytest

from world import Instance, Sink, wait_until

MAPS = ("inline:{slow.example=retry:4.4.1_connection_timed_out, "
        "full.example=retry:4.2.2_mailbox_is_full}")


def send(relay, sender, *recipients, size=10):
    relay.sendmail("-f", sender, *recipients, input="Subject: x\n\n" + "x" * 70 + "\n" * size)




@pytest.fixture(params=["up", "down"])
def filled(request):
    with Instance(relayhost="[127.0.0.1]:1", transport_maps=MAPS) as relay:
        send(relay, "anna@a.example", "one@slow.example")
        send(relay, "bert@a.example", "two@full.example", "three@slow.example")
        send(relay, "carl@b.example", "four@refused.example", size=20000)
        send(relay, "<>", "five@slow.example")
        wait_until(lambda: len(re.findall("status=deferred", relay.log())) >= 5, "deferred mail")
        wait_until(lambda: "*" not in relay.run("postqueue", "-p").stdout, "mail at rest")
        if request.param == "down":
            relay.stop()
        yield relay


def queue(relay, *arguments, **more):
    return relay.run("waypost", "queue", *arguments, "-c", relay.config, config_option=None, **more)


def selected(relay, *arguments):
    """The recipients of the selected messages."""
    rows = [json.loads(line) for line in queue(relay, *arguments, "--json").stdout.splitlines()]
    # All of a message may be delivered, and that not be written yet.
    return sorted(row["recipients"][0]["address"].split("@")[0] for row in rows
                  if row["recipients"])


@pytest.mark.parametrize("arguments, expected", [
    ([], ["five", "four", "one", "two"]),
    (["--destination", "slow.example"], ["five", "one", "two"]),
    (["--destination", "SLOW.*"], ["five", "one", "two"]),
    (["--destination", "low.example"], []),
    (["--sender", "anna@a.example"], ["one"]),
    (["--sender", "@a.example"], ["one", "two"]),
    (["--sender", "*@?.example"], ["four", "one", "two"]),
    (["--sender", "<>"], ["five"]),
    (["--recipient", "three@slow.example"], ["two"]),
    (["--recipient", "@full.example", "--sender", "carl@b.example"], []),
    (["--reason", "TIMED.out"], ["five", "one", "two"]),
    (["--reason", "Connection refused|is_full"], ["four", "two"]),
    (["--reason", "is_full", "--destination", "slow.example"], []),
    (["--status", "deferred"], ["five", "four", "one", "two"]),
    (["--status", "hold,active"], []),
    (["--older", "1h"], []),
    (["--older", "0"], ["five", "four", "one", "two"]),
    (["--larger", "10K"], ["four"]),
    (["--larger", "1G"], []),
])
def test_selection_means_what_it_says(filled, arguments, expected):
    assert selected(filled, *arguments) == expected


def test_people_see_each_message_in_eighty_columns_and_a_sum(filled):
    result = queue(filled, "--destination", "slow.example")
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["QUEUE", "ID", "STATUS", "AGE", "SIZE", "NEXT", "SENDER"]
    assert re.fullmatch(r"\w{12} +deferred +\d+s +\d+ +\d+m +anna@a\.example", lines[1])
    assert lines[2] == "  to one@slow.example"
    assert "timed_out" in lines[3]
    assert re.fullmatch(r"3 messages \(4 recipients, .* bytes, the oldest \d+s old\)", lines[-1])
    assert all(len(line) <= 80 for line in lines if "timed_out" not in line)
    assert "\033" not in result.stdout
    assert queue(filled, "--sender", "none@x").stdout == "0 messages\n"


def test_without_a_terminal_nothing_is_done_without_yes(filled):
    for action in ("--delete", "--hold", "--bounce", "--retry"):
        result = queue(filled, action, check=False, input="y\n")
        assert result.returncode == 64
        assert result.stderr.startswith("waypost queue: fatal: 4 messages (5 recipients, ") or \
            "down" in result.stderr
        assert "nothing is done without --yes, as nobody can be asked here" in result.stderr
    assert len(selected(filled)) == 4


def test_delete_hold_release(filled):
    assert queue(filled, "--sender", "@a.example", "--hold", "--yes").stdout == \
        "2 messages put on hold\n"
    assert selected(filled, "--status", "hold") == ["one", "two"]
    assert queue(filled, "--status", "hold", "--recipient", "one@*", "--delete", "--yes").stdout \
        == "1 message deleted\n"
    assert queue(filled, "--release", "--yes").stdout == "1 message released from hold\n"
    assert selected(filled) == ["five", "four", "two"]
    filled.wait_log(r"postfix/waypost-queue\[\d+\]: \w+: deleted$")
    assert queue(filled, "--sender", "none@x", "--delete").stdout == "0 messages deleted\n"


@pytest.mark.parametrize("arguments", [
    ["--nonsense"], ["x"], ["--delete", "--hold"], ["--json", "--delete"], ["--older", "soon"],
    ["--larger", "big"], ["--status", "lost"], ["--reason", "("], ["--sender"],
    ["--sender", "a", "--sender", "b"],
])
def test_wrong_command_lines_say_what_is_wrong_and_do_nothing(arguments):
    with Instance() as relay:
        result = queue(relay, *arguments, check=False)
        assert result.returncode == 64
        assert re.match(r"waypost queue: fatal: .+", result.stderr)


def test_retry_and_bounce_happen_now():
    with Sink() as sink:
        port = sink.port
    with Instance(relayhost=f"[127.0.0.1]:{port}", minimal_backoff_time="3000s") as relay:
        for name in ("first", "second", "third"):
            send(relay, f"{name}@a.example", f"to-{name}@far.example")
        wait_until(lambda: len(re.findall("status=deferred", relay.log())) >= 3, "deferred mail")
        with Sink(port=port) as sink:
            queue(relay, "--sender", "first@*", "--retry", "--yes")
            [message] = sink.wait(1)
            assert message.recipients == ["to-first@far.example"]
            queue(relay, "--sender", "second@*", "--hold", "--yes")
            assert queue(relay, "--sender", "second@*", "--bounce", "--yes").stdout == \
                "1 message returned to the senders\n"
            notice = sink.wait(2)[1]
            assert notice.recipients == ["second@a.example"]
            wait_until(lambda: selected(relay) == ["to-third"], "what was not meant")


def on_terminal(relay, *arguments, answer=None):
    """The same on a terminal of its own; what appears there, and the exit status."""
    process, terminal = pty.fork()
    if process == 0:
        os.environ.update({"TERM": "xterm", "COLUMNS": "80"})
        os.execv(relay.bin / "waypost", ["waypost", "queue", *arguments, "-c", str(relay.config)])
    seen = b""
    answered = answer is None
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            data = os.read(terminal, 4096)
        except OSError:
            break
        if not data:
            break
        seen += data
        if not answered and b"[y/N]" in seen:
            os.write(terminal, answer)
            answered = True
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    os.close(terminal)
    return seen.decode(), status


def test_on_a_terminal_it_is_coloured_and_asks():
    with Instance(relayhost="[127.0.0.1]:1") as relay:
        send(relay, "anna@a.example", "one@far.example")
        relay.wait_log("status=deferred")
        seen, status = on_terminal(relay)
        assert status == 0 and "\033[33m deferred" in seen
        seen, status = on_terminal(relay, "--delete", answer=b"n\n")
        assert status == 75 and "Delete 1 message (1 recipient" in seen
        assert selected(relay) == ["one"]
        seen, status = on_terminal(relay, "--delete", answer=b"y\n")
        assert status == 0 and "1 message deleted" in seen
        assert selected(relay) == []


def test_hostile_texts_reach_no_terminal():
    with Sink(answers={"RCPT": lambda address: "450 4.2.0 \033[31mred"}) as sink:
        with Instance(relayhost=f"[127.0.0.1]:{sink.port}") as relay:
            send(relay, "anna@a.example", "one@far.example")
            relay.wait_log("status=deferred")
            for words in (["queue"], ["queue", "--json"], ["why", "far.example"],
                          ["top", "--once"], ["top", "--json"], ["why", "--json", "far.example"]):
                out = subprocess.run([relay.bin / "waypost", *words, "-c", relay.config],
                                     capture_output=True, check=True).stdout
                assert b"\033" not in out
                assert b"[31mred" in out


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming somebody else needs root")
def test_ordinary_users_may_look_but_not_act():
    with Instance(relayhost="[127.0.0.1]:1") as relay:
        send(relay, "anna@a.example", "one@far.example")
        relay.wait_log("status=deferred")
        as_nobody = {"user": 65534, "group": 65534, "extra_groups": []}
        assert "one@far.example" in queue(relay, **as_nobody).stdout
        result = queue(relay, "--delete", "--yes", check=False, **as_nobody)
        assert result.returncode == 77
        assert "reserved for the superuser" in result.stderr
        assert selected(relay) == ["one"]
