# SPDX-License-Identifier: Apache-2.0
"""DANE: servers whose certificates are named in a signed zone. What Debian's Postfix does with the
same names, servers and configuration, both with a name server that validates."""
import collections
import functools
import os
import re
import shutil
import smtplib
import socket

import pytest

import reference
from certificates import Certificates, openssl
from signed_zone import SignedZone
from tls_server import TlsServer
from world import MASTER_CF, PATIENCE, Instance, free_port, message, wait_until


def can_bind_53():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", 53))
        except OSError:
            return False
    return True


pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("/usr/sbin/unbound") or not can_bind_53(),
    reason="needs unbound and port 53: scripts/in-own-network")

DANE, ONLY = {"smtp_tls_security_level": "dane"}, {"smtp_tls_security_level": "dane-only"}

# `zone`: HOST is mx.NAME.dane, EE and TA are digests of the certificate's key and the authority's
# certificate, TLSA the name of the records.
Case = collections.namedtuple("Case", "zone options certificate server domain",
                              defaults=(DANE, "plain", "good", "{name}.dane"))
KEY = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
GOOD = "TLSA 3 1 1 EE"
ZERO = "00" * 32

CASES = {
    "ee": Case(GOOD),
    "ee-only": Case(GOOD, ONLY),
    "ee-other-name": Case(GOOD, DANE, "other"),
    "ee-expired": Case(GOOD, DANE, "expired"),
    "ee-sha512": Case("TLSA 3 1 2 E5"),
    "ee-certificate": Case("TLSA 3 0 1 CERT"),
    "ee-whole-key": Case("TLSA 3 1 0 KEY"),
    "second-record": Case(f"TLSA 3 1 1 {ZERO}\n{GOOD}"),
    "ta": Case("TLSA 2 0 1 TA", DANE, "HOST"),
    "ta-domain": Case("TLSA 2 0 1 TA", DANE, "DOMAIN"),
    "ta-other-name": Case("TLSA 2 0 1 TA", DANE, "other"),
    "ta-whole": Case("TLSA 2 0 0 AUTHORITY", DANE, "HOST-alone"),
    "ta-absent": Case("TLSA 2 0 1 TA", DANE, "HOST-alone"),
    "ta-wrong": Case(f"TLSA 2 0 1 {ZERO}", {**DANE, "smtp_tls_CAfile": "ROOT"}, "HOST"),
    "wrong": Case(f"TLSA 3 1 1 {ZERO}"),
    "wrong-only": Case(f"TLSA 3 1 1 {ZERO}", ONLY),
    "weaker-is-right": Case(f"TLSA 3 1 2 {ZERO * 2}\n{GOOD}"),
    "digest-off": Case(f"TLSA 3 1 2 {ZERO * 2}\n{GOOD}", {**DANE, "tls_dane_digests": "sha256"}),
    "digest-unknown": Case(f"TLSA 3 1 2 {ZERO * 2}", {**DANE, "tls_dane_digests": "sha256"}),
    "digest-order": Case(f"TLSA 3 1 2 {ZERO * 2}\n{GOOD}",
                         {**DANE, "tls_dane_digests": "sha256 sha512"}),
    "only-unusable": Case(f"TLSA 3 1 2 {ZERO * 2}", {**ONLY, "tls_dane_digests": "sha256"}),
    "digest-bad": Case(GOOD, {**DANE, "tls_dane_digests": "sha256=7"}),
    "absent": Case(""),
    "absent-only": Case("", ONLY),
    "absent-plain": Case("", DANE, "plain", "none"),
    "pkix": Case("TLSA 1 1 1 EE\nTLSA 0 0 1 TA"),
    "pkix-only": Case("TLSA 1 1 1 EE", ONLY),
    "pkix-plain": Case("TLSA 1 1 1 EE", DANE, "plain", "none"),
    "pkix-and-ee": Case(f"TLSA 1 1 1 {ZERO}\n{GOOD}"),
    "short": Case("TYPE52 \\# 2 0301"),
    "short-digest": Case("TLSA 3 1 1 abcd"),
    "unknown-usage": Case("TLSA 9 1 1 EE"),
    "unknown-selector": Case("TLSA 3 7 1 EE"),
    "no-starttls": Case(GOOD, DANE, "plain", "none"),
    "handshake": Case(GOOD, DANE, "plain", "closes"),
    "forged-records": Case("TLSA 3 1 1 f00d" + "00" * 30),
    "forged-records-only": Case("TLSA 3 1 1 f00d" + "11" * 30, ONLY),
    "host": Case(GOOD, DANE, "plain", "good", "[HOST]"),
    "host-absent": Case("", ONLY, "plain", "good", "[HOST]"),
    "mx-insecure": Case(GOOD, DANE, "plain", "good", "{name}.insecure"),
    "mx-insecure-wrong": Case(f"TLSA 3 1 1 {ZERO}", DANE, "plain", "good", "{name}.insecure"),
    "mx-insecure-may": Case(f"TLSA 3 1 1 {ZERO}",
                            {**DANE, "smtp_tls_dane_insecure_mx_policy": "may"}, "plain", "good",
                            "{name}.insecure"),
    "mx-insecure-encrypt": Case(f"TLSA 3 1 1 {ZERO}",
                                {**DANE, "smtp_tls_dane_insecure_mx_policy": "encrypt"}, "plain",
                                "good", "{name}.insecure"),
    "mx-insecure-plain": Case(GOOD, {**DANE, "smtp_tls_dane_insecure_mx_policy": "encrypt"},
                              "plain", "none", "{name}.insecure"),
    "mx-insecure-only": Case(GOOD, ONLY, "plain", "good", "{name}.insecure"),
    "policy": Case(GOOD, {"smtp_tls_security_level": "may",
                          "smtp_tls_policy_maps": "inline:{{policy.dane=dane-only}}"}),
    "policy-insecure": Case(GOOD, {"smtp_tls_security_level": "may",
                                   "smtp_tls_policy_maps": "inline:{{.insecure=dane}}"}, "plain",
                            "good", "{name}.insecure"),
    "policy-match": Case(GOOD, {"smtp_tls_security_level": "may",
                                "smtp_tls_policy_maps": "inline:{{policy-match.dane=dane "
                                                        "match=nexthop}}"}),
    "no-dnssec": Case(GOOD, {**DANE, "smtp_dns_support_level": "enabled"}),
    "no-dnssec-only": Case(GOOD, {**ONLY, "smtp_dns_support_level": ""}),
    "native": Case(GOOD, {**DANE, "smtp_host_lookup": "native"}),
    "ignored-mx": Case(GOOD, {**DANE, "ignore_mx_lookup_error": "yes"}),
    "search": Case(GOOD, {**DANE, "smtp_dns_resolver_options": "res_defnames"}),
    "forged-exchangers": Case(""),
    "forged-address": Case(""),
    "address": Case("", DANE, "plain", "good", "[ADDRESS]"),
    "no-mx": Case(GOOD, ONLY, "plain", "good", "HOST"),
    "alias": Case("", ONLY),
    "alias-own": Case("", ONLY),
    "alias-records": Case("", ONLY),
    "alias-out": Case("", ONLY),
}


