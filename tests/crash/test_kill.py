# SPDX-License-Identifier: Apache-2.0
"""What got a 250 survives kill -9; the full run is tests/crash/ledger.py --rounds 100."""
import pytest

import ledger


@pytest.mark.parametrize("victim,rounds", [("all", 6), ("queue", 4), ("smtp", 4), ("smtpd", 4),
                                           ("each", 8)])
def test_nothing_promised_is_lost_when_killed(victim, rounds):
    found = ledger.run(rounds, victim=victim)
    assert found.promised > 50
    assert not found.lost and not found.damaged and not found.unexplained, found
