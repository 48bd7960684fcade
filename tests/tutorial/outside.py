# SPDX-License-Identifier: Apache-2.0
"""Whoever is outside of the relay: name server, receiving hosts, clients. None of it is our code."""
import contextlib
import socket
import ssl
import subprocess
import time

from certificates import Certificates
from world import Client, NameServer, Sink

NETWORKS = {"eth0": ("192.0.2.10", "192.0.2.1"), "eth1": ("198.51.100.10", "198.51.100.1")}
FIRST, SECOND = "192.0.2.10", "198.51.100.10"
NAMES = "203.0.113.53"
SSO = "203.0.113.77"  # sso-api-01.zombig.name
STRANGER = "203.0.113.99"
HOSTS = {"example.com": "203.0.113.11", "example.org": "203.0.113.12", "qq.com": "203.0.113.21",
         "plain.example": "203.0.113.31", "secure.example": "203.0.113.41",
         "example.net": "203.0.113.51"}
REFUSING, SILENT = "203.0.113.61", "203.0.113.62"


def zone():
    entries = {("refused.example", "A"): [REFUSING], ("silent.example", "A"): [SILENT]}
    for domain, address in HOSTS.items():
        entries[domain, "MX"] = [f"10 mx.{domain}."]
        entries[f"mx.{domain}", "A"] = [address]
    for name, address in {"sso-api-01.zombig.name": SSO, "stranger.example": STRANGER}.items():
        reverse = ".".join(reversed(address.split("."))) + ".in-addr.arpa"
        entries[name, "A"] = [address]
        entries[reverse, "PTR"] = [f"{name}."]
    entries["zombig.name", "A"] = [STRANGER]
    entries["relay.zombig.name", "A"] = [FIRST]
    return entries


class Host(Sink):
    """A receiving host that also notes when each message came."""

    def __init__(self, address, certificates=None, **options):
        self.times = []
        if certificates:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificates)
            options["tls_context"] = context
        super().__init__(address, 25, **options)

    async def handle_DATA(self, server, session, envelope):
        self.times.append(time.monotonic())
        result = await super().handle_DATA(server, session, envelope)
        self.messages[-1].is_encrypted = session.ssl is not None
        return result

    def clear(self):
        self.messages.clear()
        self.times.clear()
        self.peers.clear()


class Outside(contextlib.ExitStack):
    """Everything that the relay meets; started before it, stopped after it."""

    def __enter__(self):
        super().__enter__()
        for address in [NAMES, SSO, STRANGER, REFUSING, *HOSTS.values()]:
            subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
            self.callback(subprocess.run, ["ip", "address", "del", f"{address}/32", "dev", "lo"])
        # No answer at all, also none that says so.
        subprocess.run(["ip", "route", "add", "blackhole", f"{SILENT}/32"], check=True)
        self.callback(subprocess.run, ["ip", "route", "del", "blackhole", f"{SILENT}/32"])
        for each in ("all", "default", "lo"):
            with open(f"/proc/sys/net/ipv4/conf/{each}/rp_filter", "w", encoding="ascii") as out:
                out.write("0")
        with open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii") as out:
            out.write("1")
        self.certificates = Certificates()
        self.names = self.enter_context(NameServer(zone(), NAMES, 53))
        self.hosts = {}
        for domain, address in HOSTS.items():
            pair = self.certificates.make(f"mx.{domain}") if domain == "secure.example" else None
            self.hosts[domain] = self.enter_context(Host(address, pair))
        return self

    def clear(self):
        for host in self.hosts.values():
            host.clear()


class ClientFrom(Client):
    """A raw SMTP client that connects from an address of its own."""

    def __init__(self, source, host=FIRST, port=25, timeout=20):
        self.socket = socket.create_connection((host, port), timeout, source_address=(source, 0))
        self.file = self.socket.makefile("rb")
        self.banner = self.reply()
