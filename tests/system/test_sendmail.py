# SPDX-License-Identifier: Apache-2.0
"""Local submission while the mail system is down, from hostile and unlucky callers: either the
message is in the maildrop and sendmail exits 0, or nothing is and it says so."""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from world import DROP_PROGRAM, IS_SANITIZED, PATIENCE, PROGRAM, Instance, Sink, wait_until

OK, USAGE, DATA, UNAVAILABLE, TEMPORARY, CONFIG = 0, 64, 65, 69, 75, 78


class Maildrop:
    """An instance that has never been started, with a maildrop to write to."""

    def __init__(self, **parameters):
        self.instance = Instance(**parameters)
        self.folder = self.instance.queue / "maildrop"
        self.folder.mkdir(parents=True)

    def files(self):
        return sorted(os.listdir(self.folder))

    def only_file(self):
        [name] = self.files()
        assert not name.startswith(".")
        return (self.folder / name).read_bytes()

    def sendmail(self, *arguments, input="Subject: s\n\nbody\n"):
        return self.instance.sendmail(*arguments, input=input, check=False)

    def popen(self, *arguments, **more):
        return subprocess.Popen(
            [self.instance.bin / "sendmail", "-C", self.instance.config, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


@pytest.fixture
def down():
    maildrop = Maildrop()
    yield maildrop
    shutil.rmtree(maildrop.instance.folder, ignore_errors=True)


def test_mail_is_kept_while_the_mail_system_is_down(down):
    result = down.sendmail("user@example.com")
    assert (result.returncode, result.stdout, result.stderr) == (OK, "", "")
    content = down.only_file()
    assert b"Subject: s\n\nbody\n" in content
    assert b"user@example.com" in content
    listing = down.instance.run("mailq", config_option="-C")
    assert "user@example.com" in listing.stdout
    assert "in 1 Request." in listing.stdout


@pytest.mark.parametrize("arguments, input, kept", [
    ((), "a\n.\nb\n", b"a\n"),
    (("-i",), "a\n.\nb\n", b"a\n.\nb\n"),
    (("-oi",), "a\n.\nb\n", b"a\n.\nb\n"),
    ((), "a\n..\nb\n", b"a\n..\nb\n"),
    ((), "no end of line", b"no end of line\n"),
    ((), "crlf\r\nlines\r\n", b"crlf\nlines\n"),
    ((), "From joe Mon\nSubject: x\n", b"Subject: x\n"),
    ((), "", b""),
])
def test_content_is_kept_as_given(down, arguments, input, kept):
    assert down.sendmail(*arguments, "user@example.com", input=input).returncode == OK
    content = down.only_file()
    size = int.from_bytes(content[16:24], "little")
    assert content[64:64 + size] == kept


@pytest.mark.parametrize("arguments, status, text", [
    ((), USAGE, "Recipient addresses must be specified"),
    (("-t",), USAGE, "No recipient addresses found in message header"),
    (("-f",), USAGE, "option requires an argument -- 'f'"),
    (("-f", "a\nb", "user@example.com"), USAGE, "malformed sender"),
    (("-f", "a\rb", "user@example.com"), USAGE, "malformed sender"),
    (("-F", "a\nb", "user@example.com"), DATA, "control character"),
    (("-XV##", "user@example.com"), USAGE, "requires two characters from -=+"),
    (("-XV", "-f", "", "user@example.com"), USAGE, "requires non-null sender address"),
    (("-bx",), USAGE, "unsupported: -bx"),
    (("-Z",), USAGE, "invalid option -- 'Z'"),
    (("-qSx",), USAGE, "not implemented"),
    (("-B", "9BIT", "user@example.com"), USAGE, "needs 8BITMIME or 7BIT"),
    (("-bv", "user@example.com"), UNAVAILABLE, "not yet"),
    (("-q",), UNAVAILABLE, "Cannot flush mail queue - mail system is down"),
])
def test_what_cannot_be_done_is_said_and_leaves_nothing(down, arguments, status, text):
    result = down.sendmail(*arguments)
    assert result.returncode == status, result.stderr
    assert text in result.stderr
    assert "fatal: " in result.stderr
    assert down.files() == []


def test_recipients_come_from_headers_with_t(down):
    result = down.sendmail("-t", "argument@example.com", input="""\
To: One <one@example.com>, "Two, T." <two@example.com>
Cc: three@example.com (comment),
\tfour@example.com
Bcc: group: five@example.com, six@example.com;
Subject: To: no@example.com

To: no@example.com
""")
    assert result.returncode == OK, result.stderr
    content = down.only_file()
    envelope = content[64 + int.from_bytes(content[16:24], "little"):]
    for name in (b"argument", b"one", b"two", b"three", b"four", b"five", b"six"):
        assert name + b"@example.com" in envelope
    assert b"no@example.com" not in envelope


def test_resent_headers_alone_count_where_there_are_any(down):
    assert down.sendmail("-t", input="To: old@example.com\nResent-To: new@example.com\n\n"
                         ).returncode == OK
    content = down.only_file()
    envelope = content[64 + int.from_bytes(content[16:24], "little"):]
    assert b"new@example.com" in envelope
    assert b"old@example.com" not in envelope


def test_another_configuration_that_is_not_there_is_refused(down):
    result = subprocess.run([down.instance.bin / "sendmail", "-C", "/tmp/there-is-no-such-folder",
                             "user@example.com"], input="x\n", capture_output=True, text=True)
    assert result.returncode == CONFIG
    assert "/tmp/there-is-no-such-folder" in result.stderr


def test_no_arguments_at_all_not_even_a_name(down):
    code = ("import os,sys,ctypes\n"
            "libc = ctypes.CDLL(None)\n"
            "empty = (ctypes.c_char_p * 1)(None)\n"
            "libc.execv(sys.argv[1].encode(), empty)\n"
            "os._exit(99)\n")
    for program in (PROGRAM, DROP_PROGRAM):
        result = subprocess.run(["/usr/bin/python3", "-c", code, program], capture_output=True,
                                stdin=subprocess.DEVNULL, timeout=PATIENCE,
                                env={"MAIL_CONFIG": str(down.instance.config)})
        # Newer kernels put an empty name there themselves.
        assert result.returncode in (OK, USAGE, TEMPORARY), result
    assert down.files() == []


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-"])
def test_closed_descriptors_never_get_the_message_lost_or_torn(down, closed):
    result = subprocess.run(
        ["/bin/sh", "-c", f'printf "x\\n" | "$0" -C "$1" user@example.com {closed}',
         down.instance.bin / "sendmail", down.instance.config],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE)
    assert result.returncode == OK
    assert down.only_file().startswith(b"WPDROP")


def test_two_megabytes_of_arguments_are_refused_or_kept_whole(down):
    arguments = [f"{i:09}{'x' * 120}@example.com" for i in range(12000)]
    result = down.sendmail(*arguments)
    assert result.returncode == DATA
    assert "more than 10000 recipients" in result.stderr
    assert down.files() == []
    assert down.sendmail(*arguments[:9000]).returncode == OK
    assert arguments[8999].encode() in down.only_file()


def test_hostile_environment_changes_nothing(down):
    environment = {"LD_PRELOAD": "/tmp/evil.so", "LD_LIBRARY_PATH": "/tmp", "TZ": "/etc/shadow",
                   "LC_ALL": "../../tmp", "IFS": "x", "PATH": "/tmp",
                   "NAME": "Some One", "POSIXLY_CORRECT": "1"}
    result = subprocess.run(
        [down.instance.bin / "sendmail", "-C", down.instance.config, "user@example.com"],
        input=b"x\n", capture_output=True, timeout=PATIENCE, env=environment)
    assert result.returncode == OK
    assert b"Some One" in down.only_file()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_in_the_middle_leaves_nothing(down, number):
    # Whoever started the tests may have it ignored (nohup), and that is inherited.
    process = down.popen("user@example.com",
                         preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))
    process.stdin.write(b"x" * 1000 + b"\n" + b"y\n" * 100_000)
    process.stdin.flush()
    wait_until(lambda: down.files(), "the draft")
    process.send_signal(number)
    assert process.wait(PATIENCE) == TEMPORARY
    wait_until(lambda: down.files() == [], "the draft's removal")
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def children(pid):
    return [int(word) for word in
            pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT, signal.SIGKILL])
