# SPDX-License-Identifier: Apache-2.0
"""Local delivery: mailboxes, aliases, .forward files and commands, first beside Debian's Postfix
(the same files, addresses and messages in, what came out compared), then what must not happen."""
import os
import pathlib
import re
import signal
import socket
import stat
import subprocess
import time

import pytest

import local_cases
import reference
from mailboxes import (DOMAIN, FIRST_UID, VIRTUAL, Bench, Case, Users, differences, is_own_view, tree)
from world import MASTER_CF, Instance, Sink, is_alive, message, wait_until

pytestmark = pytest.mark.skipif(not is_own_view(),
                                reason="needs root and a view of the files of its own")

SETS = {
    "plain": (local_cases.MAILBOX + local_cases.ADDRESSES + local_cases.PROGRAMS +
              local_cases.UNSAFE,
              {"mailbox_size_limit": "50000", "message_size_limit": "40000"}),
    "others": (local_cases.EXTENSIONS + local_cases.PIPES + local_cases.CHROOTS +
               local_cases.VIRTUALS, {
        "recipient_delimiter": "+", "mailbox_transport_maps": "texthash:FOLDER/transports",
        "default_destination_recipient_limit": "1",
        "virtual_mailbox_domains": VIRTUAL, "virtual_mailbox_base": "FOLDER/v",
        "virtual_mailbox_maps": "texthash:FOLDER/virtual",
        "virtual_uid_maps": f"static:{FIRST_UID}", "virtual_gid_maps": f"static:{FIRST_UID}",
        "smtpd_reject_unlisted_recipient": "no"}),
    "filtered": (local_cases.FILTERED + local_cases.UPPER_ALIAS, {
        "recipient_delimiter": "+", "default_destination_recipient_limit": "1",
        "virtual_mailbox_domains": VIRTUAL, "virtual_mailbox_base": "FOLDER/v",
        "virtual_mailbox_maps": "texthash:FOLDER/virtual",
        "virtual_uid_maps": f"static:{FIRST_UID}", "virtual_gid_maps": f"static:{FIRST_UID}",
        "smtpd_reject_unlisted_recipient": "no",
        "mailbox_transport_maps": "texthash:FOLDER/transports",
        "default_delivery_status_filter":
            "regexp:{{/^5\\.3\\.0 (service.*)/ 4.3.1 later: $$1}, {/^4\\.3\\.0 / 5.3.9 no more}}",
        "local_delivery_status_filter":
            "regexp:{{/^5\\.1\\.1 .*/ 5.2.1 nobody here}, {/^5\\.2\\.0 (.*)/ 4.2.2 $$1},"
            " {/^2.*mailbox/ 2.1.9 in the box}}, $default_delivery_status_filter",
        "pipe_delivery_status_filter":
            "regexp:{{/^2\\.0\\.0 / 5.0.0 bad}, {/^5\\.1\\.1 / bad 5.1.1}}, "
            "$default_delivery_status_filter",
        "virtual_delivery_status_filter": "regexp:{{/^2/ 2.7.7 kept}, {/^5/ 4.1.1 not now}}"}),
    "patterns": (local_cases.PATTERNS, {
        "recipient_delimiter": "+", "default_destination_recipient_limit": "1",
        "alias_maps": "regexp:{{/^al-/ a@example.com}, {/^tagged-.*\\+ext$$/ b@example.com},"
                      " {/^run-/ \"|exit 75\"}, {/^file-/ /nonexistent/file},"
                      " {/^danger-(.*)/ \"|echo $$1\"}, {/^dollar-/ $$$$@example.com},"
                      " {/^list-/ d@example.com, e@example.com}, {/^owner-list-/ o@example.com}}",
        "virtual_mailbox_domains": VIRTUAL, "virtual_mailbox_base": "FOLDER/v",
        "virtual_mailbox_maps": "pcre:{{/^danger-(.*)@/ $$1}, {/^u[0-9]+x@/ all}}",
        "virtual_uid_maps": f"regexp:{{{{/./ {FIRST_UID}}}}}",
        "virtual_gid_maps": f"static:{FIRST_UID}", "smtpd_reject_unlisted_recipient": "no"}),
    "parameters": (local_cases.MANY_PARAMETERS, {
        "home_mailbox": "Maildir/", "recipient_delimiter": "+-",
        "luser_relay": "catch-$local@example.com", "allow_mail_to_commands": "alias",
        "allow_mail_to_files": "alias", "expand_owner_alias": "yes",
        "forward_path": "$home/.forward,$home/fwd.$user",
        "propagate_unmatched_extensions": "alias,forward,include",
        "prepend_delivered_header": "forward"}),
    "commands": (local_cases.COMMANDS, {
        "recipient_delimiter": "+", "luser_relay": "$user+$extension",
        "mailbox_command": 'cat > $HOME/out; echo "$EXTENSION $USER" > $HOME/ext'}),
}


