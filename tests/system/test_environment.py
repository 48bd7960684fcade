# SPDX-License-Identifier: Apache-2.0
"""import_environment: what the processes and the commands find in their environment."""
import datetime
import pathlib
import re

from world import Instance, wait_until


def environment_of(pid):
    items = pathlib.Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(item.split("=", 1) for item in items if item)


def hour_there():
    """Nine hours east of Greenwich; two of them, as it may strike."""
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=9)
    return {now.strftime("%H"), (now - datetime.timedelta(minutes=1)).strftime("%H")}


def test_processes_have_what_is_imported_and_nothing_else():
    relay = Instance(import_environment="KEPT, TZ=NOT-1 { WORDS=a, b } LANG=C TZ=THERE-9")
    relay.environment.update(KEPT="of the caller", LOST="too", LANG="de_DE.UTF-8")
    with relay:
        wait_until(lambda: "queue" in relay.role_pids(), "the queue role")
        for pids in relay.role_pids().values():
            found = environment_of(pids[0])
            assert found.pop("PATH")
            assert found.pop("GLIBC_TUNABLES").startswith("glibc.malloc.")
            assert {name: value for name, value in found.items() if "SAN_" not in name} == {
                "KEPT": "of the caller", "TZ": "THERE-9", "WORDS": "a, b", "LANG": "C"}
        assert relay.wait_log(r"^\w{3} [ \d]\d (\d\d):")[-1] in hour_there()


def test_a_reload_imports_anew():
    with Instance(import_environment="TZ=HERE-1") as relay:
        relay.parameters["import_environment"] = "TZ=THERE-9"
        relay.write()
        relay.reload()
        wait_until(lambda: environment_of(max(relay.role_pids()["smtpd"])).get("TZ") == "THERE-9",
                   "a successor with the other time zone")


def test_commands_have_what_is_set():
    with Instance(relayhost="[127.0.0.1]:1", import_environment="TZ=THERE-9") as relay:
        relay.sendmail("user@example.com", input="Subject: x\n\n")
        listing = wait_until(lambda: re.search(r"^\w+[*!]? +\d+ \w{3} \w{3} [ \d]\d (\d\d):",
                                               relay.run("mailq", config_option="-C").stdout, re.M),
                             "mail in the queue")
        assert listing[1] in hour_there()
