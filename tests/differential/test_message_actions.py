# SPDX-License-Identifier: Apache-2.0
"""Where mail goes of which an access table, a header check or a body check says FILTER, REDIRECT or
BCC, and what it has of a PREPEND: Debian's Postfix and Waypost side by side."""
import re

import pytest

import pair
from pair import Content, Dialogue, Pair
from world import wait_until

pytestmark = pytest.mark.skipif(not pair.is_possible(), reason="needs root in a network namespace")

TARGETS = ["plain@c.example", "  spaced@c.example  ", "<angle@c.example>", "UPPER@C.Example",
           "A Name <named@c.example>", "user", "user@", "@c.example", "user@short", "a b@c.example",
           '"a b"@c.example', "two@c.example, more@c.example", "alias@local.example",
           "canon@c.example", "one@b.example", "a@b@c.example", "pct%c.example@local.example",
           "bang!user@local.example", "user+ext@local.example", "", "<>", "comment@c.example (x)",
           "user@[127.0.0.1]", "many@local.example"]
FILTERS = ["other:[127.0.0.1]:25", "other:", "other", ":dest.example", "error:no mail",
           "error:5.7.9 no mail", "smtp:nonesuch.example", "other:b.example more",
           "nonesuch:x", "retry:later", "  discard:  ", "error:"]
HEADERS = ["X-One: y", "X-One:y", "X-One:", "X-One : y", "X One: y", "no colon", ":", ": y", "",
           "X-One: \x07y", "X-\u00e9: y", "X-One\x01: y", "X-One: " + "long " * 300]
ACTIONS = [f"{verb} {target}" for verb in ("REDIRECT", "BCC") for target in TARGETS] + \
          [f"FILTER {target}" for target in FILTERS] + \
          [f"PREPEND {header}" for header in HEADERS] + [
              "redirect lower@c.example", "REDIRECT\tx@c.example", "BCC one@b.example",
              "FILTER error:first"]
WHERE = ["access", "header", "body"]
SERVICES = {f"{where}{number}": {
    "access": {"smtpd_sender_restrictions": f"check_sender_access pcre:$config_directory/a{number}"},
    "header": {"header_checks": f"pcre:$config_directory/h{number}"},
    "body": {"body_checks": f"pcre:$config_directory/h{number}"},
}[where] for where in WHERE for number in range(len(ACTIONS))}
FILES = {f"a{number}": f"/./ {action}\n" for number, action in enumerate(ACTIONS)}
FILES.update({f"h{number}": f"/matches/ {action}\n" for number, action in enumerate(ACTIONS)})


# What differs, by action and where it stands: see pattern and reason.
EXPLAINED = [
    (r"\w+ (<angle|A Name <).*|BCC .*(, more@|\(x\)).*|\w+ .*a b\"?@c.*", "access|header|body",
     "Postfix takes the text as the address that it is not, and bounces what it can; here it is read "
     "as in a header, the first address of it"),
    (r"\w+ UPPER@C.Example", "access|header|body", "domains are in lower case here"),
    (r"BCC user@short", "access", "the log does not show what a copy's address was before it was "
     "completed"),
    (r"BCC canon@c.example", "header|body", "nor does Postfix show it of these, and we do"),
    (r"FILTER :dest.example", "header|body", "what is no transport filters nothing, with a warning; "
     "Postfix keeps such mail until it is too old"),
]


def action_of(service):
    return ACTIONS[int(re.sub(r"\D", "", service))]


def is_explained(service):
    where, action = re.sub(r"\d", "", service), action_of(service)
    return any(re.fullmatch(pattern, action) and re.fullmatch(places, where)
               for pattern, places, _ in EXPLAINED)


@pytest.fixture(scope="module")
def both():
    with Pair({"mynetworks": "127.0.0.0/8", "smtpd_peername_lookup": "no",
               "myorigin": "origin.example", "append_dot_mydomain": "yes",
               "recipient_delimiter": "+", "default_database_type": "texthash",
               "virtual_alias_maps": "inline:{ alias@local.example=aliased@d.example "
               "{many@local.example = m1@d.example, m2@d.example} }",
               "canonical_maps": "inline:{ canon@c.example=changed@d.example }",
               "smtpd_hard_error_limit": "1000"}, SERVICES, files=FILES, has_cleanups=True,
              zone={}) as made:
        yield made


def dialogue(service, sender):
    word = b"" if service.startswith("access") else b"matches"
    header = word if service.startswith("header") else b""
    return Dialogue(service, [b"EHLO client.example", b"MAIL FROM:<" + sender + b">",
                              b"RCPT TO:<one@b.example>", b"RCPT TO:<two@b.example>", b"DATA",
                              Content(b"Subject: x" + header + b"\r\n\r\n" + word + b"\r\n.\r\n"),
                              b"QUIT"], name=action_of(service))


def delivered(side):
    """{service: content}"""
    return {each.sender.split("@")[0]:
            re.sub(r"(?ms)^(?:Received|Message-Id|Date): .*?\r\n(?=\S|\r)", "", each.text)
            for each in side.sink.messages}


def ends(side):
    """{sender: sorted ends of its recipients} as the log has them."""
    text = re.sub(r"\S*127\.0\.0\.1\]:\d+", "SINK", side.system.log())
    senders = dict(re.findall(r"qmgr\[\d+\]: (\w+): from=<([^>]*)>, size=", text))
    found = {}
    for queue_id, end in re.findall(r"\]: (\w+): (to=.*status=.*)", text):
        end = re.sub(r"(?:delays?|conn_use)=[^ ]* |queued as \w+|\(in reply.*", "", end)
        found.setdefault(senders.get(queue_id, "?"), []).append(end)
    return {sender: sorted(set(all)) for sender, all in found.items()}


def test_actions_are_answered_as_by_postfix(both):
    found = both.compare([dialogue(service, f"{service}@s.example".encode())
                          for service in SERVICES])
    assert not found, "\n".join(map(str, found))


def test_prepended_text_is_that_of_postfix(both):
    """Of those the test before has sent."""
    prepends = [each for each in SERVICES if action_of(each).startswith("PREPEND")]
    contents = []
    for side in both.sides:
        wait_until(lambda side=side: set(prepends) <= set(delivered(side)), "all of them")
        contents.append(delivered(side))
    theirs, ours = contents
    different = [f"{each} {action_of(each)!r}: {theirs[each]} {ours[each]}" for each in prepends
                 if theirs[each] != ours[each] and not is_explained(each)]
    assert not different, "\n".join(different)


def test_actions_are_logged_as_by_postfix(both):
    theirs, ours = both.log_lines(r": (redirect|bcc|filter): |REDIRECT|\bBCC\b|FILTER")
    left = pair.unexplained_lines(theirs, ours, [
        ("Postfix", ".*filter: .*: :dest.example", "see EXPLAINED"),
        ("Waypost", "warning: bad FILTER command :dest.example .*", "the same")])
    assert theirs and not left, "\n".join(left)


def test_mail_goes_where_postfix_sends_it(both):
    wanted = {f"{service}@s.example" for service in SERVICES}
    for side in both.sides:
        wait_until(lambda side=side: len(wanted - set(ends(side))) < 3, "each message's end")
    theirs, ours = map(ends, both.sides)
    differences = [f"{ACTIONS[int(re.sub(chr(92) + 'D', '', key.split('@')[0]))]} ({key}):\n"
                   f"    Postfix: {theirs.get(key)}\n    Waypost: {ours.get(key)}"
                   for key in sorted(wanted) if theirs.get(key) != ours.get(key)
                   and not is_explained(key.split("@")[0])]
    assert not differences, "\n".join(differences)
