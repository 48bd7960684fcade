# SPDX-License-Identifier: Apache-2.0
"""What name servers may answer, and what becomes of the mail: a lie, a failure or silence is never
a reason to bounce."""
import os
import re
import smtplib
import socket
import struct
import subprocess

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest

from mailboxes import is_own_view
from world import MASTER_CF, Instance, NameServer, Sink, message, wait_until


@pytest.fixture
def sink():
    with Sink() as server:
        yield server


class ScriptedNameServer(NameServer):
    """Answers with aliases and with more records than fit a datagram of old. `scripts` maps
    (name, type) to a function(query message) -> answer bytes or None."""

    def __init__(self, zone, scripts=None):
        self.scripts = scripts or {}
        super().__init__(zone)

    def answer(self, data):
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text().lower().rstrip(".")
        kind = dns.rdatatype.to_text(query.question[0].rdtype)
        script = self.scripts.get((name, kind))
        if script is None and not isinstance(self.zone.get((name, kind), []), str) and \
                any(key[0] == name for key in self.zone):
            script = self.answer_with_aliases
        if script is None:
            return super().answer(data)
        self.queries.append((name, kind))
        return script(query)

    def answer_with_aliases(self, query):
        name, kind = query.question[0].name, dns.rdatatype.to_text(query.question[0].rdtype)
        response = dns.message.make_response(query, recursion_available=True)
        for _ in range(8):
            key = name.to_text().lower().rstrip(".")
            found = self.zone.get((key, kind))
            alias = self.zone.get((key, "CNAME"))
            if found or not alias:
                break
            response.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", *alias))
            name = dns.name.from_text(alias[0])
        if found:
            response.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *found))
        return response.to_wire(max_size=65535)


def raw_answer(query, *records, owner=None, flags=0):
    """An answer with rdata given as bytes: (type, bytes) each."""
    response = dns.message.make_response(query, recursion_available=True)
    response.flags |= flags
    response.use_edns(False)  # its record would come before ours
    wire = bytearray(response.to_wire())
    name = (owner or query.question[0].name).to_wire()
    for kind, rdata in records:
        wire += name + struct.pack("!HHIH", dns.rdatatype.from_text(kind), 1, 60,
                                   len(rdata)) + rdata
    struct.pack_into("!H", wire, 6, len(records))
    return bytes(wire)


def relay_to(sink, names, **parameters):
    return Instance(dns_servers=f"{names.address}:{names.port}", smtp_tcp_port=sink.port,
                    relayhost="", **parameters)


def send(relay, domain):
    with relay.connect() as client:
        client.command("EHLO client.example.test")
        assert client.deliver("s@example.test", [f"user@{domain}"], message())[0] == 250


def outcome(relay, domain, status):
    pattern = rf"to=<user@{re.escape(domain)}>.*status={status} \((.*)\)$"
    return relay.wait_log(pattern)[0]


MX = dns.name.from_text("mx.good.test").to_wire()


def test_exchangers_addresses_and_aliases_lead_to_the_server(sink):
    zone = {("good.test", "MX"): ["10 dead.good.test.", "20 mx.good.test."],
            ("dead.good.test", "A"): ["127.0.0.77"],
            ("mx.good.test", "A"): ["127.0.0.1"],
            ("plain.test", "A"): ["127.0.0.1"],
            ("alias.test", "MX"): ["10 www.alias.test."],
            ("www.alias.test", "CNAME"): ["mx.good.test."]}
    with ScriptedNameServer(zone) as names, relay_to(sink, names) as relay:
        for domain in ["good.test", "plain.test", "alias.test"]:
            send(relay, domain)
        sink.wait(3)
        relay.wait_log(r"relay=mx\.good\.test\[127\.0\.0\.1\]:\d+, .*status=sent")
        relay.wait_log(r"connect to dead\.good\.test\[127\.0\.0\.77\]:\d+: Connection refused$")
        relay.wait_log(r"relay=plain\.test\[127\.0\.0\.1\]:\d+, .*status=sent")
        relay.wait_log(r"relay=www\.alias\.test\[127\.0\.0\.1\]:\d+, .*status=sent")


