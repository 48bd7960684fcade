#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Random sessions with a running relay, many at once: clients that say anything to its server
(--side server), or servers that answer anything to its client (--side client).

    scripts/in-own-network tests/fuzz/random_sessions.py --sessions 100000 --seed 1

Then: no role has died, their memory is bounded, a normal message passes, and every message that was
answered 250 has arrived or its sender was told. Prints what it counted; exit status 1 with a line for
each promise that was broken. A session's number and the seed give the same session again."""
import argparse
import asyncio
import base64
import collections
import contextlib
import pathlib
import re
import ssl
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests/system")]

# pylint: disable=wrong-import-position
from certificates import Certificates  # noqa: E402
from session_grammar import PASSWORD, USER, Answers, Dice, client_session  # noqa: E402
from world import PATIENCE, Instance, free_port  # noqa: E402

REPLY_S = 2             # a client waits no longer for the first reply that does not come …
IMPATIENT_S = 0.3       # … and for the ones after it
SESSION_S = 60          # and a session lasts no longer
END_S = 300             # the time in which all mail must have come to an end
PROGRESS = 10_000
CLIENT_STEPS = ["connect", "helo", "starttls", "mail", "rcpt", "data_init", "data_xfer", "data_done", "rset",
                "quit", "xforward"]
MEMORY_KB_MAX = 65536   # what a role may grow while it serves sessions
QUEUED = re.compile(rb"250 2\.0\.0 Ok: queued as (\w+)")
RECEIVED = re.compile(rb"by relay\.example\.test \(Postfix\) with \w+ id (\w+)")


class Auth:
    """Dovecot's authentication protocol, as much of it as PLAIN and LOGIN need."""

    @staticmethod
    async def serve(reader, writer):
        writer.write(b"VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t1\nCUID\t1\n"
                     b"COOKIE\t0123456789abcdef0123456789abcdef\nDONE\n")
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while line := await reader.readline():
                words = line.rstrip(b"\n").split(b"\t")
                if words[0] not in (b"AUTH", b"CONT") or len(words) < 3:
                    continue
                response = words[-1].removeprefix(b"resp=")
                if words[0] == b"AUTH" and not words[-1].startswith(b"resp="):
                    writer.write(b"CONT\t%s\tVXNlcm5hbWU6\n" % words[1])
                elif Auth.is_right(response):
                    writer.write(b"OK\t%s\tuser=%s\n" % (words[1], USER.encode()))
                else:
                    writer.write(b"FAIL\t%s\tuser=x\n" % words[1])
        writer.close()

    @staticmethod
    def is_right(response):
        with contextlib.suppress(ValueError):
            return base64.b64decode(response).endswith(b"\0" + PASSWORD.encode())
        return False


