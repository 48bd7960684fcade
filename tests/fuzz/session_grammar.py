# SPDX-License-Identifier: Apache-2.0
"""Random SMTP: what clients say (client_session) and what servers answer (Answers), from a grammar
that mostly keeps to the protocol, with noise. All chance comes from the Dice that is given, so
a session is known by its seed. What a client says is a list of steps:

    ("send", bytes)   ("wait", how many replies)   ("tls",): a handshake   ("end", how)

The generator is sent the code of the last reply that a "wait" has read, or 0."""
import base64
import contextlib
import random

USER, PASSWORD = "user@example.test", "secret"
ENDS = ("quit", "shut", "reset", "close")
ADDRESSES = ["a@b.example", "user@example.com", "x+tag@d.example", '"quoted user"@e.example',
             "postmaster", "", "üser@münchen.example", "a@[192.0.2.1]", "a@[IPv6:2001:db8::1]",
             "@route.example:a@b.example", "a@b@c", "a" * 70 + "@b.example", "a@" + "b." * 130 + "c",
             "a%b@c.example", "b.example!a", "<>", "a b@c", "-f@x.example", "a\x01@b.example"]
# Good ones first, of each list so many.
GOOD = {"address": 5, "mail": 8, "rcpt": 4, "keyword": 11}
MAIL_PARAMETERS = ["", "", "SIZE=100", "BODY=8BITMIME", "BODY=7BIT", "RET=FULL", "RET=HDRS", "ENVID=a+2Bb",
                   "SMTPUTF8", "SIZE=99999999999999999999", "ENVID=+2", "AUTH=<>", "AUTH=a@b.example",
                   "BODY=BINARYMIME", "SIZE=", "X=Y", "SIZE=1 SIZE=2"]
RCPT_PARAMETERS = ["", "", "NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;a@b.example", "NOTIFY=NEVER",
                   "NOTIFY=NEVER,DELAY", "NOTIFY=", "ORCPT=utf-8;a\\x{FC}@b", "ORCPT=x", "X"]
HEADERS = ["Subject: =?utf-8?q?a_b?=", "From: A <a@b.example>, ", "To: undisclosed:;", "Cc: (((",
           "Content-Type: multipart/mixed; boundary=b", "Content-Type: message/rfc822", "X:", ":",
           "Date: now", "Message-Id: <x>", "Received: a", "Return-Path: <x@y>", "Bcc: c@d.example",
           "Content-Transfer-Encoding: 8bit", "Subject: a\r\n b\r\n\tc", "no header at all"]
LINES = ["text", "..", ". ", "--b", "--b--", "x" * 998, "x" * 3000, "\x00", "\xff\xfe", "a\rb", "a\nb",
         "", "From x", "\r", "Subject: y", "a\n.\nb", "a\r.\r", "\t"]
OTHER = ["NOOP", "NOOP x", "RSET", "VRFY <user>", "VRFY a@b.example", "EXPN list", "HELP", "ETRN x.example",
         "XCLIENT NAME=spike.example ADDR=192.0.2.9", "XCLIENT NAME=[UNAVAILABLE]", "XCLIENT ADDR=x",
         "XFORWARD NAME=a ADDR=192.0.2.1 PROTO=ESMTP HELO=b", "XFORWARD X=+zz", "TURN", "GET / HTTP/1.1",
         "", " ", "EHLO again.example", "HELO again", "DATA", "BDAT 0 LAST", "BDAT x", "QUIT now",
         "AUTH", "STARTTLS x", "\x16\x03\x01\x00\x05hello", "MAIL", "RCPT", "mail from: a@b.example",
         "A" * 2100, "\xff\xff"]


def latin(text):
    return text.encode("utf-8" if any(ord(each) > 255 for each in text) else "latin-1")


class Dice(random.Random):
    """Chance, and how often in this session it is to break the rules."""

    def __init__(self, seed):
        super().__init__(seed)
        self.badness = self.choice((0, 0.02, 0.1, 0.4))

    def is_bad(self):
        return self.random() < self.badness

    def pick(self, values, good):
        return self.choice(values if self.is_bad() else values[:good])


