# SPDX-License-Identifier: Apache-2.0
"""What may go wrong with TLS to a server, at each step: in the reply to STARTTLS, in the handshake,
and in what is said under its protection. Nothing leaves in clear where TLS must be, each recipient
has one end, and nothing is left behind. Certificates without measure cost bounded memory."""
import contextlib
import pathlib
import re
import socket
import ssl
import struct
import threading
import time

import pytest

from certificates import Certificates, openssl
from test_faults import descriptors
from world import IS_SANITIZED, MASTER_CF, Instance, free_port, message, wait_until

SECONDS = 2  # of every timeout
MEMORY_KB_MAX = 60_000  # that a worker may grow by, all cases at once


def closes(connection, plain):
    plain.close()


def resets(connection, plain):
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    plain.close()


def hangs(connection, plain):
    time.sleep(SECONDS * 4)


def says(data, then=closes):
    """Bytes, whichever way the conversation goes at that point."""
    def act(connection, plain):
        connection.sendall(data)
        then(connection, plain)
    return act


def floods(line):
    def act(connection, plain):
        for _ in range(3000):
            connection.sendall(line)
    return act


def below(data, then=closes):
    """Bytes on the wire that no TLS has made."""
    def act(connection, plain):
        with socket.socket(fileno=socket.dup(plain.fileno())) as wire:
            wire.sendall(data)
            then(connection, plain)
    return act


HANDSHAKE, ENDS_LATER = r"Cannot start TLS: handshake failure", r"lost connection with .* while "
FAULTS = {
    # Without the word that begins TLS.
    "starttls": {
        "closes": (closes, "4.4.2", ENDS_LATER + "receiving the STARTTLS response"),
        "resets": (resets, "4.4.2", ENDS_LATER + "receiving the STARTTLS response"),
        "hangs": (hangs, "4.4.2", r"conversation with .* timed out while receiving the STARTTLS "
                  "response"),
        "nonsense": (says(b"what?\r\n"), "4.5.0", "remote protocol error"),
        "a NUL": (says(b"\0220 go\r\n"), "4.5.0", "remote protocol error"),
        "half a line": (says(b"220 g"), "4.4.2", ENDS_LATER),
        "half a reply": (says(b"220-go\r\n"), "4.4.2", ENDS_LATER),
        "a line without end": (floods(b"220 " + b"x" * 100), "4.5.0", "remote protocol error"),
        "a reply without end": (floods(b"220-go\r\n"), "4.5.0", "remote protocol error"),
        "421": (says(b"421 4.3.2 bye\r\n"), "4.3.2", "refused to talk to me: 421 4.3.2 bye"),
        "454": (says(b"454 4.7.0 no\r\n"), "4.7.0", "TLS is required, but host .* refused to start "
                r"TLS: 454 4\.7\.0 no"),
        "550": (says(b"550 5.7.0 no\r\n"), "4.7.0", "TLS is required, but host .* refused to start "
                r"TLS: 550 5\.7\.0 no"),
        "354": (says(b"354 what\r\n"), "4.0.0", "TLS is required, but host .* refused to start TLS"),
    },
    # With the client's first message read.
    "handshake": {
        "closes": (closes, "4.7.5", HANDSHAKE),
        "resets": (resets, "4.7.5", HANDSHAKE),
        "hangs": (hangs, "4.7.5", HANDSHAKE),
        "garbage": (below(b"x" * 500), "4.7.5", HANDSHAKE),
        "a reply in clear": (below(b"250 2.0.0 Ok\r\n"), "4.7.5", HANDSHAKE),
        "a fatal alert": (below(b"\x15\x03\x03\x00\x02\x02\x28"), "4.7.5", HANDSHAKE),
        "a record of no length": (below(b"\x16\x03\x03\x00\x00" * 100), "4.7.5", HANDSHAKE),
        "a record too long": (below(b"\x16\x03\x03\xff\xff" + b"x" * 70_000), "4.7.5", HANDSHAKE),
        "a message too long": (below(b"\x16\x03\x03\x40\x00\x0b\xff\xff\xff" + b"x" * 16_380),
                               "4.7.5", HANDSHAKE),
        "SSL 3": (below(b"\x16\x03\x00\x00\x2a\x02\x00\x00\x26\x03\x00" + b"x" * 37), "4.7.5",
                  HANDSHAKE),
        "half a record": (below(b"\x16\x03\x03\x00\x7a\x02"), "4.7.5", HANDSHAKE),
        "half a record, hangs": (below(b"\x16\x03\x03\x00\x7a\x02", hangs), "4.7.5", HANDSHAKE),
        "records without end": (floods(b"\x14\x03\x03\x00\x01\x01"), "4.7.5", HANDSHAKE),
    },
}
WHILE = {"ehlo": "performing the EHLO handshake", "mail": "sending MAIL FROM",
         "rcpt": "sending RCPT TO", "data": "sending DATA command",
         "dot": "sending end of data -- message may be sent more than once"}
