# SPDX-License-Identifier: Apache-2.0
"""What servers and name servers may do wrong, at every step of a delivery, and what becomes of each
recipient. All cases run at once against one instance: each has a domain and servers of its own."""
import os
import pathlib
import re
import time

import pytest

from scripted import CLOSE, HANG, RESET, Servers, after, flood, raw, slowly, then
from world import IS_SANITIZED, Instance, NameServer, message, wait_until

SECONDS = 2  # of every timeout
WHILE = {
    "greeting": "receiving the initial server greeting",
    "ehlo": "performing the EHLO handshake",
    "mail": "sending MAIL FROM",
    "rcpt": "sending RCPT TO",
    "data": "sending DATA command",
    "dot": "sending end of data -- message may be sent more than once",
}
REPLY_TO = {"mail": "MAIL FROM command", "rcpt": "RCPT TO command", "data": "DATA command",
            "dot": "end of DATA command"}
SENT = ("sent", "2.0.0", "250 2.0.0 Ok: taken")
PLAIN = "250-x\r\n250 PIPELINING"  # no limit of the size
LARGE = "x" * 70 + "\r\n"


class Case:
    """`servers` are scripts, in the order of preference (None: nobody listens there); `ends` maps
    each recipient's local part to (status, dsn, text), where the text may have {0}, {1} for the
    servers. `messages` says how many messages each server has in the end."""

    def __init__(self, name, servers, ends, messages=None, content=None, zone=None):
        self.name, self.servers, self.ends = name, servers, ends
        self.messages, self.content, self.zone = messages, content, zone


def lost(stage, server=0):
    return ("deferred", "4.4.2", f"lost connection with {{{server}}} while {WHILE[stage]}")


def timed_out(stage):
    return ("deferred", "4.4.2", f"conversation with {{0}} timed out while {WHILE[stage]}")


def malformed(stage):
    return ("deferred", "4.5.0", f"remote protocol error in reply from {{0}} while {WHILE[stage]}")


def said(stage, status, dsn, reply):
    if stage in REPLY_TO:
        return (status, dsn, f"host {{0}} said: {reply} (in reply to {REPLY_TO[stage]})")
    return (status, dsn, f"host {{0}} refused to talk to me: {reply}")


def odd(stage, reply):
    if stage in REPLY_TO:
        return ("deferred", "4.5.0", f"Protocol error: host {{0}} said: {reply} (in reply to "
                f"{REPLY_TO[stage]})")
    return ("deferred", "4.0.0", f"host {{0}} refused to talk to me: {reply}")


# name, what is done, what it means at a stage; None: the next thing is tried (HELO after EHLO).
SILENT = {
    "closes": (CLOSE, lost),
    "resets": (after(0.3, RESET), lost),
    "hangs": (HANG, timed_out),
    "dribbles": (slowly("250-a very slow reply, byte by byte", 0.4), timed_out),
    "ends within a line": (then(raw("25"), CLOSE), lost),
    "ends within a reply": (then("250-more", CLOSE), lost),
    "stops within a reply": (then("250-more", HANG), timed_out),
}
SENSELESS = {
    "one digit": "2", "two digits": "25", "no digits": "what?", "four digits": "2500 Ok",
    "code 999": "999 what?", "code 000": "000 what?", "no blank": "250Ok", "an empty line": "",
    "codes that differ": "250-a\r\n251 b", "control bytes": "\x01\x02\x03", "a NUL": "\x00250 Ok",
    "escape codes": "\x1b[2J250 Ok", "HTTP": "HTTP/1.1 400 Bad Request",
    "a banner of TLS": "\x16\x03\x01\x02\x00\x01\x00", "blanks in front": " 250 Ok",
}
ENDLESS = {
    "reply without end": flood("250-more", 5000),
    "line without end": raw("250 " + "x" * 200_000),
    "reply of 10 MB": then(flood("250-" + "x" * 5000, 2000), "250 Ok"),
}


