# SPDX-License-Identifier: Apache-2.0
"""More than 2,000 look-ups by Debian's postmap and by ours, in bulk. Where they are meant to
differ, the reason stands in table_cases.py, and the test fails when the difference goes away."""
import pathlib
import sqlite3
import subprocess

import pytest

import counted
import table_cases as cases
from world import PROGRAM

REFERENCE = pathlib.Path("/usr/sbin/postmap")
LOOKUPS = {}  # by comparison, for the count at the end


def types_of_reference():
    try:
        if REFERENCE.resolve().name == "waypost":
            return []
        return subprocess.run(["/usr/sbin/postconf", "-m"], capture_output=True, text=True,
                              timeout=20).stdout.split()
    except OSError:
        return []


TYPES = types_of_reference()
pytestmark = pytest.mark.skipif(not TYPES, reason="Debian's postfix is not installed")

SQLITE = {
    "whole": "query = SELECT v FROM t WHERE k = '%s'",
    "parts": "query = SELECT v FROM t WHERE k = '%u' OR k = '%d'\nresult_format = <%s> [%D] %% %1",
    "labels": "query = SELECT v FROM t WHERE k = '%2.%1'\nresult_format = %u/%S",
    "domain": "query = SELECT v FROM t WHERE k = '%s'\ndomain = example.com, x.y",
    "legacy": "select_field = v\ntable = t\nwhere_field = k\nadditional_conditions = AND v > ''",
}
SQLITE_ROWS = [("a", "1"), ("a", "2"), ("joe@example.com", "dest@there.net"), ("o'neil", "quote"),
               ("joe", "local"), ("example.com", "domain"), ("a@b@c", "two"), ("%", "pct"),
               ("up@x.y", "lower"), ("Up@x.y", "upper"), ("null", None), ("q q", "blank")]
