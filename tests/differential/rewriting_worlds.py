# SPDX-License-Identifier: Apache-2.0
"""Configurations and addresses for test_rewriting.py, and where Waypost is meant to differ."""
import random

COMMON = {
    "myhostname": "mx.example.org", "mydomain": "example.org", "myorigin": "origin.example.org",
    "mydestination": "mx.example.org, localhost, here.example",
    "virtual_alias_domains": "alias.example", "virtual_mailbox_domains": "boxes.example",
    "relay_domains": "relayed.example, .below.example", "local_transport": "local",
    "virtual_transport": "virtual", "relay_transport": "relay", "default_transport": "smtp",
    "append_dot_mydomain": "yes", "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4",
    "parent_domain_matches_subdomains": "debug_peer_list", "recipient_delimiter": "+",
}
TRANSPORTS = (
    "inline:{ {a@x.ex=t1:}, {a+e@x.ex=t2:}, {x.ex=t3:}, {.p.ex=t4:[h]:25}, {p.ex=t5}, "
    "{user@mx.example.org=t6:}, {luser=never:}, {here.example=:hop}, {col.ex=:}, "
    "{hop.ex=:[hop.x]}, {e.ex=error:5.7.1 no way}, {e2.ex=error}, {r.ex=retry:}, "
    "{list.ex=smtp:[a.b], [c.d]:26}, {.sub.ex=sub:}, {sub.ex=sub0:}, {relayed.example=:[rr]}, "
    "{boxes.example=:[bb]}, {alias.example=lost:}, {[1.2.3.4]=lit:}, {owner-a@x.ex=own:}, "
    "{b@x.ex=bb:}, {*=star:}, {d.ex=discard:gone} }")
RESOLVING = {
    "plain": {},
    "transports": {"transport_maps": TRANSPORTS, "recipient_delimiter": "+-",
                   "relayhost": "[rh.ex]:587"},
    "parents": {"transport_maps": TRANSPORTS.replace("{*=star:}, ", ""),
                "parent_domain_matches_subdomains": "transport_maps, relay_domains"},
    "senders": {
        "relayhost": "[rh.ex]:587",
        "sender_dependent_default_transport_maps":
            "inline:{ {s@a.ex=st1}, {s+e@a.ex=st1e:}, {@b.ex=st2:[n]}, {c.ex=st3}, "
            "{@d.ex=DUNNO}, {<>=st0}, {@f.ex=:[onlyhop]}, {@g.ex=error:5.7.1 go away}, "
            "{luser=st4} }",
        "sender_dependent_relayhost_maps":
            "inline:{ {s@a.ex=[srh]:1}, {@b.ex=[srhb]}, {@c.ex=srhc}, {@d.ex=dunno}, {<>=[null]}, "
            "{@h.ex=[only.h]}, {@j.ex=[one], [two]:25}, {luser=hub5} }"},
    "nexthops": {"default_transport": "smtp:[deflt]:26", "relayhost": "[rh.ex]",
                 "local_transport": "lmtp:inet:x:24", "relay_transport": "relay:rnext",
                 "virtual_transport": "lmtp:unix:/x",
                 "sender_dependent_default_transport_maps": "inline:{ {@b.ex=st2} }",
                 "sender_dependent_relayhost_maps": "inline:{ {@b.ex=[only.b]} }"},
    "relocated": {"transport_maps": "inline:{ *=star }",
                  "relocated_maps": "inline:{ {a@x.ex=new@z.ex}, {@y.ex=gone away}, {luser=there}, "
                                    "{u@alias.example=ali}, {b+e@x.ex=be} }"},
    "no_hacks": {"allow_percent_hack": "no", "swap_bangpath": "no", "allow_min_user": "yes"},
    "quoted": {"resolve_dequoted_address": "no", "append_dot_mydomain": "no"},
    "bare": {"append_at_myorigin": "no", "append_dot_mydomain": "no"},
    "failing": {"transport_maps": "inline:{ {x.ex=t:} }, fail:tables"},
    "failing_senders": {"sender_dependent_relayhost_maps": "fail:tables"},
    "patterns": {"transport_maps": "regexp:{folder}/transport.re"},
    "hosts": {"transport_maps": "inline:{ {relay.here.example=r:}, {.here.example=d:} }",
              "relayhost": "smart.example", "show_user_unknown_table_name": "no"},
}
FILES = {"transport.re": "/^a@/  ext:\n/^x\\.ex$/ domain:\n/^\"/  quoted:\n/@q/ q:[$0]\n"}

