# SPDX-License-Identifier: Apache-2.0
"""Tables and keys for test_generated_tables.py: each table is generated from the grammar of its
type, with what operators get wrong, and is asked keys that are near its entries."""
import counted

WORDS = ["joe", "Joe", "a", "b", "sales", "info", "x.y", "a-b", "user+ext", "list", "42", "o'neil"]
DOMAINS = ["example.com", "Example.Com", "mail.example.com", "x.org", "b.x.org", "test"]
VALUES = ["OK", "REJECT", "smtp:[a.b]:25", "REJECT 5.7.1 no way", "joe@x.org, jim", "550 text  here",
          "v", "$1", "DUNNO", "relay:", "a=b", "#no", "\"q\"", "{ x }"]


class Generator:
    def __init__(self, *what):
        self.chance = counted.chance("table", *what)

    def one_of(self, choices):
        return self.chance.choice(choices)

    def likely(self, part):
        return self.chance.random() < part

    def some(self, make, least, most):
        return [make() for _ in range(self.chance.randint(least, most))]

    def address(self):
        form = self.one_of(["{0}@{1}", "{0}@{1}", "{1}", "@{1}", "{0}@", "{0}", ".{1}", "*", "<>"])
        return form.format(self.one_of(WORDS), self.one_of(DOMAINS))


class Text(Generator):
    """hash:, btree:, lmdb:, cdb:, texthash:."""

    def key(self):
        if self.likely(0.12):
            return self.one_of(['"%s"', '"two %s"', '"a\\"%s"', '"%s', 'x"%s"', '"%s"y', "%s:", "\\%s", "%s#",
                                "-%s", "'%s'", '"%s"@x.org', '"%s x"@x.org']).replace(
                                    "%s", self.one_of(WORDS))
        return self.address()

    def line(self):
        kind = self.chance.random()
        if kind < 0.06:
            return self.one_of(["", "   ", "# comment", " # comment", "\t#", "#x y"])
        if kind < 0.12:
            return self.one_of([" ", "\t", "    "]) + self.one_of(VALUES)
        if kind < 0.15:
            return self.key()
        blank = self.one_of([" ", " ", "\t", "   ", " \t "])
        return self.key() + blank + self.one_of(VALUES) + self.one_of(["", "", "", " ", "\t ", "  # x"])

    def source(self):
        return "first entry\n" + "\n".join(self.some(self.line, 3, 30)) + self.one_of(["\n", "\n", "", "\n\n"])

    def keys(self):
        keys = self.some(self.key, 25, 25) + self.some(self.address, 15, 15)
        return keys + [key.upper() for key in keys[:8]] + [" " + keys[0], keys[1] + " ", "two joe", "#x"]


class Cidr(Generator):
    def v4(self):
        return ".".join(str(self.one_of([10, 10, 192, 0, 1, 2, 127, 255])) for _ in range(4))

    def v6(self):
        return self.one_of(["2001:db8::%x" % self.chance.randrange(20), "::1", "::", "fe80::1",
                            "2001:db8:%x::" % self.chance.randrange(4), "::ffff:10.1.2.0",
                            "2001:DB8:0:0:0:0:0:1", "2001:db8:1:2:3:4:5:6"])

    def network(self):
        is_v4 = self.likely(0.65)
        address = self.v4() if is_v4 else self.v6()
        if self.likely(0.4):
            return address
        length = self.one_of([0, 8, 16, 24, 25, 30, 32]) if is_v4 else self.one_of([0, 16, 32, 48, 64, 127, 128])
        if is_v4 and self.likely(0.85):
            numbers = [int(part) for part in address.split(".")]
            value = sum(number << 8 * (3 - i) for i, number in enumerate(numbers))
            value = value >> (32 - length) << (32 - length)
            address = ".".join(str(value >> 8 * (3 - i) & 255) for i in range(4))
        elif not is_v4 and self.likely(0.7):
            address = self.one_of(["2001:db8::", "::", "fe80::", "2001:db8:1::"])
        return f"{address}/{length}"

    def odd(self):
        return self.one_of(["1.2.3/24 x", "1.2.3.4/33 x", "1.2.3.4/-1 x", "1.2.3.4/ x", "/24 x", "a.b.c.d x",
                            "[10.1.2.3] brackets", "[2001:db8::]/32 v", "::/129 x", "1.2.3.4", "10.0.0.0/08 x",
                            "010.1.2.3 x", "if", "if x", "endif x", "!", "! 1.2.3.4 x", "fe80::%1 x"])

    def rules(self, depth=0):
        lines = []
        for _ in range(self.chance.randint(1, 6)):
            mark = self.one_of(["", "", "", "", "!"])
            if self.likely(0.08):
                lines.append(self.odd())
            elif depth < 3 and self.likely(0.18):
                lines += [self.one_of(["if ", "IF ", "if  "]) + mark + self.network(), *self.rules(depth + 1)]
                lines += ["endif"] if self.likely(0.93) else []
            else:
                lines.append(f"{mark}{self.network()}{self.one_of([' ', chr(9), '   '])}{self.one_of(VALUES)}")
            if self.likely(0.07):
                lines.append(self.one_of(["  continued", "# comment", "", "\tmore"]))
        return lines

    def source(self):
        return "\n".join(self.rules() + self.rules()) + "\n"

    def keys(self):
        return self.some(self.v4, 25, 25) + self.some(self.v6, 15, 15) + [
            "x", "1.2.3", "1.2.3.4/32", "[10.1.2.3]", "010.1.2.3", "10.1.2.3.", "::ffff:10.1.2.3",
            "1.2.3.256", ":", "2001:db8:::1", "0x0a.1.2.3"]


