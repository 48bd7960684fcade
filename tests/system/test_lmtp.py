# SPDX-License-Identifier: Apache-2.0
"""Delivery by LMTP: to Debian's Dovecot over a Unix socket and over TCP, and to a server that
answers as it is told."""
import os
import pathlib
import re
import socketserver
import tempfile
import threading

import pytest

from dovecot import DovecotLmtp
from world import MASTER_CF, Instance, free_port, message, wait_until

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="Dovecot wants to be root")


def send(relay, *recipients, sender="sender@example.test", content=None):
    with relay.connect() as client:
        assert client.command("EHLO client.example.test")[0] == 250
        code, text = client.deliver(sender, recipients, content or message())
        assert code == 250, text


class LmtpServer:
    """Plays LMTP on a Unix socket (or on a port): `verdicts` maps a recipient's local part to the
    reply after the final dot, `refusals` to that to RCPT. A verdict None hangs up."""

    def __init__(self, path=None, port=None, verdicts=None, refusals=None, offers=("PIPELINING",)):
        server = self
        self.commands, self.messages = [], []
        self.verdicts, self.refusals, self.offers = verdicts or {}, refusals or {}, offers

        class Conversation(socketserver.StreamRequestHandler):
            def say(self, *lines):
                self.wfile.write("".join(line + "\r\n" for line in lines).encode())

            def handle(self):
                self.say("220 lmtp.example.test ready")
                recipients = []
                for line in self.rfile:
                    line = line.decode().rstrip("\r\n")
                    server.commands.append(line)
                    verb = line[:4].upper()
                    if verb == "LHLO":
                        self.say(*[f"250-{each}" for each in ("lmtp.example.test", *server.offers)],
                                 "250 8BITMIME")
                    elif verb == "RCPT":
                        name = re.search("<(.*)@", line).group(1)
                        reply = server.refusals.get(name, "250 2.1.5 Ok")
                        if reply[0] == "2":
                            recipients.append(name)
                        self.say(reply)
                    elif verb == "DATA":
                        self.say("354 go on")
                        content = b""
                        while not content.endswith(b"\r\n.\r\n"):
                            content += self.rfile.readline()
                        server.messages.append((list(recipients), content[:-3]))
                        for name in recipients:
                            reply = server.verdicts.get(name, "250 2.0.0 saved")
                            if reply is None:
                                return
                            self.say(reply)
                        recipients.clear()
                    elif verb == "QUIT":
                        self.say("221 bye")
                        return
                    else:
                        self.say("250 2.0.0 Ok")

        if path:
            self.server = socketserver.ThreadingUnixStreamServer(str(path), Conversation)
            os.chmod(path, 0o666)
        else:
            socketserver.ThreadingTCPServer.allow_reuse_address = True
            self.server = socketserver.ThreadingTCPServer(("127.0.0.1", port), Conversation)
        self.server.daemon_threads = True

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05},
                         daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="lmtp-") as name:
        os.chmod(name, 0o755)
        yield pathlib.Path(name)


def test_each_recipient_has_its_own_reply_after_the_dot(folder):
    verdicts = {"full": "450 4.2.2 full", "over": "550 5.2.2 over"}
    with LmtpServer(folder / "socket", verdicts=verdicts,
                    refusals={"nobody": "550 5.1.1 unknown"}) as server, \
            Instance(default_transport=f"lmtp:unix:{folder}/socket") as relay:
        send(relay, "good@a.example", "full@a.example", "nobody@a.example", "over@a.example",
             "last@a.example", sender="")
        where = rf"relay=relay\.example\.test\[{folder}/socket\]"
        host = rf"host relay\.example\.test\[{folder}/socket\] said: "
        for name, dsn, status, text in [
                ("good", "2.0.0", "sent", "250 2.0.0 saved"),
                ("full", "4.2.2", "deferred", host + r"450 4\.2\.2 full \(in reply to end of DATA "
                 r"command\)"),
                ("nobody", "5.1.1", "bounced", host + r"550 5\.1\.1 unknown \(in reply to RCPT TO "
                 r"command\)"),
                ("over", "5.2.2", "bounced", host + r"550 5\.2\.2 over \(in reply to end of DATA "
                 r"command\)"),
                ("last", "2.0.0", "sent", "250 2.0.0 saved")]:
            relay.wait_log(rf" postfix/lmtp\[\d+\]: \w+: to=<{name}@a\.example>, {where}, .*"
                           rf"dsn={re.escape(dsn)}, status={status} \({text}\)")
        assert server.commands[0] == "LHLO relay.example.test"


