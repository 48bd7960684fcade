# SPDX-License-Identifier: Apache-2.0
"""What local delivery is compared on: one mail each, see mailboxes.Case."""
import os

from mailboxes import Case


def open_folder(users, name):
    """Where others may write: for files that an alias names."""
    folder = users.home(name) / "open"
    folder.mkdir()
    folder.chmod(0o777)


def alias(name, value, **more):
    """Mail for an alias with this value."""
    return Case(f"alias: {name}", to="al-USER", aliases=f"al-USER: {value}\n", setup=open_folder,
                **more)


def forward(name, text, **more):
    return Case(f"forward: {name}", forward=text, **more)


def program(name, script, **more):
    """A command in a .forward file, run by a shell."""
    return forward(f"command {name}", f'"|sh HOME/run"\n', files=[("run", script, 0o755)], **more)


def link_forward(users, name):
    (users.home(name) / ".forward").symlink_to("/nonexistent")


def folder_forward(users, name):
    (users.home(name) / ".forward").mkdir()


def owned_by_nobody(path):
    def change(users, name):
        os.chown(users.home(name) / path, 65534, 65534)
    return change


def mode_of(path, mode):
    def change(users, name):
        (users.home(name) / path).chmod(mode)
    return change


def spooled(content, mode=0o600, owner=None):
    def make(users, name):
        file = users.spool / name
        file.write_text(content)
        file.chmod(mode)
        uid = users.uid(name) if owner is None else owner
        os.chown(file, uid, uid)
    return make


def spool_folder(users, name):
    (users.spool / f"{name}").mkdir()


MAILBOX = [
    Case("plain"),
    Case("null sender", sender=""),
    Case("quoted sender", sender='"a b"@example.test'),
    Case("from lines", body="From me\r\n>From you\r\n>>From him\r\nFrom\r\n From x\r\n\r\nFrom y\r\n"),
    Case("dots", body=".\r\n..\r\n.x\r\n"),
    Case("empty body", body=""),
    Case("no end of line", body="last"),
    Case("trailing blanks", body="x  \r\n\r\n\r\n"),
    Case("long line", body="x" * 1500 + "\r\n"),
    Case("8 bit", body="\xe4\xf6\xfc\r\n"),
    Case("upper case recipient", to="UPPER"),
    Case("mailbox there", setup=spooled("From x  Mon Nov  2 10:00:00 2026\nSubject: old\n\nold\n\n")),
    Case("mailbox of another", setup=spooled("", owner=65534)),
    Case("mailbox unwritable", setup=spooled("x\n\n", mode=0o400)),
    Case("mailbox is a folder", setup=spool_folder),
    Case("too large with what is there", setup=spooled("x\n" * 15000 + "\n"),
         body=("x" * 60 + "\r\n") * 400),
    Case("headers that look like ours", headers="Return-Path: <x@example.test>\r\n"
                                                "X-Original-To: y@example.test\r\n"),
    Case("delivered to others", headers="Delivered-To: other@example.test\r\n"),
    Case("loop", headers="Delivered-To: USER@relay.example.test\r\n"),
    Case("loop in other case", headers="DELIVERED-TO: USER@Relay.Example.TEST\r\n"),
    Case("unknown", to="nobody-USER"),
    Case("unknown with extension", to="nobody-USER+ext"),
    Case("backslash", to="\\USER"),
    Case("extension without delimiter", to="USER+ext"),
]

