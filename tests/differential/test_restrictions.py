# SPDX-License-Identifier: Apache-2.0
"""The restrictions answer as Debian's Postfix does: tables of configurations times dialogues."""
import time

import pytest

import counted
import explained
import restriction_tables as tables
from pair import (STRANGER, Content, Dialogue, Pair, is_possible, unexplained,
                  unexplained_lines)

pytestmark = pytest.mark.skipif(not is_possible(), reason="needs root, a namespace, postfix")

HELLO, QUIT = b"EHLO client.example", b"QUIT"
SENDERS = [b"a@b.example", b""]
RECIPIENTS = [b"root@localhost", b"x@local.example", b"x@relay.example", b"x@sub.relay.example",
              b"x@elsewhere.example", b"x%elsewhere.example@localhost", b"x@[127.0.0.1]",
              b"postmaster", b"user"]
MESSAGE = Content(b"Subject: x\r\n\r\nx\r\n.\r\n")

RELAYING = {
    name: {"smtpd_relay_restrictions": value} for name, value in {
        "usual": "permit_mynetworks, reject_unauth_destination",
        "deferring": "permit_mynetworks, defer_unauth_destination",
        "rejecting": "reject",
        "later": "defer",
        "interfaces": "permit_inet_interfaces, reject_unauth_destination",
        "for_destinations": "permit_auth_destination, reject",
    }.items()
}


def transaction(sender, recipients):
    return [HELLO, b"MAIL FROM:<" + sender + b">",
            *[b"RCPT TO:<" + each + b">" for each in recipients], b"DATA", MESSAGE, QUIT]


GROUPS = {"relaying": RELAYING, "client": tables.CLIENT_SERVICES, "helo": tables.HELO_SERVICES,
          "sender": tables.SENDER_SERVICES, "recipient": tables.RECIPIENT_SERVICES,
          "code": tables.CODE_SERVICES, "later": tables.LATER_SERVICES,
          "action": tables.ACTION_SERVICES}


@pytest.fixture(scope="module")
def pair():
    """All services of all groups in one pair: "helo.rhsbl_helo"."""
    services = {f"{group}.{name}": overrides for group, members in GROUPS.items()
                for name, overrides in members.items()}
    with Pair(tables.MAIN, services, files=tables.FILES, zone=tables.ZONE) as both:
        yield both


def check(differences, rows):
    left, useless = unexplained(differences, rows)
    assert not left, "\n".join(map(str, left))
    assert not useless, f"explain nothing any more: {useless}"


def one_each(group, clients, helos, senders, recipients):
    """A dialogue for each service of the group and each value."""
    return [Dialogue(f"{group}.{service}",
                     [b"EHLO " + helo.encode(), b"MAIL FROM:<" + sender.encode() + b">",
                      *[b"RCPT TO:<" + each.encode() + b">" for each in recipients], QUIT], client)
            for service in GROUPS[group] for client in clients for helo in helos
            for sender in senders]


def relaying_dialogues():
    return [Dialogue(f"relaying.{service}", transaction(sender, [recipient]), client)
            for service in RELAYING for sender in SENDERS for recipient in RECIPIENTS
            for client in ("203.0.113.7", "127.0.0.1", STRANGER)]


def client_dialogues():
    return one_each("client", tables.CLIENTS, ["client.example"], ["a@good.example"],
                    ["root@local.example", "x@elsewhere.example"])


def helo_dialogues():
    return one_each("helo", [STRANGER], tables.HELOS, ["a@good.example"], ["root@local.example"])


def sender_dialogues():
    return one_each("sender", [STRANGER], ["client.example"], tables.SENDERS,
                    ["root@local.example"])


def recipient_dialogues():
    return [each for recipient in tables.RECIPIENTS for each in
            one_each("recipient", [STRANGER], ["client.example"], ["a@good.example"],
                     [recipient])] + \
        one_each("recipient", [STRANGER], ["client.example"], [""],
                 ["root@local.example", "known@local.example"])


def code_dialogues():
    dialogues = []
    for i in range(len(tables.CODES)):
        mail, host = f"code{i}@c.example".encode(), f"code{i}.c.example".encode()
        for service, helo, sender, recipient in (("sender", b"x", mail, b"root@localhost"),
                                                 ("recipient", b"x", b"q@q", mail),
                                                 ("helo", host, b"q@q", b"root@localhost")):
            dialogues.append(Dialogue(f"code.{service}",
                                      [b"EHLO " + helo, b"MAIL FROM:<" + sender + b">",
                                       b"RCPT TO:<" + recipient + b">", QUIT]))
    return dialogues


def later_dialogues():
    return [Dialogue(f"later.{service}",
                     [HELLO, b"ETRN nodots", b"ETRN elsewhere.example",
                      b"VRFY root@local.example", *transaction(sender, recipients)[1:]], client)
            for service in tables.LATER_SERVICES
            for client in ("203.0.113.7", STRANGER, "192.0.2.1")
            for sender in (b"", b"a@good.example", b"b@sub.listed.example")
            for recipients in ([b"root@local.example"], [b"known@local.example"],
                               [b"a@local.example", b"x@relay.example"])]


def action_dialogues():
    """Each action at each stage; the sink is told apart by the sender."""
    return [Dialogue(f"action.{service}", transaction(f"{action}@act.example".encode(),
                     [b"one@elsewhere.example", b"two@elsewhere.example"]), "203.0.113.7", action)
            for service in tables.ACTION_SERVICES for action in tables.ACTIONS]


PLAYS = {"relaying": relaying_dialogues, "client": client_dialogues, "helo": helo_dialogues,
         "sender": sender_dialogues, "recipient": recipient_dialogues, "code": code_dialogues,
         "later": later_dialogues, "action": action_dialogues}


@pytest.mark.parametrize("group", PLAYS)
def test_replies_are_those_of_postfix(pair, group):
    rows = [row for row in explained.RESTRICTIONS if row[0].startswith(f"{group}.")]
    dialogues = PLAYS[group]()
    differences = pair.compare(dialogues)
    counted.count("dialogues", len(dialogues), len(differences))
    check(differences, rows)


def test_log_lines_are_those_of_postfix(pair):
    """Of all that was played before."""
    theirs, ours = pair.log_lines(
        "reject: |reject_warning: |warn: |hold: |info: |discard: |filter: |redirect: |bcc: |"
        "access table|lookup error")
    assert unexplained_lines(theirs, ours, explained.LOG_LINES) == []


def test_actions_do_to_messages_what_they_do_in_postfix(pair):
    theirs, ours = delivered(pair)
    assert theirs == ours
    held = [len(list((pair.sides[0].system.folder / "spool" / "hold").rglob("[0-9A-Z]*"))),
            pair.sides[1].system.run("mailq", config_option="-C").stdout.count("!")]
    assert held[0] == held[1] > 0


def delivered(pair):
    """Who got what from whom, without what each system adds."""
    both = [set(), set()]
    deadline = time.monotonic() + 10
    while (both[0] != both[1] or not both[0]) and time.monotonic() < deadline:
        time.sleep(0.2)
        for seen, side in zip(both, pair.sides):
            seen.clear()
            seen.update((each.sender, *sorted(set(each.recipients)),  # Postfix copies a BCC twice
                         *(line for line in each.text.splitlines() if line.startswith("X-")))
                        for each in list(side.sink.messages)
                        if each.sender and each.sender.endswith("@act.example"))
    return both
