# SPDX-License-Identifier: Apache-2.0
"""Notices beside Debian's Postfix: the same mail, the same answers; each notice's envelope, headers,
parts, fields of each recipient and log lines. The built-in templates' sentences are our own."""
import collections

import pytest

from notice_cases import (NoticePair, body_of, comparable_notice, dialogue, kinds_of_lines,
                          notice_lines, send_locally, wait_idle)
from pair import STRANGER, Dialogue, is_possible

pytestmark = pytest.mark.skipif(not is_possible(), reason="needs root, a namespace, postfix")

VIRTUAL = """\
list@virtual.example bad@plain.example, good@dsn.example, good@plain.example
one@virtual.example good@dsn.example
same@plain.example same@plain.example
who@virtual.example bad@plain.example
"""
ALIASES = """\
team good@dsn.example, bad@plain.example
forward good@dsn.example
command "|cat >/dev/null"
nothing /dev/null
"""
TEMPLATES = """\
# Three of the four.
failure_template = <<END
Charset: iso-8859-1
From: MAILER-DAEMON (Our Mail)
subject: It failed
Postmaster-Subject: PM failed

Host $myhostname of ${mydomain}, $$HOME, at \\ and ${maximal_queue_lifetime_hours}.
  Leading blanks stay; $maximal_queue_lifetime_days days, $(maximal_queue_lifetime_days)d.
END

delay_template = <<EOF
Subject: Late

Late by ${delay_warning_time_seconds} s
EOF
success_template = <<EOF
From: postmaster@reports.example

Arrived.
EOF
"""
# Texts beyond ASCII; where none is named, the character set does not allow them.
TEMPLATES_BEYOND_ASCII = """\
failure_template = <<END
Charset: {charset}
From: Postbüro <mailer-daemon@mail.example.test>
Subject: Nicht zugestellt: geht nicht
Postmaster-Subject: Für den Postmeister

Grüße von $myhostname: „Ihre Mail“ kam nach ${{maximal_queue_lifetime_hours}} Stunden nicht an – schade.
END
success_template = <<END
Charset: utf-8
From: MAILER-DAEMON (Mail)
Subject: Arrived

Angekommen, schön.
END
"""
FILES = {"virtual": VIRTUAL, "aliases": ALIASES, "templates": TEMPLATES}
BASE = {"virtual_alias_maps": "texthash:$config_directory/virtual",
        "smtpd_reject_unlisted_recipient": "no"}
SERVICES = {"plain": {}, "off": {"smtpd_discard_ehlo_keywords": "dsn"},
            "verp": {"smtpd_authorized_verp_clients": "$mynetworks"}}


def compare(pair, dialogues, count):
    """Plays them on both sides; `count` notices come, and they are the same."""
    differences = [str(each) for each in pair.compare_once(dialogues)]
    assert not differences, "\n".join(differences)
    wait_idle(pair, count)
    both = [collections.Counter(comparable_notice(each) for each in side.sink.messages)
            for side in pair.sides]
    theirs, ours = both[0] - both[1], both[1] - both[0]
    assert not theirs and not ours, "\n".join(
        ["==== Postfix alone", *theirs, "==== Waypost alone", *ours])
    lines = [collections.Counter(kinds_of_lines(side)) for side in pair.sides]
    assert lines[0] == lines[1], (lines[0] - lines[1], lines[1] - lines[0])
    assert notice_lines(pair.sides[0]) == notice_lines(pair.sides[1])


def commands(side, verb):
    return sorted(line.split(" SIZE")[0] for address in ("127.0.0.2", "127.0.0.3")
                  for line in side.servers[address].commands if line.startswith(verb))