for stage, words in WHILE.items():
    words = re.escape(words)
    FAULTS[stage] = {
        "closes": (closes, "4.4.2", ENDS_LATER + words),
        "resets": (resets, "4.4.2", ENDS_LATER + words),
        "hangs": (hangs, "4.4.2", rf"conversation with .* timed out while {words}"),
        "bytes in clear": (below(b"250 2.0.0 Ok\r\n"), "4.4.2", ENDS_LATER + words),
        "half a record": (below(b"\x17\x03\x03\x01\x00xx"), "4.4.2", ENDS_LATER + words),
        "a forged record": (below(b"\x17\x03\x03\x00\x20" + b"x" * 32), "4.4.2",
                            ENDS_LATER + words),
        "nonsense": (says(b"what?\r\n"), "4.5.0", "remote protocol error in reply from .* while "
                     + words),
        "a reply without end": (floods(b"250-more\r\n"), "4.5.0", "remote protocol error"),
    }
CASES = [(stage, name) for stage, faults in FAULTS.items() for name in faults]


class Server:
    """Does well up to one stage; `context` shows the certificates."""

    def __init__(self, context, stage=None, act=None, **options):
        self.context, self.stage, self.act = context, stage, act
        self.options = options
        self.port = free_port()
        self.in_clear = self.messages = 0
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self.listener.accept()
                threading.Thread(target=self.guarded, args=(plain,), daemon=True).start()

    def guarded(self, plain):
        with plain, contextlib.suppress(OSError, ValueError):
            self.serve(plain)

    def serve(self, plain):
        # A socket of its own below TLS, so that `plain` stays what it is.
        connection, is_secure = plain, False
        plain.settimeout(30)
        file = connection.makefile("rb")
        connection.sendall(b"220 mx.example.test ESMTP\r\n")
        while line := file.readline():
            stage = line.split()[0].decode("latin1").lower() if line.split() else ""
            if stage == "starttls" and self.stage != "starttls":
                connection.sendall(b"220 go\r\n")
                if self.stage == "handshake":
                    plain.recv(4096)
                    self.act(plain, plain)
                    return
                connection = self.context.wrap_socket(
                    socket.socket(fileno=socket.dup(plain.fileno())), server_side=True)
                file, is_secure = connection.makefile("rb"), True
                continue
            if stage == self.stage and (is_secure or stage == "starttls"):
                self.act(connection, plain)
                return
            if stage == "data":
                self.in_clear += not is_secure
                connection.sendall(b"354 go\r\n")
                while file.readline() != b".\r\n":
                    pass
                if self.stage == "dot":
                    self.act(connection, plain)
                    return
                self.messages += 1
            offer = b"" if is_secure else b"250-STARTTLS\r\n"
            connection.sendall(b"250-mx\r\n" + offer + b"250 8BITMIME\r\n" if stage == "ehlo"
                               else b"250 2.0.0 Ok\r\n")

    def close(self):
        self.listener.close()


def context_of(cert, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def peak_kb(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1])


def service(name, server, **overrides):
    options = "".join(f"  -o {{ {key} = {value} }}\n" for key, value in overrides.items())
    return (f"{name} unix - - n - - smtp\n{options}",
            f"{name}.example = {name}:[127.0.0.1]:{server.port}")


def relay_with(services):
    timeouts = {f"smtp_{name}_timeout": f"{SECONDS}s"
                for name in ("connect", "helo", "mail", "rcpt", "data_init", "data_xfer",
                             "data_done", "rset", "quit", "starttls")}
    ways = ", ".join(f"{{ {way} }}" for _, way in services)
    return Instance(master_cf=MASTER_CF + "".join(lines for lines, _ in services),
                    transport_maps="inline:{ " + ways + " }", minimal_backoff_time="1000s",
                    maximal_backoff_time="1000s", smtp_tls_security_level="encrypt", **timeouts)


def submit(relay, names):
    with relay.connect() as client:
        assert client.command("EHLO client.example.test")[0] == 250
        for name in names:
            code, text = client.deliver("", [f"u@{name}.example"], message())
            assert code == 250, text


def end_of(log, name):
    lines = re.findall(rf" to=<u@{re.escape(name)}\.example>, .*dsn=(\S+), status=(\w+) \((.*)\)$",
                       log, re.M)
    assert len(lines) == 1, lines
    return lines[0]


class World:
    def __init__(self, certificates):
        context = context_of(*certificates.make("mx.example.test"))
        self.servers = {f"f{at}": Server(context, stage, FAULTS[stage][name][0])
                        for at, (stage, name) in enumerate(CASES)}
        with relay_with([service(name, server) for name, server in self.servers.items()]) as relay:
            before = descriptors(relay)
            submit(relay, self.servers)
            wait_until(lambda: len(re.findall(r"status=\w+ \(", relay.log())) >= len(CASES),
                       "the end for each recipient", 90)
            wait_until(lambda: descriptors(relay) <= before, "the last connection's end", 30)
            relay.run("postfix", "status", "-v")
            relay.wait_log(r"status: smtp\[\d+\]: deliveries: \d+ since start",
                           len(relay.role_pids()["smtp"]))
            time.sleep(0.2)
            self.log = relay.log()
        for server in self.servers.values():
            server.close()


