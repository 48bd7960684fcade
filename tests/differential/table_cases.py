# SPDX-License-Identifier: Apache-2.0
"""What test_table_lookups.py asks Debian's postmap and ours: sources, tables made of them, keys; and the
differences that are meant, each with its reason."""
import random

random.seed(3)

TEXT = "".join([
    "# a comment\n", "plain value\n", "Upper CASE Value\n", "upper second value\n",
    "tabs\t\t two  words\t\n", "blanks    in   between   \n", "user@example.com joe\n",
    "User+Ext@Example.COM   ext\n", "@example.com everybody\n", "example.com domain\n",
    ".example.com subdomains\n", "continued\n   on the next\n\tand the next\n", "one more\n",
    "split\n# a comment inside\n\n   after comment\n", "   \n", "\n", "noval\n",
    "\"quoted key\" in quotes\n", "\"quo\\\"ted\\\\\"@example.com backslashes\n",
    "\"open quote value\n", "\"half\"quoted value of half\n", "colon: like an alias\n", "a,b comma\n",
    "1.2.3.4 address\n", "1.2.3 network\n", "2001:db8::1 six\n", "[1.2.3.4] literal\n",
    "key\twith\ttabs\n", "dollar $1 ${2} $$\n", "hash# not # a comment\n", "#comment not there\n",
    "percent%20 %s\n", "=equals = sign\n", "{brace} { inside }\n", "'apostrophe' it's\n",
    "back\\slash \\n\n", "umläut größe\n", "ÜPPER folded?\n", "long " + "v" * 5000 + "\n",
    "k" * 300 + " long key\n", "crlf value\r\n", "trailing value \t \n",
    "dup first\n", "dup second\n", "DUP third\n", "* everything\n", "<> null sender\n",
    "postmaster@ nothing behind\n", "last line without end",
])
TEXT_KEYS = """plain PLAIN Plain upper UPPER tabs blanks user@example.com USER@EXAMPLE.COM
user+ext@example.com @example.com example.com .example.com sub.example.com continued on one split
after noval "quoted "quoted_key" quoted "open "half"quoted half colon colon: a,b a 1.2.3.4 1.2.3
2001:db8::1 2001:DB8::1 [1.2.3.4] key key\twith dollar hash# #comment percent%20 =equals {brace}
'apostrophe' back\\slash umläut UMLÄUT ÜPPER üpper long crlf trailing dup DUP * <> postmaster@
last none "" " # $1 % . @ x@y@z (comment) a\\b "quo\\"ted\\\\"@example.com
"QUO\\"TED\\\\"@EXAMPLE.COM""".split() + [
    '"quoted key"', '"QUOTED KEY"', "quoted key", " plain", "plain ", "\tplain", "key with tabs",
    "k" * 300, "K" * 300, "k" * 299, "k" * 600, "v" * 5000, "plain value", "last line",
]


def random_key():
    """Parts of addresses and names, put together as operators and clients would, or not."""
    part = random.choice(["joe", "Joe", "JOE+x", "a.b", "\"a b\"", "<>", "x" * 70, "o'neil", "1", "-"])
    domain = random.choice(["example.com", "Example.COM", "mail.example.com", ".example.com",
                            "[192.0.2.1]", "x", "", "example.com."])
    form = random.choice(["{0}@{1}", "{1}", "@{1}", "{0}", "{0}@", "{0}{1}", "{0}@x@{1}"])
    return form.format(part, domain)


MANY = "".join(f"{key} {i}\n" for i, key in enumerate(random_key() for _ in range(150)) if key)
MANY_KEYS = sorted({random_key() for _ in range(2000)})


def random_address():
    if random.random() < 0.25:
        return "2001:db8:%x::%x" % (random.randrange(8), random.randrange(65536))
    return "10.%d.%d.%d" % (random.randrange(4), random.randrange(256), random.randrange(256))


