# SPDX-License-Identifier: Apache-2.0
"""TLS to servers: what Debian's Postfix does with the same configuration and the same servers, and
what must hold beyond that."""
import collections
import re
import smtplib
import ssl
import time

import pytest

import reference
from certificates import Certificates
from tls_server import TlsServer
from world import MASTER_CF, PATIENCE, Instance, message, wait_until


@pytest.fixture(scope="module")
def certificates():
    made = Certificates()
    made.make("mx.example.test")
    made.make("own.example.test", is_self_signed=True)
    made.make("wild.example.test", "*.example.test", kind=("ec", "-pkeyopt",
                                                           "ec_paramgen_curve:P-256"))
    made.make("old.example.test", days=0)
    made.make("client.example.test")
    return made


Case = collections.namedtuple("Case", "server options certificate", defaults=("mx.example.test",))
MAY, MUST, VERIFY, SECURE = ({"smtp_tls_security_level": each}
                             for each in ("may", "encrypt", "verify", "secure"))


def policy(text):
    return {**MAY, "smtp_tls_CAfile": "AUTHORITY",
            "smtp_tls_policy_maps": "inline:{{PLACE=" + text + "}}"}


def trusted(level, **more):
    return {**level, "smtp_tls_CAfile": "AUTHORITY", **more}


CASES = {
    "none": Case("good", {"smtp_tls_security_level": "none"}),
    "noted": Case("good", {"smtp_tls_note_starttls_offer": "yes"}),
    "may": Case("good", MAY),
    "trusted": Case("good", trusted(MAY)),
    "old-names": Case("good", {"smtp_use_tls": "yes", "smtp_tls_CApath": "/nowhere/at/all"}),
    "refused": Case("refuses", MAY),
    "refused-must": Case("refuses", MUST),
    "absent": Case("none", MAY),
    "absent-must": Case("none", MUST),
    "closes": Case("closes", MAY),
    "closes-must": Case("closes", MUST),
    "helo-inside": Case("old", MUST),
    "helo-inside-may": Case("old", MAY),
    "nothing-inside": Case("mute", MUST),
    "verify-name": Case("good", trusted(VERIFY, smtp_tls_verify_cert_match="mx.example.test")),
    "verify-other": Case("good", trusted(VERIFY, smtp_tls_verify_cert_match="mx.example.org")),
    "verify-own": Case("good", trusted(VERIFY, smtp_tls_verify_cert_match="own.example.test"),
                       "own.example.test"),
    "verify-alone": Case("good", VERIFY),
    "verify-old": Case("good", trusted(VERIFY, smtp_tls_verify_cert_match="old.example.test"),
                       "old.example.test"),
    "anchor": Case("good", {**VERIFY, "smtp_tls_verify_cert_match": "mx.example.test",
                            "smtp_tls_trust_anchor_file": "AUTHORITY"}),
    "anchor-name": Case("good", {**VERIFY, "smtp_tls_verify_cert_match": "mx.example.org",
                                 "smtp_tls_trust_anchor_file": "AUTHORITY"}),
    "anchor-other": Case("good", trusted(VERIFY, smtp_tls_verify_cert_match="mx.example.test",
                                         smtp_tls_trust_anchor_file="OTHER")),
    "anchor-below": Case("good", {**SECURE, "smtp_tls_secure_cert_match": ".example.test",
                                  "smtp_tls_trust_anchor_file": "OTHER, AUTHORITY"}),
    "secure-below": Case("good", trusted(SECURE, smtp_tls_secure_cert_match=".example.test")),
    "wildcard": Case("good", trusted(SECURE, smtp_tls_secure_cert_match="a.b.example.test"),
                     "wild.example.test"),
    "wildcard-single": Case("good", trusted(SECURE, smtp_tls_secure_cert_match="a.b.example.test",
                                            tls_wildcard_matches_multiple_labels="no"),
                            "wild.example.test"),
    "enforced": Case("good", {"smtp_enforce_tls": "yes"}),
    "enforced-nameless": Case("good", {"smtp_enforce_tls": "yes",
                                       "smtp_tls_enforce_peername": "no"}),
    "fingerprint": Case("good", {"smtp_tls_security_level": "fingerprint",
                                 "smtp_tls_fingerprint_cert_match": "FINGERPRINT"}),
    "key-fingerprint": Case("good", {"smtp_tls_security_level": "fingerprint",
                                     "smtp_tls_fingerprint_cert_match": "KEYPRINT"}),
    "fingerprint-none": Case("good", {"smtp_tls_security_level": "fingerprint"}),
    "wrapped": Case("wrapped", {**MUST, "smtp_tls_wrappermode": "yes"}),
    "no-authority": Case("good", {**MAY, "smtp_tls_CAfile": "/nowhere.pem"}),
    "no-authority-must": Case("good", {**MUST, "smtp_tls_CAfile": "/nowhere.pem"}),
    "bad-grade": Case("good", {**MAY, "smtp_tls_ciphers": "strange"}),
    "broken-map": Case("good", {**MAY, "smtp_tls_policy_maps": "fail:maps"}),
    "p-level": Case("good", policy("strange")),
    "p-attribute": Case("good", policy("may foo=bar")),
    "p-secure": Case("good", policy("secure match=mx.example.org:mx.example.test")),
    "p-match": Case("good", policy("encrypt match=x")),
    "p-anchor": Case("good", policy("verify match=mx.example.test tafile=AUTHORITY")),
    "p-anchor-other": Case("good", policy("secure match=mx.example.test tafile=OTHER")),
    "p-anchor-two": Case("good", policy("secure match=.example.test tafile=OTHER "
                                        "tafile=AUTHORITY")),
    "p-anchor-instead": Case("good", {**policy("verify match=mx.example.test tafile=AUTHORITY"),
                                      "smtp_tls_trust_anchor_file": "OTHER"}),
    "p-anchor-level": Case("good", policy("encrypt tafile=AUTHORITY")),
    "p-anchor-missing": Case("good", policy("verify tafile=/nowhere/anchor.pem")),
    "p-anchor-name": Case("good", policy("verify match=mx.example.org tafile=AUTHORITY")),
    "p-ignored": Case("good", policy("none match=x")),
    "p-protocols": Case("good", policy("encrypt protocols=strange")),
    "p-ciphers": Case("good", policy("encrypt ciphers=strange")),
    "p-fingerprint": Case("good", policy("fingerprint match=KEYPRINT|FINGERPRINT")),
    "p-pair": Case("good", policy("encrypt foo")),
    "p-empty": Case("good", policy("encrypt match=")),
    "p-old": Case("good", policy("encrypt protocols=TLSv1.2 ciphers=high exclude=AESGCM")),
    "p-none": Case("good", {**MUST, "smtp_tls_policy_maps": "inline:{{PLACE=none}}"}),
    "site-must": Case("good", {"smtp_tls_per_site": "inline:{{PLACE=MUST_NOPEERMATCH}}"}),
    "site-none": Case("good", {**MUST, "smtp_tls_per_site": "inline:{{PLACE=NONE}}"}),
}


