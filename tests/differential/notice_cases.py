# SPDX-License-Identifier: Apache-2.0
"""Debian's Postfix and Waypost with servers behind them that answer as the recipient's name says:
what each tells the sender and the postmaster, made comparable."""
import email
import email.policy
import pathlib
import re
import subprocess
import time

from pair import COMMON, PATIENCE, Content, Dialogue, Pair
from scripted import Servers
from world import Sink, wait_until

REPLIES = {
    "bad": "550 5.1.1 <bad>: no such user here",
    "long": "550-5.7.1 This server has much to say about that mail, and says it over several lines"
            "\r\n550-5.7.1 of which some are long\r\n"
            "550 5.7.1 and this is the last: see https://example.com/why?a=b&c=d",
    "late": "450 4.2.0 <late>: not now",
    "bare": "550 no status here",
    "odd": "503 5.5.1 odd: bad sequence of commands",
}


def script(*keywords):
    lines = ["scripted.example.test", "PIPELINING", "SIZE 1000000", "8BITMIME", *keywords]
    ehlo = "\r\n".join(f"250{'-' if i + 1 < len(lines) else ' '}{line}"
                       for i, line in enumerate(lines))
    return {"ehlo": ehlo, "rcpt": REPLIES, "dot": {"refused": "554 5.6.0 content is not liked"}}


class NoticePair(Pair):
    """The sinks get the notices, all the other mail goes to scripted servers: plain.example is one
    without DSN, ascii.example one without SMTPUTF8."""

    def __init__(self, parameters, services, **more):
        super().__init__({**COMMON, "transport_maps": "texthash:$config_directory/transport",
                          "mail_name": "Postfix", **parameters}, services, **more)
        for side in self.sides:
            side.sink = Sink(decode_data=False, port=side.sink.port, enable_SMTPUTF8=True)
            side.servers = Servers({"127.0.0.2": script("SMTPUTF8"),
                                    "127.0.0.3": script("SMTPUTF8", "DSN"),
                                    "127.0.0.4": script("DSN")})
            (side.system.config / "transport").write_text(
                f"plain.example smtp:[127.0.0.2]:{side.servers.port}\n"
                f"dsn.example smtp:[127.0.0.3]:{side.servers.port}\n"
                f"ascii.example smtp:[127.0.0.4]:{side.servers.port}\n"
                "error.example error:5.1.6 the user has moved\n"
                "retry.example retry:4.3.0 come back later\n"
                "discard.example discard:away with it\n")

    def __enter__(self):
        for side in self.sides:
            side.servers.__enter__()
        return super().__enter__()

    def __exit__(self, *_):
        super().__exit__()
        for side in self.sides:
            side.servers.__exit__()

    def make_mailboxes(self, name):
        for side in self.sides:
            folder = pathlib.Path(side.system.config).parent / name
            folder.mkdir()
            folder.chmod(0o1777)


def message(subject, body=b"Hello.\r\n"):
    return (f"From: Sender <sender@sender.example>\r\nTo: someone\r\nSubject: {subject}\r\n"
            f"Message-Id: <{subject}@sender.example>\r\n"
            "Date: Mon, 02 Nov 2026 10:00:00 +0000\r\n\r\n").encode() + body


def dialogue(name, recipients, parameters="", sender="sender@sender.example", body=b"Hello.\r\n",
             times=1, service="plain"):
    return Dialogue(service, [
        b"EHLO client.example", f"MAIL FROM:<{sender}>{parameters}".encode(),
        *[f"RCPT TO:{each}".encode() for each in recipients], b"DATA",
        Content(message(name, body * times) + b".\r\n"), b"QUIT"], name=name)


def send_locally(pair, arguments, text="Subject: local\n\nHello\n"):
    """[(exit status, what it printed)…] of both sides' sendmail."""
    results = []
    for side in pair.sides:
        program = "/usr/sbin/sendmail" if side.system.name == "Postfix" else \
            str(side.system.bin / "sendmail")
        done = subprocess.run([program, "-C", str(side.system.config), *arguments], input=text,
                              text=True, capture_output=True, timeout=PATIENCE)
        results.append((done.returncode, done.stdout.strip()))
    return results


