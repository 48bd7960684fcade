# SPDX-License-Identifier: Apache-2.0
"""Header and body checks, seen from outside: the tutorial's two rules beside Debian's Postfix, local
submissions, and patterns that would never end. (Most actions: tests/differential/test_content.py.)"""
import re
import time

import pytest

import reference
from world import Client, Instance, Sink, message, wait_until

# As the tutorial has them.
TUTORIAL = r"""# Our clients must specify realy FQDN names. Ignore if not!
/.*localhost.*/ IGNORE
# Hide our SSO real IP address
/^(Received: from) sso-api-[\d\.\w]+ \([\w\-\.\d]+ \[[\d\.]+\]\)(.*)$/ REPLACE ${1} login.zombig.name (unknown [unknown]) ${2}
"""
MAIL = ("Received: from sso-api-01.zombig.name (sso-api-01.zombig.name [10.1.2.3])\r\n"
        "\tby mx.zombig.name (Postfix) with ESMTP id 1234; Mon, 1 Jan 2024 00:00:00 +0000\r\n"
        "From: a@zombig.name\r\nTo: b@example.com\r\nMessage-Id: <1@zombig.name>\r\n"
        "Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
        "Subject: about LOCALHOST\r\nX-Kept: yes\r\n\r\nlocalhost stays in the body\r\n")


@pytest.fixture
def sink():
    with Sink() as server:
        yield server


def send(port, content):
    with Client("127.0.0.1", port) as client:
        assert client.command("EHLO client.example.test")[0] == 250
        return client.deliver("a@zombig.name", ["b@example.com"], content)


def shared(folder):
    """Where a role of another user can read."""
    for parent in [folder, *folder.parents]:
        if parent.name.startswith("pytest"):
            parent.chmod(0o755)
    folder.chmod(0o755)
    return folder


def relay_with(sink, rules, folder, **parameters):
    path = folder / "checks"
    path.write_text(rules)
    path.chmod(0o644)
    return Instance(relayhost=f"[127.0.0.1]:{sink.port}",
                    header_checks=f"pcre:{path}", **parameters)


def what_became_of(sink, log):
    [delivered] = sink.wait()
    wait_until(lambda: "qmgr" in log() and ": removed" in log(), "the end of the message")
    lines = re.findall(r"cleanup\[\d+\]: \w+: (replace: .*)$", log(), re.MULTILINE)
    return delivered.text, lines


def test_rules_of_the_tutorial_do_what_postfix_does_with_them(tmp_path):
    """The first one takes away more than its author thought: our own Received: header too, where
    the client is "localhost", and any header with the word; nothing of that is logged."""
    results = []
    rules = shared(tmp_path) / "header_checks"
    rules.write_text(TUTORIAL)
    rules.chmod(0o644)
    for kind in "postfix", "waypost":
        with Sink() as sink:
            parameters = {"relayhost": f"[127.0.0.1]:{sink.port}",
                          "header_checks": f"pcre:{rules}", "smtp_tls_security_level": "none"}
            server = Instance(**parameters) if kind == "waypost" else reference.Reference(
                services="smtp unix - - n - - smtp\n", myhostname="relay.example.test",
                mynetworks="127.0.0.0/8", inet_protocols="ipv4", compatibility_level="3.6",
                **{**parameters, "default_transport": "smtp"})
            with server:
                assert send(server.port, MAIL)[0] == 250
                results.append(what_became_of(sink, server.log))
    postfix, waypost = results
    assert waypost == postfix
    text, lines = waypost
    assert text.startswith("Received: from login.zombig.name (unknown [unknown]) ")
    assert text.count("Received:") == 1 and "Subject" not in text and "X-Kept: yes" in text
    assert text.endswith("localhost stays in the body\r\n")
    assert len(lines) == 1 and "Received: from login.zombig.name" in lines[0]


CHECKS = """\
/^Subject: refused/ REJECT 5.7.9 not that
/^Subject: gone/ DISCARD
/^Subject: held/ HOLD
/^Subject: changed/ REPLACE Subject: other
"""


def test_rejected_submission_goes_back_to_its_sender_and_nowhere_else(sink, tmp_path):
    with relay_with(sink, CHECKS, shared(tmp_path)) as relay:
        relay.sendmail("-f", "me@example.org", "you@example.com",
                       input="Subject: refused\n\nlost? no\n")
        [bounce] = sink.wait()
        assert bounce.sender in ("", "<>") and bounce.recipients == ["me@example.org"]
        assert "5.7.9" in bounce.text and "not that" in bounce.text and "lost? no" in bounce.text
        wait_until(relay.queue_is_empty, "an empty queue")
        assert list((relay.queue / "maildrop").iterdir()) == []
        assert len(sink.messages) == 1
        relay.wait_log(r"cleanup\[\d+\]: \w+: reject: header Subject: refused from local; "
                       r"from=<me@example\.org> to=<you@example\.com>: 5\.7\.9 not that$")


def test_submissions_are_held_changed_and_discarded_as_asked(sink, tmp_path):
    with relay_with(sink, CHECKS, shared(tmp_path)) as relay:
        for subject in "gone", "held", "changed":
            relay.sendmail("-f", "me@example.org", "you@example.com",
                           input=f"Subject: {subject}\n\nx\n")
        [changed] = sink.wait()
        assert "\r\nSubject: other\r\n" in changed.text
        relay.wait_log(r": discard: header Subject: gone from local; ")
        wait_until(lambda: list((relay.queue / "maildrop").iterdir()) == [], "an empty maildrop")
        [listed] = re.findall(r"^(\w+)!", relay.run("mailq", config_option="-C").stdout,
                              re.MULTILINE)
        relay.wait_log(rf"{listed}: hold: header Subject: held from local; ")
        assert len(sink.messages) == 1


def test_pattern_that_never_ends_keeps_the_mail_out_and_others_go_on(sink, tmp_path):
    with relay_with(sink, "/^X-Bomb: (a+)+$/ IGNORE\n", shared(tmp_path)) as relay:
        started = time.monotonic()
        code, text = send(relay.port, message().replace("\r\n", f"\r\nX-Bomb: {'a' * 60}b\r\n", 1))
        assert code == 451, text
        assert time.monotonic() - started < 10
        assert send(relay.port, message())[0] == 250
        sink.wait()
        assert len(sink.messages) == 1