class Run:
    """All cases at once: a transport, names, a server and a recipient for each."""

    def __init__(self, certificates):
        self.port = free_port()
        self.servers, self.addresses, lines = {}, {}, []
        zone, insecure = [], []
        for number, (name, case) in enumerate(CASES.items()):
            host, address = f"mx.{name}.dane", f"127.0.1.{number + 1}"
            certificate = case.certificate.replace("HOST", host).replace("DOMAIN", f"{name}.dane")
            if not (certificates.folder / f"{certificate}.pem").exists():
                certificates.make(certificate.removesuffix("-alone"), kind=KEY)
                add_chain(certificates, certificate)
            self.addresses[name] = address
            self.servers[name] = TlsServer(certificates, case.server, certificate,
                                           address=address, port=self.port)
            for each in ("dane.", "insecure."):
                (zone if each == "dane." else insecure).append(
                    f"{name}.{each} 60 IN MX 10 {host}.\n")
            if not name.startswith("alias"):
                zone.append(f"{host}. 60 IN A {address}\n")
            records = case.zone
            for word, value in certificate_words(certificates, certificate).items():
                records = re.sub(rf"\b{word}\b", value, records)
            zone += [f"_{self.port}._tcp.{host}. 60 IN {each}\n" for each in records.split("\n")
                     if each]
            options = {"smtp_dns_support_level": "dnssec", "smtp_tcp_port": str(self.port),
                       **case.options}
            lines.append(f"t-{name} unix - - n - - smtp\n" + "".join(
                f"  -o {{ {key} = {value} }}\n".replace("ROOT", str(certificates.authority))
                for key, value in options.items()))
        zone.append(self.aliases(certificate_words(certificates, "plain")["EE"], insecure))
        self.zone = SignedZone("".join(zone), "".join(insecure), [
            (r"(TLSA\s+3 1 1 )f00d0", r"\g<1>f00e0"), (r"(TLSA\s+3 1 1 )f00d1", r"\g<1>f00e1"),
            (r"(forged-exchangers.dane.\s+60\s+IN\s+MX\s+)10", r"\g<1>11"),
            (r"(mx.forged-address.dane.\s+60\s+IN\s+A\s+127.0.)1", r"\g<1>2"),
            (r"(?m)TLSA\s+3 1$", r"TYPE52 \# 2 0301")])  # as no signer writes it
        self.master = "".join(lines)
        self.parameters = {
            "compatibility_level": "3.6", "myhostname": "client.example.test",
            "mynetworks": "127.0.0.0/8", "mydestination": "", "smtp_tls_loglevel": "1",
            "smtpd_peername_lookup": "no", "relay_transport": "smtp", "default_transport": "smtp",
            "transport_maps": "inline:{ " + ", ".join(
                f"{{ {name}.example = t-{name}:{self.nexthop(name)} }}" for name in CASES) + " }"}

    def aliases(self, digest, insecure):
        """Hosts that are another name of a host, with the records at one or the other."""
        tlsa = f"_{self.port}._tcp"
        insecure.append(f"real.insecure. 60 IN A {self.addresses['alias-out']}\n")
        return f"""\
mx.alias.dane. 60 IN CNAME real.alias.dane.
real.alias.dane. 60 IN A {self.addresses['alias']}
{tlsa}.real.alias.dane. 60 IN TLSA 3 1 1 {digest}
mx.alias-own.dane. 60 IN CNAME real.alias-own.dane.
real.alias-own.dane. 60 IN A {self.addresses['alias-own']}
{tlsa}.mx.alias-own.dane. 60 IN TLSA 3 1 1 {digest}
mx.alias-records.dane. 60 IN A {self.addresses['alias-records']}
{tlsa}.mx.alias-records.dane. 60 IN CNAME shared.alias-records.dane.
shared.alias-records.dane. 60 IN TLSA 3 1 1 {digest}
mx.alias-out.dane. 60 IN CNAME real.insecure.
{tlsa}.mx.alias-out.dane. 60 IN TLSA 3 1 1 {digest}
"""

    def nexthop(self, name):
        return CASES[name].domain.format(name=name).replace("HOST", f"mx.{name}.dane").replace(
            "ADDRESS", self.addresses[name])

    def play(self, server):
        with smtplib.SMTP("127.0.0.1", server.port, timeout=PATIENCE) as client:
            client.sendmail("a@example.com", [f"u@{name}.example" for name in CASES], message())
        wait_until(lambda: len(re.findall("status=", server.log())) >= len(CASES), "all results")

    def lines(self, server):
        """{case: what the log says of it}, made comparable."""
        lines = {name: [] for name in CASES}
        for line in server.log().splitlines():
            found = re.search(r"/smtp\[\d+\]: (.*)", line)
            if not found:
                continue
            text = re.sub(r"^[0-9A-F]{8,}: ", "", found[1])
            text = re.sub(r"delay=.*, dsn", "dsn", text).replace(str(self.port), "PORT")
            for name in CASES:
                if re.search(rf"(?<![\w-]){name}\.(example|dane|insecure)|"
                             rf"\[{re.escape(self.addresses[name])}\]", text):
                    lines[name].append(text)
        # Warnings about records come in the order of the answer there, and some come twice.
        return {name: sorted(set(each), key=lambda text: (" TLSA " not in text, text))
                if any(" TLSA " in text for text in each) else each
                for name, each in lines.items()}

    def close(self):
        for server in self.servers.values():
            server.close()