@pytest.mark.skipif(not reference.is_installed(), reason="Debian's postfix is not installed")
@pytest.mark.parametrize("name", SETS)
def test_outcome_is_the_same_as_postfixs(name):
    cases, parameters = SETS[name]
    bench = Bench(cases, **parameters)
    with bench.users:
        ours = bench.by_waypost()
        theirs = bench.by_postfix()
    found = differences(ours, theirs)
    assert not found, "\n".join(found)
    assert len(ours) == len(cases)


class Place:
    """A relay with users, a mailbox for each; what it forwards goes to a sink."""

    def __init__(self, names, **parameters):
        self.users = Users(names)
        self.sink = Sink()
        self.parameters = parameters
        self.serial = 0

    def __enter__(self):
        self.users.__enter__()
        self.sink.start()
        folder = self.users.folder
        (folder / "aliases").write_text("")
        values = {"alias_maps": f"hash:{folder}/aliases", "myhostname": DOMAIN,
                  "mydestination": "$myhostname", "biff": "no",
                  "relayhost": f"[127.0.0.1]:{self.sink.port}", "local_recipient_maps": "",
                  "mail_spool_directory": self.users.spool, "local_transport": "local",
                  "deliver_lock_attempts": "2", "deliver_lock_delay": "1s",
                  "command_time_limit": "3s"}
        services = self.parameters.pop("services", "")
        values.update({k: str(v).replace("FOLDER", str(folder))
                       .replace("SINKPORT", str(self.sink.port)) for k, v in self.parameters.items()})
        self.relay = Instance(master_cf=MASTER_CF + services.replace("FOLDER", str(folder)),
                              **values)
        self.alias("")
        self.relay.start()
        return self

    def __exit__(self, *exception):
        try:
            self.relay.__exit__(*exception)
        finally:
            self.sink.stop()
            self.users.__exit__()

    def alias(self, text):
        file = self.users.folder / "aliases"
        file.write_text(text.replace("FOLDER", str(self.users.folder)))
        self.relay.run("postalias", f"hash:{file}")

    def send(self, to, body="Hello.\r\n", sender="sender@example.test"):
        """Returns the message's subject, and its queue id."""
        self.serial += 1
        subject = f"number{self.serial}e"
        with self.relay.connect() as client:
            client.command("EHLO client.example.test")
            recipients = [each if "@" in each else f"{each}@{DOMAIN}"
                          for each in ([to] if isinstance(to, str) else to)]
            code, text = client.deliver(sender, recipients, message(subject, body))
        assert code == 250, text
        return subject, text[0].rsplit(" ", 1)[1]

    def outcome(self, queue_id, count=1):
        """(dsn, status, text) of the first delivery line."""
        return self.relay.wait_log(rf": {queue_id}: to=<.*dsn=([\d.]+), status=(\w+) \((.*)\)$",
                                   count)[0]

    def deliver(self, to, **more):
        subject, queue_id = self.send(to, **more)
        return self.outcome(queue_id)

    def mailbox(self, name):
        file = self.users.spool / name
        return file.read_text(errors="replace") if file.is_file() else ""


@pytest.fixture(scope="module")
def place():
    with Place(["ann", "ben", "cat", "dan"]) as it:
        yield it


@pytest.fixture
def fresh(place):
    place.users.reset()
    place.sink.messages.clear()
    place.alias("")
    return place