def build_cases():
    cases = []

    def everybody(end):
        return {"a": end, "b": end}

    for stage in WHILE:
        def at(action):
            return {stage: {"a": action}} if stage == "rcpt" else {stage: action}

        for name, (action, meaning) in SILENT.items():
            cases.append(Case(f"{stage}: {name}", [at(action)], everybody(meaning(stage))))
        for name, text in SENSELESS.items():
            cases.append(Case(f"{stage}: {name}", [at(raw(text + "\r\n"))],
                              everybody(malformed(stage))))
        for name, action in ENDLESS.items():
            cases.append(Case(f"{stage}: {name}", [at(action)], everybody(malformed(stage))))
        # Refusals.
        for reply, dsn, status in [("450 4.2.1 later", "4.2.1", "deferred"),
                                   ("451 later", "4.0.0", "deferred"),
                                   ("550 5.7.1 never", "5.7.1", "bounced"),
                                   ("550 never", "5.0.0", "bounced"),
                                   ("550 4.7.1 mixed", "5.0.0", "bounced"),
                                   ("450 5.7.1 mixed", "4.0.0", "deferred")]:
            if stage == "greeting" and status == "bounced":  # smtp_skip_5xx_greeting
                status, dsn = "deferred", "4" + dsn[1:]
            end = said(stage, status, dsn, reply)
            ends = everybody(SENT) if stage == "ehlo" else \
                {"a": end, "b": SENT} if stage == "rcpt" else everybody(end)
            cases.append(Case(f"{stage}: {reply}", [at(reply)], ends))
        cases.append(Case(f"{stage}: 421", [at("421 4.3.2 bye")],
                          everybody(said(stage, "deferred", "4.3.2", "421 4.3.2 bye"))))
        cases.append(Case(f"{stage}: 421 and closes", [at(then("421 4.3.2 bye", CLOSE))],
                          everybody(said(stage, "deferred", "4.3.2", "421 4.3.2 bye"))))
        # Answers to other questions.
        for reply in ("354 what", "220 what", "221 what", "334 what"):
            good = (reply == "354 what" and stage == "data") or \
                (stage == "greeting" and reply.startswith("22"))
            ends = everybody(SENT) if good or stage == "ehlo" else everybody(odd(stage, reply))
            cases.append(Case(f"{stage}: {reply}", [at(reply)], ends))
        cases.append(Case(f"{stage}: neutralised text",
                          [at("450 4.2.1 a\x1b[31mb\x00c\rd")] if stage != "ehlo" else [{}],
                          {"a": SENT if stage == "ehlo" else said(
                              stage, "deferred", "4.2.1", "450 4.2.1 a?[31mb?c?d"),
                           "b": SENT} if stage in ("ehlo", "rcpt") else everybody(said(
                               stage, "deferred", "4.2.1", "450 4.2.1 a?[31mb?c?d"))))
        # Another server takes what this one does not, unless it may have taken it, or it is final.
        for name, action in {"closes": CLOSE, "resets": after(0.3, RESET), "450": "450 4.2.1 later",
                             "421": "421 4.3.2 bye", "nonsense": "what?"}.items():
            if stage == "ehlo" and name == "450":
                continue
            is_doubtful = stage == "dot" and name in ("closes", "resets", "nonsense")
            end = (malformed(stage) if name == "nonsense" else lost(stage)) if is_doubtful else SENT
            cases.append(Case(f"{stage}: {name}, and another server", [at(action), {}],
                              everybody(end), messages=[None, 0 if is_doubtful else 1]))
        if stage in REPLY_TO:
            end = said(stage, "bounced", "5.7.1", "550 5.7.1 never")
            cases.append(Case(f"{stage}: 550, and another server",
                              [at("550 5.7.1 never"), {}],
                              {"a": end, "b": SENT if stage == "rcpt" else end},
                              messages=[None, 0]))
    return cases + special_cases()


