# SPDX-License-Identifier: Apache-2.0
"""mailq, postqueue, postsuper, postcat, postlog, postkick: while mail flows and while the mail
system is down, with good ids and with hostile ones."""
import json
import os
import re
import signal
import socket
import subprocess
import threading

import pytest

from world import Instance, Sink, wait_until

LISTING = re.compile(r"^([0-9A-Za-z]+)([*!#]?) ", re.MULTILINE)


def ids(relay):
    return [match[0] for match in LISTING.findall(relay.run("mailq", config_option="-C").stdout)]


def fill(relay, count=3):
    """Mail that waits: nothing listens where it would go."""
    for i in range(count):
        relay.sendmail("-f", f"sender{i}@example.test", f"user{i}@example.com",
                       input=f"Subject: number {i}\n\nbody {i}\n")
    wait_until(lambda: len(re.findall("status=deferred", relay.log())) >= count, "deferred mail")
    wait_until(lambda: "*" not in relay.run("mailq", config_option="-C").stdout, "mail at rest")


@pytest.fixture
def relay():
    with Instance(relayhost="[127.0.0.1]:1") as instance:
        yield instance


@pytest.fixture(params=["up", "down"])
def filled(request, relay):
    fill(relay)
    if request.param == "down":
        relay.stop()
    return relay


def test_list_has_postfixs_form(filled):
    result = filled.run("postqueue", "-p")
    lines = result.stdout.splitlines()
    assert lines[0] == ("-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------")
    assert re.fullmatch(r"[0-9A-F]{12} {2,}\d+ \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d  "
                        r"sender0@example\.test", lines[1])
    assert re.fullmatch(r" *\(.*Connection refused\)", lines[2])
    assert lines[3] == " " * 41 + "user0@example.com"
    assert re.fullmatch(r"-- \d+ Kbytes in 3 Requests\.", lines[-1])
    for command, *arguments in (["mailq"], ["mailq", "-bp"], ["sendmail", "-bp"]):
        assert filled.run(command, *arguments, config_option="-C").stdout == result.stdout
    warned = "Mail system is down -- accessing queue directly" in result.stderr
    assert warned != filled.is_running()


def test_json_has_one_object_for_each_message(filled):
    objects = [json.loads(line) for line in filled.run("postqueue", "-j").stdout.splitlines()]
    assert [each["queue_id"] for each in objects] == ids(filled)
    assert {each["queue_name"] for each in objects} == {"deferred"}
    assert [each["recipients"][0]["address"] for each in objects] == [
        f"user{i}@example.com" for i in range(3)]


def test_delete_one_says_so_and_deletes_just_that(filled):
    first, *others = ids(filled)
    result = filled.run("postsuper", "-d", first)
    assert result.stderr == "".join(
        line for line in result.stderr.splitlines(True) if "warning" in line) + (
        f"postsuper: {first}: removed\npostsuper: Deleted: 1 message\n")
    assert ids(filled) == others
    assert "Deleted: 0 messages" in filled.run("postsuper", "-d", first).stderr


def test_delete_from_standard_input_refuses_marks(filled):
    first, second, third = ids(filled)
    result = filled.run("postsuper", "-d", "-", input=f"{first}\n{second}*\n\n{third}")
    assert result.stderr.endswith(
        f"postsuper: {first}: removed\n"
        f"postsuper: warning: invalid mail queue id: {second}*\n"
        "postsuper: warning: invalid mail queue id: \n"
        f"postsuper: {third}: removed\n"
        "postsuper: Deleted: 2 messages\n")
    assert ids(filled) == [second]


def test_hold_and_release(filled):
    first = ids(filled)[0]
    result = filled.run("postsuper", "-h", first)
    assert f"{first}: placed on hold" in result.stderr
    assert result.stderr.endswith("Placed on hold: 1 message\n")
    assert f"\n{first}! " in filled.run("mailq", config_option="-C").stdout
    assert filled.run("postsuper", "-d", "ALL", "deferred").stderr.endswith(
        "Deleted: 2 messages\n")
    assert ids(filled) == [first]
    result = filled.run("postsuper", "-H", "ALL")
    assert result.stderr.endswith("Released from hold: 1 message\n")
    assert f"\n{first}! " not in filled.run("mailq", config_option="-C").stdout


def test_delete_all_prints_only_the_total(filled):
    result = filled.run("postsuper", "-d", "ALL")
    assert "removed" not in result.stderr
    assert result.stderr.endswith("Deleted: 3 messages\n")
    assert filled.queue_is_empty()