def test_lost_replies_after_the_dot_are_deferred(folder):
    with LmtpServer(folder / "socket", verdicts={"second": None}) as server, \
            Instance(default_transport=f"lmtp:unix:{folder}/socket",
                     lmtp_lhlo_name="lhlo.example.test") as relay:
        send(relay, "first@a.example", "second@a.example", "third@a.example")
        relay.wait_log(r"to=<first@a\.example>, .*status=sent")
        for name in "second", "third":
            relay.wait_log(rf"to=<{name}@a\.example>, .*dsn=4\.4\.2, status=deferred \(lost "
                           r"connection with relay\.example\.test\[\S+\] while sending end of data "
                           r"-- message may be sent more than once\)")
        assert server.commands[0] == "LHLO lhlo.example.test"


def test_tcp_and_missing_sockets(folder):
    port, dead = free_port(), free_port()
    with LmtpServer(port=port), \
            Instance(default_transport=f"lmtp:inet:127.0.0.1:{port}", relay_domains="r.example",
                     relay_transport="lmtp:unix:private/none", virtual_mailbox_domains="v.example",
                     smtpd_reject_unlisted_recipient="no",
                     virtual_transport=f"lmtp:inet:[127.0.0.1]:{dead}") as relay:
        send(relay, "u@d.example", "u@r.example", "u@v.example")
        relay.wait_log(rf"to=<u@d\.example>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:{port}, .*sent")
        relay.wait_log(r"to=<u@r\.example>, relay=none, .*dsn=4\.4\.1, status=deferred \(connect to "
                       r"relay\.example\.test\[private/none\]: No such file or directory\)")
        relay.wait_log(r"to=<u@v\.example>, relay=none, .*dsn=4\.4\.1, status=deferred \(connect to "
                       rf"127\.0\.0\.1\[127\.0\.0\.1\]:{dead}: Connection refused\)")


FLAGGED = """\
flagged unix - - n - - lmtp flags=DOR
"""


def test_flags_put_headers_in_front_and_cut_loops(folder):
    with LmtpServer(folder / "socket") as server, \
            Instance(master_cf=MASTER_CF + FLAGGED, flagged_destination_recipient_limit="1",
                     default_transport=f"flagged:unix:{folder}/socket") as relay:
        send(relay, "a@one.example", "b@one.example")
        relay.wait_log("status=sent", 2)
        for recipients, content in server.messages:
            name = recipients[0]
            assert content.startswith(b"Return-Path: <sender@example.test>\r\n"
                                      b"X-Original-To: %s@one.example\r\n"
                                      b"Delivered-To: %s@one.example\r\n"
                                      b"Received: " % (name.encode(), name.encode()))
        send(relay, "c@one.example", content="Delivered-To: C@one.example\r\n" + message(),
             sender="")
        relay.wait_log(r"to=<c@one\.example>, .*dsn=5\.4\.6, status=bounced \(mail forwarding loop "
                       r"for c@one\.example\)")


@needs_root
def test_dovecot_takes_mail_over_both_kinds_of_sockets(folder):
    with DovecotLmtp(folder, ["anna", "bert"]) as dovecot, \
            Instance(default_transport=f"lmtp:unix:{dovecot.lmtp}", relay_domains="r.example",
                     relay_transport=f"lmtp:inet:127.0.0.1:{dovecot.port}") as relay:
        content = message(body="lines\r\n.dot\r\n..\r\n\r\n" + "x" * 990 + "\r\n")
        send(relay, "anna@d.example", "bert+tag@d.example", "nobody@d.example", content=content,
             sender="")
        send(relay, "anna@r.example", content=content)
        relay.wait_log(r"to=<(anna|bert\+tag)@[dr]\.example>, .*status=sent \(250 2\.0\.0 ", 3)
        relay.wait_log(r"to=<nobody@d\.example>, .*dsn=5\.1\.1, status=bounced \(host \S+ said: 550 "
                       r"5\.1\.1 <nobody@d\.example> User doesn't exist")
        wait_until(lambda: len(dovecot.mail("anna")) == 2, "mail for anna")
        for text in dovecot.mail("anna") + dovecot.mail("bert"):
            assert text.replace(b"\r\n", b"\n").endswith(content.encode().replace(b"\r\n", b"\n"))
