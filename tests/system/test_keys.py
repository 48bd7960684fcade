# SPDX-License-Identifier: Apache-2.0
"""Private keys of TLS are in the role keys, and nowhere else: what a process holds is looked for in
its memory, from outside. What becomes of handshakes when keys is away, and when it is replaced."""
import contextlib
import os
import pathlib
import signal
import ssl
import threading
import time

import pytest

from certificates import Certificates, openssl
from test_tls_in import MAIN, Talk, context
from tls_server import TlsServer
from world import MASTER_CF, Instance, free_port, wait_until

KINDS = {"rsa": ("rsa:2048",), "ec": ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
         "ed": ("ed25519",), "named": ("rsa:2048",), "client": ("rsa:2048",)}


@pytest.fixture(scope="module")
def certificates():
    made = Certificates()
    for name, kind in KINDS.items():
        made.make(f"{name}.example.test", kind=kind)
        # One file for both, the key in the middle: certificates are read around it.
        parts = [(made.folder / f"{name}.example.test.{each}").read_text() for each in ("key", "pem")]
        (made.folder / f"{name}.both").write_text("".join(parts))
    return made


def both(certificates, name):
    return certificates.folder / f"{name}.both"


def secrets(certificates, name):
    """What of a private key may be nowhere: its lines of PEM, and its numbers, as bytes in both
    orders (OpenSSL's numbers have the lowest first)."""
    key = certificates.folder / f"{name}.example.test.key"
    lines = key.read_bytes().splitlines()[1:-1]
    found = {line for line in lines if len(line) >= 32}
    text = openssl("pkey", "-in", key, "-noout", "-text").stdout.decode()
    digits, part = {}, None
    for line in text.splitlines():
        if line.startswith(" "):
            digits[part] = digits.get(part, "") + line.strip().replace(":", "")
        else:
            part = line.strip().rstrip(":")
    private = {"priv", "privateExponent", "prime1", "prime2", "exponent1", "exponent2", "coefficient"}
    for part in private & digits.keys():
        number = bytes.fromhex(digits[part]).lstrip(b"\0")
        found |= {number, number[::-1]}
    assert len(found) >= 3
    return found


def memory_of(pid):
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            ends, rights, *_, = line.split()
            begin, end = (int(each, 16) for each in ends.split("-"))
            # The queue's map of its store is as large as the store may ever become.
            if "r" in rights and "[v" not in line and end - begin < 1 << 30:
                with contextlib.suppress(OSError):
                    memory.seek(begin)
                    yield memory.read(end - begin)


def found_in(pid, sought):
    return {each for part in memory_of(pid) for each in sought if each in part}


def play(port, certificates, name=None, **about):
    """One session; its replies, with "refused" where there was no handshake."""
    talk = Talk(port)
    if talk.starttls(context(certificates, **about), server_hostname=name):
        talk.say("EHLO again")
        talk.say("QUIT")
    talk.close()
    return talk.said


def shown(port, certificates, name=None):
    """The certificate of a new session."""
    talk = Talk(port)
    assert talk.starttls(context(certificates), server_hostname=name), talk.said
    text = str(talk.socket.getpeercert())
    talk.close()
    return text


def is_fine(said):
    return said[-1].startswith("221")


SERVER = {**MAIN, "smtpd_tls_security_level": "may", "waypost_smtpd_workers": "2"}


@pytest.fixture(scope="module")
def relay(certificates):
    maps = certificates.folder / "names"
    maps.write_text(f"named.example.test {both(certificates, 'named')}\n")
    port = free_port()
    master = MASTER_CF + f"127.0.0.1:{port} inet n - n - - smtpd\n  -o smtpd_tls_cert_file=" \
                         f"{both(certificates, 'ed')}\n  -o smtpd_tls_eccert_file=\n"
    def ask(with_context):
        with_context.verify_mode = ssl.CERT_REQUIRED
        with_context.load_verify_locations(certificates.authority)

    server = TlsServer(certificates, name="rsa.example.test", configure=ask)
    with Instance(master_cf=master, **{
            **SERVER, "smtpd_tls_cert_file": both(certificates, "rsa"),
            "smtpd_tls_eccert_file": both(certificates, "ec"),
            "tls_server_sni_maps": f"texthash:{maps}", "tls_medium_cipherlist": "ALL:@SECLEVEL=0",
            "smtp_tls_security_level": "encrypt", "smtp_tls_cert_file": both(certificates, "client"),
            "relayhost": f"[127.0.0.1]:{server.port}"}) as made:
        made.ed_port, made.server = port, server
        yield made
    server.close()


