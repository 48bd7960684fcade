# SPDX-License-Identifier: Apache-2.0
"""A relay that was installed from its package, with the outside world at its two interfaces. The
tests of a module go through it in their order, as somebody does who reads the tutorial."""
import os
import pathlib
import shutil
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "machine"), str(HERE.parent / "system")]

from machine import Machine, SystemLog, package_file  # noqa: E402
from outside import NAMES, NETWORKS, Outside  # noqa: E402


class Relay(Machine):
    """`type` is what somebody types."""

    def type(self, command, **more):
        return self.run(command, **more)

    def check(self):
        """What `postfix check` says, one line for each finding."""
        return self.run("postfix check", check=False).stderr.splitlines()

    def queue(self):
        return self.run("mailq").stdout

    def mark(self):
        """From here on, log_since(mark) reads."""
        return len(self.log())

    def log_since(self, mark):
        return self.log()[mark:]


@pytest.fixture(scope="module")
def outside():
    with Outside() as outside:
        yield outside


@pytest.fixture(scope="module")
def relay(outside):
    with Relay(NETWORKS) as relay:
        relay.run(f"rm -f /etc/resolv.conf; echo nameserver {NAMES} >/etc/resolv.conf")
        SystemLog(relay).start()
        relay.install(package_file())
        # While developing: the programs of a build over those of an older package.
        if os.environ.get("WAYPOST_OVER_PACKAGE"):
            for name in ("waypost", "postdrop"):
                built = pathlib.Path(os.environ["WAYPOST_OVER_PACKAGE"]) / "src/roles" / name
                relay.run(f"cp /usr/sbin/{name} /tmp/{name} ; rm /usr/sbin/{name}")
                shutil.copy(built, relay.path(f"/usr/sbin/{name}"))
            relay.run("chgrp postdrop /usr/sbin/postdrop && chmod 2755 /usr/sbin/postdrop")
        shutil.copy(HERE.parent.parent / "packaging/debian/waypost.init",
                    relay.path("/etc/init.d/waypost"))
        relay.run("service postfix stop; rm -rf /var/log/maillog /etc/postfix/*")
        yield relay
