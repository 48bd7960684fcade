# SPDX-License-Identifier: Apache-2.0
"""Dialogues for test_dialogues.py, generated from the grammar of SMTP and from what clients make of
it: most of them get a transaction or two through, with awkward commands between."""
import string

import counted
from pair import Content, Dialogue, Raw

OPTIONS = {
    "strict_rfc821_envelopes": ["yes"],
    "smtpd_helo_required": ["yes"],
    "strict_smtputf8": ["yes"],
    "smtputf8_enable": ["no"],
    "disable_vrfy_command": ["yes"],
    "smtpd_forbid_unauth_pipelining": ["no"],
    "smtpd_delay_reject": ["no"],
    "smtpd_delay_open_until_valid_rcpt": ["no"],
    "smtpd_hard_error_limit": ["3", "5", "1000"],
    "smtpd_junk_command_limit": ["2", "1000"],
    "smtpd_recipient_limit": ["1", "2"],
    "smtpd_recipient_overshoot_limit": ["1", "2"],
    "message_size_limit": ["300", "2000", "0"],
    "line_length_limit": ["512", "600"],
    "smtpd_discard_ehlo_keywords": ["dsn", "chunking", "pipelining", "smtputf8, 8bitmime", "size",
                                    "vrfy, etrn", "enhancedstatuscodes"],
    "smtpd_client_port_logging": ["no"],
    "smtpd_relay_restrictions": ["permit_mynetworks, reject", "permit_mynetworks, defer_unauth_destination"],
    "smtpd_helo_restrictions": ["reject_invalid_helo_hostname", "reject_non_fqdn_helo_hostname"],
    "smtpd_sender_restrictions": ["reject_non_fqdn_sender", "warn_if_reject reject_non_fqdn_sender",
                                  "reject_unlisted_sender"],
    "smtpd_recipient_restrictions": ["reject_non_fqdn_recipient", "reject_unlisted_recipient"],
    "smtpd_data_restrictions": ["reject_unauth_pipelining", "reject_multi_recipient_bounce"],
    "smtpd_command_filter": ["pcre:{{/^(?:NOP|SKIP)$$/ NOOP} {/^(RCPT\\s+TO:<[^>]*>).*x-strip/i $$1}}"],
    "smtpd_authorized_xclient_hosts": ["127.0.0.0/8"],
    "smtpd_authorized_xforward_hosts": ["127.0.0.0/8, 198.18.0.0/15"],
    "smtpd_reject_footer": ["\\c. Ask", "Call $server_name: $client_address"],
    "smtpd_noop_commands": ["foo, bar"],
    "soft_bounce": ["yes"],
    "allow_untrusted_routing": ["yes"],
    "local_recipient_maps": ["inline:{joe=x}"],
    "smtpd_reject_unlisted_recipient": ["no"],
    "header_checks": ["pcre:{{/^Subject: (.*)no/ REJECT $$1} {/^x-/ WARN} {/hide/ IGNORE}}"],
    "body_checks": ["pcre:{{/forbidden/ REJECT} {/\\S{200}/ WARN long}}"],
    "receive_override_options": ["no_unknown_recipient_checks", "no_header_body_checks"],
    "show_user_unknown_table_name": ["no"],
    "multi_recipient_bounce_reject_code": ["450"],
    "strict_8bitmime": ["yes"],
    "smtpd_client_restrictions": ["check_client_access static:{WARN hello}"],
}


def services(number):
    """Lines of master.cf: one as it is, and so many at random."""
    chance = counted.chance("services")
    made = {"plain": {}}
    for i in range(1, number):
        names = chance.sample(sorted(OPTIONS), chance.randint(1, 7))
        made[f"mixed{i}"] = {name: chance.choice(OPTIONS[name]) for name in names}
    return made


LOCALS = [b"joe", b"joe", b"joe", b"jim", b"j.doe", b"joe+ext", b"postmaster", b'"joe"', b'"j doe"',
          b'"a\\"b"', b'"a@b"', b'""', b"joe%relay.example", b"joe%elsewhere.example",
          b"relay.example!joe", b"a..b", b".a", b"a.", b"-joe", b"j\xc3\xb6e", b"j\xf6e", b"a b",
          b"a(c)b", b"a,b", b"a;b", b"a:b", b"a\\ b", b"\\joe", b"x" * 64, b"y" * 300, b"JOE",
          b"joe/x", b"=?x?=", b"`joe`", b"|cat", b"/etc/passwd", b"joe'", b"{joe}", b"a\tb", b"a\x01b"]
