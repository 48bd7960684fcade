# SPDX-License-Identifier: Apache-2.0
"""The world around a private instance: its configuration and processes, name servers, receiving
servers, clients. Nothing in here shares code with the relay; the peers are aiosmtpd, dnspython and
Debian's own programs."""
import contextlib
import os
import pathlib
import pwd
import re
import shutil
import socket
import socketserver
import subprocess
import tempfile
import threading
import time

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("WAYPOST_BUILD", ROOT / "build"))
PROGRAM = BUILD / "src" / "roles" / "waypost"
DROP_PROGRAM = BUILD / "src" / "roles" / "postdrop"
IS_SANITIZED = os.environ.get("WAYPOST_SANITIZED") == "1"
PATIENCE = 60 if IS_SANITIZED else 20  # seconds that anything may take before a test fails

COMMANDS = ["postfix", "sendmail", "mailq", "newaliases", "postmap", "postalias", "postconf",
            "postqueue", "postsuper", "postcat", "postlog", "postkick", "waypost"]

# The tutorial's base master.cf.
MASTER_CF = """\
smtp      inet  n       -       n       -       -       smtpd
pickup    fifo  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      fifo  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
proxywrite unix -       -       n       -       1       proxymap
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
        -o smtp_fallback_relay=
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
local     unix  -       n       n       -       -       local
virtual   unix  -       n       n       -       -       virtual
lmtp      unix  -       -       n       -       -       lmtp
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
"""


def wait_until(condition, what, seconds=None):
    """Polls until the condition gives something true, and returns that."""
    deadline = time.monotonic() + (seconds or PATIENCE)
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


GIVEN_PORTS = set()


def free_port(address="127.0.0.1"):
    """A port that nobody has and that was not given to anybody before: who asks for many of them
    listens on none yet."""
    while True:
        with socket.socket() as probe:
            probe.bind((address, 0))
            port = probe.getsockname()[1]
        if port not in GIVEN_PORTS:
            GIVEN_PORTS.add(port)
            return port


def has_own_network():
    """Whether this is a network of the test's own (scripts/in-own-network): no way out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return True
        return probe.getsockname()[0].startswith(("127.", "192.0.2."))


def link_commands(folder):
    """A folder of commands, as an installation has them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in COMMANDS:
        with contextlib.suppress(FileExistsError):
            (folder / name).symlink_to(PROGRAM)
    with contextlib.suppress(FileExistsError):
        (folder / "postdrop").symlink_to(DROP_PROGRAM)
    return folder