def special_cases():
    mixed = {"a": "250 2.1.5 Ok", "b": "450 4.2.2 full", "c": "550 5.1.1 unknown",
             "d": "250 2.1.5 Ok", "e": "553 5.1.3 syntax"}
    no_helo = {"ehlo": "502 5.5.1 what", "helo": "550 5.7.1 never"}
    return [
        Case("EHLO and HELO refused", [no_helo],
             {"a": said("helo", "bounced", "5.7.1", "550 5.7.1 never")}),
        Case("HELO for now refused", [{"ehlo": "502 what", "helo": "450 4.7.1 later"}, {}],
             {"a": SENT}, messages=[0, 1]),
        Case("mixed recipients", [{"rcpt": mixed}],
             {"a": SENT, "b": said("rcpt", "deferred", "4.2.2", mixed["b"]),
              "c": said("rcpt", "bounced", "5.1.1", mixed["c"]), "d": SENT,
              "e": said("rcpt", "bounced", "5.1.3", mixed["e"])}),
        Case("nobody accepted, 354 all the same", [{"rcpt": "550 5.1.1 no"}],
             {"a": said("rcpt", "bounced", "5.1.1", "550 5.1.1 no"),
              "b": said("rcpt", "bounced", "5.1.1", "550 5.1.1 no")}),
        Case("421 after three of five", [{"rcpt": {"d": "421 4.3.2 bye"}}],
             {each: said("rcpt", "deferred", "4.3.2", "421 4.3.2 bye") for each in "abcde"}),
        Case("421 after three of five, and another server",
             [{"rcpt": {"d": then("421 4.3.2 bye", CLOSE)}}, {}],
             {each: SENT for each in "abcde"}, messages=[0, 1]),
        Case("taken, then reset", [{"dot": then("250 2.0.0 Ok: taken", RESET)}], {"a": SENT}),
        Case("taken, then closed", [{"dot": then("250 2.0.0 Ok: taken", CLOSE)}], {"a": SENT}),
        Case("QUIT hangs", [{"quit": HANG}], {"a": SENT}),
        Case("QUIT refused", [{"quit": "550 5.5.1 stay"}], {"a": SENT}),
        Case("two replies to MAIL", [{"mail": "250 Ok\r\n250 again"}],
             {"a": odd("data", "250 2.1.5 Ok"), "b": odd("data", "250 2.1.5 Ok")}),
        Case("greeting twice", [{"greeting": "220 a ESMTP\r\n220 b ESMTP"}],
             {"a": odd("data", "250 2.1.5 Ok")}),
        Case("lines end in LF", [{"greeting": raw("220 x ESMTP\n"), "mail": raw("250 Ok\n")}],
             {"a": SENT}),
        Case("enhanced status of another class", [{"dot": "250 5.1.1 fine"}],
             {"a": ("sent", "2.0.0", "250 5.1.1 fine")}),
        Case("reply in bytes", [{"rcpt": "550 5.1.1 gr\xfc\xdfe"}],
             {"a": said("rcpt", "bounced", "5.1.1", "550 5.1.1 gr??e")}),
        Case("too large for the server", [{"ehlo": "250-x\r\n250 SIZE 100"}],
             {"a": ("bounced", "5.3.4", "message size {size} exceeds size limit 100 of server {0}")}),
        Case("SIZE that is no number", [{"ehlo": "250-x\r\n250 SIZE lots"}], {"a": SENT}),
        Case("SIZE beyond numbers", [{"ehlo": "250-x\r\n250 SIZE " + "9" * 40}], {"a": SENT}),
        Case("EHLO of many lines", [{"ehlo": "250-x\r\n" + "250-Y\r\n" * 90 + "250 SIZE"}],
             {"a": SENT}),
        Case("EHLO of too many lines", [{"ehlo": "250-x\r\n" + "250-Y\r\n" * 200 + "250 SIZE"}],
             {"a": malformed("ehlo")}),
        Case("no ESMTP at all", [{"greeting": "220 x", "ehlo": "500 what"}], {"a": SENT}),
        Case("never reads the content", [{"ehlo": PLAIN, "body": HANG}],
             {"a": ("deferred", "4.4.2", "conversation with {0} timed out while sending message "
                    "body")}, content=message(body=LARGE * 120_000)),
        Case("refuses within the content",
             [{"ehlo": PLAIN, "body": then("552 5.3.4 too much", after(0.3, CLOSE))}],
             {"a": said("dot", "bounced", "5.3.4", "552 5.3.4 too much")},
             content=message(body=LARGE * 60_000)),
        Case("closes within the content", [{"ehlo": PLAIN, "body": after(0.2, RESET)}, {"ehlo": PLAIN}],
             {"a": ("sent", "2.0.0", "250 2.0.0 Ok: taken")}, messages=[0, 1],
             content=message(body=LARGE * 120_000)),
        Case("slow to answer, but in time", [{"dot": after(1, "250 2.0.0 Ok: taken")}],
             {"a": SENT}),
        Case("nobody listens", [None],
             {"a": ("deferred", "4.4.1", "connect to {0}:{port}: Connection refused")}),
        Case("nobody listens at first", [None, {}], {"a": SENT}),
        Case("first hangs", [{"greeting": HANG}, {}], {"a": SENT}),
        Case("three bad ones", [{"greeting": CLOSE}, {"greeting": "450 4.3.2 no"}, None, {}],
             {"a": SENT}),
        # Name servers.
        Case("MX fails", [], zone={("", "MX"): "SERVFAIL"}, ends={"a": (
            "deferred", "4.4.3", "Host or domain name not found. Name service error for "
            "name={domain} type=MX: Host not found, try again")}),
        Case("MX refused", [], zone={("", "MX"): "REFUSED"}, ends={"a": (
            "deferred", "4.4.3", "Host or domain name not found. Name service error for "
            "name={domain} type=MX: Host not found, try again")}),
        Case("null MX", [], zone={("", "MX"): ["0 ."]}, ends={"a": (
            "bounced", "5.1.0", "Domain {domain} does not accept mail (nullMX)")}),
        Case("MX without address", [], zone={("", "MX"): ["10 gone.{domain}."],
                                             ("other", "A"): ["127.0.0.1"]},
             ends={"a": ("bounced", "5.4.4", "Host or domain name not found. Name service error for "
                         "name=gone.{domain} type=A: Host not found")}),
        Case("one MX without address, one with", [None, {}],
             zone={("m0", "A"): "NXDOMAIN"}, ends={"a": SENT}),
        Case("one MX fails, one is fine", [None, {}], zone={("m0", "A"): "SERVFAIL"},
             ends={"a": SENT}),
        Case("MX with an address that fails", [], zone={("", "MX"): ["10 gone.{domain}."],
                                                        ("gone", "A"): "SERVFAIL"},
             ends={"a": ("deferred", "4.4.3", "Host or domain name not found. Name service error "
                         "for name=gone.{domain} type=A: Host not found, try again")}),
        Case("no MX, but an address", [{}], zone={("", "MX"): None, ("", "A"): ["{0}"]},
             ends={"a": SENT}),
        Case("15 MX", [{}], zone={("", "MX"): ["10 m0.{domain}."] +
                                  [f"20 x{i}.{{domain}}." for i in range(14)]},
             ends={"a": SENT}),
        Case("equal preference", [{}, {}], zone={("", "MX"): ["10 m0.{domain}.",
                                                              "10 m1.{domain}."]},
             ends={"a": SENT}),
    ]


