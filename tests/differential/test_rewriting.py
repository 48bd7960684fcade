# SPDX-License-Identifier: Apache-2.0
"""Addresses become, and go, what and where Debian's Postfix makes and sends them: the same questions
to its trivial-rewrite and to our router and cleanup. What is meant to differ stands in
rewriting_worlds.py."""
import re
import socket
import subprocess
from collections import Counter

import pytest

import counted
import explained
from reference import MASTER_CF, Reference, is_installed
from rewriting_worlds import (CLEAN_RECIPIENTS, CLEAN_SENDERS, CLEANING, COMMON, FILES, RESOLVING,
                              REWRITING_HEADERS, SENDERS, addresses, headers)
from world import BUILD, PATIENCE, Client, Sink, free_port, wait_until

pytestmark = pytest.mark.skipif(not is_installed(), reason="Debian's postfix is not installed")
PROBE = BUILD / "tests" / "differential" / "rewriting-probe"
CLASSES = {256: "local", 512: "alias", 1024: "virtual", 2048: "relay", 4096: "default"}
FLAG_FAIL, FLAG_ERROR = 8, 4


class Rewrite:
    """A connection to a trivial-rewrite server: names and values with NUL behind each."""

    def __init__(self, path):
        self.path = str(path)
        self.connect()

    def connect(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(self.path)
        self.file = self.socket.makefile("rb")
        self.attributes()

    def field(self):
        out = bytearray()
        while (byte := self.file.read(1)) != b"\0":
            if not byte:
                raise EOFError
            out += byte
        return out.decode("latin-1")

    def attributes(self):
        found = {}
        while name := self.field():
            found[name] = self.field()
        return found

    def ask(self, **attributes):
        text = "".join(f"{name}\0{value}\0" for name, value in attributes.items()) + "\0"
        for _ in range(3):  # it ends now and then, as every Postfix daemon does
            try:
                self.socket.sendall(text.encode("latin-1"))
                return self.attributes()
            except (EOFError, OSError):
                self.connect()
        raise AssertionError("trivial-rewrite does not answer")

    def rewrite(self, external):
        return self.ask(request="rewrite", rule="local", address=external)["address"]

    def resolve(self, sender, recipient):
        answer = self.ask(request="resolve", sender=sender, address=recipient)
        flags = int(answer["flags"])
        if flags & FLAG_FAIL:
            return ("fail",)
        if flags & FLAG_ERROR:
            return ("bad",)
        return (CLASSES[flags & 7936], answer["transport"], answer["nexthop"],
                answer["recipient"])


class Probe:
    """Our own answers."""

    def __init__(self, folder, parameters):
        folder.mkdir(parents=True)
        (folder / "main.cf").write_text("".join(f"{n} = {v}\n" for n, v in parameters.items()))
        (folder / "master.cf").write_text("")
        self.process = subprocess.Popen([PROBE, folder], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        text=True)

    def ask_line(self, *fields):
        self.process.stdin.write("\t".join(fields) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().rstrip("\n")

    def ask(self, *fields):
        return tuple(self.ask_line(*fields).split("\t"))

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(PATIENCE) == 0


def overrides(parameters):
    return "".join(f"  -o {{ {name} = {value} }}\n" for name, value in parameters.items())


def worlds(tmp_path, chosen):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return {name: {key: value.replace("{folder}", str(tmp_path))
                   for key, value in parameters.items()}
            for name, parameters in chosen.items()}


def fold_domain(address):
    local, at, domain = address.rpartition("@")
    return local + at + domain.lower()


def resolve_all(name, rewrite, probe):
    """[(question, ours, theirs), …] of one world."""
    differs, count = [], 0
    senders = SENDERS if "senders" in name or name == "nexthops" else [""]
    recipients = ["u@far.ex", "u@relayed.example", "u@here.example", "u@x.ex"] \
        if len(senders) > 1 else addresses(170, name)
    for sender in senders:
        for recipient in recipients:
            # Only addresses in standard form come this far.
            external = rewrite.rewrite(probe.ask("external", recipient)[0])
            internal = unquote(external)
            theirs = rewrite.resolve(sender, internal)
            ours = probe.ask("resolve", sender, internal)
            count += 1
            if not same_route(ours, theirs):
                differs.append((f"{name}: <{sender}> {internal}", ours, theirs))
    return count, differs


def unquote(external):
    """The internal form; the comparisons have nothing more difficult than this."""
    match = re.fullmatch(r'"((?:[^"\\]|\\.)*)"(@.*)?', external)
    return re.sub(r"\\(.)", r"\1", match.group(1)) + (match.group(2) or "") if match else external


def same_route(ours, theirs):
    if len(ours) != len(theirs):
        return False
    return all(a.lower() == b.lower() for a, b in zip(ours, theirs))


def test_recipients_are_resolved_as_by_postfix(tmp_path):
    chosen = worlds(tmp_path, RESOLVING)
    services = "".join(f"rewrite-{name} unix - - n - - trivial-rewrite\n{overrides(parameters)}"
                       for name, parameters in chosen.items())
    total, differs = 0, []
    with Reference(services=services, **COMMON) as reference:
        for name, parameters in chosen.items():
            probe = Probe(tmp_path / name, {**COMMON, **parameters})
            rewrite = Rewrite(reference.folder / "spool" / "private" / f"rewrite-{name}")
            count, found = resolve_all(name, rewrite, probe)
            total += count
            differs += found
            probe.close()
    counted.count("rewritings and resolutions", total)
    assert not differs, "\n".join(map(str, differs))
    assert total >= 1000


def test_addresses_are_put_into_standard_form_as_by_postfix(tmp_path):
    names = ["plain", "no_hacks", "bare"]
    chosen = worlds(tmp_path, {name: RESOLVING[name] for name in names})
    services = "".join(f"rewrite-{name} unix - - n - - trivial-rewrite\n{overrides(parameters)}"
                       for name, parameters in chosen.items())
    differs = []
    with Reference(services=services, **COMMON) as reference:
        for name, parameters in chosen.items():
            probe = Probe(tmp_path / name, {**COMMON, **parameters})
            rewrite = Rewrite(reference.folder / "spool" / "private" / f"rewrite-{name}")
            for address in addresses(250, name):
                theirs = rewrite.rewrite(probe.ask("external", address)[0])
                ours = probe.ask("rewrite", address)[0]
                if fold_domain(ours) != fold_domain(theirs):
                    differs.append((f"{name}: {address}", ours, theirs))
            counted.count("rewritings and resolutions", 250)
            probe.close()
    assert not differs, "\n".join(map(str, differs))


# ---- envelopes ----

def cleanup_services(chosen, ports):
    text = "smtp unix - - n - - smtp\n"
    for name, parameters in chosen.items():
        text += (f"cleanup-{name} unix n - n - 0 cleanup\n{overrides(parameters)}"
                 f"127.0.0.1:{ports[name]} inet n - n - - smtpd\n"
                 f"  -o cleanup_service_name=cleanup-{name}\n"
                 + "".join(f"  -o {option}={value}\n" for option, value in parameters.items()
                           if "header_rewrite" in option))
    return text


def external(address):
    local, at, domain = address.rpartition("@")
    return f'"{local}"{at}{domain}' if " " in local else address


def envelope_of(log, queue_id):
    """What Postfix logged of a message: its sender and (recipient, original) pairs."""
    sender = re.search(rf"{queue_id}: from=<(.*)>, size=", log).group(1)
    pairs = re.findall(rf"{queue_id}: to=<(.*?)>, (?:orig_to=<(.*?)>, )?relay=", log)
    return sender.lower(), sorted((to.lower(), original.lower()) for to, original in pairs)


def ask_ours(probe, sender, recipients):
    answer = probe.ask("clean", sender, *recipients)
    if re.match(r"[45]\d\d ", answer[0]):
        return answer[0]
    pairs = sorted((a.lower(), b.lower()) for a, b in zip(answer[1::2], answer[2::2]))
    return answer[0].lower(), pairs


def submit(client, sender, recipients):
    """The queue id, or the reply that refuses the message."""
    code, text = client.deliver(external(sender), map(external, recipients), "\r\n")
    return text[0].split()[-1] if code == 250 else f"{code} {text[0]}"


def submit_all(port, parameters):
    """[(sender, recipients, queue id or refusal), …]"""
    looks_at_senders = any("canonical" in name or "sender" in name or "masquerade" in name
                           for name in parameters)
    mails = [(sender, ["c1@c.ex", "a@v.ex"] if sender else CLEAN_RECIPIENTS)
             for sender in (CLEAN_SENDERS if looks_at_senders else CLEAN_SENDERS[:2])]
    with Client("127.0.0.1", port) as client:
        client.command("EHLO client.example.test")
        return [(*mail, submit(client, *mail)) for mail in mails]


CLEANED = {**COMMON, "virtual_alias_domains": "", "virtual_mailbox_domains": "",
           "relay_domains": "", "local_transport": "discard", "default_transport": "discard",
           "mynetworks": "127.0.0.0/8", "smtpd_recipient_restrictions": "permit_mynetworks,reject",
           "smtpd_reject_unlisted_recipient": "no", "smtpd_peername_lookup": "no",
           "in_flow_delay": "0"}


def test_envelopes_become_what_cleanup_makes_of_them(tmp_path):
    chosen = worlds(tmp_path, CLEANING)
    ports = {name: free_port() for name in chosen}
    with Reference(services=cleanup_services(chosen, ports), **CLEANED) as reference:
        results = {name: submit_all(ports[name], own) for name, own in chosen.items()}
        queued = [result for mails in results.values() for *_, result in mails if " " not in result]
        wait_until(lambda: reference.log().count(": removed") >= len(queued), "the last message")
        log = by_queue_id(reference.log())
    total, differs = 0, []
    for name, own in chosen.items():
        probe = Probe(tmp_path / name, {**CLEANED, **own})
        for sender, recipients, result in results[name]:
            ours = ask_ours(probe, sender, recipients)
            theirs = result if " " in result else envelope_of(log[result], result)
            total += 1 + len(recipients)
            if ours != theirs:
                differs.append((f"{name}: <{sender}>", show_difference(ours, theirs)))
        probe.close()
    counted.count("rewritings and resolutions", total)
    assert not differs, "\n".join(map(str, differs))
    assert total >= 900


def by_queue_id(log):
    lines = {}
    for line in log.splitlines():
        match = re.search(r"\]: ([0-9A-F]{6,}): ", line)
        if match:
            lines[match.group(1)] = lines.get(match.group(1), "") + line + "\n"
    return lines


def show_difference(ours, theirs):
    if isinstance(ours, str) or isinstance(theirs, str):
        return ours, theirs
    return (ours[0], theirs[0], "only ours", list((Counter(ours[1]) - Counter(theirs[1]))),
            "only theirs", list((Counter(theirs[1]) - Counter(ours[1]))))


# ---- headers ----

def rewritten_by_postfix(port, sink, texts):
    """The headers as they leave, one message for all; a mark stands behind each."""
    content = "".join(text.replace("|", "\r\n") + f"\r\nX-Mark: {i}\r\n"
                      for i, text in enumerate(texts))
    with Client("127.0.0.1", port) as client:
        client.command("EHLO client.example.test")
        code, text = client.deliver("s@s.ex", ["r@r.ex"], content + "\r\nbody\r\n")
        assert code == 250, text
    block = sink.wait()[0].text.replace("\r\n", "|").split("||", 1)[0]
    sink.messages.clear()
    block = block[re.search(r"\(UTC\)\||[+-]\d{4} \(\w+\)\|", block).end():]
    return re.split(r"\|X-Mark: \d+(?:\||$)", block)[:len(texts)]


def test_header_addresses_become_what_cleanup_makes_of_them(tmp_path):
    ports = {name: free_port() for name in REWRITING_HEADERS}
    texts = headers(400)
    differs = []
    with Sink(data_size_limit=1 << 20) as sink:
        parameters = {**CLEANED, "default_transport": f"smtp:[127.0.0.1]:{sink.port}",
                      "remote_header_rewrite_domain": "remote.invalid",
                      "smtp_line_length_limit": "0", "header_size_limit": "1000000"}
        with Reference(services=cleanup_services(REWRITING_HEADERS, ports),
                       **parameters) as reference:
            for name, own in REWRITING_HEADERS.items():
                probe = Probe(tmp_path / name, {**parameters, **own})
                theirs = rewritten_by_postfix(ports[name], sink, texts)
                for text, their in zip(texts, theirs, strict=True):
                    ours = probe.ask_line("header", "local" if name == "local" else "remote", text)
                    if ours != their:
                        differs.append((name, text, ours, their))
                counted.count("rewritings and resolutions", len(texts))
                probe.close()
    left = [each for each in differs if each[1] not in explained.HEADERS]
    assert not left, "\n".join(map(str, left))
    assert set(explained.HEADERS) == {each[1] for each in differs}, "these explain nothing"
