#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Power cuts at the level of blocks: the queue of a whole relay is on ext4 or xfs in a loop device
whose writes and flushes are recorded, under load; then, for random moments of that, the image is
made that a loss of power would have left, is mounted, the relay is started on it, and what it
promised before the cut is looked for: it was delivered before, or is delivered or returned now,
whole. What was removed from the queue before the cut must not come again.

    scripts/in-own-network tests/crash/power_cut.py [--rounds 1000] [--cuts 50]
        [--file-system ext4|xfs|both] [--seconds 12] [--folder /dev/shm]

--cuts of the --rounds come from one recorded run of --seconds.
"""
import argparse
import collections
import contextlib
import hashlib
import pathlib
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
import time

from ledger import Ledger
from recorded_disk import FILE_SYSTEMS, WRITE, Record, RecordedDisk, mounted
from world import Instance, Sink, wait_until

# What becomes of a recipient: taken at once, after some tries, never (the sender hears of it).
KINDS = {"taken": 6, "deferred": 3, "refused": 1}
TRIES_DEFERRED = 2
PATIENCE_SECONDS = 30  # without a message
CHECK_EVERY = 5    # cuts, the file system is looked through after one
REMOVED = re.compile(r"(\w+): removed$", re.MULTILINE)
DAMAGE = re.compile(r".*(?:(?:is|are|was) damaged|panic: |rescued|went back).*")


def answers(tries):
    """The server's answers to RCPT for these recipients, counted in `tries`."""
    def rcpt(address):
        name = address.split("@")[0]
        tries[name] += 1
        if name.startswith("deferred") and tries[name] <= TRIES_DEFERRED:
            return "450 4.2.0 Come back later"
        return "550 5.1.1 No such user" if name.startswith("refused") else None
    return {"RCPT": rcpt}


Promise = collections.namedtuple("Promise", "token queue_id at")


