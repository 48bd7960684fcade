# SPDX-License-Identifier: Apache-2.0
"""Content that is refused or changed whatever the tables say: characters, 8-bit bytes where none
may be, encodings. Debian's Postfix and Waypost side by side."""
import re

import pytest

import pair
from pair import Content, Dialogue, Pair

pytestmark = pytest.mark.skipif(not pair.is_possible(), reason="needs root in a network namespace")

SERVICES = {
    "plain": {},
    "rejects": {"message_reject_characters": r"\0\007"},
    "rejects_letter": {"message_reject_characters": "q\\n"},
    "strips": {"message_strip_characters": r"\0\a\x"},
    "strips_all": {"message_strip_characters": r"\200\303\\-"},
    "both": {"message_reject_characters": r"\0", "message_strip_characters": r"\0\007"},
    "unchecked": {"message_reject_characters": r"\0",
                  "receive_override_options": "no_header_body_checks"},
    "headers": {"strict_7bit_headers": "yes"},
    "bodies": {"strict_8bitmime_body": "yes"},
    "all": {"strict_8bitmime": "yes"},
    "domains": {"strict_mime_encoding_domain": "yes"},
    "no_mime": {"strict_8bitmime": "yes", "strict_mime_encoding_domain": "yes",
                "disable_mime_input_processing": "yes"},
    "strict_unchecked": {"strict_8bitmime": "yes", "strict_mime_encoding_domain": "yes",
                         "receive_override_options": "no_header_body_checks"},
    **{f"looks_at_{limit}": {"body_checks": "pcre:$config_directory/body",
                             "body_checks_size_limit": str(limit)} for limit in (0, 1, 2, 9, 10, 11, 18, 19, 20, 21, 29, 30)},
    "undetected": {"detect_8bit_encoding_header": "no"},
}
EIGHT = b"caf\xc3\xa9"


def multipart(encoding, inner=b"", part=b"part", kind=b"multipart/mixed"):
    return (b"Subject: parts\r\nContent-Type: " + kind + b"; boundary=b\r\n" + encoding +
            b"\r\npreamble\r\n--b\r\n" + inner + b"\r\n" + part + b"\r\n--b--\r\nepilogue\r\n")


def encoding(name):
    return b"Content-Transfer-Encoding: " + name + b"\r\n"


MESSAGES = {
    "simple": b"Subject: x\r\n\r\nbody\r\n",
    "nul": b"Subject: nul\r\n\r\nbody\r\nwith \x00 and \x07 in it\r\n",
    "nul in header": b"X-One: a\x00b\r\n  \x07folded\r\nSubject: x\r\n\r\nbody\r\n",
    "letter in header": b"Subject: a\r\n quick one\r\n\r\nbody\r\n",
    "letter": b"Subject: a\r\n\r\nbody\r\n-- \r\nthe quick fox\r\n",
    "nul in part": multipart(b"", part=b"one\r\na\x00b\r\nthree"),
    "stripped boundary": multipart(b"").replace(b"--b\r\n", b"-\x07-b\r\n"),
    "bare return": b"Subject: x\r\n\r\nbo\rdy\r\nlast\r\n",
    "8bit header": b"Subject: " + EIGHT + b"\r\n\r\nbody\r\n",
    "8bit body": b"Subject: x\r\n\r\n" + EIGHT + b"\r\n",
    "8bit both": b"Subject: " + EIGHT + b"\r\n\r\n" + EIGHT + b"\r\n",
    "8bit late": b"Subject: x\r\n\r\n" + b"line\r\n" * 100 + b"x " + EIGHT + b"\r\n",
    **{f"8bit as {name.decode()}": b"Subject: x\r\n" + encoding(name) + b"\r\n" + EIGHT + b"\r\n"
       for name in (b"7bit", b"8bit", b" 8BIT ", b"binary", b"base64", b"quoted-printable",
                    b"x-none", b"8bitmime", b"8bit (c)", b"")},
    "8bit preamble": multipart(b"").replace(b"preamble", EIGHT),
    "8bit epilogue": multipart(encoding(b"8bit")).replace(b"epilogue", EIGHT),
    "8bit part": multipart(b"", part=EIGHT),
    "8bit part, said": multipart(encoding(b"8bit"), encoding(b"8bit"), EIGHT),
    "8bit part, said outside": multipart(encoding(b"8bit"), b"", EIGHT),
    "8bit part header": multipart(b"", b"Content-Description: " + EIGHT + b"\r\n"),
    "8bit nested header": multipart(b"", b"Content-Type: message/rfc822\r\n",
                                    b"Subject: " + EIGHT + b"\r\n\r\nx"),
    "8bit boundary": multipart(b"").replace(b"=b\r", b'="\xc3\xa9"\r').replace(b"--b", b"--\xc3\xa9"),
    **{f"{kind.decode()} as {name.decode()}":
       b"Subject: x\r\nContent-Type: " + kind + b"; boundary=b\r\n" + encoding(name) +
       b"\r\n--b\r\n\r\nx\r\n--b--\r\n"
       for kind in (b"multipart/mixed", b"message/rfc822", b"message/partial",
                    b"message/external-body", b"message/delivery-status", b"text/plain")
       for name in (b"7bit", b"8bit", b"base64", b"quoted-printable", b"x-none")},
    "attached, coded": multipart(b"", b"Content-Type: message/rfc822\r\n" + encoding(b"base64"),
                                 b"Subject: y\r\n\r\nx"),
    "two encodings": b"Subject: x\r\n" + encoding(b"8bit") + encoding(b"7bit") + b"\r\nx\r\n",
}