CASES = build_cases()


class World:
    """Runs every case; `log` is what came of them."""

    def __init__(self):
        self.scripts, self.zone, self.places = {}, {}, []
        for number, case in enumerate(CASES):
            domain = f"c{number}.example"
            hosts = []
            for i, script in enumerate(case.servers):
                address = f"127.{10 + number // 250}.{number % 250 + 1}.{i + 1}"
                hosts.append((f"m{i}.{domain}", address))
                self.zone[(f"m{i}.{domain}", "A")] = [address]
                if script is not None:
                    self.scripts[address] = script
            if hosts:
                self.zone[(domain, "MX")] = [f"{10 * i + 10} {host}."
                                             for i, (host, _) in enumerate(hosts)]
            for (label, kind), value in (case.zone or {}).items():
                name = f"{label}.{domain}" if label else domain
                if isinstance(value, list):
                    value = [each.format(hosts[0][1] if hosts else "", domain=domain)
                             for each in value]
                self.zone[(name, kind)] = value
                if value is None:
                    del self.zone[(name, kind)]
            self.places.append((domain, hosts))

    def submit(self, relay):
        with relay.connect() as client:
            assert client.command("EHLO client.example.test")[0] == 250
            for (domain, _), case in zip(self.places, CASES):
                # The null sender: nobody is told of what bounces.
                code, text = client.deliver("", [f"{each}@{domain}" for each in case.ends],
                                            case.content or message())
                assert code == 250, (case.name, text)

    def run(self):
        recipients = sum(len(case.ends) for case in CASES)
        timeouts = {f"smtp_{name}_timeout": f"{SECONDS}s"
                    for name in ("connect", "helo", "mail", "rcpt", "data_init", "data_xfer",
                                 "data_done", "rset", "quit")}
        with Servers(self.scripts) as servers, NameServer(self.zone) as names, \
                Instance(dns_servers=f"127.0.0.1:{names.port}", smtp_tcp_port=servers.port,
                         smtp_mx_session_limit="5", smtp_skip_quit_response="no",
                         smtp_tls_security_level="none",
                         default_process_limit="1000", **timeouts) as relay:
            before = descriptors(relay)
            self.submit(relay)
            wait_until(lambda: len(re.findall(r"status=(?:sent|deferred|bounced) ", relay.log()))
                       >= recipients, "the end for each recipient", 90)
            self.port, self.servers = servers.port, servers
            # Connections that are cached or say QUIT come to their end.
            wait_until(lambda: descriptors(relay) <= before, "the last connection's end", 30)
            relay.run("postfix", "status", "-v")
            relay.wait_log(r"status: smtp\[\d+\]: deliveries: \d+ since start",
                           len(relay.role_pids()["smtp"]))
            time.sleep(0.2)
            self.log = relay.log()