def wait_idle(pair, count):
    """Until each sink has `count` messages, and nothing more comes for a moment."""
    for side in pair.sides:
        wait_until(lambda side=side: len(side.sink.messages) >= count,
                   f"{count} notices from {side.system.name}; there are "
                   f"{len(side.sink.messages)}")
    time.sleep(1.5)


def body_of(delivered):
    return email.message_from_bytes(delivered.content, policy=email.policy.SMTP)


def without_changing(text):
    """Ids, dates, ports and machine names are each run's own."""
    text = re.sub(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), +\d+ \w+ \d{4} [\d:]+ [+-]\d{4} \(\w+\)",
                  "DATE", text)
    text = re.sub(r"<\d{14}\.\w+@", "<STAMP.ID@", text)
    text = re.sub(r"\b(id|X-Postfix-Queue-ID:) [0-9A-Za-z]+", r"\1 ID", text)
    text = re.sub(r"userid \d+", "userid NUMBER", text)
    text = re.sub(r"SIZE=\d+", "SIZE=BYTES", text)
    text = re.sub(r"(?s)\n[ \t]+(?=\S)", " ", text)
    # How a client ends a session whose message nobody gets.
    text = re.sub(r" Out: \.( Out: QUIT)? In:  250 [^\n]*", "", text)
    text = re.sub(r"forwarded as [0-9A-Za-z]+", "forwarded as ID", text)
    text = re.sub(r"\]:\d+", "]:PORT", text)
    return re.sub(r"(from \S+) \(\S+ \[127", r"\1 (localhost [127", text)


def sorted_blocks(text):
    """Recipients come in the order in which they were done with."""
    head, *blocks = re.split(r"\n\n", text.strip())
    return "\n\n".join([head, *sorted(blocks)])


def human_part(text):
    """Our built-in sentences stand for Postfix's."""
    text = re.sub(r"(?s)^This is the mail system at host ([\w.]+)\..*?(?=\n<|\Z)",
                  r"BUILT-IN \1\n", text)
    return sorted_blocks(text)


def comparable_part(text):
    head, _, body = text.lstrip("\n").partition("\n\n")
    body = without_changing(body)
    if "text/plain" in head:
        body = human_part(body)
    elif "delivery-status" in head:
        body = sorted_blocks(body)
    else:  # a notice that is returned
        body = re.sub(r"(?s)This is the mail system at host ([\w.]+)\..*?(?=\n<)",
                      r"BUILT-IN \1\n", body)
    return f"--\n{head}\n\n{body.strip()}"


def comparable_notice(delivered):
    """Its parts with what differs from run to run taken out."""
    text = delivered.content.replace(b"\r\n", b"\n").decode(errors="replace")
    boundary = email.message_from_string(text).get_boundary()
    head, _, body = text.partition("\n\n")
    options = [each for each in delivered.options if not each.startswith("SIZE")]
    lines = [f"from {delivered.sender} to {delivered.recipients} {options}"]
    if boundary is None:
        return "\n".join([*lines, without_changing(text)])
    preamble, *parts = body.split(f"\n--{boundary}")
    lines += [without_changing(head.replace(boundary, "BOUNDARY")), preamble]
    for part in parts[:-1]:
        # A notice that is returned has a boundary of its own.
        lines.append(comparable_part(re.sub(r"[0-9A-Za-z]{9,}\.\d{10}/", "BOUNDARY/", part)))
    return "\n".join([*lines, parts[-1].strip()])


def bounce_lines(side):
    for line in side.system.log().splitlines():
        match = re.search(r"/bounce\[\d+\]: (.*)", line)
        if match and "template" not in line and "bounce(5)" not in line:
            yield match.group(1)


def kinds_of_lines(side):
    """What bounce logs."""
    return [re.sub(r"\b[0-9A-F]{9,}\b", "ID", line) for line in bounce_lines(side)]


def notice_lines(side):
    """For each message what its notices are called, in their order."""
    found = {}
    for line in bounce_lines(side):
        match = re.match(r"(\w+): (\w+ .*notification): ", line)
        if match:
            found.setdefault(match.group(1), []).append(match.group(2))
    return sorted(found.values())
