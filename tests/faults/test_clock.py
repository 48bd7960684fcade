# SPDX-License-Identifier: Apache-2.0
"""A wall clock that steps by years while mail waits: nothing is given up, nothing waits for years,
and no queue id is used twice."""
import collections
import re

import pytest

import sweep
from sweep import FaultyInstance
from world import IS_SANITIZED, Client, Sink, message, wait_until

pytestmark = pytest.mark.skipif(not sweep.is_possible or IS_SANITIZED,
                                reason="needs patchelf; sanitizers stand in the same place")

YEAR = 365 * 86400
COUNT = 8


def send(relay, count):
    """Their queue ids."""
    ids = []
    with Client("127.0.0.1", relay.port) as client:
        client.command("EHLO client.example.test")
        for _ in range(count):
            code, text = client.deliver("sender@example.test", ["user@example.com"], message())
            assert code == 250
            ids.append(re.search(r"queued as (\w+)", text[-1])[1])
    return ids


def attempts(relay):
    """{queue id: how often it was deferred}"""
    return collections.Counter(
        re.findall(r"(\w+): to=<user@example.com>.*status=deferred", relay.log()))


@pytest.mark.parametrize("steps", [[-10, 10, 0]])
def test_a_clock_that_steps_by_years_gives_nothing_up_and_stops_nothing(steps):
    sink = Sink(answers={"RCPT": lambda _: "450 4.2.0 later"})
    with sink, FaultyInstance(relayhost=f"[127.0.0.1]:{sink.port}", minimal_backoff_time="1s",
                              maximal_backoff_time="2s", queue_run_delay="1s") as relay:
        ids = send(relay, COUNT)
        for step in steps:
            before = attempts(relay)
            relay.step_clock(step * YEAR)
            ids += send(relay, COUNT)

            def are_tried():
                now = attempts(relay)
                return all(now[each] >= before[each] + 1 for each in ids)
            wait_until(are_tried, f"an attempt for each after {step} years")
        relay.wait_log(r"warning: the clock has stepped (?:forward|back): ")
        assert len(set(ids)) == len(ids), "each id once"
        sink.answers.clear()
        sink.wait(len(ids))
        wait_until(relay.queue_is_empty, "an empty queue")
        assert not re.findall(r"status=(?:bounced|expired)", relay.log())
        assert len(sink.messages) == len(ids)
