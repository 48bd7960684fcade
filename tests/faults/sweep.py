# SPDX-License-Identifier: Apache-2.0
"""Faults at the Nth call: a relay whose C library fails as it is told (shim.c), and a ledger of what
it promised meanwhile. Run as a program it tries many:

    tests/faults/sweep.py [--rounds 1000] [--seed 1] [--role ROLE] [--call CALL] [--quiet]

A round arms one fault (role, call, after how many calls, how), does one thing that an operator or a
client does, and disarms it. After all rounds, without faults, everything that got a 250 must have
been delivered, whole, unless an operator deleted it or the sender has its notice."""
import argparse
import collections
import contextlib
import errno
import itertools
import mmap
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "system"))

from world import BUILD, COMMANDS, PROGRAM, Client, Instance, Sink, wait_until  # noqa: E402

SHIM = BUILD / "tests" / "faults" / "fault-shim.so"
is_possible = shutil.which("patchelf") is not None and SHIM.exists()

FAIL, SHORT, DELAY = range(3)
MEMORY = ["malloc", "calloc", "realloc", "mmap"]
STREAMS = ["recv", "send", "sendmsg", "recvmsg", "epoll_ctl"]
CALLS = {
    "smtpd": MEMORY + STREAMS + ["accept4"],
    "queue": MEMORY + ["sendmsg", "recvmsg", "epoll_ctl", "pwrite", "pwritev", "fdatasync", "fsync", "ftruncate", "open",
                                 "rename", "memfd_create", "thread"],
    "smtp": MEMORY + STREAMS + ["socket", "connect"],
    "pickup": MEMORY + ["read", "sendmsg", "recvmsg"] + ["open", "unlinkat", "rename"],
    "resolver": MEMORY + ["sendmsg", "recvmsg", "epoll_ctl"] + ["socket", "connect"],
    "log": MEMORY + ["recv", "write", "epoll_ctl"],
    "master": ["malloc", "calloc", "fork", "socketpair", "sendmsg", "recvmsg", "epoll_ctl", "open"],
}
ERRORS = {
    "malloc": errno.ENOMEM, "calloc": errno.ENOMEM, "realloc": errno.ENOMEM, "mmap": errno.ENOMEM,
    "read": errno.EIO, "write": errno.ENOSPC, "pwrite": errno.ENOSPC, "pwritev": errno.EIO,
    "fdatasync": errno.EIO, "fsync": errno.EIO, "ftruncate": errno.ENOSPC, "open": errno.EMFILE,
    "rename": errno.EIO, "unlinkat": errno.EROFS, "socket": errno.EMFILE,
    "connect": errno.ENETUNREACH, "accept4": errno.EMFILE, "sendmsg": errno.ENOBUFS,
    "recvmsg": errno.ECONNRESET, "recv": errno.ECONNRESET, "send": errno.ECONNRESET,
    "epoll_ctl": errno.ENOSPC, "fork": errno.EAGAIN, "socketpair": errno.EMFILE,
    "memfd_create": errno.EMFILE, "thread": errno.EAGAIN,
}
CAN_BE_SHORT = {"read", "write", "recv", "send", "pwrite"}
ORDER = struct.Struct("16s16s5i")
ORDER_BYTES = ORDER.size + 4 + 8  # and padding, and by how much the clock is ahead
SENDER, RECIPIENT = "sender@example.test", "user@example.com"


class FaultyInstance(Instance):
    """Its programs are copies that load the shim."""

    def __init__(self, **parameters):
        super().__init__(**parameters)
        program = self.folder / "waypost"
        shutil.copy(PROGRAM, program)
        subprocess.run(["patchelf", "--add-needed", str(SHIM), str(program)], check=True)
        self.order_path = program.with_name("waypost.order")
        self.order_path.write_bytes(bytes(ORDER_BYTES))
        self.order_path.chmod(0o666)
        for name in COMMANDS:
            (self.bin / name).unlink()
            (self.bin / name).symlink_to(program)
        with open(self.order_path, "r+b") as file:
            self.order = mmap.mmap(file.fileno(), ORDER_BYTES)

    def arm(self, fault, error=None):
        self.order[:ORDER.size] = ORDER.pack(
            fault.role.encode(), fault.call.encode(), fault.wait, fault.count, fault.kind,
            error or ERRORS[fault.call], 0)

    def step_clock(self, seconds):
        """The wall clock of all its processes is so far ahead from now on."""
        self.order[ORDER.size + 4:] = struct.pack("q", seconds)

    def disarm(self):
        """How often the fault struck."""
        hits = ORDER.unpack(self.order[:ORDER.size])[6]
        self.order[:ORDER.size] = bytes(ORDER.size)
        return hits


