# SPDX-License-Identifier: Apache-2.0
"""A data base of Cyrus SASL, made by saslpasswd2(8), with the configuration that names it."""
import pathlib
import shutil
import subprocess
import tempfile

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
