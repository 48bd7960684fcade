# SPDX-License-Identifier: Apache-2.0
"""The SMTP client beside Debian's Postfix: the same parameters and the same servers, which say what
a script tells them. What each server hears must be the same, and what the log says of each
recipient. Every case has a transport and a domain of its own, so that all of them share one pair of
instances."""
import os
import re

import pytest

import reference
from scripted import Servers
from world import MASTER_CF, PATIENCE, Client, Instance, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not reference.is_installed(),
                                reason="needs root and Debian's postfix")

MESSAGE = b"Subject: client\r\n\r\ntext\r\n"
CLIENT_LINES = "proxywrite unix - - n - 1 proxymap\n"
RESULT = re.compile(r": to=<([^>]*)>.*, dsn=(\S+), status=(\w+) \((.*)\)$", re.M)


class Case:
    """Mail to recipients at NAME.example, one message for each, by a transport of that name."""

    def __init__(self, script, recipients=("u",), sender="s@sender.example", program="smtp",
                 **overrides):
        self.script, self.recipients, self.sender = script, recipients, sender
        self.program, self.overrides = program, overrides


AUTH_SCRIPT = "250-x.example\r\n250 AUTH PLAIN LOGIN"
LOGIN = dict(smtp_sasl_auth_enable="yes", smtp_sasl_security_options="noanonymous",
             smtp_sasl_password_maps="static:usr:secret")
CACHE = "proxy:btree:$data_directory/sasl_auth_cache"
CACHED = {**LOGIN, "smtp_sasl_auth_cache_name": CACHE}

CASES = {
    "cached": Case(dict(ehlo=AUTH_SCRIPT, auth="535 5.7.8 bad"), ["a", "b", "c"], **CACHED),
    "cachedhard": Case(dict(ehlo=AUTH_SCRIPT, auth="535 5.7.8 bad"), ["a", "b"], sender="",
                       smtp_sasl_auth_soft_bounce="no", **CACHED),
    "notcached": Case(dict(ehlo=AUTH_SCRIPT, auth="534 5.7.9 weak"), ["a", "b"], **CACHED),
    "notcachedsoft": Case(dict(ehlo=AUTH_SCRIPT, auth="454 4.7.0 later"), ["a", "b"], **CACHED),
    "cachedplain": Case(dict(ehlo=AUTH_SCRIPT, auth="535 no status"), ["a", "b"], **CACHED),
    "bare": Case({}, ["a b", "dot."], sender='"x y"@sender.example',
                 smtp_quote_rfc821_envelope="no"),
    "quoted": Case({}, ["a b", "dot."], sender='"x y"@sender.example'),
    "authzid": Case(dict(ehlo=AUTH_SCRIPT, auth="235 2.7.0 ok"), send_cyrus_sasl_authzid="yes",
                    smtp_sasl_mechanism_filter="plain", **LOGIN),
    "noauthzid": Case(dict(ehlo=AUTH_SCRIPT, auth="235 2.7.0 ok"),
                      smtp_sasl_mechanism_filter="plain", **LOGIN),
}


def lines_of(name, case, address, port):
    options = "".join(f"  -o {{ {key} = {value} }}\n" for key, value in case.overrides.items())
    return (f"{name} unix - - n - 1 {case.program}\n{options}",
            f"{name}.example = {name}:[{address}]:{port}")


class Side:
    """One of the two, with servers of its own."""

    def __init__(self, kind, network):
        self.addresses = {name: f"127.0.{network}.{at + 1}" for at, name in enumerate(CASES)}
        self.servers = Servers({self.addresses[name]: case.script for name, case in CASES.items()})
        pairs = [lines_of(name, case, self.addresses[name], self.servers.port)
                 for name, case in CASES.items()]
        services = "".join(lines for lines, _ in pairs)
        parameters = dict(
            transport_maps="inline:{ " + ", ".join(f"{{ {way} }}" for _, way in pairs) + " }",
            myhostname="relay.example.test", compatibility_level="3.6", inet_protocols="ipv4",
            mynetworks="127.0.0.0/8", minimal_backoff_time="1000s", maximal_backoff_time="1000s",
            default_destination_concurrency_limit="1", smtpd_relay_restrictions="permit_mynetworks, reject",
            initial_destination_concurrency="1", smtp_connection_cache_on_demand="no",
            default_destination_concurrency_failed_cohort_limit="0", smtp_tls_security_level="",
            bounce_notice_recipient="nobody@nowhere.example", proxy_write_maps=CACHE)
        if kind == "postfix":
            self.system = reference.Reference(
                services + CLIENT_LINES + "smtp unix - - n - - smtp\n", **parameters)
        else:
            self.system = Instance(master_cf=MASTER_CF + services, **parameters)

    def results(self):
        """{(name, user): (dsn, status, text)} of what was tried."""
        found = {}
        for recipient, *result in RESULT.findall(self.system.log()):
            user, _, domain = recipient.replace('"', "").partition("@")
            name = domain.partition(".")[0]
            text = result[2]
            if name in self.addresses:
                text = text.replace(self.addresses[name], "SERVER")
            found.setdefault((name, user), (*result[:2], text))
        return found

    def send(self, name, case):
        for user in case.recipients:
            with Client("127.0.0.1", self.system.port) as client:
                client.command("EHLO client.example.test")
                address = f'"{user}"' if re.search(r"[ >]|\.$", user) else user
                code, text = client.deliver(case.sender, [f"{address}@{name}.example"], MESSAGE)
                assert code == 250, (name, text)
            # One after the other: the next may depend on how this one ended.
            wait_until(lambda: (name, user) in self.results(), f"{user}@{name}", PATIENCE * 2)

    def heard(self, name):
        return [re.sub(r"\bSIZE=\d+", "SIZE=…", each)
                for each in self.servers[self.addresses[name]].commands]


@pytest.fixture(scope="module")
def sides():
    postfix, waypost = Side("postfix", 3), Side("waypost", 4)
    with postfix.servers, waypost.servers, postfix.system, waypost.system:
        yield postfix, waypost


@pytest.mark.parametrize("name", CASES)
def test_servers_hear_and_the_log_says_the_same(sides, name):
    case = CASES[name]
    for side in sides:
        side.send(name, case)
    postfix, waypost = sides
    for user in case.recipients:
        assert waypost.results()[name, user] == postfix.results()[name, user]
    assert waypost.heard(name) == postfix.heard(name)
