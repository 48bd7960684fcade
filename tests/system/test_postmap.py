# SPDX-License-Identifier: Apache-2.0
"""postmap and postalias do what Debian's do with the same files: output, warnings, exit status."""
import json
import pathlib
import re
import shutil
import subprocess

import pytest

from world import PROGRAM

SOURCE = ("a@b value one\nA@B dup\nnoval\n\"quo ted\" val2\nx: y\n# c\nkey\n  continued\n\n"
          "   \n tail cont\n")
ALIASES = "root: joe\n\"a b\": c\nbad\nroot: again\nLong: a,\n b\n"
MESSAGE = """From: a@b
Subject: one
 two
Content-Type: multipart/mixed; boundary="x"

pre
--x
Content-Type: text/plain

body one
--x
Content-Type: message/rfc822

Subject: inner
\tfolded

inner body
--x--
epilogue
"""
NETWORKS = ("10.0.0.0/8 ten\n!10.1.0.0/16 neg\nif 192.168.0.0/16\n192.168.1.0/24 one\nendif\n"
            "0.0.0.0/0 all\n")
PATTERNS = r"""/^(.*)@old\.example$/ ${1}@new.example
!/example/ noex
/^X-(a+)/i  lower
/^case$/ insens
if /^sub/
/two$/ IN
/(three)|(four)/ g1=$1 g2=$2.
endif
if !/^z/
|dollar|x a$$b
/not(paren/x basic
endif
"""

# Each line is a command; they run in order in a folder of their own.
SESSIONS = {
    "build": ["postmap hash:{0}/f", "postmap -s hash:{0}/f", "postmap -q a@b hash:{0}/f",
              "postmap -q A@B hash:{0}/f", "postmap -q zz hash:{0}/f", "postmap -q key hash:{0}/f",
              "postmap -w hash:{0}/f", "postmap -r hash:{0}/f", "postmap -q a@b hash:{0}/f"],
    "change": ["postmap -w hash:{0}/f", "postmap -d a@b hash:{0}/f", "postmap -d a@b hash:{0}/f",
               "postmap -i hash:{0}/f <added v", "postmap -q added hash:{0}/f",
               "postmap -q key hash:{0}/f", "postmap -q - hash:{0}/f <key\nnone\nadded"],
    "case": ["postmap -f hash:{0}/f", "postmap -f -q A@B hash:{0}/f", "postmap -q A@B hash:{0}/f"],
    "aliases": ["postalias hash:{0}/al", "postalias -q ROOT hash:{0}/al",
                "postalias -q \"a b\" hash:{0}/al", "postmap -q long hash:{0}/al"],
    "failures": ["postmap hash:{0}/none", "postmap -q x hash:{0}/none", "postmap -q x foo:x",
                 "postmap texthash:{0}/f"],
    "memory": ["postmap -q key texthash:{0}/f", "postmap -q X inline:{{x=y}}",
               "postmap -q a,b inline:{{{{a,b=c}},e=f}}", "postmap -q x static:hello"],
    "networks": [f"postmap -q {address} cidr:{{0}}/nets"
                 for address in ["10.1.2.3", "10.2.0.0", "192.168.1.5", "192.168.2.5", "1.2.3.4",
                                 "::1", "name"]],
    "patterns": [f"postmap -q {key} regexp:{{0}}/re"
                 for key in ["joe@old.example", "JOE@OLD.EXAMPLE", "foo.example", "zzz",
                             "X-aaa.example", "x-aaa.example", "case", "sub.example.two",
                             "sub-three-example", "sub-four-example", "example-three",
                             "dollarexample", "not(parenexample", "example"]],
}

pytestmark = pytest.mark.skipif(
    not shutil.which("/usr/sbin/postmap") or pathlib.Path("/usr/sbin/postmap").resolve().name ==
    "waypost", reason="Debian's postfix is not installed")


def run(line, folder, programs):
    command, _, given = line.format(folder).partition(" <")
    words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', command)]
    result = subprocess.run([f"{programs}/{words[0]}", *words[1:]], input=given + "\n",
                            capture_output=True, text=True, timeout=20)
    output = sorted(result.stdout.splitlines())
    # Debian's opens a texthash: twice and says everything twice.
    text = "\n".join([*output, *dict.fromkeys(result.stderr.splitlines())])
    return result.returncode, text.replace(str(folder), "").replace(".lmdb", ".db")


