# SPDX-License-Identifier: Apache-2.0
"""The scenarios of bench/run: what is sent, and what is done to the relay meanwhile. Each gives a
Result, and is bounded in time: the generator stops after scenario.seconds, and what is not
delivered scenario.drain_seconds later is counted as missing."""
import dataclasses
import time

from ends import BenchLoad, BenchSink

WARM_MESSAGES = 200


@dataclasses.dataclass
class Result:
    """Of one round; seconds, and counts of copies (a copy is a message for one recipient)."""
    accept_rate: float = 0  # copies per second that the clients got rid of
    delivery_rate: float = 0  # copies per second from the first to the last, end to end
    cpu_us: float = None  # for each copy
    pss_idle_kb: float = None
    pss_kb: float = None
    accept: dict = None  # latency_us of bench-load
    delivery: dict = None  # latency_us of bench-sink
    flushes: float = None  # for each message
    notes: list = dataclasses.field(default_factory=list)
    extra: dict = dataclasses.field(default_factory=dict)  # what only this scenario has


@dataclasses.dataclass
class Scenario:
    name: str
    title: str
    load: dict  # options of bench-load
    messages: int
    seconds: float = 20
    drain_seconds: float = 60
    is_tls: bool = False
    idle: int = 0
    run: object = None  # a function (course) -> Result; default: steady

    def connections(self):
        return self.load.get("sessions", 1) + self.idle

    def copies(self, messages):
        return messages * self.load.get("recipients", 1)


