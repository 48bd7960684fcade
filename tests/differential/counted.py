# SPDX-License-Identifier: Apache-2.0
"""How many generated cases a run compares, and what it has compared: a run of CI plays a few of each
kind, WAYPOST_ALL_COMPARISONS=1 the full number, WAYPOST_CASES=N so many of each. WAYPOST_SEED=N
generates others than those of CI (which must not change from run to run)."""
import os
import random

SEED = os.environ.get("WAYPOST_SEED", "1")
compared = {}  # {kind: [cases, of which differ and are explained]}


def is_whole():
    return os.environ.get("WAYPOST_ALL_COMPARISONS") == "1"


def cases(few, many):
    return int(os.environ.get("WAYPOST_CASES") or (many if is_whole() else few))


def chance(*what):
    """A generator of random numbers for something: the same in each run with the same seed."""
    return random.Random(" ".join(map(str, [SEED, *what])))


def count(kind, number, explained=0):
    entry = compared.setdefault(kind, [0, 0])
    entry[0] += number
    entry[1] += explained


def summary():
    return "compared: " + ", ".join(f"{number} {kind} ({explained} explained)"
                                    for kind, (number, explained) in sorted(compared.items()))
