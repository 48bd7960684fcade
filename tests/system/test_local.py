# SPDX-License-Identifier: Apache-2.0
"""Local delivery: mailboxes, aliases, .forward files and commands, first beside Debian's Postfix
(the same files, addresses and messages in, what came out compared), then what must not happen."""
import os
import pathlib
import re
import signal
import socket
import stat
import subprocess
import time

import pytest

import local_cases
import reference
from mailboxes import (DOMAIN, FIRST_UID, VIRTUAL, Bench, Case, Users, differences, is_own_view, tree)
from world import MASTER_CF, Instance, Sink, is_alive, message, wait_until

pytestmark = pytest.mark.skipif(not is_own_view(),
                                reason="needs root and a view of the files of its own")

SETS = {
    "plain": (local_cases.MAILBOX + local_cases.ADDRESSES + local_cases.PROGRAMS +
              local_cases.UNSAFE,
              {"mailbox_size_limit": "50000", "message_size_limit": "40000"}),
    "others": (local_cases.EXTENSIONS + local_cases.PIPES + local_cases.VIRTUALS, {
        "recipient_delimiter": "+", "mailbox_transport_maps": "texthash:FOLDER/transports",
        "default_destination_recipient_limit": "1",
        "virtual_mailbox_domains": VIRTUAL, "virtual_mailbox_base": "FOLDER/v",
        "virtual_mailbox_maps": "texthash:FOLDER/virtual",
        "virtual_uid_maps": f"static:{FIRST_UID}", "virtual_gid_maps": f"static:{FIRST_UID}",
        "smtpd_reject_unlisted_recipient": "no"}),
    "parameters": (local_cases.MANY_PARAMETERS, {
        "home_mailbox": "Maildir/", "recipient_delimiter": "+-",
        "luser_relay": "catch-$local@example.com", "allow_mail_to_commands": "alias",
        "allow_mail_to_files": "alias", "expand_owner_alias": "yes",
        "forward_path": "$home/.forward,$home/fwd.$user",
        "propagate_unmatched_extensions": "alias,forward,include",
        "prepend_delivered_header": "forward"}),
    "commands": (local_cases.COMMANDS, {
        "recipient_delimiter": "+", "luser_relay": "$user+$extension",
        "mailbox_command": 'cat > $HOME/out; echo "$EXTENSION $USER" > $HOME/ext'}),
}


@pytest.mark.skipif(not reference.is_installed(), reason="Debian's postfix is not installed")
@pytest.mark.parametrize("name", SETS)
def test_outcome_is_the_same_as_postfixs(name):
    cases, parameters = SETS[name]
    bench = Bench(cases, **parameters)
    with bench.users:
        ours = bench.by_waypost()
        theirs = bench.by_postfix()
    found = differences(ours, theirs)
    assert not found, "\n".join(found)
    assert len(ours) == len(cases)