LOCALS = ["a", "a+e", "a+f", "b", "b-e", "b+e", "c+d", "A+E", "user", "user+x", "luser", "luser+x",
          "u", "owner-a", "owner-a+e", "list-request", "postmaster+a", "MAILER-DAEMON", "a+", "+e",
          "a b", "q r", "p%x.ex", "p%hop.ex", "x.ex!p", "n!m!p", "p%q%x.ex", "p%localhost",
          "p@x.ex", "p@here.example", "p%far", "host!p", ".a", "a..b", "a.", "-dash", "a\\b", "!p",
          "p!", "%p", "p%", "double-bounce+a", "a,b", "a;b", "a:b", "(c)a", "a(c)"]
DOMAINS = ["x.ex", "X.EX", "p.ex", "q.p.ex", "r.q.p.ex", "col.ex", "hop.ex", "e.ex", "e2.ex", "r.ex",
           "list.ex", "sub.ex", "s.sub.ex", "relayed.example", "deep.relayed.example",
           "s.below.example", "below.example", "boxes.example", "alias.example", "here.example",
           "HERE.example", "relay.here.example", "mx.example.org", "origin.example.org", "localhost",
           "example.org", "y.ex", "far.ex", "d.ex", "host", "[1.2.3.4]", "[1.2.3.5]",
           "[127.0.0.1]", "[IPv6:2001:db8::1]", "bad-.ex", "-bad.ex", "b..ex", ".ex", "x.ex.",
           "here.example.", "123.456", "under_score.ex"]
SENDERS = ["", "s@a.ex", "s+e@a.ex", "s+f@a.ex", "S@A.EX", "s@b.ex", "s@c.ex", "s@d.ex", "s@f.ex",
           "s@g.ex", "s@h.ex", "s@j.ex", "s@x.b.ex", "s@other", "luser@here.example",
           "luser+x@mx.example.org"]


def addresses(count, seed):
    """A sample, always with each local part and each domain."""
    chance = random.Random(seed)
    found = [f"{local}@{chance.choice(DOMAINS)}" for local in LOCALS]
    found += [f"{chance.choice(LOCALS[:20])}@{domain}" for domain in DOMAINS]
    found += [local for local in LOCALS if not local.startswith("(")]
    while len(found) < count:
        found.append(f"{chance.choice(LOCALS)}@{chance.choice(DOMAINS)}")
    return found


# ---- what cleanup makes of envelopes ----

ALIASES = (
    'inline:{ {a@v.ex=a@v.ex, b@w.ex}, {m@v.ex=n@v.ex, o@w.ex}, {n@v.ex=o@w.ex}, {@v.ex=catch@w.ex}, '
    '{@z.ex=@w.ex}, {grp@v.ex=g: a@w.ex, b@w.ex;}, {luser=u1@w.ex}, {e+x@v.ex=ex@w.ex}, '
    '{e@v.ex=e@w.ex,f@w.ex}, {s@v.ex="a b"@w.ex}, {com@v.ex=(hi) k@w.ex}, {short@v.ex=bob, jim+x}, '
    '{host@v.ex=joe@host}, {"a b"@q.ex=quoted@w.ex}, {c3@c.ex=c3, d3@w.ex}, {b@deep.m.ex=hidden@w.ex}, '
    '{user@here.example=u2@w.ex}, {deep1@v.ex=deep2@v.ex}, {deep2@v.ex=deep3@v.ex,a@v.ex}, '
    '{percent@v.ex=x%y.ex@w.ex}, {bang@v.ex=y.ex!x} }')