class Run:
    """All cases at once: a transport, a server and a recipient for each."""

    def __init__(self, certificates):
        self.servers = {name: TlsServer(certificates, case.server, case.certificate)
                        for name, case in CASES.items()}
        words = {"AUTHORITY": str(certificates.authority),
                 "OTHER": str(certificates.folder / "own.example.test.pem"),
                 "FINGERPRINT": certificates.fingerprint(
                     certificates.folder / "mx.example.test.pem"),
                 "KEYPRINT": certificates.key_fingerprint(
                     certificates.folder / "mx.example.test.pem").lower()}
        lines = []
        for name, case in CASES.items():
            lines.append(f"t-{name} unix - - n - - smtp\n")
            for key, value in case.options.items():
                value = str(value).replace("PLACE", self.place(name))
                for word, meaning in words.items():
                    value = value.replace(word, meaning)
                lines.append(f"  -o {{ {key} = {value} }}\n")
        self.master = "".join(lines)
        self.parameters = {
            "compatibility_level": "3.6", "myhostname": "client.example.test",
            "mynetworks": "127.0.0.0/8", "mydestination": "", "disable_dns_lookups": "yes",
            "smtp_host_lookup": "native", "smtp_tls_loglevel": "1", "minimal_backoff_time": "1000s",
            "smtpd_peername_lookup": "no", "relay_transport": "smtp", "default_transport": "smtp",
            "transport_maps": "inline:{ " + ", ".join(
                f"{{ {name}.example = t-{name}:{self.place(name)} }}" for name in CASES) + " }"}

    def place(self, name):
        return f"[127.0.0.1]:{self.servers[name].port}"

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
            text = re.sub(r"delay=.*, dsn", "dsn", text)
            for name in CASES:
                port = str(self.servers[name].port)
                if f"u@{name}.example>" in text or re.search(rf"\b{port}\b", text):
                    lines[name].append(text.replace(port, "PORT"))
        return lines

    def close(self):
        for server in self.servers.values():
            server.close()


