# SPDX-License-Identifier: Apache-2.0
"""Logging in to servers: Debian's Postfix with Dovecot behind it, and servers that refuse."""
import os
import pathlib
import re
import tempfile
import time

import pytest

import reference
from dovecot import Dovecot
from scripted import CLOSE, Servers
from world import MASTER_CF, Instance, NameServer, message

OFFER = "250-x.example\r\n250-AUTH {}\r\n250 PIPELINING"
SECRETS = ["pa:ss", "cGE6c3M", "AHVzcgBwYTpzcw==", "geheim", "Z2VoZWlt"]


def send(relay, *recipients, sender="sender@example.test"):
    with relay.connect() as client:
        assert client.command("EHLO client.example.test")[0] == 250
        code, text = client.deliver(sender, recipients, message())
        assert code == 250, text


def refused(relay, recipient, dsn, text, status="deferred"):
    relay.wait_log(rf"to=<{re.escape(recipient)}>, relay=\S+, .*dsn={re.escape(dsn)}, "
                   rf"status={status} \({re.escape(text)}")


# What Debian's Postfix 3.7 says to the same servers.
REFUSALS = [
    (dict(ehlo=OFFER.format("PLAIN LOGIN"), auth="535 5.7.8 bad creds"), "4.7.8",
     "SASL authentication failed; server {0}[{1}] said: 535 5.7.8 bad creds"),
    (dict(ehlo=OFFER.format("PLAIN LOGIN"), auth="454 4.7.0 temp"), "4.7.0",
     "SASL authentication failed; server {0}[{1}] said: 454 4.7.0 temp"),
    (dict(ehlo=OFFER.format("GSSAPI XFOO"), auth="235 2.7.0 ok"), "4.7.0",
     "SASL authentication failed; cannot authenticate to server {0}[{1}]: no mechanism available"),
    (dict(ehlo=OFFER.format("LOGIN"), auth="334 VXNlcm5hbWU6", line="535 no"), "4.0.0",
     "SASL authentication failed; server {0}[{1}] said: 535 no"),
    (dict(ehlo=OFFER.format("PLAIN"), auth="334 !!!notbase64"), "4.7.0",
     "SASL authentication failed; cannot authenticate to server {0}[{1}]: bad protocol / cancel"),
    (dict(ehlo=OFFER.format("PLAIN"), auth="421 4.7.0 go away"), "4.7.0",
     "SASL authentication failed; server {0}[{1}] said: 421 4.7.0 go away"),
    (dict(ehlo=OFFER.format("PLAIN"), auth=CLOSE), "4.4.2",
     "lost connection with {0}[{1}] while performing the EHLO handshake"),
    (dict(ehlo=OFFER.format("")), "4.7.0",
     "SASL authentication failed: server {0}[{1}] offered no compatible authentication mechanisms "
     "for this type of connection security"),
    (dict(ehlo=OFFER.format("SCRAM-SHA-256"), auth="235 2.7.0 trust me"), "4.7.0",
     "SASL authentication failed; cannot authenticate to server {0}[{1}]: bad protocol / cancel"),
]


def test_refusals_are_soft_and_say_why():
    scripts = {f"127.0.2.{i + 1}": script for i, (script, _, _) in enumerate(REFUSALS)}
    zone = {(f"c{i}.example", "A"): [address] for i, address in enumerate(scripts)}
    with Servers(scripts) as servers, NameServer(zone) as names, \
            Instance(dns_servers=f"127.0.0.1:{names.port}", smtp_tcp_port=servers.port,
                     smtp_sasl_auth_enable="yes", smtp_sasl_security_options="noanonymous",
                     debug_peer_list="127.0.2.0/24",
                     smtp_sasl_password_maps="static:usr:pa:ss") as relay:
        send(relay, *[f"u@c{i}.example" for i in range(len(scripts))], sender="")
        for i, (address, (_, dsn, text)) in enumerate(zip(scripts, REFUSALS)):
            refused(relay, f"u@c{i}.example", dsn, text.format(f"c{i}.example", address))
        assert servers["127.0.2.1"].commands[1] == "AUTH PLAIN AHVzcgBwYTpzcw=="
        relay.wait_log(r"> c0\.example\[127\.0\.2\.1\]:\d+: AUTH PLAIN \[login data\]")
        for secret in SECRETS:
            assert secret not in relay.log()


