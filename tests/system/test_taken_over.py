# SPDX-License-Identifier: Apache-2.0
"""What code can do that has taken a role over: system calls made inside the running process. A call
that every role must be able to make succeeds in the same way, so a refusal means something."""
import contextlib
import functools
import os
import pathlib
import signal
import socket

import pytest

import inside
from certificates import Certificates
from inside import Killed, error_of
from world import IS_SANITIZED, MASTER_CF, Instance, wait_until

pytestmark = pytest.mark.skipif(not inside.is_possible or IS_SANITIZED,
                                reason="needs root and x86_64; sanitizers do not bear a filter")

# local is root by its nature and runs programs: what it does instead, test_local.py shows.
ROLES = ["log", "queue", "resolver", "anvil", "verify", "smtp", "smtpd", "pickup",
         "keys"]
FILES = {"queue", "pickup"}                      # see some files, fenced by Landlock
INET, UNIX = {"smtp", "resolver"}, {"log"}       # make sockets
THREADS = {"queue", "resolver"}
PROT_READ, PROT_WRITE, PROT_EXEC, MAP_PRIVATE, MAP_ANONYMOUS = 1, 2, 4, 2, 32


@functools.cache
def certificate():
    return Certificates().make("relay.example.test")


def instance():
    certificate_file, key_file = certificate()
    master_cf = MASTER_CF + "verify unix - - n - 1 verify\n"
    return Instance(master_cf=master_cf, address_verify_map="", smtpd_tls_security_level="may",
                    smtpd_tls_cert_file=certificate_file, smtpd_tls_key_file=key_file,
                    smtpd_recipient_restrictions="permit_mynetworks, reject_unverified_recipient")


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    key = tmp_path_factory.mktemp("keys") / "private.key"
    key.write_text("a secret")
    with instance() as made:
        made.key = key
        yield made


def is_confined(pid):
    with contextlib.suppress(OSError):
        return "Seccomp:\t2" in pathlib.Path(f"/proc/{pid}/status").read_text()
    return False


def pid_of(running, role):
    return wait_until(lambda: next(filter(is_confined, running.role_pids().get(role, [])), None),
                      f"the role {role}")


def call(running, role, name, *arguments):
    return inside.call(pid_of(running, role), name, *arguments)


@pytest.mark.parametrize("role", ROLES)
def test_a_harmless_call_works(running, role):
    pid = pid_of(running, role)
    assert inside.call(pid, "getpid") == pid
    assert pid_of(running, role) == pid, "it lives on"


@pytest.mark.parametrize("role", ROLES)
def test_files_of_others_cannot_be_opened(running, role):
    store = next(each for each in (running.queue / "store").iterdir() if each.is_file())
    # The queue reads the folders of tables again, here /etc (aliases) and main.cf's, and its store.
    of_queue = ("/etc/passwd", running.config / "main.cf", store)
    for path in (running.key, "/etc/shadow", "/proc/self/mem", "/dev/null",
                 *(() if role == "queue" else of_queue)):
        result = call(running, role, "openat", -100, str(path), os.O_RDONLY)
        assert error_of(result) in ("EPERM", "EACCES"), path


def test_the_queue_opens_its_store(running):
    store = next(each for each in (running.queue / "store").iterdir() if each.is_file())
    descriptor = call(running, "queue", "openat", -100, str(store), os.O_RDONLY)
    assert descriptor >= 0
    assert call(running, "queue", "close", descriptor) == 0


@pytest.mark.parametrize("role", ROLES)
def test_only_who_needs_it_makes_sockets_and_of_its_families(running, role):
    families = {socket.AF_INET: INET, socket.AF_INET6: INET, socket.AF_UNIX: UNIX,
                socket.AF_NETLINK: set(), socket.AF_PACKET: set(), 40: set()}  # 40: AF_VSOCK
    for family, allowed in families.items():
        result = call(running, role, "socket", family, socket.SOCK_STREAM, 0)
        if role in allowed:
            assert result >= 0, family
            assert call(running, role, "close", result) == 0
        else:
            assert error_of(result) == "EPERM", family


@pytest.mark.parametrize("role", sorted(INET))
def test_nobody_binds_an_address_below_1024(running, role):
    address = b"\x02\x00\x00\x50\x7f\x00\x00\x01" + bytes(8)  # 127.0.0.1:80
    result = call(running, role, "socket", socket.AF_INET, socket.SOCK_STREAM, 0)
    assert error_of(call(running, role, "bind", result, address, 16)) == "EACCES"
    assert call(running, role, "close", result) == 0


@pytest.mark.parametrize("role", ROLES)
def test_nobody_harms_another_process(running, role):
    victim = pid_of(running, "smtpd" if role != "smtpd" else "queue")
    for name, *arguments in (("kill", victim, signal.SIGKILL), ("kill", -1, signal.SIGKILL),
                             ("tgkill", victim, victim, signal.SIGKILL),
                             ("tkill", victim, signal.SIGKILL), ("pidfd_open", victim, 0),
                             ("prlimit64", victim, 7, bytes(16), 0)):
        assert error_of(call(running, role, name, *arguments)) == "EPERM", name
    assert os.path.exists(f"/proc/{victim}")


@pytest.mark.parametrize("role", [role for role in ROLES if role not in THREADS])
def test_who_does_not_need_it_makes_no_process_or_thread(running, role):
    assert error_of(call(running, role, "clone", signal.SIGCHLD, 0, 0, 0, 0)) == "EPERM"
    assert error_of(call(running, role, "clone3", bytes(88), 88)) == "EPERM"


@pytest.mark.parametrize("role", ROLES)
def test_no_memory_becomes_code(running, role):
    pid = pid_of(running, role)
    private = MAP_PRIVATE | MAP_ANONYMOUS
    assert error_of(inside.call(pid, "mmap", 0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, private,
                                -1, 0)) == "EPERM"
    page = inside.call(pid, "mmap", 0, 4096, PROT_READ | PROT_WRITE, private, -1, 0)
    assert page > 0
    assert error_of(inside.call(pid, "mprotect", page, 4096, PROT_READ | PROT_EXEC)) == "EPERM"


@pytest.mark.parametrize("name, arguments", [
    ("execve", ["/bin/sh", 0, 0]),
    ("ptrace", [inside.ATTACH, 1, 0, 0]),
    ("process_vm_readv", [1, 0, 0, 0, 0, 0]),
    ("fork", []),
    ("setuid", [0]),
    ("chroot", ["/"]),
    ("mount", ["none", "/", "tmpfs", 0, 0]),
    ("unshare", [0x10000000]),
    ("bpf", [0, 0, 0]),
    ("userfaultfd", [0]),
    ("io_uring_setup", [1, bytes(120)]),
    ("pidfd_getfd", [0, 0, 0]),
])
def test_what_no_role_does_ends_it(name, arguments):
    with instance() as running:
        pids = {role: pid_of(running, role) for role in ROLES}
        for role, pid in pids.items():
            with contextlib.suppress(Killed):  # at once, or as soon as it runs on
                inside.call(pid, name, *arguments)
            running.wait_log(rf"process {role} pid {pid} killed by signal {int(signal.SIGSYS)}\b")
            assert pid_of(running, role) != pid, "it has a successor"