class Sink:
    """Takes every message, and knows by which queue ids."""

    def __init__(self):
        self.ids = set()
        self.texts = collections.Counter()

    async def serve(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            writer.write(b"220 sink.example ESMTP\r\n")
            while line := await reader.readline():
                verb = line[:4].upper()
                if verb == b"DATA":
                    writer.write(b"354 go\r\n")
                    self.take(await read_content(reader))
                    writer.write(b"250 2.0.0 Ok\r\n")
                elif verb == b"EHLO":
                    writer.write(b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-DSN\r\n"
                                 b"250 SMTPUTF8\r\n")
                else:
                    writer.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 2.0.0 Ok\r\n")
                    if verb == b"QUIT":
                        break
        writer.close()

    def take(self, content):
        self.ids.update(RECEIVED.findall(re.sub(rb"\r\n[ \t]+", b" ", content)))
        self.texts.update(re.findall(rb"(?m)^X-Token: (\S+)", content))


async def read_content(reader):
    content = b""
    while not content.endswith(b"\r\n.\r\n") and content != b".\r\n":
        content += await reader.readuntil(b"\n")
    return content


def tell_progress(counts):
    if counts["sessions"] % PROGRESS == 0:
        print(time.strftime("%H:%M:%S"), counts["sessions"], "sessions", file=sys.stderr, flush=True)


class Clients:
    """Random clients of the relay's server."""

    def __init__(self, options, relay, secure):
        self.options, self.relay, self.secure = options, relay, secure
        self.accepted = set()
        self.counts = collections.Counter()

    async def run(self, begin, end):
        numbers = iter(range(begin, end))

        async def worker():
            for number in numbers:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self.session(number), SESSION_S)

        await asyncio.gather(*(worker() for _ in range(self.options.at_once)))

    async def session(self, number):
        dice = Dice(self.options.seed * 1_000_000_007 + number)
        # Some of them are strangers, who may not relay.
        local = "127.0.0.1" if dice.random() < 0.7 else f"127.0.1.{dice.randrange(1, 250)}"
        said = bytearray()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.relay.port,
                                                           local_addr=(local, 0), limit=1 << 20)
        except OSError as error:
            self.counts[f"connect: {error.strerror}"] += 1
            return
        try:
            await self.play(client_session(dice), reader, writer, said)
        except (OSError, EOFError, asyncio.TimeoutError) as problem:
            self.counts[f"ended early: {type(problem).__name__}"] += 1
        finally:
            writer.transport.abort()
            self.counts["sessions"] += 1
            tell_progress(self.counts)
            self.accepted.update(QUEUED.findall(said))

    async def play(self, steps, reader, writer, said):
        code, patience = None, REPLY_S
        with contextlib.suppress(StopIteration):
            while True:
                kind, *more = steps.send(code)
                code = None
                if kind == "wait":
                    code = await self.read_replies(more[0], patience, reader, said)
                    if code == 0:
                        self.counts["replies that did not come"] += 1
                        patience = IMPATIENT_S
                else:
                    await self.take_step(kind, more, reader, writer, said)

    async def take_step(self, kind, more, reader, writer, said):
        if kind == "send":
            writer.write(more[0])
            await writer.drain()
        elif kind == "tls":
            await writer.start_tls(self.secure, ssl_handshake_timeout=10)
            self.counts["handshakes"] += 1
        elif more[0] in ("quit", "shut"):
            if more[0] == "quit":
                writer.write(b"QUIT\r\n")
            if writer.can_write_eof():
                writer.write_eof()
            with contextlib.suppress(asyncio.TimeoutError):
                while chunk := await asyncio.wait_for(reader.read(65536), REPLY_S):
                    said += chunk

        return None

    @staticmethod
    async def read_replies(count, patience, reader, said):
        """The last one's code; 0 where it did not come in time."""
        code = 0
        with contextlib.suppress(asyncio.TimeoutError, ValueError):
            async with asyncio.timeout(patience):
                while count > 0:
                    line = await reader.readline()
                    if not line:
                        raise EOFError
                    said += line
                    if line[3:4] != b"-":
                        code, count = int(line[:3]), count - 1
            return code
        return 0


class Servers:
    """Servers that answer anything, until they are told to be good. Knows what it was sent whole."""

    def __init__(self, options, secure):
        self.options, self.secure = options, secure
        self.is_good = False
        self.counts = collections.Counter()
        self.seen = set()  # tokens of contents that came up to their end

    async def serve(self, reader, writer):
        dice = Dice(self.options.seed * 1_000_000_007 + self.counts["sessions"])
        self.counts["sessions"] += 1
        tell_progress(self.counts)
        if self.is_good:
            dice.badness = 0
        answers = Answers(dice)
        with contextlib.suppress(OSError, EOFError, ValueError, asyncio.TimeoutError):
            await asyncio.wait_for(self.converse(answers, reader, writer), SESSION_S)
        writer.transport.abort()

    async def converse(self, answers, reader, writer):
        is_secure = False
        await self.say(writer, answers.greeting())
        while line := await reader.readline():
            reply = self.good_reply(line) if self.is_good else answers.to(line, is_secure)
            await self.say(writer, reply)
            verb = line[:8].strip().upper()
            if verb == b"STARTTLS" and reply.startswith(b"220"):
                if answers.dice.random() < 0.2:
                    await self.say(writer, answers.dice.randbytes(300))
                await writer.start_tls(self.secure, ssl_handshake_timeout=10)
                self.counts["handshakes"] += 1
                is_secure = True
            elif verb == b"DATA" and reply.startswith(b"354"):
                content = await read_content(reader)
                self.seen.update(re.findall(rb"(?m)^X-Token: (\S+)", content))
                self.counts["contents"] += 1
                await self.say(writer, b"250 2.0.0 taken\r\n" if self.is_good else answers.to_content())
            elif verb == b"QUIT":
                return

    @staticmethod
    def good_reply(line):
        return {b"DATA": b"354 go\r\n", b"QUIT": b"221 bye\r\n"}.get(line[:4].upper(), b"250 2.0.0 Ok\r\n")

    @staticmethod
    async def say(writer, reply):
        if reply is None:
            raise EOFError
        writer.write(reply)
        await writer.drain()


