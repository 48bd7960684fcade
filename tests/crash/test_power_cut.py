# SPDX-License-Identifier: Apache-2.0
"""What got a 250 survives a power cut, on both file systems that a queue should be on; the full run
is tests/crash/power_cut.py (make power-cuts). Needs root, loop devices and FUSE."""
import pytest

import power_cut


@pytest.mark.parametrize("file_system", ["ext4", "xfs"])
def test_nothing_promised_is_lost_in_a_power_cut(file_system):
    result = power_cut.run(file_system, cuts=10, seconds=3)
    assert result.rounds == 10
    assert result.waiting > 0 and result.open_writes > 0  # there was something to lose
    assert not result.problems