def test_failures_and_successes_are_told_as_asked():
    with NoticePair(BASE, SERVICES, files=FILES) as pair:
        compare(pair, [
            dialogue("plain", ["<bad@plain.example>"]),
            dialogue("two", ["<bad@plain.example> NOTIFY=FAILURE,DELAY "
                             "ORCPT=rfc822;Orig+2Bx@orig.example",
                             "<long@dsn.example>", "<bare@dsn.example>"],
                     " RET=HDRS ENVID=abc+2Bdef"),
            dialogue("never", ["<bad@plain.example> NOTIFY=NEVER",
                               "<good@dsn.example> NOTIFY=NEVER"]),
            dialogue("success", ["<good@plain.example> NOTIFY=SUCCESS",
                                 "<good@dsn.example> NOTIFY=SUCCESS,FAILURE",
                                 "<x@discard.example> NOTIFY=SUCCESS",
                                 "<bad@plain.example> NOTIFY=SUCCESS"], " RET=FULL ENVID=succ"),
            dialogue("list", ["<list@virtual.example> NOTIFY=SUCCESS "
                              "ORCPT=rfc822;List@virtual.example"]),
            dialogue("one", ["<one@virtual.example> NOTIFY=SUCCESS"]),
            dialogue("same", ["<same@plain.example> NOTIFY=SUCCESS"]),
            dialogue("who", ["<who@virtual.example>"]),
            dialogue("refused", ["<refused@dsn.example>"], " ENVID=zz"),
            dialogue("null", ["<bad@plain.example>"], sender=""),
            dialogue("moved", ["<y@error.example>"]),
            dialogue("quoted", ['<"a b"@error.example>']),
            dialogue("large", ["<bad@plain.example>"], body=b"x" * 70 + b"\r\n", times=1000),
        ], 11)
        assert commands(pair.sides[0], "RCPT") == commands(pair.sides[1], "RCPT")
        assert commands(pair.sides[0], "MAIL") == commands(pair.sides[1], "MAIL")


def test_templates_of_a_file_are_used_word_for_word():
    with NoticePair({**BASE, "bounce_template_file": "$config_directory/templates",
                     "notify_classes": "bounce", "delay_warning_time": "2s",
                     "minimal_backoff_time": "2s", "maximal_backoff_time": "3s",
                     "queue_run_delay": "1s"}, SERVICES, files=FILES) as pair:
        compare(pair, [
            dialogue("failed", ["<bad@plain.example>"]),
            dialogue("fine", ["<good@plain.example> NOTIFY=SUCCESS"]),
            dialogue("late", ["<late@plain.example>"]),
        ], 4)


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", "us-ascii"])
def test_templates_beyond_ascii_are_used_or_left_like_by_postfix(charset):
    files = {**FILES, "beyond": TEMPLATES_BEYOND_ASCII.format(charset=charset)}
    with NoticePair({**BASE, "bounce_template_file": "$config_directory/beyond",
                     "notify_classes": "bounce"}, SERVICES, files=files) as pair:
        compare(pair, [
            dialogue("failed", ["<bad@plain.example>"]),
            dialogue("headers", ["<bad@plain.example>"], " RET=HDRS BODY=8BITMIME",
                     body="Grüße\r\n".encode()),
            dialogue("fine", ["<good@plain.example> NOTIFY=SUCCESS"]),
            dialogue("utf", ["<bad@plain.example> ORCPT=utf-8;bäd@plain.example"],
                     " SMTPUTF8 BODY=8BITMIME"),
        ], 7)


def test_the_postmaster_gets_copies_and_double_bounces():
    with NoticePair({**BASE, "notify_classes": "bounce, 2bounce",
                     "bounce_notice_recipient": "bounces@chief.example",
                     "2bounce_notice_recipient": "double@chief.example",
                     "enable_threaded_bounces": "yes"}, SERVICES, files=FILES) as pair:
        compare(pair, [
            dialogue("plain", ["<bad@plain.example>"]),
            dialogue("never", ["<bad@plain.example> NOTIFY=NEVER"]),
            dialogue("null", ["<bad@plain.example>"], " RET=HDRS", sender=""),
            dialogue("last", ["<bad@plain.example>"], sender="double-bounce@mail.example.test"),
            dialogue("back", ["<bad@plain.example>"], sender="bad@plain.example"),
        ], 6)