ADDRESSES = [
    forward("out", "away@example.com\n"),
    forward("two lines", "a@example.com\nb@example.com\n"),
    forward("commas", "a@example.com, b@example.com,c@example.com\n"),
    forward("blanks", "a@example.com b@example.com\n"),
    forward("no line end", "a@example.com"),
    forward("comment lines", "# nothing\na@example.com\n#b@example.com\n"),
    forward("comment at the end", "a@example.com # no comment\n"),
    forward("comment in brackets", "a@example.com (me), (you) b@example.com\n"),
    forward("names", "Joe User <a@example.com>, \"Joe, U.\" <b@example.com>\n"),
    forward("quoted local part", '"a b"@example.com\n'),
    forward("blanks around at", "a @ example.com\n"),
    forward("empty", ""),
    forward("only blanks", "  \n\n"),
    forward("only comments", "# a\n"),
    forward("self", "USER\n"),
    forward("self with domain", "USER@relay.example.test\n"),
    forward("self in upper case", "\"USER\"\n"),
    forward("backslash self", "\\USER\n"),
    forward("quoted backslash self", '"\\\\USER"\n'),
    forward("self and out", "USER, a@example.com\n"),
    forward("twice the same", "a@example.com\na@example.com\nA@example.com\n"),
    forward("unknown name", "nobody-USER\n"),
    forward("known alias", "al-USER\n", aliases="al-USER: x@example.com\n"),
    forward("alias to self", "al-USER\n", aliases="al-USER: USER\n"),
    forward("unbalanced quote", '"a@example.com\n'),
    forward("semicolon", "a@example.com; b@example.com\n"),
    forward("trailing comma", "a@example.com,\n"),
    forward("angle only", "<a@example.com>\n"),
    forward("loop", "a@example.com\n", headers="Delivered-To: a@example.com\r\n"),
    forward("null sender", "a@example.com\n", sender=""),
    alias("user", "USER"),
    alias("out", "x@example.com"),
    alias("both", "USER, x@example.com"),
    alias("nested", "b-USER\nb-USER: c-USER\nc-USER: USER, y@example.com"),
    alias("loop of two", "b-USER\nb-USER: al-USER"),
    alias("itself", "al-USER"),
    alias("itself and user", "al-USER, USER"),
    alias("same user twice", "USER, b-USER\nb-USER: USER"),
    alias("upper case", "USER\nAL2-USER: USER"),
    alias("backslash", "\\\\USER"),
    alias("with forward", "USER", forward="z@example.com\n"),
    alias("past forward", "\\USER", forward="z@example.com\n"),
    alias("owner", "x@example.com\nowner-al-USER: USER"),
    alias("owner and user", "USER\nowner-al-USER: nobody@example.com"),
    alias("owner of nested", "b-USER\nowner-al-USER: USER\nb-USER: x@example.com"),
    alias("owner, unknown user", "nobody-USER\nowner-al-USER: USER"),
    alias("unknown user", "nobody-USER"),
    alias("unknown and user", "nobody-USER, USER"),
    alias("user with domain", "USER@relay.example.test"),
    Case("alias over user", to="USER", aliases="USER: x@example.com\n"),
    Case("alias over user, with user", to="USER", aliases="USER: USER, x@example.com\n"),
    Case("alias over user, backslash", to="USER", aliases="USER: \\USER, x@example.com\n"),
    alias("include", ":include:HOME/list", files=[("list", "x@example.com\n# no\ny@example.com\n", 0o644)]),
    alias("include of a user", ":include:HOME/list", files=[("list", "USER\n", 0o644)]),
    alias("include quoted", '":include:HOME/list"', files=[("list", "x@example.com\n", 0o644)]),
    alias("include in include", ":include:HOME/list", files=[
        ("list", ":include:HOME/more\nx@example.com\n", 0o644), ("more", "y@example.com\n", 0o644)]),
    alias("include of itself", ":include:HOME/list", files=[
        ("list", ":include:HOME/list\nx@example.com\n", 0o644)]),
    alias("include relative", ":include:list"),
    alias("command in include", ":include:HOME/list", files=[("list", '"|cat"\n', 0o644)]),
    alias("file in include", ":include:HOME/list", files=[("list", "HOME/box\n", 0o644)]),
]

