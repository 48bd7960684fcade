# SPDX-License-Identifier: Apache-2.0
"""What differs from Debian's Postfix in the dialogues, and why: (service, step, Postfix's reply,
ours, reason). Services and steps are patterns as in the shell, replies regular expressions. A row
that no longer explains anything fails its test."""

RESTRICTIONS = [
    ("recipient.unlisted_quiet", "RCPT TO:<*@valias.example>",
     r"550 5.1.1 .* in virtual alias table",
     r"550 5.1.1 <.*>: Recipient address rejected: User unknown",
     "Postfix asks trivial-rewrite, which does not see the override; here it holds for the line"),
]

# Log lines: (whose, regular expression, reason).
LOG_LINES = [
    ("both", r".*550 5.1.1 <.*@valias.example>: Recipient address rejected: User unknown.*",
     "see recipient.unlisted_quiet"),
]

# test_dialogues.py: as above. Rows are about what is so rare that one case in a run may be all.
DIALOGUES = [
    ("*", "*[\x01-\x08\x0b-\x1f]*", r"[2345].*", r"[45]01.[45]\.5\.2 Error: control character.*",
     "a command with control characters is refused whatever it is"),
    ("*", "*[\x01-\x08\x0b-\x1f]*", r"[2345].*", r"421.*too many errors.*", "what was refused counts"),
    ("*", "*\x00*", r"250 .*", r"[45]00.*command not recognized.*",
     "Postfix's command ends at a NUL, ours has one in it"),
    ("*", "*", r"[45]55.*Unsupported option: <.*", r"[45]55.*Unsupported option: <.*",
     "what stands in brackets is one word in Postfix's reply; it is no parameter for either"),
    ("*", "BDAT*LAST*", r"250 2.0.0 Ok: \d+ bytes queued as ID", r"250 2.0.0 Ok: \d+ bytes queued as ID",
     "Postfix counts a line end for each piece of a line longer than line_length_limit"),
    ("*", "*", r"552.5.3.4 Error: message file too big.*", r"250 .*",
     "Postfix counts what else is in its queue file; here message_size_limit is about content"),
    ("*", "[Mm][Aa][Ii][Ll]*", r"[45]03.*Error: MAIL after BDAT.*", r"[45]03.*Error: nested MAIL command.*",
     "behind a refused chunk; nobody has to tell these two apart"),
    ("*", "XCLIENT*", r"[45]50.*insufficient authorization.*", r"[45]03.*MAIL transaction in progress.*",
     "of two reasons the other one first"),
    ("*", "ETRN*", r"[45]00 Syntax: ETRN domain.*", r"[45]03 Error: MAIL transaction in progress.*",
     "of two reasons the other one first"),
    ("*", "BDAT 0*", r"[45]51.[45].7.1 Null BDAT request.*", r"[45]\d\d.*",
     "of two reasons the other one first"),
    ("*", '*<""@*', r"[25].*", r"[45]01.[45].1.[37] Bad .*", "an empty local part is no address"),
    ("*", "*<@local.example>*", r"[25].*", r"[45]01.[45].1.[37] Bad .*", "the same"),
    ("*", "*<@a.example*", r".*", r"[45]01.[45].1.[37] Bad .*", "a route without its end is none"),
    ("*", "*:*@*@*", r".*", r"[45]01.[45].1.[37] Bad .*", "an address with ':' may not be routed"),
    ("*", "*@x@*", r"[45]55.*Unsupported option.*", r"[45]01.[45].1.[37] Bad .*",
     "of two reasons the other one first"),
    ("*", "XFORWARD*", r"[45]50.*insufficient authorization.*", r"[45]03.*MAIL transaction in progress.*",
     "of two reasons the other one first"),
    ("*", "XFORWARD*", r"[45]01.*Bad NAME syntax.*", r"[45]01.*attribute=value expected.*",
     "xtext that cannot be decoded is no value"),
    ("*", "*ORCPT=*", r"[2345].*", r"[45]01.*Bad ORCPT parameter syntax.*",
     "control and 8-bit characters are refused in each type, and before other reasons"),
    ("*", "MAIL *", r"[45]52.*Message size exceeds fixed limit.*", r"250 .*",
     "Postfix remembers SIZE= of the MAIL that it refused before"),
    ("*", "[Rr][Cc][Pp][Tt]*", r"[45]03.*need MAIL.*", r"[45]03.*RCPT after BDAT.*",
     "behind a refused chunk; nobody has to tell these two apart"),
    ("*", "[Rr][Cc][Pp][Tt]*", r"452.*too many recipients.*", r"[2345].*",
     "Postfix goes on counting recipients of a message whose BDAT failed"),
    ("*", "BDAT*", r"250 .*", r"[45]54.*no valid recipients.*",
     "Postfix takes a chunk for recipients of the message before whose BDAT failed"),
    ("*", "ETRN*", r"459 .*", r"[45]03 Error: MAIL transaction in progress.*",
     "of two reasons the other one first"),
    ("*", '*"a@b"@ *', r".*", r".*", "with a blank behind the '@' Postfix takes \"a@b\" for an address"),
    ("*", '*"a@b"@local *', r".*", r".*", "the same"),
    ("*", "*@a.example*@*", r".*", r"[45]01.[45].1.[37] Bad .*", "a route without its end is none"),
    ("*", "*!*@ *", r"250 .*", r"[45]54.*Relay access denied.*", "the same with a bang path"),
    ("*", "*%*@ *", r"250 .*", r"[45]54.*Relay access denied.*",
     "a blank behind '@' hides from Postfix that the address is routed by the sender"),
    ("*", "*\xc3*", r"[45]01.*Bad .* address syntax.*", r"[45]53.[45].6.7 Must declare SMTPUTF8.*",
     "of two reasons the other one first"),
    ("*", "*\xc3*", r"[45]01.*Bad .* address syntax.*", r"[45](01|55).*(Unsupported option|Bad RET|Bad ENVID).*",
     "of two reasons the other one first"),
    ("*", "EHLO hhhh*", r"250.*", r"[45]00.*command line too long.*", "see below"),
    ("*", "N*", r"[2345].*", r"[45]00.*command line too long.*",
     "a command longer than line_length_limit is refused, instead of cut"),
]
DIALOGUE_LINES = [
    ("Postfix", r"ID: message-id=<.*>", "also of content that is refused whatever it says"),
    ("Postfix", r"ID: (reject|warning): (body|header) .*",
     "checks of what has been refused already (too large, a chunk missing)"),
    ("both", r"warning: Illegal address syntax from .* command: .*[^ -~?].*",
     "bytes that are no ASCII: UTF-8 as it is, or a question mark for each"),
    ("both", r"warning: Illegal address syntax from .* command: .*\?.*", "the same"),
    ("both", r".* helo=<.*(\?|[^ -~]).*>.*", "the same"),
    ("Postfix", r"ID: client=.*, sasl_sender=.*", "AUTH= of clients that have not logged in says nothing"),
    ("Waypost", r"ID: client=.*", "the same"),
    ("Postfix", r"ID: client=.*, orig_queue_id=.*, orig_client=unknown",
     "a client that XFORWARD gave no address is not named"),
    ("both", r"ID: from=<.*>, size=N, nrcpt=\d+ \(queue active\)",
     "a recipient given twice, once with a blank, route or comment, is one recipient"),
    ("Postfix", r"ID: to=<.*", "the same"),
    ("Waypost", r"ID: to=<.*@(.*)>, orig_to=<.*@(.*)>, .*",
     "also where only the spelling of the domain changed"),
    ("Waypost", r"ID: warning: header .* to=<.*@\[IPv6:.*", "literals have one spelling"),
    ("Postfix", r"ID: reject: BDAT from .*", "here smtpd_data_restrictions always say DATA"),
    ("Waypost", r"ID: reject: DATA from .*", "the same"),
]
# What servers are told: (whose, regular expression, reason).
ENVELOPES = [
    ("both", r"MAIL FROM:<[^>]*>( BODY=7BIT)?", "it is the default: we do not pass it on"),
    ("both", r"RCPT TO:.* ORCPT=.*", "the original recipient has no blanks, routes, comments"),
]

