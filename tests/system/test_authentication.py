# SPDX-License-Identifier: Apache-2.0
"""AUTH with Debian's Dovecot as the judge and swaks and smtplib as clients. The replies and log
lines are those of Debian's Postfix with the same Dovecot."""
import base64
import os
import re
import smtplib
import socket
import subprocess
import threading

import pytest

from dovecot import Dovecot
from world import Instance, Sink, message, wait_until

USER, PASSWORD = "alice@example.test", "secret words"


def encode(text):
    return base64.b64encode(text.encode()).decode()


GOOD = encode(f"\0{USER}\0{PASSWORD}")
BAD = encode(f"\0{USER}\0wrong")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="Dovecot wants to be started by root")


def instance(sink=None, **parameters):
    return Instance(**{
        "mynetworks": "192.0.2.0/24", "smtpd_sasl_auth_enable": "yes",
        "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": "private/auth",
        "smtpd_peername_lookup": "no", "smtpd_error_sleep_time": "0",
        "relayhost": f"[127.0.0.1]:{sink.port if sink else 9}", **parameters})


@pytest.fixture
def sink():
    with Sink() as server:
        yield server


@pytest.fixture
def relay(sink):
    with instance(sink) as relay, \
            Dovecot(relay.queue / "private" / "auth", {USER: PASSWORD}):
        yield relay


def hello(relay):
    client = relay.connect()
    code, lines = client.command("EHLO client.example.test")
    assert code == 250
    return client, lines


def test_authenticated_client_may_relay_and_a_stranger_may_not(relay, sink):
    client, lines = hello(relay)
    assert "AUTH PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256" in lines
    assert client.deliver(USER, ["user@example.com"], message())[0] == 554
    client.command("RSET")
    assert client.command(f"AUTH PLAIN {GOOD}") == (235, ["2.7.0 Authentication successful"])
    assert client.command(f"AUTH PLAIN {GOOD}") == (503, ["5.5.1 Error: already authenticated"])
    assert client.deliver(USER, ["user@example.com"], message())[0] == 250
    [delivered] = sink.wait()
    assert "with ESMTPA id" in delivered.text
    assert USER not in delivered.text.split("\r\n\r\n")[0].split("From:")[0]
    relay.wait_log(rf"client=unknown\[127\.0\.0\.1\], sasl_method=PLAIN, sasl_username={USER}$")
    client.command("QUIT")
    relay.wait_log(r"disconnect from unknown\[127\.0\.0\.1\] ehlo=1 auth=1/2 ")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_swaks_authenticates_with_each_mechanism(relay, sink, mechanism):
    subprocess.run(["swaks", "--server", "127.0.0.1", "--port", str(relay.port), "--auth",
                    mechanism, "--auth-user", USER, "--auth-password", PASSWORD, "--from", USER,
                    "--to", "user@example.com", "--silent", "2"], check=True, timeout=60)
    sink.wait()
    relay.wait_log(f"sasl_method={mechanism}, sasl_username={USER}")


def test_smtplib_logs_in_and_is_told_of_a_wrong_password(relay, sink):
    with smtplib.SMTP("127.0.0.1", relay.port) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(USER, "wrong")
        client.login(USER, PASSWORD)
        client.sendmail(USER, ["user@example.com"], message())
    sink.wait()


def test_replies_and_log_lines_are_postfix_s(relay):
    client, _ = hello(relay)
    failed = "5.7.8 Error: authentication failed: "
    for line, reply in [
            (f"AUTH PLAIN {BAD}", (535, [failed + "(reason unavailable)"])),
            ("AUTH PLAIN !!!", (535, [failed + "Invalid base64 data in initial response"])),
            ("AUTH", (501, ["5.5.4 Syntax: AUTH mechanism"])),
            ("AUTH PLAIN", (334, [""])),
            ("*", (501, ["5.7.0 Authentication aborted"])),
            ("AUTH NOSUCH", (535, [failed + "Invalid authentication mechanism"])),
            ("AUTH PLAIN a b", (501, ["5.5.4 Syntax: AUTH mechanism"])),
            ("auth login", (334, [encode("Username:")])),
            (encode(USER), (334, [encode("Password:")])),
            ("\x01", (535, [failed + "Invalid base64 data in continued response"])),
            ("MAIL FROM:<a@example.test> AUTH=<>", (250, ["2.1.0 Ok"])),
            (f"AUTH PLAIN {GOOD}", (503, ["5.5.1 Error: MAIL transaction in progress"])),
            ("RSET", (250, ["2.0.0 Ok"])),
            (f"AUTH LOGIN {encode(USER)}", (334, [encode("Password:")])),
            (encode(PASSWORD), (235, ["2.7.0 Authentication successful"]))]:
        assert client.command(line) == reply, line
    where = r"warning: unknown\[127\.0\.0\.1\]: SASL "
    relay.wait_log(where + r"PLAIN authentication failed: \(reason unavailable\), "
                   rf"sasl_username={USER}$")
    relay.wait_log(where + "PLAIN authentication aborted$")
    relay.wait_log(where + "NOSUCH authentication failed: Invalid authentication mechanism")
    assert PASSWORD not in relay.log() and GOOD not in relay.log()


