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