def test_forward_that_is_a_link_is_not_followed(fresh):
    secret = fresh.users.folder / "secret"
    secret.write_text("treasure@example.com\n")
    secret.chmod(0o600)
    (fresh.users.home("ann") / ".forward").symlink_to(secret)
    assert fresh.deliver("ann") == ("2.0.0", "sent", "delivered to mailbox")
    assert "is not a regular file" in fresh.relay.log()
    assert "treasure" not in fresh.relay.log()


@pytest.mark.parametrize("what", ["group", "home", "owner"])
def test_forward_that_others_may_write_is_ignored(fresh, what):
    file = fresh.users.write("ann", ".forward", "away@example.com\n")
    if what == "group":
        os.chown(file, fresh.users.uid("ann"), fresh.users.uid("ben"))
        file.chmod(0o664)
    elif what == "home":
        os.chown(fresh.users.home("ann"), fresh.users.uid("ann"), fresh.users.uid("ben"))
        fresh.users.home("ann").chmod(0o775)
    else:
        os.chown(file, fresh.users.uid("ben"), fresh.users.uid("ben"))
    assert fresh.deliver("ann") == ("2.0.0", "sent", "delivered to mailbox")
    assert not fresh.sink.messages


def test_forward_in_the_users_own_group_counts(fresh):
    fresh.users.write("ann", ".forward", "away@example.com\n", 0o664)
    fresh.users.home("ann").chmod(0o775)
    assert fresh.deliver("ann")[2].startswith("forwarded as")


@pytest.mark.parametrize("text", ["x" * 70000, "".join(f"u{i}@example.com\n" for i in range(1100)),
                                  ", " * 30000 + "x@example.com"], ids=["bytes", "entries", "blanks"])
def test_huge_forward_is_bounded(fresh, text):
    fresh.users.write("ann", ".forward", text)
    dsn, status, reason = fresh.deliver("ann")
    assert status == "sent" and len(fresh.sink.messages) <= 1
    assert reason == "delivered to mailbox" or reason.startswith("forwarded")


@pytest.mark.parametrize("device", ["/dev/zero", "fifo"])
def test_list_that_is_no_file_neither_hangs_nor_fills_memory(fresh, device):
    if device == "fifo":
        device = fresh.users.folder / "fifo"
        device.unlink(missing_ok=True)
        os.mkfifo(device, 0o644)
    fresh.alias(f"list: :include:{device}\n")
    dsn, status, reason = fresh.deliver("list")
    assert status == "bounced" and "is not a regular file" in reason


def test_mailbox_that_is_a_link_is_not_followed(fresh):
    victim = fresh.users.write("ben", "precious", "precious\n", 0o666)
    (fresh.users.spool / "ann").symlink_to(victim)
    dsn, status, reason = fresh.deliver("ann")
    assert (dsn, status) == ("5.2.0", "bounced")
    assert victim.read_text() == "precious\n"


def test_mailbox_with_a_second_name_is_refused(fresh):
    victim = fresh.users.write("ann", "other", "kept\n", 0o600)
    os.link(victim, fresh.users.spool / "ann")
    assert fresh.deliver("ann")[1] == "bounced"
    assert victim.read_text() == "kept\n"


@pytest.mark.parametrize("owner", ["ann", "ben"])
def test_pipe_in_place_of_a_mailbox_does_not_hang(fresh, owner):
    os.mkfifo(fresh.users.spool / "ann", 0o666)
    os.chown(fresh.users.spool / "ann", fresh.users.uid(owner), -1)
    (fresh.users.spool / "ann").chmod(0o666)
    dsn, status, reason = fresh.deliver("ann")
    assert status == "bounced" and "regular file" in reason


def test_users_files_are_written_with_the_users_rights(fresh):
    target = fresh.users.write("ben", "private", "of ben\n", 0o600)
    fresh.users.write("ann", ".forward", f"{target}\n")
    dsn, status, reason = fresh.deliver("ann")
    assert status == "bounced" and "Permission denied" in reason
    assert target.read_text() == "of ben\n"


def test_command_in_an_alias_of_a_users_table_runs_as_that_user(fresh):
    os.chown(fresh.users.folder / "aliases.lmdb", fresh.users.uid("cat"), -1)
    fresh.alias(f"cmd: \"|id -u > {fresh.users.home('cat')}/id\"\n")
    os.chown(fresh.users.folder / "aliases.lmdb", fresh.users.uid("cat"), -1)
    assert fresh.deliver("cmd")[1] == "sent"
    assert int((fresh.users.home("cat") / "id").read_text()) == fresh.users.uid("cat")