class Instance:
    """A private relay: configuration, queue and log in a folder of its own."""

    def __init__(self, folder=None, master_cf=None, **parameters):
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="waypost-test-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        self.port = free_port()
        self.config = self.folder / "etc"
        self.queue = self.folder / "spool"
        self.log_file = self.folder / "maillog"
        self.bin = link_commands(self.folder / "bin")
        self.config.mkdir(exist_ok=True)
        user = "postfix" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.parameters = {
            "compatibility_level": "0",
            "myhostname": "relay.example.test",
            "mydomain": "example.test",
            "mail_owner": user,
            "queue_directory": self.queue,
            "data_directory": self.folder / "data",
            "command_directory": self.bin,
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "mynetworks": "127.0.0.0/8",
            "smtpd_recipient_restrictions":
                "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
            "smtpd_relay_restrictions":
                "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
            "maillog_file": self.log_file,
            "maillog_file_prefixes": f"/var, {self.folder}",
            "store_any_filesystem": "yes",
            "alias_maps": "",
            "local_recipient_maps": "",
        }
        self.parameters.update(parameters)
        self.master_cf = (master_cf or MASTER_CF).replace("smtp      inet",
                                                          f"127.0.0.1:{self.port} inet", 1)
        self.write()
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("MAIL_")}

    def write(self):
        lines = [f"{name} = {value}\n" for name, value in self.parameters.items()]
        (self.config / "main.cf").write_text("".join(lines))
        (self.config / "master.cf").write_text(self.master_cf)

    def run(self, command, *arguments, input=None, check=True, config_option="-c", **more):
        """Runs one of the commands on this instance; its text output is in the result."""
        options = [config_option, str(self.config)] if config_option else []
        result = subprocess.run([self.bin / command, *options, *map(str, arguments)],
                                input=input, capture_output=True, timeout=PATIENCE * 3,
                                env=self.environment,
                                text=not isinstance(input, bytes), **more)
        if check and result.returncode != 0:
            raise AssertionError(f"{command} {arguments}: exit {result.returncode}\n"
                                 f"{result.stdout}\n{result.stderr}\n{self.log()}")
        return result

    def sendmail(self, *arguments, input="", check=True):
        return self.run("sendmail", *arguments, input=input, check=check, config_option="-C")

    def start(self):
        self.run("postfix", "start")
        return self

    def stop(self):
        return self.run("postfix", "stop")

    def reload(self):
        return self.run("postfix", "reload")

    def is_running(self):
        return self.run("postfix", "status", check=False).returncode == 0

    def master_pid(self):
        return int((self.queue / "pid" / "master.pid").read_text())

    def role_pids(self):
        """{role: [pid, …]} of the master's children."""
        roles = {}
        pid = self.master_pid()
        for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with contextlib.suppress(OSError):
                words = pathlib.Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
                if len(words) > 2 and words[1] == b"role":
                    roles.setdefault(words[2].decode(), []).append(int(child))
        return roles

    def pss_kb(self):
        """Memory of all processes; pages that several share count once."""
        pids = [self.master_pid(), *sum(self.role_pids().values(), [])]
        rollups = [pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
        return sum(int(line.split()[1]) for text in rollups for line in text.splitlines()
                   if line.startswith("Pss:"))

    def kill_everything(self):
        """kill -9 of the master and all roles, as a power cut would end them."""
        with contextlib.suppress(OSError, ValueError):
            pids = [self.master_pid(), *sum(self.role_pids().values(), [])]
            for pid in pids:
                with contextlib.suppress(OSError):
                    os.kill(pid, 9)
            for pid in pids:
                wait_until(lambda: not is_alive(pid), f"the end of process {pid}")

    def log(self):
        return self.log_file.read_text() if self.log_file.exists() else ""

    def wait_log(self, pattern, count=1):
        """Waits until the log has `count` matches; returns them (re.findall)."""
        regex = re.compile(pattern, re.MULTILINE)
        try:
            wait_until(lambda: len(regex.findall(self.log())) >= count, f"/{pattern}/ in the log")
        except AssertionError:
            raise AssertionError(f"not in the log: {pattern} × {count}\n{self.log()}") from None
        return regex.findall(self.log())

    def connect(self, timeout=None):
        return Client("127.0.0.1", self.port, timeout)

    def queue_is_empty(self):
        return "Mail queue is empty" in self.run("mailq", config_option="-C").stdout

    def __enter__(self):
        return self.start()

    def __exit__(self, *exception):
        try:
            if self.is_running():
                self.stop()
        finally:
            with contextlib.suppress(OSError):
                self.kill_everything()
            bad = re.compile(r"panic: |Sanitizer|runtime error|killed by signal (?:6|11)\b")
            problems = [line for line in self.log().splitlines() if bad.search(line)]
            shutil.rmtree(self.folder, ignore_errors=True)
            assert not problems or exception[0], problems


def is_alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state not in "ZX"


class Client:
    """A raw SMTP client: sends what it is told, reads replies."""

    def __init__(self, host, port, timeout=None):
        self.socket = socket.create_connection((host, port), timeout or PATIENCE)
        self.file = self.socket.makefile("rb")
        self.banner = self.reply()

    def reply(self):
        """(code, [text, …]) or (0, []) when the connection ended."""
        lines = []
        while True:
            line = self.file.readline()
            if not line:
                return 0, lines
            lines.append(line[4:].rstrip(b"\r\n").decode(errors="replace"))
            if line[3:4] != b"-":
                return int(line[:3]), lines

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def command(self, line):
        self.send(line.encode() + b"\r\n" if isinstance(line, str) else line)
        return self.reply()

    def deliver(self, sender, recipients, content):
        """A whole transaction; returns the reply to the end of data, or the first bad one."""
        for line in [f"MAIL FROM:<{sender}>", *[f"RCPT TO:<{each}>" for each in recipients],
                     "DATA"]:
            reply = self.command(line)
            if reply[0] >= 400 or reply[0] == 0:
                return reply
        stuffed = re.sub(rb"(?m)^\.", b"..", content.encode() if isinstance(content, str)
                         else content)
        self.send(stuffed + b".\r\n")
        return self.reply()

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Sink:
    """An aiosmtpd server that keeps what it was sent, and may answer as it is told: `answers` maps
    "MAIL", "RCPT" or "DATA" to a function (server, session, envelope, …) -> reply or None."""

    def __init__(self, address="127.0.0.1", port=None, answers=None, **options):
        self.messages = []
        self.answers = answers or {}
        self.address, self.port = address, port or free_port(address)
        self.peers = []
        sink = self

        class Server(SMTP):
            def connection_made(self, transport):
                sink.peers.append(transport.get_extra_info("peername"))
                super().connection_made(transport)

        class OwnController(Controller):
            def factory(self):
                return Server(self.handler, hostname="sink.example.test", **options)

        self.controller = OwnController(self, hostname=address, port=self.port)

    def start(self):
        self.controller.start()
        return self

    def stop(self):
        self.controller.stop()

    async def handle_MAIL(self, server, session, envelope, address, options):
        answer = self.answers.get("MAIL")
        reply = answer(address) if answer else None
        if reply:
            return reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = self.answers.get("RCPT")
        reply = answer(address) if answer else None
        if reply:
            return reply
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server, session, envelope):
        answer = self.answers.get("DATA")
        reply = answer(envelope) if answer else None
        if reply:
            return reply
        self.messages.append(Delivered(envelope, session))
        return "250 2.0.0 Ok: taken"

    def wait(self, count=1):
        wait_until(lambda: len(self.messages) >= count,
                   f"{count} messages (there are {len(self.messages)})")
        return self.messages

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


