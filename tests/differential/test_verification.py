# SPDX-License-Identifier: Apache-2.0
"""Address verification: Debian's Postfix and Waypost ask the same servers the same questions, and
answer clients in the same words."""
import re
import socketserver
import threading

import pytest

from pair import Dialogue, Pair, is_possible
from world import free_port

pytestmark = pytest.mark.skipif(not is_possible(), reason="needs root, a namespace, postfix")

HELLO = b"EHLO client.example"
ANSWERS = {"bad": "550 5.1.1 <{0}>: no such user here", "busy": "450 4.2.0 come back later",
           "plain": "550 go away", "gone": "551 5.1.6 moved", "tail": "421 4.3.2 closing",
           "long": "550 5.1.1 " + "very " * 80 + "long"}


class Mailhost:
    """Takes what does not stand in ANSWERS; remembers every command."""

    def __init__(self, port):
        self.commands = []
        mailhost = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                self.say("220 mailhost.example ESMTP")
                for line in self.rfile:
                    text = line.decode("latin1").rstrip("\r\n")
                    mailhost.commands.append(text)
                    verb = text[:4].upper()
                    if verb == "EHLO":
                        self.say("250-mailhost.example\r\n250-DSN\r\n250 SIZE 1000000")
                    elif verb == "RCPT":
                        address = re.search(r"<(.*)>", text).group(1)
                        self.say(ANSWERS.get(address.split("@")[0], "250 2.1.5 Ok")
                                 .format(address))
                    elif verb == "MAIL" and "deaf" in mailhost.mood:
                        self.say("550 5.7.1 not from you")
                    elif verb == "DATA":
                        self.say("550 5.7.1 not that" if "picky" in mailhost.mood else "354 go on")
                    elif verb == "QUIT":
                        self.say("221 bye")
                        return
                    else:
                        self.say("250 2.0.0 Ok")

            def say(self, text):
                self.wfile.write(text.encode() + b"\r\n")

        self.mood = ""
        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


PARAMETERS = {
    "mynetworks": "203.0.113.0/24",
    "address_verify_poll_delay": "1s",
    "address_verify_poll_count": "8",
    "local_transport": "local:mail.example.test",
    "smtp_destination_concurrency_limit": "10",
    "virtual_alias_maps": "inline:{ to_good@relay.example=good@relay.example, "
                          "to_bad@relay.example=bad@relay.example, "
                          "canonical@relay.example=good@relay.example }",
    "alias_maps": "texthash:$config_directory/aliases",
    "virtual_mailbox_domains": "mailbox.example",
    "virtual_mailbox_maps": "inline:{ joe@mailbox.example=joe, dir@mailbox.example=dir/ }",
    "virtual_mailbox_base": "/nonexistent",
    "virtual_uid_maps": "static:65534", "virtual_gid_maps": "static:65534",
    "virtual_transport": "virtual:",
    "relay_domains": "relay.example, no.example, plainno.example, defer.example, "
                     "nothing.example, closed.example",
    "smtpd_relay_restrictions": "reject_unauth_destination",
    "smtpd_reject_unlisted_recipient": "no",
    "minimal_backoff_time": "1s", "maximal_backoff_time": "1s",
}
RECIPIENT = {"smtpd_recipient_restrictions": "reject_unverified_recipient"}
SENDER = {"smtpd_sender_restrictions": "reject_unverified_sender",
          "smtpd_recipient_restrictions": "permit"}
SERVICES = {
    "recipient": RECIPIENT,
    "sender": SENDER,
    "codes": {**RECIPIENT, "unverified_recipient_reject_code": "550",
              "unverified_recipient_defer_code": "451"},
    "sender_codes": {**SENDER, "unverified_sender_reject_code": "550",
                     "unverified_sender_defer_code": "451"},
    "accepting": {**RECIPIENT, "unverified_recipient_defer_code": "250"},
    "reasons": {**RECIPIENT, "unverified_recipient_reject_reason": "Address lookup failure"},
    "reasons_550": {**RECIPIENT, "unverified_recipient_reject_code": "550",
                    "unverified_recipient_reject_reason": "No such user"},
    "sender_reasons": {**SENDER, "unverified_sender_reject_reason": "Sender lookup failure"},
    "at_once": {**RECIPIENT, "unverified_recipient_tempfail_action": "defer"},
    "then_reject": {"smtpd_recipient_restrictions": "reject_unverified_recipient, reject"},
    "warned": {"smtpd_recipient_restrictions": "warn_if_reject reject_unverified_recipient"},
    "excluded": {"smtpd_client_restrictions": "reject", "smtpd_helo_restrictions": "reject",
                 "smtpd_sender_restrictions": "reject",
                 "smtpd_recipient_restrictions": "reject"},
    "excluded_late": {"smtpd_recipient_restrictions": "permit",
                      "smtpd_data_restrictions": "reject"},
    "impatient": {**RECIPIENT, "address_verify_poll_count": "1"},
}
WHO = ["good", "bad", "busy", "plain", "gone", "long", "to_good", "to_bad", "canonical", "Mixed.Case",
       "\"quoted user\"", "other+extension"]
LOCAL = ["root", "nobody", "list", "command", "file", "missing", "postmaster", "include"]