PROGRAMS = [
    *[program(f"exit {code}", f"exit {code}\n") for code in [0, 1, 2, *range(64, 79), 99, 126, 127]],
    program("text and exit", "echo some text; exit 70\n"),
    program("text and good exit", "echo some text; exit 0\n"),
    program("status on stdout", "echo 4.2.9 come back; exit 1\n"),
    program("hard status, soft exit", "echo 5.7.9 never; exit 75\n"),
    program("status alone", "echo 5.7.9; exit 1\n"),
    program("bad status", "echo 3.7.9 what; exit 1\n"),
    program("status without class digits", "echo 5.7 what; exit 1\n"),
    program("several lines", "echo one; echo two; exit 65\n"),
    program("stderr", "echo bad >&2; exit 65\n"),
    program("control bytes", "printf 'a\\001b\\tc\\n'; exit 65\n"),
    program("killed", "kill -9 $$\n"),
    program("terminated", "kill -15 $$\n"),
    program("too slow", "sleep 20\n"),
    program("input unread", "exec <&-; exit 0\n", body="x\r\n" * 10000),
    program("message", "cat > HOME/out\n", body="From me\r\n.\r\nlast\r\n"),
    program("null sender", "cat > HOME/out\n", sender=""),
    program("environment", "env | grep -v ^_= | sort > HOME/env\n"),
    program("rights", "id -u > HOME/id; id -G >> HOME/id; umask >> HOME/id\n"),
    program("hostile sender", "env | grep ^SENDER > HOME/env\n", sender="a`id`$x@example.test"),
    forward("command without shell", '"|/bin/cat"\n'),
    forward("unquoted command", "|/bin/cat\n"),
    forward("command twice", '"|cat >> HOME/out"\n"|cat >> HOME/out"\n'),
    forward("command with comma", '"|sh HOME/run a,b"\n', files=[("run", "echo $1 > HOME/out\n", 0o644)]),
    forward("exec", '"|exec cat > HOME/out"\n'),
    forward("classic filter", '"|IFS=\' \' && exec /bin/cat > HOME/out || exit 75 #USER"\n'),
    forward("blank behind bar", '"| cat > HOME/out"\n'),
    forward("file", "HOME/box\n"),
    forward("file twice", "HOME/box\nHOME/box\n"),
    forward("file in quotes", '"HOME/my box"\n'),
    forward("null device", "/dev/null\n"),
    forward("maildir", "HOME/Mail/\n"),
    forward("executable file", "HOME/tool\n", files=[("tool", "#!/bin/sh\n", 0o755)]),
    forward("file without folder", "HOME/none/box\n"),
    forward("folder as file", "HOME/sub\n", files=[("sub/x", "", 0o644)]),
    alias("command", '"|cat > HOME/open/out"'),
    alias("command and user", '"|cat > HOME/open/out", USER'),
    alias("command rights", '"|id -u > HOME/open/out; env | grep -v ^_= | sort > HOME/open/env"'),
    alias("failing command", '"|exit 69 ;"'),
    alias("failing command and user", '"|exit 65 ;", USER'),
    alias("file", "HOME/open/box"),
    alias("null device", "/dev/null"),
    alias("maildir", "HOME/open/Mail/"),
]

UNSAFE = [
    forward("dangling link", None, setup=link_forward),
    forward("folder", None, setup=folder_forward),
    forward("world writable", "a@example.com\n", setup=mode_of(".forward", 0o666)),
    forward("unreadable", "a@example.com\n", setup=mode_of(".forward", 0o000)),
    forward("of another", "a@example.com\n", setup=owned_by_nobody(".forward")),
    forward("of root", "a@example.com\n", setup=lambda users, name: os.chown(users.home(name) / ".forward", 0, 0)),
]

EXTENSIONS = [
    Case("plain address"),
    Case("extension", to="USER+ext"),
    Case("two delimiters", to="USER+a+b"),
    Case("empty extension", to="USER+"),
    Case("slash in extension", to="USER+a/b"),
    Case("alias with extension", to="al-USER+ext", aliases="al-USER: USER\n"),
    Case("alias of the whole", to="al-USER+ext", aliases="al-USER: USER\nal-USER+ext: x@example.com\n"),
    Case("alias out", to="al-USER+ext", aliases="al-USER: x@example.com\n"),
    Case("forward with extension", to="USER+ext", forward="a@example.com\n"),
    Case("forward of the extension", to="USER+ext", forward="a@example.com\n",
         files=[(".forward+ext", "b@example.com\n", 0o644)]),
    Case("forward self with extension", to="USER+ext", forward="USER\n"),
    Case("forward self plus other", to="USER+ext", forward="USER+other\n"),
    Case("environment", to="USER+ext", forward='"|env | grep -v ^_= | sort > HOME/env"\n'),
    Case("unknown user", to="nobody-USER+ext"),
    Case("loop with extension", to="USER+ext", headers="Delivered-To: USER+ext@relay.example.test\r\n"),
    Case("hyphen", to="USER-ext"),
]

