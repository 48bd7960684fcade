# SPDX-License-Identifier: Apache-2.0
"""Calls of the C library that fail, fall short or are slow lose no mail; the long run is
tests/faults/sweep.py --rounds 1000."""
import pytest

import sweep
from sweep import FAIL, Fault, FaultyInstance, Ledger
from world import IS_SANITIZED, Sink, wait_until

pytestmark = pytest.mark.skipif(not sweep.is_possible or IS_SANITIZED,
                                reason="needs patchelf; sanitizers stand in the same place")


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_promised_is_lost_when_calls_fail(seed):
    outcome = sweep.run(80, seed)
    assert not outcome.missing and not outcome.problems, outcome.log[-20000:]
    assert outcome.struck > 10 and outcome.promised > 100


def test_processes_that_lost_their_channel_get_a_new_one():
    with Sink() as sink, FaultyInstance(relayhost=f"[127.0.0.1]:{sink.port}") as relay:
        ledger = Ledger(relay, sink)
        wait_until(ledger.send, "mail to be taken")

        def is_lost():
            relay.arm(Fault("queue", "recvmsg", 0, 1, FAIL))
            ledger.send()
            relay.disarm()
            return "have no channel between them: making a new one" in relay.log()
        wait_until(is_lost, "the loss")
        wait_until(ledger.send, "mail to be taken again")
        wait_until(lambda: not ledger.missing(), "what was promised")