CANONICALS = (
    "inline:{ {c1@c.ex=c2@c.ex}, {c2@c.ex=c3@c.ex}, {@cat.ex=@dog.ex}, {cx@c.ex=cy}, {luser=real}, "
    "{b+e@c.ex=be@d.ex}, {b@c.ex=bb@d.ex}, {s@old.ex=s@new.ex}, {self@c.ex=self@c.ex} }")
CLEANING = {
    "none": {},
    "aliases": {"virtual_alias_maps": ALIASES},
    "canonical": {"canonical_maps": CANONICALS, "virtual_alias_maps": ALIASES},
    "sender_recipient": {
        "sender_canonical_maps": "inline:{ {c1@c.ex=only.sender@c.ex}, {@s.ex=@t.ex} }",
        "recipient_canonical_maps": "inline:{ {c1@c.ex=only.rcpt@c.ex}, {@cat.ex=@cow.ex} }",
        "canonical_maps": CANONICALS},
    "classes": {"canonical_maps": CANONICALS, "canonical_classes": "envelope_sender, header_sender",
                "masquerade_domains": "m.ex", "masquerade_classes": "envelope_recipient"},
    "masquerade": {"masquerade_domains": "!keep.m.ex m.ex n.ex", "masquerade_exceptions": "root, b",
                   "masquerade_classes": "envelope_sender, envelope_recipient, header_sender"},
    "bcc": {"always_bcc": "archive@bcc.ex", "sender_bcc_maps":
            "inline:{ {c1@c.ex=sbcc@bcc.ex}, {@s.ex=all-s@bcc.ex} }",
            "recipient_bcc_maps": "inline:{ {a@v.ex=abcc@bcc.ex}, {@q.ex=a@v.ex}, {luser=lbcc} }",
            "virtual_alias_maps": ALIASES},
    "no_propagation": {"canonical_maps": CANONICALS, "virtual_alias_maps": ALIASES,
                       "propagate_unmatched_extensions": ""},
    "no_original": {"virtual_alias_maps": ALIASES, "enable_original_recipient": "no"},
    "delimiters": {"canonical_maps": CANONICALS, "virtual_alias_maps": ALIASES,
                   "recipient_delimiter": "-+"},
    "patterns": {"virtual_alias_maps": "regexp:{folder}/virtual.re"},
    "limits": {"virtual_alias_maps": ALIASES, "virtual_alias_recursion_limit": "2"},
    "small": {"virtual_alias_maps": ALIASES, "virtual_alias_expansion_limit": "2"},
    "length": {"virtual_alias_maps": ALIASES, "virtual_alias_address_length_limit": "8"},
    "loop": {"virtual_alias_maps": "inline:{ {c1@c.ex=y@v.ex}, {y@v.ex=c1@c.ex} }"},
    "failing": {"canonical_maps": "fail:tables"},
    "failing_aliases": {"virtual_alias_maps": "inline:{ a@v.ex=b@w.ex }, fail:tables"},
    "failing_bcc": {"recipient_bcc_maps": "fail:tables"},
    "empty": {"virtual_alias_maps": "inline:{ {c1@c.ex=,} }"},
}
FILES["virtual.re"] = ("/^(.*)@re\\.ex$/  $1@w.ex, copy-$1@w.ex\n/^a@v/ matched@w.ex\n"
                       "/^\"/ quoted@w.ex\n")
CLEAN_SENDERS = ["", "c1@c.ex", "u+e@cat.ex", "x@a.s.ex", "x@s.ex", "root@host.m.ex", "u@keep.m.ex",
                 "u@x.keep.m.ex", "luser", "luser+y@here.example", "b+e@c.ex", "b+f@c.ex", "s@old.ex"]
