# SPDX-License-Identifier: Apache-2.0
"""postconf prints what Debian's postconf prints, fragment by fragment. Where it is meant to differ,
the reason stands beside the fragment, and the test fails when the difference goes away."""
import os
import pathlib
import re
import subprocess

import pytest

from postconf_fragments import (DEFAULTS_CHANGED_SINCE, EDITS, EXPRESSIONS, MAIN_FRAGMENTS,
                                MASTER_FRAGMENTS, NAME_LINES)
from world import PROGRAM

REFERENCE = os.environ.get("REFERENCE_POSTCONF", "/usr/sbin/postconf")
OLD = 1000000000  # Postfix waits two seconds before it reads a file that has just changed
MASTER = """\
smtp      inet  n       -       n       -       -       smtpd
smtp      unix  -       -       n       -       -       smtp
qq_limit  unix  -       -       n       -       -       smtp
list      unix  -       n       n       -       -       pipe
  flags=R user=nobody argv=/bin/cat
"""


def has_reference():
    try:
        version = subprocess.run([REFERENCE, "-h", "-d", "mail_version"], capture_output=True,
                                 text=True, timeout=20)
        real = pathlib.Path(REFERENCE).resolve().name
    except OSError:
        return False
    return real != "waypost" and version.stdout.startswith("3.7.")


pytestmark = pytest.mark.skipif(not has_reference(), reason="Debian's postfix is not installed")


def run(program, folder, arguments):
    result = subprocess.run([*program, "-c", folder.name, *arguments], capture_output=True,
                            timeout=20, cwd=folder.parent)
    return result.returncode != 0, result.stdout.decode("latin-1"), result.stderr.decode("latin-1")


def both(tmp_path, main, master, arguments):
    answers = []
    for name, program in (("reference", [REFERENCE]), ("ours", [str(PROGRAM), "postconf"])):
        folder = tmp_path / name / "etc"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "main.cf").write_bytes(main.encode("latin-1"))
        (folder / "master.cf").write_bytes(master.encode("latin-1"))
        os.utime(folder / "main.cf", (OLD, OLD))
        failed, output, errors = run(program, folder, arguments)
        answers.append((failed, output, (folder / "main.cf").read_text("latin-1"),
                        (folder / "master.cf").read_text("latin-1"), errors))
    return answers


def compare(tmp_path, main, master, requests, reason):
    differs = []
    for arguments in requests:
        reference, ours = both(tmp_path, main, master, arguments.split("|"))
        if reference[:4] != ours[:4]:
            differs.append((arguments, reference, ours))
        if reference[0]:
            break  # the others fail alike, and each failure takes Postfix a second
    if reason is None:
        assert not differs
    else:
        assert differs, f"no longer different: {reason}"


def split(fragment):
    return fragment if isinstance(fragment, tuple) else (fragment, None)


@pytest.mark.parametrize("fragment", EXPRESSIONS, ids=lambda f: str(split(f)[0])[:60])
def test_values_are_expanded_as_by_postfix(tmp_path, fragment):
    text, reason = split(fragment)
    main = f"one = 1\nnone =\nmyorigin = {text}\nrelayhost = $none.$one\n"
    compare(tmp_path, main, MASTER, ["-nx"], reason)


@pytest.mark.parametrize("fragment", MAIN_FRAGMENTS, ids=lambda f: repr(split(f)[0])[:60])
def test_parameters_are_shown_as_by_postfix(tmp_path, fragment):
    text, reason = split(fragment)
    compare(tmp_path, text, MASTER, ["-n", "-nx", "-nf", "-nh"], reason)


@pytest.mark.parametrize("fragment", MASTER_FRAGMENTS, ids=lambda f: repr(split(f)[0])[:60])
def test_services_are_shown_as_by_postfix(tmp_path, fragment):
    text, reason = split(fragment)
    compare(tmp_path, "mua_list = permit, reject\n", text,
            ["-M", "-Mf", "-F", "-P", "-Px", "-Ph"], reason)


@pytest.mark.parametrize("fragment", NAME_LINES, ids=lambda f: str(split(f)[0])[:60])
def test_requests_are_answered_as_by_postfix(tmp_path, fragment):
    arguments, reason = split(fragment)
    main = ("myhostname = mx.example.com\nmyorigin = $mydomain\nuser = 1\nmydestination = $user\n"
            "qq_limit_destination_rate_delay = 3s\nbiff = no\n")
    compare(tmp_path, main, MASTER, [arguments], reason)


@pytest.mark.parametrize("fragment", EDITS, ids=lambda f: str(split(f)[0])[:60])
def test_edits_leave_the_files_that_postfix_leaves(tmp_path, fragment):
    arguments, reason = split(fragment)
    main = ("# first\nmyorigin = a\n  b\n# second\nmydomain = x\n\n#myhostname = y\n"
            "mydomain = z\nlast=1\n")
    compare(tmp_path, main, MASTER, [arguments], reason)


def settings(text):
    return dict(re.match(r"(\S+) = ?(.*)", line.replace(" =", " = ", 1)
                         if line.endswith(" =") else line).groups()
                for line in text.splitlines())


def test_defaults_are_postfix_defaults_and_the_changed_ones_are_listed(tmp_path):
    reference, ours = both(tmp_path, "", "", ["-d"])
    theirs, ours = settings(reference[1]), settings(ours[1])
    assert not set(theirs) - set(ours)
    changed = {name for name in theirs if theirs[name] != ours[name]}
    assert changed == set(DEFAULTS_CHANGED_SINCE)


def test_warnings_name_the_unused_and_the_nearest(tmp_path):
    _, ours = both(tmp_path, "smptd_timeout = 3\n", "", ["-n"])
    assert "unused parameter: smptd_timeout=3" in ours[4]
    assert "did you mean smtpd_timeout?" in ours[4]


def test_edit_ends_the_last_line_before_it_adds_one(tmp_path):
    _, ours = both(tmp_path, "biff = no", "", ["-e", "soft_bounce = yes"])
    assert ours[2] == "biff = no\nsoft_bounce = yes\n"


def test_edit_keeps_owner_mode_and_link(tmp_path):
    folder = tmp_path / "etc"
    folder.mkdir()
    (tmp_path / "real.cf").write_text("biff = no\n")
    os.chmod(tmp_path / "real.cf", 0o640)
    os.symlink(tmp_path / "real.cf", folder / "main.cf")
    (folder / "master.cf").write_text("")
    assert run([str(PROGRAM), "postconf"], folder, ["-e", "biff = yes"])[0] is False
    assert (folder / "main.cf").is_symlink()
    assert (tmp_path / "real.cf").read_text() == "biff = yes\n"
    assert (tmp_path / "real.cf").stat().st_mode & 0o7777 == 0o640
    assert sorted(os.listdir(tmp_path)) == ["etc", "real.cf"]
