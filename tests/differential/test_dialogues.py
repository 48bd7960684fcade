# SPDX-License-Identifier: Apache-2.0
"""Generated dialogues with many configurations: Debian's Postfix and Waypost say the same, log the
same of each, and deliver the same. Each dialogue has a client address of its own, by which its log
lines are found."""
import collections
import re
import time

import pytest

import counted
import dialogue_cases
import explained
import pair
from pair import Pair
from scripted import Servers

pytestmark = pytest.mark.skipif(not pair.is_possible(), reason="needs root, a namespace, postfix")

EHLO = "\r\n".join(["250-sink.example.test", "250-PIPELINING", "250-SIZE 1000000", "250-8BITMIME",
                    "250-SMTPUTF8", "250 DSN"])
SERVICES = dialogue_cases.services(50 if counted.is_whole() else 12)


class Recorder(Servers):
    """Keeps what clients ask and send, also DSN parameters."""

    def __init__(self):
        super().__init__({"127.0.0.1": {"ehlo": EHLO}})

    def start(self):
        self.__enter__()

    def stop(self):
        if hasattr(self, "loop"):
            self.__exit__(None, None, None)

    def envelopes(self, left_out):
        """Senders and recipients with their parameters, of those that say which dialogue's they are
        (duplicates go together); sizes differ with the lengths of ids."""
        lines = {lower_domains(re.sub(r" SIZE=\d+", "", line))
                 for line in list(self["127.0.0.1"].commands) if line.startswith(("MAIL", "RCPT"))}
        return sorted(line for line in lines if (found := re.search(r"<d(\d+)@", line)) and
                      int(found[1]) not in left_out)

    def contents(self, left_out):
        texts = {comparable_content(content.decode("latin1"))
                 for _, content in list(self["127.0.0.1"].messages)}
        return {text for text in texts if (found := re.search(r"X-Dialogue: (\d+)", text)) and
                int(found[1]) not in left_out}


def lower_domains(text):
    """Domains of addresses have one spelling in Waypost."""
    return re.sub(r"@[\w.-]+", lambda found: found[0].lower(), text)


def comparable_content(text):
    """Without ids and times; without what our own Received: says of the client's name and of the
    recipient (there is none where there are several: see explained.DIALOGUE_LINES)."""
    text = re.sub(r"^Received: from .* \(unknown", "Received: from NAME (unknown", text)
    text = re.sub(r"id \w+(;\r\n\t|\r\n\tfor <.*>; )\w{3}, .*", "id ID; DATE", text, count=1)
    text = re.sub(r"Message-Id: <\d{14}\.\w+@", "Message-Id: <STAMP@", text)
    return re.sub(r"(?m)^Date: \w{3}, .* \(\w+\)", "Date: NOW", text)


@pytest.fixture(scope="module")
def both():
    parameters = {"smtpd_peername_lookup": "no", "smtpd_client_port_logging": "no",
                  "smtp_destination_recipient_limit": "1", "in_flow_delay": "0",
                  "smtpd_discard_ehlo_keywords": "silent-discard"}
    with Pair(parameters, SERVICES, has_cleanups=True, sink=Recorder) as made:
        yield made


CLIENT = re.compile(r"\[((?:127\.7|198\.18)\.\d+\.\d+)\]")
LOGGED = re.compile(r"postfix[^ ]*?/(smtpd|cleanup|qmgr|smtp)\[\d+\]: (.*)")
# What is counted, and what is about deliveries alone.
UNSTABLE = re.compile(r"statistics: |warning: Connection |: removed|: breaking line > ")


def comparable_line(text):
    text = re.sub(r"(size)=\d+", r"\1=N", text)
    text = re.sub(r"<\d{14}\.\w+@", "<STAMP@", text)
    text = re.sub(r"relay=.* dsn=", "dsn=", text)
    text = re.sub(r"^warning: [0-9A-Z]{6,}: ", "warning: ID: ", text)
    text = lower_domains(text)
    return pair.comparable_reply(text)


def lines_by_client(log):
    """{address: sorted lines}; lines of a message are those of the client that sent it."""
    clients, found = {}, collections.defaultdict(list)
    for program, text in LOGGED.findall(log):
        if UNSTABLE.search(text):
            continue
        queued = re.match(r"([0-9A-F]{6,}|[0-9A-Za-z]{10,}): ", text)
        address = CLIENT.search(text)
        if queued:
            if address:
                clients.setdefault(queued[1], address[1])
            text = "ID: " + text[queued.end():]
        if address or queued and queued[1] in clients:
            key = clients.get(queued[1]) if queued else address[1]
            found[key].append(comparable_line(text))
        else:
            found[program].append(comparable_line(text))
    return {key: sorted(lines) for key, lines in found.items()}


def settled(both, count):
    """Until all clients are gone and all mail is."""
    def counts():
        logs = [side.system.log() for side in both.sides]
        return [(log.count("]: disconnect from "),
                 len(set(re.findall(r"qmgr\[\d+\]: (\w+): from=<", log))),
                 len(re.findall(r"qmgr\[\d+\]: (\w+): removed$", log, re.M))) for log in logs]
    deadline = time.monotonic() + max(60, count / 5)
    while any(clients < count or removed < queued for clients, queued, removed in counts()):
        assert time.monotonic() < deadline, f"{count} clients: disconnects, mail, removed: {counts()}"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def played(both):
    """The dialogues, and what differs in replies."""
    dialogues = dialogue_cases.dialogues(list(SERVICES), counted.cases(200, 1500))
    found = both.compare_once(dialogues)
    settled(both, len(dialogues))
    return dialogues, found


def test_replies_are_those_of_postfix(played):
    dialogues, found = played
    left, useless = pair.unexplained(found, explained.DIALOGUES)
    counted.count("dialogues", len(dialogues), len(found) - len(left))
    assert not left, "\n".join(str(each)[:700] for each in left)
    assert not useless or not counted.is_whole(), f"explain nothing any more: {useless}"


def test_log_lines_of_each_are_those_of_postfix(both, played):
    dialogues, found = played
    skipped = {each.dialogue.client for each in found}
    theirs, ours = (lines_by_client(side.system.log()) for side in both.sides)
    left = []
    for dialogue in dialogues:
        if dialogue.client in skipped:
            continue
        lines = pair.unexplained_lines(theirs.get(dialogue.client, []),
                                       ours.get(dialogue.client, []), explained.DIALOGUE_LINES)
        if lines:
            left.append("\n  ".join([dialogue.title(), *lines]))
    assert not left, "\n".join(left)


def test_servers_hear_and_get_what_those_of_postfix_get(both, played):
    differing = {int(each.dialogue.name[1:]) for each in played[1]}
    theirs, ours = (side.sink.envelopes(differing) for side in both.sides)
    left = pair.unexplained_lines(theirs, ours, explained.ENVELOPES)
    assert theirs and not left, "\n".join(left)
    theirs, ours = (side.sink.contents(differing) for side in both.sides)
    assert theirs and theirs == ours, f"only Postfix: {theirs - ours}\nonly Waypost: {ours - theirs}"