MANY_PARAMETERS = [
    Case("maildir of home"),
    Case("unknown goes on", to="nobody-USER"),
    Case("unknown with extension goes on", to="nobody-USER+ext"),
    Case("command not allowed", forward='"|cat > HOME/out"\n'),
    Case("file not allowed", forward="HOME/box\n"),
    Case("list with owner", to="al-USER", aliases="al-USER: x@example.com\nowner-al-USER: z@example.com\n"),
    Case("include with file", to="al-USER", aliases="al-USER: :include:HOME/list\n",
         files=[("list", "HOME/box\n", 0o644)], setup=open_folder),
    Case("forward by name", files=[("fwd.USER", "f@example.com\n", 0o644)]),
    Case("propagated", to="al-USER+ext", aliases="al-USER: x@example.com\n"),
    Case("forward propagated", to="USER+ext", forward="x@example.com\n"),
]

COMMANDS = [
    Case("mailbox command"),
    Case("mailbox command with extension", to="USER+ext"),
    Case("mailbox command past forward", forward="\\USER\n"),
    Case("unknown user", to="nobody-USER"),
]


def piped(name, flags, arguments, **more):
    """A pipe service that writes down what it gets."""
    return Case(f"pipe: {name}", service=f"{flags} user=USER argv=FOLDER/dump HOME/out {arguments}",
                **more)


def pipe_exit(code):
    return Case(f"pipe: exit {code}", service=f"user=USER argv=/bin/sh HOME/run",
                files=[("run", f"exit {code}\n", 0o644)])


PIPES = [
    piped("plain", "", ""),
    piped("usual macros", "", "${sender} ${recipient} ${user} ${extension} ${domain} ${mailbox} "
          "${nexthop} ${original_recipient}", to="USER+ext"),
    piped("client", "", "${client_address} ${client_helo} ${client_protocol} ${sasl_method} "
          "${sasl_username} ${sasl_sender}"),
    piped("inside words", "", "--from=${sender} x${user}y$user"),
    piped("in round brackets", "", "$(sender)"),
    piped("dollar", "", "a$$b"),
    piped("null sender", "", "${sender}", sender=""),
    piped("another null sender", "null_sender=nobody@example.test", "${sender}", sender=""),
    piped("empty null sender", "null_sender=", "-f ${sender}", sender=""),
    piped("quoted sender", "", "${sender}", sender='"a b"@example.test'),
    piped("quoting", "flags=q", "${sender} ${recipient}", sender='"a b"@example.test'),
    piped("no folding", "", "${recipient} ${user}", to="UPPER"),
    piped("folding", "flags=hu", "${recipient} ${user} ${domain}", to="UPPER"),
    piped("all headers", "flags=BDFOR", "", to="USER+ext"),
    piped("from line", "flags=F", ""),
    piped("from line, null sender", "flags=F", "", sender=""),
    piped("return path", "flags=R", ""),
    piped("delivered to", "flags=D", ""),
    piped("original to", "flags=O", ""),
    piped("quoted from lines", "flags=F>", "", body="From me\r\n>From you\r\n"),
    piped("dots", "flags=.", "", body=".\r\n..\r\n"),
    piped("line ends", "eol=\\r\\n", ""),
    piped("final", "flags=X", ""),
    piped("folder", "directory=HOME", ""),
    piped("too large", "size=100", ""),
    piped("large enough", "size=100000", ""),
    piped("loop", "flags=D", "", headers="Delivered-To: USER@relay.example.test\r\n"),
    piped("loop unseen", "", "", headers="Delivered-To: USER@relay.example.test\r\n"),
    *[pipe_exit(code) for code in [0, 1, 64, 67, 69, 75, 77, 99, 127]],
    Case("pipe: status on stdout", service="user=USER argv=/bin/sh HOME/run",
         files=[("run", "echo 4.3.1 come back; exit 1\n", 0o644)]),
    Case("pipe: text on stdout", service="user=USER argv=/bin/sh HOME/run",
         files=[("run", "echo what is this; exit 65\n", 0o644)]),
    Case("pipe: killed", service="user=USER argv=/bin/sh HOME/run",
         files=[("run", "kill -9 $$\n", 0o644)]),
    Case("pipe: too slow", service="user=USER argv=/bin/sleep 20"),
]