# (whose, pattern, reason)
EXPLAINED_LINES = [
    ("Postfix", ".*mime-error improper use of 8-bit data in message body: .*@all.example>.*",
     "it goes on looking at what it refuses"),
]


@pytest.fixture(scope="module")
def both():
    with Pair({"mynetworks": "127.0.0.0/8", "local_header_rewrite_clients": "",
               "smtpd_peername_lookup": "no", "smtpd_hard_error_limit": "1000",
               "smtp_destination_recipient_limit": "1"}, SERVICES, has_cleanups=True,
                  files={"body": "/^.*(?:line|part|two)/ WARN seen\n"}) as made:
        yield made


def dialogue(service, name, parameters=b""):
    return Dialogue(service, [b"EHLO client.example",
                              b"MAIL FROM:<" + re.sub(rb"\W", b"-", name.encode()) + b"@" +
                              service.replace("_", "-").encode() + b".example>" + parameters,
                              b"RCPT TO:<to@b.example>", b"DATA",
                              Content(MESSAGES[name] + b".\r\n"), b"QUIT"], name=name)


@pytest.mark.parametrize("service", [name for name in SERVICES
                                     if not name.startswith("looks_at")])
def test_content_is_refused_as_by_postfix(both, service):
    found = both.compare([dialogue(service, name) for name in MESSAGES] +
                         [dialogue(service, name, b" BODY=8BITMIME") for name in
                          ("8bit header", "8bit body", "8bit as 7bit", "8bit preamble")])
    assert not found, "\n".join(map(str, found))


def test_refused_content_is_logged_as_by_postfix(both):
    theirs, ours = both.log_lines(r"reject: (content|mime-error)")
    left = pair.unexplained_lines(theirs, ours, EXPLAINED_LINES)
    assert theirs and not left, "\n".join(left)


def test_what_is_left_is_sent_on_as_by_postfix(both):
    """Content, and what the server is told of it: the last hop takes 8-bit bytes."""
    deliveries = [[(each.sender, [option for option in each.options if option.startswith("BODY")], without_trace(each.text))
                   for each in side.sink.wait(queued(side))
                   # Of such a header Postfix loses what stands behind the NUL.
                   if not each.sender.startswith("nul-in-header")] for side in both.sides]
    theirs, ours = map(sorted, deliveries)
    assert len(theirs) > 100
    differences = [f"{their}\n    {our}" for their, our in zip(theirs, ours) if their != our]
    assert not differences, "\n".join(differences[:20])


LINES = {
    "even": b"Subject: x\r\n\r\n" + b"line one\r\n" * 4,
    "odd": b"Subject: x\r\n\r\nline 1\r\n\r\nline 2 here\r\nline 3\r\n",
    "parts": multipart(b"", part=b"part line\r\nand two\r\nand three line"),
}


def test_body_checks_end_where_those_of_postfix_end(both):
    for name, message in LINES.items():
        MESSAGES[name] = message
    services = [name for name in SERVICES if name.startswith("looks_at")]
    found = both.compare([dialogue(service, name) for service in services for name in LINES])
    assert not found, "\n".join(map(str, found))
    theirs, ours = both.log_lines("warning: body")
    left = pair.unexplained_lines(theirs, ours, [])
    assert theirs and not left, "\n".join(left)


@pytest.mark.parametrize("service", ["headers", "bodies", "all"])
def test_mail_with_smtputf8_is_refused_as_by_postfix(both, service):
    found = both.compare([dialogue(service, name, b" SMTPUTF8") for name in
                          ("8bit header", "8bit body", "8bit nested header")])
    assert not found, "\n".join(map(str, found))


def queued(side):
    return len(re.findall(r"qmgr\[\d+\]: \w+: from=", side.system.log()))


def without_trace(text):
    return re.sub(r"^Received: .*?\r\n(?=\S)", "", text, flags=re.S)
