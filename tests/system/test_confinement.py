# SPDX-License-Identifier: Apache-2.0
"""What the running processes may do, as the kernel sees it."""
import pathlib
import re

import pytest

from world import IS_SANITIZED, Instance

# linux/capability.h
CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP = range(9)
NET_BIND_SERVICE, SYS_CHROOT = 10, 18
MASTER = {CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP,
          NET_BIND_SERVICE, SYS_CHROOT}


def status(pid):
    return dict(re.findall(r"^(\w+):\s*(.*)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M))


def capabilities(pid, kind):
    bits = int(status(pid)[kind], 16)
    return {number for number in range(64) if bits >> number & 1}


@pytest.fixture(scope="module")
def running():
    with Instance() as instance:
        yield instance


def test_master_has_eleven_capabilities_and_no_child_of_it_can_have_more(running):
    pid = running.master_pid()

    assert capabilities(pid, "CapEff") == capabilities(pid, "CapBnd") == MASTER


def test_roles_beside_local_are_not_root_and_have_no_capability(running):
    for role, pids in running.role_pids().items():
        for pid in pids if role != "local" else []:
            assert capabilities(pid, "CapEff") == capabilities(pid, "CapPrm") == set(), role
            assert "0" not in status(pid)["Uid"].split(), role
            assert status(pid)["NoNewPrivs"] == "1", role
            # Sanitizers do not bear a filter (service/confinement.h).
            assert status(pid)["Seccomp"] == ("0" if IS_SANITIZED else "2"), role