class Pattern(Generator):
    """regexp: and pcre:; what both understand alike, and each one's own."""
    shared = ["^joe", "joe$", "^(.*)@(.*)$", "^([^@]*)@example\\.com$", "a|b", "^(a|b)+$", "(x)?\\.(org)", ".",
              "^$", "[0-9]+", "^[[:alpha:]]+$", "e{2,3}", "(", "[a", "a{2,1}", "\\.", "JOE", "@", "()", "o.*o",
              "^(l)(i)(s)(t)$", "\\\\", "a\\/b", "^.{20,}$"]
    own = []
    flags = ["", "", "", "", "i", "ii", "z", " "]

    def pattern(self):
        text = self.one_of(self.shared + self.own)
        mark = self.one_of(["/", "/", "/", "/", "!", "|", "%", "="])
        if mark != "/":
            text = text.replace(mark, ".")
        return mark + text + mark + self.one_of(self.flags)

    def result(self):
        return self.one_of([*VALUES, "$1", "${1}x", "$2-$1", "$(1)", "$$", "$0", "$3", "${x}", "$", "a $1 b ${2}c",
                            "${1", "$11", "x$$1", "$10"])

    def rules(self, depth=0):
        lines = []
        for _ in range(self.chance.randint(1, 6)):
            mark = self.one_of(["", "", "", "", "!", "! ", "!!"])
            if depth < 3 and self.likely(0.2):
                lines += [self.one_of(["if ", "IF ", "if"]) + mark + self.pattern(), *self.rules(depth + 1)]
                lines += [self.one_of(["endif", "ENDIF", "endif # x", "endif x"])] if self.likely(0.93) else []
            else:
                lines.append(mark + self.pattern() + self.one_of([" ", "\t", "  ", ""]) + self.result())
            if self.likely(0.08):
                lines.append(self.one_of(["  continued $1", "# comment", "", "if", "x", "endif"]))
        return lines

    def source(self):
        return "\n".join(self.rules() + self.rules() + self.rules()) + "\n"

    def keys(self):
        return self.some(self.address, 35, 35) + [
            "", "list", "LIST", "abab", "eee", "a/b", "\\", "joe@", "foo", "two words", "x" * 25, "x.org", "(", "a=b", "é"]


class Regexp(Pattern):
    own = ["\\(x", "x\\{2\\}", "a*?", "[[:digit:]]{2}"]
    flags = ["", "", "", "", "i", "x", "m", "im", "ix", "z"]


class Pcre(Pattern):
    own = ["^(?!joe)(.*)@", "(?i)JOE", "\\d+", "\\bx\\b", "(?:a)(b)", "(?<n>jo)e", "^(.+?)o", "(j)(o)(e)\\1", "\\w+$", "(?=x)",
           "\\Aj", "e\\z", "(a(?:b(", "(?P<y>x)", "[^\\W]+@"]
    flags = ["", "", "", "", "i", "m", "s", "x", "A", "E", "U", "X", "ix", "mi", "z"]


def member(generator, value=None):
    """A small table in memory, as part of another one."""
    name, other = generator.one_of(WORDS[:6]), generator.one_of(WORDS[:6])
    value = value or generator.one_of(["x", "joe", "Joe", "a", "b", "list"])
    return generator.one_of([
        f"inline:{{{name}={value}, {other}=b}}", f"inline:{{{{{name} = two {value}}}, a=b}}", f"static:{value}",
        f"inline:{{{name}={value}}}", "static:{ two words }", f"regexp:{{{{/^{name}$/ {value}}}}}",
        f"pcre:{{{{/({name})/ {value}}} {{/b/ c}}}}", "inline:{joe=a,a=b,b=joe}",
        f"pcre:{{{{if /{name}/}} {{/./ {value}}} {{endif}}}}", "fail:x"
        if generator.likely(0.1) else "inline:{list=list}", f"cidr:{{{{10.0.0.0/8 {value}}}, {{::/0 six}}}}"])


def nested(number):
    """A table of tables in memory."""
    generator = Generator("nested", number)
    kind = generator.one_of(["unionmap", "pipemap", "randmap", ""])
    members = [member(generator) for _ in range(generator.chance.randint(1, 4))]
    if kind == "":
        return members[0], WORDS + ["10.1.2.3", "2001:db8::1", "", "JOE", "none"]
    if kind == "randmap":
        members = ["same"] * len(members)
    return f"{kind}:{{{generator.one_of([',', ', ', ' ']).join(members)}}}", WORDS + [
        "10.1.2.3", "2001:db8::1", "", "JOE", "none"]


KINDS = {"hash": Text, "btree": Text, "lmdb": Text, "cdb": Text, "texthash": Text, "cidr": Cidr,
         "regexp": Regexp, "pcre": Pcre}
