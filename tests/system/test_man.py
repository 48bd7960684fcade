# SPDX-License-Identifier: Apache-2.0
"""Every command has a manual page, and every option that its help names is on it."""
import re
import subprocess

import pytest

from world import PROGRAM, ROOT

MAN = ROOT / "man"


def run(*arguments):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=True,
                          timeout=20).stdout


def commands():
    return re.findall(r"^  (\w+) {2,}\S", run(), re.MULTILINE)


OWN = ("queue", "top", "why")  # on the page of waypost itself


def file_of(name):
    """Commands that Postfix has not are on the program's page, or on one of their own."""
    own = MAN / f"waypost-{name}.1"
    return own if own.exists() else MAN / f"{'waypost' if name in OWN else name}.1"


def page(name):
    text = file_of(name).read_text()
    if text.startswith(".so "):
        text = (MAN / text.split("/")[-1].strip()).read_text()
    return text


def test_waypost_alone_lists_what_there_is():
    names = commands()
    assert {"postfix", "sendmail", "mailq", "newaliases", "postmap", "postalias", "postconf",
            "postqueue", "postsuper", "postcat", "postlog", "postdrop", "postkick"} <= set(names)
    assert all(f"{name} (waypost) " in run(name, "--version") for name in names)


@pytest.mark.parametrize("name", commands())
def test_every_option_in_the_help_is_in_the_manual(name):
    shown = run(name, "--help")
    # Not the synopsis, which writes options together: -fhv.
    shown = re.sub(r"(?m)^(usage:| {7}\w).*$", "", shown)
    assert shown.startswith(f"{name}: ") or "usage: " in shown
    options = set(re.findall(r"(?:^ *|[ ,|\[])(--?\w[\w-]*)", shown))
    manual = page(name).replace("\\-", "-").replace("\\fI", "").replace("\\fR", "")
    missing = [option for option in options
               if not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", manual)
               # letters that are joined in the manual's synopsis, and with their argument
               and not re.search(rf"(?<![\w-]){re.escape(option)}", manual)]
    assert missing == []


@pytest.mark.parametrize("name", sorted(each.name for each in MAN.glob("*.[58]")))
def test_page_that_is_no_commands_is_well_formed(name):
    result = subprocess.run(["man", "--warnings", "-l", MAN / name], capture_output=True, text=True,
                            timeout=20, cwd=MAN.parent)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("name", ["waypost", *sorted(set(commands()) - set(OWN))])
def test_manual_page_is_well_formed(name):
    result = subprocess.run(["man", "--warnings", "-l", file_of(name)], capture_output=True,
                            text=True, timeout=20, cwd=MAN.parent)
    assert result.returncode == 0
    if page(name) == file_of(name).read_text():  # .so wants an installed tree
        assert result.stderr == ""
