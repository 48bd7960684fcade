# SPDX-License-Identifier: Apache-2.0
"""Debian's Postfix and Waypost side by side: the same main.cf and master.cf (folders and ports
apart), the same name server, the same dialogues. Many configurations run in one pair of instances:
each is a line of master.cf with overrides and a port of its own, so hundreds of dialogues take
seconds.

    with Pair({"mynetworks": "127.0.0.0/8"}, {"strict": {"smtpd_helo_restrictions": "reject"}},
              files={"access": "a@b.example REJECT\\n"}) as pair:
        for difference in pair.compare([Dialogue("strict", [b"EHLO x", b"QUIT"])]):
            print(difference)

Values and files may say "texthash:$config_directory/access". Needs root: it makes every address of
TEST-NET-1 to 3 local to its network namespace, so that clients may come from any of them."""
import collections
import concurrent.futures
import dataclasses
import fnmatch
import multiprocessing
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time

import reference
from world import PATIENCE, Instance, NameServer, Sink, has_own_network, wait_until

PARALLEL = 8
DNS_FAILURE_SECONDS = 6  # libunbound remembers a failure for five
FRIEND, STRANGER = "127.0.0.1", "192.0.2.9"
NETWORKS = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15"]

COMMON = {
    "compatibility_level": "3.6",
    "myhostname": "mail.example.test",
    "mydomain": "example.test",
    "mydestination": "$myhostname, localhost, local.example",
    "mynetworks": "127.0.0.0/8",
    "relay_domains": "relay.example",
    "append_dot_mydomain": "no",
    "local_recipient_maps": "",
    "alias_maps": "",
    "alias_database": "",
    "smtpd_error_sleep_time": "0",
    "smtpd_forbid_bare_newline": "normalize",
    "smtpd_forbid_unauth_pipelining": "yes",
    "smtpd_tls_security_level": "",
    "inet_protocols": "ipv4",
    "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
    "maximal_backoff_time": "1000s",
}