def test_only_a_definite_no_bounces(sink):
    zone = {("null.test", "MX"): ["0 ."],
            ("mute.test", "TXT"): ['"x"'],
            ("broken.test", "MX"): "SERVFAIL",
            ("refused.test", "MX"): "REFUSED",
            ("half.test", "MX"): ["10 mx.half.test."],
            ("mx.half.test", "A"): "SERVFAIL"}
    not_found = "Host or domain name not found. Name service error for name={} type={}: {}"
    with ScriptedNameServer(zone) as names, relay_to(sink, names) as relay:
        for domain in ["absent.test", "null.test", "mute.test", "broken.test", "refused.test",
                       "half.test"]:
            send(relay, domain)
        assert outcome(relay, "absent.test", "bounced") == \
            not_found.format("absent.test", "A", "Host not found")
        assert outcome(relay, "null.test", "bounced") == \
            "Domain null.test does not accept mail (nullMX)"
        assert outcome(relay, "mute.test", "bounced") == \
            not_found.format("mute.test", "A", "Host found but no data record of requested type")
        for domain in ["broken.test", "refused.test"]:
            assert outcome(relay, domain, "deferred") == \
                not_found.format(domain, "MX", "Host not found, try again")
        assert outcome(relay, "half.test", "deferred") == \
            not_found.format("mx.half.test", "A", "Host not found, try again")


def test_malformed_records_are_ignored(sink):
    scripts = {
        ("short.test", "MX"): lambda query: raw_answer(
            query, ("MX", b""), ("MX", b"\0"), ("MX", b"\0\1"), ("MX", b"\0\1\3ab"),
            ("MX", b"\0\12" + MX)),
        ("strange.test", "MX"): lambda query: raw_answer(
            query, ("MX", b"\0\1\5x\r\n55\0"), ("MX", b"\0\1\3a b\4test\0"),
            ("MX", b"\0\12" + MX)),
        ("onlybad.test", "MX"): lambda query: raw_answer(query, ("MX", b"\0\1\5x\r\n55\0")),
        ("wronga.test", "A"): lambda query: raw_answer(query, ("A", b"\177\0\0")),
    }
    zone = {("mx.good.test", "A"): ["127.0.0.1"], ("wronga.test", "TXT"): ['"x"']}
    with ScriptedNameServer(zone, scripts) as names, relay_to(sink, names) as relay:
        send(relay, "strange.test")
        send(relay, "onlybad.test")
        sink.wait(1)
        assert "Name service error for name=onlybad.test type=MX" in \
            outcome(relay, "onlybad.test", "deferred")
        # A packet that is cut inside its records may be refused as a whole; it must not bounce.
        send(relay, "short.test")
        send(relay, "wronga.test")
        relay.wait_log(r"to=<user@short\.test>.*status=(sent|deferred)")
        relay.wait_log(r"to=<user@wronga\.test>.*status=deferred")
        assert "status=bounced" not in relay.log()


def test_alias_loops_and_answers_for_other_names_defer(sink):
    other = dns.name.from_text("other.test")
    scripts = {
        ("foreign.test", "MX"): lambda query: raw_answer(query, ("MX", b"\0\1" + MX), owner=other),
        ("foreign.test", "A"): lambda query: raw_answer(query, ("A", b"\177\0\0\1"), owner=other),
    }
    zone = {("mx.good.test", "A"): ["127.0.0.1"],
            ("loop.test", "MX"): ["10 a.loop.test."],
            ("a.loop.test", "CNAME"): ["b.loop.test."],
            ("b.loop.test", "CNAME"): ["a.loop.test."]}
    with ScriptedNameServer(zone, scripts) as names, relay_to(sink, names) as relay:
        send(relay, "loop.test")
        send(relay, "foreign.test")
        assert "name=a.loop.test type=A" in outcome(relay, "loop.test", "deferred")
        relay.wait_log(r"to=<user@foreign\.test>.*status=(deferred|bounced)")
        assert not sink.messages


def test_truncated_answer_without_tcp_defers(sink):
    scripts = {("large.test", "MX"): lambda query: raw_answer(query, flags=dns.flags.TC)}
    with ScriptedNameServer({}, scripts) as names, relay_to(sink, names) as relay:
        names.servers[1].shutdown()
        names.servers[1].server_close()
        send(relay, "large.test")
        assert "name=large.test type=MX" in outcome(relay, "large.test", "deferred")
        names.servers[1] = names.servers[0]


