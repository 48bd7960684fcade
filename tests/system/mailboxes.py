# SPDX-License-Identifier: Apache-2.0
"""Users for mail to be delivered to, in a view of the file system that nobody else sees; and the
same deliveries by Waypost and by Debian's Postfix, side by side: the same files, addresses and
messages in, and what came out compared with ids and dates taken away."""
import ctypes
import functools
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import tempfile
import time

import reference
from world import MASTER_CF, Instance, Sink, message, wait_until

FIRST_UID = 47000
DOMAIN = "relay.example.test"
VIRTUAL = "virtual.example.test"
DUMP = """\
#!/bin/sh
# its first argument names a file, for the others, its input and its rights
out=$1; shift
for each; do echo "[$each]"; done > "$out"
id -u >> "$out"; pwd | sed s,.*/spool,SPOOL, >> "$out"
cat >> "$out"
"""
SERVICES = """\
smtp unix - - n - - smtp
relay unix - - n - - smtp
local unix - n n - - local
virtual unix - n n - - virtual
"""


@functools.lru_cache
def is_own_view():
    """Makes this process's view of the file system its own, so that it may put its own /etc/passwd
    in place unseen."""
    if os.geteuid() != 0 or ctypes.CDLL(None, use_errno=True).unshare(0x20000) != 0:  # CLONE_NEWNS
        return False
    return subprocess.run(["mount", "--make-rprivate", "/"], stderr=subprocess.DEVNULL).returncode == 0


