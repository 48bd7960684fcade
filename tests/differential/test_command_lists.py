# SPDX-License-Identifier: Apache-2.0
"""smtpd_noop_commands and smtpd_forbidden_commands: words, "!", files and tables. Debian's Postfix
and Waypost side by side."""
import pytest

import pair
from pair import Dialogue, Pair

pytestmark = pytest.mark.skipif(not pair.is_possible(), reason="needs root in a network namespace")

SERVICES = {
    "default": {},
    "empty": {"smtpd_forbidden_commands": ""},
    "patterns": {"smtpd_noop_commands": "GET regexp:{{/^[^a-z]/ x}} pcre:{{/^sub/ x}} QUIT",
                 "smtpd_forbidden_commands": "!HELP NOOP !inline:{get=x} static:all"},
    "files": {"smtpd_noop_commands": "$config_directory/words !xtwo "
                                     "texthash:$config_directory/table",
              "smtpd_forbidden_commands": "texthash:$config_directory/table hash:/no/such/file "
                                          "CONNECT"},
    "failing": {"smtpd_noop_commands": "ONEX fail:x HELP",
                "smtpd_forbidden_commands": "!GET fail:x HELP"},
}
FILES = {"words": "onex\n# a comment\nX!, y/z\n", "table": "help x\nget x\nxtwo x\n"}
COMMANDS = [b"NOOP", b"RSET", b"GET / HTTP/1.0", b"Get", b"post x", b"CONNECT x:25", b"HELP",
            b"help me", b"ONEX", b"xtwo", b"X!", b"Subject: x", b"sub", b"received:", b"1NOOP",
            b"_x", b"<x>", b"\xc2\xa0NOOP", b"\x80", b"", b" ", b"y/z", b"[x]", b"QUIT",
            b"a.GET", b"192.0.2.1", b"NO\rOP"]
# Log lines: (whose, pattern, reason).
LOG_LINES = [("both", r".*: (?:NO.*OP|[^:]*NOOP)", "bytes that are no text are shown otherwise")]


@pytest.fixture(scope="module")
def both():
    with Pair({"smtpd_peername_lookup": "no", "smtpd_junk_command_limit": "2"}, SERVICES,
              files=FILES) as made:
        yield made


def test_commands_are_ignored_or_end_the_connection_as_by_postfix(both):
    found = both.compare([Dialogue(service, [b"EHLO client.example", *[command] * times, b"QUIT"])
                          for service in SERVICES for command in COMMANDS for times in (1, 5)])
    assert not found, "\n".join(map(str, found))
    theirs, ours = both.log_lines("non-SMTP command")
    left = pair.unexplained_lines(theirs, ours, LOG_LINES)
    assert theirs and not left, "\n".join(left)