def test_postdrop_killed_in_the_middle_is_no_success(down, number):
    process = down.popen("user@example.com")
    process.stdin.write(b"y\n" * 100_000)
    process.stdin.flush()
    wait_until(lambda: down.files(), "the draft")
    [postdrop] = children(process.pid)
    os.kill(postdrop, number)
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    assert process.wait(PATIENCE) == TEMPORARY
    # After SIGKILL a draft stays, which nobody takes for a message.
    assert all(name.startswith(".") for name in down.files())
    if number != signal.SIGKILL:
        assert down.files() == []


def test_input_that_ends_in_the_middle_of_postdrops_frames_is_no_message(down):
    result = subprocess.run([down.instance.bin / "postdrop", "-c", down.instance.config],
                            input=b"C\x05\x00\x00\x00hello", capture_output=True, timeout=PATIENCE)
    assert result.returncode == TEMPORARY
    assert b"ended too early" in result.stderr
    result = subprocess.run([down.instance.bin / "postdrop", "-c", down.instance.config],
                            input=b"garbage\n" * 10, capture_output=True, timeout=PATIENCE)
    assert result.returncode == DATA
    assert down.files() == []


def test_message_beyond_the_limit_is_refused(down):
    down.instance.parameters["message_size_limit"] = "1000"
    down.instance.write()
    result = down.sendmail("user@example.com", input="x" * 999 + "\n" + "y\n")
    assert result.returncode == DATA
    assert "message file too big" in result.stderr
    assert down.files() == []
    assert down.sendmail("user@example.com", input="x" * 998 + "\n").returncode == OK


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_full_disk_is_a_temporary_failure_without_residue(down):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", down.folder],
                   check=True)
    try:
        result = down.sendmail("user@example.com", input="x" * 70 * 1024)
        assert result.returncode == TEMPORARY
        assert "No space left on device" in result.stderr
        assert down.files() == []
        assert down.sendmail("user@example.com").returncode == OK
    finally:
        subprocess.run(["umount", down.folder], check=True)