DOMAINS = [b"local.example", b"local.example", b"relay.example", b"relay.example", b"localhost",
           b"elsewhere.example", b"sub.relay.example", b"LOCAL.Example", b"[127.0.0.1]",
           b"[198.18.0.1]", b"[IPv6:::1]", b"[ipv6:2001:db8::1]", b"[1.2.3]", b"[x]", b"[]", b"127.0.0.1",
           b"mail.example.test", b"local.example.", b".example", b"a..example", b"-a.example",
           b"under_score.example", b"\xc3\xb6.example", b"\xf6.example", b"xn--nda.example",
           b"d" * 64 + b".example", b"e.example" * 30, b"host", b"1.2.3.4", b"a.example,b.example",
           b"local.example ", b" local.example", b"x@local.example", b"local .example"]
HELOS = [b"client.example", b"client.example", b"client.example", b"localhost", b"[127.0.0.1]",
         b"[IPv6:::1]", b"bad_name.example", b"-x", b"nodots", b"", b"two words", b"\xc3\xb6.example",
         b"\xf6", b"x" * 300, b"(comment)", b"a;b", b"client.example \t ", b"<client>", b"1.2.3.4"]
ODD_COMMANDS = [
    b"", b" ", b"   NOOP", b"NOOP", b"noop with words", b"NoOp", b"NOP", b"RSET", b"RSET x", b"rset ",
    b"HELP", b"HELP me", b"EXPN x", b"TURN", b"SEND FROM:<x@y>", b"foo", b"bar 1", b"AUTH", b"AUTH PLAIN",
    b"AUTH PLAIN AGEAYg==", b"STARTTLS", b"STARTTLS x", b"DATA now", b"DATA", b"QUIT now", b"VRFY",
    b"VRFY joe", b"VRFY <joe@local.example>", b"VRFY nobody@elsewhere.example", b"VRFY two words",
    b"VRFY <>", b"VRFY @", b"VRFY joe@relay.example", b"VRFY j\xc3\xb6e@local.example SMTPUTF8",
    b"VRFY joe@local.example SMTPUTF8", b"VRFY joe@local.example x", b"ETRN", b"ETRN elsewhere.example",
    b"ETRN bad_name!", b"ETRN two words", b"ETRN #x", b"ETRN @elsewhere.example", b"MAIL", b"RCPT",
    b"MAIL FROM", b"MAIL FROM:", b"RCPT TO:", b"RCPT TO", b"MAIL TO:<joe@local.example>",
    b"RCPT FROM:<joe@local.example>", b"MAIL  FROM : <joe@local.example>", b"MAILFROM:<a@b.example>",
    b"BDAT", b"BDAT x", b"BDAT -1", b"BDAT 1 2", b"BDAT 99999999999999999999", b"BDAT 5 LASTLY",
    b"BDAT 0 LAST x", b"XCLIENT", b"XCLIENT NAME=x.example", b"XCLIENT HELO=other.example PROTO=SMTP",
    b"XCLIENT NAME=[UNAVAILABLE] PROTO=ESMTP", b"XCLIENT ADDR=bad", b"XCLIENT PROTO=bad",
    b"XCLIENT LOGIN=joe", b"XCLIENT NAME", b"XCLIENT FOO=bar", b"XCLIENT NAME=a+2Eexample",
    b"XCLIENT PORT=99999", b"XCLIENT DESTPORT=25", b"XCLIENT NAME=[TEMPUNAVAIL]",
    b"XFORWARD", b"XFORWARD NAME=x.example ADDR=192.0.2.1", b"XFORWARD NAME=",
    b"XFORWARD PROTO=ESMTP HELO=x IDENT=ABC", b"XFORWARD FOO=x", b"XFORWARD ADDR=bad", b"XFORWARD SOURCE=x",
    b"XFORWARD PORT=x", b"XFORWARD NAME=+zz", b"Subject: hello", b"GET / HTTP/1.1", b"CONNECT x:25 HTTP/1.0",
    b"POST /", b"\x16\x03\x01", b"caf\xc3\xa9", b"\xff\xfe", b"N\x00OOP", b"NOOP\x00x", b"NOOP\tx",
    b"N" * 2000, b"NOOP " + b"x" * 2040, b"NOOP " + b"x" * 2100, b"NOOP " + b"y" * 6000, b"EHLO",
    b"HELO", b"HELO client.example", b"EHLO client.example", b"EHLO " + b"h" * 1500, b"MAIL FROM:<>",
    b"RCPT TO:<>", b"RCPT TO:<joe@local.example>", b"MAIL FROM:<joe@local.example>", b"LHLO x", b"HELO x y",
]
WORDS = [b"Subject: hello", b"Subject: no", b"X-Hide: hide", b"X-Word: w", b"To: joe", b"From: joe@local.example",
         b"Received: from a by b", b"Message-Id: <x@y>", b"forbidden", b"text", b"", b".", b"..", b".x", b"\t folded",
         b"caf\xc3\xa9", b"From joe Mon", b"z" * 250, b"q" * 1100, b"bare\nfeed", b"name : value", b"no colon here",
         b"Content-Type: text/plain", b"MIME-Version: 1.0", b"Delivered-To: joe@local.example", b"Bcc: x@y",
         b"Return-Path: <x@y>", b"Date: today", b"\x80\x81", b"--x", b"NUL\x00in", b">From x", b"QUIT"]


