# SPDX-License-Identifier: Apache-2.0
"""CR and LF that end no line as SMTP wants it, around dots and elsewhere: where DATA ends, and what
the next host gets. Debian's Postfix with smtpd_forbid_bare_newline for everybody, and Waypost with
whatever value."""
import concurrent.futures
import contextlib
import itertools
import re
import subprocess

import pytest

import pair
from pair import Content, Dialogue, Pair
from world import PATIENCE, wait_until

pytestmark = pytest.mark.skipif(not pair.is_possible(), reason="needs root in a network namespace")

ENDS = [b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r", b"\0\r\n", b"\r\0\n", b"\r\r"]
MORE_ENDS = [b"\r\r\r\n", b"\n\n", b"\r\n\n", b"\r\n\r", b"\n.\r\n.\n", b"\n.\r\r\n", b"\r\n..\n"]
BODIES = [
    *(b"a" + before + b"." + behind + b"b" for before, behind in itertools.product(ENDS, ENDS)),
    *(b"a" + end + b"b" for end in ENDS + MORE_ENDS),
    *(b"a" + end + b".b" for end in ENDS + MORE_ENDS),
]
HEADERS = [b"Subject: x" + end + tail for end in ENDS + MORE_ENDS
           for tail in (b"X-Two: y\r\n\r\nbody", b"\r\nbody") if b"\0" not in end]
MESSAGES = [b"Subject: x\r\n\r\n" + body for body in BODIES] + HEADERS
# As programs pass it on: line ends are LF, or the CRLF of other systems. Each case of a body is
# between two lines of its own.
SUBMITTED = [b"Subject: x" + end + end + b"".join(b"%d%s%s%s" % (number, end, body, end)
                                                  for number, body in enumerate(BODIES))
             for end in (b"\n", b"\r\n")] + \
    [header.replace(b"\r\n", b"\n") + b"\n" for header in HEADERS] + \
    [b"Subject: x\n\na" + end for end in ENDS + MORE_ENDS]
FORBIDDEN = {"smtpd_forbid_bare_newline": "normalize", "smtpd_forbid_bare_newline_exclusions": ""}
SERVICES = {
    "strict": FORBIDDEN,
    "reject": {**FORBIDDEN, "smtpd_forbid_bare_newline": "reject"},
    "excluded": {},
    "no": {"smtpd_forbid_bare_newline": "no"},
    "kept": {"cleanup_replace_stray_cr_lf": "no"},
}
# (service, step, Postfix's reply, ours, reason)
EXPLAINED = [
    ("*", "QUIT", "500 5.5.2 Error: command not recognized",
     "221 2.7.0 Error: I can break rules, too. Goodbye.",
     "behind the end of DATA there is a command that begins with CR: a blank to Postfix, while "
     "here it is no letter"),
]


@pytest.fixture(scope="module")
def both():
    with Pair({"local_header_rewrite_clients": "", "smtpd_peername_lookup": "no",
               "smtpd_client_connection_count_limit": "0"}, SERVICES, has_cleanups=True) as made:
        yield made


def by_data(service, number):
    return Dialogue(service, [b"EHLO client.example",
                              b"MAIL FROM:<data-%d@%s.example>" % (number, service.encode()),
                              b"RCPT TO:<to@b.example>", b"DATA",
                              Content(MESSAGES[number] + b"\r\n.\r\n"), b"QUIT"],
                    name=repr(MESSAGES[number]))


def by_bdat(service, number):
    message = MESSAGES[number]
    return Dialogue(service, [b"EHLO client.example",
                              b"MAIL FROM:<bdat-%d@%s.example>" % (number, service.encode()),
                              b"RCPT TO:<to@b.example>",
                              b"BDAT %d LAST\r\n%s" % (len(message) + 2, message), b"QUIT"],
                    name=repr(message))


def content_of(message):
    """Without what each system writes itself."""
    text = re.sub(rb"^Received: .*?\r\n(?=\S)", b"", message.content, flags=re.S)
    return re.sub(rb"(?im)^(?:Message-ID|Date|From): .*?\r\n", b"", text)


def delivered(side, pattern):
    return {each.sender: content_of(each) for each in side.sink.messages
            if re.match(pattern, each.sender)}


def differences(both, pattern, messages):
    """Once everything has arrived."""
    theirs, ours = both.sides
    wait_until(lambda: set(delivered(theirs, pattern)) == set(delivered(ours, pattern)),
               "the same deliveries", PATIENCE * 2)
    theirs, ours = (delivered(side, pattern) for side in both.sides)
    return len(ours), [
        f"{messages[int(re.search(r'-([0-9]+)@', sender)[1])]}: {content} {ours[sender]}"
        for sender, content in theirs.items() if ours[sender] != content]


@pytest.mark.parametrize("dialogue", [by_data, by_bdat])
def test_content_ends_and_is_mended_as_by_postfix(both, dialogue):
    found, _ = pair.unexplained(both.compare([dialogue("strict", number)
                                              for number in range(len(MESSAGES))]), EXPLAINED)
    assert not found, "\n".join(map(str, found))
    way = "data" if dialogue is by_data else "bdat"
    count, found = differences(both, rf"{way}-\d+@strict", MESSAGES)
    assert count == len(MESSAGES) and not found, "\n".join(found)


@pytest.mark.parametrize("dialogue", [by_data, by_bdat])
def test_bare_newlines_are_rejected_as_by_postfix(both, dialogue):
    found, _ = pair.unexplained(both.compare([dialogue("reject", number)
                                              for number in range(0, len(MESSAGES), 2)]), EXPLAINED)
    assert not found, "\n".join(map(str, found))


@pytest.mark.parametrize("service", ["excluded", "no", "kept"])
def test_no_setting_lets_anything_else_end_data_or_leave_raw(both, service):
    """There Postfix ends DATA at LF.LF, too, and takes extra CRs out, or leaves them in."""
    numbers = range(1, len(MESSAGES), 3)
    ours = both.sides[1]
    with concurrent.futures.ThreadPoolExecutor(pair.PARALLEL) as pool:
        list(pool.map(ours.play, [by_data(name, number) for number in numbers
                                  for name in (service, "strict")]))
    wait_until(lambda: len(delivered(ours, rf"data-\d+@{service}\.")) == len(numbers),
               "all deliveries")
    strict = delivered(ours, r"data-\d+@strict")
    for sender, content in delivered(ours, rf"data-\d+@{service}\.").items():
        assert not re.search(rb"\r(?!\n)|(?<!\r)\n", content), content
        assert content == strict[sender.replace(service, "strict")]


def test_submitted_text_is_mended_as_by_postfix(both):
    theirs, ours = both.sides

    def submit(number):
        arguments = ["-i", "-f", f"text-{number}@local.example", "to@b.example"]
        subprocess.run(["/usr/sbin/sendmail", "-C", theirs.system.config, *arguments],
                       input=SUBMITTED[number], check=True, timeout=PATIENCE)
        ours.system.run("sendmail", *arguments, input=SUBMITTED[number], config_option="-C")

    with concurrent.futures.ThreadPoolExecutor(pair.PARALLEL) as pool:
        list(pool.map(submit, range(len(SUBMITTED))))
    count, found = differences(both, r"text-\d+@", SUBMITTED)
    assert count == len(SUBMITTED) and not found, "\n".join(found)


@contextlib.contextmanager
def changed(main_cf, line):
    """For commands; nothing is reloaded."""
    before = main_cf.read_text()
    main_cf.write_text(f"{before}{line}\n")
    try:
        yield
    finally:
        main_cf.write_text(before)


@pytest.mark.parametrize("value", ["never", "strict", "Always"])
def test_sendmail_fixes_line_endings_where_postfix_does(both, value):
    theirs, ours = both.sides
    text = b"Subject: x\r\nX-Two: y\r\r\n\r\nbody\n\r\r\n.\r\n"
    texts = [text, text.replace(b"x\r", b"x"), text.replace(b"x\r", b"x\r\r")]
    exits = []
    for number, each in enumerate(texts):
        arguments = ["-i", "-f", f"{value}-{number}@local.example", "to@b.example"]
        for side in both.sides:
            with changed(side.system.config / "main.cf", f"sendmail_fix_line_endings = {value}"):
                command = ["/usr/sbin/sendmail"] if side is theirs else [ours.system.bin / "sendmail"]
                done = subprocess.run([*command, "-C", side.system.config, *arguments], input=each,
                                      timeout=PATIENCE, stderr=subprocess.DEVNULL,
                                      env=None if side is theirs else ours.system.environment)
                exits.append(done.returncode)
    assert exits[::2] == exits[1::2]
    count, found = differences(both, rf"{value}-\d+@", texts)
    assert count == exits.count(0) // 2 and not found, "\n".join(found)