def test_a_delay_is_told_once():
    with NoticePair({**BASE, "delay_warning_time": "2s", "notify_classes": "delay",
                     "delay_notice_recipient": "late@chief.example",
                     "minimal_backoff_time": "2s", "maximal_backoff_time": "3s",
                     "queue_run_delay": "1s"}, SERVICES, files=FILES) as pair:
        compare(pair, [
            dialogue("plain", ["<late@plain.example>", "<good@plain.example>"]),
            dialogue("notify", ["<late@plain.example> NOTIFY=DELAY"], " RET=FULL"),
            dialogue("failure", ["<late@plain.example> NOTIFY=FAILURE"]),
            dialogue("never", ["<late@plain.example> NOTIFY=NEVER"]),
            dialogue("null", ["<late@plain.example>"], sender=""),
        ], 6)


def test_without_smtputf8_notices_are_plain_where_the_mail_is():
    with NoticePair({**BASE, "smtputf8_enable": "no", "bounce_size_limit": "800"}, SERVICES,
                    files=FILES) as pair:
        compare(pair, [
            dialogue("seven", ["<bad@plain.example>"]),
            dialogue("eight", ["<bad@plain.example>"], " BODY=8BITMIME",
                     body="Grüße\r\n".encode()),
            dialogue("large", ["<bad@plain.example>"], body=b"x" * 70 + b"\r\n", times=20),
        ], 3)


def test_mail_with_smtputf8_gets_the_global_form():
    with NoticePair(BASE, SERVICES, files=FILES) as pair:
        compare(pair, [
            dialogue("utf", ["<bad@plain.example> ORCPT=utf-8;bäd@plain.example",
                             "<bäd@ascii.example> ORCPT=utf-8;bäd@ascii.example"],
                     " SMTPUTF8 BODY=8BITMIME ENVID=abc", body="Grüße\r\n".encode()),
            dialogue("headers", ["<bad@plain.example> NOTIFY=SUCCESS,FAILURE "
                                 "ORCPT=utf-8;b\\x{E4}d@plain.example",
                                 "<good@plain.example> NOTIFY=SUCCESS"],
                     " SMTPUTF8 RET=HDRS"),
        ], 3)


def test_local_deliveries_and_aliases_are_reported():
    with NoticePair({**BASE, "local_transport": "local:x",
                     "alias_maps": "texthash:$config_directory/aliases",
                     "mail_spool_directory": "$config_directory/../spoolbox"}, SERVICES,
                    files=FILES) as pair:
        pair.make_mailboxes("spoolbox")
        compare(pair, [
            dialogue("box", ["<nobody@local.example> NOTIFY=SUCCESS"]),
            dialogue("alias", ["<team@local.example> NOTIFY=SUCCESS,FAILURE"], " RET=FULL"),
            dialogue("forward", ["<forward@local.example> NOTIFY=SUCCESS"]),
            dialogue("command", ["<command@local.example> NOTIFY=SUCCESS"]),
            dialogue("nothing", ["<nothing@local.example> NOTIFY=SUCCESS"]),
            dialogue("unknown", ["<zzzz@local.example> NOTIFY=FAILURE"]),
        ], 7)


def test_dsn_and_verp_parameters_are_checked():
    mail = [b"EHLO a"] + [b"MAIL FROM:<s@a.example> " + each for each in [
        b"RET=X", b"RET=", b"ENVID=a+2", b"RET=FULL RET=HDRS", b"ENVID=a=b", b"XVERP=+=",
        b"NOTIFY=NEVER"]]
    rcpt = [b"EHLO a", b"MAIL FROM:<s@a.example> RET=hdrs ENVID=abc+2B"] + [
        b"RCPT TO:<a@plain.example> " + each for each in [
            b"NOTIFY=", b"NOTIFY=NEVER,SUCCESS", b"NOTIFY=success,never", b"NOTIFY=x",
            b"NOTIFY=SUCCESS,SUCCESS", b"ORCPT=foo", b"ORCPT=rfc822;+4", b"ORCPT=;x@y",
            b"ORCPT=utf-8;a@b", b"ORCPT=rfc822;a@b ORCPT=rfc822;c@d", b"ORCPT=rfc822;a@b+c",
            b"NOTIFY=NEVER NOTIFY=NEVER", b"NOTIFY=delay ORCPT=x400;a+2Bb", b"ORCPT=rfc822;a;b",
            b"RET=FULL"]]
    off = [b"EHLO a", b"MAIL FROM:<s@a.example> RET=FULL", b"MAIL FROM:<s@a.example> ENVID=1",
           b"MAIL FROM:<s@a.example>", b"RCPT TO:<a@plain.example> NOTIFY=NEVER",
           b"RCPT TO:<a@plain.example> ORCPT=rfc822;a@b"]
    verp = [b"EHLO a"]
    for each in [b"XVERP", b"XVERP=-+", b"XVERP=xx", b"XVERP=+", b"XVERP=", b"XVERP=#=",
                 b"XVERP=++"]:
        verp += [b"MAIL FROM:<s@a.example> " + each, b"RSET"]
    verp += [b"MAIL FROM:<> XVERP"]
    with NoticePair(BASE, SERVICES, files=FILES) as pair:
        differences = [str(each) for each in pair.compare_once([
            Dialogue("plain", mail), Dialogue("plain", rcpt), Dialogue("off", off),
            Dialogue("verp", verp), Dialogue("verp", verp[:2], client=STRANGER)])]
        assert not differences, "\n".join(differences)


