# SPDX-License-Identifier: Apache-2.0
"""postfix logrotate: no line is lost, the older file is compressed, a new one has the right mode."""
import gzip
import os
import re
import shutil
import smtplib
import stat
import threading

import pytest

from world import Instance, message


def rotated(instance):
    return sorted(instance.log_file.parent.glob(instance.log_file.name + ".*"))


def all_lines(instance):
    text = ""
    for path in rotated(instance):
        text += gzip.open(path, "rt").read() if path.suffix == ".gz" else path.read_text()
    return text + instance.log_file.read_text()


@pytest.fixture
def instance():
    with Instance(relayhost="[127.0.0.1]:1", maillog_file_rotate_suffix="%Y%m%d-%H%M%S") as each:
        yield each


def test_lines_go_on_in_a_new_file_and_none_is_lost(instance):
    ids, ends = [], threading.Event()

    def keep_sending():
        while not ends.is_set():
            with smtplib.SMTP("127.0.0.1", instance.port, timeout=30) as client:
                client.ehlo("client.example")
                client.mail("sender@example.test")
                client.rcpt("a@example.com")
                _, text = client.data(message())
            ids.append(text.decode().split()[-1])
    sender = threading.Thread(target=keep_sending)
    sender.start()
    try:
        instance.run("postfix", "logrotate")
    finally:
        ends.set()
        sender.join()
    assert [path.suffix for path in rotated(instance)] == [".gz"]
    instance.wait_log(rf"{ids[-1]}: from=<")
    accepted = re.findall(r"smtpd\[\d+\]: (\w+): client=", all_lines(instance))
    assert sorted(accepted) == sorted(ids) and len(ids) > 10
    assert "client=" in instance.log_file.read_text()


def test_the_new_file_has_the_mode_of_the_parameter(instance):
    instance.run("postfix", "logrotate")
    assert stat.S_IMODE(instance.log_file.stat().st_mode) == 0o600
    instance.parameters.update(maillog_file_permissions="0644", maillog_file_compressor="true",
                               maillog_file_rotate_suffix="again")
    instance.write()
    instance.run("postfix", "logrotate")
    assert stat.S_IMODE(instance.log_file.stat().st_mode) == 0o644
    assert instance.log_file.with_name(instance.log_file.name + ".again").exists()


@pytest.mark.parametrize("parameter, value, text", [
    ("maillog_file", "", "maillog_file is empty"),
    ("maillog_file", "/dev/stdout", "not rotating '/dev/stdout'"),
    ("maillog_file_rotate_suffix", "", "maillog_file_rotate_suffix is empty"),
    ("maillog_file_compressor", "/nonexistent/program", "run /nonexistent/program"),
    ("maillog_file_compressor", "false", "false failed on"),
])
def test_what_cannot_be_done_is_said(instance, parameter, value, text):
    instance.parameters[parameter] = value
    instance.write()
    done = instance.run("postfix", "logrotate", check=False)
    assert done.returncode == 1 and text in done.stderr


def test_a_file_that_is_there_is_not_written_over(instance):
    instance.parameters["maillog_file_rotate_suffix"] = "old"
    instance.write()
    old = instance.log_file.with_name(instance.log_file.name + ".old")
    old.write_text("yesterday\n")
    done = instance.run("postfix", "logrotate", check=False)
    assert done.returncode == 1 and "File exists" in done.stderr
    assert old.read_text() == "yesterday\n" and instance.log_file.exists()


def test_a_mode_that_lets_others_write_is_refused(instance):
    instance.parameters["maillog_file_permissions"] = "0666"
    instance.write()
    instance.reload()
    instance.wait_log('maillog_file_permissions: "0666" is none of 0600, 0640, 0644')


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_permissions_are_set_and_an_upgrade_has_nothing_to_do(instance):
    maildrop = instance.queue / "maildrop"
    maildrop.chmod(0o777)
    postdrop = instance.bin / "postdrop"
    original = postdrop.resolve()
    postdrop.unlink()
    shutil.copy(original, postdrop)
    instance.run("postfix", "set-permissions")
    assert stat.S_IMODE(maildrop.stat().st_mode) == 0o1770
    assert stat.S_IMODE(postdrop.stat().st_mode) == 0o2755
    assert postdrop.stat().st_gid == maildrop.stat().st_gid
    assert "nothing to upgrade" in instance.run("postfix", "upgrade-configuration").stderr