@pytest.mark.parametrize("name, refused", [
    ("A", False), ("ABC", False), ("all", False), ("0" * 12, False), ("A" * 100, False),
    ("../x", True), ("", True), ("A*", True), ("A B", True), ("x\n", True), ("A" * 10240, True),
    ("%n%s", True), ("-", None),
])
def test_strange_ids_touch_nothing(relay, name, refused):
    fill(relay, 1)
    result = relay.run("postsuper", "-d", name, input="")
    assert result.stderr.endswith("Deleted: 0 messages\n")
    if refused is not None:
        assert ("invalid mail queue id" in result.stderr) == refused
    assert len(ids(relay)) == 1
    shown = relay.run("postcat", "-q", name, check=False)
    assert shown.returncode != 0 and shown.stdout == ""
    assert relay.run("postqueue", "-i", name, check=False).returncode in (0, 64, 65, 69)


def test_wrong_command_lines_exit_as_postfixs_do(relay):
    for status, command, *arguments in (
            [69, "postqueue"], [69, "postqueue", "-Z"], [69, "postqueue", "-p", "-j"],
            [1, "postsuper", "-d"], [1, "postsuper", "-Z"],
            [1, "postsuper", "-d", "ALL", "nonsense"], [1, "postcat", "-Z"], [1, "postkick", "a"],
            [64, "postlog", "-p", "foo", "x"], [64, "postlog", "-Z"]):
        result = relay.run(command, *arguments, check=False)
        assert result.returncode == status, (command, arguments, result.stderr)
        assert re.search(rf"^{command}: fatal: .+", result.stderr, re.MULTILINE)


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming somebody else needs root")
def test_who_waits_for_a_queue_that_does_not_answer_is_told(relay):
    wait_until(lambda: relay.role_pids().get("queue"), "the queue")
    [queue] = relay.role_pids()["queue"]
    os.kill(queue, signal.SIGSTOP)
    timer = threading.Timer(6, os.kill, [queue, signal.SIGCONT])
    timer.start()
    try:
        result = relay.run("postqueue", "-p")
    finally:
        timer.join()
    assert result.stdout == "Mail queue is empty\n"
    assert "the queue has not answered for 5 seconds" in result.stderr


def test_ordinary_users_may_list_but_not_delete(relay):
    fill(relay, 1)
    as_nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    result = relay.run("postsuper", "-d", "ALL", check=False, **as_nobody)
    assert result.returncode == 1
    assert "reserved for the superuser" in result.stderr
    assert len(relay.run("postqueue", "-j", **as_nobody).stdout.splitlines()) == 1
    assert len(ids(relay)) == 1


def test_content_is_shown_as_it_will_be_sent(filled):
    first = ids(filled)[0]
    whole = filled.run("postcat", "-q", first).stdout
    assert f"*** ENVELOPE RECORDS deferred/{first} ***\n" in whole
    assert "\nsender: sender0@example.test\n" in whole
    assert "\nrecipient: user0@example.com\n" in whole
    headers = filled.run("postcat", "-h", "-q", first).stdout
    assert headers.startswith("Received: by relay.example.test (Postfix, from userid ")
    assert "\nSubject: number 0\n" in headers and "\n\n" not in headers
    assert filled.run("postcat", "-b", "-q", first).stdout == "\nbody 0\n"
    assert filled.run("postcat", "-bh", "-q", first).stdout == headers + "\nbody 0\n"


def test_flush_sends_what_waits_and_needs_the_mail_system():
    with Sink() as sink:
        port = sink.port
    with Instance(relayhost=f"[127.0.0.1]:{port}") as relay:
        fill(relay, 2)
        with Sink(port=port) as sink:
            relay.run("postqueue", "-f")
            sink.wait(2)
        wait_until(relay.queue_is_empty, "an empty queue")
        relay.stop()
        for arguments in (["-f"], ["-s", "example.com"]):
            result = relay.run("postqueue", *arguments, check=False)
            assert result.returncode == 69
            assert "Cannot flush mail queue - mail system is down" in result.stderr


def test_delete_all_while_mail_comes_in(relay):
    senders = [subprocess.Popen([relay.bin / "sendmail", "-C", relay.config, "user@example.com"],
                                stdin=subprocess.PIPE) for _ in range(20)]
    for number, sender in enumerate(senders):
        sender.stdin.write(b"x\n")
        sender.stdin.close()
        if number % 5 == 0:
            relay.run("postsuper", "-d", "ALL")
    assert all(sender.wait(60) == 0 for sender in senders)
    wait_until(lambda: os.listdir(relay.queue / "maildrop") == [], "an empty maildrop")
    relay.run("postsuper", "-d", "ALL")
    wait_until(relay.queue_is_empty, "an empty queue")
    assert relay.is_running()


