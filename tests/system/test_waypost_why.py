# SPDX-License-Identifier: Apache-2.0
"""waypost why and waypost top: what they say of destinations and messages, of limits and who set
them, on a terminal and for scripts."""
import fcntl
import json
import os
import pty
import re
import select
import struct
import termios
import time

import pytest

from world import MASTER_CF, Instance, Sink, wait_until

EXTRA = "slow      unix  -       -       n       -       7       smtp\n"


def send(relay, *recipients, sender="s@example.test"):
    relay.sendmail("-f", sender, *recipients, input="Subject: x\n\nx\n")


def waypost(relay, *arguments, **more):
    return relay.run("waypost", *arguments, "-c", relay.config, config_option=None, **more)


def why(relay, name):
    return json.loads(waypost(relay, "why", "--json", name).stdout)


def top(relay):
    return json.loads(waypost(relay, "top", "--json").stdout)


def limit(answer, name):
    [row] = [row for row in answer["limits"] if row["name"] == name]
    return row["value"], re.sub(r"\d+", "N", row["set_by"])


@pytest.fixture
def relay():
    with Instance(master_cf=MASTER_CF + EXTRA, relayhost="[127.0.0.1]:1",
                  transport_maps="inline:{slow.example=slow:[127.0.0.1]:1}",
                  slow_destination_concurrency_limit="2", default_destination_rate_delay="0s",
                  minimal_backoff_time="600s", maximal_queue_lifetime="2d") as instance:
        yield instance


def test_limits_name_who_set_them(relay):
    [answer] = why(relay, "slow.example")["destinations"]
    assert (answer["transport"], answer["nexthop"]) == ("slow", "[127.0.0.1]:1")
    assert limit(answer, "slow_destination_concurrency_limit") == (2, "main.cf, line N")
    assert limit(answer, "default_destination_rate_delay") == (0, "main.cf, line N")
    assert limit(answer, "default_destination_recipient_limit") == (50, "default")
    assert limit(answer, "maxproc") == (7, "master.cf, line N")
    [answer] = why(relay, "other.example")["destinations"]
    assert answer["transport"] == "smtp"
    assert limit(answer, "default_destination_concurrency_limit") == (20, "default")
    assert limit(answer, "default_process_limit") == (100, "default")


def test_configuration_that_is_not_in_force_is_told(relay):
    relay.parameters["slow_destination_concurrency_limit"] = "9"
    relay.write()
    text = waypost(relay, "why", "slow.example").stdout
    assert re.search(r"slow_destination_concurrency_limit = 2 .* changed since: postfix reload",
                     text)
    relay.reload()
    wait_until(lambda: "slow_destination_concurrency_limit = 9" in
               waypost(relay, "why", "slow.example").stdout, "the new limit")
    assert "changed since" not in waypost(relay, "why", "slow.example").stdout


def test_last_answers_and_amounts(relay):
    for i in range(3):
        send(relay, f"user{i}@slow.example")
    relay.wait_log("status=deferred", 3)
    wait_until(lambda: "*" not in relay.run("postqueue", "-p").stdout, "mail at rest")
    [answer] = why(relay, "slow:[127.0.0.1]:1")["destinations"]
    assert answer["deferred"] == 3 and answer["held"] == 0
    assert answer["deferred_total"] == 3 and answer["sent_total"] == 0
    assert abs(answer["oldest_arrival_time"] - time.time()) < 30
    assert answer["replies"][0]["status"] == "deferred"
    assert "Connection refused" in answer["replies"][0]["text"]
    relay.run("postsuper", "-h", "ALL")
    assert why(relay, "slow:[127.0.0.1]:1")["destinations"][0]["held"] == 3


def test_dead_destination_is_told_with_its_reason_and_its_end():
    with Sink(answers={"MAIL": "421 4.3.2 too busy"}) as sink:
        with Instance(relayhost=f"[127.0.0.1]:{sink.port}", minimal_backoff_time="600s",
                      initial_destination_concurrency="1", smtp_fallback_relay="") as relay:
            for i in range(3):
                send(relay, f"user{i}@far.example")
            relay.run("postqueue", "-f")

            def is_dead():
                for i in range(2):
                    send(relay, "more@far.example")
                rows = why(relay, "far.example")["destinations"]
                return [row for row in rows if row["blocked_by"] == "dead"]
            [answer] = wait_until(is_dead, "a dead destination")
            assert "too busy" in answer["dead_reason"]
            assert 0 < answer["blocked_until"] - time.time() <= 600
            [row] = top(relay)["destinations"]
            assert row["blocked_by"] == "dead"
            text = waypost(relay, "why", "far.example").stdout
            assert re.search(r"now +dead until \d{4}-\d\d-\d\d [\d:]{8} \(in \d+m\)", text)


