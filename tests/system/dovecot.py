# SPDX-License-Identifier: Apache-2.0
"""Debian's Dovecot as an authentication server, private to a test."""
import pathlib
import shutil
import socket
import subprocess
import tempfile

from world import wait_until

CONFIGURATION = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols =
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5 scram-sha-256
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


class Dovecot:
    """Users are {name: password}; `socket` is where its clients connect."""

    def __init__(self, path, users):
        self.path = pathlib.Path(path)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="waypost-dovecot-"))
        self.folder.chmod(0o755)
        (self.folder / "users").write_text(
            "".join(f"{name}:{{PLAIN}}{password}\n" for name, password in users.items()))
        (self.folder / "dovecot.conf").write_text(
            CONFIGURATION.format(folder=self.folder, socket=self.path))

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