CLEAN_RECIPIENTS = [
    "a@v.ex", "A@V.ex", "m@v.ex", "other@v.ex", "o+e@v.ex", "p@z.ex", "p+e@z.ex", "grp@v.ex",
    "luser@here.example", "luser+e@mx.example.org", "luser", "e+x@v.ex", "e+y@v.ex", "E+Y@v.ex",
    "s@v.ex", "com@v.ex", "short@v.ex", "short+ext@v.ex", "host@v.ex", "c1@c.ex", "c1+e@c.ex",
    "u@cat.ex", "u+e@cat.ex", "cx@c.ex", "cx+e@c.ex", "b@c.ex", "b+e@c.ex", "b+z@c.ex", "b@deep.m.ex",
    "a@deep.m.ex", "a@m.ex", "a@keep.m.ex", "a@x.n.ex", "root@x.n.ex", "user@here.example",
    "user+z@here.example", "deep1@v.ex", "deep1+q@v.ex", "w@re.ex", "self@c.ex", "self+x@c.ex",
    "postmaster+a@v.ex", "owner-list+x@v.ex", "b-e@c.ex", "e-x@v.ex", "bob@origin.example.org",
    "percent@v.ex", "bang@v.ex", "x@q.ex", "a@other.ex", "a b@q.ex"]


# ---- what cleanup makes of headers ----