def test_message_tells_when_it_is_tried_next_and_why(relay):
    send(relay, "user@slow.example")
    relay.wait_log("status=deferred")
    wait_until(lambda: "*" not in relay.run("postqueue", "-p").stdout, "mail at rest")
    queue_id = json.loads(relay.run("postqueue", "-j").stdout)["queue_id"]
    answer = why(relay, queue_id)
    message = answer["message"]
    assert message["queue_name"] == "deferred" and message["attempts"] == 1
    assert 500 < message["next_attempt_time"] - time.time() < 700
    assert "Connection refused" in message["recipients"][0]["delay_reason"]
    assert answer["destinations"][0]["transport"] == "slow"
    assert limit(answer, "minimal_backoff_time") == (600, "main.cf, line N")
    text = waypost(relay, "why", queue_id).stdout
    assert re.search(r"next try +\d{4}-\d\d-\d\d [\d:]{8} \(in \d+m\)", text)
    assert re.search(r"expires +.*\(in 1d23h\)", text)
    assert "minimal_backoff_time = 600 (main.cf, line " in text
    relay.run("postsuper", "-h", queue_id)
    assert "never: it is on hold" in waypost(relay, "why", queue_id).stdout
    relay.run("postsuper", "-H", queue_id, "-d", queue_id)
    result = waypost(relay, "why", queue_id, check=False)
    assert result.returncode == 66
    assert "no such message in the queue" in result.stderr


def test_concurrency_limit_is_what_blocks_behind_a_server_that_hangs():
    with Sink() as sink:
        import socket
        with socket.socket() as hanging:
            hanging.bind(("127.0.0.1", 0))
            hanging.listen(20)
            port = hanging.getsockname()[1]
            with Instance(relayhost=f"[127.0.0.1]:{port}", smtp_destination_concurrency_limit="2",
                          initial_destination_concurrency="2") as relay:
                for i in range(5):
                    send(relay, f"user{i}@far.example")
                def is_blocked():
                    rows = top(relay)["destinations"]
                    return rows and rows[0]["waiting"] == 3 and rows[0]
                row = wait_until(is_blocked, "what waits")
                assert row["in_flight"] == 2
                assert row["blocked_by"] == "concurrency limit"


def test_top_once_fits_a_terminal_and_json_counts(relay):
    send(relay, "a@slow.example")
    send(relay, "b@other.example", "c@other.example")
    relay.wait_log("status=deferred", 3)
    wait_until(lambda: "*" not in relay.run("postqueue", "-p").stdout, "mail at rest")
    answer = top(relay)
    assert answer["messages"] == 2 and answer["accepted_total"] == 2
    assert answer["deferred_total"] == 3 and answer["is_accepting"]
    assert answer["per_second"]["in"] > 0
    assert {(row["transport"], row["deferred"]) for row in answer["destinations"]} == {
        ("slow", 1), ("smtp", 2)}
    lines = waypost(relay, "top", "--once").stdout.splitlines()
    assert lines[3].split()[:5] == ["DESTINATION", "SEND", "WAIT", "DEFER", "OLDEST"]
    assert lines[4].startswith("smtp:[127.0.0.1]:1 ")  # the most mail first
    assert "\033" not in "".join(lines)


class Screen:
    """A terminal with `waypost top` on it."""

    def __init__(self, relay, columns=80, rows=24):
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.environ["TERM"] = "xterm"
            time.sleep(0.3)
            os.execv(relay.bin / "waypost",
                     ["waypost", "top", "--interval", "1", "-c", str(relay.config)])
        self.resize(columns, rows)
        self.seen = b""

    def resize(self, columns, rows):
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds):
        """What is drawn within the time."""
        start = len(self.seen)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if select.select([self.terminal], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.terminal, 65536)
                except OSError:
                    break
        return self.seen[start:].decode(errors="replace")

    def frames(self, seconds):
        """Whole frames, as lines without escape sequences."""
        drawn = self.read(seconds).split("\033[H")[1:]
        return [re.sub(r"\033\[[?\d;]*[A-Za-z]", "", each.split("\033[J")[0]).split("\r\n")
                for each in drawn if "\033[J" in each]

    def press(self, key):
        os.write(self.terminal, key)

    def end(self):
        self.read(1)
        status = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        os.close(self.terminal)
        return status


def test_top_lives_on_a_terminal_resizes_and_quits(relay):
    for i in range(3):
        send(relay, f"user{i}@slow.example")
    relay.wait_log("status=deferred", 3)
    screen = Screen(relay)
    frames = screen.frames(3)
    assert len(frames) >= 2
    assert "\033[?1049h" in screen.seen.decode()
    last = frames[-1]
    assert last[0].startswith("waypost top ") and "3 messages in the queue" in last[0]
    assert any(line.startswith("slow:[127.0.0.1]:1") and "Connection refuse" in line
               for line in last)
    assert all(len(line) <= 80 for line in last) and len(last) <= 24
    screen.resize(50, 6)
    last = screen.frames(2.5)[-1]
    assert all(len(line) <= 50 for line in last) and len(last) <= 6
    screen.resize(200, 50)
    assert any(line.endswith("Connection refused") for line in screen.frames(2.5)[-1])
    screen.press(b"q")
    assert screen.end() == 0
    assert screen.seen.decode().rstrip().endswith("\033[?25h\033[?1049l")


def test_top_survives_the_queue_and_finds_it_again(relay):
    screen = Screen(relay)
    assert screen.frames(2)
    relay.stop()
    assert any("it is tried again" in line for line in screen.frames(3)[-1])
    relay.start()
    assert screen.frames(3)[-1][0].startswith("waypost top ")
    screen.press(b"q")
    assert screen.end() == 0


def test_without_the_mail_system_or_a_terminal_they_say_so(relay):
    result = waypost(relay, "top", check=False)
    assert result.returncode == 64 and "--once or --json" in result.stderr
    relay.stop()
    for arguments in (["top", "--once"], ["why", "example.com"]):
        result = waypost(relay, *arguments, check=False)
        assert result.returncode == 69
        assert "the mail system is down" in result.stderr