@pytest.mark.parametrize("options", ["-h", "-b", "-hm", "-bm", "-hb", "-hbm"])
def test_headers_and_body_of_a_message_are_keys(tmp_path, options):
    (tmp_path / "postmap").symlink_to(PROGRAM)
    for text in [MESSAGE, "From: a\nnot a header\nX: y\n\nbody\n", "A: b\n", "\nbody\n",
                 "A: b\n\n", "", "\n\n\n", "A: b\n c\n\td\n\n--x\n"]:
        answers = [subprocess.run([program, options, "-q", "-", "pcre:{{/^(.*)$/ [$1]}}"],
                                  input=text, capture_output=True, text=True, timeout=20)
                   for program in ["/usr/sbin/postmap", tmp_path / "postmap"]]
        assert answers[1].stdout == answers[0].stdout, text
        assert answers[1].returncode == answers[0].returncode, text


def test_values_may_be_the_content_of_files(tmp_path):
    (tmp_path / "one").write_text("first\n")
    (tmp_path / "two").write_text("second")
    (tmp_path / "postmap").symlink_to(PROGRAM)
    answers = []
    for program, name in [("/usr/sbin/postmap", "reference"), (tmp_path / "postmap", "ours")]:
        (tmp_path / name).write_text("a one, two\nb none\nc two\n")
        table = f"hash:{name}"
        lines = [subprocess.run([program, *words.split(), table], cwd=tmp_path, timeout=20,
                                capture_output=True, text=True)
                 for words in ["-F", "-q a", "-F -q a", "-F -q c", "-F -q b"]]
        assert "No such file or directory: skipping" in lines[0].stderr
        answers.append([(line.returncode, line.stdout) for line in lines])
    assert answers[0] == answers[1]


def test_json_has_an_object_for_each_entry(tmp_path):
    (tmp_path / "postmap").symlink_to(PROGRAM)
    (tmp_path / "f").write_bytes(b'a "q" \\ \xc3\xa4\nb \xff\x01\n')
    run_in = {"cwd": tmp_path, "check": True, "timeout": 20, "capture_output": True}
    subprocess.run([tmp_path / "postmap", "hash:f"], **run_in)
    output = subprocess.run([tmp_path / "postmap", "-j", "-s", "hash:f"], **run_in).stdout
    entries = [json.loads(line) for line in output.splitlines()]
    assert entries == [{"key": "a", "value": '"q" \\ ä'}, {"key": "b", "value": "?\x01"}]


@pytest.mark.parametrize("session", SESSIONS)
def test_as_debians(tmp_path, session):
    ours_bin = tmp_path / "bin"
    ours_bin.mkdir()
    for name in ["postmap", "postalias"]:
        (ours_bin / name).symlink_to(PROGRAM)
    for name in ["reference", "ours"]:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "f").write_text(SOURCE)
        (folder / "al").write_text(ALIASES)
        (folder / "nets").write_text(NETWORKS)
        (folder / "re").write_text(PATTERNS)
    for line in SESSIONS[session]:
        expected = run(line, tmp_path / "reference", "/usr/sbin")
        assert run(line, tmp_path / "ours", ours_bin) == expected, line


def test_a_table_is_replaced_whole(tmp_path):
    """A reader that has the old table keeps it; a failed build leaves it in place."""
    source = tmp_path / "f"
    postmap = tmp_path / "postmap"
    postmap.symlink_to(PROGRAM)
    source.write_text("a b\n")
    subprocess.run([postmap, f"hash:{source}"], check=True, timeout=20)
    before = (tmp_path / "f.lmdb").stat().st_ino
    source.write_text("a c\n" + "k" * 600 + " too long a key\n")
    failed = subprocess.run([postmap, f"hash:{source}"], capture_output=True, text=True,
                            timeout=20)
    assert failed.returncode == 1
    assert "line 2" in failed.stderr
    assert (tmp_path / "f.lmdb").stat().st_ino == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f", "f.lmdb", "postmap"]