def relay_one(relay):
    before = len(relay.server.messages)
    relay.sendmail("to@example.com", input="Subject: x\n\n")
    wait_until(lambda: len(relay.server.messages) > before, "the message")


@pytest.mark.parametrize("name, port, about", [
    ("an RSA key signs with TLS 1.2", "port", {"highest": ssl.TLSVersion.TLSv1_2, "ciphers": "ECDHE-RSA-AES128-SHA"}),
    ("an RSA key decrypts", "port", {"highest": ssl.TLSVersion.TLSv1_2, "ciphers": "AES128-SHA"}),
    ("an EC key signs with TLS 1.2", "port", {"highest": ssl.TLSVersion.TLSv1_2, "ciphers": "ECDHE-ECDSA-AES128-SHA"}),
    ("TLS 1.3", "port", {}),
    ("Ed25519 with TLS 1.3", "ed_port", {}),
    ("Ed25519 with TLS 1.2", "ed_port", {"highest": ssl.TLSVersion.TLSv1_2}),
])
def test_every_kind_of_handshake_works(relay, certificates, name, port, about):
    ciphers = about.pop("ciphers", None) if (about := dict(about)) else None
    talk = Talk(getattr(relay, port))
    made = context(certificates, **about)
    if ciphers:
        made.set_ciphers(ciphers)
    assert talk.starttls(made), talk.said
    assert ciphers in (None, talk.socket.cipher()[0])
    talk.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="looks into other processes")
def test_private_keys_are_in_keys_and_in_no_other_process(relay, certificates):
    names = ["rsa.example.test", "named.example.test", None]
    assert all(is_fine(play(relay.port, certificates, name)) for name in names)
    assert is_fine(play(relay.ed_port, certificates))
    relay_one(relay)
    sought = {name: secrets(certificates, name) for name in KINDS}
    [keys] = relay.role_pids()["keys"]
    for name, each in sought.items():
        assert found_in(keys, each), f"the search finds the key {name} where it is"
    everything = set().union(*sought.values())
    others = [pid for role, pids in relay.role_pids().items() if role != "keys" for pid in pids]
    for pid in [relay.master_pid(), *others]:
        assert not found_in(pid, everything)


def test_a_client_shows_its_certificate_with_a_key_it_does_not_have(relay, certificates):
    relay_one(relay)
    _, shown, _ = relay.server.sessions[-1]
    assert shown == ssl.PEM_cert_to_DER_cert(
        (certificates.folder / "client.example.test.pem").read_text())


def test_status_tells_how_many_keys_there_are(relay, certificates):
    assert is_fine(play(relay.port, certificates))
    relay.run("postfix", "status", "-v")
    relay.wait_log(r"status: keys\[\d+\]: private keys: \d+; used [1-9]\d* times")


def test_without_keys_there_is_no_tls_for_now_and_then_there_is_again(certificates):
    with Instance(**{**SERVER, "smtpd_tls_cert_file": both(certificates, "rsa")}) as instance:
        assert is_fine(play(instance.port, certificates))
        [pid] = instance.role_pids()["keys"]
        os.kill(pid, signal.SIGSTOP)  # the next handshake waits for it …
        result = []
        waiting = threading.Thread(target=lambda: result.append(play(instance.port, certificates)))
        waiting.start()
        with instance.connect() as other:  # … and nobody else does
            assert other.command("NOOP")[0] == 250
        time.sleep(0.2)
        os.kill(pid, signal.SIGKILL)
        waiting.join(30)
        # Its successor answers what it was asked.
        assert result and is_fine(result[0])
        wait_until(lambda: is_fine(play(instance.port, certificates)), "TLS again")
        assert instance.role_pids()["keys"] != [pid]


