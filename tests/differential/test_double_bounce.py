# SPDX-License-Identifier: Apache-2.0
"""Mail for the address that notices to the postmaster come from: at a domain of this system it ends
in the queue, and everywhere else it is mail like any other. Debian's Postfix and Waypost side by
side."""
import os
import pathlib
import re
import smtplib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "system"))

import reference
from world import Instance, message, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not reference.is_installed(),
                                reason="needs root and Debian's Postfix")

PARAMETERS = {"myhostname": "mail.example.test", "mydomain": "example.test",
              "mydestination": "$myhostname, local.example, moved.example",
              "virtual_alias_domains": "alias.example", "relay_domains": "relay.example",
              "virtual_alias_maps": "inline:{double-bounce@alias.example=x@relay.example}",
              "transport_maps": "inline:{moved.example=discard:moved}",
              "compatibility_level": "3.6", "local_recipient_maps": "", "alias_maps": "",
              "mynetworks": "127.0.0.0/8", "recipient_delimiter": "+",
              "smtpd_recipient_restrictions": "permit_mynetworks, reject",
              "local_transport": "discard:local", "relay_transport": "discard:relay",
              "default_transport": "discard:default"}
ADDRESSES = ["double-bounce@mail.example.test", "Double-Bounce@local.example", "double-bounce",
             "double-bounce+x@mail.example.test", "double-bounce@[127.0.0.1]",
             "double-bounce@moved.example", "double-bounce@alias.example",
             "double-bounce@relay.example", "double-bounce@other.example",
             "doublebounce@mail.example.test"]
LINE = re.compile(r"postfix/(\w+)\[\d+\]: \w+: (to=<.*?>, (?:orig_to=<.*?>, )?relay=\S+) .*"
                  r"(dsn=.*)$", re.M)


def outcomes(system):
    for address in ADDRESSES:
        with smtplib.SMTP("127.0.0.1", system.port) as client:
            client.sendmail("<>", [address], message())
    wait_until(lambda: len(LINE.findall(system.log())) >= len(ADDRESSES), "all deliveries")
    return sorted(LINE.findall(system.log()))


def test_mail_for_the_double_bounce_address_ends_in_the_queue():
    with reference.Reference(**PARAMETERS) as theirs, Instance(**PARAMETERS) as ours:
        expected, found = outcomes(theirs), outcomes(ours)
        assert found == expected
        discarded = [line for line in found
                     if line[0] == "qmgr" and "postmaster notification discarded" in line[2]]
        assert len(discarded) == 5
        wait_until(ours.queue_is_empty, "an empty queue")