class Talker:
    def __init__(self, number):
        self.number = number
        self.chance = counted.chance("dialogue", number)
        self.steps = []

    def one_of(self, choices):
        return self.chance.choice(choices)

    def likely(self, part):
        return self.chance.random() < part

    def helo(self):
        verb = self.one_of([b"EHLO", b"EHLO", b"EHLO", b"HELO", b"ehlo"])
        return verb + b" " + self.one_of(HELOS)

    def address(self):
        """Most say whose they are, so that what the log says of them can be found."""
        if self.likely(0.04):
            return self.one_of([b"joe", b"", b"@", b"@local.example", b"joe@", b"x@@y", b"joe@local.example@x",
                                b"postmaster", b"user", b"\"", b"<joe@local.example>", b"\\"])
        local, domain = self.one_of(LOCALS), self.one_of(DOMAINS)
        if self.likely(0.6):
            local, domain = b"d%d" % self.number, self.one_of(DOMAINS[:7])
        return local + b"@" + domain

    def path(self):
        address = self.address()
        if self.likely(0.06):
            address = self.one_of([b"@relay.example:", b"@a.example,@b.example:", b"@a:", b"@:", b"@a.example"]) + address
        if self.likely(0.9):
            return b"<" + address + b">"
        return self.one_of([b"%s", b"<%s", b"%s>", b"< %s >", b"<<%s>>", b"<%s> (c)", b"Joe <%s>", b"(c)<%s>",
                            b"<%s>x", b"<%s>,<x@y>", b"<(c)%s>", b"<%s (c)>", b"  <%s>"]).replace(b"%s", address)

    def xtext(self):
        return self.one_of([b"abc", b"a+2Bb", b"a+3Db", b"a+zz", b"a+", b"+", b"", b"a=b", b"x" * 101, b"a+0Ab", b"a+00",
                            b"caf\xc3\xa9", b"<>", b"a@b.example", b"a+2bb", b"a+C3+A9", b"a b", b"joe+40x"])

    def keyword(self, choices):
        text = self.one_of(choices)
        text = text() if callable(text) else text
        return text.lower() if self.likely(0.1) else text

    def mail_parameter(self):
        return self.keyword([
            lambda: b"SIZE=" + self.one_of([b"1", b"100", b"0", b"", b"-1", b"x", b"100000000000", b"299", b"301",
                                            b"99999999999999999999999", b"+5", b"1 ", b"0x10", b"010"]),
            lambda: b"BODY=" + self.one_of([b"7BIT", b"8BITMIME", b"BINARYMIME", b"", b"x", b"8bitmime"]),
            lambda: b"RET=" + self.one_of([b"FULL", b"HDRS", b"", b"x", b"full"]),
            lambda: b"ENVID=" + self.xtext(),
            lambda: b"AUTH=" + self.one_of([b"<>", b"joe@local.example", b"", b"a+3Db@x", b"+"]),
            b"SMTPUTF8", b"SMTPUTF8", b"SMTPUTF8=x", b"SIZE", b"BODY", b"XVERP", b"XVERP=-=", b"FOO", b"FOO=bar", b"=",
            b"NOTIFY=NEVER", b"HOLDFOR=5", b"REQUIRETLS", b"(c)"])

    def rcpt_parameter(self):
        return self.keyword([
            lambda: b"NOTIFY=" + self.one_of([b"NEVER", b"SUCCESS", b"FAILURE", b"DELAY", b"SUCCESS,FAILURE,DELAY",
                                              b"NEVER,SUCCESS", b"", b"x", b"SUCCESS,", b",DELAY", b"SUCCESS,SUCCESS",
                                              b"SUCCESS DELAY", b"success,delay"]),
            lambda: b"ORCPT=" + self.one_of([b"rfc822;", b"RFC822;", b"utf-8;", b"x400;", b"", b"rfc822", b";",
                                             b"rf+63822;"]) + self.xtext(),
            b"ORCPT", b"NOTIFY", b"FOO=x", b"X-STRIP=1", b"SIZE=3", b"ORCPT=rfc822;joe@local.example", b"RET=FULL"])

    def parameters(self, make, usual):
        text = b""
        while self.likely(usual):
            text += self.one_of([b" ", b" ", b" ", b"  ", b"\t"]) + make()
            usual *= 0.6
        return text + (b" " if self.likely(0.05) else b"")

    def verb(self, text):
        if self.likely(0.05):
            text = text.lower()
        return text.replace(b":", self.one_of([b" : ", b": ", b" :"])) if self.likely(0.06) else text

    def mail(self):
        path = b"<>" if self.likely(0.12) else self.path()
        return self.verb(b"MAIL FROM:") + path + self.parameters(self.mail_parameter, 0.4)

    def rcpt(self):
        return self.verb(b"RCPT TO:") + self.path() + self.parameters(self.rcpt_parameter, 0.35)

    def text(self):
        lines = [self.one_of(WORDS) for _ in range(self.chance.randint(0, 9))]
        return b"".join(line + b"\r\n" for line in [b"X-Dialogue: %d" % self.number, *lines])

    def content(self):
        text = b"\r\n".join(b"." + line if line.startswith(b".") else line
                            for line in self.text().split(b"\r\n"))
        return Content(text + b".\r\n")

    def chunks(self):
        """A message in BDAT chunks, sometimes not to its end."""
        text = self.text()
        count = self.chance.randint(1, 3)
        cuts = sorted(self.chance.randint(0, len(text)) for _ in range(count - 1))
        for i, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(text)])):
            last = b" LAST" if i == count - 1 and self.likely(0.9) else b""
            last = last.lower() if self.likely(0.1) else last
            self.say(Raw(b"BDAT %d%s\r\n" % (end - start, last) + text[start:end]))
            if self.likely(0.08):
                self.odd()

    def odd(self):
        command = self.one_of(ODD_COMMANDS)
        self.say(command)
        if command.upper().startswith(b"DATA"):
            self.steps.append(self.content())

    def say(self, step):
        self.steps.append(step)

    def transaction(self):
        commands = [self.mail(), *(self.rcpt() for _ in range(self.chance.choice([1, 1, 1, 2, 3])))]
        if self.likely(0.3):
            commands.append(b"RCPT TO:<d%d@local.example>" % self.number)
        is_chunked = self.likely(0.25)
        if not is_chunked:
            commands.append(b"DATA")
        if self.likely(0.3):
            self.say(commands)
        else:
            for command in commands:
                self.say(command)
                if command != b"DATA" and self.likely(0.07):
                    self.odd()
        if is_chunked:
            self.chunks()
        else:
            self.steps.append(self.content())

    def early(self):
        """Something before the greeting, in one piece, or no greeting at all."""
        kind = self.chance.random()
        if kind < 0.04:
            self.say([self.helo(), b"NOOP"])
        elif kind < 0.08:
            self.say([self.helo(), self.mail(), self.rcpt()])
        elif kind < 0.13:
            self.odd()
        elif kind < 0.94:
            self.say(b"EHLO client.example" if self.likely(0.7) else self.helo())

    def dialogue(self, names):
        self.early()
        for _ in range(self.chance.randint(1, 5)):
            kind = self.chance.random()
            if kind < 0.5:
                self.transaction()
            elif kind < 0.85:
                self.odd()
            elif kind < 0.9:
                self.say([b"RSET", b"NOOP", self.mail()])
            elif kind < 0.95:
                self.say(self.one_of([self.mail, self.rcpt, self.helo])())
            else:
                self.say(Raw(self.one_of([b"NOOP\n", b"RSET\n", b"  RSET  \r\n", b"\n"])))
        if self.likely(0.85):
            self.say(b"QUIT")
        return Dialogue(self.one_of(names), self.steps, self.client(), f"#{self.number}")

    def client(self):
        net = self.one_of(["127.7", "127.7", "198.18"])
        return f"{net}.{self.number // 250}.{self.number % 250 + 1}"


def dialogues(names, count):
    return [Talker(number).dialogue(names) for number in range(count)]
