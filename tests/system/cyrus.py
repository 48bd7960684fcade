# SPDX-License-Identifier: Apache-2.0
"""What Cyrus SASL asks for passwords, with the configuration that names it: a data base made by
saslpasswd2(8), or saslauthd(8)."""
import pathlib
import shlex
import shutil
import socketserver
import subprocess
import tempfile
import threading

from world import wait_until

MECHANISMS = "PLAIN LOGIN CRAM-MD5 DIGEST-MD5 SCRAM-SHA-1 SCRAM-SHA-256"


def is_installed():
    return shutil.which("saslpasswd2", path="/usr/sbin:/usr/bin") is not None


class Cyrus:
    """Users are {name: password}, in one realm; `folder` is for cyrus_sasl_config_path."""

    def __init__(self, users, realm, mechanisms=MECHANISMS, owner="postfix"):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="waypost-cyrus-"))
        self.folder.chmod(0o755)
        self.base = self.folder / "sasldb2"
        for name, password in users.items():
            subprocess.run(["/usr/sbin/saslpasswd2", "-c", "-p", "-f", str(self.base), "-u", realm,
                            name], input=password.encode(), check=True, timeout=20)
        shutil.chown(self.base, owner)
        (self.folder / "smtpd.conf").write_text(
            "pwcheck_method: auxprop\nauxprop_plugin: sasldb\n"
            f"sasldb_path: {self.base}\nmech_list: {mechanisms}\n")

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Saslauthd:
    """A real saslauthd(8) in front of a mail store that knows the users: the least of an IMAP server,
    so that no user of the system is needed. `folder` is for cyrus_sasl_config_path."""

    def __init__(self, users):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="waypost-saslauthd-"))
        self.folder.chmod(0o755)
        self.socket = self.folder / "mux"
        (self.folder / "smtpd.conf").write_text("pwcheck_method: saslauthd\n"
                                                f"saslauthd_path: {self.socket}\n"
                                                "mech_list: PLAIN LOGIN\n")

        class Store(socketserver.StreamRequestHandler):
            def handle(self):
                self.wfile.write(b"* OK ready\r\n")
                for line in self.rfile:
                    tag, command, *words = shlex.split(line.decode())
                    knows = command == "LOGIN" and users.get(words[0]) == words[1]
                    self.wfile.write(f"{tag} {'OK' if knows else 'NO'} that is all\r\n".encode())

        self.store = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Store)
        self.store.daemon_threads = True
        threading.Thread(target=self.store.serve_forever, daemon=True).start()

    def start(self):
        host, port = self.store.server_address
        self.process = subprocess.Popen(
            ["/usr/sbin/saslauthd", "-d", "-n", "1", "-m", self.folder, "-a", "rimap",
             "-O", f"{host}/{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.socket.exists, "saslauthd's socket")

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.socket.unlink(missing_ok=True)

    def remove(self):
        self.store.shutdown()
        self.store.server_close()
        shutil.rmtree(self.folder, ignore_errors=True)
