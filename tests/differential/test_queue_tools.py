# SPDX-License-Identifier: Apache-2.0
"""postsuper, postqueue, mailq, postcat and postkick beside Debian's: the same command lines on the
same mail, and what they print and how they exit compared, while the mail system runs and while it
is down."""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "system"))

import reference
from world import PATIENCE, Instance, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not reference.is_installed(),
                                reason="needs root and Debian's Postfix")

MESSAGES = 4
PARAMETERS = {"myhostname": "relay.example.test", "mydomain": "example.test", "mydestination": "",
              "relayhost": "[127.0.0.1]:1", "default_transport": "smtp",
              "compatibility_level": "3.6", "minimal_backoff_time": "3000s"}
SERVICES = "pickup unix n - n 60 1 pickup\nshowq unix n - n - - showq\nsmtp unix - - n - - smtp\n" \
           "scache unix - - n - 1 scache\n"


class Theirs:
    name = "Postfix"

    def __init__(self):
        self.system = reference.Reference(services=SERVICES, **PARAMETERS)

    def __enter__(self):
        self.system.__enter__()
        return self

    def __exit__(self, *exception):
        self.system.__exit__(*exception)

    def run(self, command, *arguments, input=None):
        option = "-C" if command in ("sendmail", "mailq") else "-c"
        path = {"sendmail": "/usr/sbin/sendmail", "mailq": "/usr/bin/mailq"}.get(
            command, f"/usr/sbin/{command}")
        return subprocess.run([path, option, str(self.system.config), *arguments], input=input,
                              capture_output=True, text=True, timeout=PATIENCE * 3)

    def stop(self):
        self.system.control("stop")
        os.chmod(self.system.log_file, 0o666)
        wait_until(lambda: "down" in self.run("mailq").stderr, "the reference's end")

    def log(self):
        return self.system.log()


class Ours:
    name = "Waypost"

    def __init__(self):
        self.system = Instance(**PARAMETERS)

    def __enter__(self):
        self.system.__enter__()
        return self

    def __exit__(self, *exception):
        self.system.__exit__(*exception)

    def run(self, command, *arguments, input=None):
        option = "-C" if command in ("sendmail", "mailq") else "-c"
        return self.system.run(command, *arguments, input=input, check=False,
                               config_option=option)

    def stop(self):
        self.system.stop()

    def log(self):
        return self.system.log()


LISTING = re.compile(r"^([0-9A-Za-z]+)([*!#]*) +\d+ \w{3} \w{3} [ \d]\d [\d:]{8} +s(\d)@", re.M)


class Side:
    """One system with new mail; ids are known by the number of their message."""

    def __init__(self, system):
        self.system = system
        seen = len(re.findall("status=deferred", system.log()))
        for i in range(MESSAGES):
            system.run("sendmail", "-f", f"s{i}@example.test", f"u{i}@example.com",
                       input=f"Subject: number {i}\n\nbody {i}\n")
        wait_until(lambda: len(re.findall("status=deferred", system.log())) >= seen + MESSAGES,
                   "deferred mail")
        wait_until(lambda: "*" not in system.run("mailq").stdout, "mail at rest")
        self.ids = {int(number): queue_id for queue_id, _, number in
                    LISTING.findall(system.run("mailq").stdout)}
        assert len(self.ids) == MESSAGES, system.run("mailq").stdout

    def fill_in(self, text):
        return re.sub(r"\{(\d)\}", lambda match: self.ids[int(match[1])], text)

    def comparable(self, text):
        for number, queue_id in self.ids.items():
            text = text.replace(queue_id, f"<{number}>")
        text = re.sub(r"/usr/s?bin/(?=post)", "", text)
        text = text.rstrip("\n")
        text = "\n".join(line for line in text.split("\n") if not line.startswith(
            ("postsuper: warning: Mail system is down", "postcat: warning: Mail system is down")))
        return text.replace("Connect to the Postfix showq service: ",
                            "Connect to the Waypost queue service: ")

    def play(self, words, input=None):
        """None where Postfix's postkick died again and again of being quicker than what it kicks."""
        for _ in range(10):
            result = self.system.run(words[0], *map(self.fill_in, words[1:]),
                                     input=input and self.fill_in(input))
            if result.returncode >= 0:
                break
            time.sleep(0.1)
        if result.returncode == -signal.SIGPIPE:
            return None
        return (result.returncode, self.comparable(result.stdout), self.comparable(result.stderr))

    def listing(self):
        """{number: marks} and the queues, whatever the order."""
        return sorted((number, marks) for _, marks, number in
                      LISTING.findall(self.system.run("mailq").stdout))


@pytest.fixture(scope="module")
def systems():
    with Theirs() as theirs, Ours() as ours:
        yield theirs, ours


