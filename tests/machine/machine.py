# SPDX-License-Identifier: Apache-2.0
"""A machine of its own to install things on: this one's file system under an overlay that keeps all
changes, with its own processes, host name, devices and network. The network hangs on the one that
the test runs in, so that whoever is there (name servers, receiving hosts, clients) is "outside".
Needs root."""
import contextlib
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

# Runs as process 1 of the machine. $1: a folder for it. It lives until its input ends.
HOLDER = r"""
set -eu
folder=$1
mount --make-rprivate /
mount -t tmpfs -o size=4g,mode=755 none "$folder/layers"
mkdir "$folder/layers/upper" "$folder/layers/work"
mount -t overlay overlay -o \
    "lowerdir=/,upperdir=$folder/layers/upper,workdir=$folder/layers/work" "$folder/root"
cd "$folder/root"
mount -t proc proc proc
mount -t sysfs sysfs sys 2>/dev/null || true
mount -t tmpfs -o mode=755 none dev
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/shm dev/pts
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs none dev/shm
mount -t tmpfs -o mode=755 none run
mkdir run/lock
mount -t tmpfs -o mode=1777 none tmp
# Installing is quicker without an index of manual pages.
rm -f var/lib/man-db/auto-update
# Packages start what they install, as where init has reached its runlevel.
rm -f usr/sbin/policy-rc.d sbin/runlevel
printf '#!/bin/sh\necho N 2\n' >sbin/runlevel
chmod 755 sbin/runlevel
# What this machine has in its own mail folders is not there.
rm -rf var/spool/postfix var/lib/postfix var/log/maillog var/log/mail.log
mkdir -p var/spool/postfix
# Promises about durability need a real file system.
mount --bind "$folder/spool" var/spool/postfix
ip link set lo up
hostname relay.zombig.name
exec chroot . sh -c 'echo ready; cat >/dev/null'
"""


class SystemLog(threading.Thread):
    """What a syslog daemon with "mail.* /var/log/maillog" does, in the form that rsyslog writes."""

    def __init__(self, machine, file="/var/log/maillog"):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024 * 1024)
        self.socket.bind(str(machine.path("/dev/log")))
        os.chmod(machine.path("/dev/log"), 0o666)
        self.file = machine.path(file)

    def run(self):
        while True:
            data = self.socket.recv(65536).decode(errors="replace")
            match = re.match(r"<(\d+)>(\w{3} [ \d]\d \d\d:\d\d:\d\d )?(?:\S+ )??(\S+\[\d+\]: .*)",
                             data, re.DOTALL)
            if not match:
                continue
            stamp = match[2] or time.strftime("%b %e %H:%M:%S ")
            if int(match[1]) >> 3 == 2:  # facility mail
                with open(self.file, "a", encoding="utf-8") as out:
                    out.write(f"{stamp}relay {match[3].rstrip()}\n")


class Machine:
    """`networks`: {"eth0": ("192.0.2.10", "192.0.2.1")}: its address, and ours at the other end."""

    def __init__(self, networks=None):
        self.networks = networks or {}
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="waypost-machine-", dir="/var/tmp"))
        self.folder.chmod(0o755)
        for name in ["layers", "root", "spool"]:
            (self.folder / name).mkdir()
        self.pid = None

    def path(self, name):
        return pathlib.Path(f"/proc/{self.pid}/root{name}")

    def read(self, name):
        path = self.path(name)
        return path.read_text(errors="replace") if path.exists() else ""

    def __enter__(self):
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child",
             "sh", "-c", HOLDER, "machine", str(self.folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.holder.stdout.readline() != "ready\n":
            raise RuntimeError("the machine did not start")
        children = f"/proc/{self.holder.pid}/task/{self.holder.pid}/children"
        self.pid = int(pathlib.Path(children).read_text().split()[0])
        for at, (name, (inside, outside)) in enumerate(self.networks.items()):
            outer = f"veth{at}"
            self.outer(f"ip link add {outer} type veth peer name {name} netns {self.pid}")
            self.outer(f"ip address add {outside}/24 dev {outer} && ip link set {outer} up")
            self.run(f"ip address add {inside}/24 dev {name} && ip link set {name} up")
            if at == 0:
                self.run(f"ip route add default via {outside}")
        return self

    @staticmethod
    def outer(command):
        subprocess.run(["sh", "-c", command], check=True, timeout=30)

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.holder.stdin.close()
        try:
            self.holder.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.holder.kill()
            self.holder.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def arguments(self):
        return ["nsenter", "--target", str(self.pid), "--mount", "--net", "--pid", "--uts", "--ipc",
                "--root", "env", "--chdir=/root", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "SHELL=/bin/bash"]

    def run(self, command, input=None, check=True, timeout=120, user=None):
        """What somebody types on this machine, to bash; its result has text output."""
        arguments = self.arguments()
        if user is not None:
            arguments += ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        result = subprocess.run([*arguments, "bash", "-c", command], input=input, text=True,
                                capture_output=True, timeout=timeout)
        if check and result.returncode != 0:
            raise AssertionError(f"{command}\nexit {result.returncode}\n{result.stdout}\n"
                                 f"{result.stderr}\n{self.read('/var/log/maillog')[-6000:]}")
        return result

    def forget_postfix(self):
        """A machine that never had Postfix, nor anything else that delivers mail."""
        self.run("dpkg --purge --force-depends postfix-cdb postfix-lmdb postfix-pcre "
                 "postfix-sqlite postfix bsd-mailx; rm -rf /etc/postfix /etc/aliases "
                 "/etc/aliases.*; getent passwd postfix && userdel postfix; getent group postdrop "
                 "&& groupdel postdrop; rm -rf /var/spool/postfix/* /var/lib/postfix; true")

    def install(self, package):
        """A package file, with apt-get, as its user would."""
        shutil.copy(package, self.path(f"/tmp/{pathlib.Path(package).name}"))
        # The machine below may be in the middle of installing something of its own.
        self.run("dpkg --configure -a </dev/null", check=False)
        return self.run(f"apt-get install -y /tmp/{pathlib.Path(package).name} </dev/null",
                        timeout=300)

    def log(self):
        return self.read("/var/log/maillog")

    def wait_log(self, pattern, count=1, seconds=20):
        regex = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = regex.findall(self.log())
            if len(found) >= count:
                return found
            time.sleep(0.05)
        raise AssertionError(f"not in the log: {pattern} × {count}\n{self.log()[-8000:]}")


def package_file():
    """The Debian package of this work tree; made where it is older than the sources."""
    if os.environ.get("WAYPOST_PACKAGE"):
        return pathlib.Path(os.environ["WAYPOST_PACKAGE"]).resolve()
    files = subprocess.run(["git", "-C", ROOT, "ls-files", "src", "man", "packaging", "*meson.build"],
                           capture_output=True, text=True, check=True).stdout.split()
    newest = max((ROOT / name).stat().st_mtime for name in files if (ROOT / name).exists())
    found = [path for path in (ROOT / "build-deb").glob("waypost_*.deb")
             if path.stat().st_mtime > newest]
    if not found:
        subprocess.run([ROOT / "scripts" / "make-deb", ROOT / "build-deb"], check=True, timeout=1200)
        found = list((ROOT / "build-deb").glob("waypost_*.deb"))
    return found[0]
