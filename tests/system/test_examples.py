# SPDX-License-Identifier: Apache-2.0
"""Each folder in examples/ starts as it stands (its folder, names and addresses replaced), has no
findings, and does what it says."""
import contextlib
import re
import shutil
import smtplib
import ssl
import subprocess
import time

import pytest
from certificates import Certificates
from dovecot import Dovecot
from world import ROOT, Instance, NameServer, Sink, message, wait_until

EXAMPLES = ROOT / "examples"


@contextlib.contextmanager
def example(name, tables=(), prepare=None, **replace):
    """A running relay made of the example's files; `tables` are built with postmap."""
    zone = {("mail.example.com", "A"): ["127.0.0.11"], ("smtp.example.com", "A"): ["127.0.0.12"],
            ("example.net", "MX"): ["10 mail.example.com."],
            ("example.org", "MX"): ["10 mail.example.com."]}
    with NameServer(zone) as names:
        relay = Instance()
        for each in (EXAMPLES / name).iterdir():
            text = each.read_text().replace("/etc/postfix", str(relay.config))
            for old, new in replace.items():
                text = text.replace(old.replace("_", "."), new)
            (relay.config / each.name).write_text(text)
        wanted = ("queue_directory", "data_directory", "command_directory", "maillog_file",
                  "maillog_file_prefixes", "store_any_filesystem")
        with (relay.config / "main.cf").open("a") as out:
            out.write("".join(f"{key} = {relay.parameters[key]}\n" for key in wanted))
            out.write(f"dns_servers = 127.0.0.1:{names.port}\nmyhostname = relay.example.com\n"
                      "alias_maps =\nalias_database =\n")
        for table in tables:
            relay.run("postmap", f"hash:{relay.config / table}")
            for each in relay.config.glob(f"{table}*"):
                each.chmod(0o600)
        if prepare:
            prepare(relay)
        found = subprocess.run([relay.bin / "waypost", "check", "-c", relay.config],
                               capture_output=True, text=True, timeout=30)
        assert (found.returncode, found.stdout) == (0, ""), found.stdout + found.stderr
        with relay:
            yield relay


def test_every_example_has_its_test():
    assert {each.name for each in EXAMPLES.iterdir() if each.is_dir()} == \
        {"null-client", "smart-host", "two-addresses", "slow-destination", "submission"}


def test_null_client_hands_everything_to_the_house():
    with Sink("127.0.0.11", 25) as house, example("null-client") as relay:
        relay.sendmail("-f", "app@example.com", "someone@example.net", input="Subject: x\n\nHello.\n")
        assert house.wait()[0].recipients == ["someone@example.net"]


def test_smart_host_logs_in_over_tls():
    certificates = Certificates()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.make("smtp.example.com"))
    log_ins = []

    def authenticate(_server, _session, _envelope, mechanism, data):
        from aiosmtpd.smtp import AuthResult
        log_ins.append((mechanism, getattr(data, "login", data), getattr(data, "password", None)))
        return AuthResult(success=True)
    with Sink("127.0.0.12", 587, tls_context=context, require_starttls=True,
              authenticator=authenticate, auth_required=True) as provider, \
            example("smart-host", tables=["passwords"]) as relay:
        relay.sendmail("-f", "app@example.com", "someone@example.net", input="Subject: x\n\nHello.\n")
        assert provider.wait()[0].recipients == ["someone@example.net"]
        assert log_ins[0][1:] == (b"relay-user", b"relay-secret")


def test_two_addresses_are_chosen_by_the_senders_domain():
    with Sink("127.0.0.11", 25) as host, \
            example("two-addresses", tables=["senders"], **{"192_0_2_10": "127.0.0.21",
                                                            "192_0_2_11": "127.0.0.22"}) as relay:
        for sender in ("a@example.com", "b@example.org"):
            relay.sendmail("-f", sender, "someone@example.net", input="Subject: x\n\nHello.\n")
        host.wait(2)
        seen = {each.sender: (each.peer[0], each.helo) for each in host.messages}
        assert seen == {"a@example.com": ("127.0.0.21", "first.example.com"),
                        "b@example.org": ("127.0.0.22", "second.example.com")}


def test_slow_destination_gets_batches_with_pauses():
    times = []
    with Sink("127.0.0.11", 25, {"DATA": lambda _: times.append(time.monotonic())}) as host, \
            example("slow-destination", tables=["transport"]) as relay:
        relay.sendmail("-f", "a@example.com", *[f"u{number}@example.org" for number in range(7)],
                       input="Subject: x\n\nHello.\n")
        host.wait(3)
        assert sorted(len(each.recipients) for each in host.messages) == [1, 3, 3]
        assert all(later - earlier > 1.8 for earlier, later in zip(times, times[1:])), times


def test_submission_wants_tls_and_a_password():
    def prepare(relay):
        certificates = Certificates()
        certificate, key = certificates.make("relay.example.com")
        shutil.copy(certificate, relay.config / "certificate.pem")
        shutil.copy(key, relay.config / "key.pem")
        (relay.config / "key.pem").chmod(0o600)
    with Sink("127.0.0.11", 25) as host, example("submission", prepare=prepare) as relay, \
            Dovecot(relay.queue / "private" / "auth", {"user": "secret"}):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with smtplib.SMTP("127.0.0.1", 587, timeout=20) as client:
            client.ehlo()
            assert "auth" not in client.esmtp_features
            client.starttls(context=context)
            client.ehlo()
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                client.sendmail("user@example.com", ["someone@example.net"], message())
            client.rset()
            client.login("user", "secret")
            client.sendmail("user@example.com", ["someone@example.net"], message())
        assert host.wait()[0].recipients == ["someone@example.net"]
        wait_until(lambda: re.search(r"postfix/submission/smtpd.*sasl_username=user", relay.log()),
                   "the log-in in the log")