@pytest.fixture(scope="module")
def results(certificates):
    collected = []
    for kind in (reference.Reference, Instance):
        run = Run(certificates)
        if kind is Instance:
            server = Instance(master_cf=MASTER_CF + run.master, **run.parameters)
        else:
            server = reference.Reference(services="smtp unix - - n - - smtp\n" + run.master,
                                         **run.parameters)
        with server:
            run.play(server)
            collected.append((run.lines(server), server.log(),
                              {name: [secure for secure, _ in each.messages]
                               for name, each in run.servers.items()}))
        run.close()
    return collected


# A warning about a table names what failed in Postfix's words and in ours.
UNLIKE = re.compile(r"warning: .*(lookup error|is unavailable)")


@pytest.mark.parametrize("name", list(CASES))
def test_outcome_and_log_lines_are_postfix_s(results, name):
    (postfix_lines, _, postfix_sent), (our_lines, _, our_sent) = results
    assert our_sent[name] == postfix_sent[name]
    assert "good" != CASES[name].server or our_sent[name] or "deferred" in str(our_lines[name])
    told = [[line for line in lines[name] if not UNLIKE.match(line)]
            for lines in (postfix_lines, our_lines)]
    assert told[1] == told[0]


def test_offer_is_noted_where_tls_is_off(results):
    for _, log, _ in results:
        assert len(re.findall(r"smtp\[\d+\]: Host offered STARTTLS: \[127\.0\.0\.1\]", log)) == 1


# ---- what must hold ----

def relay_to(server, **parameters):
    return Instance(**{"relayhost": f"[127.0.0.1]:{server.port}", "smtp_tls_loglevel": "1",
                       "smtpd_peername_lookup": "no", "compatibility_level": "3.6", **parameters})


def send(relay, text=None, count=1):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=PATIENCE) as client:
        for _ in range(count):
            client.sendmail("a@example.com", ["u@example.com"], text or message())


@pytest.mark.parametrize("level", ["may", "encrypt"])
def test_plaintext_behind_the_reply_is_an_attack(certificates, level):
    with TlsServer(certificates, "injects") as server, \
            relay_to(server, smtp_tls_security_level=level, minimal_backoff_time="0s",
                     maximal_backoff_time="600s") as relay:
        send(relay)
        relay.wait_log(r"dsn=4\.7\.5, status=deferred \(host 127\.0\.0\.1\[127\.0\.0\.1\] sent "
                       r"plaintext behind its reply to STARTTLS\)")
        assert server.messages == [] and server.sessions == []


@pytest.mark.parametrize("level, is_sent", [("may", True), ("encrypt", False)])
@pytest.mark.parametrize("manner", ["garbage", "closes"])
def test_only_level_may_goes_in_clear_and_only_after_a_while(certificates, level, is_sent, manner):
    with TlsServer(certificates, manner) as server, \
            relay_to(server, smtp_tls_security_level=level, minimal_backoff_time="2s",
                     maximal_backoff_time="3s", queue_run_delay="2s") as relay:
        send(relay)
        relay.wait_log(r"status=deferred \(Cannot start TLS: handshake failure\)")
        assert server.messages == []
        if is_sent:
            relay.wait_log("status=sent")
            assert [secure for secure, _ in server.messages] == [False]
            assert server.connections >= 3
        else:
            relay.wait_log("status=deferred", 2)
            assert server.messages == []


def test_handshake_that_does_not_end_is_given_up(certificates):
    with TlsServer(certificates, "silent") as server, \
            relay_to(server, smtp_tls_security_level="encrypt", smtp_starttls_timeout="1s") as relay:
        send(relay)
        relay.wait_log(r"SSL_connect error to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: Connection timed out")
        relay.wait_log(r"status=deferred \(Cannot start TLS: handshake failure\)")


