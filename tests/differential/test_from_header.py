# SPDX-License-Identifier: Apache-2.0
"""The From: header that mail from sendmail gets where it has none (header_from_format), beside
Debian's Postfix."""
import os
import pathlib
import re
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "system"))

import reference
from world import Instance, Sink

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not reference.is_installed(),
                                reason="needs root and Debian's Postfix")

PARAMETERS = {"myhostname": "mail.example.test", "mydomain": "example.test", "mydestination": "",
              "compatibility_level": "3.6", "default_transport": "smtp"}
CASES = [("Joe", "joe@example.test"), ("J. (Doe)", "joe@example.test"),
         ('A "q" b', "joe@example.test"), ("back\\slash", "joe@example.test"),
         ("x%y", "joe@example.test"), ("x!y", "joe@example.test"), ("a,b", "joe@example.test"),
         ("", "joe@example.test"), ("Joe", "<>"), ("O'Neil & co", "joe@example.test")]


def from_headers(run, sink):
    for number, (name, sender) in enumerate(CASES):
        run(["-F", name, "-f", sender, "user@example.com"], f"Subject: {number}\n\nx\n")
    sink.wait(len(CASES))
    return {re.search(r"^Subject: (\d+)", each.text, re.M)[1]:
            re.search(r"^From: .*", each.text, re.M)[0] for each in sink.messages}


@pytest.mark.parametrize("form", ["standard", "obsolete"])
def test_a_name_stands_in_the_same_place_and_quotes(form):
    with Sink() as first, Sink() as second, \
            reference.Reference(services="smtp unix - - n - - smtp\npickup unix n - n 60 1 pickup\n",
                                relayhost=f"[127.0.0.1]:{first.port}", header_from_format=form,
                                **PARAMETERS) as theirs, \
            Instance(relayhost=f"[127.0.0.1]:{second.port}", header_from_format=form,
                     **PARAMETERS) as ours:
        expected = from_headers(lambda words, text: subprocess.run(
            ["/usr/sbin/sendmail", "-C", theirs.config, *words], input=text, text=True,
            check=True), first)
        found = from_headers(lambda words, text: ours.sendmail(*words, input=text), second)
        assert found == expected


def test_what_would_break_a_comment_is_quoted_in_it():
    with Sink() as sink, Instance(relayhost=f"[127.0.0.1]:{sink.port}",
                                  header_from_format="obsolete", **PARAMETERS) as relay:
        relay.sendmail("-F", "open ( paren", "-f", "joe@example.test", "user@example.com",
                       input="Subject: x\n\nx\n")
        assert "\r\nFrom: joe@example.test (open \\( paren)\r\n" in sink.wait(1)[0].text


def test_a_form_that_is_none_is_warned_of_and_counts_as_standard():
    with Sink() as sink, Instance(relayhost=f"[127.0.0.1]:{sink.port}",
                                  header_from_format="nonsense", **PARAMETERS) as relay:
        relay.wait_log("invalid setting: header_from_format = nonsense")
        relay.sendmail("-F", "Joe", "-f", "joe@example.test", "user@example.com",
                       input="Subject: x\n\nx\n")
        assert "\r\nFrom: Joe <joe@example.test>\r\n" in sink.wait(1)[0].text
