# SPDX-License-Identifier: Apache-2.0
"""The restrictions answer as Debian's Postfix does: tables of configurations times dialogues."""
import pytest

import explained
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
