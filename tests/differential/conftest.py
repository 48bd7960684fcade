# SPDX-License-Identifier: Apache-2.0
"""Comparisons of postconf take a while: a run takes every fourth, and all of them with
WAYPOST_ALL_COMPARISONS=1."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "system"))


def pytest_collection_modifyitems(config, items):
    if os.environ.get("WAYPOST_ALL_COMPARISONS") != "1":
        slow = [item for item in items if item.path.name == "test_postconf.py"]
        left_out = set(slow) - set(slow[::4])
        items[:] = [item for item in items if item not in left_out]
