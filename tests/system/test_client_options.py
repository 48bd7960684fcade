# SPDX-License-Identifier: Apache-2.0
"""Parameters of the client that change what a server sees, or what becomes of its words."""
import re
import socket
import time

import pytest

from scripted import CLOSE, Servers
from world import MASTER_CF, Instance, NameServer, message, wait_until


def send(relay, *recipients, sender="sender@example.test", content=None, options="", rcpt=""):
    with relay.connect() as client:
        assert client.command("EHLO client.example.test")[0] == 250
        assert client.command(f"MAIL FROM:<{sender}>{options}")[0] == 250
        for each in recipients:
            assert client.command(f"RCPT TO:<{each}>{rcpt}")[0] == 250
        assert client.command("DATA")[0] == 354
        client.send((content or message()).encode() + b".\r\n")
        assert client.reply()[0] == 250


OFFER = "250-filter.example\r\n250-PIPELINING\r\n250-XFORWARD NAME ADDR PROTO HELO IDENT SOURCE\r\n" \
        "250-8BITMIME\r\n250 DSN"


def test_original_client_is_told_to_a_filter():
    with Servers({"127.0.0.31": {"ehlo": OFFER, "xforward": ["250 Ok", "501 5.5.4 bad"]}}) as \
            servers, Instance(relayhost=f"[127.0.0.31]:{servers.port}",
                              smtpd_peername_lookup="no", smtp_connection_cache_on_demand="no",
                              smtp_send_xforward_command="yes") as relay:
        send(relay, "a@b.example")
        relay.wait_log("status=sent")
        commands = servers["127.0.0.31"].commands
        queue_id = re.search(r"(\w+): to=<a@b", relay.log()).group(1)
        assert commands[1:4] == [
            "XFORWARD NAME=[UNAVAILABLE] ADDR=127.0.0.1" if "NAME=[" in commands[1] else
            "XFORWARD NAME=unknown ADDR=127.0.0.1",
            f"XFORWARD PROTO=ESMTP HELO=client.example.test IDENT={queue_id} SOURCE=REMOTE",
            "MAIL FROM:<sender@example.test>"]
        send(relay, "c@b.example")
        relay.wait_log("status=sent", 2)
        relay.wait_log(r"warning: host 127\.0\.0\.31\[127\.0\.0\.31\] said: 501 5\.5\.4 bad \(in "
                       r"reply to XFORWARD command\)")


def test_dsn_parameters_go_on_where_they_are_understood():
    with Servers({"127.0.0.31": {}, "127.0.0.32": {"ehlo": "250 plain.example"}}) as servers, \
            Instance(default_transport=f"smtp:[127.0.0.31]:{servers.port}",
                     relay_domains="plain.example",
                     relay_transport=f"smtp:[127.0.0.32]:{servers.port}") as relay:
        send(relay, "a@b.example", options=" RET=HDRS ENVID=QQ314159",
             rcpt=" NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x@y.example")
        send(relay, "a@plain.example", options=" RET=FULL", rcpt=" NOTIFY=NEVER")
        relay.wait_log("status=sent", 2)
        commands = servers["127.0.0.31"].commands
        assert re.fullmatch(r"MAIL FROM:<sender@example\.test> SIZE=\d+ ENVID=QQ314159 RET=HDRS",
                            commands[1])
        assert commands[2] == "RCPT TO:<a@b.example> ORCPT=rfc822;x@y.example NOTIFY=SUCCESS,DELAY"
        commands = servers["127.0.0.32"].commands
        assert commands[1:3] == ["MAIL FROM:<sender@example.test>", "RCPT TO:<a@plain.example>"]


def test_keywords_are_discarded_by_address():
    with Servers({"127.0.0.31": {}, "127.0.0.32": {}}) as servers, \
            Instance(default_transport=f"smtp:[127.0.0.31]:{servers.port}",
                     relay_domains="r.example",
                     relay_transport=f"smtp:[127.0.0.32]:{servers.port}",
                     smtp_discard_ehlo_keywords="dsn",
                     smtp_discard_ehlo_keyword_address_maps="inline:{127.0.0.32=size}") as relay:
        send(relay, "a@b.example", options=" RET=FULL")
        send(relay, "a@r.example", options=" RET=FULL")
        relay.wait_log("status=sent", 2)
        assert re.fullmatch(r"MAIL FROM:<\S+> SIZE=\d+", servers["127.0.0.31"].commands[1])
        assert re.fullmatch(r"MAIL FROM:<\S+> RET=FULL", servers["127.0.0.32"].commands[1])