@pytest.fixture(scope="module")
def certificates():
    return Certificates()


@pytest.fixture(scope="module")
def world(certificates):
    return World(certificates)


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{s}: {n}" for s, n in CASES])
def test_each_fault_defers_and_nothing_goes_in_clear(world, number):
    stage, name = CASES[number]
    _, dsn, text = FAULTS[stage][name]
    found = end_of(world.log, f"f{number}")
    assert found[:2] == (dsn, "deferred") and re.search(text, found[2]), found
    server = world.servers[f"f{number}"]
    assert (server.in_clear, server.messages) == (0, 0)


def test_nothing_is_left_behind(world):
    totals = re.findall(r"status: smtp\[\d+\]: (.*)", world.log)
    assert totals and all(" 0 under way" in line for line in totals), totals


def chain_of(certificates, depth):
    """A server's certificate below `depth` authorities, each signed by the one above it."""
    folder = certificates.folder
    key = folder / f"deep-{depth}.key"
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
    above, above_key, chain = certificates.authority, folder / "authority.key", []
    for at in range(depth + 1):
        cert, request = (folder / f"deep-{depth}-{at}.{each}" for each in ("pem", "csr"))
        kind = "CA:FALSE" if at == depth else "CA:TRUE"
        openssl("req", "-new", "-key", key, "-out", request, "-subj", f"/CN=deep{at}.example.test",
                "-addext", f"basicConstraints={kind}",
                "-addext", f"subjectAltName=DNS:deep{at}.example.test")
        openssl("x509", "-req", "-in", request, "-CA", above, "-CAkey", above_key, "-out", cert,
                "-CAcreateserial", "-days", 30, "-copy_extensions", "copy")
        above, above_key = cert, key
        chain.insert(0, cert.read_text())
    file = folder / f"deep-{depth}.pem"
    file.write_text("".join(chain))
    return file, key


def test_certificates_without_measure_cost_bounded_memory(certificates):
    folder = certificates.folder
    cert, key = certificates.make("long.example.test", kind=("ec", "-pkeyopt",
                                                            "ec_paramgen_curve:P-256"))
    authority = certificates.authority.read_text()
    long_chain, repeated = folder / "long-chain.pem", folder / "repeated.pem"
    long_chain.write_text(cert.read_text() + authority * 2000)  # about a megabyte
    repeated.write_text(cert.read_text() + authority * 100)  # within what is read
    names = [f"name{at}.with.a.long.label.example.test" for at in range(2800)]
    wide, wide_key = certificates.make("wide", *names, kind=("ec", "-pkeyopt",
                                                             "ec_paramgen_curve:P-256"))
    shown = {"long": (long_chain, key), "repeated": (repeated, key), "wide": (wide, wide_key),
             "deep": chain_of(certificates, 30), "shallow": chain_of(certificates, 4)}
    secure = {"smtp_tls_CAfile": certificates.authority, "smtp_tls_security_level": "secure"}
    matches = {"deep": "deep30.example.test", "shallow": "deep4.example.test",
               "repeated": "long.example.test"}
    servers, services = {}, []
    for name, files in shown.items():
        servers[name] = Server(context_of(*files))
        services += [service(f"{name}-must", servers[name]),
                     service(f"{name}-secure", servers[name], **secure,
                             smtp_tls_secure_cert_match=matches.get(name, names[0]))]
    too_much = ("4.7.5", "deferred", HANDSHAKE)
    sent = ("2.0.0", "sent", r"250 2\.0\.0 Ok")
    ends = {"long-must": too_much, "long-secure": too_much, "wide-must": too_much,
            "wide-secure": too_much, "repeated-must": sent, "repeated-secure": sent,
            "deep-must": sent, "deep-secure": ("4.7.5", "deferred",
                                               "Server certificate not verified"),
            "shallow-must": sent, "shallow-secure": sent}
    with relay_with(services) as relay:
        pids = relay.role_pids()["smtp"]
        before = {pid: peak_kb(pid) for pid in pids}
        submit(relay, ends)
        wait_until(lambda: len(re.findall(r"status=\w+ \(", relay.log())) >= len(ends),
                   "the end for each recipient", 60)
        for name, (dsn, status, text) in ends.items():
            found = end_of(relay.log(), name)
            assert found[:2] == (dsn, status) and re.search(text, found[2]), (name, found)
        assert relay.role_pids()["smtp"] == pids
        if not IS_SANITIZED:
            assert all(peak_kb(pid) - before[pid] < MEMORY_KB_MAX for pid in pids)
    for server in servers.values():
        server.close()
