# SPDX-License-Identifier: Apache-2.0
"""smtp_header_checks and its like: what leaves is changed on its way, as Debian's Postfix does it."""
import pathlib
import re
import smtplib

import pytest

import reference
from world import PATIENCE, Instance, Sink, wait_until

TABLES = {
    "smtp_header_checks": """\
/^X-Ignore:/ IGNORE
/^X-Strip:/ STRIP gone
/^Subject: (.*)/ REPLACE Subject: [x] $1
/^X-Info:/ INFO seen
/^X-Warn:/ WARN hm
/^X-Before:/ PREPEND X-Put: 1
/^X-Reject:/ REJECT no
/^X-Hold:/ HOLD
/^X-Dunno:/ DUNNO
/^X-Strange:/ FOO
/^X-No-Header:/ REPLACE nonsense
/^X-No-Header-Before:/ PREPEND nonsense
/^X-Pass:/ PASS
/^To:/ REPLACE To: <other@example.com>
""",
    "smtp_mime_header_checks": "/^Content-Disposition:/ REPLACE Content-Disposition: inline\n",
    "smtp_nested_header_checks": "/^Subject:/ REPLACE Subject: nested\n",
    "smtp_body_checks": """\
/^drop/ IGNORE
/^change/ REPLACE changed
/^before/ PREPEND inserted
/^warn/ WARN careful
/^reject/ REJECT no
""",
}
MESSAGE = """\
From: a@example.com
To: b@example.com
Subject: hello
 folded
X-Ignore: 1
X-Strip: 1
X-Info: 1
X-Warn: 1
X-Before: 1
X-Reject: 1
X-Hold: 1
X-Dunno: 1
X-Strange: 1
X-No-Header: 1
X-No-Header-Before: 1
X-Pass: 1
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

before the parts
--b
Content-Disposition: attachment

drop me
change me
before me
warn me
.reject me
reject me
--b
Content-Type: message/rfc822

Subject: inner

kept
--b--
""".replace("\n", "\r\n")


def parameters(sink, folder, names=tuple(TABLES), **more):
    for name in names:
        (folder / name).write_text(TABLES[name])
    return {"compatibility_level": "3.6", "myhostname": "relay.example.test", "mydestination": "",
            "mynetworks": "127.0.0.0/8", "disable_dns_lookups": "yes", "relay_transport": "smtp",
            "smtp_host_lookup": "native", "default_transport": "smtp",
            "smtpd_peername_lookup": "no", "relayhost": f"[127.0.0.1]:{sink.port}",
            **{name: f"pcre:{folder / name}" for name in names}, **more}


def play(server, sink, text=MESSAGE):
    """(log lines of the client, what arrived), made comparable."""
    with server:
        with smtplib.SMTP("127.0.0.1", server.port, timeout=PATIENCE) as client:
            client.sendmail("a@example.com", ["b@example.com"], text)
        wait_until(lambda: "status=" in server.log(), "a result")
        lines = re.findall(r"/smtp\[\d+\]: (.*)", server.log())
    lines = [re.sub(r"^[0-9A-F]{8,}: |delay=.*, dsn", "", each).replace(str(sink.port), "PORT")
             for each in lines]
    arrived = [re.sub(r"(?m)^(Received:.*\r\n(\s.*\r\n)*|(Message-Id|Date):.*\r\n)", "", each.text)
               for each in sink.messages]
    return lines, arrived


@pytest.fixture
def tables(tmp_path):
    tmp_path.chmod(0o755)
    for each in list(tmp_path.parents)[:2]:
        each.chmod(0o755)
    return pathlib.Path(tmp_path)


@pytest.mark.skipif(not reference.is_installed(), reason="Debian's Postfix is not installed")
@pytest.mark.parametrize("names", [tuple(TABLES), ("smtp_header_checks",)])
def test_what_leaves_is_what_leaves_postfix(tables, names):
    results = []
    for kind in (reference.Reference, Instance):
        with Sink() as sink:
            options = parameters(sink, tables, names)
            server = Instance(**options) if kind is Instance else kind(
                services="smtp unix - - n - - smtp\n", **options)
            results.append(play(server, sink))
    (postfix_lines, postfix_arrived), (our_lines, our_arrived) = results
    assert len(our_arrived) == 1
    assert our_arrived == postfix_arrived
    assert our_lines == postfix_lines


def test_mail_waits_while_a_table_cannot_answer(tables):
    with Sink() as sink:
        lines, arrived = play(Instance(**parameters(sink, tables, (),
                                                    smtp_header_checks="fail:x")), sink)
        assert arrived == []
        assert "status=deferred (smtp_header_checks: table lookup problem)" in lines[-1]


def test_generic_maps_see_the_headers_that_the_checks_left(tables):
    with Sink() as sink:
        _, arrived = play(Instance(**parameters(
            sink, tables, ("smtp_header_checks",),
            smtp_generic_maps="inline:{other@example.com=mapped@example.org}")), sink)
        assert "To: mapped@example.org" in arrived[0] or "To: <mapped@example.org>" in arrived[0]
        assert "Subject: [x] hello\r\n folded" in arrived[0]
