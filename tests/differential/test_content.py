# SPDX-License-Identifier: Apache-2.0
"""Header and body checks on generated messages: what Postfix and Waypost answer, log and deliver."""
import collections
import difflib
import re

import pytest

import counted
import pair
from content_messages import messages
from pair import Content, Dialogue, Pair
from world import wait_until

pytestmark = pytest.mark.skipif(not pair.is_possible(), reason="needs root in a network namespace")

COUNT = counted.cases(500, 2000)
PER_CONNECTION = 10

HEADERS = r"""
/hreject4/ REJECT 4.7.9 later
/hreject/ REJECT not this
/hdiscard/ DISCARD gone
/hpass/ PASS
/hhold/ HOLD for now
/hbcc/ BCC copy@example.com
/hredirect/ REDIRECT other@example.com
/hwarn/ WARN a warning
/hignore/ IGNORE
/^([^:]*):(.*)hreplace(.*)/ REPLACE X-New-$1:$2(${3})
/hprepend/ PREPEND X-Before: it
/hstrip/ STRIP stripped
/hinfo/ INFO
/hdunno/ DUNNO
/hbad/ NONSENSE x
/hnotext/ REPLACE
"""
BODY = r"""
/breject/ REJECT
/bdiscard/ DISCARD
/bpass/ PASS of the body
/bhold/ HOLD
/bbcc/ BCC copy2@example.com
/bredirect/ REDIRECT other2@example.com
/bwarn/ WARN
/^bignore/ IGNORE
/^breplace(.*)/ REPLACE new<$1>
/bprepend/ PREPEND a line before
/bstrip/ STRIP
/binfo/ INFO some
/^--/ INFO boundary
"""
SETTINGS = {
    "local_header_rewrite_clients": "",
    "smtpd_peername_lookup": "no",
    "header_checks": "{0}:$config_directory/headers",
    "body_checks": "{0}:$config_directory/body",
}


def settings(kind, **more):
    return {name: value.format(kind) for name, value in {**SETTINGS, **more}.items()}


# The cleanup stage is a process of its own in Postfix: what smtpd's line overrides does not reach it.
CONFIGURATIONS = {
    "pcre": settings("pcre"),
    "regexp": settings("regexp"),
    "apart": settings("pcre", mime_header_checks="pcre:$config_directory/mime",
                      nested_header_checks=""),
    "flat": settings("pcre", disable_mime_input_processing="yes"),
}


def stuffed(content):
    return re.sub(rb"(?m)^\.", b"..", content)


def dialogues(batch):
    found = []
    for first in range(0, len(batch), PER_CONNECTION):
        steps = [b"EHLO client.example"]
        for content in batch[first:first + PER_CONNECTION]:
            steps += [b"MAIL FROM:<sender@example.test>", b"RCPT TO:<first@example.com>", b"DATA",
                      Content(stuffed(content) + b".\r\n"), b"RSET"]
        found.append(Dialogue("all", steps))
    return found


def comparable(text):
    """Without the queue id and the time; without blanks before the colon of headers: Postfix takes
    them out of the headers of parts, too, while we leave what lies behind the message's own headers
    as it came, for it may be signed."""
    text = re.sub(r"(?m)^([A-Za-z-]+)[ \t]+:", r"\1:", text)
    text = re.sub(r"(with ESMTP id )\w+", r"\1ID", text)
    return re.sub(r"(for <[^>]*>; |;\r?\n\t)\w{3}, [^\r\n]*", r"\1DATE", text, count=1)


def delivered(side):
    return collections.Counter(
        (tuple(sorted(each.recipients)), comparable(each.content.decode("latin1")))
        for each in side.sink.messages)


def settled(sides):
    last = []

    def is_settled():
        now = [len(side.sink.messages) for side in sides]
        last.append(now)
        return len(last) > 12 and last[-12:] == [now] * 12
    wait_until(is_settled, "the end of deliveries", 60)


def log_lines(sides):
    """The lines of checks, without our own Received: headers' ids and dates. Bytes that are no
    ASCII are compared as "?" (ours are neutralised where they are no UTF-8), and no more than 1500
    of them (a line of Postfix's ends at 2000)."""
    return [collections.Counter(
        re.sub(r"(?:[^ -~]|\?)+", "?",
               re.sub(r"id \w+\?\?for <\S*>; .*? from ", "id ID from ", line))[:1500]
        for line in filter(None, map(pair.comparable_log, side.system.log().splitlines()))
        if re.search(r": (?:header|body) |_checks map", line)) for side in sides]


@pytest.mark.parametrize("kind", CONFIGURATIONS)
def test_checks_answer_log_and_deliver_like_postfix(kind):
    share = messages(COUNT)[list(CONFIGURATIONS).index(kind)::len(CONFIGURATIONS)]
    with Pair(CONFIGURATIONS[kind], {"all": {}},
              files={"headers": HEADERS, "body": BODY,
                     "mime": HEADERS.replace("X-New", "X-Mime-New")}) as both:
        differences = both.compare(dialogues(share))
        counted.count("messages", len(share))
        assert not differences, "\n".join(str(each)[-1500:] for each in differences[:5])
        settled(both.sides)
        theirs, ours = map(delivered, both.sides)
        assert sum(theirs.values()) > len(share) / 4
        assert theirs == ours, diff(theirs - ours, ours - theirs)
        theirs, ours = log_lines(both.sides)
        assert theirs == ours, f"{theirs - ours}\n{ours - theirs}"


def diff(theirs, ours):
    shown = [f"{sum(theirs.values())} messages differ"]
    for mine, other in list(zip(sorted(theirs), sorted(ours)))[:3]:
        shown += [str(mine[0]), str(other[0]),
                  *difflib.unified_diff(mine[1].split("\r\n"), other[1].split("\r\n"), "Postfix",
                                        "Waypost", n=3, lineterm="")]
    return "\n".join(shown)


def nested(depth, innermost=b"the end\r\n"):
    """So many multiparts, each inside the one before."""
    lines = [b"Subject: nested\r\nMIME-Version: 1.0\r\n"]
    for level in range(depth):
        lines.append(b"Content-Type: multipart/mixed; boundary=b%03d.\r\n\r\n--b%03d.\r\n"
                     % (level, level))
    return b"".join(lines) + b"Content-Type: text/plain\r\n\r\n" + innermost


@pytest.mark.parametrize("more", [{}, {"header_checks": "", "body_checks": ""},
                                  {"mime_nesting_limit": "3"}])
def test_mime_nesting_deeper_than_the_limit_is_answered_like_postfix(more):
    batch = [nested(depth) for depth in (1, 2, 3, 4, 5, 99, 100, 101, 102, 150)]
    with Pair(settings("pcre", **more), {"all": {}},
              files={"headers": HEADERS, "body": BODY}) as both:
        differences = both.compare(dialogues(batch))
        assert not differences, "\n".join(str(each)[-1500:] for each in differences[:5])
        ours, theirs = (side.sink.messages for side in reversed(both.sides))
        wait_until(lambda: len(theirs) == len(ours), "as many deliveries from both", 60)

        def refusals(side):
            return [pair.comparable_log(line) for line in side.system.log().splitlines()
                    if "mime-error" in line]

        assert refusals(both.sides[0]) or more.get("header_checks") == ""
        wait_until(lambda: refusals(both.sides[1]) == refusals(both.sides[0]), "the same lines")