class Fates:
    """What became of messages, by queue id, from the log as it grows."""

    LINE = re.compile(rb" (\w+): (?:to=<.*, status=(sent|bounced)|(removed)$)")

    def __init__(self, relay):
        self.path, self.offset = relay.log_file, 0
        self.ids = {b"sent": set(), b"bounced": set(), b"removed": set()}

    def read(self):
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self.offset += len(line)
                found = self.LINE.search(line[:-1])
                if found:
                    self.ids[found[2] or found[3]].add(found[1])
        return self

    def __getattr__(self, name):
        return self.ids[name.encode()]


class Watch:
    """The relay's roles: that they live, and how much memory each holds."""

    def __init__(self, relay):
        self.relay = relay
        self.pids = relay.role_pids()
        self.before = self.memory()
        self.sizes = {}  # before and after

    def memory(self):
        sizes = {}
        for role, pids in self.pids.items():
            for pid in pids:
                with contextlib.suppress(OSError):
                    text = pathlib.Path(f"/proc/{pid}/status").read_text()
                    sizes[f"{role} {pid}"] = int(re.search(r"RssAnon:\s+(\d+)", text)[1])
        return sizes

    def problems(self):
        now = self.memory()
        for name, before in self.before.items():
            if name not in now:
                yield f"{name} has died"
            elif now[name] - before > MEMORY_KB_MAX:
                yield f"{name} has grown from {before} to {now[name]} kB"
        bad = re.compile("killed by signal|exit status|panic:|Sanitizer|runtime error")
        yield from (line for line in self.relay.log().splitlines() if bad.search(line))
        self.sizes = {name: (size, now.get(name, 0)) for name, size in self.before.items()}


def make_relay(**parameters):
    return Instance(relayhost="", mydestination="", local_transport="smtp", notify_classes="",
                    maximal_queue_lifetime="5d", minimal_backoff_time="1s", maximal_backoff_time="2s",
                    queue_run_delay="1s", queue_retry_jitter="0",
                    default_destination_concurrency_failed_cohort_limit="0",
                    initial_destination_concurrency="100", default_destination_concurrency_limit="200",
                    default_process_limit="300", **parameters)


def server_relay(port):
    certificate, key = Certificates().make("relay.example.test", kind=("ec", "-pkeyopt",
                                                                       "ec_paramgen_curve:P-256"))
    relay = make_relay(mynetworks="127.0.0.1", smtpd_tls_security_level="may",
                       smtpd_tls_cert_file=certificate, smtpd_tls_key_file=key,
                       smtpd_sasl_auth_enable="yes", smtpd_sasl_type="dovecot", smtpd_sasl_path="private/auth", smtpd_error_sleep_time="0",
                       smtpd_client_connection_count_limit="0", smtpd_timeout="20s",
                       smtpd_peername_lookup="no",
                       smtpd_authorized_xclient_hosts="127.0.0.1",
                       smtpd_authorized_xforward_hosts="127.0.0.1", message_size_limit="200000")
    relay.parameters["relayhost"] = f"[127.0.0.1]:{port}"
    relay.write()
    return relay


async def in_thread(function, *arguments):
    return await asyncio.to_thread(function, *arguments)