def test_what_was_offered_in_clear_is_forgotten(certificates):
    """SIZE 10 before STARTTLS, none behind it."""
    with TlsServer(certificates, "late") as server, \
            relay_to(server, smtp_tls_security_level="may") as relay:
        send(relay)
        relay.wait_log("status=sent")


def test_session_is_resumed_only_where_there_is_a_cache(certificates):
    for database, expected in (("", [False, False]), ("btree:/any", [False, True])):
        with TlsServer(certificates) as server, \
                relay_to(server, smtp_tls_security_level="may", waypost_smtp_workers="1",
                         smtp_tls_session_cache_database=database) as relay:
            for count in (1, 2):
                send(relay)
                relay.wait_log("status=sent", count)
                time.sleep(0.2)
            assert [reused for reused, _, _ in server.sessions] == expected


@pytest.mark.parametrize("reuse, connections", [("yes", 1), ("no", 4)])
def test_connection_with_tls_is_used_again_where_that_is_wanted(certificates, reuse, connections):
    with TlsServer(certificates) as server, \
            relay_to(server, smtp_tls_security_level="may", smtp_tls_connection_reuse=reuse,
                     waypost_smtp_workers="1",
                     smtp_destination_concurrency_limit="1",
                     initial_destination_concurrency="1",
                     smtp_connection_cache_destinations="$relayhost") as relay:
        send(relay, count=4)
        relay.wait_log("status=sent", 4)
        assert server.connections == connections
        assert all(secure for secure, _ in server.messages)


def test_client_certificate_and_server_name_are_sent(certificates):
    def ask(context):
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificates.authority)

    with TlsServer(certificates, configure=ask) as server, relay_to(
            server, smtp_tls_security_level="may", smtp_tls_servername="mx.example.test",
            smtp_tls_cert_file=certificates.folder / "client.example.test.pem",
            smtp_tls_key_file=certificates.folder / "client.example.test.key") as relay:
        send(relay)
        relay.wait_log("status=sent")
        assert server.names == ["mx.example.test"]
        assert server.sessions[0][1] is not None


def test_mail_that_needs_no_protection_goes_without(certificates):
    with TlsServer(certificates, "none") as server, \
            relay_to(server, smtp_tls_security_level="encrypt",
                     smtp_tls_policy_maps="static:secure") as relay:
        send(relay)
        relay.wait_log(r"TLS is required, but was not offered")
        send(relay, "TLS-Required: No\n" + message())
        relay.wait_log("status=sent")
        assert len(server.messages) == 1 and b"TLS-Required" in server.messages[0][1]


def test_policy_of_a_parent_domain_counts_but_not_for_what_has_brackets(certificates):
    with TlsServer(certificates, "none") as server, \
            relay_to(server, relayhost="", smtp_tls_security_level="none",
                     disable_dns_lookups="yes", smtp_host_lookup="native",
                     smtp_tcp_port=server.port, transport_maps="inline:{"
                     "{plain.example=smtp:localhost}, {sub.example=smtp:a.localhost}, "
                     "{bracket.example=smtp:[localhost]}}",
                     smtp_tls_policy_maps="inline:{{.localhost=encrypt}, {localhost=encrypt}}"
                     ) as relay:
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=PATIENCE) as client:
            client.sendmail("a@example.com", ["u@plain.example", "u@bracket.example"], message())
        relay.wait_log(r"to=<u@plain\.example>, .*TLS is required, but was not offered")
        relay.wait_log(r"to=<u@bracket\.example>, .*status=sent")


def test_debian_s_postfix_takes_mail_through_tls(certificates):
    with reference.Reference(
            compatibility_level="3.6", mynetworks="127.0.0.0/8",
            smtpd_tls_security_level="encrypt", smtpd_tls_loglevel="1",
            smtpd_tls_cert_file=certificates.folder / "mx.example.test.pem",
            smtpd_tls_key_file=certificates.folder / "mx.example.test.key") as postfix, \
            relay_to(postfix, smtp_tls_security_level="verify",
                     smtp_tls_CAfile=certificates.authority,
                     smtp_tls_verify_cert_match="mx.example.test") as relay:
        send(relay)
        relay.wait_log(r"Verified TLS connection established to .*: TLSv1\.3 with cipher")
        relay.wait_log(r"status=sent \(250 2\.0\.0 Ok: queued as")
