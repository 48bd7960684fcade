# SPDX-License-Identifier: Apache-2.0
"""What a receiving server sees of the queue manager's limits and rates: how many deliveries at
once, how far apart, with how many recipients. Debian's Postfix and Waypost run the same
configuration beside each other. Times are compared as orders and lower bounds: machines are busy."""
import concurrent.futures
import re
import subprocess
import time

import pytest

from pair import COMMON, Postfix, Resolver, Waypost, is_possible
from timed_sink import HELD, TimedSink, most_at_once, pauses, release_one_by_one
from world import Client, NameServer, free_port, wait_until

pytestmark = pytest.mark.skipif(not is_possible(), reason="needs root, a namespace, postfix")

DELAY = 2  # seconds, where the tutorial has ten
SLACK = 0.05  # clocks of two processes, and a timer that rounds
SLACKS = (1 + SLACK, SLACK)  # Postfix counts whole seconds

TRANSPORTS = ["qq_com_limit", "rated", "narrow", "ramp", "slow_ramp", "single", "few", "paced",
              "parked", "dying", "cohorts", "patient", "mailing", "unrated", "rated_single",
              "constant", "rated_dying", "shrinking", "reloaded"]
LIMITS = {
    "qq_com_limit_destination_concurrency_limit": 2,
    "qq_com_limit_destination_rate_delay": f"{DELAY}s",
    "qq_com_limit_destination_recipient_limit": 3,
    "rated_destination_rate_delay": f"{DELAY}",
    "reloaded_destination_rate_delay": f"{DELAY}s",
    "rated_single_destination_rate_delay": f"{DELAY}",
    "rated_single_destination_recipient_limit": 1,
    "narrow_destination_concurrency_limit": 3,
    "ramp_initial_destination_concurrency": 2,
    "slow_ramp_initial_destination_concurrency": 2,
    "slow_ramp_destination_concurrency_positive_feedback": "1 / concurrency",
    "constant_initial_destination_concurrency": 4,
    "constant_destination_concurrency_positive_feedback": "1/2",
    "single_destination_recipient_limit": 1,
    "single_destination_concurrency_limit": 1,
    "paced_transport_rate_delay": f"{DELAY}s",
    "cohorts_initial_destination_concurrency": 1,
    "cohorts_destination_concurrency_failed_cohort_limit": 3,
    "dying_initial_destination_concurrency": 1,
    "shrinking_initial_destination_concurrency": 4,
    "shrinking_destination_concurrency_failed_cohort_limit": 2,
    **{f"{each}_destination_recipient_limit": 2 for each in ("dying", "cohorts", "shrinking")},
    "rated_dying_destination_rate_delay": f"{DELAY}s",
    "mailing_destination_concurrency_limit": 1,
    "mailing_destination_recipient_limit": 2,
    "defer_transports": "parked, absent",
    "minimal_backoff_time": "3s",
    "maximal_backoff_time": "8s",
    "queue_run_delay": "1s",
    "smtpd_recipient_limit": 1000,
    "in_flow_delay": "0",
    "hopcount_limit": 10,
}
PROCESS_LIMITS = {"few": 2}
CONTENT = b"Subject: limits\r\n\r\ntext\r\n"