def recipient(service, address, sender=b"<>"):
    return Dialogue(service, [HELLO, b"MAIL FROM:" + sender, b"RCPT TO:<" + address.encode() + b">",
                              b"QUIT"])


def sender(service, address):
    return Dialogue(service, [HELLO, b"MAIL FROM:<" + address.encode() + b">",
                              b"RCPT TO:<x@relay.example>", b"QUIT"])


@pytest.fixture(scope="module")
def worlds():
    ports = {name: free_port() for name in ("postfix", "waypost")}
    hosts = {name: Mailhost(port) for name, port in ports.items()}
    with Pair({**PARAMETERS,
               "transport_maps": "texthash:$config_directory/transport",
               "address_verify_relay_transport": "smtp:[127.0.0.1]:$mailhost"},
              SERVICES, files={
                  "aliases": "list: someone@relay.example\ncommand: |/bin/false\n"
                             "file: /nonexistent/file\ninclude: :include:/nonexistent/list\n",
                  "transport": ""}, zone={}) as pair:
        for side, name in zip(pair.sides, ports):
            (side.system.config / "transport").write_text(
                "no.example error:5.7.0 not at all\nplainno.example error:no status\n"
                "defer.example retry:4.7.0 not now\nnothing.example discard:\n"
                f"closed.example smtp:[127.0.0.1]:{free_port()}\n")
            main = side.system.config / "main.cf"
            main.write_text(main.read_text() + f"mailhost = {ports[name]}\n")
        pair.sides[0].system.control("reload")
        pair.sides[1].system.run("postfix", "reload")
        yield pair, hosts
    for host in hosts.values():
        host.stop()


def compare(worlds, dialogues):
    pair, hosts = worlds
    found = []
    ports = [str(host.server.server_address[1]) for host in hosts.values()]
    for dialogue, theirs, ours in pair.play(dialogues):
        theirs, ours = ([re.sub(r"\[127\.0\.0\.1\]:\d+", "[127.0.0.1]:PORT", reply)
                         for _, reply in said] for said in (theirs, ours))
        if theirs != ours:
            found.append(f"{dialogue.title()} {dialogue.steps}\n  Postfix: {theirs}\n"
                         f"  Waypost: {ours}")
    assert ports and not found, "\n" + "\n".join(found)


def test_recipients_are_verified_with_postfix_replies(worlds):
    compare(worlds, [recipient(service, f"{who}@relay.example")
                     for service in SERVICES if service not in ("excluded", "impatient",
                                                                "excluded_late")
                     and not service.startswith("sender")
                     for who in WHO])


def test_senders_are_verified_with_postfix_replies(worlds):
    compare(worlds, [sender(service, f"{who}@relay.example")
                     for service in ("sender", "sender_codes", "sender_reasons")
                     for who in WHO] + [sender("sender", "")])


def test_transports_of_every_kind_are_probed(worlds):
    compare(worlds, [recipient(service, address) for service in ("recipient", "codes", "accepting")
                     for address in ["x@no.example", "x@plainno.example", "x@defer.example",
                                     "x@nothing.example", "x@closed.example",
                                     "joe@mailbox.example", "dir@mailbox.example",
                                     "nobody@mailbox.example",
                                     *[f"{who}@local.example" for who in LOCAL]]])


def test_the_probe_sender_passes_all_restrictions(worlds):
    address = b"double-bounce@mail.example.test"
    compare(worlds, [
        Dialogue(service, [HELLO, b"MAIL FROM:" + sender, b"RCPT TO:<" + to + b">",
                           *([b"DATA"] if service == "excluded_late" else []), b"QUIT"])
        for service in ("excluded", "excluded_late") for sender in (b"<>", b"<a@b.example>")
        for to in (address, address.upper(), b"double-bounce@local.example", b"double-bounce",
                   b"a@relay.example")])


def test_probes_say_what_those_of_postfix_say(worlds):
    pair, hosts = worlds
    compare(worlds, [recipient("recipient", f"probe{i}@relay.example") for i in range(3)])
    both = [sorted({re.sub(r" SIZE=\d+", "", each) for each in host.commands
                    if "probe" in each or each[:4] in ("MAIL", "DATA")})
            for host in hosts.values()]
    assert both[0] == both[1]
    assert not any(each.startswith("DATA") for each in both[1])


def test_log_lines_of_probes_are_those_of_postfix(worlds):
    pair, _ = worlds

    def lines(text):
        found = set()
        for line in text.splitlines():
            match = re.search(r"postfix/(?:smtp|error|local|virtual|discard|retry)\[\d+\]: \w+: "
                              r"(to=.*status=(?:un)?deliverable .*)", line)
            if match:
                found.add(re.sub(r"delay=.*?, dsn", "dsn", re.sub(
                    r"conn_use=\d+, ", "",
                    re.sub(r"127\.0\.0\.1\]:\d+", "127.0.0.1]:PORT",
                           re.sub(r"/\S*/(?:pair-postfix|waypost-test)-[^/]*/", "FOLDER/",
                                  match.group(1))))))
        return found
    theirs, ours = (lines(side.system.log()) for side in pair.sides)
    assert len(theirs) > 20
    assert sorted(theirs - ours) == [] and sorted(ours - theirs) == []
