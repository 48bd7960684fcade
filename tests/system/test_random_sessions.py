# SPDX-License-Identifier: Apache-2.0
"""Some random sessions from both sides; tests/fuzz/random_sessions.py plays as many as it is told."""
import os
import pathlib
import subprocess
import sys

import pytest

from world import IS_SANITIZED

SESSIONS = [("server", 60), ("client", 20)] if IS_SANITIZED else [("server", 400), ("client", 100)]
SCRIPT = pathlib.Path(__file__).resolve().parent.parent / "fuzz" / "random_sessions.py"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as the relay's roles have users of their own")
@pytest.mark.parametrize("side, sessions", SESSIONS)
def test_no_session_kills_a_role_or_loses_mail(side, sessions):
    done = subprocess.run([sys.executable, SCRIPT, "--side", side, "--sessions", str(sessions)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=110,
                          check=False)
    assert done.returncode == 0, done.stdout[-4000:]