def test_file_size_limit_is_a_temporary_failure_without_residue(down):
    result = subprocess.run(
        ["/bin/bash", "-c", 'ulimit -f 32; "$0" -C "$1" user@example.com',
         down.instance.bin / "sendmail", down.instance.config],
        input=b"x" * 100_000, capture_output=True, timeout=PATIENCE)
    assert result.returncode == TEMPORARY
    assert b"File too large" in result.stderr
    assert down.files() == []


def test_folder_that_is_missing_is_a_temporary_failure(down):
    down.folder.rmdir()
    result = down.sendmail("user@example.com")
    assert result.returncode == TEMPORARY
    assert "postfix check" in result.stderr


def test_smtp_on_standard_input_goes_into_the_maildrop(down):
    dialogue = (b"EHLO here\r\nMAIL FROM:<a@example.com> BODY=8BITMIME\r\n"
                b"RCPT TO:<b@example.com>\r\nRCPT TO:<c d@>\r\nDATA\r\n"
                b"Subject: x\r\n\r\n..dot\r\nend\r\n.\r\nNOOP\r\nQUIT\r\n")
    result = down.sendmail("-bs", input=dialogue)
    assert result.returncode == OK
    codes = [line[:4] for line in result.stdout.split(b"\r\n") if line]
    assert codes == [b"220 ", b"250-", b"250-", b"250-", b"250-", b"250 ", b"250 ", b"250 ",
                     b"501 ", b"354 ", b"250 ", b"250 ", b"221 "]
    content = down.only_file()
    size = int.from_bytes(content[16:24], "little")
    assert content[64:64 + size] == b"Subject: x\n\n.dot\nend\n"


