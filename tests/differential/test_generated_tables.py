# SPDX-License-Identifier: Apache-2.0
"""Generated tables, asked by Debian's postmap and by ours: answers, listings, the lines that are
warned of, exit statuses. WAYPOST_CASES and WAYPOST_SEED as in counted.py; what is meant to differ
stands in explained.py."""
import re

import pytest

import counted
import explained
import lookup_cases
from test_table_lookups import TYPES, run, world  # noqa: F401 (a fixture)

pytestmark = pytest.mark.skipif(not TYPES, reason="Debian's postfix is not installed")
BUILT = {"hash", "btree", "lmdb", "cdb"}
PER_TABLE = 50  # keys, about


def answers(side, table, keys, *options):
    """The exit status and {key: answer}. Keys are asked in bulk, as long as that goes well."""
    code, output, _ = run(side, *options, "-q", "-", table, keys=keys)
    return code == 0, sorted(output.split("\n"))


def warned_lines(errors):
    return sorted({match[1] for line in errors.split("\n")
                   if (match := re.search(r", line (\d+)", line))})


def differences(world, kind, number):
    """(question, Postfix's answer, ours), and how many were asked."""
    made = lookup_cases.KINDS[kind](kind, number)
    source, keys = made.source(), list(dict.fromkeys(made.keys()))
    name, found = f"G{kind}{number}", []
    table, sides = f"{kind}:./{name}", [world["reference"], world["ours"]]
    for _, folder in sides:
        (folder / name).write_text(source)
    if kind in BUILT:
        built = [run(side, "-w", table) for side in sides]
        if (built[0][0], warned_lines(built[0][2])) != (built[1][0], warned_lines(built[1][2])):
            found.append(("build", built[0], built[1]))
        listed = [answers_of_listing(side, table) for side in sides]
        if listed[0] != listed[1]:
            found.append(("list", *listed))
    else:
        warned = [warned_lines(run(side, "-q", "none", table)[2]) for side in sides]
        if warned[0] != warned[1]:
            found.append(("warnings", *warned))
    for options in [(), ("-f",)] if number % 4 == 0 else [()]:
        theirs, ours = (answers(side, table, keys, *options) for side in sides)
        if theirs[0] != ours[0]:
            found.append(("status", theirs[0], ours[0]))
        mine, other = set(theirs[1]), set(ours[1])
        found += [("answer", line, None) for line in mine - other]
        found += [("answer", None, line) for line in other - mine]
    return source, found, len(keys)


def answers_of_listing(side, table):
    code, output, _ = run(side, "-s", table)
    return code, sorted(output.split("\n"))


def unexplained(kind, found, used):
    left = []
    for what, theirs, ours in found:
        text = f"{kind}\t{what}\t{theirs}\t{ours}"
        for row in explained.LOOKUPS:
            if re.fullmatch(row[0], text, re.S):
                used.add(row)
                break
        else:
            left.append((what, theirs, ours))
    return left


@pytest.mark.parametrize("kind", lookup_cases.KINDS)
def test_generated_tables_answer_as_in_postfix(world, kind):  # noqa: F811
    if kind not in TYPES:
        pytest.skip(f"Debian's postfix has no {kind}")
    wrong, used = [], set()
    for number in range(max(1, counted.cases(100, 2500) // PER_TABLE)):
        source, found, count = differences(world, kind, number)
        left = unexplained(kind, found, used)
        counted.count("look-ups", count, len(found) - len(left))
        if left:
            wrong.append(f"{kind} {number}:\n{source}\n" + "\n".join(map(str, left)))
    assert not wrong, f"{len(wrong)} tables differ\n" + "\n".join(wrong[:30])


def test_tables_of_tables_answer_as_in_postfix(world):  # noqa: F811
    wrong, used = [], set()
    for number in range(max(1, counted.cases(6, 150))):
        table, keys = lookup_cases.nested(number)
        theirs, ours = (answers(world[side], table, keys) for side in ("reference", "ours"))
        found = [] if theirs == ours else [("answer", theirs, ours)]
        left = unexplained("nested", found, used)
        counted.count("look-ups", len(keys), len(found) - len(left))
        if left:
            wrong.append(f"{table}: {left}")
    assert not wrong, "\n".join(wrong)