def add_chain(certificates, name):
    """What stands in "NAME-alone" alone is shown with its authority by "NAME"."""
    whole = name.removesuffix("-alone")
    alone = certificates.folder / f"{whole}.pem"
    shutil.copy(certificates.folder / f"{whole}.key", certificates.folder / f"{whole}-alone.key")
    shutil.copy(alone, certificates.folder / f"{whole}-alone.pem")
    alone.write_text(alone.read_text() + certificates.authority.read_text())


@functools.lru_cache(maxsize=None)
def certificate_words(certificates, name):
    certificate = certificates.folder / f"{name}.pem"

    def der(path):
        return openssl("x509", "-in", path, "-outform", "DER").stdout

    def digest(data, kind="sha256"):
        return openssl("dgst", f"-{kind}", "-r", input=data).stdout.decode().split()[0]

    key = openssl("x509", "-in", certificate, "-noout", "-pubkey").stdout
    key = openssl("pkey", "-pubin", "-outform", "DER", input=key).stdout
    return {"EE": digest(key), "E5": digest(key, "sha512"), "CERT": digest(der(certificate)),
            "KEY": key.hex(), "TA": digest(der(certificates.authority)),
            "AUTHORITY": der(certificates.authority).hex()}


@pytest.fixture(scope="module")
def results():
    certificates = Certificates()
    certificates.make("plain", "server.example.test", kind=KEY)
    certificates.make("other", "other.example.test", kind=KEY)
    add_chain(certificates, "other")
    certificates.make("expired", "server.example.test", kind=KEY, days=0)
    collected = []
    for kind in (reference.Reference, Instance):
        run = Run(certificates)
        if kind is Instance:
            server = Instance(master_cf=MASTER_CF + run.master,
                              dnssec_trust_anchor_file=run.zone.anchor, **run.parameters)
        else:
            server = reference.Reference(services="smtp unix - - n - - smtp\n" + run.master,
                                         **run.parameters)
        with run.zone, server:
            run.play(server)
            collected.append((run.lines(server), server.log(),
                              {name: ([secure for secure, _ in each.messages], each.names)
                               for name, each in run.servers.items()}))
        run.close()
    return collected


