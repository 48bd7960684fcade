# SPDX-License-Identifier: Apache-2.0
"""Mail for the servers that Debian has: every byte arrives, and a DKIM signature that was made
before still verifies behind them."""
import os
import pathlib
import re
import subprocess
import tempfile

import dkim
import pytest

import reference
from dovecot import DovecotLmtp
from real_servers import EXIM, OPENSMTPD, Exim, OpenSmtpd
from world import Instance, Sink, message, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the servers want to be root")

BODY = ("plain\r\n.dot\r\n..\r\n\r\n \r\ntrailing blanks  \r\n\ttab\r\nFrom the start\r\n"
        + "0123456789" * 99 + "\r\n" + "gr\u00fc\u00dfe\r\n" + "last\r\n")


class Signed:
    """A message with a DKIM signature, and the key to check it by."""

    def __init__(self):
        private = subprocess.run(["openssl", "genrsa", "2048"], capture_output=True,
                                 check=True).stdout
        public = subprocess.run(["openssl", "rsa", "-pubout"], input=private, capture_output=True,
                                check=True).stdout
        self.record = b"v=DKIM1; k=rsa; p=" + b"".join(public.splitlines()[1:-1])
        self.content = (message(body=BODY).replace(
            "Date:", "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
            "Content-Transfer-Encoding: 8bit\r\nDate:", 1)).encode()
        # The strictest canonicalization there is.
        self.content = dkim.sign(self.content, b"s", b"example.test", private,
                                 canonicalize=(b"simple", b"simple")) + self.content

    def verifies(self, content):
        return dkim.verify(content, dnsfunc=lambda name, timeout=5: self.record)


@pytest.fixture(scope="module")
def signed():
    return Signed()


def send(relay, signed, recipient):
    with relay.connect() as client:
        assert client.command("EHLO client.example.test")[0] == 250
        assert client.command("MAIL FROM:<sender@example.test> BODY=8BITMIME")[0] == 250
        assert client.command(f"RCPT TO:<{recipient}>")[0] == 250
        assert client.command("DATA")[0] == 354
        client.send(re.sub(rb"(?m)^\.", b"..", signed.content) + b".\r\n")
        assert client.reply()[0] == 250


def check(signed, content):
    assert content.endswith(signed.content)  # behind the Received: headers
    assert signed.verifies(content)
    assert not signed.verifies(content.replace(b"last", b"lost"))


@pytest.mark.parametrize("kind", [Exim, OpenSmtpd, reference.Reference])
def test_bytes_and_signatures_survive(signed, kind):
    program = {Exim: EXIM, OpenSmtpd: OPENSMTPD}.get(kind, reference.DAEMONS / "master")
    if not program.exists():
        pytest.fail(f"{program} is missing (scripts/install-dependencies test)")
    with Sink() as sink:
        if kind is reference.Reference:
            server = reference.Reference(
                default_transport=f"smtp:[127.0.0.1]:{sink.port}", mynetworks="127.0.0.0/8",
                smtpd_peername_lookup="no", mydestination="",
                smtpd_relay_restrictions="permit_mynetworks, reject")
            with open(server.config / "master.cf", "a") as master:
                master.write("smtp unix - - n - - smtp\n")
        else:
            server = kind(sink.port)
        with server, Instance(relayhost=f"[127.0.0.1]:{server.port}") as relay:
            send(relay, signed, "user@example.com")
            relay.wait_log(r"to=<user@example\.com>, .*status=sent \(250 ")
            [delivered] = sink.wait()
            check(signed, delivered.content)


def test_bytes_and_signatures_survive_in_a_maildir(signed):
    with tempfile.TemporaryDirectory(prefix="maildir-") as name:
        os.chmod(name, 0o755)
        with DovecotLmtp(pathlib.Path(name), ["anna"]) as dovecot, \
                Instance(default_transport=f"lmtp:unix:{dovecot.lmtp}") as relay:
            send(relay, signed, "anna@example.com")
            relay.wait_log(r"to=<anna@example\.com>, .*status=sent \(250 ")
            [content] = wait_until(lambda: dovecot.mail("anna"), "mail for anna")
            # A Maildir has the system's line ends.
            check(signed, content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