class Course:
    """One round of a scenario with one relay: the pieces that runs are made of."""

    def __init__(self, scenario, relay, setting, say):
        """`setting`: build, folder, messages (or None), certificate."""
        self.scenario, self.relay, self.setting, self.say = scenario, relay, setting, say
        self.messages = setting.messages or scenario.messages
        self.ids = setting.folder / f"ids-{relay.name if relay else 'none'}"
        self.sink = None

    def open_sink(self):
        certificate = self.setting.certificate if self.scenario.is_tls else {}
        self.sink = BenchSink(self.setting.build, "0.0.0.0", self.setting.sink_port, ids=self.ids,
                              **(certificate or {}))
        return self.sink

    def close_sink(self):
        if self.sink:
            self.sink.kill()
        self.sink = None

    def load(self, messages, seconds=None, **more):
        """A generator's report, after its last message."""
        seconds = seconds or self.scenario.seconds
        port = self.relay.port if self.relay else self.setting.sink_port
        options = {"ids": self.ids, "starttls": self.scenario.is_tls, **self.scenario.load, **more}
        sender = BenchLoad(self.setting.build, port, messages=messages, seconds=seconds, **options)
        return self.watch(sender, seconds + 90)

    def watch(self, sender, seconds):
        """Tells how far it is, until it ends."""
        deadline = time.monotonic() + seconds
        try:
            while sender.process.poll() is None:
                time.sleep(0.1)
                if time.monotonic() > deadline:
                    raise TimeoutError("bench-load does not end")
                self.tell(sender)
            return sender.last_report()
        finally:
            sender.kill()

    told_at = 0

    def tell(self, end):
        """A line of progress each second."""
        if time.monotonic() - self.told_at >= 1 and end.process.poll() is None:
            self.told_at = time.monotonic()
            self.say(f"{end.report()['accepted']} accepted")

    def drain(self, sent, seconds=None, flush_again=False):
        """Waits until the sink has what was accepted, or for so long; its report, with what of it
        has arrived."""
        deadline = time.monotonic() + (seconds or self.scenario.drain_seconds)
        copies = sent["recipients_accepted"]
        best, moved_at = -1, time.monotonic()
        while True:
            report = self.sink.report()
            report["arrived"] = report["expected"] - report["missing"]
            if report["arrived"] >= copies or time.monotonic() > deadline:
                return report
            if report["arrived"] > best:
                best, moved_at = report["arrived"], time.monotonic()
            elif flush_again and time.monotonic() - moved_at > 10:
                self.relay.flush()
                moved_at = time.monotonic()
            if time.monotonic() - self.told_at >= 1:
                self.told_at = time.monotonic()
                self.say(f"{report['arrived']} of {copies} delivered")
            # A report compares with the whole file of ids; when it ended, the sink knows.
            time.sleep(0.2 if copies < 20000 else 1)

    def gather_idle(self, holder):
        """Until all connections stay, or no further one has come for ten seconds."""
        most, moved_at = -1, time.monotonic()
        while most < self.scenario.idle and time.monotonic() - moved_at < 10:
            count = holder.report()["idle_open"]
            if count > most:
                most, moved_at = count, time.monotonic()
                self.say(f"{count} idle connections")
            time.sleep(1)

    def warm(self):
        """Processes are started and connections cached."""
        sent = self.load(WARM_MESSAGES // self.scenario.load.get("recipients", 1) + 1, 10, rate=None)
        self.drain(sent, 30)
        self.close_sink()

    def count_flushes(self):
        """Flushes for each message, in a pass of its own: tracing makes everything slow."""
        if not self.setting.count_flushes:
            return None
        messages = max(20, min(300, self.messages // 10)) // \
            min(10, self.scenario.load.get("recipients", 1))
        self.open_sink()
        sent = {}

        def work():
            sent.update(self.load(messages, 10))
            self.drain(sent, 20)
            self.relay.group.settle(3)

        try:
            flushes = self.relay.group.flushes(work)
        except OSError as error:
            self.say(str(error))
            return None
        finally:
            self.close_sink()
        return flushes / sent["accepted"] if sent.get("accepted") else None


def notes_on(sent, got):
    """What is not as it should be."""
    lost = {"missing": "not delivered", "duplicates": "delivered twice", "damaged": "damaged"}
    notes = [f"{got[field]} {what}" for field, what in lost.items() if got.get(field)]
    failed = {"refused": "refused", "unanswered": "without an answer",
              "lost_connections": "connections lost"}
    return notes + [f"{sent[field]} {what}" for field, what in failed.items() if sent.get(field)]


def result_of(sent, got, begin_us=None):
    begin_us = begin_us or sent["start_us"]
    took_s = (got["last_us"] - begin_us) / 1e6
    return Result(
        accept_rate=sent["recipients_accepted"] / sent["wall_s"] if sent["wall_s"] else 0,
        delivery_rate=got["arrived"] / took_s if took_s > 0 else 0,
        accept=sent["latency_us"], delivery=got["latency_us"], notes=notes_on(sent, got))


def steady(course):
    """Messages go in and come out."""
    course.relay.start()
    time.sleep(0.5)
    pss_idle_kb = course.relay.group.pss_kb()
    course.open_sink()
    course.warm()
    course.open_sink()
    cpu = course.relay.group.cpu_seconds()
    sent = course.load(course.messages)
    got = course.drain(sent)
    course.relay.group.settle()
    cpu = course.relay.group.cpu_seconds() - cpu
    course.close_sink()
    result = result_of(sent, got)
    result.cpu_us = cpu / max(1, got["arrived"]) * 1e6
    result.pss_idle_kb, result.pss_kb = pss_idle_kb, course.relay.group.pss_kb()
    result.flushes = course.count_flushes()
    if result.flushes == 0:
        result.notes.append("250 though nothing is flushed")
    return result


def beside_idle(course):
    """The same beside connections that only stay."""
    course.relay.start()
    time.sleep(0.5)
    pss_idle_kb = course.relay.group.pss_kb()
    course.open_sink()
    course.warm()
    holder = BenchLoad(course.setting.build, course.relay.port, messages=0, stay=True, patience=60,
                       idle=course.scenario.idle)
    try:
        course.gather_idle(holder)
        pss_kb = course.relay.group.pss_kb()
        course.open_sink()
        cpu = course.relay.group.cpu_seconds()
        sent = course.load(course.messages)
        got = course.drain(sent)
        course.relay.group.settle()
        cpu = course.relay.group.cpu_seconds() - cpu
        result = result_of(sent, got)
        result.extra = {"idle connections kept": holder.report()["idle_open"],
                        "KB for each": (pss_kb - pss_idle_kb) / max(1, course.scenario.idle)}
        result.cpu_us = cpu / max(1, got["arrived"]) * 1e6
        result.pss_idle_kb, result.pss_kb = pss_idle_kb, pss_kb
        return result
    finally:
        holder.kill()
        course.close_sink()


def fill(course):
    """A queue full of mail whose destination is down."""
    course.relay.start()
    time.sleep(0.5)
    pss_idle_kb = course.relay.group.pss_kb()
    cpu = course.relay.group.cpu_seconds()
    sent = course.load(course.messages)
    course.relay.group.settle(30)
    cpu = course.relay.group.cpu_seconds() - cpu
    return sent, pss_idle_kb, cpu


def backlog(course, is_restarted=False):
    """Mail for a destination that is down, which then comes up."""
    sent, pss_idle_kb, cpu_fill = fill(course)
    pss_kb, extra, restart_s = course.relay.group.pss_kb(), {}, 0
    cpu = course.relay.group.cpu_seconds()
    if is_restarted:
        course.relay.stop()
        begin = time.monotonic()
        course.relay.start()
        restart_s = time.monotonic() - begin
        extra["answers after the start, s"] = restart_s
        pss_kb = course.relay.group.pss_kb()
    if course.relay.group.group is None:
        cpu = course.relay.group.cpu_seconds()  # a sum over processes begins anew with them
    course.open_sink()
    begin_us = time.monotonic_ns() / 1000
    course.relay.flush()
    got = course.drain(sent, flush_again=True)
    course.relay.group.settle(30)
    result = result_of(sent, got, begin_us)
    cpu = cpu_fill + course.relay.group.cpu_seconds() - cpu
    result.cpu_us = cpu / max(1, got["arrived"]) * 1e6
    result.pss_idle_kb, result.pss_kb, result.delivery = pss_idle_kb, pss_kb, None
    result.extra = {**extra, "first delivery after, s":
                    restart_s + (got["first_us"] - begin_us) / 1e6 if got["messages"] else None}
    course.close_sink()
    return result


def restart(course):
    return backlog(course, is_restarted=True)


def ceiling(course):
    """The harness alone: the generator straight into the sink."""
    course.open_sink()
    try:
        sent = course.load(course.messages, min(5, course.scenario.seconds))
        got = course.drain(sent)
    finally:
        course.close_sink()
    result = result_of(sent, got)
    result.cpu_us = (sent["cpu_us_per_message"] + got["cpu_us_per_message"]) * sent["sent"] / \
        max(1, got["arrived"])
    return result


SCENARIOS = {each.name: each for each in (
    Scenario("1-session", "one session, 4 KB", {"sessions": 1}, 5000),
    Scenario("20-sessions", "20 sessions, 4 KB", {"sessions": 20}, 20000),
    Scenario("200-sessions", "200 sessions, 4 KB", {"sessions": 200}, 40000),
    Scenario("paced", "50 messages a second, whether or not there are answers, 4 KB",
             {"sessions": 100, "rate": 50}, 500),
    Scenario("new-connections", "100 sessions, a new connection for each message, 4 KB",
             {"sessions": 100, "per_connection": 1}, 20000),
    Scenario("realistic", "50 sessions, sizes as real mail has them, 16 KB in the mean",
             {"sessions": 50, "size": "realistic"}, 20000),
    Scenario("large", "20 sessions, 100 KB", {"sessions": 20, "size": 102400}, 5000),
    Scenario("recipients", "4 KB for 1,000 recipients at 100 domains each",
             {"sessions": 4, "recipients": 1000, "domains": 100}, 200),
    Scenario("starttls", "20 sessions, 4 KB, STARTTLS in and out", {"sessions": 20}, 20000,
             is_tls=True),
    Scenario("backlog", "a backlog while the destination is down, then drained, 4 KB",
             {"sessions": 50}, 100000, seconds=300, drain_seconds=600, run=backlog),
    Scenario("idle", "20 sessions, 4 KB, beside 5,000 connections that only stay",
             {"sessions": 20}, 10000, idle=5000, run=beside_idle),
    Scenario("restart", "a restart with a deep queue, then drained, 4 KB", {"sessions": 50},
             100000, seconds=300, drain_seconds=600, run=restart),
)}
