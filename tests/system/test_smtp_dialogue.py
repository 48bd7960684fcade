# SPDX-License-Identifier: Apache-2.0
"""The same dialogues with Debian's Postfix and with this server: the replies must be the same.
Where they are not meant to be, ALLOWED says which, and why."""
import random
import re
import socket

import pytest

import reference
from world import Instance

COMMON = {
    "compatibility_level": "0",
    "myhostname": "mail.example.test",
    "mydomain": "example.test",
    "mydestination": "$myhostname, localhost",
    "relay_domains": "relay.example",
    "append_dot_mydomain": "no",
    "local_recipient_maps": "",
    "alias_maps": "",
    "smtpd_peername_lookup": "no",
    "smtpd_error_sleep_time": "0",
    "smtpd_hard_error_limit": "10000",
    "smtpd_junk_command_limit": "10000",
    "smtpd_forbid_bare_newline": "normalize",
    "smtpd_forbid_bare_newline_exclusions": "",
    "smtpd_forbid_unauth_pipelining": "yes",
    "smtpd_recipient_restrictions":
        "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
    "smtpd_relay_restrictions":
        "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
}
SETTINGS = {
    "friend": {"mynetworks": "127.0.0.0/8"},
    "stranger": {"mynetworks": "192.0.2.0/24"},
    "tight": {
        "mynetworks": "192.0.2.0/24",
        "message_size_limit": "20000",
        "smtpd_recipient_limit": "3",
        "smtpd_recipient_overshoot_limit": "2",
        "smtpd_hard_error_limit": "20",
        "smtpd_junk_command_limit": "100",
        "hopcount_limit": "3",
        "smtpd_helo_required": "yes",
        "disable_vrfy_command": "yes",
        "strict_rfc821_envelopes": "yes",
    },
    "unforgiving": {"mynetworks": "192.0.2.0/24", "smtpd_forbid_bare_newline": "reject",
                    "smtpd_relay_restrictions": "permit_mynetworks, defer_unauth_destination",
                    "smtpd_recipient_restrictions": ""},
    "closed": {"mynetworks": "192.0.2.0/24", "smtpd_relay_restrictions": "reject",
               "smtpd_recipient_restrictions": "permit"},
    "later": {"mynetworks": "192.0.2.0/24", "smtpd_relay_restrictions": "defer",
              "smtpd_recipient_restrictions": "permit"},
}


# ---- playing ----