def test_sender_that_an_authenticated_client_names_is_logged(relay, sink):
    client, _ = hello(relay)
    client.command(f"AUTH PLAIN {GOOD}")
    client.command("MAIL FROM:<a@example.test> AUTH=foo+40bar")
    client.command("RCPT TO:<user@example.com>")
    relay.wait_log(r"sasl_method=PLAIN, sasl_username=\S+, sasl_sender=foo@bar$")


def test_options_and_filters_choose_what_is_offered(sink):
    with instance(sink, smtpd_sasl_security_options="noanonymous, noplaintext",
                  smtpd_sasl_mechanism_filter="!scram-sha-256, static:rest",
                  broken_sasl_auth_clients="yes") as relay, \
            Dovecot(relay.queue / "private" / "auth", {USER: PASSWORD}):
        client, lines = hello(relay)
        assert "AUTH CRAM-MD5 SCRAM-SHA-1" in lines and "AUTH=CRAM-MD5 SCRAM-SHA-1" in lines
        assert client.command(f"AUTH PLAIN {GOOD}")[0] == 535


def test_exceptions_are_offered_nothing(sink):
    with instance(sink, smtpd_sasl_exceptions_networks="127.0.0.0/8") as relay, \
            Dovecot(relay.queue / "private" / "auth", {USER: PASSWORD}):
        assert not any("AUTH" in line for line in hello(relay)[1])


def test_name_of_the_user_is_in_received_where_wanted(sink):
    with instance(sink, smtpd_sasl_authenticated_header="yes") as relay, \
            Dovecot(relay.queue / "private" / "auth", {USER: PASSWORD}):
        client, _ = hello(relay)
        client.command(f"AUTH PLAIN {GOOD}")
        client.deliver(USER, ["user@example.com"], message())
        [delivered] = sink.wait()
        assert f"(Authenticated sender: {USER})" in delivered.text


def test_server_that_is_away_is_a_temporary_failure_and_comes_back(sink):
    with instance(sink) as relay:
        dovecot = Dovecot(relay.queue / "private" / "auth", {USER: PASSWORD})
        with dovecot:
            client, lines = hello(relay)
            dovecot.stop()
            code, text = client.command(f"AUTH PLAIN {GOOD}")
            assert code == 454 and text[0].startswith("4.7.0 Temporary authentication failure")
            dovecot.start()
            assert client.command(f"AUTH PLAIN {GOOD}")[0] == 235


def test_without_a_server_mail_still_comes_in_and_the_log_says_why(sink):
    with instance(sink, mynetworks="127.0.0.0/8") as relay:
        client, lines = hello(relay)
        assert not any("AUTH" in line for line in lines)
        assert client.deliver("a@example.test", ["user@example.com"], message())[0] == 250
        relay.wait_log(r"warning: SASL: connect to the authentication server private/auth: "
                       r"No such file or directory; AUTH is not offered")


class Impostor(threading.Thread):
    """An authentication server that says what a test wants after its greeting."""

    def __init__(self, path, answer):
        super().__init__(daemon=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        os.chmod(path, 0o666)
        self.listener.listen(8)
        self.answer = answer
        self.start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.sendall(b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tE.X\n"
                               b"SPID\t1\nCUID\t1\nDONE\n")
            asked = b""
            while b"AUTH\t" not in asked:
                data = connection.recv(4096)
                if not data:
                    break
                asked += data
            else:
                connection.sendall(self.answer)
            connection.close()


@pytest.mark.parametrize("answer, code", [
    (b"OK\t1\tuser=bob\n", 235), (b"OK\t1\n", 454), (b"OK\t2\tuser=bob\n", 454),
    (b"FAIL\t1\treason=Go away\tuser=bob\n", 535), (b"FAIL\t1\ttemp\n", 454),
    (b"\n\n\n", 454), (b"OK", 454), (b"\0" * 20000, 454), (b"OK\t-1\tuser=bob\n", 454),
    (b"NOTFOUND\t1\nOK\t1\tuser=b\x01b\n", 454),
], ids=range(10))
def test_answers_of_a_strange_server_never_authenticate_by_mistake(sink, answer, code):
    with instance(sink) as relay:
        impostor = Impostor(relay.queue / "private" / "auth", answer)
        client, lines = hello(relay)
        assert "AUTH PLAIN" in lines
        assert client.command(f"AUTH PLAIN {GOOD}")[0] == code
        expected = 250 if code == 235 else 554
        assert client.deliver(USER, ["user@example.com"], message())[0] == expected
        impostor.listener.close()
        assert not re.search("[\x00-\x08]", relay.log())


def test_client_that_leaves_within_the_exchange_harms_nobody(relay, sink):
    client, _ = hello(relay)
    client.command("AUTH LOGIN")
    client.close()
    relay.wait_log("lost connection after AUTH")
    client, _ = hello(relay)
    client.send("AUTH LOGIN\r\n" + "A" * 20000 + "\r\n")
    assert client.reply()[0] == 334
    assert client.reply() == (500, ["5.5.6 Error: authentication line too long"])
