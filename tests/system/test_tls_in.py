# SPDX-License-Identifier: Apache-2.0
"""TLS with clients: what Debian's Postfix does with the same configuration, and what it must not
do. The clients are Python's ssl and openssl(1)."""
import os
import re
import signal
import socket
import subprocess
import ssl
import time

import pytest

import reference
from certificates import Certificates
from world import MASTER_CF, PATIENCE, Instance, Sink, free_port, message, wait_until

MAIN = {"compatibility_level": "3.6", "myhostname": "relay.example.test",
        "mynetworks": "127.0.0.0/8", "smtpd_peername_lookup": "no", "smtpd_tls_loglevel": "1",
        "smtpd_forbid_bare_newline": "normalize", "smtpd_forbid_unauth_pipelining": "no"}


@pytest.fixture(scope="module")
def certificates():
    made = Certificates()
    made.make("relay.example.test")
    made.make("other.example.test", kind=("ec", "-pkeyopt", "ec_paramgen_curve:P-256"))
    made.make("client.example.test")
    made.make("stranger.example.test", is_self_signed=True)
    return made


def server_files(certificates):
    return {"smtpd_tls_cert_file": certificates.folder / "relay.example.test.pem",
            "smtpd_tls_key_file": certificates.folder / "relay.example.test.key"}


