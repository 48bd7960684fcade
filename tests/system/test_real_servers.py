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
from certificates import Certificates
from dovecot import DovecotLmtp
from real_servers import EXIM, OPENSMTPD, Exim, OpenSmtpd
from world import MASTER_CF, Instance, Sink, message, wait_until

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


@pytest.fixture(scope="module")
def certificates():
    made = Certificates()
    made.make("mx.example.test")
    return made


def tls_parameters(certificates, prefix):
    """Mail goes to that server alone, by its certificate."""
    return {f"{prefix}_tls_security_level": "verify",
            f"{prefix}_tls_CAfile": certificates.authority,
            f"{prefix}_tls_verify_cert_match": "mx.example.test",
            f"{prefix}_tls_loglevel": "1"}


def certificate_of(certificates):
    return tuple(certificates.folder / f"mx.example.test.{each}" for each in ("pem", "key"))


def postfix_before(sink, certificate):
    tls = {}
    if certificate:
        tls = {"smtpd_tls_security_level": "may", "smtpd_tls_cert_file": certificate[0],
               "smtpd_tls_key_file": certificate[1]}
    server = reference.Reference(
        default_transport=f"smtp:[127.0.0.1]:{sink.port}", mynetworks="127.0.0.0/8",
        smtpd_peername_lookup="no", mydestination="",
        smtpd_relay_restrictions="permit_mynetworks, reject", **tls)
    with open(server.config / "master.cf", "a") as master:
        master.write("smtp unix - - n - - smtp\n")
    return server


def must_be_there(kind):
    program = {Exim: EXIM, OpenSmtpd: OPENSMTPD}.get(kind, reference.DAEMONS / "master")
    if not program.exists():
        pytest.fail(f"{program} is missing (scripts/install-dependencies test)")


@pytest.mark.parametrize("kind, has_tls", [(Exim, False), (Exim, True), (OpenSmtpd, False),
                                           (reference.Reference, False),
                                           (reference.Reference, True)])
def test_bytes_and_signatures_survive(signed, certificates, kind, has_tls):
    must_be_there(kind)
    certificate = certificate_of(certificates) if has_tls else None
    parameters = tls_parameters(certificates, "smtp") if has_tls else {}
    with Sink() as sink:
        server = postfix_before(sink, certificate) if kind is reference.Reference else \
            kind(sink.port, certificate)
        with server, Instance(relayhost=f"[127.0.0.1]:{server.port}", **parameters) as relay:
            send(relay, signed, "user@example.com")
            relay.wait_log(r"to=<user@example\.com>, .*status=sent \(250 ")
            [delivered] = sink.wait()
            check(signed, delivered.content)
            assert ("Verified TLS connection established to" in relay.log()) == has_tls


def test_bytes_and_signatures_survive_a_server_whose_tls_is_broken(signed, certificates):
    """Debian 12's OpenSMTPD offers STARTTLS and cannot do it with OpenSSL 3 (its issue 1171): every
    handshake fails. Mail waits where TLS must be, and goes in clear where it only may be."""
    must_be_there(OpenSmtpd)
    services = "strict unix - - n - - smtp -o smtp_tls_security_level=encrypt\n"
    with Sink() as sink, OpenSmtpd(sink.port, certificate_of(certificates)) as server, \
            Instance(master_cf=MASTER_CF + services, smtp_tls_security_level="may",
                     minimal_backoff_time="2s", maximal_backoff_time="2s", relayhost=
                     f"[127.0.0.1]:{server.port}", relay_domains="strict.example",
                     relay_transport=f"strict:[127.0.0.1]:{server.port}",
                     relay_recipient_maps="") as relay:
        send(relay, signed, "user@strict.example")
        send(relay, signed, "user@example.com")
        relay.wait_log(r"to=<user@strict\.example>, .*status=deferred \(Cannot start TLS: "
                       "handshake failure", 2)
        relay.wait_log(r"to=<user@example\.com>, .*status=sent \(250 ")
        [delivered] = sink.wait()
        check(signed, delivered.content)


@pytest.mark.parametrize("way", ["socket", "clear", "tls"])
def test_bytes_and_signatures_survive_in_a_maildir(signed, certificates, way):
    certificate = certificate_of(certificates) if way == "tls" else None
    parameters = tls_parameters(certificates, "lmtp") if way == "tls" else {}
    with tempfile.TemporaryDirectory(prefix="maildir-") as name:
        os.chmod(name, 0o755)
        with DovecotLmtp(pathlib.Path(name), ["anna"], certificate) as dovecot:
            place = f"unix:{dovecot.lmtp}" if way == "socket" else f"inet:127.0.0.1:{dovecot.port}"
            with Instance(default_transport=f"lmtp:{place}", **parameters) as relay:
                send(relay, signed, "anna@example.com")
                relay.wait_log(r"to=<anna@example\.com>, .*status=sent \(250 ")
                [content] = wait_until(lambda: dovecot.mail("anna"), "mail for anna")
                # A Maildir has the system's line ends.
                check(signed, content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
                is_secure = "Verified TLS connection established to" in relay.log()
                assert is_secure == (way == "tls")