def test_firewall_that_hides_gets_helo_and_a_late_dot():
    with Servers({"127.0.0.31": {"greeting": "220 ****************02*2**"}}) as servers, \
            Instance(relayhost=f"[127.0.0.31]:{servers.port}",
                     smtp_pix_workaround_threshold_time="0",
                     smtp_pix_workaround_delay_time="1s") as relay:
        begun = time.monotonic()
        send(relay, "a@b.example")
        relay.wait_log("status=sent")
        assert time.monotonic() - begun >= 1
        assert servers["127.0.0.31"].commands[0] == "HELO relay.example.test"
        relay.wait_log(r"\w+: enabling PIX workarounds: disable_esmtp,delay_dotcrlf for "
                       r"127\.0\.0\.31\[127\.0\.0\.31\]:\d+")


def test_words_of_servers_are_filtered():
    with Servers({"127.0.0.31": {"rcpt": {"busy": "550 5.1.1 busy", "gone": "550 5.1.1 gone",
                                          "odd": "550 5.1.2 odd"}}}) as servers, \
            Instance(relayhost=f"[127.0.0.31]:{servers.port}") as relay:
        (relay.config / "replies").write_text("/^550 5\\.1\\.1 busy/ 450 4.2.0 filtered\n")
        (relay.config / "status").write_text("/^5\\.1\\.1 (.* gone.*)/ 4.9.9 rather later: $1\n"
                                             "/^5\\.1\\.2 / 2.0.0 no such thing\n"
                                             "/^2\\./ 2.9.9 done\n")
        relay.parameters["smtp_reply_filter"] = f"regexp:{relay.config}/replies"
        relay.parameters["smtp_delivery_status_filter"] = f"regexp:{relay.config}/status"
        relay.write()
        relay.reload()
        relay.wait_log("reload -- version")
        send(relay, "busy@b.example", "gone@b.example", "odd@b.example", "fine@b.example",
             sender="")
        relay.wait_log(r"to=<busy@b\.example>, .*dsn=4\.2\.0, status=deferred \(host \S+ said: 450 "
                       r"4\.2\.0 filtered \(in reply to RCPT TO command\)\)")
        relay.wait_log(r"to=<gone@b\.example>, .*dsn=4\.9\.9, status=deferred \(rather later: host ")
        relay.wait_log(r"to=<odd@b\.example>, .*dsn=5\.1\.2, status=bounced \(host ")
        relay.wait_log(r"warning: delivery status filter returned bad status: \"2\.0\.0\"")
        relay.wait_log(r"to=<fine@b\.example>, .*dsn=2\.9\.9, status=sent \(done\)")


def test_dns_answers_are_filtered():
    zone = {("b.example", "MX"): ["10 one.example.", "20 two.example."],
            ("one.example", "A"): ["127.0.0.31"], ("two.example", "A"): ["127.0.0.32"],
            ("c.example", "MX"): ["10 one.example."]}
    with Servers({"127.0.0.31": {}, "127.0.0.32": {}}) as servers, NameServer(zone) as names, \
            Instance(dns_servers=f"127.0.0.1:{names.port}", smtp_tcp_port=servers.port) as relay:
        (relay.config / "dns").write_text("/^b\\.example\\. [0-9]+ IN MX 10 one\\.example\\.$/ IGNORE\n"
                                          "/^c\\.example\\. / IGNORE\n")
        relay.parameters["smtp_dns_reply_filter"] = f"regexp:{relay.config}/dns"
        relay.write()
        relay.reload()
        relay.wait_log("reload -- version")
        send(relay, "a@b.example", "a@c.example")
        relay.wait_log(r"to=<a@b\.example>, relay=two\.example\[127\.0\.0\.32\]:\d+, .*status=sent")
        relay.wait_log(r"ignoring DNS RR: b\.example\. \d+ IN MX 10 one\.example\.")
        relay.wait_log(r"to=<a@c\.example>, .*status=deferred \(.*DNS reply filter drops all results")


