# SPDX-License-Identifier: Apache-2.0
"""Logins by Cyrus SASL with a real sasldb: what Debian's Postfix says to them, and what the role that
has the library may do."""
import base64
import contextlib
import hashlib
import hmac
import os
import pathlib
import re
import shutil
import signal
import smtplib

import pytest

import reference
from cyrus import Cyrus, Saslauthd, is_installed
from world import IS_SANITIZED, MASTER_CF, Instance, free_port, wait_until

pytestmark = pytest.mark.skipif(not is_installed() or not reference.is_installed() or
                                os.geteuid() != 0, reason="needs sasl2-bin, postfix, root")

USERS = {"joe": "secret words", "ann": "other"}
REALM = "relay.example.test"
SERVICES = {
    "plain": {},
    "careful": {"smtpd_sasl_security_options": "noanonymous, noplaintext"},
    "mutual": {"smtpd_sasl_security_options": "mutual_auth"},
    "filter": {"smtpd_sasl_mechanism_filter": "!plain, static:all"},
    "exceptions": {"smtpd_sasl_exceptions_networks": "127.0.0.0/8"},
    "realm": {"smtpd_sasl_local_domain": "nowhere.example"},
    "off": {"smtpd_sasl_auth_enable": "no"},
}


def b64(text):
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def plain(user, password, authorisation=""):
    return "AUTH PLAIN " + b64(f"{authorisation}\0{user}\0{password}")


@pytest.fixture(scope="module")
def cyrus():
    made = Cyrus(USERS, REALM)
    yield made
    made.remove()


def common(cyrus):
    return {"compatibility_level": "3.6", "myhostname": REALM, "smtpd_sasl_auth_enable": "yes",
            "smtpd_peername_lookup": "no",
            "mynetworks": "192.0.2.0/24", "smtpd_tls_security_level": "none",
            "smtpd_forbid_bare_newline": "normalize",
            "smtpd_relay_restrictions": "permit_sasl_authenticated, reject_unauth_destination",
            "smtpd_recipient_restrictions": "", "smtpd_error_sleep_time": "0",
            "smtpd_sender_login_maps": "inline:{joe@example.test=joe@relay.example.test}"}


@contextlib.contextmanager
def both(settings, services, folder):
    """Postfix and Waypost with the SASL configuration of the folder; a port for each service."""
    def listeners():
        ports = {name: free_port() for name in services}
        lines = []
        for name, port in ports.items():
            lines.append(f"127.0.0.1:{port} inet n - n - - smtpd\n")
            lines += [f"  -o {{ {key} = {value} }}\n" for key, value in services[name].items()]
        return ports, "".join(lines)

    (ports, lines), (our_ports, our_lines) = listeners(), listeners()
    postfix = reference.Reference(services=lines, **settings)
    relay = Instance(master_cf=MASTER_CF + our_lines, **settings)
    for each in (postfix, relay):  # Debian's Postfix looks here, whatever the parameter says
        (each.config / "sasl").mkdir()
        shutil.copy(folder / "smtpd.conf", each.config / "sasl")
    with postfix, relay:
        postfix.ports, relay.ports = ports, our_ports
        yield postfix, relay


@pytest.fixture(scope="module")
def pair(cyrus):
    with both(common(cyrus), SERVICES, cyrus.folder) as made:
        yield made


def talk(server, service, *lines):
    """Replies; what a login is asked (a challenge with a nonce) only by its code."""
    said = []
    client = smtplib.SMTP("127.0.0.1", server.ports[service], timeout=30)
    code, text = client.ehlo("client.example")
    said.append(sorted(line for line in text.decode().split("\n") if line.startswith("AUTH")))
    for line in lines:
        code, text = client.docmd(line)
        said.append((code, "" if code == 334 and len(text) > 20 else text.decode()))
        if code in (421, 0):
            break
    client.close()
    return said


DIALOGUES = [
    [plain("joe", USERS["joe"]), "NOOP"],
    [plain("joe@relay.example.test", USERS["joe"]), "MAIL FROM:<x@y.example>",
     "RCPT TO:<z@elsewhere.example>"],
    ["AUTH PLAIN", b64(f"\0ann\0{USERS['ann']}"), plain("joe", USERS["joe"])],
    [plain("joe", "wrong"), plain("nobody", "wrong"), plain("", ""), plain("joe", "")],
    [plain("joe", USERS["joe"], "ann"), plain("joe", USERS["joe"], "joe")],
    ["AUTH LOGIN", b64("joe"), b64(USERS["joe"])],
    ["AUTH LOGIN " + b64("joe"), b64(USERS["joe"])],
    ["AUTH LOGIN", b64("joe"), b64("wrong")],
    ["AUTH LOGIN", "*"],
    ["AUTH LOGIN", "no base64!"],
    ["AUTH PLAIN " + b64("no nul"), "AUTH PLAIN " + b64("\0\0\0\0\0")],
    ["AUTH CRAM-MD5", "*"],
    ["AUTH CRAM-MD5", b64("joe 00112233445566778899aabbccddeeff")],
    ["AUTH NOSUCH", "AUTH", "AUTH PLAIN a b"],
    ["auth plain " + b64(f"\0joe\0{USERS['joe']}")],
    [plain("joe", "x" * 1000)],
    ["MAIL FROM:<a@b.example>", plain("joe", USERS["joe"])],
    ["AUTH DIGEST-MD5", "*"],
    ["AUTH SCRAM-SHA-256 " + b64("n,,n=nobody,r=abcdef"), "*"],
]


