# SPDX-License-Identifier: Apache-2.0
"""A ledger of promises: clients that note every 250 they were given, a server that notes every
message it took, and the comparison. Run as a program it kills the relay many times:

    tests/crash/ledger.py [--rounds 100] [--sessions 8] [--victim all|ROLE] [--folder /var/tmp]
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

from world import Client, Instance, Sink, wait_until  # noqa: E402

SIZES = [200, 2000, 4000, 20000, 70000, 200000]  # inline, one frame, streamed in chunks


class Ledger:
    def __init__(self, relay_port, sink, seed):
        self.port, self.sink, self.seed = relay_port, sink, seed
        self.sent = {}          # token -> digest of the body, of all that were sent whole
        self.promised = {}      # the same of those that got a 250
        self.unanswered = set() # sent whole, no reply: may or may not arrive
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.threads = []

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
        """{token: [digest of the body, …]} of what the server took."""
        found = collections.defaultdict(list)
        for each in list(self.sink.messages):
            head, _, body = each.content.partition(b"\r\n\r\n")
            token = re.search(rb"X-Token: (\S+)", head).group(1).decode()
            found[token].append(hashlib.sha256(body).hexdigest())
        return found

    def compare(self):
        """(lost, damaged, duplicated) tokens."""
        found = self.delivered()
        lost = [token for token in self.promised if token not in found]
        damaged = [token for token, digest in self.promised.items()
                   if any(each != digest for each in found.get(token, []))]
        duplicated = [token for token, each in found.items() if len(each) > 1]
        return lost, damaged, duplicated


def kill(relay, victim):
    """kill -9 of everything, or of all workers of one role (the master restarts those)."""
    if victim == "all":
        relay.kill_everything()
        relay.start()
        return
    for pid in relay.role_pids().get(victim, []):
        with contextlib.suppress(OSError):
            os.kill(pid, 9)


def run(rounds, sessions=8, victim="all", folder=None, seed=1):
    """Kills in random moments while mail flows in and out; returns (promised, lost, damaged,
    duplicated, unanswered)."""
    chance = random.Random(seed)
    place = tempfile.mkdtemp(prefix="waypost-crash-", dir=folder)
    with Sink() as sink:
        relay = Instance(place, relayhost=f"[127.0.0.1]:{sink.port}", minimal_backoff_time="1s",
                         maximal_backoff_time="2s", queue_run_delay="1s",
                         maillog_file_prefixes=place)
        with relay:
            ledger = Ledger(relay.port, sink, seed)
            ledger.start(sessions)
            for number in range(rounds):
                time.sleep(chance.uniform(0.05, 1.0))
                kill(relay, victim)
                if sys.stderr.isatty():
                    print(f"\rround {number + 1}/{rounds}, promised {len(ledger.promised)}, "
                          f"delivered {len(sink.messages)}  ", end="", file=sys.stderr)
            ledger.stop()
            wait_until(lambda: not ledger.compare()[0] and relay.queue_is_empty(),
                       f"what was promised: lost {ledger.compare()[0][:5]}", 90)
            lost, damaged, duplicated = ledger.compare()
            return len(ledger.promised), lost, damaged, duplicated, len(ledger.unanswered)


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
    promised, lost, damaged, duplicated, unanswered = run(
        options.rounds, options.sessions, options.victim, options.folder, options.seed)
    print(f"\n{options.rounds} kills ({options.victim}): promised {promised}, lost {len(lost)}, "
          f"damaged {len(damaged)}, duplicated {len(duplicated)}, without an answer {unanswered}")
    return 1 if lost or damaged else 0


if __name__ == "__main__":
    sys.exit(main())