def test_dialogue_with_chosen_peers_is_logged():
    with Servers({"127.0.0.31": {}, "127.0.0.32": {}, "127.0.0.33": {}}) as servers, \
            Instance(default_transport=f"smtp:[127.0.0.31]:{servers.port}",
                     relay_domains="r.example", debug_peer_list="127.0.0.31, 127.0.0.32/32",
                     relay_transport=f"smtp:[127.0.0.32]:{servers.port}",
                     virtual_mailbox_domains="v.example", smtpd_reject_unlisted_recipient="no",
                     virtual_transport=f"smtp:[127.0.0.33]:{servers.port}") as relay:
        send(relay, "a@b.example", "a@r.example", "a@v.example")
        relay.wait_log("status=sent", 3)
        for host in "127.0.0.31", "127.0.0.32":
            peer = re.escape(f"{host}[{host}]:{servers.port}")
            for line in ["< PEER: 220 scripted.example.test ESMTP",
                         "> PEER: EHLO relay.example.test", "< PEER: 250-PIPELINING",
                         "< PEER: 250 DSN", "< PEER: 354 go on", "> PEER: .",
                         "< PEER: 250 2.0.0 Ok: taken"]:
                pattern = re.escape(line).replace("PEER", peer)
                relay.wait_log(rf"postfix/smtp\[\d+\]: {pattern}$")
        assert "127.0.0.33[127.0.0.33]:" in relay.log()
        assert "> 127.0.0.33[" not in relay.log()


def test_dialogue_is_logged_by_the_domain_of_the_mail():
    zone = {("b.example", "MX"): ["10 one.other.test."], ("one.other.test", "A"): ["127.0.0.31"],
            ("c.example", "MX"): ["10 two.other.test."], ("two.other.test", "A"): ["127.0.0.32"]}
    with Servers({"127.0.0.31": {}, "127.0.0.32": {}}) as servers, NameServer(zone) as names, \
            Instance(dns_servers=f"127.0.0.1:{names.port}", smtp_tcp_port=servers.port,
                     debug_peer_list="b.example") as relay:
        send(relay, "a@b.example", "a@c.example")
        relay.wait_log("status=sent", 2)
        relay.wait_log(r"> one\.other\.test\[127\.0\.0\.31\]:\d+: MAIL FROM:<sender@example\.test>")
        assert "> two.other.test[" not in relay.log()


class Deaf:
    """Somebody listens at the address, and connections to it never come about."""

    def __init__(self, address, port):
        self.listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address, port))
        self.listener.listen(0)
        self.others = []
        while len(self.others) < 50:  # until its backlog is full
            other = socket.socket(self.listener.family)
            other.settimeout(0.3)
            self.others.append(other)
            try:
                other.connect((address, port))
            except OSError:
                return

    def close(self):
        for each in [*self.others, self.listener]:
            each.close()


def has_ipv6():
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
@pytest.mark.parametrize("deaf, good", [("127.0.0.31", "::1"), ("::1", "127.0.0.31")])
def test_address_family_that_does_not_answer_costs_a_moment(deaf, good):
    zone = {("b.example", "A"): ["127.0.0.31"], ("b.example", "AAAA"): ["::1"]}
    with Servers({good: {}}) as servers, NameServer(zone) as names, \
            Instance(dns_servers=f"127.0.0.1:{names.port}", smtp_tcp_port=servers.port,
                     inet_protocols="all", smtp_randomize_addresses="no",
                     smtp_mx_session_limit="1", waypost_smtpd_workers="1") as relay:
        wall = Deaf(deaf, servers.port)
        begun = time.monotonic()
        send(relay, "a@b.example", "c@b.example")
        relay.wait_log("status=sent", 2)
        assert time.monotonic() - begun < 10  # the timeout is 30 s
        relay.wait_log(rf"relay=b\.example\[{re.escape(good)}\]:{servers.port}, .*status=sent")
        assert "connect to" not in relay.log()
        relay.run("postfix", "status", "-v")
        relay.wait_log(r"status: smtp\[\d+\]: deliveries: 1 since start, 0 under way")
        assert "status: smtp" in relay.log() and ": connect: " not in relay.log()
        wall.close()


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_both_address_families_refuse():
    zone = {("b.example", "A"): ["127.0.0.31"], ("b.example", "AAAA"): ["::1"]}
    with Servers({"127.0.0.99": {}}) as servers, NameServer(zone) as names, \
            Instance(dns_servers=f"127.0.0.1:{names.port}", smtp_tcp_port=servers.port,
                     inet_protocols="all") as relay:
        send(relay, "a@b.example")
        relay.wait_log(r"to=<a@b\.example>, relay=none, .*dsn=4\.4\.1, status=deferred \(connect to "
                       r"b\.example\[\S+\]:\d+: Connection refused\)")
        for address in r"127\.0\.0\.31", "::1":
            relay.wait_log(rf"smtp\[\d+\]: connect to b\.example\[{address}\]:\d+: Connection refused")