def descriptors(relay):
    """How many sockets the smtp workers have."""
    count = 0
    for pid in relay.role_pids()["smtp"]:
        for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            try:
                count += os.readlink(entry).startswith("socket:")
            except OSError:
                pass
    return count


@pytest.fixture(scope="module")
def world():
    result = World()
    result.run()
    return result


def test_there_are_enough_cases():
    assert len(CASES) >= 150 and len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case in CASES])
def test_each_recipient_has_its_end(world, number):
    case, (domain, hosts) = CASES[number], world.places[number]
    names = [f"{host}[{address}]" for host, address in hosts]
    for local, (status, dsn, text) in case.ends.items():
        lines = re.findall(rf" to=<{local}@{re.escape(domain)}>, .*", world.log)
        assert len(lines) == 1, f"one end for {local}, not {lines}"
        found = re.search(r"dsn=(\S+), status=(\w+) \((.*)\)$", lines[0])
        wanted = text.format(*names, domain=domain, port=world.port, size="SIZE")
        actual = re.sub(r"^message size \d+", "message size SIZE", found.group(3))
        assert (found.group(2), found.group(1), actual) == (status, dsn, wanted)
    for (_, address), count in zip(hosts, case.messages or []):
        if count is not None:
            assert len(world.servers[address].messages) == count


def test_nothing_is_left_behind(world):
    statuses = re.findall(r"status: smtp\[\d+\]: (.*)", world.log)
    totals = [line for line in statuses if line.startswith("deliveries: ")]
    assert totals and all(" 0 under way" in line and " 0 idle" in line for line in totals), statuses
    assert statuses == totals  # each fiber that is left would have a line