def test_nothing_is_delivered_with_the_rights_of_root(fresh):
    home = fresh.users.folder / "likeroot"
    home.mkdir(exist_ok=True)
    (home / ".forward").write_text(f'"|id -u > {fresh.users.spool}/id"\n')
    os.chown(fresh.users.spool, 0, 8)
    assert fresh.deliver("likeroot") == ("5.7.1", "bounced", "mail to command is restricted")
    (home / ".forward").write_text(f"{fresh.users.spool}/file\n")
    assert fresh.deliver("likeroot") == ("5.7.1", "bounced", "mail to file is restricted")
    (home / ".forward").write_text("admin@example.com\n")
    assert fresh.deliver("likeroot")[2].startswith("forwarded as")
    (home / ".forward").unlink()
    assert fresh.deliver("likeroot") == ("2.0.0", "sent", "delivered to mailbox")
    assert (fresh.users.spool / "likeroot").stat().st_uid == 65534
    assert not (fresh.users.spool / "id").exists()


def test_mailbox_of_root_that_is_there_is_left_alone(fresh):
    box = fresh.users.spool / "likeroot"
    box.write_text("")
    box.chmod(0o600)
    dsn, status, reason = fresh.deliver("likeroot")
    assert status == "deferred" and "give root an alias" in reason
    assert box.read_text() == ""


def test_role_has_five_capabilities_and_its_programs_none(fresh):
    [pid] = fresh.relay.role_pids()["local"]
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    # CHOWN DAC_READ_SEARCH KILL SETGID SETUID
    assert int(re.search(r"CapEff:\s*(\w+)", status).group(1), 16) == 0b11100101
    fresh.users.write("ann", ".forward", '"|grep ^Cap /proc/self/status > $HOME/caps"\n')
    assert fresh.deliver("ann")[1] == "sent"
    caps = (fresh.users.home("ann") / "caps").read_text()
    assert int(re.search(r"CapEff:\s*(\w+)", caps).group(1), 16) == 0
    assert int(re.search(r"CapBnd:\s*(\w+)", caps).group(1), 16) & ~0xff == 0


def test_program_gets_no_descriptor_but_the_three(fresh):
    fresh.users.write("ann", ".forward", '"|ls /proc/self/fd > $HOME/fds"\n')
    assert fresh.deliver("ann")[1] == "sent"
    fds = (fresh.users.home("ann") / "fds").read_text().split()
    assert set(fds) <= {"0", "1", "2", "3"}  # 3: what ls itself reads


def test_program_that_forks_and_leaves_holds_nobody_up(fresh):
    fresh.users.write("ann", ".forward", '"|sleep 30 & echo $! > $HOME/pid"\n')
    start = time.monotonic()
    assert fresh.deliver("ann")[1] == "sent"
    assert time.monotonic() - start < 15
    os.kill(int((fresh.users.home("ann") / "pid").read_text()), signal.SIGKILL)


def test_time_limit_ends_the_whole_group(fresh):
    fresh.users.write("ann", ".forward", '"|(sleep 300 & sleep 300); true"\n')
    dsn, status, reason = fresh.deliver("ann")
    assert (dsn, status) == ("5.3.0", "bounced") and reason.startswith("Command time limit exceeded")
    uid = str(fresh.users.uid("ann"))
    wait_until(lambda: subprocess.run(["pgrep", "-u", uid], stdout=subprocess.DEVNULL).returncode,
               "the end of the user's processes")


def test_endless_output_is_bounded(fresh):
    fresh.users.write("ann", ".forward", '"|head -c 50000000 /dev/zero; exit 69"\n')
    dsn, status, reason = fresh.deliver("ann")
    assert (dsn, status) == ("5.3.0", "bounced") and len(reason) < 5000


