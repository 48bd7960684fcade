# SPDX-License-Identifier: Apache-2.0
"""Limits on what a client may do: Debian's Postfix and Waypost, with several workers, say no at
the same moment and in the same words."""
import re
import time

import pytest

from pair import PATIENCE, STRANGER, Dialogue, Pair, is_possible, read_reply

pytestmark = pytest.mark.skipif(not is_possible(), reason="needs root, a namespace, postfix")

SERVICES = {
    "count": {"smtpd_client_connection_count_limit": "3"},
    "rate": {"smtpd_client_connection_rate_limit": "3"},
    "messages": {"smtpd_client_message_rate_limit": "2"},
    "recipients": {"smtpd_client_recipient_rate_limit": "3"},
    "exempt": {"smtpd_client_connection_rate_limit": "1", "smtpd_client_message_rate_limit": "1"},
    "exempt_more": {"smtpd_client_connection_rate_limit": "1",
                    "smtpd_client_event_limit_exceptions": "192.0.2.0/24"},
    "none": {"smtpd_client_connection_count_limit": "0"},
    "patient": {"smtpd_timeout": "3s"},
    "hurried": {"smtpd_timeout": "3s", "smtpd_per_request_deadline": "yes"},
    "hurried_little": {"smtpd_timeout": "3s", "smtpd_per_request_deadline": "yes",
                       "smtpd_min_data_rate": "1"},
    "debug": {"debug_peer_list": STRANGER},
    "debug_off": {"debug_peer_list": "192.0.2.1"},
}
HELLO = b"EHLO client.example"


class Session:
    def __init__(self, side, service, client):
        import socket
        self.socket = socket.create_connection(("127.0.0.1", side.system.ports[service]), PATIENCE,
                                               source_address=(client, 0))
        self.file = self.socket.makefile("rb")
        self.banner = read_reply(self.file)

    def close(self):
        self.file.close()
        self.socket.close()


@pytest.fixture(scope="module")
def pair():
    with Pair({"waypost_smtpd_workers": "4", "anvil_status_update_time": "2s",
               "mynetworks": "203.0.113.0/24"}, SERVICES) as both:
        yield both


def test_connections_at_a_time_are_limited_over_all_workers(pair):
    both = []
    for side in pair.sides:
        sessions = [Session(side, "count", STRANGER) for _ in range(6)]
        other = Session(side, "count", "192.0.2.77")
        both.append([each.banner for each in [*sessions, other]])
        for each in [*sessions, other]:
            each.close()
        deadline = time.monotonic() + PATIENCE
        while True:  # room again, as soon as their end was noticed
            again = Session(side, "count", STRANGER)
            again.close()
            if again.banner.startswith("220"):
                break
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert both[0] == both[1]
    assert [each[:3] for each in both[1]] == ["220"] * 3 + ["421"] * 3 + ["220"]


@pytest.mark.parametrize("service", ["rate", "messages", "recipients", "exempt", "exempt_more",
                                     "none"])
def test_rates_are_limited_as_by_postfix(pair, service):
    steps = [HELLO, *[step for i in range(3) for step in (
        b"MAIL FROM:<a@b.example>", b"MAIL FROM:<nested@b.example>", b"RCPT TO:<x@local.example>",
        b"RCPT TO:<>", b"RCPT TO:<y@elsewhere.example>", b"RSET", b"MAIL FROM:<bad")], b"QUIT"]
    client = {"exempt": "203.0.113.9", "none": "192.0.2.60"}.get(service, STRANGER)
    both = [[side.play(Dialogue(service, steps, client)) for _ in range(5)] for side in pair.sides]
    assert both[0] == both[1]
    theirs, ours = pair.log_lines(f"limit exceeded.*{service}")
    assert theirs == ours


def test_limit_lines_in_the_log_are_those_of_postfix(pair):
    """Each kind of line; how many connections one of them waited for is a matter of timing."""
    both = [{re.sub(r": \d+ from|service \S+", "", line) for line in lines}
            for lines in pair.log_lines("limit exceeded")]
    assert both[0] == both[1] != set()


def test_statistics_are_logged_as_by_postfix(pair):
    def kinds(lines):
        return {re.sub(r"(max \D+)\d+(/60s)?( for \(127.0.0.1:\d+:[\d.]+\))? at .*", r"\1\2", line)
                for line in lines}
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        theirs, ours = map(kinds, pair.log_lines("statistics: "))
        if theirs == ours:
            break
    assert theirs == ours
    assert all(re.fullmatch(r"statistics: max [a-z ]+ \d+(/60s)?( for \(127.0.0.1:\d+:[\d.]+\))? at "
                            r"[A-Z][a-z]{2} [ \d]\d [\d:]{8}", line)
               for line in pair.log_lines("statistics: ")[1])


def test_dialogues_of_debug_peers_are_logged_without_secrets(pair):
    steps = [HELLO, b"AUTH PLAIN AHVzZXIAc2VjcmV0", b"auth login dXNlcg==", b"NOOP", b"QUIT"]
    for side in pair.sides:
        side.play(Dialogue("debug", steps, STRANGER))
        side.play(Dialogue("debug_off", [b"EHLO not.logged.example", b"QUIT"], STRANGER))
    lines = [line for line in pair.log_lines("^[<>] ")[1]]
    assert f"< unknown[{STRANGER}]: EHLO client.example" in lines
    assert f"> unknown[{STRANGER}]: 250 2.0.0 Ok" in lines
    assert f"> unknown[{STRANGER}]: 220 mail.example.test ESMTP Postfix" in lines
    assert f"< unknown[{STRANGER}]: AUTH PLAIN ****" in lines
    assert f"< unknown[{STRANGER}]: auth login ****" in lines
    assert not any("not.logged" in line or "AHVz" in line or "dXNl" in line for line in lines)


def drip(side, service):
    """What is said to a client whose message takes three times smtpd_timeout, at a byte each third
    of a second."""
    session = Session(side, service, STRANGER)
    for command in [HELLO, b"MAIL FROM:<a@b.example>", b"RCPT TO:<x@local.example>", b"DATA"]:
        session.socket.sendall(command + b"\r\n")
        read_reply(session.file)
    session.socket.settimeout(0.3)
    said, end = b"", time.monotonic() + 9
    while not said and time.monotonic() < end:
        try:
            session.socket.sendall(b"x")
            said = session.socket.recv(100)
        except TimeoutError:
            continue
        except OSError:
            break
    if not said:
        session.socket.settimeout(PATIENCE)
        session.socket.sendall(b"\r\n.\r\n")
        said = session.socket.recv(100)
    session.close()
    return said[:9]


@pytest.mark.parametrize("service, reply", [("patient", b"250 2.0.0"), ("hurried", b"421 4.4.2"),
                                            ("hurried_little", b"250 2.0.0")])
def test_slow_content_has_the_time_that_postfix_gives_it(pair, service, reply):
    assert [drip(side, service) for side in pair.sides] == [reply, reply]
