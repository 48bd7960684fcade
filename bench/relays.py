# SPDX-License-Identifier: Apache-2.0
"""The relays that bench/run compares, each in a folder of its own, on ports of its own, durable
(no 250 before the message is flushed to disk, where a relay can do that) and tuned."""
import contextlib
import dataclasses
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile

from process_group import ProcessGroup
from real_servers import ACCOUNTS, EXIM, OPENSMTPD, Exim, OpenSmtpd
from world import MASTER_CF, Instance, free_port, wait_until

POSTFIX = pathlib.Path("/usr/lib/postfix/sbin/master")
POSTFIX_MASTER = MASTER_CF + "postlog   unix-dgram n  -       n       -       1       postlogd\n"
DOMAIN = "bench.example"


@dataclasses.dataclass
class Needs:
    """What a scenario asks of a relay."""
    sink_port: int
    connections: int = 100  # from clients, at once
    domains: int = 1  # more: domain d<n> is a destination of its own, at 127.0.1.<n + 1>
    certificate: dict = None  # {"cert": …, "key": …}: TLS in and out
    folder: str = "/var/tmp"  # for queues
    extra: dict = dataclasses.field(default_factory=dict)  # main.cf of Waypost

    def hosts(self):
        return {f"d{number}.{DOMAIN}": f"127.0.1.{number + 1}" for number in range(self.domains)} \
            if self.domains > 1 else {}


def main_cf(needs, config):
    """What Postfix and Waypost are told alike, beyond where things are."""
    parameters = {
        "relayhost": f"[127.0.0.1]:{needs.sink_port}", "smtpd_peername_lookup": "no",
        "in_flow_delay": 0, "default_process_limit": needs.connections + 100,
        "smtpd_client_connection_count_limit": 0, "smtpd_recipient_limit": 10000,
        "initial_destination_concurrency": 20,
    }
    if needs.domains > 1:
        (config / "transport").write_text("".join(
            f"{name} smtp:[{address}]:{needs.sink_port}\n"
            for name, address in needs.hosts().items()))
        parameters["transport_maps"] = "texthash:$config_directory/transport"
    if needs.certificate:
        parameters.update({
            "smtp_tls_security_level": "encrypt", "smtpd_tls_security_level": "may",
            "smtpd_tls_cert_file": needs.certificate["cert"],
            "smtpd_tls_key_file": needs.certificate["key"],
            "smtp_tls_session_cache_database": "btree:$data_directory/smtp_scache",
        })
    return parameters


