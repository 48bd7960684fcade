# SPDX-License-Identifier: Apache-2.0
"""Comparisons of postconf take a while: a run takes every fourth, and all of them with
WAYPOST_ALL_COMPARISONS=1. The last line says how many cases were compared (counted.py)."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "system"))

import counted


def pytest_collection_modifyitems(config, items):
    if not counted.is_whole():
        slow = [item for item in items if item.path.name == "test_postconf.py"]
        left_out = set(slow) - set(slow[::4])
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter):
    if counted.compared:
        terminalreporter.write_line(counted.summary())