def test_mailbox_that_is_locked_waits(fresh):
    box = fresh.users.spool / "ann"
    box.write_text("")
    os.chown(box, fresh.users.uid("ann"), -1)
    holder = subprocess.Popen(["python3", "-c", f"""
import fcntl, sys, time
f = open({str(box)!r}, 'r+')
fcntl.lockf(f, fcntl.LOCK_EX)
print('held', flush=True)
time.sleep(60)
"""], stdout=subprocess.PIPE)
    try:
        holder.stdout.readline()
        dsn, status, reason = fresh.deliver("ann")
    finally:
        holder.kill()
        holder.wait()
    assert (dsn, status) == ("4.2.0", "deferred") and "unable to lock" in reason
    assert box.read_text() == ""


def test_lock_file_is_respected_until_it_is_stale(fresh):
    lock = fresh.users.spool / "ann.lock"
    lock.write_text("")
    dsn, status, reason = fresh.deliver("ann")
    assert (dsn, status) == ("4.2.0", "deferred") and "unable to create lock file" in reason
    os.utime(lock, (time.time() - 1000, time.time() - 1000))
    assert fresh.deliver("ann") == ("2.0.0", "sent", "delivered to mailbox")
    assert not lock.exists()


def test_mailbox_on_a_full_disk_is_as_before(fresh):
    spool = fresh.users.spool
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=2775,gid=8", "none", spool],
                   check=True)
    try:
        box = spool / "ann"
        box.write_text("From x  Mon Nov  2 10:00:00 2026\n\nold\n\n")
        os.chown(box, fresh.users.uid("ann"), -1)
        before = box.read_text()
        dsn, status, reason = fresh.deliver("ann", body="x" * 70 + "\r\n" + "y" * 80000 + "\r\n")
        assert (dsn, status) == ("4.3.0", "deferred") and "No space left" in reason
        assert box.read_text() == before
        assert not (spool / "ann.lock").exists()
    finally:
        subprocess.run(["umount", spool], check=True)


def test_torn_message_does_not_run_into_the_next(fresh):
    box = fresh.users.spool / "ann"
    box.write_text("From x  Mon Nov  2 10:00:00 2026\nSubject: torn\n\ncut off in the mid")
    os.chown(box, fresh.users.uid("ann"), -1)
    fresh.deliver("ann")
    import mailbox
    subjects = [each["Subject"] for each in mailbox.mbox(box)]
    assert subjects[0] == "torn" and len(subjects) == 2


def test_new_aliases_count_without_a_reload(fresh):
    assert fresh.deliver("newcomer")[1] == "bounced"
    fresh.alias("newcomer: ann\n")
    assert fresh.deliver("newcomer") == ("2.0.0", "sent", "delivered to mailbox")


def test_unknown_user_is_told_to_the_sender(fresh):
    fresh.deliver("nobody-here")
    [notice] = fresh.sink.wait()
    assert notice.recipients == ["sender@example.test"] and notice.sender == "<>"
    assert f'<nobody-here@{DOMAIN}>: unknown user: "nobody-here"' in notice.text
    assert "Status: 5.1.1" in notice.text


def test_aliases_that_refer_to_one_another_end(fresh):
    fresh.alias("a: b, b\nb: c, c\nc: d, d\nd: a, a, ann\n")
    dsn, status, reason = fresh.deliver("a")
    assert (dsn, status) == ("5.4.6", "bounced")
    wide = ", ".join(f"x{i}@example.com" for i in range(20000))
    fresh.alias(f"wide: {wide}\n")
    assert fresh.deliver("wide")[:2] == ("5.4.6", "bounced")