def test_dialogues_that_went_wrong_are_shown_to_the_postmaster():
    classes = "data, policy, protocol, resource, software"
    with NoticePair({**BASE, "notify_classes": classes, "mynetworks": "127.0.0.0/8",
                     "error_notice_recipient": "errors@chief.example",
                     "smtpd_history_flush_threshold": "20"}, SERVICES, files=FILES) as pair:
        compare(pair, [
            Dialogue("plain", [b"EHLO a", b"MAIL FROM:<a@b.example> FOO=1", b"NONSENSE",
                               b"RCPT TO:<a@b>", b"MAIL FROM:<sender@sender.example>",
                               b"RCPT TO:<x@plain.example> NOTIFY=" + b"x" * 90, b"QUIT"]),
            Dialogue("plain", [b"EHLO a", b"MAIL FROM:<sender@sender.example>",
                               b"RCPT TO:<x@far.example>", b"QUIT"], client=STRANGER),
            Dialogue("plain", [b"EHLO a", b"NONSENSE", b"EHLO a", b"QUIT"]),
            Dialogue("plain", [b"EHLO a", b"MAIL FROM:<sender@sender.example>", b"QUIT"]),
            Dialogue("plain", [b"EHLO a", b"DATA", b"NOOP"]),
            dialogue("client", ["<odd@plain.example>"]),
        ], 5)


def test_a_verp_sender_has_an_address_for_each_recipient():
    with NoticePair(BASE, SERVICES, files=FILES) as pair:
        compare(pair, [
            dialogue("verp", ["<bad@plain.example>", "<good@dsn.example>", "<bare@dsn.example>"],
                     " XVERP", service="verp"),
            dialogue("other", ["<bad@plain.example>"], " XVERP=-+", service="verp"),
        ], 3)
        assert commands(pair.sides[0], "MAIL") == commands(pair.sides[1], "MAIL")


def test_sendmail_asks_for_notices_reports_and_verp():
    with NoticePair(BASE, SERVICES, files=FILES) as pair:
        recipients = ["bad@plain.example", "good@dsn.example", "good@plain.example"]
        for arguments in [
                ["-N", "success,failure", "-R", "hdrs", "-V", "env+id =x", *recipients],
                ["-v", *recipients, "late@plain.example", "who@virtual.example"],
                ["-bv", *recipients, "late@plain.example", "who@virtual.example"],
                ["-XV", *recipients], ["-XV-+", "bad@plain.example"], ["-V+=", "bad@plain.example"],
                ["-N", "never", "bad@plain.example"], ["-N", "bogus", "bad@plain.example"],
                ["-R", "bogus", "bad@plain.example"]]:
            results = send_locally(pair, ["-f", "sender@sender.example", *arguments])
            assert results[0] == results[1]
        for arguments in [["-XV#=", "-f", "a@b.example", "bad@plain.example"],
                          ["-XV", "-f", "", "bad@plain.example"]]:
            results = send_locally(pair, arguments)
            assert results[0][0] != 0 and results[1][0] != 0
        compare(pair, [], 10)
        assert body_of(pair.sides[1].sink.messages[0])