HARD = """\
hard unix - - n - - smtp
    -o smtp_sasl_auth_soft_bounce=no
plain_forbidden unix - - n - - smtp
    -o smtp_sasl_security_options=noplaintext
filtered unix - - n - - smtp
    -o smtp_sasl_mechanism_filter=!plain,static:all
"""


def test_options_decide_about_mechanisms_and_refusals():
    scripts = {"127.0.2.1": dict(ehlo=OFFER.format("PLAIN LOGIN"), auth="535 5.7.8 bad creds"),
               "127.0.2.2": dict(ehlo=OFFER.format("PLAIN LOGIN"), auth="235 2.7.0 ok"),
               "127.0.2.3": dict(ehlo=OFFER.format("PLAIN LOGIN"), auth="334 VXNlcm5hbWU6",
                                 line="235 2.7.0 ok"),
               "127.0.2.4": dict(ehlo="250 x")}
    with Servers(scripts) as servers:
        hosts = {n: f"[127.0.2.{n}]:{servers.port}" for n in range(1, 5)}
        logins = ", ".join(f"{{{host} = usr:pa:ss}}" for host in hosts.values())
        with Instance(master_cf=MASTER_CF + HARD, smtp_sasl_auth_enable="yes",
                      smtp_sasl_security_options="noanonymous",
                      smtp_sasl_password_maps=f"inline:{{{logins}}}",
                      default_transport=f"hard:{hosts[1]}", relay_domains="r.example",
                      relay_transport=f"plain_forbidden:{hosts[2]}",
                      virtual_mailbox_domains="v.example", smtpd_reject_unlisted_recipient="no",
                      virtual_transport=f"filtered:{hosts[3]}", mydestination="l.example",
                      local_transport=f"smtp:{hosts[4]}") as relay:
            send(relay, "u@d.example", "u@r.example", "u@v.example", "u@l.example", sender="")
            refused(relay, "u@d.example", "5.7.8", "SASL authentication failed; server 127.0.2.1"
                    "[127.0.2.1] said: 535 5.7.8 bad creds", "bounced")
            refused(relay, "u@r.example", "4.7.0", "SASL authentication failed; cannot "
                    "authenticate to server 127.0.2.2[127.0.2.2]: no mechanism available")
            relay.wait_log(r"to=<u@v\.example>, .*status=sent")
            relay.wait_log(r"to=<u@l\.example>, .*status=sent")  # no AUTH offered: none made
            assert servers["127.0.2.3"].commands[1] == "AUTH LOGIN"


def test_login_is_looked_up_by_sender_then_server_then_next_hop():
    scripts = {"127.0.2.1": dict(ehlo=OFFER.format("PLAIN"), auth="235 2.7.0 ok")}
    with Servers(scripts) as servers:
        host = f"[127.0.2.1]:{servers.port}"
        logins = (f"{{a@example.test = sender:1}}, {{@other.test = domain:2}}, "
                  f"{{127.0.2.1 = server:3}}, {{{host} = hop:4}}")
        with Instance(smtp_sasl_auth_enable="yes", smtp_sasl_security_options="",
                      smtp_sender_dependent_authentication="yes", recipient_delimiter="+",
                      smtp_sasl_password_maps=f"inline:{{{logins}}}",
                      default_transport=f"smtp:{host}") as relay:
            users = {"a@example.test": "AHNlbmRlcgAx", "a+tag@example.test": "AHNlbmRlcgAx",
                     "b@other.test": "AGRvbWFpbgAy", "c@example.test": "AHNlcnZlcgAz",
                     "": "AHNlcnZlcgAz"}
            for count, (sender, response) in enumerate(users.items(), 1):
                send(relay, "u@d.example", sender=sender)
                relay.wait_log("status=sent", count)
                assert [each for each in servers["127.0.2.1"].commands
                        if each.startswith("AUTH")][-1] == f"AUTH PLAIN {response}"


