# SPDX-License-Identifier: Apache-2.0
"""What is done to the headers of mail from this machine, and left alone in that of others."""
import re

import pytest

from world import Instance, Sink, wait_until


@pytest.fixture
def sink():
    with Sink() as server:
        yield server


@pytest.fixture
def relay(sink):
    with Instance(relayhost=f"[127.0.0.1]:{sink.port}", myorigin="origin.example") as instance:
        yield instance


CRON = ("From: root (Cron Daemon)\nTo: root\nCc: \"Q, R\" <joe@host>, x@far.example\n"
        "Bcc: hidden@far.example\nSubject: cron\n\noutput\n")


def headers_of(delivered):
    return delivered.text.split("\r\n\r\n")[0] + "\r\n"


def test_local_mail_gets_what_it_lacks(relay, sink):
    relay.sendmail("-f", "root", "-F", "Full Name", "user@example.com", input=CRON)
    relay.sendmail("-f", "root", "-F", "Full Name", "user@example.com", input="no header\n")
    wait_until(lambda: len(sink.messages) == 2, "both messages")
    cron, bare = sorted(sink.messages, key=lambda one: "cron" not in one.text)
    assert cron.sender == "root@origin.example"
    text = headers_of(cron)
    assert "\r\nFrom: root@origin.example (Cron Daemon)\r\n" in text
    assert "\r\nTo: root@origin.example\r\n" in text
    assert "\r\nCc: \"Q, R\" <joe@host.example.test>, x@far.example\r\n" in text
    assert "Bcc:" not in text
    assert re.search(r"\r\nMessage-Id: <\d{14}\.\w+@relay\.example\.test>\r\nDate: \w{3}, ", text)
    assert "\r\nFrom: Full Name <root@origin.example>\r\n" in headers_of(bare)
    assert bare.text.endswith("\r\n\r\nno header\r\n")


def test_headers_of_other_clients_stay_as_they_are(sink):
    with Instance(relayhost=f"[127.0.0.1]:{sink.port}", local_header_rewrite_clients="") as relay:
        with relay.connect() as client:
            client.command("EHLO client.example.test")
            code, _ = client.deliver("a@example.test", ["user@example.com"],
                                     CRON.replace("\n", "\r\n"))
            assert code == 250
        [delivered] = sink.wait()
        text = headers_of(delivered)
        assert "\r\nFrom: root (Cron Daemon)\r\nTo: root\r\n" in text
        assert "Message-Id" not in text
        assert "Bcc:" not in text
