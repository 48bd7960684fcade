# SPDX-License-Identifier: Apache-2.0
"""What people run over a mail log counts ours as it counts Postfix's: pflogsumm, fail2ban's filter,
logwatch's script. The last two are unpacked and not installed (scripts/install-dependencies)."""
import os
import pathlib
import re
import subprocess

import pytest
from dovecot import Dovecot
from world import Client, Instance, NameServer, Sink, free_port, message, wait_until

PEERS = pathlib.Path(os.environ.get("WAYPOST_PEERS", "/var/cache/waypost-peers"))


@pytest.fixture(scope="module")
def log():
    """Of a relay that sent two messages, deferred one, bounced one and refused two."""
    dead = free_port()
    refuse = {"RCPT": lambda address: "550 5.1.1 no such user" if "wrong" in address else None}
    zone = {("client.example.test", "A"): ["127.0.0.1"]}
    with NameServer(zone) as names, Sink(answers=refuse) as sink, \
            Instance(relayhost=f"[127.0.0.1]:{sink.port}", dns_servers=f"127.0.0.1:{names.port}",
                     mynetworks="127.0.0.1",
                     transport_maps=f"inline:{{ dead.example=smtp:[127.0.0.1]:{dead} }}") as relay:
        with relay.connect() as client:
            client.command("EHLO client.example.test")
            for recipient in ("a@example.com", "b@example.com", "x@dead.example",
                              "wrong@example.com"):
                assert client.deliver("sender@example.test", [recipient], message())[0] == 250
        wait_until(lambda: relay.log().count("status=sent") >= 3, "two messages and the bounce")
        relay.wait_log("status=deferred")
        stranger = Client.__new__(Client)
        refused_from(stranger, relay.port)
        relay.wait_log(r"reject: RCPT from \S+\[127\.0\.0\.9\]: 554 5\.7\.1 ", 2)
        wait_until(lambda: relay.log().count("removed") >= 4, "the ends")
        yield relay.log()


def refused_from(client, port):
    import socket
    client.socket = socket.create_connection(("127.0.0.1", port), 20, source_address=("127.0.0.9", 0))
    client.file = client.socket.makefile("rb")
    client.reply()
    client.command("EHLO stranger.example")
    client.command("MAIL FROM:<stranger@stranger.example>")
    for recipient in ("a@example.com", "b@example.com"):
        assert client.command(f"RCPT TO:<{recipient}>")[0] == 554
    client.command("QUIT")
    client.close()


def test_pflogsumm_counts_all_of_it(log):
    text = subprocess.run(["pflogsumm"], input=log, capture_output=True, text=True,
                          check=True).stdout
    counts = {name: int(count) for count, name in
              re.findall(r"(?m)^ +(\d+)   (received|delivered|deferred|bounced|rejected)\b", text)}
    assert counts == {"received": 4, "delivered": 3, "deferred": 1, "bounced": 1, "rejected": 2}, text
    assert "Relay access denied" in text


@pytest.mark.parametrize("mode", ["normal", "more", "aggressive"])
def test_fail2ban_sees_who_was_refused(log, tmp_path, mode):
    peer = PEERS / "fail2ban"
    (tmp_path / "maillog").write_text(log)
    text = subprocess.run(
        ["/usr/bin/python3", peer / "usr/bin/fail2ban-regex", "-c", peer / "etc/fail2ban", "-o", "ip",
         tmp_path / "maillog", f"postfix[mode={mode}]"], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(peer / "usr/lib/python3/dist-packages"), "PATH": "/usr/bin:/bin"}).stdout
    assert text.split() == ["127.0.0.9", "127.0.0.9"]


def test_fail2ban_sees_failed_log_ins(tmp_path):
    peer = PEERS / "fail2ban"
    with Dovecot(tmp_path / "auth", {"someone": "secret"}), \
            Instance(smtpd_sasl_auth_enable="yes", smtpd_sasl_type="dovecot",
                     smtpd_sasl_path=f"unix:{tmp_path}/auth") as relay:
        with relay.connect() as client:
            client.command("EHLO client.example.test")
            assert client.command("AUTH PLAIN AHdyb25nAHdyb25n")[0] == 535
        relay.wait_log("SASL PLAIN authentication failed")
        (tmp_path / "maillog").write_text(relay.log())
    text = subprocess.run(
        ["/usr/bin/python3", peer / "usr/bin/fail2ban-regex", "-c", peer / "etc/fail2ban", "-o", "ip",
         tmp_path / "maillog", "postfix[mode=auth]"], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(peer / "usr/lib/python3/dist-packages"), "PATH": "/usr/bin:/bin"}).stdout
    assert text.split() == ["127.0.0.1"]


def test_logwatch_counts_all_of_it_and_leaves_no_line_over(log):
    script = PEERS / "logwatch/usr/share/logwatch/scripts/services/postfix"
    text = subprocess.run(["perl", script], input=log, capture_output=True, text=True, check=True,
                          env={"LOGWATCH_DETAIL_LEVEL": "10", "PATH": "/usr/bin:/bin"}).stdout

    def count(what):
        found = re.search(rf"(?m)^ +(\d+)   {what}\b", text)
        return int(found[1]) if found else 0
    assert count("Accepted") == 4 and count("Rejected") == 2, text
    assert count("Sent via SMTP") == 3 and count("Deferred") == 1, text
    assert "Unmatched" not in text, text[text.find("Unmatched"):]