def random_network():
    address = random_address()
    if ":" in address:
        return "2001:db8:%x::/48" % random.randrange(8)
    a, b, c, d = map(int, address.split("."))
    length = random.choice([8, 12, 16, 20, 24, 28, 32])
    number = (a << 24 | b << 16 | c << 8 | d) >> (32 - length) << (32 - length)
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}/{length}"


CIDR = "".join(["192.0.2.1 single\n192.0.2.0/24 net\n!10.0.0.0/8 elsewhere\n"] + [
    f"{random_network()} rule {i}\n" for i in range(300)] + [
    "if 2001:db8::/32\n2001:db8:1::/48 inside\nif !2001:db8:2::/48\n2001:db8::/33 nested\n"
    "endif\nendif\n", "10.0.0.1/8 host bits\n", "1.2.3.4/33 too long\n", "name value\n",
    "1.2.3.4\n", "endif\n", "[2001:db8:3::]/48 brackets\n", "::ffff:172.16.0.0/108 mapped\n",
    "!172.16.0.0/12 not mapped\n", "1.2.3.4/ slash\n", "if 9.9.9.9\n"])
CIDR_KEYS = [random_address() for _ in range(700)] + [
    "192.0.2.1", "192.0.2.77", "192.0.3.1", "[192.0.2.1]", "::ffff:192.0.2.1", "name", "1.2.3.4",
    "1.2.3", "1.2.3.4.5", "::1", "2001:DB8:1::5", "172.16.5.5", "::ffff:172.16.5.5", "", "::",
    "010.0.0.1", "10.0.0.256", "9.9.9.9", "10.0.0.1 ", "fe80::1%eth0", "2001:db8:3::9",
    "0.0.0.0", "255.255.255.255", "2001:db8:1::5/48", "10.1.0.0/16"]

PATTERNS = r"""# patterns that POSIX and Perl understand alike
/^(.*)@old\.example$/ ${1}@new.example
/^(a)(b)?(c)$/ <$1><$2><$3> $$ $(1)x ${3}y
!/[a-z]/ no letters
/^CASE$/i sensitive
if /^sub/
/^sub(one|two)$/ in $1
if !/three/
/^sub/ in not three
endif
/three/
   a continued
   result
endif
/multi word/ with a blank
~a/b~ tilde
:c.d: colon
#e#f# comment
|g\|h| bar
/i\/j/ escaped
/bad(/ unbalanced
/[z-a]/ bad range
/x{2,1}/ bad repeat
/group/ $1
/(number)/ $2
/(word)/ ${name}
/dollar/ price$
!/(never)/ $1
/noresult/
/flag/q unknown
no delimiter
/unclosed pattern
if
if /opened/
/inside/ of opened
endif
endif
/^(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)z$/ $11 $10 $1
/trailing/    spaces in front and behind   
/(alt)|(ern)/ 1=$1 2=$2
!!/twice/ negated twice
! /^.*$/ negated blank
IF /^UPPER/
/^upper(.*)/ if in capitals $1
ENDIF
/^[[:alpha:]]{40,}$/ many letters
/^$/ empty
/ä/ umlaut
"""
PATTERN_KEYS = """joe@old.example JOE@OLD.EXAMPLE joe@new.example abc ac ABC 123 ... case CASE Case subone
subtwo subfour subthree sub three xsubone a/b c.d cxd e#f ef g|h gh i/j bad( xx xxx group number
word dollar never always noresult flag no unclosed opened inside openedinside abcdefghijkz
abcdefghijz trailing alt ern altern twice upperx UPPERx upper ä ü Ä b@c@old.example @old.example
old.example x@old.exampley x@oldxexample""".split() + [
    "multi word", "multi  word", "", " ", "a" * 39, "a" * 40, "A" * 41, "x" * 3000,
    "trailing   spaces", "joe@old.example ", " joe@old.example"]