async def try_server(options):
    """(counts, memory, problems) of random clients."""
    sink, problems, port = Sink(), [], free_port()
    secure = ssl.create_default_context()
    secure.check_hostname, secure.verify_mode = False, ssl.CERT_NONE
    listener = await asyncio.start_server(sink.serve, "127.0.0.1", port, limit=1 << 22)
    with server_relay(port) as relay:
        (relay.queue / "private").mkdir(exist_ok=True)
        path = relay.queue / "private" / "auth"
        auth = await asyncio.start_unix_server(Auth.serve, str(path), limit=1 << 20)
        path.chmod(0o666)
        clients = Clients(options, relay, secure)
        warm = min(options.sessions // 10, 2000)
        await clients.run(0, warm)
        watch = Watch(relay)
        await clients.run(warm, options.sessions)
        await pass_normally(relay, sink, problems)
        problems += await in_thread(lambda: list(watch.problems()))
        missing = await settle(relay, clients.accepted, sink)
        problems += [f"{each.decode()} was answered 250 and has neither arrived nor bounced"
                     for each in missing]
        clients.counts["answered 250"] = len(clients.accepted)
        clients.counts["of them bounced"] = len(clients.accepted - sink.ids)
        auth.close()
    listener.close()
    return clients.counts, watch.sizes, problems


async def pass_normally(relay, sink, problems):
    """Mail as usual, after all that."""
    def send():
        with relay.connect() as client:
            client.command("EHLO client.example.test")
            return client.deliver("a@b.example", ["c@d.example"], "X-Token: normal\r\n\r\ntext\r\n")
    code, text = await in_thread(send)
    if code != 250:
        problems.append(f"a normal message was answered {code} {text}")
    deadline = time.monotonic() + PATIENCE
    while not sink.texts[b"normal"] and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    if not sink.texts[b"normal"]:
        problems.append("a normal message did not arrive")


async def settle(relay, accepted, sink):
    """The queue ids that have come to no end."""
    fates, deadline = Fates(relay), time.monotonic() + END_S
    while True:
        await in_thread(fates.read)
        missing = accepted - sink.ids - fates.bounced
        if not missing or time.monotonic() > deadline:
            return missing
        await asyncio.sleep(0.5)


async def try_client(options):
    """(counts, memory, problems) of random servers."""
    problems, port = [], free_port()
    certificate, key = Certificates().make("server.example", kind=("ec", "-pkeyopt",
                                                                   "ec_paramgen_curve:P-256"))
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(certificate, key)
    servers = Servers(options, secure)
    listener = await asyncio.start_server(servers.serve, "0.0.0.0", port, limit=1 << 20, backlog=500)
    relay = make_relay(smtp_tls_security_level="may", smtp_sasl_auth_enable="yes",
                       smtp_sasl_security_options="noanonymous", smtp_connection_reuse_count_limit="3",
                       **{f"smtp_{step}_timeout": "3s" for step in CLIENT_STEPS},
                       smtp_sasl_password_maps=f"inline:{{ {{ [127.0.0.1]:{port} = {USER}:{PASSWORD} }} }}")
    relay.parameters["relayhost"] = f"[127.0.0.1]:{port}"
    relay.write()
    with relay:
        watch, tokens, fates = Watch(relay), {}, Fates(relay)
        while servers.counts["sessions"] < options.sessions:
            await in_thread(keep_supplied, relay, tokens, fates, options.at_once * 2)
            await asyncio.sleep(0.2)
        chaos = collections.Counter(servers.counts)
        servers.is_good = True
        deadline = time.monotonic() + END_S
        while (left := set(tokens) - (await in_thread(fates.read)).removed) and \
                time.monotonic() < deadline:
            await asyncio.sleep(0.5)
        problems += [f"{each.decode()} came to no end" for each in left]
        sent = fates.sent & set(tokens)
        problems += [f"{identity.decode()} counts as sent, and its content did not come"
                     for identity in sent if tokens[identity] not in servers.seen]
        problems += await in_thread(lambda: list(watch.problems()))
        chaos |= {"messages": len(tokens), "sent": len(sent)}
    listener.close()
    return chaos, watch.sizes, problems


def keep_supplied(relay, tokens, fates, count):
    """So many messages wait that there is always a next session."""
    waiting = set(tokens) - fates.read().removed
    with relay.connect() as client:
        client.command("EHLO client.example.test")
        for _ in range(count - len(waiting)):
            token = str(len(tokens))
            code, text = client.deliver("", ["c@d.example"], f"X-Token: {token}\r\n\r\n.\r\ntext\r\n")
            if code != 250:
                raise AssertionError(f"{code} {text}")
            tokens[text[0].split()[-1].encode()] = token.encode()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", choices=("server", "client"), default="server")
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=100)
    options = parser.parse_args()
    begun = time.monotonic()
    attempt = try_server if options.side == "server" else try_client
    counts, memory, problems = asyncio.run(attempt(options))
    print(f"{options.side}: {dict(counts)} in {time.monotonic() - begun:.0f} s")
    print("memory (RssAnon, kB, after a tenth and at the end): " +
          ", ".join(f"{name} {size}" for name, size in sorted(memory.items())))
    print("\n".join(problems[:50]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
