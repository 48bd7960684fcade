# SPDX-License-Identifier: Apache-2.0
"""Debian's Dovecot as an authentication server, or as one that takes mail by LMTP, private to a
test."""
import pathlib
import pwd
import re
import shutil
import socket
import subprocess
import tempfile

from world import free_port, wait_until

CONFIGURATION = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = {protocols}
listen = 127.0.0.1
hostname = dovecot.example.test
{tls}
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256
auth_failure_delay = 0
default_internal_user = dovecot
default_login_user = dovenull
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home=/tmp
}}
service auth {{
  unix_listener {socket} {{
    mode = 0660
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""

LMTP = """\
mail_location = maildir:{folder}/mail/%n
first_valid_uid = 1
lmtp_save_to_detail_mailbox = no
recipient_delimiter = +
userdb {{
  driver = passwd-file
  args = username_format=%n {folder}/mailboxes
}}
service lmtp {{
  unix_listener {lmtp} {{
    mode = 0666
  }}
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
"""


class Dovecot:
    """Users are {name: password}; `socket` is where its clients connect."""

    configuration = CONFIGURATION
    protocols = ""

    def __init__(self, path, users, certificate=None, **more):
        tls = "ssl = no"
        if certificate:
            tls = "ssl = yes\nssl_cert = <{}\nssl_key = <{}".format(*certificate)
        self.path = pathlib.Path(path)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="waypost-dovecot-"))
        self.folder.chmod(0o755)
        (self.folder / "users").write_text(
            "".join(f"{name}:{{PLAIN}}{password}\n" for name, password in users.items()))
        (self.folder / "dovecot.conf").write_text(
            self.configuration.format(folder=self.folder, socket=self.path, tls=tls,
                                      protocols=self.protocols, **more))

    def start(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            ["dovecot", "-F", "-c", self.folder / "dovecot.conf"], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        wait_until(self.answers, "Dovecot's socket")
        return self

    def answers(self):
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.path))
            except OSError:
                return False
            return bool(probe.recv(1))

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.path.unlink(missing_ok=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class DovecotLmtp(Dovecot):
    """`lmtp` is the socket's path; the mailboxes of `users` are Maildirs in `mail`."""
    configuration = re.sub(r"(?s)userdb \{\{.*?\n\}\}\n", "", CONFIGURATION, 1) + LMTP
    protocols = "lmtp"

    def __init__(self, folder, users, certificate=None):
        folder = pathlib.Path(folder)
        self.lmtp, self.port = folder / "lmtp", free_port()
        super().__init__(folder / "auth", {}, certificate, lmtp=self.lmtp, port=self.port)
        (self.folder / "mail").mkdir()
        shutil.chown(self.folder / "mail", "mail", "mail")
        owner, group = pwd.getpwnam("mail").pw_uid, pwd.getpwnam("mail").pw_gid
        (self.folder / "mailboxes").write_text("".join(
            f"{name}::{owner}:{group}::{self.folder}/mail/{name}::\n" for name in users))

    def mail(self, user):
        return [each.read_bytes() for each in
                sorted((self.folder / "mail" / user / "new").glob("*"))]
