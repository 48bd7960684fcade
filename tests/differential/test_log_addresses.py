# SPDX-License-Identifier: Apache-2.0
"""info_log_address_format: how addresses with special characters are logged, at each place where one
is. Debian's Postfix and Waypost side by side."""
import re
import time

import pytest

import pair
from pair import FRIEND, STRANGER, Content, Dialogue, Pair

pytestmark = pytest.mark.skipif(not pair.is_possible(), reason="needs root in a network namespace")

AWKWARD = [b'"a b"@awkward.example', b'"a@b"@awkward.example', b'"a\\"b"@awkward.example',
           b'"a,b"@awkward.example', b"plain@awkward.example", b'".a"@awkward.example']


def logged(side):
    """Of each kind of line the addresses in it."""
    lines = re.findall(r"/(smtpd|qmgr|smtp)\[\d+\]: (.*(?:from|to)=<.*)", side.system.log())
    return sorted({(program, where) for program, line in lines
                   for where in re.findall(r"\b(?:from|to)=<.*?>(?=[, ])", line)})


def wait_for_same(both):
    deadline = time.monotonic() + 5  # the last lines are still on their way
    while True:
        found = [logged(side) for side in both.sides]
        if found[0] == found[1] or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


@pytest.mark.parametrize("form", ["external", "internal"])
def test_addresses_are_logged_in_the_form_that_is_asked_for(form):
    with Pair({"info_log_address_format": form}, {"default": {}}) as both:
        found = both.compare(
            [Dialogue("default", [b"EHLO client.example", b"MAIL FROM:<" + address + b">",
                                  b"RCPT TO:<" + address + b">", b"DATA",
                                  Content(b"Subject: x\r\n\r\n.\r\n"), b"QUIT"], client)
             for address in AWKWARD for client in (FRIEND, STRANGER)])
        assert not found, "\n".join(map(str, found))
        both.wait_delivered(len(AWKWARD))
        theirs, ours = wait_for_same(both)
        assert theirs and theirs == ours