def test_where_keys_has_lost_a_key_starttls_is_refused_until_it_is_back(certificates):
    current = certificates.folder / "lost.both"
    current.write_text(both(certificates, "rsa").read_text())
    with Instance(**{**SERVER, "smtpd_tls_cert_file": current}) as instance:
        assert is_fine(play(instance.port, certificates))
        current.unlink()
        [pid] = instance.role_pids()["keys"]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: "454 4.7.0 TLS not available due to local problem"
                   in play(instance.port, certificates), "454")
        with instance.connect() as plain:
            assert plain.command("NOOP")[0] == 250
        current.write_text(both(certificates, "rsa").read_text())
        instance.reload()
        wait_until(lambda: is_fine(play(instance.port, certificates)), "TLS again")


def test_a_reload_under_load_takes_new_keys_and_breaks_no_handshake(certificates):
    current = certificates.folder / "current.both"
    current.write_text(both(certificates, "rsa").read_text())
    with Instance(**{**SERVER, "smtpd_tls_cert_file": current}) as instance:
        old = Talk(instance.port)  # began before: it gets the old certificate, also later
        old.read()
        old.say("EHLO x")
        stop, said = threading.Event(), []

        def work():
            while not stop.is_set():
                said.append(play(instance.port, certificates))

        workers = [threading.Thread(target=work) for _ in range(4)]
        for each in workers:
            each.start()
        try:
            for name in ("ec", "rsa", "ec"):
                current.write_text(both(certificates, name).read_text())
                instance.reload()
                wait_until(lambda: f"{name}.example.test" in shown(instance.port, certificates),
                           "the new certificate")
                seen = len(said)
                wait_until(lambda: len(said) > seen + 8, "some handshakes")
        finally:
            stop.set()
            for each in workers:
                each.join(30)
        assert len(said) > 24 and all(map(is_fine, said))
        assert old.say("STARTTLS")[-1].startswith("220")
        old.socket = context(certificates).wrap_socket(old.socket)
        assert "rsa.example.test" in str(old.socket.getpeercert())
        old.close()
        # The processes of the old keys go with the workers that began with them.
        wait_until(lambda: len(instance.role_pids()["keys"]) == 1, "the end of the old ones")


def test_a_changed_table_of_names_is_seen_without_a_reload(certificates):
    maps = certificates.folder / "changing"
    maps.write_text(f"a.example {both(certificates, 'named')}\n")
    with Instance(**{**SERVER, "smtpd_tls_cert_file": both(certificates, "rsa"),
                     "tls_server_sni_maps": f"texthash:{maps}"}) as instance:
        assert "named.example.test" in shown(instance.port, certificates, "a.example")
        assert "rsa.example.test" in shown(instance.port, certificates, "b.example")
        maps.write_text(f"b.example {both(certificates, 'ec')}\n")
        wait_until(lambda: "ec.example.test" in shown(instance.port, certificates, "b.example"),
                   "the new name")
        assert "rsa.example.test" in shown(instance.port, certificates, "a.example")


def test_no_process_is_started_where_no_service_has_a_key(certificates):
    with Instance(**{**MAIN, "smtpd_tls_cert_file": both(certificates, "rsa"),
                     "smtpd_tls_security_level": "none"}) as instance:
        assert "keys" not in instance.role_pids()
        instance.parameters["smtpd_tls_security_level"] = "may"
        instance.write()
        instance.reload()
        wait_until(lambda: is_fine(play(instance.port, certificates)), "TLS")
        instance.parameters["smtpd_tls_security_level"] = "none"
        instance.write()
        instance.reload()
        wait_until(lambda: "keys" not in instance.role_pids(), "its end")


def test_a_key_of_no_use_is_told_by_its_file_at_start_reload_and_check(certificates):
    wrong = certificates.folder / "named.example.test.key"
    with Instance(**{**SERVER, "smtpd_tls_cert_file": both(certificates, "rsa"),
                     "smtpd_tls_key_file": wrong}) as instance:
        line = f'warning: cannot get RSA private key from file "{wrong}": disabling TLS support'
        instance.wait_log(r"postfix/smtpd\[\d+\]: " + line)
        assert "454 4.7.0 TLS not available due to local problem" in play(instance.port, certificates)
        instance.reload()
        instance.wait_log(line, count=2)
        found = instance.run("postfix", "check", check=False)
        assert str(wrong) in found.stderr + found.stdout + instance.log()[-3000:]
        instance.parameters["smtpd_tls_key_file"] = certificates.folder / "rsa.example.test.key"
        instance.write()
        instance.reload()
        wait_until(lambda: is_fine(play(instance.port, certificates)), "TLS")