# Postfix filters what it announces; here what was filtered out cannot be used either.
@pytest.mark.parametrize("service", [each for each in SERVICES if each != "filter"])
def test_dialogues_are_those_of_postfix(pair, service):
    for lines in DIALOGUES:
        theirs, ours = (talk(server, service, *lines) for server in pair)
        assert [set(each.split()) if isinstance(each, str) else each for each in ours[0]] == \
            [set(each.split()) if isinstance(each, str) else each for each in theirs[0]]
        assert ours[1:] == theirs[1:], lines


def test_warnings_in_the_log_are_those_of_postfix(pair):
    def lines(server):
        # The library is not asked for what was not offered; a mechanism is named in capitals.
        return {re.sub(r".*/smtpd\[\d+\]: ", "", line).replace("SASL plain", "SASL PLAIN")
                for line in server.log().splitlines()
                if re.search(r"/smtpd\[\d+\]: warning: .*SASL .*authentication", line)
                and "Couldn't find mech" not in line}
    assert lines(pair[0])
    wait_until(lambda: lines(pair[1]) == lines(pair[0]), "the same lines")


def test_cram_md5_logs_in(pair):
    for server in pair:
        client = smtplib.SMTP("127.0.0.1", server.ports["plain"], timeout=30)
        client.ehlo("x")
        client.user, client.password = "joe", USERS["joe"]
        _, challenge = client.docmd("AUTH", "CRAM-MD5")
        digest = hmac.new(USERS["joe"].encode(), base64.b64decode(challenge), hashlib.md5)
        assert client.docmd(b64(f"joe {digest.hexdigest()}"))[0] == 235
        client.close()


@pytest.fixture(scope="module")
def relay(cyrus):
    with Instance(**common(cyrus), cyrus_sasl_config_path=cyrus.folder) as instance:
        yield instance


def greeted(relay):
    client = smtplib.SMTP("127.0.0.1", relay.port, timeout=30)
    client.ehlo("x")
    return client


def test_the_role_is_confined(relay):
    [pid] = relay.role_pids()["sasl"]
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    # Sanitizers do not bear a filter.
    assert f"Seccomp:\t{0 if IS_SANITIZED else 2}" in status and "NoNewPrivs:\t1" in status
    assert not re.search(r"^Uid:\t0", status, re.M)
    assert re.search(r"^CapEff:\t0+$", status, re.M)
    for other in relay.role_pids()["smtpd"]:
        assert "libsasl2" not in pathlib.Path(f"/proc/{other}/maps").read_text()


def test_a_new_user_can_log_in_at_once(relay, cyrus):
    Cyrus.__init__(fresh := Cyrus.__new__(Cyrus), {"new": "pass"}, REALM)
    cyrus.base.write_bytes(fresh.base.read_bytes())
    fresh.remove()
    client = greeted(relay)
    assert client.docmd(plain("new", "pass"))[0] == 235
    client.close()


def test_when_the_role_dies_a_login_waits_for_its_successor(relay):
    [pid] = relay.role_pids()["sasl"]
    client = greeted(relay)
    os.kill(pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    assert client.docmd(plain("new", "pass"))[0] == 235
    client.close()


def test_a_login_that_the_dead_role_had_begun_is_to_be_tried_again(relay):
    wait_until(lambda: relay.role_pids().get("sasl"), "the role")
    client = greeted(relay)
    assert client.docmd("AUTH LOGIN")[0] == 334
    os.kill(relay.role_pids()["sasl"][0], signal.SIGKILL)
    assert client.docmd(b64("new"))[0] == 454
    assert client.docmd(plain("new", "pass"))[0] == 235
    client.close()


def test_reloads_disturb_no_login(relay):
    wait_until(lambda: relay.role_pids().get("sasl"), "the role")
    [before] = relay.role_pids()["sasl"]
    begun = greeted(relay)
    assert begun.docmd("AUTH LOGIN")[0] == 334
    for _ in range(5):
        relay.reload()
        for _ in range(5):
            client = greeted(relay)
            assert client.has_extn("auth") and client.docmd(plain("new", "pass"))[0] == 235
            client.close()
    wait_until(lambda: before not in relay.role_pids()["sasl"][-1:], "a successor")
    assert before in relay.role_pids()["sasl"], "it waits for the login that it has begun"
    assert begun.docmd(b64("new"))[0] == 334 and begun.docmd(b64("pass"))[0] == 235
    wait_until(lambda: before not in relay.role_pids()["sasl"], "its end")
    begun.close()


def test_the_role_is_there_only_where_it_is_wanted():
    with Instance() as instance:
        assert "sasl" not in instance.role_pids()


def test_saslauthd_is_asked_and_its_absence_is_no_wrong_password():
    daemon = Saslauthd(USERS)
    logins = [[plain("joe", USERS["joe"]), "NOOP"],
              ["AUTH LOGIN", b64("joe"), b64(USERS["joe"])],
              [plain("joe", "wrong"), plain("nobody", "wrong"), plain("joe", "")],
              ["AUTH LOGIN", b64("joe"), b64("wrong")]]
    try:
        daemon.start()
        with both(common(None), {"plain": {}}, daemon.folder) as servers:
            codes = []
            for is_there in (True, False, True):
                for lines in logins:
                    theirs, ours = (talk(server, "plain", *lines) for server in servers)
                    assert ours == theirs
                    codes.append(ours[-1][0])
                if is_there:
                    daemon.stop()
                else:
                    daemon.start()
            assert codes == [250, 235, 535, 535, 250, 454, 454, 454, 250, 235, 535, 535]
    finally:
        daemon.stop()
        daemon.remove()