class Users:
    """Accounts with homes below one folder; the system's list of users has them while this lasts."""

    next_uid = FIRST_UID

    def __init__(self, names):
        self.first_uid = Users.next_uid
        Users.next_uid += len(names)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="homes-"))
        self.folder.chmod(0o755)
        self.spool = self.folder / "spool"
        self.names = list(names)
        self.mounted = []

    def uid(self, name):
        return self.first_uid + self.names.index(name)

    def home(self, name):
        return self.folder / name

    def reset(self):
        """Homes and mailboxes as new."""
        for name in self.names:
            shutil.rmtree(self.home(name), ignore_errors=True)
            self.home(name).mkdir()
            self.home(name).chmod(0o755)
            os.chown(self.home(name), self.uid(name), self.uid(name))
        shutil.rmtree(self.spool, ignore_errors=True)
        self.spool.mkdir()
        shutil.chown(self.spool, "root", "mail")
        self.spool.chmod(0o2775)

    def write(self, name, path, content, mode=0o644, owner=None):
        file = self.home(name) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content) if isinstance(content, str) else file.write_bytes(content)
        file.chmod(mode)
        uid = self.uid(owner or name) if owner != "root" else 0
        os.chown(file, uid, uid)
        return file

    def cover(self, path, text):
        copy = self.folder / pathlib.Path(path).name
        copy.write_text(pathlib.Path(path).read_text() + text)
        copy.chmod(0o644)
        subprocess.run(["mount", "--bind", copy, path], check=True)
        self.mounted.append(path)

    def __enter__(self):
        self.cover("/etc/passwd", "".join(
            f"{name}:x:{self.uid(name)}:{self.uid(name)}::{self.home(name)}:/bin/sh\n"
            for name in self.names) + f"likeroot:x:0:0::{self.folder}/likeroot:/bin/sh\n")
        self.cover("/etc/group", "".join(f"{name}:x:{self.uid(name)}:\n" for name in self.names))
        self.reset()
        return self

    def __exit__(self, *_):
        for path in self.mounted:
            subprocess.run(["umount", path], check=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def normalise(text, folder):
    text = text.replace(str(folder), "FOLDER")
    if "\nAuto-Submitted: auto-replied\n" in text: # a notification: its words are our own
        text = text.split("\nReceived:")[0]
    text = re.sub(r"^From (.*?) {1,2}\w{3} \w{3} [ \d]\d [\d:]{8} \d{4}$", r"From \1 DATE", text,
                  flags=re.M)
    text = re.sub(r"^Received: .*\n(?:[ \t].*\n)*", "Received: X\n", text, flags=re.M)
    text = re.sub(r"^(PWD|MAIL_CONFIG|LANG|CLIENT_HOSTNAME)=.*$", r"\1=X", text, flags=re.M)
    text = re.sub(r"forwarded as \w+", "forwarded as ID", text)
    text = re.sub(r"\d+\.V\w+I\w+M\d+\.", "UNIQUE.", text)
    text = re.sub(r"UNIQUE\.[\w.-]+", "UNIQUE", text)
    return re.sub(r"\d+\.P\d+\.", "UNIQUE.", text)


def tree(folder, root):
    """{path: (mode, content)} of all files, with ids and dates taken away."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            name = normalise(str(path.relative_to(root)), root)
            status = path.stat()
            files[name] = (oct(status.st_mode & 0o7777), status.st_uid,
                           normalise(path.read_text(errors="replace"), root))
    return files


def lines(log, address_part):
    """The delivery lines of one case, without ids, times and processes, sorted."""
    found = []
    for line in log.splitlines():
        if address_part not in line:
            continue
        match = re.search(r"\w+\[\d+\]: \w+: (to=<.*)", line)
        if match and address_part in match.group(1):
            text = re.sub(r"delay=[^ ]+ delays=[^ ]+ ", "", match.group(1))
            text = re.sub(r"conn_use=\d+, ", "", text)
            text = re.sub(r"relay=[^ ,]*\[127.0.0.1\]:\d+", "relay=SINK", text)
            found.append(re.sub(r"queued as \w+|taken", "SINK", text))
    return sorted(found)


class Case:
    """One mail: `user` is its own account, files are made before; `aliases` are lines of the alias
    table, where USER stands for the account. HOME stands for the user's home."""

    def __init__(self, name, to="USER", sender="sender@example.test", forward=None, aliases="",
                 files=(), body="Hello.\r\n", setup=None, headers="", service="", virtual=""):
        self.name, self.to, self.sender, self.forward = name, to, sender, forward
        self.aliases, self.files, self.body, self.setup = aliases, files, body, setup
        self.headers = headers
        self.service = service  # a line of master.cf, that delivers instead of local; named pUSER
        self.virtual = virtual  # the path of a virtual mailbox


class Bench:
    """All cases at once, by one relay after the other."""

    def __init__(self, cases, **parameters):
        self.cases = cases
        self.parameters = parameters
        self.users = Users([f"u{i:03}x" for i in range(len(cases))])

    def expand(self, text, user):
        text = text.replace("FOLDER", str(self.users.folder)).replace("UPPER", user.upper())
        return text.replace("USER", user).replace("HOME", str(self.users.home(user)))

    def prepare(self):
        users = self.users
        users.reset()
        table = ["postmaster: root\n"]
        for case, user in zip(self.cases, users.names):
            table.append(self.expand(case.aliases, user))
            if case.forward is not None:
                users.write(user, ".forward", self.expand(case.forward, user))
            for path, content, mode in case.files:
                users.write(user, path, self.expand(content, user) if isinstance(content, str)
                            else content, mode)
            if case.setup:
                case.setup(users, user)
        (users.folder / "aliases").write_text("".join(table))
        self.prepare_transports()

    def prepare_transports(self):
        folder, pairs = self.users.folder, list(zip(self.cases, self.users.names))
        (folder / "transports").write_text("".join(
            f"{user} p{user}:{DOMAIN}\n" for case, user in pairs if case.service))
        (folder / "virtual").write_text("".join(
            f"{user}@{VIRTUAL} {self.expand(case.virtual, user)}\n" for case, user in pairs
            if case.virtual))
        shutil.rmtree(folder / "v", ignore_errors=True)
        (folder / "v").mkdir()
        os.chown(folder / "v", FIRST_UID, FIRST_UID)
        (folder / "dump").write_text(DUMP)
        (folder / "dump").chmod(0o755)

    def services(self):
        return "".join(self.expand(f"pUSER unix - n n - - pipe {case.service}\n", user)
                       for case, user in zip(self.cases, self.users.names) if case.service)

    def submit(self, port):
        import smtplib
        with smtplib.SMTP("127.0.0.1", port, "client.example.test") as client:
            for case, user in zip(self.cases, self.users.names):
                content = (f"From: a@example.test\r\nTo: b@example.test\r\nSubject: {user}\r\n"
                           f"Message-Id: <{user}@example.test>\r\n"
                           f"Date: Mon, 02 Nov 2026 10:00:00 +0000\r\n"
                           f"{self.expand(case.headers, user)}\r\n{case.body}")
                to = self.expand(case.to, user)
                client.sendmail(case.sender, [to if "@" in to else f"{to}@{DOMAIN}"],
                                content.encode("latin-1"))

    def collect(self, log, sink):
        outcomes, log = {}, normalise(log, self.users.folder)
        for case, user in zip(self.cases, self.users.names):
            files = tree(self.users.home(user), self.users.folder)
            if (self.users.folder / "v" / user).exists():
                files.update(tree(self.users.folder / "v" / user, self.users.folder))
            if (self.users.folder / "v" / user).is_file():
                files.update({k: v for k, v in tree(self.users.folder / "v",
                                                    self.users.folder).items() if user in k})
            mailbox = self.users.spool / user
            if mailbox.is_file():
                files["MAILBOX"] = (oct(mailbox.stat().st_mode & 0o7777), mailbox.stat().st_uid,
                                    normalise(mailbox.read_text(errors="replace"),
                                              self.users.folder))
            elif mailbox.is_dir():
                files.update(tree(mailbox, self.users.folder))
            sent = sorted(
                (each.sender, tuple(sorted(each.recipients)),
                 normalise(each.text.replace("\r\n", "\n"), self.users.folder))
                for each in sink.messages
                if f"Subject: {user}" in each.text and "MAILER-DAEMON" not in each.text)
            bounces = sorted(tuple(each.recipients) for each in sink.messages
                             if f"Subject: {user}" in each.text and "MAILER-DAEMON" in each.text)
            outcomes[case.name] = {"files": files, "sent": sent, "bounces": bounces,
                                   "log": lines(log, user)}
        return outcomes

    def common(self, sink):
        spool, table = self.users.spool, self.users.folder / "aliases"
        values = {
            "compatibility_level": "0", "myhostname": DOMAIN, "mydestination": "$myhostname",
            "mynetworks": "127.0.0.0/8", "inet_protocols": "ipv4", "biff": "no",
            "relayhost": f"[127.0.0.1]:{sink.port}", "alias_maps": f"hash:{table}",
            "alias_database": "", "local_recipient_maps": "", "mail_spool_directory": spool,
            "default_transport": "smtp", "relay_transport": "smtp", "local_transport": "local",
            "smtpd_recipient_restrictions": "permit_mynetworks, reject_unauth_destination",
            "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
            "maximal_queue_lifetime": "1d", "smtp_tls_security_level": "none",
            "command_time_limit": "4s", "deliver_lock_attempts": "2", "deliver_lock_delay": "1s",
            "notify_classes": "resource",
        }
        values.update({k: str(v).replace("FOLDER", str(self.users.folder))
                       for k, v in self.parameters.items()})
        return values

    def is_settled(self, log):
        """Every queue id that began to be delivered was removed or deferred."""
        begun = set(re.findall(r"(?:qmgr)\[\d+\]: (\w+): from=", log))
        ended = set(re.findall(r"qmgr\[\d+\]: (\w+): removed", log))
        ended |= set(re.findall(r"\[\d+\]: (\w+): to=.*status=deferred", log))
        accepted = set(re.findall(r"(?:cleanup)\[\d+\]: (\w+): message-id=", log))
        return len(begun) >= len(self.cases) and begun <= ended and accepted <= begun

    def run(self, relay, sink):
        self.submit(relay.port)
        wait_until(lambda: self.is_settled(relay.log()), "the end of all deliveries", 60)
        time.sleep(0.3)
        return self.collect(relay.log(), sink)

    def by_waypost(self):
        with Sink() as sink:
            self.prepare()
            parameters = {k: v for k, v in self.common(sink).items() if k != "smtp_tls_security_level"}
            relay = Instance(master_cf=MASTER_CF + self.services(), **parameters)
            relay.run("postalias", f"hash:{self.users.folder / 'aliases'}")
            with relay:
                return self.run(relay, sink)

    def by_postfix(self):
        with Sink() as sink:
            self.prepare()
            parameters = self.common(sink)
            source = self.users.folder / "aliases"
            subprocess.run(["/usr/sbin/postalias", f"hash:{source}"], check=True)
            with reference.Reference(services=SERVICES + self.services(), **parameters) as relay:
                return self.run(relay, sink)


def differences(ours, theirs):
    """One text for each case that came out otherwise."""
    found = []
    for name, outcome in ours.items():
        for part, value in outcome.items():
            if value != theirs[name][part]:
                found.append(f"== {name}: {part}\nWaypost: {value}\nPostfix: {theirs[name][part]}")
    return found