def noisy(dice, data):
    """Mostly as it is; else with a byte changed, dropped, doubled, cut off, or a line end bent."""
    if not data or not dice.is_bad():
        return data
    at, kind = dice.randrange(len(data)), dice.randrange(7)
    byte = bytes([dice.randrange(256)])
    return [data[:at] + byte + data[at + 1:], data[:at] + byte + data[at:], data[:at] + data[at + 1:],
            data[:at], data + data, data.replace(b"\r\n", b"\n", 1),
            data[:at] + byte * dice.randrange(1, 3000) + data[at:]][kind]


def address(dice):
    return dice.pick(ADDRESSES, GOOD["address"])


def parameters(dice, known, good):
    chosen = [dice.pick(known, good) for _ in range(dice.choice((0, 0, 1, 2)))]
    return "".join(f" {each}" for each in dict.fromkeys(chosen) if each)


def content(dice):
    lines = [dice.choice(HEADERS) for _ in range(dice.randrange(6))]
    lines += [dice.choice(LINES) if dice.is_bad() else ""]
    lines += [dice.choice(LINES) for _ in range(dice.choice((0, 1, 3, 10)))]
    text = b"".join(latin(line) + b"\r\n" for line in lines)
    return text if dice.random() < 0.98 else text * dice.randrange(1, 200)


def stuffed(text):
    return (b"\r\n" + text).replace(b"\r\n.", b"\r\n..")[2:]


def transaction(dice):
    """Commands and content; None: their replies are to be waited for, and the last one's code is
    what comes back."""
    yield latin(f"MAIL FROM:<{address(dice)}>{parameters(dice, MAIL_PARAMETERS, GOOD['mail'])}\r\n")
    for _ in range(dice.pick((1, 1, 2, 0, 5), 3)):
        yield latin(f"RCPT TO:<{address(dice)}>{parameters(dice, RCPT_PARAMETERS, GOOD['rcpt'])}\r\n")
    if dice.random() < 0.2:
        for last in range(dice.choice((1, 1, 2)), 0, -1):
            text = content(dice)
            end = b" LAST" if last == 1 and not dice.is_bad() else b""
            length = dice.randrange(10**dice.randrange(1, 11)) if dice.is_bad() else len(text)
            yield b"BDAT %d%s\r\n%s" % (length, end, text)
        return
    yield b"DATA\r\n"
    code = yield None
    if code != 354 and not dice.is_bad():
        return
    yield stuffed(content(dice)) + (b"" if dice.is_bad() else b".\r\n")


def authentication(dice):
    plain = base64.b64encode(f"\0{USER}\0{dice.choice((PASSWORD, 'wrong'))}".encode())
    yield dice.choice([b"AUTH PLAIN " + plain + b"\r\n", b"AUTH PLAIN\r\n", b"AUTH LOGIN\r\n",
                       b"AUTH PLAIN =\r\n", b"AUTH X " + plain + b"\r\n", b"AUTH LOGIN " + plain + b"\r\n"])
    yield None
    for _ in range(dice.choice((0, 0, 1, 2))):
        yield dice.choice([plain, base64.b64encode(USER.encode()), b"*", b"=", b"x" * 13000]) + b"\r\n"
        yield None


def commands(dice, may_secure):
    verb = dice.choice(("EHLO", "EHLO", "EHLO", "HELO", "ehlo"))
    yield latin(f"{verb} client{dice.randrange(9)}.example\r\n")
    yield None
    if may_secure and dice.random() < 0.06:
        yield b"STARTTLS\r\nEHLO behind.example\r\n" if dice.is_bad() else b"STARTTLS\r\n"
        yield None
        yield "tls"
        yield from commands(dice, False)
        return
    for _ in range(dice.choice((1, 1, 2, 4))):
        part = dice.random()
        if part < 0.65:
            yield from transaction(dice)
        elif part < 0.8:
            yield from authentication(dice)
        else:
            yield latin(dice.choice(OTHER)) + b"\r\n"


def cut(dice, data):
    """The portions in which the bytes are sent."""
    while data and dice.random() < 0.1:
        at = dice.randrange(len(data)) + 1
        yield data[:at]
        data = data[at:]
    if data:
        yield data


