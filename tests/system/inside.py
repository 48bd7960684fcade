# SPDX-License-Identifier: Apache-2.0
"""System calls made inside a running process, as code would make them that has taken it over. The
process is stopped by ptrace(2), gets the call's arguments into its registers, runs one instruction
(`syscall`, found in its own code), and gets its registers back."""
import ctypes
import errno
import os
import pathlib
import platform
import re
import signal

is_possible = platform.machine() == "x86_64" and os.geteuid() == 0

ATTACH, DETACH, GETREGS, SETREGS, CONT, SYSCALL = 16, 17, 12, 13, 7, 24
REGISTERS = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp "
             "ss fs_base gs_base ds es fs gs").split()
RED_ZONE = 8192

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

CALLS = {  # asm/unistd_64.h
    "read": 0, "write": 1, "open": 2, "close": 3, "mmap": 9, "mprotect": 10, "getpid": 39,
    "socket": 41, "connect": 42, "bind": 49, "clone": 56, "fork": 57, "execve": 59, "kill": 62,
    "unlink": 87, "ptrace": 101, "setuid": 105, "chroot": 161, "mount": 165, "tkill": 200,
    "tgkill": 234, "openat": 257, "unshare": 272, "prlimit64": 302, "process_vm_readv": 310,
    "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425, "pidfd_open": 434, "clone3": 435,
    "pidfd_getfd": 438,
}


class Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulong) for name in REGISTERS]


class Killed(Exception):
    """The kernel ended the process for the call; the argument is the signal."""


def ptrace(request, pid, data=None):
    if libc.ptrace(request, pid, None, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def find_syscall_instruction(pid):
    """In the C library, which every process has."""
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        found = re.match(r"([0-9a-f]+)-([0-9a-f]+) r-xp .*/libc\.so", line)
        if found:
            begin, end = (int(each, 16) for each in found.groups())
            with open(f"/proc/{pid}/mem", "rb") as memory:
                memory.seek(begin)
                return begin + memory.read(end - begin).index(b"\x0f\x05")
    raise AssertionError("no C library in the process")


def wait_stop(pid):
    _, status = os.waitpid(pid, 0x40000000)  # __WALL: also where it is not our child
    if os.WIFSIGNALED(status):
        raise Killed(os.WTERMSIG(status))
    if os.WIFEXITED(status):
        raise Killed(0)
    return os.WSTOPSIG(status)


def call(pid, name, *arguments):
    """What the call returns; a negative number is an errno. Texts are put on its stack. The pid may
    be a thread's; the others run on meanwhile."""
    saved, used = Registers(), Registers()
    ptrace(ATTACH, pid)
    while wait_stop(pid) != signal.SIGSTOP:
        ptrace(CONT, pid)
    ptrace(GETREGS, pid, ctypes.byref(saved))
    ctypes.memmove(ctypes.byref(used), ctypes.byref(saved), ctypes.sizeof(saved))
    top = saved.rsp - RED_ZONE
    values = []
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        for each in arguments:
            if isinstance(each, (bytes, str)):
                each = (each.encode() if isinstance(each, str) else each) + b"\0"
                top = (top - len(each)) & ~15
                memory.seek(top)
                memory.write(each)
                each = top
            values.append(each)
    for register, value in zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), values + [0] * 6):
        setattr(used, register, value & 0xffffffffffffffff)
    used.rip, used.rax = find_syscall_instruction(pid), CALLS[name]
    used.orig_rax = 0xffffffffffffffff  # no interrupted call of its own is to be repeated
    ptrace(SETREGS, pid, ctypes.byref(used))
    for _ in range(2):  # to the call's entry, and to its exit
        ptrace(SYSCALL, pid)
        while wait_stop(pid) != signal.SIGTRAP:
            ptrace(SYSCALL, pid)
    ptrace(GETREGS, pid, ctypes.byref(used))
    ptrace(SETREGS, pid, ctypes.byref(saved))
    ptrace(DETACH, pid)
    return ctypes.c_long(used.rax).value


def error_of(result):
    """"EPERM"; None where the call succeeded."""
    return errno.errorcode[-result] if result < 0 else None