class CutLedger(Ledger):
    """Keeps also when a promise was given, and tells notices from messages."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.promises = []

    def recipient(self, token, chance):
        kind = chance.choices(list(KINDS), KINDS.values())[0]
        return f"{kind}-{token}@example.com"

    def note_answer(self, token, queue_id):
        self.promises.append(Promise(token, queue_id, time.monotonic()))

    def arrived(self, since=0):
        """({token: [Delivered, …]}, {token: [notice, …]}) of what the server took, from the
        message with number `since` on."""
        found, returned = collections.defaultdict(list), collections.defaultdict(list)
        for each in list(self.sink.messages)[since:]:
            token = re.search(rb"^X-Token: (\S+)", each.content, re.MULTILINE)[1].decode()
            (returned if each.sender in ("", "<>") else found)[token].append(each)
        return found, returned

    def is_damaged(self, token, delivered):
        """Also of those that got no answer: one that arrives is whole."""
        body = delivered.content.partition(b"\r\n\r\n")[2]
        return hashlib.sha256(body).hexdigest() != self.sent.get(token)


class Result:
    def __init__(self):
        self.rounds = self.promised = self.waiting = self.open_writes = self.bytes = 0
        self.problems, self.again = [], 0

    def add(self, other):
        for name in ("rounds", "promised", "waiting", "open_writes", "problems", "again", "bytes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def __str__(self):
        return (f"{self.rounds} cuts, {self.open_writes} with writes open; promises looked at "
                f"{self.promised}, of them not delivered before the cut {self.waiting}; delivered "
                f"twice {self.again}; problems {len(self.problems)}")


class RemovalWatch:
    """When the log was first seen to say that a message was removed: {queue id: time}."""

    def __init__(self, relay):
        self.relay, self.times = relay, {}
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        place = 0
        while not self.stopped.wait(0.02):
            if not self.relay.log_file.exists():
                continue
            with open(self.relay.log_file, "rb") as log:
                log.seek(place)
                text = log.read()
            text = text[:text.rfind(b"\n") + 1]
            place += len(text)
            now = time.monotonic()
            for queue_id in REMOVED.findall(text.decode(errors="replace")):
                self.times.setdefault(queue_id, now)

    def stop(self):
        self.stopped.set()
        self.thread.join()


class CutRun:
    """One recorded run, and the cuts through it."""

    def __init__(self, place, kind, seed):
        self.place, self.kind = pathlib.Path(place), kind
        self.chance = random.Random(f"{seed}-{kind}")
        self.tries = collections.Counter()
        self.sink = Sink(answers=answers(self.tries))
        self.result = Result()

    def relay_on(self, disk, log_name):
        relay = Instance(self.place / "relay", relayhost=f"[127.0.0.1]:{self.sink.port}",
                         queue_directory=disk / "spool", minimal_backoff_time="1s",
                         maximal_backoff_time="2s", queue_run_delay="1s",
                         store_any_filesystem="no", maillog_file_prefixes=self.place,
                         maillog_file=self.place / log_name)
        relay.queue, relay.log_file = disk / "spool", self.place / log_name
        return relay

    def record(self, seconds, sessions):
        with RecordedDisk(self.place, self.kind) as disk:
            relay = self.relay_on(disk.folder, "maillog")
            self.begun = time.monotonic()
            watch = RemovalWatch(relay)
            try:
                relay.start()
                self.ledger = CutLedger(relay.port, self.sink, self.chance.random())
                self.ledger.start(sessions)
                time.sleep(seconds)
                self.ledger.stop()
                self.ended = time.monotonic()
            finally:
                relay.kill_everything()
                watch.stop()
        self.removed = watch.times
        self.before = len(self.sink.messages)  # what is not from after a cut
        return Record(disk)

    def cut(self, record, moment):
        image, folder = self.place / "cut", self.place / "cut-disk"
        self.result.open_writes += record.make_image(moment, image, self.chance) > 0
        del self.sink.messages[self.before:]
        with mounted(image, folder):
            relay = self.relay_on(folder, "maillog-cut")
            try:
                relay.start()
                self.check(relay, moment, min(record.end(moment), self.ended))
            except AssertionError as error:
                self.note(moment, "failed", [str(error)])
            finally:
                relay.kill_everything()
                with contextlib.suppress(OSError):
                    relay.log_file.unlink()
        if self.result.rounds % CHECK_EVERY == 1:
            record.check(image)
        image.unlink()

    def check(self, relay, moment, cut_at):
        found, returned = self.ledger.arrived()
        arrived = {token for kind in (found, returned) for token, each in kind.items()
                   if any(one.at < cut_at for one in each)}
        promised = [each for each in self.ledger.promises if each.at < cut_at]
        missing = {each.token for each in promised} - arrived

        left = self.wait_for_delivery(relay, missing)
        found, returned = self.ledger.arrived(self.before)
        self.result.rounds += 1
        self.result.promised += len(promised)
        self.result.waiting += len(missing)
        self.result.again += len(arrived & set(found))
        self.note(moment, "lost", {
            each.token for each in promised if each.token in missing - set(found) - set(returned)
            and each.queue_id not in left})
        self.note(moment, "damaged", {token for token, each in found.items()
                                      if any(self.ledger.is_damaged(token, one) for one in each)})
        self.note(moment, "came again after their end", {
            each.token for each in promised
            if each.token in found and self.removed.get(each.queue_id, cut_at) < cut_at})
        self.note(moment, "in the log", DAMAGE.findall(relay.log()))
        if left:
            self.note(moment, "left in the queue", re.findall(r"^\w{8,}", left, re.MULTILINE))

    def wait_for_delivery(self, relay, missing):
        """Until the queue is empty, or nothing has come for a while; what mailq then shows."""
        def is_complete():
            found, returned = self.ledger.arrived(self.before)
            return not missing - set(found) - set(returned) and relay.queue_is_empty()

        count = -1
        while count < len(self.sink.messages):
            count = len(self.sink.messages)
            with contextlib.suppress(AssertionError):
                wait_until(is_complete, "all that was promised", PATIENCE_SECONDS)
                return ""
        return relay.run("mailq", config_option="-C").stdout

    def note(self, moment, what, which):
        if which:
            self.result.problems.append(
                f"{self.kind}, after entry {moment}: {len(which)} {what}: {sorted(which)[:5]}")
            print(self.result.problems[-1], file=sys.stderr)


def run(kind, cuts, seconds=12, sessions=6, folder="/dev/shm", seed=1):
    """Cuts through one recorded run; a Result."""
    place = tempfile.mkdtemp(prefix="waypost-power-", dir=folder)
    pathlib.Path(place).chmod(0o755)  # the mail_owner's way to the queue
    try:
        each = CutRun(place, kind, seed)
        with each.sink:
            record = each.record(seconds, sessions)
            each.result.bytes = len(record.bytes)
            moments = [moment for moment in record.moments(each.begun, each.ended)
                       if record.kinds[moment] == WRITE or each.chance.random() < 0.2]
            for moment in sorted(each.chance.choice(moments) for _ in range(cuts)):
                each.cut(record, moment)
            record.close()
        return each.result
    finally:
        shutil.rmtree(place, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--cuts", type=int, default=50)
    parser.add_argument("--file-system", choices=[*FILE_SYSTEMS, "both"], default="both")
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--sessions", type=int, default=6)
    parser.add_argument("--folder", default="/dev/shm")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    kinds = list(FILE_SYSTEMS) if options.file_system == "both" else [options.file_system]
    print(f"seed {options.seed}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # and cleans up
    totals = {kind: Result() for kind in kinds}
    for number in range(-(-options.rounds // (options.cuts * len(kinds)))):
        for kind in kinds:
            result = run(kind, options.cuts, options.seconds, options.sessions, options.folder,
                         options.seed + number)
            totals[kind].add(result)
            print(f"{kind}: {totals[kind]}", flush=True)
            for problem in result.problems:
                print(f"  {problem}", flush=True)
    return 1 if any(each.problems for each in totals.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
