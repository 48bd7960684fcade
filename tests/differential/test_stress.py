# SPDX-License-Identifier: Apache-2.0
"""More clients than maxproc allows: Debian's Postfix and Waypost leave the same ones waiting, serve
the same ones with stress=yes, and warn in the same words."""
import re
import select
import socket

import pytest

from pair import NETWORKS, PATIENCE, Pair, is_possible, read_reply
from world import wait_until

pytestmark = pytest.mark.skipif(not is_possible(), reason="needs root, a namespace, postfix")

PUBLIC = NETWORKS[0].replace("0/24", "1")
SERVICES = {"two": {}, "one": {}, "own": {"stress": "own"}, "here": {}, "kind": {
    "smtpd_hard_error_limit": "${stress?{2}:{20}}"}}
MAXPROC = {"two": 2, "one": 1, "own": 2, "here": 2, "kind": 2}
QUIET = 0.5  # seconds in which who may not be served hears nothing


class Peer:
    def __init__(self, side, service):
        self.socket = socket.create_connection(
            ("127.0.0.1" if service == "here" else PUBLIC, side.system.ports[service]), PATIENCE)
        self.file = self.socket.makefile("rb")

    def is_served(self):
        return bool(select.select([self.socket], [], [], QUIET)[0])

    def command(self, line):
        self.socket.sendall(line + b"\r\n")
        return read_reply(self.file)

    def close(self):
        self.file.close()
        self.socket.close()


@pytest.fixture(scope="module")
def pair():
    both = Pair({"smtpd_banner": "$myhostname stress=${stress}", "stress": "of-main-cf",
                 "smtpd_client_connection_count_limit": "0", "waypost_smtpd_workers": "2",
                 "smtpd_peername_lookup": "no"}, SERVICES)
    for side in both.sides:
        file = side.system.config / "master.cf"
        text = file.read_text()
        for name, port in side.system.ports.items():
            address = "127.0.0.1" if name == "here" else PUBLIC
            text = text.replace(f"127.0.0.1:{port} inet n - n - - smtpd",
                                f"{address}:{port} inet n - n - {MAXPROC[name]} smtpd")
        file.write_text(text)
    with both:
        yield both


@pytest.mark.parametrize("service", SERVICES)
def test_the_same_clients_wait_and_the_same_ones_have_stress(pair, service):
    both = []
    for side in pair.sides:
        limit, story = MAXPROC[service], []
        peers = [Peer(side, service) for _ in range(limit)]
        story += [read_reply(each.file) for each in peers]
        later = Peer(side, service)
        story.append(later.is_served())
        story += [peers[-1].command(b"NONSENSE"), peers[-1].command(b"NONSENSE")]
        peers[0].close()
        story.append(read_reply(later.file))
        for each in [*peers[1:], later]:
            each.close()
        both.append(story)
    assert both[0] == both[1]
    assert both[0][MAXPROC[service]] is False


def warnings(side):
    lines = re.findall(r"postfix/master\[\d+\]: (warning: (?:service|to avoid|see).*)",
                       side.system.log())
    ports = {str(port): name for name, port in side.system.ports.items()}
    return sorted(re.sub("|".join(ports), lambda match: ports[match.group()], line)
                  for line in lines)


def test_the_log_warns_of_the_same_services_in_the_same_words(pair):
    theirs = warnings(pair.sides[0])
    assert len(theirs) == 9  # the test above: three services with three lines each
    wait_until(lambda: warnings(pair.sides[1]) == theirs, "the same warnings")