HEADER_MAPS = {
    "canonical_maps": 'inline:{ {c1@c.ex=c2@c.ex}, {a@a.ex="q r"@b.ex}, {luser=real@r.ex} }',
    "recipient_canonical_maps": "inline:{ {only@c.ex=rcpt@c.ex} }",
    "sender_canonical_maps": "inline:{ {only@c.ex=sender@c.ex} }",
    "masquerade_domains": "m.ex",
}
REWRITING_HEADERS = {
    "local": {"local_header_rewrite_clients": "static:all", "remote_header_rewrite_domain": "",
              **HEADER_MAPS},
    "remote": {"local_header_rewrite_clients": "", "remote_header_rewrite_domain": "remote.invalid",
               **HEADER_MAPS},
    "untouched": {"local_header_rewrite_clients": "", "remote_header_rewrite_domain": "",
                  **HEADER_MAPS},
}
HEADERS = [
    "To: a@b.ex", "To:a@b.ex", "To:   root", "To: root (Cron)", "To: Cron <root>",
    'To: "Cron, D" <root>, joe@host (x),| a@b.c', "To: Friends: root, a@b.c; joe",
    "To: undisclosed-recipients:;", 'To: "a b"', "To: site.net!user", "To: two words",
    "To: A@Some.Where, root", "To: <>, , root", "To: <open", "To: root,", "To: ", "To: c1@c.ex",
    "From: c1@c.ex (Name)", 'From: "N" <c1@c.ex>', "From: N M <c1@c.ex>",
    "From: =?utf-8?Q?x?= <c1@c.ex>", "Reply-To: c1@c.ex,c1@c.ex", "Cc: a@a.ex",
    "To: u@h.m.ex, x@y.z", "To: (only comment)", "To: root (a (nested) comment) , b",
    "To: <@a,@b:root>", "To: <@a,@b:c1@c.ex>", "To: root@", "To: a @ host", "To: a . b @ host . c",
    "To: c1@C.ex", "To: c1 @ c.ex , z@z.z", "To: N <root> (c)", "To: group: c1@c.ex, root;, x@y.z",
    "To: very.long.address.number.one@some.where.example, "
    "very.long.address.number.two@some.where.example, root",
    "Errors-To: root", "Sender: root", "Resent-To: root", "Resent-From: root", "Apparently-To: root",
    "Return-Receipt-To: root", "Disposition-Notification-To: root", "Mail-Followup-To: root",
    "Resent-Reply-To: root", "Delivered-To: root", "X-To: root", "To: a@b.ex.",
    "To: root;joe", 'To: "unclosed <root>', 'To: root "q" <joe>', "To: root <joe> <jim>",
    "To: [1.2.3.4]", "To: u@[1.2.3.4]", "To: u@ [1.2.3.4], root", "To: user%dom, root",
    "To: a@b@c.ex, root", "to : root", "To : root", "To: \\root", "To: ro\\ot",
    "To: root|\t, joe|\t,jim", "To: luser@here.example, luser+x@mx.example.org", 'To: "root"',
    'To: "ro ot"@x.ex, root', "To: root@x-.ex.", "To: " + ",".join("abcdefghijklmnopqrstuvwxyz"),
    "To: <root>,<joe>", "To: N <root>,M <joe>", "To: N<root>", "To: x@y.ex(comment)",
    "To: root(comment)", "To: root (unclosed", "To: a: b: c1@c.ex;", "To: @x.ex", "To: :root;",
    "To: root!joe@x.ex, root", "To: .root, ro..ot@x.ex", "From: root", "From: only@c.ex",
    "To: root@host| (comment| two), b", "To: only@c.ex", "Sender: only@c.ex", "To: J. Doe <root>",
    "To: root <>", "To: a (c) @ host", "To: (c) root", "To: <root> joe", "To: Joe <root@host> jim",
]
# Quotes, literals and comments that stay open, and what is quoted where nothing has to be.
ODD_HEADERS = [
    'To: a@ "Q b"', 'To: a@ "Q b', 'To: a@"b.c"', 'To: a@"b c".d', "To: a@b.c\\ d",
    "To: a+x@[qq+x\\z", "To: a@[qq \\z] b", "To: <q[ qyy<@v@< (d (", "To: [ q@v", "To: a@[q@v",
    "To: <[x@y>", "To: b@[ (c", "To: [a%b].c@d", "To: x y@z <[q>", "To: a@[1.2.3.4, root",
    "To: o6 \\\\x\\\\\\=", "To: o@g \\\\To\\\\`", "To: a\\ b@c.d", "To: a\\\\@c.d",
    'To: x\\"y@c.d', "To: ab\\\\\\%cc\\\\", "To: a\\@b", "To: a\\!b@c.d", "To: a@g\\%b",
    "To: o@g\\\\to\\x", "To: o@g\\\\To\\x", "To: o@g\\a.b", "To: o@g\\a", 'To: "a\\\\',
    'To: "a b', 'To: a "b', 'To: a@b, "c d', "To: (c a", "To: <a@b (c>", 'To: "a"b@c.d',
    'To: a."b c".d@e.f', 'To: "@"', 'To: <"a@b">', 'To: "a%b"', 'To: "a!b"', "To: @a,@b:c@d",
    "To: <@a:b@c>", "To: a:b", 'To: "a\\"b"@c.d', 'To: "a\\b"@c.d', "To: joe@HOST",
    "To: joe@host., root", "To: joe@HOST.Ex., root",
]
HEADER_PIECES = [
    "root", "joe@host", "c1@c.ex", "a@b.ex", "<root>", "<c1@c.ex>", "<a@b.ex>", "Name", '"Q. R"',
    "(note)", ",", ",", ",", ",", ",", "luser@here.example", "u@x.m.ex", "J.", "only@c.ex",
    '"a b"@q.ex', "user%site", "x@[192.0.2.1]", "|",
]


def headers(count):
    """Those above, and random ones."""
    chance = random.Random("headers")
    found = HEADERS + ODD_HEADERS
    while len(found) < count:
        pieces = [chance.choice(HEADER_PIECES) for _ in range(chance.randint(1, 9))]
        text = " ".join(pieces).replace("| ", "|\t").strip("|\t ")
        found.append(f"{chance.choice(['To', 'From', 'Cc', 'Reply-To'])}: {text}")
    return [each for each in found if "||" not in each and "|\t|" not in each]
