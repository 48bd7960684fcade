# SPDX-License-Identifier: Apache-2.0
"""What happens when there are more clients than a service may have: maxproc of master.cf is a number
of conversations, over all workers; who comes beyond it waits in the kernel's queue; and those who
are served meanwhile are served with stress=yes."""
import contextlib
import os
import resource
import select
import signal
import socket
import subprocess
import time

import pytest

from world import (MASTER_CF, PATIENCE, Client, Instance, free_port, has_own_network,
                   wait_until)

LOOPBACK = "127.0.0.1"
PUBLIC = "192.0.2.9"  # one that others could reach; only such services know stress
DESCRIPTORS = 100
QUIET = 0.3  # seconds in which a client that may not be served hears nothing

needs_public_address = pytest.mark.skipif(os.geteuid() != 0 or not has_own_network(),
                                          reason="needs root and a network of its own")


class Busy(Instance):
    """An instance whose smtpd service has that maxproc and two workers."""

    def __init__(self, maxproc="-", address=LOOPBACK, **parameters):
        if address == PUBLIC:
            subprocess.run(["ip", "route", "replace", "local", "192.0.2.0/24", "dev", "lo"],
                           check=True)
        super().__init__(**{"smtpd_client_connection_count_limit": "0",
                            "smtpd_peername_lookup": "no", "waypost_smtpd_workers": "2",
                            **parameters})
        self.address = address
        self.set_maxproc(maxproc)

    def set_maxproc(self, maxproc):
        self.master_cf = MASTER_CF.replace(
            "smtp      inet  n       -       n       -       -       smtpd",
            f"{self.address}:{self.port} inet  n - n - {maxproc} smtpd", 1)
        self.write()

    def reload_with(self, maxproc):
        self.set_maxproc(maxproc)
        before = set(self.role_pids()["smtpd"])
        self.reload()
        wait_until(lambda: len(set(self.role_pids().get("smtpd", [])) - before) >= 2,
                   "the workers of the new configuration")

    def dial(self):
        peer = socket.create_connection((self.address, self.port), PATIENCE)
        peer.settimeout(PATIENCE)
        return peer


def banner(peer):
    text = b""
    while not text.endswith(b"\n"):
        part = peer.recv(200)
        assert part, "closed without a banner"
        text += part
    return text.decode().strip()


def served(peers):
    """Those that have something to read, once nothing more comes."""
    def ready():
        return select.select(peers, [], [], QUIET)[0]
    found = ready()
    while True:
        later = ready()
        if len(later) == len(found):
            return later
        found = later


@contextlib.contextmanager
def crowd(instance, count):
    peers = [instance.dial() for _ in range(count)]
    try:
        yield peers
    finally:
        for each in peers:
            each.close()


def wait_served(peers, count):
    wait_until(lambda: len(select.select(peers, [], [], 0)[0]) >= count, f"{count} banners")
    assert len(served(peers)) == count


def test_maxproc_is_the_most_conversations_and_the_next_client_waits_for_one_to_leave():
    with Busy(3) as instance, crowd(instance, 10) as peers:
        wait_served(peers, 3)
        waiting = list(peers)
        for _ in range(7):
            first = served(waiting)[0]
            assert banner(first).startswith("220")
            waiting.remove(first)
            first.close()
            wait_served(waiting, min(3, len(waiting)))


def test_each_service_has_its_own_limit_or_that_of_main_cf_or_none():
    instance = Busy(2, default_process_limit="3")
    ports = {"1": free_port(), "-": free_port(), "0": free_port()}
    instance.master_cf += "".join(f"{LOOPBACK}:{port} inet n - n - {maxproc} smtpd\n"
                                  for maxproc, port in ports.items())
    instance.write()
    with instance, crowd(instance, 3) as peers:
        wait_served(peers, 2)
        for maxproc, limit in {"1": 1, "-": 3, "0": 5}.items():
            with contextlib.ExitStack() as stack:
                others = [stack.enter_context(socket.create_connection(
                    (LOOPBACK, ports[maxproc]), PATIENCE)) for _ in range(5)]
                wait_served(others, limit)


def test_without_a_limit_in_the_configuration_300_clients_are_served_at_once():
    with Busy("-") as instance, crowd(instance, 300) as peers:
        wait_served(peers, 300)
        assert "process limit" not in instance.log()


def test_a_killed_worker_gives_its_places_back():
    with Busy(3) as instance, crowd(instance, 8) as peers:
        wait_served(peers, 3)
        cut = served(peers)
        for each in cut:
            banner(each)
        for pid in instance.role_pids()["smtpd"]:
            os.kill(pid, signal.SIGKILL)
        for each in cut:
            assert each.recv(200) == b""
        wait_served([each for each in peers if each not in cut], 3)


def test_conversations_that_a_reload_leaves_to_an_older_worker_count():
    with Busy(3) as instance, crowd(instance, 3) as old:
        wait_served(old, 3)
        instance.reload_with(3)
        with crowd(instance, 3) as new:
            assert not served(new)
            old.pop().close()
            wait_served(new, 1)
            old.pop().close()
            wait_served(new, 2)