def context(certificates, name=None, lowest=ssl.TLSVersion.TLSv1_2, highest=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(certificates.authority)
    made.check_hostname = False
    made.minimum_version = lowest
    if highest:
        made.maximum_version = highest
    if name:
        made.load_cert_chain(certificates.folder / f"{name}.pem", certificates.folder / f"{name}.key")
    return made


class Talk:
    """One connection; `said` is everything that the server answered."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.said = []

    def read(self):
        """A whole reply, or what went wrong instead of it."""
        text = b""
        try:
            while not re.search(rb"(?m)^\d{3} .*\r\n\Z", text):
                data = self.socket.recv(4096)
                if not data:
                    text += b"closed"
                    break
                text += data
        except (ConnectionError, ssl.SSLError):
            text += b"closed"
        lines = [line for line in text.decode("latin1").split("\r\n") if line]
        self.said.append(lines[-1] if lines[-1][:4] != "250 " else "250 " + lines[0][4:])
        return lines

    def say(self, text):
        try:
            self.socket.sendall(text if isinstance(text, bytes) else text.encode() + b"\r\n")
        except OSError:
            pass
        return self.read()

    def begin(self, with_context, **options):
        """The handshake; False where the server would not."""
        try:
            self.socket = with_context.wrap_socket(self.socket, **options)
        except (ssl.SSLError, ConnectionError) as error:
            self.said.append("refused")
            self.socket.close()
            return False
        return True

    def starttls(self, with_context, **options):
        self.read()
        self.say("EHLO client.example.test")
        return self.say("STARTTLS")[-1].startswith("220") and self.begin(with_context, **options)

    def close(self):
        self.socket.close()


# ---- beside Postfix ----

def clear(*lines):
    def play(port, _):
        talk = Talk(port)
        talk.read()
        for line in lines:
            talk.say(line)
        talk.close()
        return talk.said
    return play


def secret(*lines, options=None, **about):
    def play(port, certificates):
        talk = Talk(port)
        if talk.starttls(context(certificates, **about), **(options or {})):
            for line in lines:
                talk.say(line)
        talk.close()
        return talk.said
    return play


def wrapped(*lines):
    def play(port, certificates):
        talk = Talk(port)
        if talk.begin(context(certificates)):
            talk.read()
            for line in lines:
                talk.say(line)
        talk.close()
        return talk.said
    return play


WHOLE = ("EHLO again", "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.com>", "QUIT")
OLD = {"highest": ssl.TLSVersion.TLSv1_2}
TALKS = {
    "may": [secret(*WHOLE), secret(*WHOLE, **OLD), secret("MAIL FROM:<a@b>", "RSET", "QUIT"),
            secret("EHLO x", "STARTTLS", "STARTTLS x", "QUIT"), clear(*WHOLE),
            secret("EHLO x", "QUIT", options={"server_hostname": "nobody.example"}),
            clear("EHLO x", "STARTTLS x", "STARTTLS", "not a client hello"),
            clear("STARTTLS", "not a client hello either"), clear("EHLO x", "STARTTLS")],
    "encrypt": [clear("HELO x", "EHLO x", "MAIL FROM:<a@b>", "NOOP", "RSET", "FOO", "AUTH PLAIN",
                      "VRFY x", "DATA", "ETRN x", "", "QUIT"), secret(*WHOLE)],
    "asked": [secret(*WHOLE), secret(*WHOLE, name="client.example.test"),
              secret(*WHOLE, name="stranger.example.test"),
              secret(*WHOLE, name="client.example.test", **OLD)],
    "demanded": [secret("NOOP"), secret(*WHOLE, name="client.example.test"),
                 secret("NOOP", name="stranger.example.test")],
    "no key": [clear("EHLO x", "STARTTLS", "NOOP", "QUIT")],
    "no certificate": [clear("EHLO x", "STARTTLS", "NOOP", "QUIT")],
    "nothing": [clear("EHLO x", "STARTTLS", "NOOP", "QUIT")],
    "off": [clear("EHLO x", "STARTTLS", "NOOP", "QUIT")],
    "hidden": [clear("EHLO x", "STARTTLS", "NOOP", "QUIT")],
    "old names": [secret(*WHOLE)],
    "wrapper": [wrapped("EHLO x", "STARTTLS", "QUIT")],
    "bad protocols": [clear("EHLO x", "STARTTLS", "NOOP", "QUIT")],
    "only 1.2": [secret(*WHOLE, **OLD), secret(*WHOLE, lowest=ssl.TLSVersion.TLSv1_3)],
    "few ciphers": [secret(*WHOLE, **OLD)],
    "elliptic": [secret(*WHOLE), secret(*WHOLE, **OLD)],
    "chain": [secret(*WHOLE)],
    "strange level": [secret(*WHOLE), clear("MAIL FROM:<a@b>", "QUIT")],
    "names": [secret("NOOP", "QUIT", options={"server_hostname": name}, **about)
              for about in ({}, OLD)
              for name in ("other.example.test", "OTHER.example.test", "a.below.example", "below.example",
                           "x.y.below.example", "nobody.example", "bad_name.example", "broken.example",
                           "127.0.0.1")] + [secret("NOOP", "QUIT")],
    "names of all": [secret("NOOP", "QUIT", options={"server_hostname": "a.example"})],
    "names of none": [secret("NOOP", "QUIT", options={"server_hostname": "a.example"})],
    **{name: [clear("EHLO x", "MAIL FROM:<a@b>", "RCPT TO:<b@example.com>", "QUIT"),
              *[secret(*WHOLE, name=client) for client in (
                  None, "client.example.test", "stranger.example.test", "other.example.test")],
              secret(*WHOLE, name="client.example.test", **OLD)]
       for name in ("friends", "friends by key", "friends of md5", "all friends", "access", "access by key",
                    "access by both", "access refuses", "broken friends", "broken access",
                    "logged friends")},
}


def by_certificate(certificates, name):
    """Overrides of the listeners that look at client certificates."""
    def print_of(who, digest="sha256"):
        return certificates.fingerprint(certificates.folder / f"{who}.pem", digest)

    def key_of(who):
        return certificates.key_fingerprint(certificates.folder / f"{who}.pem")

    client, stranger = "client.example.test", "stranger.example.test"
    lists = {
        "friends": f"inline:{{ {print_of(client)}=x, {print_of(stranger).lower()}=y }}",
        "friends by key": f"inline:{{ {key_of(client)}=x }}",
        "friends of md5": f"inline:{{ {print_of(client, 'md5')}=x }}",
        "broken friends": "fail:x",
        "all friends": "",
    }
    checks = {
        "access": f"inline:{{ {print_of(client)}=OK, {print_of(stranger)}=REJECT }}",
        "access by key": f"{{ inline:{{{key_of(client)}=OK}}, {{ search_order = pubkey_fingerprint }} }}",
        "access by both": f"{{ inline:{{{print_of(client)}=DUNNO}} {{ search_order = cert_fingerprint "
                          f"pubkey_fingerprint }} }}",
        "access refuses": f"inline:{{ {{{print_of(client)}=554 5.7.9 not you}}, "
                          f"{print_of(stranger)}=DEFER }}",
        "broken access": "fail:y",
    }
    rule = "permit_tls_all_clientcerts" if name == "all friends" else "permit_tls_clientcerts" \
        if name in lists or name == "logged friends" else f"check_ccert_access {checks[name]}"
    found = {"smtpd_tls_security_level": "may", "smtpd_tls_ask_ccert": "yes",
             "smtpd_tls_CAfile": certificates.authority, **server_files(certificates),
             "smtpd_relay_restrictions": f"{rule}, reject_unauth_destination",
             "smtpd_recipient_restrictions": "",
             "relay_clientcerts": lists.get(name, lists["friends"])}
    if name == "friends of md5":
        found["smtpd_tls_fingerprint_digest"] = "md5"
    if name == "logged friends":
        found["smtpd_log_access_permit_actions"] = "permit_tls_clientcerts"
    return found


def settings(name, certificates):
    files = server_files(certificates)
    nowhere = certificates.folder / "nowhere.pem"
    chain = certificates.folder / "chain.pem"
    if name == "chain":
        chain.write_text("".join((certificates.folder / f"other.example.test.{kind}").read_text()
                                 for kind in ("key", "pem")))
    if "friends" in name or "access" in name:
        return by_certificate(certificates, name)
    if name.startswith("names"):
        other = certificates.folder / "names.pem"
        other.write_text("".join((certificates.folder / f"other.example.test.{kind}").read_text()
                                 for kind in ("key", "pem")))
        (certificates.folder / "broken.pem").write_text("nothing\n")
        maps = certificates.folder / "names"
        maps.write_text(f"other.example.test {other}\n.below.example {other}\n"
                        f"broken.example {certificates.folder}/broken.pem\n")
        return {"smtpd_tls_security_level": "may", **files, "tls_server_sni_maps": {
            "names": f"texthash:{maps}", "names of all": f"static:{other}",
            "names of none": "fail:x"}[name]}
    return {
        "may": {"smtpd_tls_security_level": "may", **files},
        "encrypt": {"smtpd_tls_security_level": "encrypt", **files},
        "asked": {"smtpd_tls_security_level": "may", "smtpd_tls_ask_ccert": "yes",
                  "smtpd_tls_CAfile": certificates.authority, **files},
        "demanded": {"smtpd_tls_security_level": "encrypt", "smtpd_tls_req_ccert": "yes",
                     "smtpd_tls_CAfile": certificates.authority, **files},
        "no key": {"smtpd_tls_security_level": "may", **files, "smtpd_tls_key_file": nowhere},
        "no certificate": {"smtpd_tls_security_level": "may", **files,
                           "smtpd_tls_cert_file": nowhere},
        "nothing": {"smtpd_tls_security_level": "may"},
        "off": {"smtpd_tls_security_level": "none", "smtpd_use_tls": "yes", **files},
        "hidden": {"smtpd_tls_security_level": "may", "smtpd_discard_ehlo_keywords": "starttls",
                   **files},
        "old names": {"smtpd_use_tls": "yes", "smtpd_tls_CApath": "/etc/pki/nowhere", **files},
        "wrapper": {"smtpd_tls_wrappermode": "yes", **files},
        "bad protocols": {"smtpd_tls_security_level": "may", "smtpd_tls_protocols": ">=TLSv9",
                          **files},
        "only 1.2": {"smtpd_tls_security_level": "may", "smtpd_tls_protocols": "TLSv1.2", **files},
        "few ciphers": {"smtpd_tls_security_level": "may", "smtpd_tls_ciphers": "high",
                        "smtpd_tls_exclude_ciphers": "AESGCM, CHACHA20 kEDH:ARIA256,AESCCM", **files},
        "elliptic": {"smtpd_tls_security_level": "may",
                     "smtpd_tls_eccert_file": certificates.folder / "other.example.test.pem",
                     "smtpd_tls_eckey_file": certificates.folder / "other.example.test.key"},
        "chain": {"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": chain},
        "strange level": {"smtpd_tls_security_level": "secure", **files},
    }[name]


INTERESTING = re.compile(r"TLS [a-zS]|reject|permit|relay_clientcerts|SSL_accept|certificate|lost connection|server certs|disconnect from")


def lines_of(log):
    """What smtpd logs of TLS, made comparable."""
    lines = []
    for line in log.splitlines():
        found = re.search(r"/smtpd\[\d+\]: (.*)", line)
        if found and INTERESTING.search(found[1]):
            lines.append(re.sub(r"127\.0\.0\.1:\d+", "PLACE", found[1]))
    return lines


# Each of our workers says when it starts what a process of Postfix says when it is first used.
AT_START = ("disabling TLS", "TLS library problem: error:8", "TLS library problem: error:1",
            "TLS library problem: error:0A08", "server certs", "unsupported TLS level")


@pytest.fixture(scope="module")
def pair(certificates):
    """One of each, with a listener for each of the settings."""
    def listeners():
        ports = {name: free_port() for name in TALKS}
        lines = []
        for name, port in ports.items():
            lines.append(f"127.0.0.1:{port} inet n - n - - smtpd\n")
            lines += [f"  -o {{ {key} = {value} }}\n"
                      for key, value in settings(name, certificates).items()]
        return ports, "".join(lines)

    ports, lines = listeners()
    our_ports, our_lines = listeners()
    with reference.Reference(services=lines, **MAIN) as postfix, \
            Instance(master_cf=MASTER_CF + our_lines, **MAIN) as relay:
        postfix.ports, relay.ports = ports, our_ports
        yield postfix, relay


@pytest.mark.parametrize("name", list(TALKS))
def test_replies_and_log_lines_are_postfix_s(pair, certificates, name):
    results = []
    for server in pair:
        before = len(server.log())
        said = [talk(server.ports[name], certificates) for talk in TALKS[name]]
        wait_until(lambda: server.log()[before:].count("disconnect from") >= len(said), "the log")
        results.append((said, [line for line in lines_of(server.log()[before:])
                               if not any(each in line for each in AT_START)]))
    assert results[1][0] == results[0][0]
    assert results[1][1] == results[0][1]


def test_what_does_not_work_is_told_as_postfix_tells_it(pair):
    told = [{line for line in lines_of(server.log()) if any(each in line for each in AT_START)}
            for server in pair]
    assert len(told[0]) > 5 and told[1] == told[0]


# ---- what must hold ----

@pytest.fixture(scope="module")
def sink():
    with Sink() as server:
        yield server


@pytest.fixture(scope="module")
def relay(certificates, sink):
    ports = {"submissions": free_port()}
    master = MASTER_CF + f"""
127.0.0.1:{ports['submissions']} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
"""
    with Instance(master_cf=master, **{
            **MAIN, "smtpd_tls_security_level": "may", "smtpd_tls_received_header": "yes",
            "smtpd_tls_ask_ccert": "yes", "smtpd_tls_CAfile": certificates.authority,
            "smtpd_starttls_timeout": "3s", "waypost_smtpd_workers": "3",
            "relayhost": f"[127.0.0.1]:{sink.port}", **server_files(certificates)}) as instance:
        instance.submissions = ports["submissions"]
        yield instance


def deliver(talk, text):
    for line in ("EHLO client.example.test", "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.com>",
                 "DATA"):
        talk.say(line)
    return talk.say(text.encode() + b".\r\n")


def test_message_comes_in_through_tls_and_its_header_says_so(relay, sink, certificates):
    before = len(sink.messages)
    talk = Talk(relay.port)
    talk.starttls(context(certificates, "client.example.test"))
    assert deliver(talk, message())[0].startswith("250 2.0.0 Ok: queued")
    text = sink.wait(before + 1)[-1].text
    assert re.search(r"\(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 \(256/256 bits\)\r\n\t "
                     r"key-exchange X25519 server-signature RSA-PSS \(2048 bits\) server-digest "
                     r"SHA256\r\n\t client-signature RSA-PSS \(2048 bits\) client-digest SHA256\)"
                     r"\r\n\t\(Client CN \"client.example.test\", Issuer \"Test Authority\" "
                     r"\(verified OK\)\)\r\n\tby relay.example.test \(Postfix\) with ESMTPS id",
                     text)


def test_large_message_arrives_whole(relay, sink, certificates):
    before = len(sink.messages)
    body = "".join(f"{number} {'x' * 60}\r\n" for number in range(60000))
    talk = Talk(relay.port)
    talk.starttls(context(certificates))
    assert deliver(talk, "Subject: large\r\n\r\n" + body)[0].startswith("250 2.0.0")
    assert sink.wait(before + 1)[-1].text.endswith("\r\n\r\n" + body)


@pytest.mark.parametrize("behind", [b"MAIL FROM:<a@example.com>\r\n", b"\r\n", b"\x16\x03\x01"])
def test_what_stands_behind_starttls_ends_the_connection(relay, behind):
    talk = Talk(relay.port)
    talk.read()
    talk.say("EHLO x")
    talk.say(b"STARTTLS\r\n" + behind)
    assert talk.said[-1].startswith(("554 5.5.0", "220"))
    talk.read()
    assert talk.said[-1] == "closed"


def test_starttls_within_a_transaction_is_refused(relay):
    talk = Talk(relay.port)
    talk.read()
    for line in ("EHLO x", "MAIL FROM:<a@example.com>", "STARTTLS"):
        talk.say(line)
    assert talk.said[-1] == "503 5.5.1 Error: MAIL transaction in progress"


def test_what_was_said_in_clear_is_forgotten(relay, certificates):
    talk = Talk(relay.port)
    assert talk.starttls(context(certificates))
    talk.say("MAIL FROM:<a@example.com>")
    talk.say("RSET")
    assert talk.say("EHLO x") and "STARTTLS" not in "".join(talk.said)


def test_slow_handshake_ends_at_its_deadline(relay, certificates):
    hello = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context(certificates).wrap_bio(*hello)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    talk = Talk(relay.port)
    talk.read()
    talk.say("EHLO x")
    talk.say("STARTTLS")
    began = time.monotonic()
    with pytest.raises(OSError):
        for byte in hello[1].read():
            talk.socket.sendall(bytes([byte]))
            time.sleep(0.25)
    assert 2.5 < time.monotonic() - began < 6
    relay.wait_log(r"SSL_accept error from unknown\[127\.0\.0\.1\]: Connection timed out")


@pytest.mark.parametrize("arguments", [
    ("-tls1", "-cipher", "ALL@SECLEVEL=0"), ("-tls1_1", "-cipher", "ALL@SECLEVEL=0"),
    ("-tls1_2", "-cipher", "eNULL@SECLEVEL=0"), ("-tls1_2", "-cipher", "RC4:3DES@SECLEVEL=0")])
def test_old_protocols_and_weak_ciphers_come_to_nothing(relay, arguments):
    result = subprocess.run(["openssl", "s_client", "-starttls", "smtp", "-connect",
                             f"127.0.0.1:{relay.port}", *arguments], input="QUIT\n", text=True,
                            capture_output=True, timeout=PATIENCE)
    assert "Cipher is (NONE)" in result.stdout or "no cipher" in result.stderr.lower()


def resume(port, with_context, session, is_wrapped=False):
    """(whether the session was resumed, the session to go on with)"""
    talk = Talk(port)
    options = {"session": session, "server_hostname": "relay.example.test"}
    assert talk.begin(with_context, **options) if is_wrapped else talk.starttls(with_context,
                                                                              **options)
    if is_wrapped:
        talk.read()
    talk.say("NOOP")
    result = talk.socket.session_reused, talk.socket.session
    talk.say("QUIT")
    talk.close()
    return result


@pytest.mark.parametrize("highest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_every_worker_resumes_what_another_began(relay, certificates, highest):
    with_context = context(certificates, highest=highest)
    is_reused, session = resume(relay.port, with_context, None)
    assert not is_reused
    pids = relay.role_pids()["smtpd"]
    for awake in pids:
        for pid in pids:
            os.kill(pid, signal.SIGCONT if pid == awake else signal.SIGSTOP)
        try:
            assert resume(relay.port, with_context, session)[0]
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("highest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_session_of_one_listener_is_worth_nothing_at_another(relay, certificates, highest):
    with_context = context(certificates, highest=highest)
    _, session = resume(relay.submissions, with_context, None, is_wrapped=True)
    assert resume(relay.submissions, with_context, session, is_wrapped=True)[0]
    assert not resume(relay.port, with_context, session)[0]


def test_session_ends_after_its_time(certificates):
    with Instance(**{**MAIN, "smtpd_tls_security_level": "may",
                     "smtpd_tls_session_cache_timeout": "2s",
                     **server_files(certificates)}) as relay:
        with_context = context(certificates, highest=ssl.TLSVersion.TLSv1_2)
        _, session = resume(relay.port, with_context, None)
        assert resume(relay.port, with_context, session)[0]
        time.sleep(3.1)
        assert not resume(relay.port, with_context, session)[0]


def test_idle_session_goes_on_after_a_pause(relay, certificates):
    talk = Talk(relay.port)
    talk.starttls(context(certificates))
    for _ in range(3):
        time.sleep(0.3)
        assert talk.say("NOOP") == ["250 2.0.0 Ok"]
    # A record that arrives in pieces wakes nobody too early.
    talk.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assert talk.say("NOOP") == ["250 2.0.0 Ok"]