class Dialogue:
    """A conversation with one of the servers; `said` is what it answered, made comparable."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.file = self.socket.makefile("rb")
        self.said = []

    def reply(self):
        lines = []
        while True:
            try:
                line = self.file.readline()
            except ConnectionError:
                line = b""
            if not line:
                lines.append("closed")
                break
            lines.append(line.decode("latin1").rstrip("\r\n"))
            if line[3:4] != b"-":
                break
        text = re.sub(r"queued as \w+", "queued as ID", lines[-1])
        if len(lines) > 1:  # EHLO: the offers differ, see test_offers
            text = text[:3]
        self.said.append(text)
        return text

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass

    def close(self):
        self.file.close()
        self.socket.close()


def play(port, steps):
    """Each step is bytes for one reply; (bytes, n) for n replies; or (bytes, 0) to go on."""
    dialogue = Dialogue(port)
    dialogue.reply()
    for step in steps:
        data, count = step if isinstance(step, tuple) else (step, 1)
        dialogue.send(data if data.endswith(b"\n") or count == 0 else data + b"\r\n")
        for _ in range(count):
            if dialogue.reply() == "closed":
                dialogue.close()
                return dialogue.said
    dialogue.close()
    return dialogue.said


@pytest.fixture(scope="module", params=list(SETTINGS))
def pair(request):
    parameters = {**COMMON, **SETTINGS[request.param]}
    if not reference.is_installed():
        pytest.fail("Debian's postfix is not installed (make deps)")
    ours = {"default_transport": "discard:", "local_transport": "discard:",
            "relay_transport": "discard:", **parameters}
    with reference.Reference(**parameters) as postfix, Instance(**ours) as relay:
        yield request.param, postfix.port, relay.port


# ---- the dialogues: FAULTS numbers in front, where there is one ----

HELLO = b"EHLO client.example"
START = [HELLO, b"MAIL FROM:<a@b.example>"]
OPEN = [*START, b"RCPT TO:<root@localhost>"]

DIALOGUES = {
    "01 data without rcpt": [HELLO, b"DATA", b"RSET", b"DATA", b"MAIL FROM:<a@b>", b"DATA",
                             b"VRFY root@localhost", b"DATA", b"RSET", b"DATA"],
    "02 wrong order": [b"RCPT TO:<a@localhost>", b"MAIL FROM:<a@b>", b"HELO x", b"RCPT TO:<a@b>",
                       b"MAIL FROM:<a@b>", b"MAIL FROM:<c@d>", b"RCPT TO:<root@localhost>",
                       b"MAIL FROM:<c@d>", b"RSET", b"RCPT TO:<root@localhost>"],
    "04 a second message needs mail": [*OPEN, b"DATA", b"x\r\n.", b"RCPT TO:<root@localhost>",
                                       b"DATA"],
    "13 nul": [HELLO, b"RSET"],
    "14 hello": [b"EHLO", b"HELO", b"HELO a b", b"EHLO x y", b"ehlo   foo  ", b"EHLO [127.0.0.1]",
                 b"EHLO [IPv6:::1]", b"EHLO a(b)", b"EHLO %n%s", b"EHLO x_y"],
    "15 16 starttls": [HELLO, b"STARTTLS", b"STARTTLS x", b"MAIL FROM:<a@b>", b"STARTTLS"],
    "20 auth": [HELLO, b"AUTH", b"AUTH PLAIN", b"AUTH PLAIN AGEAYg=="],
    "23 size": [HELLO, *[b"MAIL FROM:<a@b> SIZE=" + size for size in (
        b"99999999999999999999", b"-1", b"abc", b"", b"99999999999", b"10240001")],
        b"MAIL FROM:<a@b> SIZE", b"MAIL FROM:<a@b> BODY=BINARY", b"RSET", b"MAIL FROM:<a@b> BODY=7BIT"],
    "24 routes": [HELLO, b"MAIL FROM:<@a,@b:c@d>", b"RSET", b"MAIL FROM:<a%b@c>", b"RSET",
                  b"MAIL FROM:<a!b@c>", b"RSET", b'MAIL FROM:<"a@b"@c>', b"RSET"],
    "24 routes to us": [*START, *[b"RCPT TO:<" + path + b">" for path in (
        b"x%elsewhere.example@localhost", b"elsewhere.example!x@localhost",
        b'"x@elsewhere.example"@localhost', b"@localhost:x@elsewhere.example",
        b"@localhost,@b:x@localhost", b"x%elsewhere.example", b"elsewhere.example!x",
        b"x@[127.0.0.1]", b"x@[127.0.0.2]", b"x@LOCALHOST.",
        b"x@[IPv6:::1]", b"x%y@relay.example",
        b"x@sub.relay.example", b"x@relay.example.", b"x@notrelay.example", b"postmaster")]],
    "25 names of files and programs": [*START, b"RCPT TO:<|/bin/sh>", b"RCPT TO:</etc/passwd>",
                                       b"RCPT TO:<-oQ/tmp>",
                                       b"RCPT TO:<-oQ/tmp@localhost>"],
    "26 shell": [HELLO, b"MAIL FROM:<;sleep 66;>", b"MAIL FROM:<;id;@>", b"MAIL FROM:<`id`@b>"],
    "27 recipients": [*START, *[b"RCPT TO:<r%d@localhost>" % i for i in range(8)], b"NOOP"],
    "28 dsn parameters": [HELLO, b"MAIL FROM:<a@b> RET=foo", b"MAIL FROM:<a@b> RET=FULL RET=FULL",
                          b"MAIL FROM:<a@b> ENVID=+00", b"MAIL FROM:<a@b> ENVID=+zz",
                          b"MAIL FROM:<a@b> ENVID=", b"MAIL FROM:<a@b> ENVID=a ENVID=b",
                          b"MAIL FROM:<a@b> RET=HDRS ENVID=a+2Bb",
                          b"RCPT TO:<root@localhost> NOTIFY=FOO",
                          b"RCPT TO:<root@localhost> NOTIFY=NEVER,FAILURE",
                          b"RCPT TO:<root@localhost> ORCPT=foo",
                          b"RCPT TO:<root@localhost> ORCPT=rfc822;a@b NOTIFY=SUCCESS,FAILURE",
                          b"RCPT TO:<root@localhost> FOO=bar", b"RCPT TO:<root@localhost> foo"],
    "30 utf-8": [HELLO, b"MAIL FROM:<a@b> SMTPUTF8", b"RSET"],
    "31 pipelining after ehlo": [(b"EHLO x\r\nMAIL FROM:<a@b>\r\n", 2)],
    "31 pipelining without ehlo": [b"HELO x", (b"MAIL FROM:<a@b>\r\nRCPT TO:<root@localhost>\r\n",
                                               2)],
    "31 pipelining after data": [HELLO, (b"MAIL FROM:<a@b>\r\nRCPT TO:<root@localhost>\r\nDATA\r\n"
                                         b"x\r\n.\r\n", 4)],
    "31 pipelining as allowed": [HELLO, (b"RSET\r\nMAIL FROM:<a@b>\r\nRCPT TO:<root@localhost>\r\n"
                                         b"RCPT TO:<a@localhost>\r\nDATA\r\n", 5), b"x\r\n.",
                                 (b"MAIL FROM:<a@b>\r\nQUIT\r\n", 2)],
    "32 http": [b"POST / HTTP/1.1"],
    "32 http get": [b"GET / HTTP/1.1"],
    "32 proxies": [b"CONNECT mail.example:25 HTTP/1.1"],
    "32 a header": [HELLO, b"Subject: x"],
    "32 no letter": [HELLO, b"\x16\x03\x01"],
    "34 xclient": [HELLO, b"XCLIENT ADDR=192.0.2.1", b"XFORWARD ADDR=192.0.2.1", b"XCLIENT", b"XFORWARD",
                   b"MAIL FROM:<a@b>", b"XCLIENT ADDR=192.0.2.1", b"XFORWARD ADDR=192.0.2.1"],
    "35 junk": [HELLO, *[b"NOOP"] * 130],
    "35 errors": [HELLO, *[b"FOO"] * 25],
    "39 too big": [*OPEN[:1], b"MAIL FROM:<a@b> SIZE=1000", b"RCPT TO:<root@localhost>", b"DATA",
                   (b"x" * 70 + b"\r\n", 0), ((b"y" * 998 + b"\r\n") * 30, 0), b".", b"NOOP"],
    "40 hops": [*OPEN, b"DATA", b"Received: x\r\n" * 60 + b"\r\nx\r\n.", b"NOOP"],
    "40 few hops": [*OPEN, b"DATA", b"Received: x\r\nReceived: x\r\n\r\nx\r\n.", b"NOOP"],
    "51 an empty message": [*OPEN, b"DATA", b"."],
    "the small commands": [b"NOOP", b"NOOP x", b"RSET", b"RSET x", b"HELP", b"EXPN x", b"TURN",
                           b"SEND FROM:<a@b>", b"FOO bar", b"", b"   ", b" NOOP", b"noop",
                           b"VRFY", b"VRFY root", b"VRFY root@localhost", b"VRFY <root@localhost>",
                           b"VRFY a b", b"VRFY <a@b..c>", b"VRFY x@elsewhere.example", b"QUIT x"],
    "etrn": [b"ETRN", b"ETRN x y", b"ETRN foo", HELLO, b"ETRN foo", b"ETRN -foo",
             b"MAIL FROM:<a@b>", b"ETRN foo"],
    "mail syntax": [HELLO, b"MAIL", b"MAIL FROM", b"MAIL FROM:", b"MAIL FROM <a@b>", b"MAIL TO:<a@b>",
                    b"MAIL FROM:<a@b", b"MAIL FROM:<a@b>x", b"MAIL FROM:<foo bar@x>",
                    b"MAIL FROM:<a@b..c>", b"MAIL FROM:<@>", b"MAIL FROM:<a@>"],
    **{f"mail from:{text.decode()}": [HELLO, b"MAIL FROM:" + text] for text in (
        b" <a@b>", b"a@b", b"<>", b"<user>", b"<a@b.c.d>", b'<"a b"@c>', b"<a@[192.0.2.1]>",
        b"<a@b> AUTH=<>", b"<a@b> FOO", b"<a@b> FOO=BAR", b"<a@b-c>", b"<a.b@c>", b"<a..b@c>",
        b"<a@-b>", b"<a@b->", b"<a@192.0.2.1>", b"<a@[192.0.2]>", b"<a@b_c>")},
    "rcpt syntax": [*START, b"RCPT", b"RCPT TO:", b"RCPT TO:<>", b"RCPT FROM:<a@b>",
                    b"RCPT TO:<user@>", b"RCPT TO:<us er@localhost>",
                    b"RCPT TO:<a@b..c>", b"RCPT TO:<a@-b>", b"RCPT TO:<a@192.0.2.1>",
                    b"RCPT TO:<a@[192.0.2]>", b"RCPT TO:<x@localhost> NOTIFY=NEVER"],
    **{f"rcpt to:{text.decode()}": [*START, b"RCPT TO:" + text] for text in (
        b"root@localhost", b" <root@localhost>", b"<root>", b'<"us er"@localhost>',
        b"<root@localhost.>", b"<ROOT@LocalHost>", b"<user+ext@localhost>",
        b'<"a\\"b"@localhost>')},
    "data with argument": [*OPEN, b"DATA x", b"DATA", b"x\r\n."],
    "content that is no smtp": [*OPEN, b"DATA", b"MAIL FROM:<x@y>\r\nRSET\r\nQUIT\r\n.", b"NOOP"],
    "dots": [*OPEN, b"DATA", b"..\r\n...\r\n.x\r\n.", b"NOOP"],
    "all refused": [*START, b"RCPT TO:<x@elsewhere.example>", b"DATA", b"RCPT TO:<root@localhost>",
                    b"RCPT TO:<x@elsewhere.example>", b"DATA", b"x\r\n.", b"QUIT"],
    "a bare newline in a command": [HELLO, b"NOOP\n", b"NOOP"],
    "a bare newline in content": [*OPEN, b"DATA", b"a\nb\r\n.", b"NOOP"],
}

# Where a stranger is refused, a friend goes on to send content.
NOT_FOR_FRIENDS = {"all refused"}

# What differs on purpose: the dialogue, Postfix's last reply, ours, and why.
DIFFERENT = {
    "a recipient without a local part": (
        [*START, b"RCPT TO:<@localhost>"], "250 2.1.5 Ok", "501 5.1.3 Bad recipient address syntax",
        "nobody could receive it"),
    "a colon in a local part": (
        [*START, b"RCPT TO:<:include:/x>"], "250 2.1.5 Ok",
        "501 5.1.3 Bad recipient address syntax", "RFC 5321 wants it quoted"),
    "a literal with a dot behind it": (
        [*START, b"RCPT TO:<x@[127.0.0.1].>"], "250 2.1.5 Ok",
        "501 5.1.3 Bad recipient address syntax", "the dot belongs to names"),
    "an own address, mapped into IPv6": (
        [*START, b"RCPT TO:<x@[IPv6:::ffff:127.0.0.1]>"],
        "554 5.7.1 <x@[IPv6:::ffff:127.0.0.1]>: Relay access denied", "250 2.1.5 Ok",
        "it is the same address"),
    "nul in a command": (
        [HELLO, b"NOOP \0x"], "250 2.0.0 Ok", "501 5.5.2 Error: control character in command",
        "nothing is cut off at a NUL, nothing hidden behind it"),
    "control characters in a name": (
        [b"EHLO a\x1bb"], "250", "501 5.5.2 Error: control character in command",
        "no terminal is to interpret it"),
    "a nul in orcpt": (
        [*START, b"RCPT TO:<root@localhost> ORCPT=rfc822;+00"], "250 2.1.5 Ok",
        "501 5.5.4 Error: Bad ORCPT parameter syntax", "it would go on into notices"),
    "a long line": (
        [HELLO, b"NOOP " + b"x" * 3000], "250 2.0.0 Ok", "500 5.5.2 Error: command line too long",
        "Postfix takes its first 2048 bytes for the command"),
}


def differences(theirs, ours):
    pairs = list(zip(theirs, ours))
    if len(theirs) != len(ours):
        pairs.append((f"{len(theirs)} replies", f"{len(ours)} replies"))
    return [(number, *each) for number, each in enumerate(pairs) if each[0] != each[1]]


@pytest.mark.parametrize("name", list(DIALOGUES))
def test_replies_are_those_of_postfix(pair, name):
    setting, postfix, relay = pair
    if setting == "friend" and name in NOT_FOR_FRIENDS:
        return
    theirs, ours = play(postfix, DIALOGUES[name]), play(relay, DIALOGUES[name])
    assert differences(theirs, ours) == []


@pytest.mark.parametrize("name", list(DIFFERENT))
def test_differences_are_deliberate(pair, name):
    setting, postfix, relay = pair
    steps, theirs, ours, _ = DIFFERENT[name]
    if setting != "stranger":
        return
    if theirs != "closed":
        assert play(postfix, steps)[-1] == theirs
    assert play(relay, steps)[-1] == ours


WORDS = [
    b"EHLO client.example", b"HELO client.example", b"EHLO", b"MAIL FROM:<a@b.example>",
    b"MAIL FROM:<>", b"MAIL FROM:<a@b.example> SIZE=100 BODY=8BITMIME", b"MAIL FROM:<a@b..c>",
    b"RCPT TO:<root@localhost>", b"RCPT TO:<x@elsewhere.example>", b"RCPT TO:<x@relay.example>",
    b"RCPT TO:<>", b"RCPT", b"DATA", b"DATA x", b"RSET", b"RSET x", b"NOOP", b"VRFY root@localhost",
    b"VRFY", b"FOO", b"", b"AUTH PLAIN", b"STARTTLS", b"XCLIENT NAME=x", b"ETRN example",
]


def random_dialogue(seed):
    chance = random.Random(seed)
    steps = []
    for _ in range(chance.randrange(4, 24)):
        steps.append(chance.choice(WORDS[:13] if chance.random() < 0.6 else WORDS))
    return steps


def play_random(port, steps):
    """As play, but where DATA is answered with 354 the content follows."""
    dialogue = Dialogue(port)
    dialogue.reply()
    for step in steps:
        dialogue.send(step + b"\r\n")
        said = dialogue.reply()
        if said.startswith("354"):
            dialogue.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
            said = dialogue.reply()
        if said == "closed":
            break
    dialogue.close()
    return dialogue.said


def test_random_dialogues_get_the_replies_of_postfix(pair):
    setting, postfix, relay = pair
    for seed in range(150):
        steps = random_dialogue(f"{setting} {seed}")
        theirs, ours = play_random(postfix, steps), play_random(relay, steps)
        assert differences(theirs, ours) == [], (seed, steps)


ENDS = [b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r", b"\0\r\n", b"\r\n\0", b" \r\n"]


@pytest.mark.parametrize("before", ENDS)
@pytest.mark.parametrize("after", ENDS)
def test_only_one_sequence_ends_a_message(pair, before, after):
    """FAULTS 8: what follows another one than CRLF.CRLF is content, never a command."""
    setting, _, relay = pair
    if setting in ("closed", "later"):
        return
    hidden = b"MAIL FROM:<evil@b.example>\r\nRCPT TO:<root@localhost>\r\nDATA\r\nsmuggled\r\n"
    dialogue = Dialogue(relay)
    dialogue.reply()
    for step in OPEN + [b"DATA"]:
        dialogue.send(step + b"\r\n")
        assert dialogue.reply()[0] in "23"
    dialogue.send(b"x" + before + b"." + after + hidden + b".\r\n")
    dialogue.reply()
    is_end = before.endswith(b"\r\n") and after.startswith(b"\r\n")
    # Behind a real end the rest are commands, which were not waited for.
    dialogue.send(b"NOOP\r\n")
    said = dialogue.reply()
    dialogue.close()
    assert is_end or said == "250 2.0.0 Ok"


def test_offers(pair):
    """Only what works is offered; the words and their order are Postfix's."""
    _, postfix, relay = pair
    offers = []
    for port in postfix, relay:
        dialogue = Dialogue(port)
        dialogue.reply()
        dialogue.send(HELLO + b"\r\n")
        lines = []
        while not lines or lines[-1][3] == "-":
            lines.append(dialogue.file.readline().decode().rstrip("\r\n"))
        offers.append([line[4:] for line in lines])
        dialogue.close()
    assert offers[0] == offers[1]
