# SPDX-License-Identifier: Apache-2.0
"""Reload without loss: clients go on connecting and sending while the configuration changes again
and again. No connection is refused, no reply is lost, every accepted message arrives once."""
import collections
import os
import re
import threading
import time

import pytest
from world import Client, IS_SANITIZED, Instance, Sink, message, wait_until

RELOADS = int(os.environ.get("WAYPOST_RELOADS", "40" if IS_SANITIZED else "200"))
CLIENTS = 4


class Load:
    """Clients that each deliver one message after the other, half of them over one connection for
    several messages, until they are told to stop."""

    def __init__(self, port):
        self.port, self.accepted, self.problems = port, [], []
        self.connections, self.is_over = 0, False
        self.threads = [threading.Thread(target=self.run, args=(number,), daemon=True)
                        for number in range(CLIENTS)]

    def run(self, number):
        count = 0
        while not self.is_over:
            try:
                with Client("127.0.0.1", self.port) as client:
                    self.connections += 1
                    assert client.banner[0] == 220, client.banner
                    client.command("EHLO client.example.test")
                    for _ in range(1 + number % 2 * 4):
                        name = f"m{number}-{count}"
                        count += 1
                        reply = client.deliver("a@example.com", ["b@example.org"], message(name))
                        # 421 between two messages is the server's right; then nothing was promised.
                        if reply[0] != 250:
                            assert reply[0] in (0, 421), reply
                            break
                        self.accepted.append(name)
            except (OSError, AssertionError) as error:
                self.problems.append(repr(error))
            time.sleep(0.01)

    def __enter__(self):
        for each in self.threads:
            each.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        for each in self.threads:
            each.join(timeout=30)


@pytest.mark.timeout(600)
def test_hundreds_of_reloads_under_load_lose_nothing():
    with Sink() as sink, Instance(relayhost=f"[127.0.0.1]:{sink.port}") as relay:
        with Load(relay.port) as load:
            started = time.monotonic()
            for number in range(RELOADS):
                relay.parameters["smtpd_recipient_limit"] = 500 + number
                relay.write()
                relay.reload()
                wait_until(lambda: relay.log().count("reload -- version") > number, "the reload", 60)
            seconds = time.monotonic() - started
        assert load.problems == []
        assert len(load.accepted) > RELOADS / 4, "there was load all the time"
        wait_until(lambda: len(sink.messages) >= len(load.accepted), "every message", 60)
        wait_until(relay.queue_is_empty, "an empty queue")
        names = collections.Counter(re.search(r"Subject: (\S+)", each.text)[1]
                                    for each in sink.messages)
        assert set(load.accepted) <= set(names)
        assert [name for name, count in names.items() if count > 1] == []
        print(f"{RELOADS} reloads in {seconds:.1f} s, {load.connections} connections, none refused, "
              f"{len(load.accepted)} messages, none lost, none twice")


BROKEN = {"a number": ("maximal_queue_lifetime", "20x"),
          "an undefined choice": ("smtpd_tls_security_level", "maybe"),
          "a bad network": ("mynetworks", "127.0.0.1/8"),
          "a restriction nobody knows": ("smtpd_recipient_restrictions", "permit_everybody_else"),
          "no guard at all": ("smtpd_relay_restrictions", "permit")}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_configuration_keeps_the_one_before(kind):
    name, value = BROKEN[kind]
    with Sink() as sink, Instance(relayhost=f"[127.0.0.1]:{sink.port}",
                                  smtpd_recipient_restrictions="") as relay:
        good = dict(relay.parameters)
        relay.parameters[name] = value
        relay.write()
        relay.run("postfix", "reload", check=False)
        for _ in range(5):
            with relay.connect() as client:
                assert client.banner[0] == 220
                client.command("EHLO client.example.test")
                assert client.deliver("a@example.com", ["b@example.org"], message())[0] == 250
            time.sleep(0.2)
        sink.wait(5)
        relay.parameters = good
        relay.write()
        relay.run("postfix", "reload")
        relay.wait_log("reload -- version")
        with relay.connect() as client:
            client.command("EHLO client.example.test")
            assert client.deliver("a@example.com", ["b@example.org"], message())[0] == 250


def test_an_open_conversation_goes_on_after_a_reload():
    with Sink() as sink, Instance(relayhost=f"[127.0.0.1]:{sink.port}") as relay:
        with relay.connect() as client:
            client.command("EHLO client.example.test")
            client.command("MAIL FROM:<a@example.com>")
            relay.reload()
            relay.wait_log("reload -- version")
            assert client.command("RCPT TO:<b@example.org>")[0] == 250
            assert client.command("DATA")[0] == 354
            client.send("Subject: x\r\n\r\nHello.\r\n.\r\n")
            assert client.reply()[0] == 250
        sink.wait(1)