class Side:
    def __init__(self, kind, address, dns_port):
        self.port, self.refused_port = free_port(), free_port()
        self.address = address  # of the MX host of qq.com
        self.sink = TimedSink((address, 25), ("0.0.0.0", self.port), hold=self.hold,
                              answer_rcpt=self.answer)
        self.holds = {}
        hosts = "".join(f"{each}.example {each}:[127.0.0.1]:{self.port}\n" for each in TRANSPORTS)
        for number in range(2, 12):
            for each in ("few", "paced"):
                hosts += f"{each}{number}.example {each}:[127.0.0.{number}]:{self.port}\n"
        hosts += "".join(f"{each}.refused.example {each}:[127.0.0.1]:{self.refused_port}\n"
                         for each in TRANSPORTS)
        hosts += "qq.com qq_com_limit:\nother.com qq_com_limit:\n"
        parameters = {**COMMON, **LIMITS, "transport_maps": "texthash:$config_directory/transport"}
        if kind is Waypost:
            parameters["dns_servers"] = f"127.0.0.1:{dns_port}"
        self.system = kind(parameters, {"in": {}}, self.port)
        (self.system.config / "transport").write_text(hosts)
        with (self.system.config / "master.cf").open("a") as file:
            for each in TRANSPORTS:
                file.write(f"{each} unix - - n - {PROCESS_LIMITS.get(each, '-')} smtp\n")

    def hold(self, transaction):
        return self.holds.get(transaction.recipients[0].split("@")[1], 0)

    @staticmethod
    def answer(address):
        return "450 4.2.1 later" if address.endswith("@patient.example") else None

    def submit(self, *mails):
        """Each a list of recipients; one message for each, over one connection."""
        with Client("127.0.0.1", self.system.ports["in"]) as client:
            client.command("EHLO client.example")
            for recipients in mails:
                code, text = client.deliver("a@b.example", recipients, CONTENT)
                assert code == 250, text

    def flush(self):
        if isinstance(self.system, Waypost):
            self.system.run("postqueue", "-f")
        else:
            subprocess.run(["/usr/sbin/postqueue", "-c", str(self.system.config), "-f"], check=True,
                           timeout=20)

    def lines(self, pattern):
        return re.findall(pattern, self.system.log())


@pytest.fixture(scope="module")
def sides():
    zone = {}
    both = []
    for host, address in (("127.0.0.31", "a"), ("127.0.0.32", "b")):
        zone[address] = {("qq.com", "MX"): ["10 mx.qq.com."], ("mx.qq.com", "A"): [host],
                         ("other.com", "MX"): ["10 mx.other.com."], ("mx.other.com", "A"): [host]}
    dns_port = free_port()
    theirs, ours = Resolver(zone["a"]), NameServer(zone["b"], port=dns_port)
    with theirs, ours:
        try:
            both.append(Side(Postfix, "127.0.0.31", dns_port))
            both.append(Side(Waypost, "127.0.0.32", dns_port))
            for side in both:
                side.sink.start()
                side.system.start()
            yield both
        finally:
            for side in both:
                side.system.stop()
                side.sink.stop()