Fault = collections.namedtuple("Fault", "role call wait count kind")


class Ledger:
    """What was promised, by token. A deletion that was asked for takes the promise back."""

    def __init__(self, relay, sink):
        self.relay, self.sink = relay, sink
        self.tokens = (f"token-{number:06}" for number in itertools.count())
        self.promised, self.occurrences, self.by = set(), {}, {}
        self.doing = None

    def content(self, size):
        token = next(self.tokens)
        line = f"{token} and what follows it in a line of some length\r\n"
        body = line * (size // len(line) + 1)
        text = f"Subject: {token}\r\nX-Token: {token}\r\n\r\n{body}"
        self.occurrences[token], self.by[token] = text.count(token), self.doing
        return token, text

    def send(self, size=300, recipients=(RECIPIENT,), sender=SENDER):
        """One message by SMTP; its queue id, or None."""
        token, content = self.content(size)
        with contextlib.suppress(OSError, ValueError):
            with Client("127.0.0.1", self.relay.port, 5) as client:
                if client.banner[0] == 220 and client.command("EHLO client.example.test")[0] == 250:
                    code, text = client.deliver(sender, recipients, content)
                    if code == 250:
                        self.promised.add(token)
                        return re.search(r"queued as (\w+)", text[-1])[1]
        return None

    def sendmail(self, size=300):
        token, content = self.content(size)
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = self.relay.sendmail("-f", SENDER, RECIPIENT, input=content.replace("\r\n", "\n"),
                                       check=False)
            if done.returncode == 0:
                self.promised.add(token)

    def arrived(self):
        """The tokens of the messages that came whole, themselves or in a notice."""
        found = set()
        for message in list(self.sink.messages):
            text = message.content.decode(errors="replace")
            found |= {token for token in re.findall(r"^X-Token: (token-\d+)", text, re.M)
                      if text.count(token) >= self.occurrences[token]}
        return found

    def missing(self):
        return self.promised - self.arrived()


# ---- what is done while a fault is armed ----

def small(ledger):
    ledger.send()


def large(ledger):
    ledger.send(size=300_000)


def many_recipients(ledger):
    ledger.send(recipients=[f"user{number}@example.com" for number in range(60)])


def local_submission(ledger):
    ledger.sendmail()


def large_submission(ledger):
    ledger.sendmail(size=200_000)


def deferred_then_flushed(ledger):
    ledger.sink.answers["RCPT"] = lambda address: "450 4.2.0 later"
    ledger.send()
    ledger.sink.answers.clear()
    quietly(ledger.relay, "postqueue", "-f")


def bounced(ledger):
    ledger.sink.answers["RCPT"] = lambda address: "550 5.1.1 no" if "nobody" in address else None
    ledger.send(sender="notices@example.com", recipients=["nobody@example.com"])
    time.sleep(0.2)


def held_and_released(ledger):
    ledger.sink.answers["RCPT"] = lambda address: "450 4.2.0 later"
    queue_id = ledger.send()
    ledger.sink.answers.clear()
    for option in ("-h", "-H"):
        if queue_id:
            quietly(ledger.relay, "postsuper", option, queue_id)


def requeued(ledger):
    ledger.sink.answers["RCPT"] = lambda address: "450 4.2.0 later"
    queue_id = ledger.send()
    ledger.sink.answers.clear()
    if queue_id:
        quietly(ledger.relay, "postsuper", "-r", queue_id)


def deleted(ledger):
    ledger.sink.answers["RCPT"] = lambda address: "450 4.2.0 later"
    before = set(ledger.promised)
    queue_id = ledger.send()
    ledger.sink.answers.clear()
    if queue_id:
        quietly(ledger.relay, "postsuper", "-d", queue_id)
        ledger.promised = before


def listed(ledger):
    ledger.send()
    quietly(ledger.relay, "mailq", option="-C")


def reloaded(ledger):
    ledger.send()
    quietly(ledger.relay, "postfix", "reload")
    ledger.send()


def aborted(ledger):
    with contextlib.suppress(OSError, ValueError), \
            Client("127.0.0.1", ledger.relay.port, 5) as client:
        client.command("EHLO client.example.test")
        client.command(f"MAIL FROM:<{SENDER}>")
        client.command(f"RCPT TO:<{RECIPIENT}>")
        client.command("DATA")
        client.send("half a mess")


def chunked(ledger):
    token, content = ledger.content(5000)
    with contextlib.suppress(OSError, ValueError), \
            Client("127.0.0.1", ledger.relay.port, 5) as client:
        client.command("EHLO client.example.test")
        client.command(f"MAIL FROM:<{SENDER}>")
        client.command(f"RCPT TO:<{RECIPIENT}>")
        client.send(f"BDAT {len(content)} LAST\r\n{content}")
        if client.reply()[0] == 250:
            ledger.promised.add(token)


def pipelined(ledger):
    token, content = ledger.content(300)
    with contextlib.suppress(OSError, ValueError), \
            Client("127.0.0.1", ledger.relay.port, 5) as client:
        client.command("EHLO client.example.test")
        client.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{RECIPIENT}>\r\nDATA\r\n")
        if [client.reply()[0] for _ in range(3)] == [250, 250, 354]:
            client.send(f"{content}.\r\n")
            if client.reply()[0] == 250:
                ledger.promised.add(token)


def by_name(ledger):
    """Through the resolver, which refuses in this network: deferred, then given to the sink."""
    ledger.send(recipients=["user@[127.0.0.1]", RECIPIENT])


def expired(ledger):
    ledger.sink.answers["RCPT"] = lambda address: "450 4.2.0 later"
    queue_id = ledger.send(sender="notices@example.com")
    ledger.sink.answers.clear()
    if queue_id:
        quietly(ledger.relay, "postsuper", "-e", queue_id)


def two_at_once(ledger):
    with contextlib.suppress(OSError, ValueError), \
            Client("127.0.0.1", ledger.relay.port, 5):
        ledger.send()


def several_in_one_connection(ledger):
    with contextlib.suppress(OSError, ValueError), \
            Client("127.0.0.1", ledger.relay.port, 5) as client:
        client.command("EHLO client.example.test")
        for _ in range(3):
            token, content = ledger.content(300)
            code, _ = client.deliver(SENDER, [RECIPIENT], content)
            if code == 250:
                ledger.promised.add(token)


def dropped_by_the_server(ledger):
    ledger.sink.answers["DATA"] = lambda *_: "421 4.3.2 going"
    ledger.send()
    ledger.sink.answers.clear()
    quietly(ledger.relay, "postqueue", "-f")


MAIL, LOCAL = ("smtpd", "queue", "queue", "smtp", "log"), ("pickup", "pickup", "queue", "smtp", "log")
SCENARIOS = {  # and the roles that have to do with it
    small: MAIL, large: MAIL, many_recipients: MAIL, local_submission: LOCAL,
    large_submission: LOCAL, deferred_then_flushed: MAIL, bounced: MAIL, held_and_released: MAIL,
    requeued: ("queue", "queue", "smtpd", "smtp"), deleted: ("queue", "queue", "smtpd"),
    listed: ("queue", "log"), reloaded: tuple(CALLS), aborted: ("smtpd", "queue"), chunked: MAIL,
    pipelined: MAIL, by_name: ("resolver", "smtp", "queue"), expired: ("queue", "queue", "smtp"),
    two_at_once: MAIL, several_in_one_connection: MAIL, dropped_by_the_server: MAIL,
}


def quietly(relay, command, *arguments, option="-c"):
    with contextlib.suppress(subprocess.TimeoutExpired):
        relay.run(command, *arguments, check=False, config_option=option)


# ---- rounds ----

def choose(chance, only_role=None, only_call=None):
    scenario = chance.choice([each for each, roles in SCENARIOS.items()
                              if not only_role or only_role in roles])
    role = only_role or chance.choice(SCENARIOS[scenario])
    call = only_call or chance.choice(CALLS[role])
    kinds = [FAIL, FAIL, FAIL, DELAY] + ([SHORT] if call in CAN_BE_SHORT else [])
    return scenario, Fault(role, call, chance.choice([0, 0, 0, 0, 1, 1, 2, 3, 5, 8, 13, 30]),
                           chance.choice([1, 1, 1, 2, 5]), chance.choice(kinds))


def recover(relay, ledger, roles, what):
    """Mail is taken again. A role that died often waits for its restart, longer each time; then the
    whole is started anew. Where all roles are there and no mail is taken, something is stuck."""
    def is_well():
        if not relay.is_running():
            relay.start()
        if ledger.send() is not None:
            return True
        if not roles <= set(relay.role_pids()):
            with contextlib.suppress(AssertionError):
                relay.stop()
            relay.kill_everything()
        return False
    wait_until(is_well, f"mail to be taken again after {what}", 30)


class Outcome:
    def __init__(self):
        self.rounds = self.struck = 0
        self.by_fault = collections.Counter()
        self.promised, self.missing = 0, {}  # token -> in which round
        self.problems, self.log = [], ""


def run(rounds, seed=1, role=None, call=None, tell=lambda text: None):
    chance, outcome = random.Random(seed), Outcome()
    with Sink() as sink:
        relay = FaultyInstance(relayhost=f"[127.0.0.1]:{sink.port}", minimal_backoff_time="1s",
                               maximal_backoff_time="2s", queue_run_delay="1s",
                               smtpd_client_connection_rate_limit="0", smtp_connect_timeout="5s",
                               local_header_rewrite_clients="")
        try:
            relay.start()
            ledger, roles = Ledger(relay, sink), set(relay.role_pids())
            for number in range(rounds):
                scenario, fault = choose(chance, role, call)
                relay.arm(fault)
                ledger.doing = f"{number + 1}: {scenario.__name__}, {fault}"
                try:
                    scenario(ledger)
                finally:
                    struck = relay.disarm()
                    sink.answers.clear()
                outcome.rounds += 1
                outcome.struck += struck > 0
                if struck:
                    outcome.by_fault[fault.role, fault.call] += 1
                tell(f"{number + 1}: {scenario.__name__}, {fault.role} {fault.call} after "
                     f"{fault.wait} × {fault.count}, {['fails', 'short', 'slow'][fault.kind]}: "
                     f"{'struck' if struck else 'passed'}")
                ledger.doing = f"after round {number + 1}"
                recover(relay, ledger, roles, f"{fault} in {scenario.__name__}")
            quietly(relay, "postsuper", "-H", "ALL")

            def is_settled():
                quietly(relay, "postqueue", "-f")
                return not ledger.missing() or relay.queue_is_empty()
            with contextlib.suppress(AssertionError):
                wait_until(is_settled, "the queue to run empty", 60)
            time.sleep(0.5)
            outcome.promised = len(ledger.promised)
            outcome.missing = {token: ledger.by[token] for token in ledger.missing()}
            outcome.problems = re.findall(r".*(?:panic: |killed by signal 11\b).*", relay.log())
        except AssertionError as stuck:
            outcome.problems.append(str(stuck))
        finally:
            relay.disarm()
            outcome.log = relay.log()
            with contextlib.suppress(AssertionError):
                relay.stop()
            relay.kill_everything()
            shutil.rmtree(relay.folder, ignore_errors=True)
    return outcome


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--role", choices=list(CALLS))
    parser.add_argument("--call", choices=list(ERRORS))
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--log", type=pathlib.Path, help="keep the relay's log there")
    options = parser.parse_args()
    outcome = run(options.rounds, options.seed, options.role, options.call,
                  (lambda text: None) if options.quiet else lambda text: print(text, flush=True))
    if options.log:
        options.log.write_text(outcome.log)
    for (role, call), count in sorted(outcome.by_fault.items()):
        print(f"{role:9} {call:13} {count}")
    print(f"{outcome.rounds} rounds, {outcome.struck} with a fault that struck; promised "
          f"{outcome.promised}, lost {len(outcome.missing)}")
    for token, where in sorted(outcome.missing.items()):
        print(f"{token} is missing: {where}")
    for problem in outcome.problems:
        print(problem)
    sys.exit(1 if outcome.missing or outcome.problems else 0)


if __name__ == "__main__":
    main()
