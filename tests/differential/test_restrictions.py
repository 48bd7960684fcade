# SPDX-License-Identifier: Apache-2.0
"""The restrictions answer as Debian's Postfix does: tables of configurations times dialogues."""
import pytest

import explained
import restriction_tables as tables
from pair import STRANGER, Content, Dialogue, Pair, is_possible, unexplained

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


def check(differences, rows):
    left, useless = unexplained(differences, rows)
    assert not left, "\n".join(map(str, left))
    assert not useless, f"explain nothing any more: {useless}"


def test_relaying_is_judged_as_by_postfix():
    dialogues = [Dialogue(service, transaction(sender, [recipient]), client)
                 for service in RELAYING for sender in SENDERS for recipient in RECIPIENTS
                 for client in ("127.0.0.1", STRANGER)]
    with Pair({}, RELAYING) as pair:
        check(pair.compare(dialogues), explained.RESTRICTIONS)
        theirs, ours = pair.log_lines("reject: ")
        assert theirs == ours


def one_each(services, clients, helos, senders, recipients):
    """A dialogue for each service and each value of the subject that it is about."""
    dialogues = []
    for service in services:
        for client in clients:
            for helo in helos:
                for sender in senders:
                    steps = [b"EHLO " + helo.encode(), b"MAIL FROM:<" + sender.encode() + b">",
                             *[b"RCPT TO:<" + each.encode() + b">" for each in recipients], QUIT]
                    dialogues.append(Dialogue(service, steps, client))
    return dialogues


def compare(services, dialogues, rows):
    with Pair(tables.MAIN, services, files=tables.FILES, zone=tables.ZONE) as pair:
        check(pair.compare(dialogues), rows)
        theirs, ours = pair.log_lines("reject: |reject_warning: |warn: |hold: |info: ")
        assert theirs == ours


def test_clients_are_judged_as_by_postfix():
    compare(tables.CLIENT_SERVICES,
            one_each(tables.CLIENT_SERVICES, tables.CLIENTS, ["client.example"],
                     ["a@good.example"], ["root@local.example", "x@elsewhere.example"]),
            explained.CLIENTS)


def test_helo_names_are_judged_as_by_postfix():
    compare(tables.HELO_SERVICES,
            one_each(tables.HELO_SERVICES, ["192.0.2.9"], tables.HELOS, ["a@good.example"],
                     ["root@local.example"]), explained.HELOS)


def test_senders_are_judged_as_by_postfix():
    compare(tables.SENDER_SERVICES,
            one_each(tables.SENDER_SERVICES, ["192.0.2.9"], ["client.example"], tables.SENDERS,
                     ["root@local.example"]), explained.SENDERS)


def test_recipients_are_judged_as_by_postfix():
    compare(tables.RECIPIENT_SERVICES,
            [each for recipient in tables.RECIPIENTS for each in
             one_each(tables.RECIPIENT_SERVICES, ["192.0.2.9"], ["client.example"],
                      ["a@good.example"], [recipient])] +
            one_each(tables.RECIPIENT_SERVICES, ["192.0.2.9"], ["client.example"], [""],
                     ["root@local.example", "known@local.example"]), explained.RECIPIENTS)


def code_dialogues():
    dialogues = []
    for i in range(len(tables.CODES)):
        mail, host = f"code{i}@c.example".encode(), f"code{i}.c.example".encode()
        for service, helo, sender, recipient in (("sender", b"x", mail, b"root@localhost"),
                                                 ("recipient", b"x", b"q@q", mail),
                                                 ("helo", host, b"q@q", b"root@localhost")):
            dialogues.append(Dialogue(service, [b"EHLO " + helo, b"MAIL FROM:<" + sender + b">",
                                                b"RCPT TO:<" + recipient + b">", QUIT]))
    return dialogues


def test_enhanced_codes_fit_their_subject_as_in_postfix():
    compare(tables.CODE_SERVICES, code_dialogues(), explained.CODES)


def later_dialogues():
    dialogues = []
    for service in tables.LATER_SERVICES:
        for client in ("203.0.113.7", STRANGER, "192.0.2.1"):
            for sender in (b"", b"a@good.example", b"b@sub.listed.example"):
                for recipients in ([b"root@local.example"], [b"known@local.example"],
                                   [b"a@local.example", b"x@relay.example"]):
                    dialogues.append(Dialogue(service, [
                        HELLO, b"ETRN nodots", b"ETRN elsewhere.example", b"VRFY root@local.example",
                        *transaction(sender, recipients)[1:]], client))
    return dialogues


def test_lists_about_whole_messages_judge_as_in_postfix():
    compare(tables.LATER_SERVICES, later_dialogues(), explained.LATER)


def action_dialogues():
    """Each action at each stage; the sink is told apart by the sender."""
    return [Dialogue(service, transaction(f"{action}@act.example".encode(),
                                          [b"one@elsewhere.example", b"two@elsewhere.example"]),
                     "203.0.113.7", action)
            for service in tables.ACTION_SERVICES for action in tables.ACTIONS]


def delivered(pair, count):
    """What the sinks received, without what each system adds."""
    both = []
    for messages in pair.wait_delivered(count):
        both.append(sorted({(sender, *sorted(set(recipients)),  # Postfix copies a BCC twice
                             *(line for line in text.splitlines() if line.startswith("X-")))
                            for sender, recipients, text in messages
                            if sender.endswith("@act.example")}))
    return both


def test_actions_do_to_messages_what_they_do_in_postfix():
    files = {"actions": "".join(f"{name}@act.example {action}\n"
                                for name, action in tables.ACTIONS.items())}
    with Pair(tables.MAIN, tables.ACTION_SERVICES, files=files, zone=tables.ZONE) as pair:
        check(pair.compare(action_dialogues()), explained.ACTIONS)
        theirs, ours = pair.log_lines(
            "reject: |warn: |hold: |info: |discard: |filter: |redirect: |bcc: |access table")
        assert theirs == ours
        theirs, ours = delivered(pair, tables.ACTION_DELIVERIES)
        assert theirs == ours
        held = [len(list((pair.sides[0].system.folder / "spool" / "hold").rglob("[0-9A-Z]*"))),
                pair.sides[1].system.run("mailq", config_option="-C").stdout.count("!")]
        assert held[0] == held[1] > 0