@pytest.mark.skipif(os.geteuid() != 0 or not reference.is_installed(),
                    reason="needs root and Debian's postfix")
def test_every_mechanism_with_postfix_and_dovecot(service):
    _, server = service
    host = f"[127.0.0.1]:{server.port}"
    services = "".join(f"{name} unix - - n - - smtp -o smtp_sasl_mechanism_filter={name}\n"
                       for name in ("login", "cram-md5", "scram-sha-1"))
    with Instance(master_cf=MASTER_CF + services, smtp_sasl_auth_enable="yes",
                  smtp_sasl_security_options="noanonymous",
                  smtp_sasl_password_maps=f"inline:{{{{{host} = anna@example.test:geheim}}}}",
                  default_transport=f"smtp:{host}", relay_domains="r.example",
                  relay_transport=f"login:{host}", virtual_mailbox_domains="v.example",
                  smtpd_reject_unlisted_recipient="no",
                  virtual_transport=f"cram-md5:{host}", mydestination="l.example",
                  local_transport=f"scram-sha-1:{host}") as relay:
        send(relay, "u@d.example", "u@r.example", "u@v.example", "u@l.example")
        relay.wait_log(r"to=<u@[drvl]\.example>, .*status=sent", 4)
        methods = re.findall(r"sasl_method=(\S+), sasl_username=anna@example\.test", server.log())
        assert sorted(methods) == ["CRAM-MD5", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256"]


@pytest.fixture
def service():
    with tempfile.TemporaryDirectory(prefix="auth-") as name:
        os.chmod(name, 0o755)
        path = pathlib.Path(name) / "auth"
        with Dovecot(path, {"anna@example.test": "geheim"}) as dovecot:
            os.chmod(path, 0o666)
            with reference.Reference(
                    smtpd_sasl_auth_enable="yes", smtpd_sasl_type="dovecot", smtpd_sasl_path=path,
                    smtpd_sasl_security_options="noanonymous", mynetworks="192.0.2.0/24",
                    smtpd_recipient_restrictions="permit_sasl_authenticated, reject",
                    smtpd_relay_restrictions="permit_sasl_authenticated, reject",
                    smtpd_peername_lookup="no") as server:
                yield dovecot, server


CACHE = "proxy:btree:$data_directory/sasl_auth_cache"


def asked_logins(server):
    return [each for each in server.commands if each.startswith("AUTH")]


def caching(port, **parameters):
    return Instance(**{
        "smtp_sasl_auth_enable": "yes", "smtp_sasl_security_options": "noanonymous",
        "smtp_sasl_password_maps": "static:usr:pa:ss", "smtp_sasl_auth_cache_name": CACHE,
        "default_transport": f"smtp:[127.0.2.1]:{port}",
        "minimal_backoff_time": "1000s", "maximal_backoff_time": "1000s", **parameters})


def test_a_refused_login_is_not_repeated_with_the_same_password():
    script = dict(ehlo=OFFER.format("PLAIN LOGIN"), auth="535 5.7.8 bad creds")
    with Servers({"127.0.2.1": script}) as servers:
        server, relay = servers["127.0.2.1"], caching(servers.port)
        cached = "SASL [CACHED] authentication failed; server 127.0.2.1 said: 535 5.7.8 bad creds"
        asked = "SASL authentication failed; server 127.0.2.1[127.0.2.1] said: 535 5.7.8 bad creds"
        with relay:
            send(relay, "one@d.example", sender="")
            refused(relay, "one@d.example", "4.7.8", asked)
            send(relay, "two@d.example", sender="")
            refused(relay, "two@d.example", "4.7.8", cached)
            relay.stop()
            kept = (relay.folder / "data" / "sasl_auth_cache.lmdb").read_bytes()
            assert b"535 5.7.8 bad creds" in kept and b"pa:ss" not in kept
            relay.start()
            send(relay, "three@d.example", sender="")
            refused(relay, "three@d.example", "4.7.8", cached)
            assert len(asked_logins(server)) == 1

            relay.parameters["smtp_sasl_password_maps"] = "static:usr:other"
            relay.write()
            relay.stop()
            relay.start()
            send(relay, "four@d.example", sender="")
            refused(relay, "four@d.example", "4.7.8", asked)
            assert len(asked_logins(server)) == 2


def test_a_refused_login_is_tried_again_when_its_time_is_over():
    script = dict(ehlo=OFFER.format("PLAIN"), auth=["535 5.7.8 bad", "235 2.7.0 ok"])
    with Servers({"127.0.2.1": script}) as servers, \
            caching(servers.port, smtp_sasl_auth_cache_time="2s") as relay:
        send(relay, "one@d.example", sender="")
        refused(relay, "one@d.example", "4.7.8", "SASL authentication failed")
        time.sleep(3.5)  # the cache counts whole seconds
        send(relay, "two@d.example", sender="")
        relay.wait_log(r"to=<two@d\.example>, .*status=sent")


def test_only_535_is_remembered_and_hard_bounces_stay_hard():
    services = "hard unix - - n - - smtp -o smtp_sasl_auth_soft_bounce=no\n"
    busy = dict(ehlo=OFFER.format("PLAIN"), auth="534 5.7.9 weak")
    bad = dict(ehlo=OFFER.format("PLAIN"), auth="535 no")
    with Servers({"127.0.2.1": busy, "127.0.2.2": bad}) as servers, \
            caching(servers.port, master_cf=MASTER_CF + services, relay_domains="r.example",
                    relay_transport=f"hard:[127.0.2.2]:{servers.port}") as relay:
        for count in (1, 2):
            send(relay, f"u{count}@d.example", f"u{count}@r.example", sender="")
            refused(relay, f"u{count}@d.example", "4.7.9", "SASL authentication failed; server")
            refused(relay, f"u{count}@r.example", "5.0.0",
                    "SASL authentication failed" if count == 1 else
                    "SASL [CACHED] authentication failed; server 127.0.2.2 said: 535 no", "bounced")
        assert len(asked_logins(servers["127.0.2.1"])) == 2
        assert len(asked_logins(servers["127.0.2.2"])) == 1


@pytest.mark.parametrize("parameters, reason", [
    (dict(smtp_sasl_auth_cache_name="btree:$data_directory/c"), 'must start with "proxy:"'),
    (dict(proxy_write_maps=""), "proxywrite service is not configured for table")])
def test_a_cache_that_postfix_would_not_take_stops_the_service(parameters, reason):
    with Servers({"127.0.2.1": {}}) as servers, caching(servers.port, **parameters) as relay:
        send(relay, "one@d.example", sender="")
        relay.wait_log(r"dsn=4\.3\.0, status=deferred \(mail transport unavailable\)")
        relay.wait_log(reason)
        assert servers["127.0.2.1"].connections == 0


def test_an_authorization_id_is_sent_where_that_is_wanted():
    script = dict(ehlo=OFFER.format("PLAIN"), auth="235 2.7.0 ok")
    with Servers({"127.0.2.1": script}) as servers, \
            caching(servers.port, send_cyrus_sasl_authzid="yes") as relay:
        send(relay, "one@d.example", sender="")
        relay.wait_log("status=sent")
        assert asked_logins(servers["127.0.2.1"]) == ["AUTH PLAIN dXNyAHVzcgBwYTpzcw=="]
