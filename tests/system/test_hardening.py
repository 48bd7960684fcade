# SPDX-License-Identifier: Apache-2.0
"""What the compiler and the linker were asked for is in the programs."""
import subprocess

import pytest

from world import BUILD, IS_SANITIZED

pytestmark = pytest.mark.skipif(IS_SANITIZED, reason="sanitizers bring their own")


def readelf(program, *options):
    return subprocess.run(["readelf", "-W", *options, str(BUILD / "src" / "roles" / program)],
                          stdout=subprocess.PIPE, text=True, check=True).stdout


@pytest.mark.parametrize("program", ["waypost", "postdrop"])
def test_programs_are_hardened(program):
    segments, dynamic = readelf(program, "-l"), readelf(program, "-d")
    symbols = readelf(program, "--dyn-syms")
    assert "Type:                              DYN" in readelf(program, "-h"), "any address"
    assert "GNU_RELRO" in segments and "BIND_NOW" in dynamic, "no pointer to write over"
    [stack] = [line for line in segments.splitlines() if "GNU_STACK" in line]
    assert " RW " in stack, "the stack is no code"
    assert "__stack_chk_fail" in symbols, "stack protector"
    assert "__memcpy_chk" in symbols or "__snprintf_chk" in symbols, "fortified calls"