SERVICES = """\
pickup unix n - n 1 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
other unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""


class Content(bytes):
    """A step that is sent only behind a 354; ends with its dot."""


class Raw(bytes):
    """A step that is sent as it is, with one reply awaited: a chunk, another end of line."""


@dataclasses.dataclass
class Dialogue:
    """Steps are commands (bytes; a list of them goes out in one piece, with a reply awaited for
    each), Raw, and Content, after DATA. Whatever comes after the end of the connection is left out."""
    service: str
    steps: list
    client: str = FRIEND
    name: str = ""

    def title(self):
        return f"{self.service} {self.name} from {self.client}".replace("  ", " ")


@dataclasses.dataclass
class Difference:
    dialogue: Dialogue
    step: object
    theirs: str
    ours: str

    def __str__(self):
        return (f"{self.dialogue.title()}: {self.step!r}\n"
                f"    Postfix: {self.theirs}\n    Waypost: {self.ours}")


class Resolver(NameServer):
    """NameServer on port 53 (nobody sees its queries); knows PTR records of addresses ("192.0.2.1", "PTR"), follows aliases,
    and says NODATA for what stands above a name."""

    def __init__(self, zone):
        reverse = {}
        for (name, kind), value in zone.items():
            if kind == "PTR" and re.fullmatch(r"[0-9.]+", name):
                name = ".".join(reversed(name.split("."))) + ".in-addr.arpa"
            reverse[name, kind] = value
        above = {}
        for name, _ in reverse:
            while "." in name:
                name = name.split(".", 1)[1]
                above[name, "NONE"] = []
        super().__init__({**above, **reverse}, port=53)

    def __enter__(self):
        """In a process of its own: it must answer quickly beside everything that runs here."""
        self.process = multiprocessing.get_context("fork").Process(target=self.serve, daemon=True)
        self.process.start()
        return self

    def __exit__(self, *_):
        for each in self.servers:
            each.server_close()
        if self.process:
            self.process.terminate()
            self.process.join()

    process = None

    def serve(self):
        datagrams, connections = self.servers
        threading.Thread(target=connections.serve_forever, daemon=True).start()
        while True:
            data, peer = datagrams.socket.recvfrom(4096)
            answer = self.answer(data)
            if answer:
                datagrams.socket.sendto(answer, peer)

    def answer(self, data):
        import dns.message
        import dns.rdatatype
        import dns.rrset
        query = dns.message.from_wire(data)
        name, kind = query.question[0].name, dns.rdatatype.to_text(query.question[0].rdtype)
        if kind == "CNAME" or not self.zone.get((name.to_text().lower().rstrip("."), "CNAME")):
            return super().answer(data)
        answer = dns.message.make_response(query, recursion_available=True)
        for _ in range(8):
            key = name.to_text().lower().rstrip(".")
            for each in (kind, "CNAME"):
                if self.zone.get((key, each)) and not isinstance(self.zone[key, each], str):
                    answer.answer.append(dns.rrset.from_text(name, 60, "IN", each,
                                                             *self.zone[key, each]))
            if not self.zone.get((key, "CNAME")):
                break
            name = dns.name.from_text(self.zone[key, "CNAME"][0])
        return answer.to_wire()


def master_lines(services, ports, has_cleanups=False):
    """With `has_cleanups` each service has a cleanup service with the same overrides: what Postfix
    does there, Waypost does in smtpd."""
    lines = []
    for name, overrides in services.items():
        options = [f"    -o {{ {key} = {value} }}" for key, value in overrides.items()]
        lines += [f"127.0.0.1:{ports[name]} inet n - n - - smtpd", *options]
        if has_cleanups:
            lines += [f"    -o cleanup_service_name=cleanup-{name}",
                      f"cleanup-{name} unix n - n - 0 cleanup", *options]
    return "\n".join(lines) + "\n" + SERVICES


class Postfix:
    name = "Postfix"

    def __init__(self, parameters, services, sink_port):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pair-postfix-"))
        self.folder.chmod(0o755)
        self.config, self.log_file = self.folder / "etc", self.folder / "log"
        self.ports = {name: 10000 + i for i, name in enumerate(services)}
        for name in ["etc", "spool", "data"]:
            (self.folder / name).mkdir()
        shutil.chown(self.folder / "data", "postfix")
        values = {
            "queue_directory": self.folder / "spool", "data_directory": self.folder / "data",
            "daemon_directory": reference.DAEMONS, "command_directory": "/usr/sbin",
            "mail_owner": "postfix", "setgid_group": "postdrop", "maillog_file": self.log_file,
            "maillog_file_prefixes": self.folder, "inet_interfaces": "127.0.0.1",
            **routes(sink_port), **parameters,
        }
        (self.config / "main.cf").write_text("".join(f"{n} = {v}\n" for n, v in values.items()))
        (self.config / "master.cf").write_text(
            master_lines(services, self.ports, has_cleanups=self.has_cleanups))

    has_cleanups = False

    def control(self, verb):
        subprocess.run(["/usr/sbin/postfix", "-c", str(self.config), verb], check=False,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=PATIENCE * 3)

    def postmap(self, file):
        subprocess.run(["/usr/sbin/postmap", "-c", str(self.config), f"hash:{file}"], check=True,
                       timeout=PATIENCE)

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def start(self):
        self.control("start")
        wait_until(lambda: "daemon started" in self.log(), "the reference's start")

    def stop(self):
        self.control("stop")
        shutil.rmtree(self.folder, ignore_errors=True)


class PostfixWithCleanups(Postfix):
    has_cleanups = True


class Waypost(Instance):
    name = "Waypost"

    def __init__(self, parameters, services, sink_port):
        self.ports = {name: 20000 + i for i, name in enumerate(services)}
        super().__init__(master_cf=master_lines(services, self.ports),
                         **{"smtpd_recipient_restrictions": "", "mynetworks": "127.0.0.0/8",
                            **routes(sink_port), **parameters})

    def postmap(self, file):
        self.run("postmap", f"hash:{file}")

    def stop(self):
        if not self.is_stopped:
            self.is_stopped = True
            self.__exit__(None, None, None)

    is_stopped = False


def routes(sink_port):
    """Everything goes to the sink of the side."""
    return {name: f"smtp:[127.0.0.1]:{sink_port}" for name in (
        "default_transport", "local_transport", "relay_transport", "virtual_transport")}


def comparable_reply(text):
    return re.sub(r"queued as \w+", "queued as ID", text)


def comparable_log(line):
    """What a log line says, without who, when and which: None for lines that nobody compares."""
    match = re.search(r"postfix[^ ]*?/(smtpd|cleanup|anvil)\[\d+\]: (.*)", line)
    if match is None:
        return None
    text = re.sub(r"^(?:[0-9A-F]{6,}|[0-9A-Za-z]{10,}): ", "ID: ", match.group(2))
    text = re.sub(r"[\w.]+\[127\.0\.0\.1\]", "localhost[127.0.0.1]", text)  # /etc/hosts has several
    text = re.sub(r"/\S*/(?:pair-postfix|waypost-test)-[^/]*/", "FOLDER/", text)
    return comparable_reply(text)


class Side:
    """One of the two systems and the sink behind it."""

    def __init__(self, kind, parameters, services, sink):
        self.sink = sink()
        self.system = kind(parameters, services, self.sink.port)

    def play(self, dialogue):
        """[(step, reply)…]; a reply is its lines joined by a bar, "closed" at the end."""
        said = []
        try:
            with socket.create_connection(("127.0.0.1", self.system.ports[dialogue.service]),
                                          PATIENCE, source_address=(dialogue.client, 0)) as peer:
                file = peer.makefile("rb")
                said.append(("connect", read_reply(file)))
                for step in dialogue.steps:
                    if said[-1][1].endswith("closed"):
                        break
                    if isinstance(step, Content) and not said[-1][1].startswith("354"):
                        continue
                    parts = step if isinstance(step, list) else [step]
                    peer.sendall(b"".join(each if isinstance(each, (Content, Raw)) else
                                          each + b"\r\n" for each in parts))
                    for each in parts:
                        said.append((each, read_reply(file)))
                file.close()
        except TimeoutError:
            said.append(("end", "nothing in time"))
        except OSError:  # it had closed before all was sent
            said.append(("end", "closed"))
        return said


def read_reply(file):
    lines = []
    while True:
        try:
            line = file.readline()
        except ConnectionError:
            line = b""
        if not line:
            return "|".join([*lines, "closed"])
        lines.append(comparable_reply(line.decode("latin1").rstrip("\r\n")))
        if line[3:4] != b"-":
            break
    # The offers behind EHLO are compared elsewhere (tests/system/test_smtp_dialogue.py).
    return lines[0][:3] + lines[0][4:] if len(lines) > 1 and lines[0].startswith("250") \
        else "|".join(lines)


class Pair:
    def __init__(self, parameters, services, files=None, maps=None, zone=None,
                 has_cleanups=False, sink=lambda: Sink(decode_data=False)):
        """`files` are written into both configuration folders; `maps` too, and postmap makes
        hash: of them. `has_cleanups`: overrides of services are for cleanup, too. `sink` makes
        what mail is delivered to: it has a port, start() and stop()."""
        for network in NETWORKS:
            subprocess.run(["ip", "route", "replace", "local", network, "dev", "lo"], check=True)
        parameters = {**COMMON, **parameters}
        self.names = Resolver(zone or {})
        self.sides = [Side(kind, parameters, services, sink) for kind in
                      (PostfixWithCleanups if has_cleanups else Postfix, Waypost)]
        for side in self.sides:
            for name, text in {**(files or {}), **(maps or {})}.items():
                (side.system.config / name).write_text(text)
            for name in maps or {}:
                side.system.postmap(side.system.config / name)

    def __enter__(self):
        self.names.__enter__()
        try:
            for side in self.sides:
                side.sink.start()
                side.system.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for side in self.sides:
            side.system.stop()
            side.sink.stop()
        self.names.__exit__()

    def play(self, dialogues):
        """[(dialogue, what Postfix said, what Waypost said)…]"""
        with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
            said = [list(pool.map(side.play, dialogues)) for side in self.sides]
        return list(zip(dialogues, *said))

    def compare(self, dialogues):
        """The first difference of each dialogue that has one. What differs is played once more,
        when failed DNS queries are forgotten: on a busy machine a name server may be late."""
        found = self.compare_once(dialogues)
        if found:
            time.sleep(DNS_FAILURE_SECONDS)
            found = self.compare_once([each.dialogue for each in found])
        return found

    def compare_once(self, dialogues):
        found = []
        for dialogue, theirs, ours in self.play(dialogues):
            for number in range(max(len(theirs), len(ours))):
                their, our = (each[number] if number < len(each) else ("end", "nothing")
                              for each in (theirs, ours))
                if their[1] != our[1]:
                    found.append(Difference(dialogue, their[0], their[1], our[1]))
                    break
        return found

    def log_lines(self, wanted):
        """Sorted log lines that match the pattern, made comparable: of Postfix and of Waypost."""
        deadline = time.monotonic() + 3  # the last lines are still on their way
        while True:
            both = []
            for side in self.sides:
                lines = filter(None, map(comparable_log, side.system.log().splitlines()))
                both.append(sorted(line for line in lines if re.search(wanted, line)))
            if both[0] == both[1] or time.monotonic() > deadline:
                return both
            time.sleep(0.2)

    def wait_delivered(self, count):
        """What the sinks received, once each has `count` messages: [(sender, recipients, content)]
        of Postfix and of Waypost."""
        return [[(each.sender or "", each.recipients, each.text)
                 for each in side.sink.wait(count)] for side in self.sides]


def is_possible():
    """Root in a network of its own, with Debian's Postfix."""
    return os.geteuid() == 0 and reference.is_installed() and has_own_network()