CHROOTS = [
    Case("pipe: root directory", service="user=USER chroot=/usr argv=/bin/test -d /share"),
    Case("pipe: outside of it", service="user=USER chroot=/usr argv=/bin/test -d /etc"),
    Case("pipe: folder inside it", service="user=USER chroot=/usr directory=/share "
                                           "argv=/bin/test -d doc"),
    Case("pipe: starts at its top", service="user=USER chroot=/usr argv=/bin/test -d share"),
]


def virtual(name, path, **more):
    return Case(f"virtual: {name}", to="USER@virtual.example.test", virtual=path, **more)


VIRTUALS = [
    virtual("mailbox", "USER"),
    virtual("maildir", "USER/"),
    virtual("deep maildir", "USER/a/b/"),
    virtual("missing folder", "USER/a/b"),
    virtual("null sender", "USER", sender=""),
    virtual("from lines", "USER", body="From me\r\n>From you\r\n"),
    virtual("loop", "USER", headers="Delivered-To: USER@virtual.example.test\r\n"),
    Case("virtual: upper case address", to="UPPER@virtual.example.test", virtual="USER"),
    Case("virtual: extension", to="USER+ext@virtual.example.test", virtual="USER"),
    Case("virtual: unknown", to="nobody-USER@virtual.example.test"),
]

UPPER_ALIAS = [Case("alias: upper case", to="AL-UPPER", aliases="al-USER: a@example.com\n")]

# With the filters of the set "filtered": results of each class, of each agent.
FILTERED = [
    Case("plain"),
    Case("unknown user", to="nobody-USER"),
    Case("mailbox unwritable", setup=spooled("x\n\n", mode=0o400)),
    alias("to a command that fails", '"|exit 75"'),
    alias("to a command that refuses", '"|exit 69"'),
    forward("loop", "USER\n"),
    *[pipe_exit(code) for code in [0, 67, 69, 75]],
    Case("pipe: success that would fail", service="user=USER argv=/bin/true", to="USER+x"),
    virtual("mailbox", "USER"),
    Case("virtual: unknown", to="nobody-USER@virtual.example.test"),
    virtual("missing folder", "USER/a/b"),
]

# With the patterns of the set "patterns" in place of aliases and virtual mailboxes.
PATTERNS = [
    Case("pattern: alias", to="al-USER"),
    Case("pattern: alias with extension", to="al-USER+ext"),
    Case("pattern: extension of its own", to="tagged-USER+ext"),
    Case("pattern: without the extension", to="tagged-USER"),
    Case("pattern: upper case", to="AL-UPPER"),
    Case("pattern: command", to="run-USER"),
    Case("pattern: file", to="file-USER"),
    Case("pattern: the key in a command", to="danger-USER"),
    Case("pattern: a dollar", to="dollar-USER"),
    Case("pattern: list with an owner", to="list-USER"),
    Case("pattern: none", to="USER"),
    virtual("pattern", ""),
    Case("virtual: pattern with extension", to="USER+ext@virtual.example.test"),
    Case("virtual: the key in a path", to="danger-USER@virtual.example.test"),
    Case("virtual: unknown to patterns", to="nobody-USER@virtual.example.test"),
]