PERL = r"""/^(?!owner-)(.*)-outgoing@(.*)/ Use ${1}@${2}
/(?<=foo)bar/ behind
/(?i)inline/i flags
/^(friend@(?!my\.domain$).*)$/ pipe $1
/(a+)+$/A anchored
/lazy(.+?)x/ got $1
/ungreedy(.+)x/U got $1
/\bword\b/ bounded
/sp ace/x extended
/dotE$/E end
/\d{3}-\d{4}/ phone
/(?P<name>named)/ group $1
/\p{Lu}x/i property
/[[:word:]]{30}/ words
/\x41\x42/ hex
/(?#comment)commented/ yes
/\Qa.b\E/ quoted
/^(?:one|two)three$/ group without a number
/(un)?set/ [$1]
/recursive(\((?:[^()]|(?1))*\))/ $1
/back(.)\1/ reference $1
/X flag/X extra
/\y/ unknown escape
/(?<open/ unclosed name
/(/ unclosed
/a**/ quantifiers
/\K/ kept
"""
PERL_KEYS = """list-outgoing@example.com owner-list-outgoing@example.com foobar xbar INLINE inline Inline
friend@my.domain friend@other aaa baaa lazyaxbx ungreedyaxbx word words sword space sp dote
dote1 555-1234 55-1234 named Ax ax AB ab commented a.b acb onethree twothree three set unset
recursive(a(b)c) recursive(a(bc backxx backxy y open x a""".split() + [
    "sp ace", "a word here", "w" * 30, "w" * 29, "X flag", "Xflag", "", "phone 555-1234 x"]

NESTED = [
    ("unionmap:{inline:{a=1,b=2},inline:{a=3,c=4}}", "a b c d A".split()),
    ("unionmap:{inline:{a=1},static:x}", "a b".split()),
    ("unionmap:{texthash:TEXT,regexp:PATTERNS}", "plain abc joe@old.example none".split()),
    ("pipemap:{inline:{a=b,b=c,c=B},inline:{b=x,c=y}}", "a b c d A".split()),
    ("pipemap:{texthash:TEXT,inline:{value=second,{joe = sixpack}}}",
     "plain user@example.com upper".split()),
    ("pipemap:{inline:{{k = JOE@old.example}},pcre:PATTERNS}", "k j".split()),
    ("static:hello", "a b".split() + [""]),
    ("static:{ two words }", ["a"]),
    ("inline:{a=b,c=d}", "a b c d A C".split()),
    ("inline:{ {a,b = c d}, e = f }", ["a,b", "e", "a"]),
    ("inline:{a==b,c=d=e,{f={g}}}", "a c f g".split()),
    ("randmap:{same,same,same}", "a b".split()),
    ("internal:x", ["a"]),
    ("environ:x", "PATH path HOME home".split()),
    ("unix:passwd.byname", "root ROOT daemon none postfix root@x".split() + [""]),
    ("unix:group.byname", "root daemon adm none ADM".split()),
    ("cidr:{{192.0.2.0/24 test},{::/0 six}}", "192.0.2.1 192.0.3.1 ::1".split()),
    ("pcre:{{/^(a)b$/ got $1},{!/x/ no x}}", "ab ac x".split()),
    ("regexp:{{/^(a)b$/ got $1}, {if /y/} {/z/ yz} {endif}}", "ab ac yz z".split()),
    ("fail:x", ["a"]),
]

# (name of a comparison, key or None for each) -> why the answers differ.
ASCII_ONLY = ("Keys are folded to lower case in ASCII alone; Postfix folds all of UTF-8 (with "
              "smtputf8_enable). Such keys must be written in lower case.")
DIFFERENCES = {(table, key): ASCII_ONLY
               for table in ["hash", "btree", "lmdb", "cdb", "texthash"]
               for key in ["UMLÄUT", "üpper"]}
DIFFERENCES.update({("list", key): ASCII_ONLY for key in ["Üpper", "üpper"]})