def observe(sides, play):
    """What `play(side)` sees on each side, both at once: of Postfix and of Waypost."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(play, sides))


def deliveries(side, domain, count, mails, hold=0, seconds=60):
    """Submits and waits for `count` transactions with recipients in the domain."""
    side.holds[domain] = hold
    side.submit(*mails)

    def there():
        found = [each for each in side.sink.accepted()
                 if each.recipients[0].lower().endswith("@" + domain)]
        return found if len(found) >= count else None
    return sorted(wait_until(there, f"{count} deliveries to {domain}", seconds),
                  key=lambda each: each.began)


def singles(domain, count):
    return [[f"user{number}@{domain}"] for number in range(count)]


def test_tutorial_sends_three_three_and_one_with_a_pause_between(sides):
    def play(side):
        seven = [f"user{number}@{'qq.com' if number % 2 else 'QQ.COM'}" for number in range(7)]
        deliver = deliveries(side, "qq.com", 4, [seven, ["next@qq.com"], ["x@other.com"]])
        other = deliveries(side, "other.com", 1, [])
        return deliver, other
    for (deliver, other), slack in zip(observe(sides, play), SLACKS):
        assert [len(each.recipients) for each in deliver] == [3, 3, 1, 1]
        assert deliver[3].recipients == ["next@qq.com"]
        assert min(pauses(deliver)) >= DELAY - slack
        assert most_at_once(deliver) == 1  # whatever concurrency_limit says
        assert other[0].began < deliver[1].began  # other destinations have pauses of their own


def test_pause_counts_from_the_end_of_a_delivery(sides):
    seen = observe(sides, lambda side: deliveries(side, "rated.example", 3,
                                                  singles("rated.example", 3), hold=1))
    for deliver, slack in zip(seen, SLACKS):
        assert min(pauses(deliver)) >= DELAY - slack
        assert most_at_once(deliver) == 1


def test_pause_with_one_recipient_for_each_delivery_counts_for_the_recipient(sides):
    mails = [["x@rated_single.example", "y@rated_single.example"], ["x@rated_single.example"]]
    seen = observe(sides, lambda side: deliveries(side, "rated_single.example", 3, mails))
    for deliver, slack in zip(seen, SLACKS):
        first, second = [each for each in deliver if each.recipients[0].startswith("x")]
        other, = [each for each in deliver if each.recipients[0].startswith("y")]
        assert second.began - first.ended >= DELAY - slack
        assert other.began < second.began


def test_pause_goes_on_over_a_reload(sides):
    """Waypost alone: in Postfix it does not."""
    side = sides[1]
    first, = deliveries(side, "reloaded.example", 1, [["a@reloaded.example"]])
    side.system.reload()
    second = deliveries(side, "reloaded.example", 2, [["b@reloaded.example"]])[1]
    assert second.began - first.ended >= DELAY - SLACK


def test_concurrency_limit_is_reached_and_kept(sides):
    both = observe(sides, lambda side: most_at_once(deliveries(
        side, "narrow.example", 12, singles("narrow.example", 12), hold=0.5)))
    assert both == [3, 3]


@pytest.mark.parametrize("transport, expected", [
    ("ramp", [2, 3, 4, 5, 6, 7]),
    ("slow_ramp", [2, 2, 3, 3, 3, 4]),
    ("constant", [4, 4, 5, 5, 6, 6])])
def test_window_grows_as_the_feedback_says(sides, transport, expected):
    """Deliveries end one by one; how many are in flight before each end."""
    domain = f"{transport}.example"

    def play(side):
        side.holds[domain] = HELD
        side.submit(*singles(domain, 14))
        seen = release_one_by_one(side.sink, domain, len(expected))
        side.holds[domain] = 0
        for each in side.sink.transactions:
            each.is_released = True
        deliveries(side, domain, 14, [])
        return seen
    theirs, ours = observe(sides, play)
    assert ours == theirs == expected


def test_one_recipient_for_each_delivery_makes_the_recipient_the_queue(sides):
    mails = [[f"{name}@single.example" for name in "abcab"], ["a@single.example"]]
    for deliver in observe(sides, lambda side: deliveries(side, "single.example", 4, mails,
                                                          hold=1)):
        assert all(len(each.recipients) == 1 for each in deliver)
        # concurrency 1 is one for each mailbox: the three go at once, the second mail for a waits
        assert most_at_once(deliver) == 3
        assert most_at_once([each for each in deliver
                             if each.recipients == ["a@single.example"]]) == 1


def test_process_limit_bounds_all_deliveries_of_a_transport(sides):
    def play(side):
        domains = [f"few{number}.example" for number in range(2, 10)]
        for domain in domains:
            side.holds[domain] = 0.4
        side.submit(*[[f"x@{domain}"] for domain in domains])
        return most_at_once([deliveries(side, domain, 1, [], hold=0.4)[0] for domain in domains])
    assert observe(sides, play) == [2, 2]


def test_transport_pause_counts_over_all_destinations(sides):
    def play(side):
        domains = [f"paced{number}.example" for number in range(2, 6)]
        side.submit(*[[f"x@{domain}"] for domain in domains])
        return sorted(deliveries(side, domain, 1, [])[0].began for domain in domains)
    for begun in observe(sides, play):
        assert min(later - sooner for sooner, later in zip(begun, begun[1:])) >= DELAY - SLACK


def test_deferred_transport_waits_for_a_flush(sides):
    pattern = (r"error\[\d+\]: \w+: to=<x@parked.example>, relay=none, delay=[\d.]+, "
               r"delays=[\d./]+, dsn=([\d.]+), status=(.*)")

    def play(side):
        side.submit(["x@parked.example"])
        said = wait_until(lambda: side.lines(pattern), "the deferral")
        time.sleep(1)
        assert not [each for each in side.sink.accepted() if "parked" in each.recipients[0]]
        side.flush()
        deliveries(side, "parked.example", 1, [])
        return said[0]
    assert observe(sides, play) == [("4.3.2", "deferred (deferred transport)")] * 2


def refused(side, name):
    return [len(side.lines(rf"to=<user\d+@{name}.refused.example>.*status=deferred \({text}"))
            for text in ("connect to", "delivery temporarily suspended: connect to")]


@pytest.mark.parametrize("name, expected", [
    ("dying", [2, 18]), ("cohorts", [6, 14]), ("shrinking", [8, 12])])
def test_failed_cohorts_make_a_destination_dead(sides, name, expected):
    """A message with ten deliveries of two recipients each: how many see the refusal themselves."""
    def play(side):
        side.submit([f"user{number}@{name}.refused.example" for number in range(20)])
        wait_until(lambda: sum(refused(side, name)) >= 20, "the deferrals")
        return refused(side, name)
    assert observe(sides, play) == [expected] * 2


def test_rated_destination_never_stays_dead(sides):
    """What waits is deferred with the first failure; what comes later is tried after the pause."""
    def play(side):
        side.submit(["user1@rated_dying.refused.example"])
        wait_until(lambda: sum(refused(side, "rated_dying")) >= 1, "the first deferral")
        side.submit(["user2@rated_dying.refused.example"])
        wait_until(lambda: side.lines(
            r"to=<user2@rated_dying.refused.example>.*status=deferred \(connect to"), "an attempt")
        return True
    assert observe(sides, play) == [True, True]


def test_deferred_mail_comes_back_after_the_back_off(sides):
    """Postfix looks for it each queue_run_delay, Waypost has a time for each message; none comes
    earlier than its back-off allows, which grows with the age."""
    def play(side):
        side.submit(["x@patient.example"])

        def tries():
            found = [each.began for each in side.sink.transactions
                     if not each.is_accepted and each.sender == "a@b.example"
                     and not each.recipients]
            return found if len(found) >= 4 else None
        return wait_until(tries, "four tries", 60)
    theirs, ours = ([later - sooner for sooner, later in zip(begun, begun[1:])]
                    for begun in observe(sides, play))
    assert all(gap >= least - SLACK for gap, least in zip(ours, [3, 3, 6]))
    assert all(gap >= least - SLACK for gap, least in zip(theirs, [1, 1, 2]))  # rounds twice


def test_small_mail_overtakes_a_mailing_to_the_same_destination(sides):
    """One delivery at a time, 60 deliveries of a mailing; a single message comes while the eighth
    is on its way."""
    def play(side):
        side.holds["mailing.example"] = 0.1
        side.submit([f"user{number}@mailing.example" for number in range(120)])
        deliveries(side, "mailing.example", 8, [], hold=0.1)
        side.submit(["single@mailing.example"])
        ordered = deliveries(side, "mailing.example", 61, [], hold=0.1)
        return [each.recipients[0] for each in ordered].index("single@mailing.example")
    theirs, ours = observe(sides, play)
    assert ours <= 20 and theirs <= 40


def test_destination_lives_again_when_it_answers(sides):
    def play(side):
        side.submit(["user7@unrated.refused.example"])
        wait_until(lambda: sum(refused(side, "unrated")) >= 1, "the deferral")
        side.sink.listen("127.0.0.1", side.refused_port)
        return len(deliveries(side, "unrated.refused.example", 1, []))
    assert observe(sides, play) == [1, 1]


def test_mail_that_has_come_a_long_way_is_refused_at_the_same_hop(sides):
    def play(side):
        replies = []
        with Client("127.0.0.1", side.system.ports["in"]) as client:
            client.command("EHLO client.example")
            for hops in (8, 9, 10, 11):
                content = b"Received: from a by b\r\n" * hops + CONTENT
                replies.append(client.deliver("a@b.example", ["x@narrow.example"], content))
        return [(code, text if code != 250 else "") for code, text in replies]
    theirs, ours = observe(sides, play)
    assert ours == theirs
    assert {code for code, _ in ours} == {250, 554}
