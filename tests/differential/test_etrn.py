# SPDX-License-Identifier: Apache-2.0
"""ETRN and postqueue -s: Debian's Postfix and Waypost say yes and no to the same, in the same
words, and mean it."""
import re
import subprocess

import pytest

from pair import STRANGER, Content, Dialogue, Pair, is_possible
from world import wait_until

pytestmark = pytest.mark.skipif(not is_possible(), reason="needs root, a namespace, postfix")

SERVICES = {
    "plain": {},
    "none": {"fast_flush_domains": ""},
    "list": {"smtpd_etrn_restrictions": "permit_mynetworks, reject"},
    "access": {"smtpd_etrn_restrictions": "check_etrn_access inline:{ relay.example=OK }, reject"},
    "late": {"smtpd_client_restrictions": "check_client_access inline:{ 192.0.2.9=REJECT }"},
    "helo": {"smtpd_helo_required": "yes"},
    "no_parents": {"parent_domain_matches_subdomains": ""},
    "table": {"fast_flush_domains": "inline:{table.example=x}, !not.other.example, .other.example"},
}
SITES = [b"relay.example", b"RELAY.EXAMPLE", b"sub.relay.example", b"@relay.example",
         b"#relay.example", b"other.example", b"foreign.example", b"[127.0.0.1]", b"[300.1.1.1]",
         b"table.example", b"a.other.example", b"not.other.example", b"bad..x", b"", b"a b", b"-x",
         b"relay.example."]


@pytest.fixture(scope="module")
def pair():
    with Pair({"mynetworks": "203.0.113.0/24",
               "fast_flush_domains": "$relay_domains, other.example, table.example",
               "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
               "relay_domains": "relay.example",
               "minimal_backoff_time": "3600s", "maximal_backoff_time": "3600s"},
              SERVICES) as both:
        yield both


def test_replies_to_etrn_are_those_of_postfix(pair):
    dialogues = [Dialogue(service, [*hello, b"ETRN " + site, b"MAIL FROM:<>", b"ETRN " + site,
                                    b"QUIT"], client)
                 for service in SERVICES for client in (STRANGER, "203.0.113.5") for site in SITES
                 for hello in ([b"EHLO client.example"], [])]
    found = pair.compare(dialogues)
    assert not found, "\n".join(map(str, found))


def test_log_lines_of_etrn_are_those_of_postfix(pair):
    theirs, ours = pair.log_lines("ETRN")
    assert theirs and set(theirs) == set(ours)


def test_postqueue_takes_the_same_sites(pair):
    for site in SITES:
        theirs, ours = (subprocess.run(
            [command, "-c", str(side.system.config), "-s", site.decode()], capture_output=True,
            text=True, timeout=60) for command, side in zip(
                ["/usr/sbin/postqueue", str(pair.sides[1].system.bin / "postqueue")], pair.sides))
        assert (ours.returncode, ours.stderr) == (theirs.returncode, theirs.stderr), site


@pytest.mark.parametrize("how", ["etrn", "postqueue"])
def test_deferred_mail_of_the_site_and_no_other_is_tried_again(pair, how):
    steps = [b"EHLO client.example", b"MAIL FROM:<sender@example.test>",
             b"RCPT TO:<" + how.encode() + b"@relay.example>", b"DATA",
             Content(b"Subject: a\r\n\r\nx\r\n.\r\n"), b"RSET", b"MAIL FROM:<sender@example.test>",
             b"RCPT TO:<" + how.encode() + b"@foreign.example>", b"DATA",
             Content(b"Subject: b\r\n\r\nx\r\n.\r\n"), b"QUIT"]

    def deferred(side, domain):
        return len(re.findall(rf"to=<{how}@{domain}>.*status=deferred", side.system.log()))

    for side in pair.sides:
        side.sink.answers["RCPT"] = lambda *_: "450 4.2.0 later"
        side.play(Dialogue("plain", steps, "203.0.113.5"))
        wait_until(lambda: deferred(side, "relay.example") and deferred(side, "foreign.example"),
                   "two deferrals")
        if how == "etrn":
            side.play(Dialogue("plain", [b"EHLO x", b"ETRN relay.example", b"QUIT"]))
        else:
            command = "/usr/sbin/postqueue" if side is pair.sides[0] \
                else str(side.system.bin / "postqueue")
            subprocess.run([command, "-c", str(side.system.config), "-s", "relay.example"],
                           check=True, timeout=60)
        wait_until(lambda: deferred(side, "relay.example") == 2, "another attempt")
        assert deferred(side, "foreign.example") == 1