class Delivered:
    """One message as a server received it."""

    def __init__(self, envelope, session):
        self.sender = envelope.mail_from
        self.recipients = list(envelope.rcpt_tos)
        self.options = list(envelope.mail_options)
        self.content = envelope.original_content
        self.peer = session.peer
        self.helo = session.host_name
        self.at = time.monotonic()  # before it is answered

    @property
    def text(self):
        return self.content.decode(errors="replace")


class NameServer:
    """Answers from a dictionary {(name, type): [rdata text, …] or an rcode name} over UDP and TCP;
    a name without any entry does not exist."""

    def __init__(self, zone, address="127.0.0.1", port=None):
        self.zone = {(name.lower().rstrip("."), kind): value for (name, kind), value in zone.items()}
        self.address, self.port = address, port or free_port(address)
        self.queries = []
        server = self

        class Datagram(socketserver.BaseRequestHandler):
            def handle(self):
                data, sock = self.request
                answer = server.answer(data)
                if answer:
                    sock.sendto(answer, self.client_address)

        class Connection(socketserver.StreamRequestHandler):
            def handle(self):
                size = self.rfile.read(2)
                if len(size) == 2:
                    answer = server.answer(self.rfile.read(int.from_bytes(size, "big")))
                    if answer:
                        self.wfile.write(len(answer).to_bytes(2, "big") + answer)

        socketserver.ThreadingUDPServer.allow_reuse_address = True
        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self.servers = [socketserver.ThreadingUDPServer((address, self.port), Datagram),
                        socketserver.ThreadingTCPServer((address, self.port), Connection)]
        for each in self.servers:
            each.daemon_threads = True

    def answer(self, data):
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text().lower().rstrip(".")
        kind = dns.rdatatype.to_text(question.rdtype)
        self.queries.append((name, kind))
        answer = dns.message.make_response(query, recursion_available=True)
        found = self.zone.get((name, kind))
        if isinstance(found, str):
            if found == "DROP":
                return None
            answer.set_rcode(dns.rcode.from_text(found))
        elif found:
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *found))
        elif not any(key[0] == name for key in self.zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer.to_wire()

    def __enter__(self):
        for each in self.servers:
            threading.Thread(target=each.serve_forever, kwargs={"poll_interval": 0.05},
                             daemon=True).start()
        return self

    def __exit__(self, *_):
        for each in self.servers:
            each.shutdown()
            each.server_close()


def message(subject="test", body="Hello.\r\n", sender="sender@example.test",
            recipient="user@example.com"):
    """A small, whole message with CRLF line ends."""
    return (f"From: {sender}\r\nTo: {recipient}\r\nSubject: {subject}\r\n"
            f"Message-ID: <{subject.replace(' ', '.')}.{time.monotonic_ns()}@example.test>\r\n"
            f"Date: Mon, 02 Nov 2026 10:00:00 +0000\r\n\r\n{body}")
