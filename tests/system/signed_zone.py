# SPDX-License-Identifier: Apache-2.0
"""DNS that can be validated: a signed zone, an unsigned one below it, and unbound(8), which serves
both and validates for programs that trust their name server. It listens on 127.0.0.1 port 53, so
the tests that use it need a network of their own."""
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile

import dns.flags
import dns.message
import dns.query

from world import wait_until

APEX = ". 60 IN SOA ns.root. host.root. 1 3600 600 86400 60\n. 60 IN NS ns.root.\n" \
       "ns.root. 60 IN A 127.0.0.1\n"
UNSIGNED = "insecure. 60 IN NS ns.insecure.\nns.insecure. 60 IN A 127.0.0.1\n"

CONFIG = """\
server:
  interface: 127.0.0.1
  port: 53
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: "{folder}/pid"
  use-syslog: no
  logfile: ""
  verbosity: 1
  trust-anchor-file: "{folder}/anchor"
  local-zone: "test." transparent
auth-zone:
  name: "."
  zonefile: "{folder}/signed"
  for-downstream: no
  for-upstream: yes
auth-zone:
  name: "insecure."
  zonefile: "{folder}/insecure"
  for-downstream: no
  for-upstream: yes
remote-control:
  control-enable: no
"""


class SignedZone:
    """`signed` and `insecure` are lines of zone files, with names below "insecure." in the latter;
    `forged` replaces (pattern, text) in the first one after it was signed."""

    def __init__(self, signed, insecure="", forged=()):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="waypost-zone-"))
        self.folder.chmod(0o755)
        (self.folder / "root").write_text(APEX + UNSIGNED + signed)
        (self.folder / "insecure").write_text(
            "insecure. 60 IN SOA ns.insecure. host.insecure. 1 3600 600 86400 60\n" + UNSIGNED +
            insecure)
        self.sign()
        text = (self.folder / "signed").read_text()
        for pattern, other in forged:
            text, count = re.subn(pattern, other, text)
            assert count == 1, (pattern, count)
        (self.folder / "signed").write_text(text)
        (self.folder / "unbound.conf").write_text(CONFIG.format(folder=self.folder))
        self.anchor = self.folder / "anchor"

    def sign(self):
        def run(*command):
            return subprocess.run(command, cwd=self.folder, check=True, capture_output=True,
                                  text=True, timeout=60).stdout.strip()

        key = run("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", ".")
        run("ldns-signzone", "-f", "signed", "root", key)
        shutil.copy(self.folder / f"{key}.key", self.folder / "anchor")

    def answers(self):
        query = dns.message.make_query("ns.root.", "A", want_dnssec=True)
        try:
            answer = dns.query.udp(query, "127.0.0.1", timeout=1)
        except (OSError, dns.exception.DNSException):
            return False
        assert answer.flags & dns.flags.AD, answer
        return True

    def __enter__(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 53))
        self.process = subprocess.Popen(["/usr/sbin/unbound", "-d", "-c",
                                         self.folder / "unbound.conf"],
                                        stderr=(self.folder / "log").open("w"))
        wait_until(self.answers, "the signed zone")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)