def test_log_lines_reach_the_mail_log(relay):
    relay.run("postlog", "-t", "my-script", "-p", "warn", "two", "words")
    relay.run("postlog", input="first\nsecond \x1b[31m\n")
    relay.wait_log(r"^\w{3} [ \d]\d [\d:]{8} \S+ my-script\[\d+\]: warning: two words$")
    relay.wait_log(r" postfix/postlog\[\d+\]: first$")
    relay.wait_log(r" postfix/postlog\[\d+\]: second \?\[31m$")


def test_kick_wakes_the_queue(relay):
    relay.run("postkick", "public", "qmgr", "IDFA")
    relay.run("postkick", "public", "pickup", "W")
    assert relay.run("postkick", "private", "smtp", "W").returncode == 0
    result = relay.run("postkick", "public", "nothing", "W", check=False)
    assert result.returncode == 1
    assert "unable to look up public/nothing: No such file or directory" in result.stderr


# ---- the tutorial's own lines ----

def shell(relay, line, cwd=None):
    """Runs a line as it stands in the tutorial, with the instance's commands in front."""
    environment = {**relay.environment, "PATH": f"{relay.bin}:{os.environ['PATH']}",
                   "MAIL_CONFIG": str(relay.config)}
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60,
                          env=environment, cwd=cwd)


def test_tutorial_lists_the_queue(filled):
    assert shell(filled, "mailq -bp").stdout == filled.run("postqueue", "-p").stdout


def test_tutorial_deletes_all_deferred(filled):
    first = ids(filled)[0]
    filled.run("postsuper", "-h", first)
    result = shell(filled, "postsuper -d ALL deferred")
    assert result.returncode == 0
    assert result.stderr.endswith("postsuper: Deleted: 2 messages\n")
    assert ids(filled) == [first]


PIPELINE = ("mailq -bp | grep '{reason}' -B1 | grep -E '^[0-9A-Z]' | cut -d' ' -f1 | "
            "postsuper -d -")


@pytest.mark.parametrize("long_ids", ["no", "yes"])
def test_tutorial_deletes_what_was_refused(long_ids):
    with Instance(relayhost="[127.0.0.1]:1", enable_long_queue_ids=long_ids,
                  transport_maps="inline:{other.example=retry:Connection_timed_out}") as relay:
        fill(relay, 2)
        relay.sendmail("-f", "s@example.test", "x@other.example", input="Subject: x\n\nx\n")
        wait_until(lambda: len(ids(relay)) == 3, "three messages")
        relay.wait_log("Connection_timed_out")
        refused = ids(relay)[:2]
        result = shell(relay, PIPELINE.format(reason="Connection refused"))
        assert result.returncode == 0
        for queue_id in refused:
            assert f"postsuper: {queue_id}: removed\n" in result.stderr
        assert result.stderr.endswith("Deleted: 2 messages\n")
        assert len(ids(relay)) == 1
        result = shell(relay, PIPELINE.format(reason="Connection timed out"))
        assert result.stderr.endswith("Deleted: 0 messages\n")


# ---- expire, requeue ----

def test_expired_mail_goes_back_without_another_attempt():
    with Sink() as sink:
        port = sink.port
    with Instance(relayhost=f"[127.0.0.1]:{port}") as relay:
        fill(relay, 2)
        first, second = ids(relay)
        assert f"{first}: expired" in relay.run("postsuper", "-e", first).stderr
        assert f"\n{first}# " in relay.run("mailq", config_option="-C").stdout
        with Sink(port=port) as sink:
            relay.run("postqueue", "-f")
            sink.wait(2)
            assert sorted((each.sender or "").strip("<>") for each in sink.messages) == [
                "", "sender1@example.test"]
        assert "user0@example.com" not in [r for each in sink.messages for r in each.recipients]
        relay.wait_log(rf"{first}: from=<sender0@example\.test>, status=force-expired, "
                       "returned to sender")
        wait_until(relay.queue_is_empty, "an empty queue")


def reload(relay):
    """The queue takes a configuration in place, when the other roles are replaced."""
    before = relay.role_pids()["pickup"]
    relay.reload()
    wait_until(lambda: not set(before) & set(relay.role_pids().get("pickup", before)),
               "another pickup")