def test_role_that_is_killed_loses_nothing(fresh):
    fresh.users.write("ben", ".forward", "out@example.com\n")
    fresh.alias("both: ann, cat, ben\n")
    subjects = []
    for round_number in range(6):
        subjects += [fresh.send(to)[0] for to in ["ann", "both", "ben", "cat"] for _ in range(4)]
        for pid in fresh.relay.role_pids().get("local", []):
            children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            for victim in [pid] if round_number % 2 else [*map(int, children), pid]:
                try:
                    os.kill(victim, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        wait_until(lambda: any(is_alive(pid) for pid in fresh.relay.role_pids().get("local", [])),
                   "the role's return")
    fresh.relay.run("postqueue", "-f")

    def missing():
        fresh.relay.run("postqueue", "-f")
        time.sleep(0.2)
        texts = [fresh.mailbox("ann") + fresh.mailbox("cat"),
                 "".join(each.text for each in list(fresh.sink.messages))]
        return [each for each in subjects if not any(f"Subject: {each}" in text for text in texts)]
    try:
        wait_until(lambda: not missing(), "every message", 60)
    except AssertionError:
        raise AssertionError(f"missing: {missing()}\n{fresh.relay.log()[-9000:]}") from None
    # Its delivery may have been over, and the role dead before it said so: then it was deferred.
    wait_until(lambda: fresh.relay.run("postqueue", "-f") and fresh.relay.queue_is_empty(),
               "an empty queue", 60)


def test_orderly_stop_lets_a_delivery_finish(fresh):
    fresh.users.write("ann", ".forward", '"|sleep 1; cat > $HOME/out"\n')
    fresh.send("ann")
    wait_until(lambda: subprocess.run(["pgrep", "-u", str(fresh.users.uid("ann"))],
                                      stdout=subprocess.DEVNULL).returncode == 0, "the command")
    fresh.relay.reload()
    wait_until(lambda: (fresh.users.home("ann") / "out").exists() and fresh.relay.queue_is_empty(),
               "the delivery")
    fresh.relay.wait_log("delivered to command: sleep 1")
    assert fresh.relay.log().count("delivered to command: sleep 1") == 1


def test_comsat_is_told_where_biff_is_on():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as comsat:
        comsat.bind(("127.0.0.1", 512))
        comsat.settimeout(20)
        with Place(["eve"], biff="yes") as it:
            it.deliver("eve")
            assert comsat.recv(100) == b"eve@0"


def test_services_of_master_cf():
    """pipe with many recipients and empty arguments; its refusals; other transports for names."""
    services = """\
many unix - n n - - pipe user=fay argv=FOLDER/dump FOLDER/fay/out -f ${sender} -x ${extension} ${recipient}
asroot unix - n n - - pipe user=root argv=/bin/true
nouser unix - n n - - pipe user=nosuchuserhere argv=/bin/true
"""
    with Place(["fay", "gil"], services=services, relay_domains="many.example.test",
               relay_transport="many", mailbox_transport_maps="inline:{ gil=asroot: }",
               fallback_transport="smtp:[127.0.0.1]:SINKPORT") as it:
        (it.users.folder / "dump").write_text(
            '#!/bin/sh\nout=$1; shift\nfor each; do echo "[$each]"; done > "$out"\n')
        (it.users.folder / "dump").chmod(0o755)
        out = it.users.home("fay") / "out"
        assert it.deliver(["a@many.example.test", "b@many.example.test"]) == \
            ("2.0.0", "sent", "delivered via many service")
        assert out.read_text() == ("[-f]\n[sender@example.test]\n[-x]\n[]\n[]\n"
                                   "[a@many.example.test]\n[b@many.example.test]\n")
        assert it.deliver("gil") == ("4.3.5", "deferred", "mail system configuration error")
        assert "specifies root privileges" in it.relay.log()
        assert "unknown username: nosuchuserhere" in it.relay.log()
        subject, queue_id = it.send("stranger")
        wait_until(lambda: any(subject in each.text and
                               each.recipients == [f"stranger@{DOMAIN}"]
                               for each in it.sink.messages), "the stranger's mail")
        it.relay.wait_log(rf"local\[\d+\]: {queue_id}: passing <stranger@{DOMAIN}> to "
                          r"transport=smtp$")


def test_transports_that_pass_mail_round_stop():
    with Place(["hal"], mailbox_transport="local2:", services="""\
local2 unix - n n - - local -o mailbox_transport=local:
""") as it:
        assert it.deliver("hal")[:2] == ("4.3.5", "deferred")


def test_spool_that_is_roots_alone_still_gets_mailboxes():
    with Place(["ian"], mailbox_delivery_lock="fcntl") as it:
        os.chown(it.users.spool, 0, 0)
        it.users.spool.chmod(0o755)
        assert it.deliver("ian") == ("2.0.0", "sent", "delivered to mailbox")
        status = (it.users.spool / "ian").stat()
        assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (it.users.uid("ian"), 0o600)
