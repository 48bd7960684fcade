# SPDX-License-Identifier: Apache-2.0
"""The submission services that the packaged master.cf has as comments, taken out of them: ports 587 and
465, behind TLS, for users who have logged in."""
import base64
import os
import re
import smtplib
import ssl

import pytest

from certificates import Certificates
from cyrus import Cyrus, is_installed
from world import ROOT, Instance, Sink, message, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not is_installed(),
                                reason="needs root for ports 587 and 465, and sasl2-bin")

NAME = "relay.example.test"
USERS = {"joe": "secret words", "ann": "other words"}


def shipped_master_cf():
    text = (ROOT / "packaging" / "debian" / "defaults" / "master.cf").read_text()
    text = re.sub(r"(?m)^#(submissions? +inet|  -o )", r"\1", text)
    return re.sub(r"(?m)^smtp +inet", "smtp      inet", text)


@pytest.fixture(scope="module")
def world():
    certificates = Certificates()
    certificates.make(NAME)
    certificates.make("client.example.test")
    cyrus = Cyrus(USERS, NAME)
    with Sink() as sink, Instance(master_cf=shipped_master_cf(), **{
            "myhostname": NAME, "compatibility_level": "3.6", "mynetworks": "192.0.2.0/24",
            "cyrus_sasl_config_path": cyrus.folder, "smtpd_tls_security_level": "may",
            "smtpd_tls_cert_file": certificates.folder / f"{NAME}.pem",
            "smtpd_tls_key_file": certificates.folder / f"{NAME}.key",
            "smtpd_tls_CAfile": certificates.authority, "smtpd_tls_ask_ccert": "yes",
            "smtpd_sender_login_maps": "inline:{joe@example.test=joe, ann@example.test=ann}",
            "smtpd_sender_restrictions": "",
            "smtpd_recipient_restrictions": "",
            "smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, "
                                        "permit_tls_clientcerts, reject_unauth_destination",
            "relay_clientcerts": "inline:{%s=x}" % certificates.fingerprint(
                certificates.folder / "client.example.test.pem"),
            "relayhost": f"[127.0.0.1]:{sink.port}"}) as relay:
        relay.sink, relay.certificates = sink, certificates
        yield relay
    cyrus.remove()


def context(world, certificate=None):
    made = ssl.create_default_context(cafile=str(world.certificates.authority))
    made.check_hostname = False
    if certificate:
        made.load_cert_chain(world.certificates.folder / f"{certificate}.pem",
                             world.certificates.folder / f"{certificate}.key")
    return made


def submission(world):
    client = smtplib.SMTP("127.0.0.1", 587, timeout=30)
    client.ehlo("client.example.test")
    return client


def submissions(world):
    client = smtplib.SMTP_SSL("127.0.0.1", 465, timeout=30, context=context(world))
    client.ehlo("client.example.test")
    return client


def plain(user, password):
    return "AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode()


def test_port_587_wants_tls_before_anything_else(world):
    client = submission(world)
    assert client.has_extn("starttls") and not client.has_extn("auth")
    assert client.docmd(plain("joe", USERS["joe"]))[0] == 530
    assert client.docmd("MAIL FROM:<joe@example.test>")[0] == 530
    client.starttls(context=context(world))
    client.ehlo("client.example.test")
    assert client.has_extn("auth") and not client.has_extn("starttls")
    client.close()


@pytest.mark.parametrize("port", ["587", "465"])
def test_users_who_logged_in_may_send_and_nobody_else(world, port):
    def begin():
        client = submission(world) if port == "587" else submissions(world)
        if port == "587":
            client.starttls(context=context(world))
            client.ehlo("client.example.test")
        return client

    stranger = begin()
    assert stranger.docmd("MAIL FROM:<joe@example.test>")[0] == 250
    code, text = stranger.docmd("RCPT TO:<user@example.com>")
    assert (code, text.split()[0]) == (554, b"5.7.1")
    stranger.close()
    wrong = begin()
    assert wrong.docmd(plain("joe", "guess"))[0] == 535
    wrong.close()
    before = len(world.sink.messages)
    client = begin()
    assert client.docmd(plain("joe", USERS["joe"]))[0] == 235
    client.sendmail("joe@example.test", ["user@example.com"], message())
    client.quit()
    assert world.sink.wait(before + 1)[-1].sender == "joe@example.test"
    tag = "submission" if port == "587" else "submissions"
    world.wait_log(rf"postfix/{tag}/smtpd\[\d+\]: \w+: client=.*, sasl_method=PLAIN, "
                   r"sasl_username=joe$")


def test_a_sender_belongs_to_its_user(world):
    world.parameters["mua_sender"] = "reject_sender_login_mismatch"
    world.master_cf = world.master_cf.replace("-o smtpd_sender_restrictions=\n",
                                              "-o smtpd_sender_restrictions=$mua_sender\n")
    world.write()
    world.reload()

    def refused():
        """A connection that the worker with the new configuration took."""
        client = submissions(world)
        assert client.docmd(plain("ann", USERS["ann"]))[0] == 235
        assert client.docmd("MAIL FROM:<joe@example.test>")[0] == 250
        code, text = client.docmd("RCPT TO:<user@example.com>")
        return (client, text) if code == 553 else None
    client, text = wait_until(refused, "a refusal")
    assert text == b"5.7.1 <joe@example.test>: Sender address rejected: not owned by user ann"
    client.docmd("RSET")
    assert client.docmd("MAIL FROM:<ann@example.test>")[0] == 250
    assert client.docmd("RCPT TO:<user@example.com>")[0] == 250
    client.close()


@pytest.mark.parametrize("certificate, code", [("client.example.test", 250), (None, 554)])
def test_a_client_certificate_opens_the_way_too(world, certificate, code):
    client = smtplib.SMTP("127.0.0.1", world.port, timeout=30)
    client.starttls(context=context(world, certificate))
    client.ehlo("client.example.test")
    client.docmd("MAIL FROM:<machine@example.test>")
    assert client.docmd("RCPT TO:<user@example.com>")[0] == code
    client.close()