@pytest.mark.parametrize("is_down", [False, True])
def test_requeued_mail_follows_the_maps_of_today(is_down):
    with Sink() as sink:
        with Instance(relayhost="[127.0.0.1]:1") as relay:
            fill(relay, 2)
            relay.parameters["relayhost"] = f"[127.0.0.1]:{sink.port}"
            relay.parameters["virtual_alias_maps"] = "inline:{user0@example.com=new@example.org}"
            relay.parameters["virtual_alias_domains"] = ""
            relay.parameters["minimal_backoff_time"] = "1000s"
            relay.write()
            first, second = ids(relay)
            relay.run("postsuper", "-h", second)
            if is_down:
                relay.stop()
            else:
                reload(relay)
            result = relay.run("postsuper", "-r", first)
            assert f"postsuper: {first}: requeued\n" in result.stderr
            assert result.stderr.endswith("Requeued: 1 message\n")
            if is_down:
                listed = relay.run("postqueue", "-j").stdout.splitlines()
                assert json.loads(listed[0])["queue_name"] == "maildrop"
                relay.start()
            [message] = sink.wait(1)
            assert message.recipients == ["new@example.org"]
            assert message.sender == "sender0@example.test"
            assert len(re.findall(r"(?m)^Received:", message.text)) == 2
            new = relay.wait_log(rf"pickup\[\d+\]: (\w+): uid=\d+ from=<sender0@example\.test> "
                                 rf"orig_id={first}$")
            assert f"\tid {new[0]}; " in message.text
            wait_until(lambda: ids(relay) == [second], "what was not requeued")


def test_requeued_mail_that_a_check_rejects_now_goes_back():
    with Sink() as sink:
        with Instance(relayhost="[127.0.0.1]:1") as relay:
            fill(relay, 1)
            (relay.config / "checks").write_text("/^Subject: number/ REJECT not today\n")
            relay.parameters["header_checks"] = f"regexp:{relay.config}/checks"
            relay.parameters["relayhost"] = f"[127.0.0.1]:{sink.port}"
            relay.write()
            reload(relay)
            relay.run("postsuper", "-r", "ALL")
            [message] = sink.wait(1)
            assert message.sender in (None, "", "<>")
            assert message.recipients == ["sender0@example.test"]
            assert "not today" in message.text
            wait_until(relay.queue_is_empty, "an empty queue")


def test_large_mail_is_requeued_whole():
    body = "".join(f"line {i} {'x' * 60}\n" for i in range(20000))
    with Sink() as sink:
        with Instance(relayhost="[127.0.0.1]:1") as relay:
            relay.sendmail("-f", "s@example.test", "u@example.com", input=f"Subject: x\n\n{body}")
            relay.wait_log("status=deferred")
            wait_until(lambda: "*" not in relay.run("mailq", config_option="-C").stdout, "rest")
            relay.parameters["relayhost"] = f"[127.0.0.1]:{sink.port}"
            relay.write()
            reload(relay)
            relay.run("postsuper", "-r", "ALL")
            [message] = sink.wait(1)
            assert message.text.replace("\r\n", "\n").endswith("\n\n" + body)


def test_maildrop_files_are_shown_and_deleted_by_name(relay):
    relay.stop()
    relay.sendmail("-f", "s@example.test", "u@example.com", input="Subject: waiting\n\nbody\n")
    [name] = os.listdir(relay.queue / "maildrop")
    shown = relay.run("postcat", "-q", name).stdout
    assert f"*** ENVELOPE RECORDS maildrop/{name} ***\n" in shown
    assert "\nrecipient: u@example.com\n" in shown and shown.count("\nSubject: waiting\n") == 1
    assert relay.run("postsuper", "-d", "ALL").stderr.endswith("Deleted: 0 messages\n")
    assert f"{name}: removed" in relay.run("postsuper", "-d", name, "maildrop").stderr
    assert os.listdir(relay.queue / "maildrop") == []


@pytest.mark.parametrize("option, mark", [("-h", "!"), ("-e", "#")])
def test_what_is_said_of_mail_in_delivery_outlives_a_kill(option, mark):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(10)  # connected to, and never answered
        with Instance(relayhost=f"[127.0.0.1]:{silent.getsockname()[1]}") as relay:
            relay.sendmail("-f", "a@example.test", "user@example.com", input="Subject: x\n\n")
            wait_until(lambda: "*" in relay.run("mailq", config_option="-C").stdout, "a delivery")
            [queue_id] = ids(relay)
            relay.run("postsuper", option, queue_id)
            relay.kill_everything()
            if mark == "!":
                listing = relay.run("mailq", config_option="-C").stdout
                assert LISTING.findall(listing) == [(queue_id, mark)], listing
                relay.start()
                listing = relay.run("mailq", config_option="-C").stdout
                assert LISTING.findall(listing) == [(queue_id, mark)], listing
            else:
                relay.start()
                relay.wait_log(f"{queue_id}: from=<a@example.test>, status=force-expired")
