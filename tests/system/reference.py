# SPDX-License-Identifier: Apache-2.0
"""Debian's Postfix as a reference: the same parameters, a private folder, a port of its own. Mail
that it accepts is discarded."""
import pathlib
import shutil
import subprocess
import tempfile

from world import PATIENCE, free_port, wait_until

DAEMONS = pathlib.Path("/usr/lib/postfix/sbin")

MASTER_CF = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
tlsmgr unix - - n 1000? 1 tlsmgr
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


def is_installed():
    return (DAEMONS / "master").exists()


class Reference:
    def __init__(self, services="", **parameters):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="reference-"))
        self.folder.chmod(0o755)
        self.port = free_port()
        self.config = self.folder / "etc"
        self.log_file = self.folder / "log"
        for name in ["etc", "spool", "data"]:
            (self.folder / name).mkdir()
        shutil.chown(self.folder / "data", "postfix")
        values = {
            "queue_directory": self.folder / "spool",
            "data_directory": self.folder / "data",
            "daemon_directory": DAEMONS,
            "command_directory": "/usr/sbin",
            "mail_owner": "postfix",
            "setgid_group": "postdrop",
            "maillog_file": self.log_file,
            "maillog_file_prefixes": self.folder,
            "default_transport": "discard",
            "local_transport": "discard",
            "relay_transport": "discard",
            "inet_interfaces": "127.0.0.1",
            **parameters,
        }
        (self.config / "main.cf").write_text("".join(f"{n} = {v}\n" for n, v in values.items()))
        (self.config / "master.cf").write_text(MASTER_CF.format(port=self.port) + services)

    def control(self, verb):
        return subprocess.run(["/usr/sbin/postfix", "-c", str(self.config), verb],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, timeout=PATIENCE * 3)

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def __enter__(self):
        self.control("start")
        wait_until(lambda: "daemon started" in self.log(), "the reference's start")
        return self

    def __exit__(self, *_):
        self.control("stop")
        shutil.rmtree(self.folder, ignore_errors=True)
