# SPDX-License-Identifier: Apache-2.0
"""A ledger of promises: clients that note every 250 they were given, a server that notes every
message it took, and the comparison. Run as a program it kills the relay many times:

    tests/crash/ledger.py [--rounds 100] [--sessions 8] [--victim all|each|ROLE]
                          [--folder /var/tmp]

A message may come twice, where the process that delivers it, or the queue, was killed between the
server's 250 and the commit of that result: then both copies have one queue id, such a kill lies
between them, and the log never says that the message was removed before. Any other duplicate is a fault.
"""
import argparse
import collections
import contextlib
import hashlib
import os
import pathlib
import random
import re
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "system"))

from world import Client, Delivered, Instance, Sink, is_alive, wait_until  # noqa: E402

ROLES = ["master", "queue", "smtp", "smtpd", "resolver", "log", "anvil", "pickup"]
HAVE_RESULTS = {"all", "master", "queue", "smtp"}  # whose death may repeat a delivery
SIZES = [200, 2000, 4000, 20000, 70000, 200000]  # inline, one frame, streamed in chunks


SINK_LAG_SECONDS = 1.0  # between a delivery's last byte and the moment that is noted of it

Copy = collections.namedtuple("Copy", "digest queue_id at")
Comparison = collections.namedtuple(
    "Comparison", "promised lost damaged duplicated unexplained unanswered")


class TimedSink(Sink):
    """Notes when each message came."""

    async def handle_DATA(self, server, session, envelope):
        message = Delivered(envelope, session)
        message.at = time.monotonic()
        self.messages.append(message)
        return "250 2.0.0 Ok: taken"