@pytest.mark.parametrize("dialogue, last", [
    (b"\x00\xff" * 5000 + b"\r\nQUIT\r\n", b"221"),
    (b"RCPT TO:<a@b>\r\nDATA\r\nMAIL FROM:<>\r\nDATA\r\n", b"503"),
    (b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nbut no end\r\n", b"354"),
    (b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\n.\nQUIT\r\n", b"354"),
    (b"FOO\r\n" * 100, b"421"),
    (b"x" * 100_000, b"220"),
])
def test_garbage_on_standard_input_queues_nothing(down, dialogue, last):
    result = down.sendmail("-bs", input=dialogue)
    assert result.returncode == OK
    assert result.stdout.rstrip().rsplit(b"\r\n", 1)[-1][:3] == last
    wait_until(lambda: down.files() == [], "an empty maildrop")


# It ends a set-group-id program that it may not trace, whatever the environment says.
not_under_leak_sanitizer = pytest.mark.skipif(
    IS_SANITIZED, reason="LeakSanitizer cannot look into a program that is not dumpable")


def in_private_mounts(instance, user, words, input=b"x\n", environment=None):
    """Runs a command with the instance's configuration in the default place, for programs that
    may not be told another one."""
    script = ("mkdir -p /etc/postfix && mount --bind \"$1\" /etc/postfix && shift && "
              "exec setpriv --reuid=\"$1\" --regid=nogroup --clear-groups -- \"${@:2}\"")
    return subprocess.run(["unshare", "-m", "/bin/bash", "-c", script, "-", instance.config, user,
                           *words], input=input, capture_output=True, timeout=PATIENCE,
                          env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                               # not dumpable, so nobody but root may trace it
                               "ASAN_OPTIONS": "detect_leaks=0", **(environment or {})})


@pytest.fixture
def setgid(down):
    """As installed: real files, postdrop with its bit, a maildrop with Postfix's rights."""
    if os.geteuid() != 0:
        pytest.skip("the set-group-id bit needs root")
    programs = down.instance.folder / "sbin"
    programs.mkdir()
    for program in (PROGRAM, DROP_PROGRAM):
        shutil.copy(program, programs)
    (programs / "sendmail").symlink_to("waypost")
    shutil.chown(programs / "postdrop", group="postdrop")
    (programs / "postdrop").chmod(0o2755)
    shutil.chown(down.folder, user="postfix", group="postdrop")
    down.folder.chmod(0o1730)
    down.programs = programs
    return down


@not_under_leak_sanitizer
def test_ordinary_user_submits_through_the_set_group_id_bit(setgid):
    result = in_private_mounts(setgid.instance, "nobody",
                               [setgid.programs / "sendmail", "user@example.com"])
    assert (result.returncode, result.stderr) == (OK, b"")
    [name] = setgid.files()
    status = (setgid.folder / name).stat()
    assert status.st_uid == 65534
    assert status.st_mode & 0o777 == 0o444


@not_under_leak_sanitizer
def test_ordinary_user_may_not_name_a_configuration_that_is_not_listed(setgid):
    other = setgid.instance.folder / "other"
    shutil.copytree(setgid.instance.config, other)
    words = [setgid.programs / "sendmail", "-C", other, "user@example.com"]
    result = in_private_mounts(setgid.instance, "nobody", words)
    assert result.returncode == CONFIG
    assert b"unauthorized configuration directory" in result.stderr
    assert b"alternate_config_directories" in result.stderr
    result = in_private_mounts(setgid.instance, "nobody", words[:1] + words[3:],
                               environment={"MAIL_CONFIG": str(other)})
    assert result.returncode == CONFIG
    assert setgid.files() == []
    setgid.instance.parameters["alternate_config_directories"] = f"/nowhere, {other}"
    setgid.instance.write()
    assert in_private_mounts(setgid.instance, "nobody", words).returncode == OK


def test_pickup_takes_mail_at_once_and_completes_it():
    with Sink() as sink, Instance(relayhost=f"[127.0.0.1]:{sink.port}") as relay:
        start = time.monotonic()
        relay.sendmail("-f", "joe", "-F", "Joe U.", "-i", "-t", input="""\
To: user@example.com
Bcc: hidden@example.com
Subject: hello

first line
.
last line
""")
        deliveries = sink.wait(1)
        assert time.monotonic() - start < PATIENCE / 2
        [delivered] = deliveries
        assert delivered.sender == "joe@relay.example.test"
        assert sorted(delivered.recipients) == ["hidden@example.com", "user@example.com"]
        headers, body = delivered.text.split("\r\n\r\n", 1)
        assert body == "first line\r\n.\r\nlast line\r\n"
        assert headers.startswith("Received: by relay.example.test (Postfix, from userid ")
        assert "\r\nFrom: Joe U. <joe@relay.example.test>" in headers.replace('"', "")
        assert "\r\nDate: " in headers and "\r\nMessage-Id: <" in headers
        assert "Bcc" not in headers
        queue_id = relay.wait_log(rf"pickup\[\d+\]: (\w+): uid={os.geteuid()} from=<joe>$")[0]
        relay.wait_log(rf"cleanup\[\d+\]: {queue_id}: message-id=<\S+{queue_id}@relay")
        relay.wait_log(rf"qmgr\[\d+\]: {queue_id}: removed$")
        wait_until(lambda: os.listdir(relay.queue / "maildrop") == [], "an empty maildrop")


def test_mail_from_before_the_start_is_sent_after_it(down):
    for i in range(50):
        assert down.sendmail(f"user{i}@example.com").returncode == OK
    with Sink() as sink:
        down.instance.parameters["relayhost"] = f"[127.0.0.1]:{sink.port}"
        down.instance.write()
        with down.instance:
            assert len({d.recipients[0] for d in sink.wait(50)}) == 50
            wait_until(lambda: down.files() == [], "an empty maildrop")


def test_damaged_files_are_set_aside_once_and_others_go_on():
    with Sink() as sink, Instance(relayhost=f"[127.0.0.1]:{sink.port}") as relay:
        maildrop, corrupt = relay.queue / "maildrop", relay.queue / "corrupt"
        (relay.folder / "draft").write_bytes(b"this is no message")
        (relay.folder / "draft").rename(maildrop / "GARBAGE1")
        (maildrop / "SYMLINK1").symlink_to("/etc/passwd")
        os.mkfifo(maildrop / "FIFO1")
        (maildrop / ".draft").write_bytes(b"unfinished")
        relay.sendmail("user@example.com", input="x\n")
        sink.wait(1)
        wait_until(lambda: os.listdir(maildrop) == [".draft"], "three entries gone")
        assert os.listdir(corrupt) == ["GARBAGE1"]
        assert len(relay.wait_log(r"GARBAGE1 was moved to the folder corrupt: ")) == 1
        relay.wait_log(r"FIFO1 was removed: it is no regular file$")
        relay.wait_log(r"SYMLINK1 was removed: it is no regular file$")


def test_large_message_arrives_unchanged():
    body = "".join(f"{i:070}\n" for i in range(60_000))
    with Sink() as sink, Instance(relayhost=f"[127.0.0.1]:{sink.port}") as relay:
        relay.sendmail("user@example.com", input="Subject: x\n\n" + body)
        [delivered] = sink.wait(1)
        assert delivered.text.split("\r\n\r\n", 1)[1] == body.replace("\n", "\r\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="giving up root needs root")
def test_pickup_is_not_root_when_it_reads_what_users_wrote():
    with Instance(relayhost="[127.0.0.1]:1") as relay:
        [pid] = relay.role_pids()["pickup"]
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert "\nUid:\t0" not in status
        assert "\nNoNewPrivs:\t1" in status