def test_a_lower_limit_holds_with_those_who_are_there_and_a_higher_one_at_once():
    with Busy(5) as instance, crowd(instance, 5) as old:
        wait_served(old, 5)
        instance.reload_with(2)
        with crowd(instance, 4) as new:
            for _ in range(3):
                old.pop().close()
            assert not served(new)
            old.pop().close()
            wait_served(new, 1)
            instance.reload_with(4)
            wait_served(new, 3)


def stress_of(peer):
    return banner(peer).split("stress=")[1]


@needs_public_address
def test_the_last_place_and_those_after_it_have_stress_and_the_log_says_so_once():
    with Busy(2, PUBLIC, smtpd_banner="$myhostname stress=${stress}") as instance:
        with crowd(instance, 4) as peers:
            wait_served(peers, 2)
            assert sorted(stress_of(each) for each in served(peers)) == ["", "yes"]
            peers.remove(first := next(each for each in peers if each not in served(peers)))
            first.close()
        with crowd(instance, 2) as peers:
            assert [stress_of(each) for each in peers] == ["yes", "yes"]
        name, port = f"{PUBLIC}:{instance.port}", f"[{PUBLIC}]:{instance.port}"
        instance.wait_log("STRESS_README")
        assert instance.log().count(
            f'warning: service "{name}" ({port}) has reached its process limit "2": new clients '
            "may experience noticeable delays") == 1
        instance.run("postfix", "status", "-v", check=False)
        instance.wait_log(rf"status: smtpd.*service {name}: \d+ conversations in all workers, "
                          r"2 at most; new ones with stress=yes")


@needs_public_address
def test_stress_shortens_patience_and_passes():
    def bears_errors():
        with Client(PUBLIC, instance.port) as client:
            client.command("NONSENSE")
            return client.command("NOOP")[0] == 250

    with Busy(3, PUBLIC, waypost_stress_time="2s", smtpd_timeout="${stress?{1}:{60}}s") as instance:
        with crowd(instance, 3) as peers:
            assert [banner(each)[:3] for each in peers] == ["220"] * 3
            ended, _, _ = select.select(peers, [], [], PATIENCE)
            assert len(ended) == 1 and b"421 4.4.2" in ended[0].recv(200)
            assert len(served(peers)) == 1  # the other ones have a minute
            assert not bears_errors()  # smtpd_hard_error_limit is 1, by its default
        wait_until(bears_errors, "the end of stress")


@needs_public_address
def test_a_policy_of_its_own_holds_under_stress():
    with Busy(2, PUBLIC, smtpd_relay_restrictions="permit_mynetworks, reject",
              smtpd_helo_required="yes", smtpd_delay_reject="no",
              smtpd_helo_restrictions="${stress?{reject}:{permit}}") as instance:
        with Client(PUBLIC, instance.port) as calm, Client(PUBLIC, instance.port) as stressed:
            assert calm.command("EHLO client.example.test")[0] == 250
            assert stressed.command("EHLO client.example.test")[0] == 554


@needs_public_address
def test_without_a_limit_few_descriptors_are_overload():
    class Poor(Busy):
        def start(self):
            self.run("postfix", "start", preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS)))
            return self

    with Poor("-", PUBLIC, waypost_smtpd_workers="1",
              smtpd_banner="$myhostname stress=${stress}") as instance:
        with crowd(instance, DESCRIPTORS * 3 // 4) as peers:
            assert [stress_of(each) for each in peers] == [""] * (len(peers) - 1) + ["yes"]
        instance.wait_log("is short of descriptors")


def test_services_of_the_machine_itself_know_no_stress():
    with Busy(2, smtpd_banner="$myhostname stress=${stress}") as instance:
        with crowd(instance, 3) as peers:
            wait_served(peers, 2)
            assert [stress_of(each) for each in served(peers)] == ["", ""]
        assert "process limit" not in instance.log()


def test_a_flood_from_one_address_leaves_room_for_others():
    limit, flood = 20, 300
    with Busy("-", smtpd_client_connection_count_limit=limit,
              smtpd_client_event_limit_exceptions="") as instance:
        with crowd(instance, flood) as peers:
            replies = [banner(each)[:3] for each in peers]
            assert (replies.count("220"), replies.count("421")) == (limit, flood - limit)
            with socket.create_connection((LOOPBACK, instance.port), PATIENCE,
                                          source_address=("127.0.0.2", 0)) as other:
                assert banner(other)[:3] == "220"


def test_clients_that_send_a_letter_now_and_then_are_ended_in_time_and_delay_nobody():
    patience, slow, rounds = 2, 300, 100
    with Busy("-", smtpd_timeout=f"{patience}s", smtpd_junk_command_limit="100000") as instance, \
            crowd(instance, slow) as peers:
        for each in peers:
            assert banner(each)[:3] == "220"
        with Client(LOOPBACK, instance.port) as client:
            waits = []
            while peers:
                for each in peers:
                    with contextlib.suppress(OSError):  # ended meanwhile: it is found below
                        each.send(b"N")
                for _ in range(rounds // 10):
                    begin = time.monotonic()
                    assert client.command("VRFY <nobody>")[0] > 0
                    waits.append(time.monotonic() - begin)
                for each in select.select(peers, [], [], 0.2)[0]:
                    with contextlib.suppress(ConnectionError):
                        assert each.recv(200)[:9] in (b"421 4.4.2", b"")
                    peers.remove(each)
                    each.close()
        assert sorted(waits)[len(waits) * 99 // 100 - 1] < patience / 2