SQLITE_KEYS = ["a", "A", "joe@example.com", "JOE@EXAMPLE.COM", "joe", "joe@", "@example.com", "o'neil",
               "example.com", "a@b@c", "%", "up@x.y", "Up@X.y", "null", "q q", "x' or '1'='1",
               "joe@mail.example.com", "nobody@example.com", "none"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder for each side, with the same sources, and a function that runs its postmap."""
    root = tmp_path_factory.mktemp("tables")
    (root / "ours-bin").mkdir()
    (root / "ours-bin" / "postmap").symlink_to(PROGRAM)
    sides = {}
    for side, program in [("reference", REFERENCE), ("ours", root / "ours-bin" / "postmap")]:
        folder = root / side
        folder.mkdir()
        (folder / "main.cf").write_text("compatibility_level = 3.6\n")
        (folder / "master.cf").write_text("")
        for name, text in [("TEXT", cases.TEXT), ("CIDR", cases.CIDR), ("PERL", cases.PERL),
                           ("PATTERNS", cases.PATTERNS), ("MANY", cases.MANY)]:
            (folder / name).write_bytes(text.encode())
        connection = sqlite3.connect(folder / "t.db")
        connection.execute("CREATE TABLE t(k TEXT, v TEXT)")
        connection.executemany("INSERT INTO t VALUES(?, ?)", SQLITE_ROWS)
        connection.commit()
        connection.close()
        for name, text in SQLITE.items():
            (folder / f"{name}.cf").write_text(f"dbpath = {folder}/t.db\n{text}\n")
        sides[side] = (program, folder)
    return sides


def run(side, *arguments, keys=None):
    program, folder = side
    words = [word.replace("TEXT", f"{folder}/TEXT").replace("PATTERNS", f"{folder}/PATTERNS")
             for word in arguments]
    result = subprocess.run(
        [program, "-c", folder, *words], capture_output=True, timeout=60, cwd=folder,
        input="".join(f"{key}\n" for key in keys).encode() if keys is not None else b"")
    return result.returncode, result.stdout.decode("latin-1"), result.stderr.decode("latin-1")


def answers(side, table, keys):
    """{key: answer}: in bulk; keys that end a bulk run (they fail) are asked one by one."""
    code, output, _ = run(side, "-q", "-", table, keys=keys)
    found = dict(line.split("\t", 1) for line in output.split("\n") if "\t" in line)
    return code, found


def compare(world, name, table, keys):
    keys = list(dict.fromkeys(key for key in keys if "\n" not in key))
    LOOKUPS[name] = len(keys)
    reference_code, reference = answers(world["reference"], table, keys)
    ours_code, ours = answers(world["ours"], table, keys)
    differs = {key for key in reference.keys() | ours.keys() if reference.get(key) != ours.get(key)}
    meant = {key for (where, key) in cases.DIFFERENCES if where == name}
    meant = {key.encode().decode("latin-1") for key in meant}
    unexplained = {key: (reference.get(key), ours.get(key)) for key in differs - meant}
    assert not unexplained
    assert not meant - differs, "explained, but no longer different"
    assert (reference_code == 0) == (ours_code == 0)


@pytest.mark.parametrize("kind", ["hash", "btree", "lmdb", "cdb", "texthash"])
def test_tables_of_text(world, kind):
    if kind not in TYPES:
        pytest.skip(f"Debian's postfix has no {kind}")
    if kind != "texthash":
        for side in world.values():
            assert run(side, f"{kind}:TEXT")[0] == 0
    compare(world, kind, f"{kind}:TEXT", cases.TEXT_KEYS)


@pytest.mark.parametrize("kind", ["hash", "cdb", "texthash"])
def test_many_keys(world, kind):
    for side in world.values():
        assert kind == "texthash" or run(side, "-w", f"{kind}:./MANY")[0] == 0
    compare(world, f"many {kind}", f"{kind}:./MANY", cases.MANY_KEYS)


@pytest.mark.parametrize("kind", ["hash", "btree", "lmdb"])
def test_everything_is_listed(world, kind):
    lists = []
    for side in world.values():
        assert run(side, "-w", f"{kind}:TEXT")[0] == 0
        code, output, _ = run(side, "-s", f"{kind}:TEXT")
        assert code == 0
        lists.append(sorted(output.split("\n")))
    LOOKUPS[f"list {kind}"] = len(lists[0])
    meant = {line for (where, line) in cases.DIFFERENCES if where == "list"}
    differs = {line.split("\t")[0] for line in set(lists[0]) ^ set(lists[1])}
    assert differs == {line.encode().decode("latin-1") for line in meant}


@pytest.mark.parametrize("name, table, keys", [
    ("cidr", "cidr:./CIDR", cases.CIDR_KEYS),
    ("regexp", "regexp:PATTERNS", cases.PATTERN_KEYS),
    ("pcre", "pcre:PATTERNS", cases.PATTERN_KEYS),
    ("perl", "pcre:./PERL", cases.PERL_KEYS)], ids=["cidr", "regexp", "pcre", "perl"])
def test_tables_of_rules(world, name, table, keys):
    compare(world, name, table, keys)


def warnings(side, table):
    _, _, errors = run(side, "-q", "no such key", table)
    return sorted({line.split("line ")[1].split(":")[0] for line in errors.split("\n")
                   if ", line " in line})


@pytest.mark.parametrize("table", ["cidr:./CIDR", "regexp:PATTERNS", "pcre:PATTERNS", "pcre:./PERL"])
def test_the_same_lines_are_warned_about(world, table):
    assert warnings(world["ours"], table) == warnings(world["reference"], table)


@pytest.mark.parametrize("table, keys", cases.NESTED, ids=[each[0] for each in cases.NESTED])
def test_tables_in_memory_and_of_tables(world, table, keys):
    compare(world, table, table, keys)


@pytest.mark.parametrize("name", SQLITE)
def test_sqlite_tables(world, name):
    if "sqlite" not in TYPES:
        pytest.skip("Debian's postfix has no sqlite")
    compare(world, f"sqlite {name}", f"sqlite:./{name}.cf", SQLITE_KEYS)


def test_single_look_ups_and_exit_statuses(world):
    """The whole way of a command, for a few keys each; empty keys too, which bulk leaves out."""
    for side in world.values():
        assert run(side, "-w", "hash:TEXT")[0] == 0
    for table in ["hash:TEXT", "pcre:PATTERNS", "cidr:./CIDR", "static:x", "inline:{a=b}"]:
        for key in ["plain", "none", "", "user@example.com", "10.1.2.3", "a"]:
            for options in [[], ["-f"]]:
                LOOKUPS[f"{table} {key} {options}"] = 1
                reference = run(world["reference"], *options, "-q", key, table)
                ours = run(world["ours"], *options, "-q", key, table)
                assert ours[:2] == reference[:2], (table, key, options, reference, ours)


def test_enough_was_compared():
    wanted = 2000 if len(LOOKUPS) > 30 else 0
    assert sum(LOOKUPS.values()) >= wanted
    counted.count("look-ups", sum(LOOKUPS.values()), len(cases.DIFFERENCES))
