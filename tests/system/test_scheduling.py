# SPDX-License-Identifier: Apache-2.0
"""Destinations that hang, mailings, and whoever else wants to be served: seen from outside."""
import contextlib
import select
import socket
import threading

from world import Client, Instance, Sink, message, wait_until

HANGING, WORKING = 5, 100
MAILING, MESSAGES = 50_000, 2  # an envelope has three megabytes at most
PROCESSES = 100  # default_process_limit


class SilentServer:
    """Takes connections on every address and never says a word."""

    def __enter__(self):
        self.listener = socket.socket()
        self.listener.bind(("0.0.0.0", 0))
        self.listener.listen(200)
        self.port = self.listener.getsockname()[1]
        self.taken = []
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                self.taken.append(self.listener.accept()[0])

    def open_count(self):
        """Of those that the client has not closed."""
        readable = select.select(self.taken, [], [], 0)[0] if self.taken else []
        return len(self.taken) - len(readable)

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        for each in [self.listener, *self.taken]:
            each.close()


def submit_mailing(relay, recipients):
    """One message, its RCPT commands in pieces that fit into the sockets' buffers."""
    with Client("127.0.0.1", relay.port, timeout=60) as client:
        for line in ("EHLO x", "MAIL FROM:<list@example.test>"):
            assert client.command(line)[0] == 250
        for start in range(0, len(recipients), 200):
            piece = recipients[start:start + 200]
            client.send(b"".join(b"RCPT TO:<%s>\r\n" % each for each in piece))
            assert all(client.reply()[0] == 250 for _ in piece)
        assert client.command("DATA")[0] == 354
        client.send(message("mailing") + ".\r\n")
        reply = client.reply()
        assert reply[0] == 250, reply


def relay_to(silent, sink, **parameters):
    relay = Instance(transport_maps="pcre:$config_directory/transport",
                     smtpd_recipient_limit=MAILING, initial_destination_concurrency="20",
                     **parameters)
    (relay.config / "transport").write_text(
        rf"/@h(\d+)\.example$/ smtp:[127.0.2.$1]:{silent.port}" "\n"
        rf"/@w(\d+)\.example$/ smtp:[127.0.1.$1]:{sink.port}" "\n")
    return relay


def submit_singles(relay):
    for i in range(1, WORKING + 1):
        with Client("127.0.0.1", relay.port) as client:
            client.deliver("one@example.test", [f"user@w{i}.example"], message(f"single {i}"))


def test_destinations_that_hang_and_a_mailing_to_them_do_not_delay_others():
    """Five with a concurrency of 20 would use up the process limit of 100, until they time out."""
    with SilentServer() as silent, Sink("0.0.0.0") as sink, relay_to(silent, sink) as relay:
        mailing = [b"u%d@h%d.example" % (i, i % HANGING + 1) for i in range(MAILING)]
        for i in range(MESSAGES):
            submit_mailing(relay, mailing[i::MESSAGES])
        held = PROCESSES - PROCESSES // 10
        wait_until(lambda: silent.open_count() >= held, "deliveries that hang")
        submit_singles(relay)
        sink.wait(WORKING)
        assert silent.open_count() == held
        assert "status=deferred" not in relay.log()