@pytest.fixture
def sides(systems):
    for system in systems:
        wait_until(lambda: "*" not in system.run("mailq").stdout, "mail at rest")
        system.run("postsuper", "-d", "ALL", "hold", "incoming", "active", "deferred", "maildrop")
        assert "empty" in system.run("mailq").stdout
    return [Side(system) for system in systems]


# Command lines in the order in which they are run; (words, standard input).
CHANGES = {
    "delete": [("postsuper -d {0}",), ("postsuper -d {0}",), ("postsuper -d ALL deferred",),
               ("postsuper -d ALL",)],
    "delete from input": [("postsuper -d -", "{0}\n{1}*\n\n{2} \n../x\n{3}")],
    "hold and release": [("postsuper -h {0}",), ("postsuper -h {0}",), ("postsuper -h ALL hold",),
                         ("postsuper -h ALL",), ("postsuper -H {1} -H {1}",),
                         ("postsuper -H ALL deferred",), ("postsuper -H ALL",)],
    "expire": [("postsuper -e {0}",), ("postsuper -e {0}",), ("postsuper -h {1}",),
               ("postsuper -e {1}",), ("postsuper -e ALL hold",), ("postsuper -f {2}",),
               ("postsuper -f {2}",), ("postsuper -e ALL",), ("postsuper -f ALL deferred",)],
    "all actions at once": [
        ("postsuper -d {0} -e {1} -f {2} -h {3} -H {3}",), ("postsuper -d A -h A",),
        ("postsuper -d - -h -", "A\n"), ("postsuper -d ALL -e x",)],
    "strange ids": [("postsuper -d x_y",), ("postsuper -d A*",), ("postsuper -d ALL*",),
                    ("postsuper -d all",), ("postsuper -d -x",), ("postsuper -d " + "A" * 100,),
                    ("postsuper -d " + "A" * 101,), ("postsuper -e ../../etc",)],
    "strange queues": [("postsuper -d ALL nonsense",), ("postsuper -d ALL corrupt",),
                       ("postsuper -d ALL bounce defer trace flush",),
                       ("postsuper -h ALL maildrop",), ("postsuper -d ALL hold deferred hold",)],
    "nothing to do": [("postsuper",), ("postsuper -s",), ("postsuper -p",), ("postsuper -S",),
                      ("postsuper -s hold",)],
    "wrong options": [("postsuper -d",), ("postsuper -Z",), ("postsuper -- x",), ("postqueue",),
                      ("postqueue -Z",), ("postqueue -i",), ("postqueue -f -p",),
                      ("postqueue -p x",), ("postcat -Z",), ("postkick",), ("postkick a",),
                      ("postkick -Z a b c",), ("postkick public qmgr W x",)],
    "flush": [("postqueue -i {0}",), ("postqueue -i x",), ("postqueue -i ABCDEF",),
              ("postqueue -i ../x",), ("postqueue -s 1.2.3.4",), ("postqueue -s a_b:c",),
              ("postqueue -i A*",)],
    "kick": [("postkick public qmgr W",), ("postkick public pickup W",),
             ("postkick private smtp W",), ("postkick public nothing W",),
             ("postkick other qmgr W",), ("postkick public qmgr Z",)],
    "no such message": [("postcat -q ABCDEF A",), ("postcat -q ../x",), ("postcat /nonexistent",),
                        ("postcat /etc/passwd",), ("postcat", "text\n"), ("postcat -q", "")],
}


def compare(sides, steps):
    differences = []
    for line, *input in steps:
        theirs, ours = (side.play(line.split(), input[0] if input else None) for side in sides)
        if theirs is not None and theirs != ours:
            differences.append(f"{line}\n  Postfix: {theirs}\n  Waypost: {ours}")
    theirs, ours = (side.listing() for side in sides)
    if theirs != ours:
        differences.append(f"what is left\n  Postfix: {theirs}\n  Waypost: {ours}")
    assert not differences, "\n".join(differences)


@pytest.mark.parametrize("name", CHANGES)
def test_command_lines_print_and_exit_alike(sides, name):
    compare(sides, CHANGES[name])


def view(side, options, number=0):
    """What differs by nature is made alike: sizes and places (ids have other lengths), times."""
    code, out, error = side.play(["postcat", options, f"{{{number}}}"])
    out = re.sub(r"\b(deferred|hold)/(?:\w/)?<", r"\1/<", out)
    out = re.sub(r"\w{3} \w{3} [ \d]\d [\d:]{8} \d{4}", "TIME", out)
    out = re.sub(r"\w{3}, [ \d]\d \w{3} \d{4} [\d:]{8}", "DATE", out)
    out = re.sub(r"<\d{14}\.", "<STAMP.", out)
    out = re.sub(r".*sender_fullname: .*\n", "", out)
    return code, out, error


@pytest.mark.parametrize("options", ["-q", "-bq", "-hq", "-eq", "-bhq", "-dq", "-rq", "-beq"])
def test_postcat_shows_the_same(sides, options):
    def sizes(text):
        return re.sub(r"(message_size:) .*", r"\1", text)
    theirs, ours = (view(side, options) for side in sides)
    assert sizes(theirs[1]) == sizes(ours[1])
    assert theirs[::2] == ours[::2]