def test_silent_name_server_defers_in_bounded_time(sink):
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.1", 0))
    with Instance(dns_servers=f"127.0.0.1:{silent.getsockname()[1]}", smtp_tcp_port=sink.port,
                  relayhost="") as relay:
        send(relay, "silent.test")
        wait_until(lambda: re.search(r"to=<user@silent\.test>.*status=deferred .*name=silent\.test "
                                     r"type=MX: Host not found, try again", relay.log()),
                   "the deferral", 40)
    silent.close()


def test_crowd_of_exchangers_costs_bounded_questions(sink):
    zone = {("crowd.test", "MX"): [f"10 mx{i}.crowd.test." for i in range(300)]}
    zone.update({(f"mx{i}.crowd.test", "A"): [f"127.0.1.{k}" for k in range(1, 101)]
                 for i in range(300)})
    with ScriptedNameServer(zone) as names, relay_to(sink, names) as relay:
        send(relay, "crowd.test")
        assert outcome(relay, "crowd.test", "deferred").endswith("Connection refused")
        asked = {name for name, kind in names.queries if kind == "A" and name.startswith("mx")}
        assert len(asked) <= 50
        assert len(relay.wait_log(r"\]: connect to \S+: Connection refused$", 5)) == 5


def test_sudden_absence_of_everything_is_doubted(sink):
    with NameServer({}) as names, relay_to(sink, names) as relay:
        for i in range(40):
            send(relay, f"domain{i}.test")
        relay.wait_log(r"the name servers say of more than 20% of the domains asked for")
        relay.wait_log(r"to=<user@domain39\.test>.*status=deferred")
        assert len(re.findall(r"to=<user@domain\d+\.test>.*status=bounced", relay.log())) <= 20


def test_senders_that_strangers_make_up_cast_no_doubt_on_name_servers(sink):
    with NameServer({}) as names, Instance(
            dns_servers=f"127.0.0.1:{names.port}", relayhost=f"[127.0.0.1]:{sink.port}",
            unknown_address_reject_code="550", smtpd_soft_error_limit="1000",
            smtpd_hard_error_limit="1000",
            smtpd_sender_restrictions="reject_unknown_sender_domain") as relay:
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:
            client.ehlo("client.example")
            for i in range(60):
                client.mail(f"a@absent{i}.test")
                assert client.rcpt("user@good.test")[0] == 550
                client.rset()
        assert "the name servers say" not in relay.log()


def test_bracketed_hosts_are_looked_up_without_mx(sink):
    zone = {("host.good.test", "A"): ["127.0.0.1"],
            ("host.good.test", "MX"): ["10 elsewhere.test."]}
    with NameServer(zone) as names, \
            Instance(dns_servers=f"127.0.0.1:{names.port}",
                     relayhost=f"[host.good.test]:{sink.port}") as relay:
        send(relay, "any.test")
        sink.wait(1)
        assert ("host.good.test", "MX") not in names.queries


def test_names_are_completed_with_the_domains_of_resolv_conf(sink, tmp_path):
    if not is_own_view():
        pytest.skip("needs root and a view of the files of its own")
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 127.0.0.1\nsearch first.test second.test\n")
    tmp_path.chmod(0o755)
    place = os.path.realpath("/etc/resolv.conf")
    subprocess.run(["mount", "--bind", conf, place], check=True)
    services = ("single unix - - n - - smtp -o smtp_dns_resolver_options=res_defnames\n"
                "all unix - - n - - smtp -o { smtp_dns_resolver_options = res_defnames, res_dnsrch }\n")
    zone = {("one.first.test", "A"): ["127.0.0.1"], ("two.second.test", "A"): ["127.0.0.1"],
            ("a.b.second.test", "A"): ["127.0.0.1"], ("lame.first.test", "A"): "SERVFAIL"}
    try:
        with NameServer(zone) as names, \
                relay_to(sink, names, master_cf=MASTER_CF + services, transport_maps=
                         "inline:{ {one.example = single:[one]}, {two.example = single:[two]},"
                         " {three.example = all:[two]}, {four.example = all:[a.b]},"
                         " {five.example = smtp:[one]}, {six.example = all:[lame]} }") as relay:
            for name in "one", "two", "three", "four", "five", "six":
                send(relay, f"{name}.example")
            for name in "one", "three", "four":
                outcome(relay, f"{name}.example", "sent")
            for name in "two", "five":  # the second domain is not asked; nothing is completed
                assert "Name service error" in outcome(relay, f"{name}.example", "bounced")
            assert "Host not found, try again" in outcome(relay, "six.example", "deferred")
    finally:
        subprocess.run(["umount", place], check=True)