class Ledger:
    def __init__(self, relay_port, sink, seed):
        self.port, self.sink, self.seed = relay_port, sink, seed
        self.sent = {}          # token -> digest of the body, of all that were sent whole
        self.promised = {}      # the same of those that got a 250
        self.unanswered = set() # sent whole, no reply: may or may not arrive
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.threads = []
        self.copies = collections.defaultdict(list)  # token -> [Copy, …]
        self.copies_read = 0
        self.killed_at = []  # time.monotonic()

    def start(self, sessions):
        for number in range(sessions):
            thread = threading.Thread(target=self.client, args=(number,), daemon=True)
            thread.start()
            self.threads.append(thread)

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def client(self, number):
        chance = random.Random(f"{self.seed}-{number}")
        count = 0
        while not self.stopped.is_set():
            with contextlib.suppress(OSError, ValueError), \
                    Client("127.0.0.1", self.port, 10) as client:
                if client.banner[0] != 220 or client.command("EHLO client.example.test")[0] != 250:
                    continue
                for _ in range(20):
                    count += 1
                    if not self.send_one(client, f"{number}-{count}", chance):
                        break
                    if self.stopped.is_set():
                        break
            time.sleep(0.01)

    def send_one(self, client, token, chance):
        size = chance.choices(SIZES, [30, 30, 25, 8, 5, 2])[0]
        line = f"{token} " + "x" * 60 + "\r\n"
        body = line * (size // len(line) + 1)
        content = f"Subject: ledger\r\nX-Token: {token}\r\n\r\n{body}"
        recipient = self.recipient(token, chance)
        for command in ("MAIL FROM:<ledger@example.test>", f"RCPT TO:<{recipient}>", "DATA"):
            if client.command(command)[0] not in (250, 354):
                return False
        digest = hashlib.sha256(body.encode()).hexdigest()
        with self.lock:
            self.unanswered.add(token)
            self.sent[token] = digest
        client.send(content + ".\r\n")
        code, text = client.reply()
        if code == 0:
            return False
        with self.lock:
            self.unanswered.discard(token)
            if code == 250:
                self.promised[token] = digest
                self.note_answer(token, text[-1].split()[-1])
        return code == 250

    def recipient(self, _token, _chance):
        return "ledger@example.com"

    def note_answer(self, token, queue_id):
        """For more to be kept of a promise."""

    def delivered(self):
        """{token: [Copy, …]} of what the server took."""
        while self.copies_read < len(self.sink.messages):
            each = self.sink.messages[self.copies_read]
            head, _, body = each.content.partition(b"\r\n\r\n")
            token = re.search(rb"X-Token: (\S+)", head)[1].decode()
            queue_id = re.search(rb"E?SMTP id (\w+)", head)[1].decode()
            self.copies[token].append(Copy(hashlib.sha256(body).hexdigest(), queue_id, each.at))
            self.copies_read += 1
        return self.copies

    def compare(self, log):
        """What differs between promises and deliveries."""
        found = self.delivered()
        lost = [token for token in self.promised if token not in found]
        damaged = [token for token, digest in self.promised.items()
                   if any(each.digest != digest for each in found.get(token, []))]
        twice = {token: copies for token, copies in found.items() if len(copies) > 1}
        removals = collections.Counter(re.findall(r"(\w+): removed$", log, re.M))
        unexplained = [token for token, copies in twice.items()
                       if not self.is_explained(copies, removals)]
        return Comparison(len(self.promised), lost, damaged, list(twice), unexplained,
                          len(self.unanswered))

    def is_explained(self, copies, removals):
        return (len({each.queue_id for each in copies}) == 1
                and removals[copies[0].queue_id] <= 1
                and all(any(earlier.at - SINK_LAG_SECONDS <= kill <= later.at
                            for kill in self.killed_at)
                        for earlier, later in zip(copies, copies[1:])))


def kill(relay, victim):
    """kill -9 of everything, or of all workers of one role (the master restarts those). Where the
    master alone dies its children must follow it by themselves."""
    if victim in ("all", "master"):
        children = sum(relay.role_pids().values(), [])
        if victim == "all":
            relay.kill_everything()
        else:
            os.kill(relay.master_pid(), 9)
        relay.start()
        wait_until(lambda: not any(map(is_alive, children)), "the end of the dead master's children")
        return
    for pid in relay.role_pids().get(victim, []):
        with contextlib.suppress(OSError):
            os.kill(pid, 9)


def run(rounds, sessions=8, victim="all", folder=None, seed=1):
    """Kills in random moments while mail flows in and out. `victim`: "all", a role, or "each" for
    all of these in turns that chance decides."""
    chance = random.Random(seed)
    place = tempfile.mkdtemp(prefix="waypost-crash-", dir=folder)
    with TimedSink() as sink:
        relay = Instance(place, relayhost=f"[127.0.0.1]:{sink.port}", minimal_backoff_time="1s",
                         maximal_backoff_time="2s", queue_run_delay="1s",
                         maillog_file_prefixes=place)
        with relay:
            ledger = Ledger(relay.port, sink, seed)
            ledger.start(sessions)
            for number in range(rounds):
                time.sleep(chance.uniform(0.05, 1.0))
                chosen = chance.choice(["all", *ROLES]) if victim == "each" else victim
                if chosen in HAVE_RESULTS:
                    ledger.killed_at.append(time.monotonic())
                kill(relay, chosen)
                if sys.stderr.isatty():
                    print(f"\rround {number + 1}/{rounds}, promised {len(ledger.promised)}, "
                          f"delivered {len(sink.messages)}  ", end="", file=sys.stderr)
            ledger.stop()
            with contextlib.suppress(AssertionError):
                wait_until(lambda: ledger.promised.keys() <= ledger.delivered().keys()
                           and relay.queue_is_empty(), "what was promised", 90)
            return ledger.compare(relay.log())


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--victim", default="all")
    parser.add_argument("--folder", default="/var/tmp")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    found = run(options.rounds, options.sessions, options.victim, options.folder, options.seed)
    print(f"\n{options.rounds} kills ({options.victim}): promised {found.promised}, lost "
          f"{len(found.lost)}, damaged {len(found.damaged)}, duplicated {len(found.duplicated)}, "
          f"of those unexplained {len(found.unexplained)}, without an answer {found.unanswered}")
    for what in ("lost", "damaged", "unexplained"):
        for token in getattr(found, what)[:20]:
            print(f"{what}: {token}")
    return 1 if found.lost or found.damaged or found.unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