def test_postcat_says_where_each_record_is(sides):
    """Ids are one letter longer here, the sender's full name is not kept: what is left fits."""
    def places(side):
        out = side.play(["postcat", "-oq", "{0}"])[1]
        rows = re.findall(r"^ *(\d+) (.*)", out, re.M)
        return {text.split(":")[0]: int(place) for place, text in rows}
    theirs, ours = map(places, sides)
    full_name = theirs["sender"] - theirs["sender_fullname"]
    for name in ("message_size", "message_arrival_time"):
        assert theirs[name] == ours[name]
    # The time of arrival ends with microseconds, of one digit to six.
    digits = theirs["create_time"] - ours["create_time"]
    assert abs(digits) <= 5
    for name in ("sender", "original_recipient", "recipient", "*** MESSAGE CONTENTS deferred/<0> ***"):
        their = theirs.get(name)
        if their is not None:
            assert their - full_name - digits == ours[name], name


def test_json_has_the_same_members(sides):
    for side in sides:
        side.play(["postsuper", "-h", "{0}", "-e", "{1}"])
    both = []
    for side in sides:
        rows = {}
        for line in side.play(["postqueue", "-j"])[1].splitlines():
            row = json.loads(line)
            row["arrival_time"] = 0
            row["message_size"] = 0
            # Which deliveries find the destination dead already is a matter of time.
            for recipient in row["recipients"]:
                recipient["delay_reason"] = recipient["delay_reason"].replace(
                    "delivery temporarily suspended: ", "")
            rows[row.pop("queue_id")] = row
        both.append(rows)
    assert both[0] == both[1]


def test_forced_expiry_returns_mail_with_the_same_notice_and_log(sides):
    logged = []
    for side in sides:
        side.play(["postsuper", "-h", "ALL"])
        start = len(side.system.log())
        side.play(["postsuper", "-f", "{0}"])
        side.play(["postqueue", "-f"])
        wait_until(lambda: re.search("non-delivery notification", side.system.log()[start:]),
                   "the notice")
        lines = [side.comparable(line.split("]: ", 1)[1])
                 for line in side.system.log()[start:].splitlines() if "<" not in line[:40]]
        logged.append(sorted({re.sub("notification: .*", "notification", line) for line in lines
                              if "expired" in line or "notification" in line}))
    assert logged[0] == logged[1]
    assert any("status=force-expired, returned to sender" in line for line in logged[1])


def test_requeued_mail_gets_another_id_and_says_which_it_had(sides):
    found = []
    for side in sides:
        side.play(["postsuper", "-h", "ALL"])
        before = set(side.ids.values())
        printed = side.play(["postsuper", "-r", "{0}"])
        deadline = time.monotonic() + PATIENCE * 3
        while time.monotonic() < deadline:  # Postfix's pickup leaves a file alone for a second
            side.system.run("postkick", "public", "pickup", "W")
            rows = LISTING.findall(side.system.run("mailq").stdout)
            new = [(queue_id, number) for queue_id, _, number in rows if queue_id not in before]
            if new:
                break
            time.sleep(0.3)
        [(queue_id, number)] = new
        content = side.system.run("postcat", "-hq", queue_id).stdout
        log = wait_until(lambda: re.findall(rf"{queue_id}: uid=\d+ from=<(.*)> orig_id=(\w+)",
                                            side.system.log()), "the line of the new id")
        found.append((printed, number, len(rows), content.count("Received:"),
                      re.sub(r"\w+", "ID", content.split("id ")[1].split(";")[0]),
                      [(sender, side.comparable(old)) for sender, old in log]))
    assert found[0] == found[1]


def test_forced_expiry_releases_what_is_held(sides):
    """Not in the table above: what Waypost releases it deals with at once."""
    printed = [[side.play(["postsuper", "-h", "{0}", "-h", "{1}", "-e", "{1}"]),
                side.play(["postsuper", "-f", "{0}", "-f", "{1}", "-f", "{2}"])] for side in sides]
    assert printed[0] == printed[1]


def test_while_the_mail_system_is_down_tools_say_the_same(sides, systems):
    for system in systems:
        system.stop()
    try:
        compare(sides, [
            ("postqueue -f",), ("postqueue -i {0}",), ("postqueue -s 1.2.3.4",),
            ("postsuper -h {0}",), ("postsuper -e {1}",), ("postsuper -h {3}",),
            ("postsuper -f {3}",), ("postcat -q ABCDEF",), ("postkick public qmgr W",), ("postsuper -d {2}",),
            ("postsuper -d ALL hold",)])
    finally:
        for side in sides:
            side.system.run("postsuper", "-d", "ALL")
        theirs, ours = (side.play(["mailq"]) for side in sides)
        assert theirs == ours
