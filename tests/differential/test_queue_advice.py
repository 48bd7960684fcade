# SPDX-License-Identifier: Apache-2.0
"""What the queue manager's log says beside deliveries, and how: warnings of a destination that
falls behind (qmgr_clog_warn_time), the steps of its concurrency
(destination_concurrency_feedback_debug), the digits of delays (delay_logging_resolution_limit).
Debian's Postfix and Waypost with the same mail; the lines are compared where their order does not
depend on who is faster."""
import contextlib
import os
import pathlib
import re
import smtplib
import socket
import sys
import threading

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "system"))

import reference
from world import Instance, Sink, message, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not reference.is_installed(),
                                reason="needs root and Debian's Postfix")

COMMON = {"myhostname": "relay.example.test", "mydomain": "example.test", "mydestination": "",
          "compatibility_level": "3.6", "mynetworks": "127.0.0.0/8", "default_transport": "smtp",
          "smtpd_recipient_restrictions": "permit_mynetworks, reject", "in_flow_delay": "0"}
SERVICES = "smtp unix - - n - 100 smtp\nscache unix - - n - 1 scache\n"


@contextlib.contextmanager
def silent_server():
    """Takes connections and never says a word; its port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        kept = []

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    kept.append(listener.accept()[0])
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        for each in kept:
            each.close()


@contextlib.contextmanager
def both(**parameters):
    values = {**COMMON, **parameters}
    with reference.Reference(services=SERVICES, **values) as theirs, Instance(**values) as ours:
        yield theirs, ours


def send(system, domain, count):
    with smtplib.SMTP("127.0.0.1", system.port) as client:
        for i in range(count):
            client.sendmail("a@b.example", [f"u{i}@{domain}"], message())


def told(system, ports, pattern):
    lines = [line.split("]: ", 1)[1] for line in system.log().splitlines()
             if "]: " in line and re.search(pattern, line.split("]: ", 1)[1])]
    for name, port in ports.items():
        lines = [line.replace(f"]:{port}", f"]:{name}") for line in lines]
    return [line.replace("Postfix", "Waypost") for line in lines]


ADVICE = r"warning: (mail for|this may slow|you may need|so that|please avoid|lots of|to turn off)"
CLOGGED = {
    "window": {"initial_destination_concurrency": "30",
               "default_destination_concurrency_limit": "50"},
    "neither": {},
    "off": {"qmgr_clog_warn_time": "0"},
    "no help": {"helpful_warnings": "no"},
}


@pytest.mark.parametrize("name", CLOGGED)
def test_a_destination_that_falls_behind_is_warned_of_with_the_same_advice(name):
    with silent_server() as port, both(relayhost=f"[127.0.0.1]:{port}",
                                       qmgr_message_active_limit="20",
                                       **CLOGGED[name]) as systems:
        found = []
        for system in systems:
            send(system, "slow.example", 12)
            if "off" in name or "no" in name.split():
                wait_until(lambda: system.log().count("(queue active)") >= 12, "active mail")
            else:
                wait_until(lambda: told(system, {}, "to turn off"), "a warning")
            found.append(told(system, {"PORT": port}, ADVICE))
        theirs, ours = found
        assert ours == theirs
        assert bool(ours) == (name not in ("off", "no help"))
        if ours:
            assert re.fullmatch(r"warning: mail for \[127\.0\.0\.1\]:PORT is using up 5 of 5 active "
                                "queue entries", ours[0]), ours


def test_a_warning_names_the_limit_that_is_used_up_and_comes_once_in_its_time():
    with silent_server() as port, Instance(**COMMON, relayhost=f"[127.0.0.1]:{port}",
                                           qmgr_message_active_limit="20",
                                           smtp_helo_timeout="1s",
                                           default_destination_concurrency_limit="1",
                                           initial_destination_concurrency="1",
                                           default_destination_concurrency_failed_cohort_limit="0",
                                           ) as relay:
        send(relay, "slow.example", 12)
        relay.wait_log(r"smtp_destination_concurrency_limit from 1$")
        relay.wait_log("status=deferred", 4)
        assert relay.log().count("is using up") == 1


FEEDBACK = {
    "whole": ("1", "1", {}),
    "parts": ("1/4", "1/concurrency",
              {"default_destination_concurrency_failed_cohort_limit": "3"}),
}


@pytest.mark.parametrize("name", FEEDBACK)
def test_steps_of_concurrency_are_logged_alike(name):
    """One delivery at a time, so that the order is the same."""
    up, down, more = FEEDBACK[name]
    with Sink() as sink, both(
            transport_maps="inline:{a.example=smtp:[127.0.0.1]:%d, b.example=smtp:[127.0.0.1]:1}"
            % sink.port, destination_concurrency_feedback_debug="yes",
            default_destination_concurrency_positive_feedback=up,
            default_destination_concurrency_negative_feedback=down,
            initial_destination_concurrency="2", **more) as systems:
        found = []
        for system in systems:
            for _ in range(3):
                count = system.log().count("status=sent")
                send(system, "a.example", 1)
                wait_until(lambda: system.log().count("status=sent") > count, "a delivery")
            for _ in range(2):
                count = system.log().count("status=deferred")
                send(system, "b.example", 1)
                wait_until(lambda: system.log().count("status=deferred") > count, "a failure")
            wanted = 3 + 2
            wait_until(lambda: len(told(system, {}, "throttle: queue")) >= wanted, "the last step")
            found.append(told(system, {"PORT": sink.port},
                              r"^(qmgr_queue_\w*throttle: |smtp: .*feedback type)"))
        assert found[0] == found[1]


@pytest.mark.parametrize("limit, form", [
    ("0", r"\d+"), ("1", r"\d+(\.\d)?"), ("2", r"\d+(\.\d{1,2})?"), ("6", r"\d+(\.\d{1,6})?")])
def test_delays_have_so_many_digits(limit, form):
    with both(delay_logging_resolution_limit=limit, default_transport="discard",
              relay_transport="discard") as systems:
        for system in systems:
            for _ in range(3):
                send(system, "a.example", 1)
            pattern = r"delay=(\S+), delays=(\S+)/(\S+)/(\S+)/(\S+), dsn=2"
            wait_until(lambda: len(re.findall(pattern, system.log())) >= 3, "three deliveries")
            values = [value for line in re.findall(pattern, system.log()) for value in line]
            assert all(re.fullmatch(form, value) for value in values), (system, values)
            if limit == "6":
                assert any(len(value) > len("0.00") for value in values), (system, values)
            assert all(len(value.replace(".", "").strip("0")) <= 2 for value in values), values