def unexplained(differences, explained):
    """Takes out the differences that a row (service pattern, step pattern, Postfix's reply, ours,
    reason) explains; patterns as in the shell, replies as regular expressions. Also gives the rows
    that explained nothing: they are to be taken out."""
    used = set()
    left = []
    for difference in differences:
        for row in explained:
            step = difference.step.decode("latin1") if isinstance(difference.step, bytes) \
                else str(difference.step)
            if fnmatch.fnmatch(difference.dialogue.service, row[0]) and \
                    fnmatch.fnmatch(step, row[1]) and re.fullmatch(row[2], difference.theirs) and \
                    re.fullmatch(row[3], difference.ours):
                used.add(row)
                break
        else:
            left.append(difference)
    return left, [row for row in explained if row not in used]


def unexplained_lines(theirs, ours, explained):
    """Lines that only one side has and no row (whose, pattern, reason) explains; whose is "Postfix",
    "Waypost" or "both"."""
    both = collections.Counter(theirs), collections.Counter(ours)
    left = []
    for side, lines in (("Postfix", both[0] - both[1]), ("Waypost", both[1] - both[0])):
        left += [f"{count} x {side}: {line}" for line, count in lines.items()
                 if not any(whose in (side, "both") and re.fullmatch(pattern, line)
                            for whose, pattern, _ in explained)]
    return left
