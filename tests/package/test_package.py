# SPDX-License-Identifier: Apache-2.0
"""The Debian package on a machine of its own: installed beside and instead of Postfix, upgraded
while it works, removed with mail in the queue, purged."""
import re
import subprocess

import pytest
from machine import Machine, SystemLog, package_file
from world import wait_until


@pytest.fixture(scope="module")
def package():
    return package_file()


@pytest.fixture
def machine():
    with Machine() as machine:
        SystemLog(machine).start()
        yield machine


def newer(machine, package):
    """The same package with a higher version number."""
    machine.run("mkdir /tmp/newer && dpkg-deb -R /tmp/$(basename %s) /tmp/newer/tree && "
                "sed -i 's/^Version: .*/&+next/' /tmp/newer/tree/DEBIAN/control && "
                "dpkg-deb -b /tmp/newer/tree /tmp/newer.deb" % package)
    return "/tmp/newer.deb"


def test_lintian_has_nothing_to_say_but_about_folders_of_manual_pages(package):
    result = subprocess.run(["lintian", "--fail-on", "error,warning", str(package)],
                            capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert result.stdout == ""


def test_a_fresh_installation_relays_nothing_for_strangers_and_delivers_locally(machine, package):
    machine.forget_postfix()
    machine.install(package)
    assert machine.run("postconf -h inet_interfaces mynetworks").stdout == \
        "loopback-only\n127.0.0.0/8, [::1]/128\n"
    assert machine.run("stat -c '%U:%G %a' /usr/sbin/postdrop").stdout == "root:postdrop 2755\n"
    assert machine.run("service postfix status", check=False).returncode == 0, "it was started"
    machine.run("useradd -m reader && echo Hello. | sendmail reader")
    machine.wait_log(r"to=<reader@\S+>, .*status=sent")
    assert "Hello." in machine.read("/var/mail/reader")
    machine.run("service postfix restart && service postfix reload && service postfix stop")
    assert machine.run("service postfix status", check=False).returncode == 3


def test_users_without_rights_submit_mail_while_nothing_runs(machine, package):
    machine.forget_postfix()
    machine.install(package)
    machine.run("useradd -m reader && useradd -m writer && service postfix stop")
    machine.run("echo Later. | sendmail reader", user="writer")
    machine.run("service postfix start")
    machine.wait_log(r"to=<reader@\S+>, .*status=sent")


def test_postfixs_configuration_stays_and_its_script_comes_back(machine, package):
    machine.run("postconf -e 'myhostname = kept.example.com' 'mynetworks = 127.0.0.0/8'")
    before = machine.read("/etc/postfix/main.cf"), machine.read("/etc/postfix/master.cf")
    script = machine.read("/etc/init.d/postfix")
    said = machine.install(package)
    assert "do not purge the package postfix" in said.stdout + said.stderr
    assert (machine.read("/etc/postfix/main.cf"), machine.read("/etc/postfix/master.cf")) == before
    assert machine.run("service postfix status").returncode == 0
    assert machine.run("readlink /etc/init.d/postfix").stdout == "waypost\n"
    machine.run("apt-get remove -y waypost </dev/null && dpkg --purge waypost")
    assert (machine.read("/etc/postfix/main.cf"), machine.read("/etc/postfix/master.cf")) == before
    assert machine.read("/etc/init.d/postfix") == script
    assert machine.run("dpkg-divert --list waypost; dpkg-statoverride --list '*postdrop*'",
                       check=False).stdout == ""


def test_forgetting_postfix_as_the_documentation_says_keeps_what_waypost_uses(machine, package):
    machine.install(package)
    machine.run("rm /var/lib/dpkg/info/postfix.postrm && dpkg --purge postfix")
    assert machine.run("service postfix restart && service postfix status").returncode == 0
    assert "myhostname" in machine.read("/etc/postfix/main.cf")


def test_mail_that_waits_in_postfixs_queue_is_named_and_left(machine, package):
    machine.run("mkdir -p /var/spool/postfix/deferred/A && touch /var/spool/postfix/deferred/A/A1B2C3")
    said = machine.install(package)
    assert "1 messages wait in the queue of the Postfix" in said.stdout + said.stderr
    assert machine.path("/var/spool/postfix/deferred/A/A1B2C3").exists()


def test_an_upgrade_keeps_queue_configuration_and_service(machine, package):
    machine.forget_postfix()
    machine.install(package)
    machine.run("postconf -e 'relayhost = [127.0.0.9]:1' && service postfix reload")
    machine.run("echo Waits. | sendmail -f a@example.com b@example.org")
    machine.wait_log(r"status=deferred")
    machine.run(f"apt-get install -y {newer(machine, package)} </dev/null", timeout=300)
    assert machine.run("dpkg-query -W -f '${Version}' waypost").stdout.endswith("+next")
    assert machine.run("service postfix status").returncode == 0
    assert "b@example.org" in machine.run("mailq").stdout
    assert machine.run("postconf -h relayhost").stdout == "[127.0.0.9]:1\n"
    assert machine.run("stat -c '%U:%G %a' /usr/sbin/postdrop").stdout == "root:postdrop 2755\n"


def test_a_purge_takes_what_the_package_made(machine, package):
    machine.forget_postfix()
    machine.install(package)
    machine.run("dpkg --purge --force-depends waypost")
    assert not machine.path("/etc/postfix").exists()
    assert machine.run("ls -A /var/spool/postfix").stdout == ""
    left = machine.run("ls -d /etc/init.d/postfix* /etc/init.d/waypost /usr/sbin/waypost "
                       "/etc/systemd/system/postfix.service /var/lib/postfix", check=False).stdout
    assert left == ""


def test_a_purge_leaves_a_queue_in_which_mail_waits(machine, package):
    machine.forget_postfix()
    machine.install(package)
    machine.run("postconf -e 'relayhost = [127.0.0.9]:1' && service postfix reload")
    machine.run("echo Waits. | sendmail -f a@example.com b@example.org")
    machine.wait_log(r"status=deferred")
    said = machine.run("dpkg --purge --force-depends waypost 2>&1").stdout
    assert "is left, because mail waits in it" in said
    machine.install(package)
    assert "b@example.org" in machine.run("mailq").stdout


def test_a_restart_with_a_broken_configuration_leaves_the_running_service(machine, package):
    machine.forget_postfix()
    machine.install(package)
    pid = machine.read("/var/spool/postfix/pid/master.pid")
    machine.run("postconf -e 'maximal_queue_lifetime = 20x'")
    failed = machine.run("service postfix restart", check=False)
    assert failed.returncode == 1
    assert "maximal_queue_lifetime" in failed.stdout + failed.stderr
    assert machine.read("/var/spool/postfix/pid/master.pid") == pid
    assert machine.run("service postfix status").returncode == 0


def test_the_log_rotates_and_goes_on(machine, package):
    machine.forget_postfix()
    machine.install(package)
    machine.run("postconf -e 'maillog_file = /var/log/maillog' && service postfix restart")
    # What logrotate(8) does with this file of ours.
    rules = machine.read("/etc/logrotate.d/waypost")
    after = re.search(r"postrotate\n(.*?)endscript", rules, re.DOTALL)[1]
    machine.run("mv /var/log/maillog /var/log/maillog.1 && "
                f"install -m 640 -o root -g adm /dev/null /var/log/maillog\n{after}")
    # The line that says so is still the old file's.
    wait_until(lambda: "reload -- version" in machine.read("/var/log/maillog.1"), "the reload")
    wait_until(lambda: machine.run("echo Hello. | sendmail root") and
               "postfix/pickup[" in machine.log(), "lines in the new file")


def test_completion_offers_commands_and_parameters(machine, package):
    machine.install(package)
    offered = machine.run(
        "source /usr/share/bash-completion/completions/waypost; COMP_WORDS=(postconf relay); "
        "COMP_CWORD=1; _waypost; printf '%s\\n' \"${COMPREPLY[@]}\"").stdout.split()
    assert "relayhost" in offered and all(re.match("relay", each) for each in offered)
    offered = machine.run(
        "source /usr/share/bash-completion/completions/waypost; COMP_WORDS=(postfix re); "
        "COMP_CWORD=1; _waypost; printf '%s\\n' \"${COMPREPLY[@]}\"").stdout.split()
    assert offered == ["reload"]


def test_the_unit_is_one_that_systemd_understands(machine, package):
    machine.install(package)
    said = machine.run("systemd-analyze verify /lib/systemd/system/waypost.service 2>&1 || true").stdout
    assert [line for line in said.splitlines() if "waypost" in line] == []
    assert machine.run("readlink /etc/systemd/system/postfix.service").stdout == \
        "/lib/systemd/system/waypost.service\n"
