# SPDX-License-Identifier: Apache-2.0
"""Messages for the comparison of header and body checks: repeatable, from a seed. Trees of MIME
parts, attached messages, folded and broken headers, 8-bit and long lines, boundaries that do not
match, and words all over that the tables look for."""
import random

WORDS = [b"hwarn", b"hignore", b"hreplace", b"hprepend", b"hstrip", b"hinfo", b"hdunno", b"hbad",
         b"hnotext", b"bwarn", b"bignore", b"breplace", b"bprepend", b"bstrip", b"binfo"]
RARE = [b"hhold", b"hreject", b"hreject4", b"hdiscard", b"hpass", b"hbcc", b"hredirect",
        b"bhold", b"breject", b"bdiscard", b"bpass", b"bbcc", b"bredirect"]
NAMES = [b"Subject", b"X-One", b"X-Two", b"Comments", b"Content-Description", b"Content-ID",
         b"Content-Disposition", b"MIME-Version", b"Content-Transfer-Encoding", b"To", b"Reply-To"]


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.boundaries = 0

    def chance(self, part):
        return self.random.random() < part

    def word(self):
        if self.chance(0.04):
            return self.random.choice(RARE)
        return self.random.choice(WORDS) if self.chance(0.5) else b"plain"

    def value(self):
        words = [self.word() for _ in range(self.random.randint(1, 4))]
        if self.chance(0.1):
            words.append(b"x" * self.random.choice([70, 300, 1200]))
        if self.chance(0.1):
            words.append(bytes([0xc3, 0xa9]) if self.chance(0.7) else bytes([0xe9, 0x80]))
        glue = self.random.choice([b" ", b" ", b"\r\n ", b"\r\n\t", b"  "])
        return glue.join(words)

    def header(self):
        name = self.random.choice(NAMES)
        colon = self.random.choice([b": ", b": ", b": ", b":", b":\r\n "])
        value = self.value()
        # Not a long one: with and without the blank it is broken at another place on its way out.
        if self.chance(0.03) and len(value) < 900:
            name += b" "
        return name + colon + value + b"\r\n"

    def line(self):
        kind = self.random.random()
        if kind < 0.05:
            return b"--" + self.random.choice([b"", b"-", b"none", b"bound0", b"bound1x"]) + b"\r\n"
        if kind < 0.08:
            return self.word() + b" " + b"y" * self.random.choice([900, 2040, 2048, 2049, 5000]) \
                + b" " + self.word() + b"\r\n"
        if kind < 0.15:
            return b"\r\n"
        if kind < 0.18:
            return b"name: " + self.word() + b"\r\n"
        if kind < 0.21:
            return b"." + self.word() + b"\r\n"
        return b" ".join(self.word() for _ in range(self.random.randint(1, 5))) + b"\r\n"

    def body(self):
        return b"".join(self.line() for _ in range(self.random.randint(0, 8)))

    def content_type(self, kind, boundary=None):
        name = self.random.choice([b"Content-Type", b"Content-type", b"CONTENT-TYPE"])
        text = name + b": " + kind
        if boundary is not None:
            parameter = self.random.choice([b"; boundary=%s", b";\r\n\tboundary=\"%s\"",
                                            b"; x=y; BOUNDARY=%s", b"; (a (b)) boundary = %s",
                                            b"; charset=\"a;b\"; boundary=\"%s\""])
            text += parameter % boundary
        return text + b"\r\n"

    def part(self, depth):
        """Headers, the empty line and the body of a part or message."""
        kind = self.random.random()
        headers = [self.header() for _ in range(self.random.randint(0, 3))]
        if depth > 4 or kind < 0.45:
            if self.chance(0.6):
                headers.append(self.content_type(self.random.choice(
                    [b"text/plain", b"text/plain; charset=utf-8", b"image/png", b"broken", b""])))
            body = self.body()
        elif kind < 0.6:
            headers.append(self.content_type(self.random.choice(
                [b"message/rfc822", b"Message/RFC822", b"message/partial", b"message/external-body",
                 b"message/delivery-status", b"message/global"])))
            body = self.part(depth + 1)
        else:
            boundary = b"bound%d" % self.boundaries
            self.boundaries += 1
            subtype = self.random.choice([b"mixed", b"alternative", b"digest", b"report"])
            headers.append(self.content_type(b"multipart/" + subtype, boundary))
            body = self.multipart(boundary, depth)
        self.random.shuffle(headers)
        separator = b"\r\n" if self.chance(0.97) else b""
        return b"".join(headers) + separator + body

    def multipart(self, boundary, depth):
        used = boundary if self.chance(0.95) else boundary + b"z"
        body = self.body() if self.chance(0.4) else b""
        for _ in range(self.random.randint(0, 3)):
            body += b"--" + used + self.random.choice([b"", b"", b"", b" "]) + b"\r\n"
            body += self.part(depth + 1)
        if self.chance(0.85):
            body += b"--" + used + b"--\r\n"
        return body + (self.body() if self.chance(0.4) else b"")

    def message(self, number):
        start = b"X-Number: %d\r\n" % number if self.chance(0.97) else b""
        return start + self.part(0)


def messages(count, seed=1):
    return [Maker(seed * 100000 + number).message(number) for number in range(count)]