def test_addresses_of_here_become_valid_ones():
    maps = ("{me@here.local = me@example.test}, {@here.local = others@example.test}, "
            "{you@b.example = you@other.example}")
    content = ("From: Me <me@here.local>\r\nTo: you@b.example, third@c.example\r\n"
               "Cc: somebody@here.local\r\nSubject: me@here.local\r\n\r\nme@here.local\r\n")
    with Servers({"127.0.0.31": {}}) as servers, \
            Instance(relayhost=f"[127.0.0.31]:{servers.port}", recipient_delimiter="+",
                     smtp_generic_maps=f"inline:{{{maps}}}") as relay:
        send(relay, "you@b.example", "third@c.example", sender="me+tag@here.local", content=content)
        relay.wait_log(r"to=<you@b\.example>, .*status=sent")
        commands = servers["127.0.0.31"].commands
        assert re.match(r"MAIL FROM:<me@example\.test>", commands[1])
        assert commands[2:4] == ["RCPT TO:<you@other.example> ORCPT=rfc822;you@b.example",
                                 "RCPT TO:<third@c.example> ORCPT=rfc822;third@c.example"]
        [(_, received)] = servers["127.0.0.31"].messages
        assert ("\r\nFrom: Me <me@example.test>\r\nTo: you@other.example, third@c.example\r\n"
                "Cc: others@example.test\r\nSubject: me@here.local\r\n") in received.decode()
        assert received.endswith(b"\r\n\r\nme@here.local\r\n")


def test_server_without_8bitmime_gets_quoted_printable():
    content = ("From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
               "Content-Transfer-Encoding: 8bit\r\n\r\ngr\u00fc\u00dfe = 1\r\n")
    scripts = {"127.0.0.31": {"ehlo": "250 x"}, "127.0.0.32": {}, "127.0.0.33": {"ehlo": "250 x"}}
    with Servers(scripts) as servers, \
            Instance(master_cf=MASTER_CF + "raw unix - - n - - smtp\n"
                     "    -o disable_mime_output_conversion=yes\n",
                     default_transport=f"smtp:[127.0.0.31]:{servers.port}",
                     relay_domains="r.example",
                     relay_transport=f"smtp:[127.0.0.32]:{servers.port}",
                     virtual_mailbox_domains="v.example", smtpd_reject_unlisted_recipient="no",
                     virtual_transport=f"raw:[127.0.0.33]:{servers.port}") as relay:
        send(relay, "a@b.example", "a@r.example", "a@v.example", content=content,
             options=" BODY=8BITMIME")
        relay.wait_log("status=sent", 3)
        [(_, changed)] = servers["127.0.0.31"].messages
        assert b"\r\nContent-Transfer-Encoding: quoted-printable\r\n" in changed
        assert changed.endswith(b"\r\n\r\ngr=C3=BC=C3=9Fe =3D 1\r\n")
        assert "BODY" not in servers["127.0.0.31"].commands[1]
        assert servers["127.0.0.32"].commands[1].endswith(" BODY=8BITMIME")
        for address in "127.0.0.32", "127.0.0.33":
            assert servers[address].messages[0][1].endswith(content.split("\r\n\r\n")[1].encode())