@pytest.mark.parametrize("name", [each for each in CASES if each != "only-unusable"])
def test_outcome_and_log_lines_are_postfix_s(results, name):
    (postfix_lines, _, postfix_sent), (our_lines, _, our_sent) = results
    assert our_sent[name] == postfix_sent[name]
    assert our_lines[name] == postfix_lines[name]


def test_dane_only_makes_no_connection_where_no_record_is_usable(results):
    _, (lines, _, sent) = results
    assert sent["only-unusable"] == ([], [])
    assert lines["only-unusable"][-1].endswith("status=deferred (TLSA records unusable)")


@pytest.fixture
def one_server():
    """A server with a good record, and one without any: (zone, port, {domain: server})."""
    certificates = Certificates()
    certificates.make("plain", "server.example.test", kind=KEY)
    port, digest = free_port(), certificate_words(certificates, "plain")["EE"]
    servers = {f"{name}.dane": TlsServer(certificates, name="plain", address=f"127.0.1.{number}",
                                         port=port) for number, name in ((1, "has"), (2, "other"))}
    zone = "".join(f"{domain}. 60 IN MX 10 mx.{domain}.\nmx.{domain}. 60 IN A 127.0.1.{number}\n"
                   for number, domain in enumerate(servers, 1))
    with SignedZone(f"{zone}_{port}._tcp.mx.has.dane. 60 IN TLSA 3 1 1 {digest}\n") as signed:
        yield signed, port, servers
    for server in servers.values():
        server.close()


def send(relay, *domains):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=PATIENCE) as client:
        for domain in domains:
            client.sendmail("a@example.com", [f"u@{domain}"], message())


def test_without_trust_anchor_dane_mail_waits_and_other_mail_goes(one_server):
    _, port, servers = one_server
    plain = "plain unix - - n - - smtp\n  -o smtp_dns_support_level=enabled\n" \
            "  -o smtp_tls_security_level=may\n"
    with Instance(master_cf=MASTER_CF + plain, smtp_tcp_port=port, smtp_dns_support_level="dnssec",
                  dnssec_trust_anchor_file="/nowhere/root.key", smtpd_peername_lookup="no",
                  transport_maps="inline:{{other.dane=plain:}}", **DANE) as relay:
        relay.wait_log("resolver.*: warning: no DNSSEC; .*/nowhere/root.key")
        send(relay, "has.dane", "other.dane")
        relay.wait_log(r"to=<u@has.dane>.* dsn=4.4.3, status=deferred \(Host or domain name not "
                       r"found. .* type=MX: Host not found, try again")
        relay.wait_log(r"to=<u@other.dane>.* status=sent")
        assert not servers["has.dane"].messages


def test_resumed_session_is_still_verified_and_another_record_begins_anew(one_server):
    signed, port, servers = one_server
    with Instance(smtp_tcp_port=port, dnssec_trust_anchor_file=signed.anchor,
                  smtp_dns_support_level="dnssec", smtpd_peername_lookup="no",
                  smtp_tls_loglevel="1", smtp_tls_session_cache_database="btree:x",
                  **DANE) as relay:
        for number in (1, 2):
            send(relay, "has.dane")
            relay.wait_log("status=sent", number)
        assert [reused for reused, _, _ in servers["has.dane"].sessions] == [False, True]
        relay.wait_log("Verified TLS connection established to mx.has.dane", 2)


def test_forged_answers_are_told_to_the_administrator(results):
    _, (_, log, _) = results
    assert re.search(r"resolver\[\d+\]: warning: DNSSEC does not hold for "
                     r"forged-exchangers\.dane type MX: validation failure", log)