class Relay:
    """new, start, (flush, stop, start,) close. `group` has all its processes."""

    unable = {}  # {scenario: why it has no part in it}

    def __init__(self, needs):
        self.needs = needs
        self.group = ProcessGroup()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"bench-{self.name.lower()}-",
                                                    dir=needs.folder))
        self.folder.chmod(0o755)
        self.prepare()

    def start(self):
        self.process = subprocess.Popen(
            [*self.group.launcher(), *self.command], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        self.group.started(self.process)
        wait_until(self.answers, f"{self.name} to answer", 60)

    def answers(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port),
                                                                    1) as probe:
            return probe.recv(4).startswith(b"220")
        return False

    def control(self, command, *arguments):
        subprocess.run([command, "-c", self.config, *arguments], check=False, timeout=120,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    def flush(self):
        """Mail that waits for its next attempt is due now."""
        self.control(self.commands / "postqueue", "-f")

    def stop(self):
        self.control(self.commands / "postfix", "stop")
        self.process.wait(120)

    def close(self):
        try:
            self.stop()
        finally:
            self.group.close()
            shutil.rmtree(self.folder, ignore_errors=True)


class Waypost(Relay):
    name = "Waypost"

    @staticmethod
    def is_installed():
        return True

    def prepare(self):
        self.config = self.folder / "etc"
        self.config.mkdir()
        instance = Instance(self.folder, maillog_file_prefixes=self.needs.folder,
                            store_any_filesystem="no",
                            **{**main_cf(self.needs, self.config), **self.needs.extra})
        self.port, self.commands = instance.port, instance.bin
        self.command = [instance.bin / "postfix", "-c", self.config, "start-fg"]


class Postfix(Relay):
    name = "Postfix"
    commands = pathlib.Path("/usr/sbin")

    @staticmethod
    def is_installed():
        return POSTFIX.exists()

    def prepare(self):
        self.port = free_port()
        self.config, data = self.folder / "etc", self.folder / "data"
        for each in (self.config, data, self.folder / "spool"):
            each.mkdir()
        os.chown(data, pwd.getpwnam("postfix").pw_uid, -1)
        parameters = {
            "compatibility_level": 0, "myhostname": "relay.example.test",
            "queue_directory": self.folder / "spool", "data_directory": data,
            "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4", "mynetworks": "127.0.0.0/8",
            "alias_maps": "", "maillog_file": self.folder / "maillog",
            "maillog_file_prefixes": self.needs.folder,
            "smtpd_recipient_restrictions": "permit_mynetworks, reject_unauth_destination",
            "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
            **main_cf(self.needs, self.config),
        }
        (self.config / "main.cf").write_text("".join(f"{k} = {v}\n" for k, v in parameters.items()))
        (self.config / "master.cf").write_text(
            POSTFIX_MASTER.replace("smtp      inet", f"127.0.0.1:{self.port} inet", 1))
        self.control(self.commands / "postfix", "check")
        self.command = [self.commands / "postfix", "-c", self.config, "start-fg"]


class Unpacked(Relay):
    """One of those that are not installed (tests/system/real_servers.py)."""

    def prepare(self):
        self.server = self.server_kind(self.needs, self.folder)
        self.server.launcher = self.group.launcher()
        self.port = self.server.port

    def start(self):
        self.server.start()
        self.process = self.server.process
        self.group.started(self.process)

    def stop(self):
        self.server.stop()
        self.group.kill()  # deliveries that were under way; the queue is on disk

    def run_inside(self, *command):
        """In its mount namespace."""
        subprocess.run(["nsenter", "--mount", "--target", str(self.process.pid), *command],
                       check=False, timeout=120, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


EXIM_TUNED = """\
smtp_accept_max = 0
smtp_accept_queue_per_connection = 0
smtp_accept_max_per_connection = 0
smtp_connect_backlog = 1000
queue_run_max = {queue_runners}
remote_max_parallel = 100
recipients_max = 0
split_spool_directory = true
message_logs = false
check_spool_space = 0
check_spool_inodes = 0
"""

EXIM_TLS = """\
tls_advertise_hosts = *
tls_certificate = {folder}/cert
tls_privatekey = {folder}/key
"""


def copy_certificate(needs, folder, owner):
    """As `cert` and `key`, for the owner alone: OpenSMTPD insists on that."""
    for name, file in (needs.certificate or {}).items():
        shutil.copy(file, folder / name)
        os.chown(folder / name, owner, owner)
        (folder / name).chmod(0o600)


class TunedExim(Exim):
    """Every message is delivered by a process of its own as soon as it is there. Its configuration
    stands where Debian's Exim expects it: with -C it would do its work without root's rights."""

    QUEUE_RUNNERS = 8

    def __init__(self, needs, folder):
        super().__init__(needs.sink_port, folder=folder)
        self.needs = needs

    def configuration(self):
        lines = super().configuration()
        extra = EXIM_TUNED.format(queue_runners=self.QUEUE_RUNNERS)
        if self.needs.certificate:
            extra += EXIM_TLS.format(folder=self.folder)
            lines = lines.replace("tls_advertise_hosts =\n", "")
            lines += "  hosts_require_tls = *\n  tls_verify_certificates =\n"
        if self.needs.domains > 1:
            lines = lines.replace(
                "route_list = * 127.0.0.1",
                r"route_data = 127.0.1.${eval:${extract{1}{.}{${substr_1:$domain}}}+1}")
        return extra + lines + "begin retry\n* * F,4d,15m\n"

    def command(self):
        copy_certificate(self.needs, self.folder, ACCOUNTS["Debian-exim"])
        place = "/var/lib/exim4/config.autogenerated"
        return ("mount -t tmpfs none /var/lib && mkdir /var/lib/exim4 && "
                f"cp {self.folder}/conf {place} && chmod 644 {place} && " +
                super().command().replace(f" -C {self.folder}/conf", ""))


class EximRelay(Unpacked):
    name = "Exim"
    server_kind = TunedExim

    @staticmethod
    def is_installed():
        return EXIM.exists()

    def flush(self):
        """Several queue runners, each of which goes through the whole queue."""
        for _ in range(TunedExim.QUEUE_RUNNERS):
            self.run_inside(*self.group.launcher(), str(EXIM), "-qff")


# Its client otherwise waits for seconds before a further connection to a route, and between
# sessions. Not in its manual, but in its grammar.
OPENSMTPD_LIMITS = {
    "max-conn-per-host": 100, "max-conn-per-route": 100, "max-conn-per-source": 1000,
    "max-conn-per-connector": 100, "max-conn-per-relay": 1000, "max-conn-per-domain": 1000,
    "conn-delay-host": 0, "conn-delay-source": 0, "conn-delay-connector": 0, "conn-delay-relay": 0,
    "conn-delay-domain": 0, "conn-delay-route": 0, "session-transaction-delay": 0,
    "session-mail-max": 10000, "task-hiwat": 1000, "task-lowat": 500, "task-release": 500,
}


class TunedOpenSmtpd(OpenSmtpd):
    """It answers 250 without a flush, and has no setting for one: its rates are not to be compared
    with those of the others. Its limits of recipients and messages are out of the way."""

    def __init__(self, needs, folder):
        super().__init__(needs.sink_port, folder=folder)
        self.needs = needs

    def configuration(self):
        certificate, hosts = self.needs.certificate, self.needs.hosts()
        protocol = "smtp+tls" if certificate else "smtp"
        lines = ["smtp limit max-mails 100000000", "smtp limit max-rcpt 10000",
                 *(f"mta limit {name} {value}" for name, value in OPENSMTPD_LIMITS.items()),
                 f"listen on 127.0.0.1 port {self.port} hostname opensmtpd.example.test"]
        relay = f"host {protocol}://127.0.0.1:{self.next_port}"
        if certificate:
            lines = [f'pki bench cert "{self.folder}/cert"', f'pki bench key "{self.folder}/key"',
                     *lines]
            lines[-1] += " tls pki bench"
            relay += " tls no-verify"
        if hosts:
            routes = ", ".join(f'"{name}" = "{protocol}://{address}:{self.next_port}"'
                               for name, address in hosts.items())
            lines.append(f"table routes {{ {routes} }}")
            relay = "domain <routes>"
        lines += [f'action "onward" relay {relay}', 'match from any for any action "onward"']
        return "\n".join(lines) + "\n"

    def command(self):
        copy_certificate(self.needs, self.folder, 0)
        return "ulimit -n $(ulimit -Hn) && " + super().command()


class OpenSmtpdRelay(Unpacked):
    name = "OpenSMTPD"
    server_kind = TunedOpenSmtpd
    unable = {"starttls": "Debian 12's build fails every handshake as a server: EVP lib"}

    @staticmethod
    def is_installed():
        return OPENSMTPD.exists()

    def flush(self):
        program = self.folder / "smtpctl"  # what is unpacked has not the group that it insists on
        if not program.exists():
            shutil.copy(OPENSMTPD.parent / "smtpctl", program)
            os.chown(program, 0, ACCOUNTS["opensmtpq"])
            program.chmod(0o2755)
        self.run_inside(str(program), "schedule", "all")


KINDS = {kind.name.lower(): kind for kind in (Postfix, Waypost, EximRelay, OpenSmtpdRelay)}