# test_generated_tables.py: (regular expression for "type TAB what TAB Postfix's TAB ours", reason).
LOOKUPS = []

# What generators leave out, as it would differ in every run: (what, reason).
LEFT_OUT = [
    ("a table's source that begins with a blank", "Postfix drops that line and warns, we read it"),
    ("a key that ends with a backslash before the blank", "Postfix takes the blank into the key"),
    ("!! before a network in cidr:", "we take it for a mistake"),
    ("$1 of a pattern in unionmap:", "Postfix folds the key of all members, we of those that fold"),
    ("XFORWARD SOURCE=LOCAL", "Postfix completes the headers of such mail"),
    ("<CR> in dialogues and content", "tests/differential/test_strict_content.py has that"),
]

# Headers whose addresses are rewritten otherwise: the header, and why.
BACKSLASHES = "Postfix leaves what RFC 5322 calls obsolete; here it is quoted as it has to be"
HEADERS = {
    "To: a\\ b@c.d": BACKSLASHES, "To: a\\\\@c.d": BACKSLASHES, 'To: x\\"y@c.d': BACKSLASHES,
    "To: o@g\\a.b": "a backslash in a domain: Postfix leaves it",
    "To: a@[qq \\z] b": "a backslash in a literal: Postfix takes it out",
    'To: a@"b.c"': "a dot in quotes is one here: no domain is appended",
    "To: a@[q@v": "a literal that stays open and has an @",
    "To: x y@z <[q>": "the same, and a bracket",
    "To: @a,@b:c@d": "a route without brackets: Postfix makes an empty user of its start",
    "To: a:b": "the start of a group that never ends: Postfix takes it for a local part",
}