def client_session(dice):
    is_patient = dice.random() < 0.6  # waits for each reply, else only where the protocol says so
    owed = 0 if dice.is_bad() else 1
    parts, code = commands(dice, True), None
    with contextlib.suppress(StopIteration):
        while not dice.is_bad() or dice.random() < 0.9:
            part = parts.send(code)
            if part == "tls":
                yield ("send", dice.randbytes(200)) if dice.is_bad() else ("tls",)
            elif part is not None:
                for portion in cut(dice, noisy(dice, part)):
                    yield "send", portion
                owed += 1
            if owed > 0 and (part is None or is_patient):
                code = yield "wait", owed
                owed = 0
    yield "end", dice.pick(ENDS, 1)


TEXTS = ["Ok", "2.0.0 Ok", "4.3.0 Try again", "5.1.1 User unknown", "5.7.1 <a@b>: no", "x" * 600,
         "x" * 4000, "", "\xff\x00\x1b[2J", "9.9.9 strange", "2.1.5", "queued as 4F0C", "<>()%s%n"]
KEYWORDS = ["PIPELINING", "8BITMIME", "SIZE 10000", "SIZE", "STARTTLS", "DSN", "SMTPUTF8",
            "AUTH PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256", "ENHANCEDSTATUSCODES", "CHUNKING",
            "XFORWARD NAME ADDR", "SIZE 99999999999999999999999", "AUTH=LOGIN", "AUTH", "VRFY", "",
            "X" * 900, "=", "SIZE x"]
CHALLENGES = ["", "VXNlcm5hbWU6", "PDEyMzRAYi5leGFtcGxlPg==", "=", "x" * 20000, "cj14LHM9eSxpPTQwOTY=",
              "dj1hYmM="]


class Answers:
    """What one connection's server says: a portion of bytes, or None where it falls silent and
    hangs up."""

    def __init__(self, dice):
        self.dice = dice

    def reply(self, code, *texts):
        dice = self.dice
        if dice.is_bad():
            kind = dice.randrange(6)
            if kind == 0:
                return None
            if kind == 1:
                return dice.randbytes(dice.randrange(1, 400))
            code = dice.choice((code, code, 220, 250, 354, 421, 450, 452, 500, 550, 554, 334, 235, 999,
                                0, 25))
            texts = [dice.choice(TEXTS) for _ in range(dice.choice((1, 1, 2, 5, 300)))]
        lines = [latin(f"{code}-{text}\r\n") for text in texts[:-1]]
        return noisy(dice, b"".join(lines) + latin(f"{code} {texts[-1]}\r\n"))

    def greeting(self):
        return self.reply(220, "server.example ESMTP")

    def to(self, line, is_secure):
        """To a command line."""
        verb = line.split(b" ")[0].strip().upper()
        if verb == b"EHLO":
            keywords = {self.dice.pick(KEYWORDS, GOOD["keyword"]) for _ in range(9)}
            keywords = sorted(keywords - {"STARTTLS"} if is_secure else keywords)
            return self.reply(250, "server.example", *keywords)
        if verb == b"STARTTLS":
            return self.reply(220, "go ahead")
        if verb == b"AUTH":
            return self.reply(*self.dice.choice(((235, "2.7.0 in"), (535, "5.7.8 no"),
                                                 (334, self.dice.choice(CHALLENGES)))))
        if verb == b"DATA":
            return self.reply(*self.dice.choice(((354, "go"), (354, "go"), (354, "go"), (451, "4.3.0 no"))))
        if verb in (b"MAIL", b"RCPT", b"HELO", b"RSET", b"NOOP", b"XFORWARD"):
            return self.reply(250, "2.0.0 Ok")
        if verb == b"QUIT":
            return self.reply(221, "2.0.0 Bye")
        return self.reply(*self.dice.choice(((235, "2.7.0 in"), (334, self.dice.choice(CHALLENGES)),
                                             (500, "5.5.2 what"), (535, "5.7.8 no"))))

    def to_content(self):
        return self.reply(*self.dice.choice(((250, "2.0.0 taken"), (250, "2.0.0 taken"),
                                             (451, "4.3.0 not now"), (554, "5.6.0 never"))))
