# SPDX-License-Identifier: Apache-2.0
"""Debian's Exim and OpenSMTPD, unpacked and not installed (both would take the machine's mail over):
scripts/install-dependencies fetches them. Each runs in a mount namespace of its own, where its
accounts and folders exist, and passes what it takes on to a server of the test."""
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

from world import free_port, wait_until

PEERS = pathlib.Path(os.environ.get("WAYPOST_PEERS", "/var/cache/waypost-peers"))
EXIM = PEERS / "exim4-daemon-light" / "usr" / "sbin" / "exim4"
OPENSMTPD = PEERS / "opensmtpd" / "usr" / "sbin" / "smtpd"

ACCOUNTS = {"Debian-exim": 64001, "opensmtpd": 64002, "opensmtpq": 64003}

EXIM_CONF = """\
primary_hostname = exim.example.test
exim_path = {program}
exim_user = Debian-exim
exim_group = Debian-exim
spool_directory = {folder}/spool
log_file_path = {folder}/log/%s
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
acl_smtp_rcpt = accept
acl_smtp_data = accept
host_lookup =
rfc1413_hosts =
{tls}
begin acl
accept:
  accept
begin routers
on:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = smtp
begin transports
smtp:
  driver = smtp
  port = {next_port}
  hosts_try_chunking =
"""

EXIM_TLS = """\
tls_advertise_hosts = *
tls_certificate = {cert}
tls_privatekey = {key}
"""

OPENSMTPD_CONF = """\
{pki}
listen on 127.0.0.1 port {port} {tls} hostname opensmtpd.example.test
action "onward" relay host smtp://127.0.0.1:{next_port}
match from any for any action "onward"
"""


class RealServer:
    """`next_port` is where it passes mail on to; with (certificate, key) it offers STARTTLS.
    `launcher` goes in front of its command."""

    launcher = []

    def __init__(self, next_port, certificate=None, folder=None):
        self.next_port, self.port, self.certificate = next_port, free_port(), certificate
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="real-"))
        self.folder.chmod(0o755)

    def accounts(self):
        for name, line in [("passwd", "{0}:x:{1}:{1}::/:/usr/sbin/nologin\n"),
                           ("group", "{0}:x:{1}:\n")]:
            lines = [line.format(*each) for each in ACCOUNTS.items()]
            (self.folder / name).write_text(pathlib.Path("/etc", name).read_text() + "".join(lines))

    def start(self):
        self.accounts()
        (self.folder / "conf").write_text(self.configuration())
        script = (f"mount --bind {self.folder}/passwd /etc/passwd && "
                  f"mount --bind {self.folder}/group /etc/group && {self.command()}")
        self.process = subprocess.Popen(
            [*self.launcher, "unshare", "--mount", "sh", "-c", script], stdin=subprocess.DEVNULL,
            stdout=open(self.folder / "out", "w"), stderr=subprocess.STDOUT,
            start_new_session=True)
        try:
            wait_until(self.answers, type(self).__name__)
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}: {(self.folder / 'out').read_text()}") from None

    def copy_certificate(self, owner=0):
        """As strict servers want them: nobody else's, and for nobody else to read."""
        copies = [self.folder / name for name in ("server.pem", "server.key")]
        for source, copy in zip(self.certificate, copies):
            shutil.copy(source, copy)
            copy.chmod(0o600)
            os.chown(copy, owner, owner)
        return copies

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                return probe.recv(1)
        except OSError:
            return False

    def stop(self):
        """Its queue stays."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(20)

    def __enter__(self):
        try:
            self.start()
        except AssertionError:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Exim(RealServer):
    def configuration(self):
        tls = "tls_advertise_hosts ="
        if self.certificate:
            cert, key = self.copy_certificate(ACCOUNTS["Debian-exim"])
            tls = EXIM_TLS.format(cert=cert, key=key)
        return EXIM_CONF.format(tls=tls, program=EXIM, folder=self.folder, port=self.port,
                                next_port=self.next_port)

    def command(self):
        for name in "spool", "log":
            (self.folder / name).mkdir(exist_ok=True)
            os.chown(self.folder / name, ACCOUNTS["Debian-exim"], ACCOUNTS["Debian-exim"])
        return f"exec {EXIM} -C {self.folder}/conf -bdf -q1h -oP {self.folder}/pid"


class OpenSmtpd(RealServer):
    def configuration(self):
        pki = ""
        if self.certificate:
            cert, key = self.copy_certificate()
            pki = f'pki own cert "{cert}"\npki own key "{key}"'
        return OPENSMTPD_CONF.format(pki=pki, tls="tls pki own" if pki else "", port=self.port,
                                     next_port=self.next_port)

    def command(self):
        (self.folder / "spool").mkdir(exist_ok=True)
        return ("mount -t tmpfs none /var/lib && mkdir -p -m 711 /var/lib/opensmtpd/empty && "
                f"mount --bind {self.folder}/spool /var/spool && "
                "mkdir -p -m 711 /var/spool/smtpd && mount -t tmpfs none /run && "
                f"exec {OPENSMTPD} -d -f {self.folder}/conf")
