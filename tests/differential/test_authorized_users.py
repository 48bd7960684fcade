# SPDX-License-Identifier: Apache-2.0
"""authorized_flush_users, authorized_mailq_users and authorized_submit_users beside Debian's Postfix:
the same command lines by the same users, and what they print and how they exit compared. And that
the queue itself refuses them, whatever program asks."""
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "system"))

import reference
from world import DROP_PROGRAM, PATIENCE, PROGRAM, Instance

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not reference.is_installed(),
                                reason="needs root and Debian's Postfix")

NAMES = {"myhostname": "relay.example.test", "mydomain": "example.test", "mydestination": "",
         "compatibility_level": "3.6"}
LISTS = {
    "names": {"authorized_flush_users": "daemon", "authorized_mailq_users": "!nobody, static:x",
              "authorized_submit_users": "bin"},
    "table": {"authorized_flush_users": "!inline:{nobody=x} static:x",
              "authorized_mailq_users": "inline:{nobody=x}, unknown",
              "authorized_submit_users": "!root !nobody static:x"},
    "nobody at all": {"authorized_flush_users": "", "authorized_mailq_users": "",
                      "authorized_submit_users": ""},
}
USERS = ["root", "postfix", "nobody", "12345"]
LINES = ["postqueue -p", "postqueue -j", "postqueue -f", "postqueue -s x.example",
         "postqueue -s ..bad", "postqueue -i !!", "postqueue -i ABCDEF1234", "mailq", "sendmail -q",
         "sendmail -bp", "sendmail -qRx.example", "sendmail -qIABCDEF1234"]
SUBMISSIONS = ["sendmail a@b.example", "sendmail -bv a@b.example", "sendmail -t", "sendmail -bs"]


def run_as(config, user, words):
    """With the configuration in the default place: its owner alone may choose another one."""
    script = ("mount --bind \"$1\" /etc/postfix && shift && "
              "exec setpriv --reuid=\"$1\" --regid=nogroup --clear-groups -- \"${@:2}\"")
    result = subprocess.run(["unshare", "-m", "/bin/bash", "-c", script, "-", config, user, *words],
                            input="To: c@d.example\n\n", capture_output=True, text=True,
                            timeout=PATIENCE, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    return result.returncode, result.stdout, result.stderr


def installed(instance):
    """Real files that every user can reach; the folder."""
    folder = instance.folder / "sbin"
    folder.mkdir()
    for program in (PROGRAM, DROP_PROGRAM):
        shutil.copy(program, folder)
    for name in ("postqueue", "mailq", "sendmail"):
        (folder / name).symlink_to("waypost")
    return folder


def path_of(name):
    return "/usr/bin/mailq" if name == "mailq" else f"/usr/sbin/{name}"


@pytest.mark.parametrize("name", LISTS)
def test_users_are_answered_alike(name):
    with reference.Reference(services="pickup unix n - n 60 1 pickup\n"
                                      "showq unix n - n - - showq\n",
                             **NAMES, **LISTS[name]) as theirs, \
            Instance(**NAMES, **LISTS[name]) as ours:
        folder = installed(ours)
        differences = []
        for user in USERS:
            for line in LINES + SUBMISSIONS:
                command, *words = line.split()
                expected = run_as(theirs.config, user, [path_of(command), *words])
                if line in SUBMISSIONS and "not allowed" not in expected[2]:
                    continue
                found = run_as(ours.config, user, [folder / command, *words])
                if found != expected:
                    differences.append(f"{user}: {line}\n  {expected}\n  {found}")
        assert not differences, "\n".join(differences)


def test_another_configuration_does_not_open_the_queue():
    """What a caller's own main.cf says of the lists is nothing to the queue."""
    with Instance(**NAMES, **LISTS["names"]) as relay:
        folder = installed(relay)
        (folder / "waypost").chmod(0o755)
        other = relay.folder / "other"
        shutil.copytree(relay.config, other)
        main_cf = [line for line in (relay.config / "main.cf").read_text().splitlines()
                   if not line.startswith("authorized_")]
        (other / "main.cf").write_text("\n".join(main_cf) + "\n")
        view = "User nobody(65534) is not allowed to view the mail queue"
        flush = "User nobody(65534) is not allowed to flush the mail queue"
        for words, text in ((["postqueue", "-c", other, "-p"], view),
                            (["postqueue", "-c", other, "-j"], view),
                            (["waypost", "queue", "-c", other], view),
                            (["waypost", "top", "-c", other, "--once"], view),
                            (["waypost", "why", "-c", other, "x.example"], view),
                            (["postqueue", "-c", other, "-f"], flush),
                            (["postqueue", "-c", other, "-i", "ABCDEF1234"], flush)):
            code, out, error = run_as(relay.config, "nobody", [folder / words[0], *words[1:]])
            assert (code, out) == (69, ""), (words, code, out, error)
            assert text in error
        code, out, error = run_as(relay.config, "12345", [folder / "postqueue", "-c", other, "-p"])
        assert (code, out) == (0, "Mail queue is empty\n"), error


def test_postdrop_refuses_whoever_calls_it():
    with Instance(**NAMES, **LISTS["names"]) as relay:
        folder = installed(relay)
        for user, text in (("root", "root(0)"), ("nobody", "nobody(65534)")):
            code, out, error = run_as(relay.config, user, [folder / "postdrop", "-r"])
            assert (code, out) == (77, "")
            assert error == f"postdrop: fatal: User {text} is not allowed to submit mail\n"
        assert list((relay.queue / "maildrop").iterdir()) == []
