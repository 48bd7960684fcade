# SPDX-License-Identifier: Apache-2.0
"""An SMTP server that notes when each transaction began and ended, on any number of addresses; for
what a queue manager's limits come to on the wire. Knows as much SMTP as Postfix's client says."""
import asyncio
import dataclasses
import itertools
import threading
import time

from world import wait_until


HELD = float("inf")


@dataclasses.dataclass
class Transaction:
    connection: int
    address: str  # of the server
    began: float  # MAIL FROM came; time.monotonic()
    sender: str
    recipients: list
    ended: float = None  # the end of content was answered
    is_released: bool = False
    is_accepted: bool = False


class TimedSink:
    """`hold(transaction)` says how many seconds the answer to the content takes, HELD for until its
    is_released is set; `answer_rcpt(address)` may give a reply other than 250."""

    def __init__(self, *endpoints, hold=lambda _: 0, answer_rcpt=lambda _: None):
        self.endpoints, self.hold, self.answer_rcpt = endpoints, hold, answer_rcpt
        self.transactions, self.connections = [], itertools.count()
        self.loop = asyncio.new_event_loop()
        self.servers = []

    def start(self):
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        for address, port in self.endpoints:
            self.listen(address, port)
        return self

    def listen(self, address, port):
        opened = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self.serve, address, port, backlog=4000), self.loop)
        self.servers.append(opened.result(10))

    def stop(self):
        for server in self.servers:
            self.loop.call_soon_threadsafe(server.close)
        self.loop.call_soon_threadsafe(self.loop.stop)

    async def serve(self, reader, writer):
        connection = next(self.connections)
        address = writer.get_extra_info("sockname")[0]
        try:
            await self.converse(reader, writer, connection, address)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def converse(self, reader, writer, connection, address):
        transaction = None
        writer.write(b"220 sink.example ESMTP\r\n")
        while line := await reader.readline():
            verb, reply = line[:4].upper(), b"250 2.0.0 Ok"
            if verb == b"EHLO":
                reply = b"250 sink.example"
            elif verb == b"MAIL":
                transaction = Transaction(connection, address, time.monotonic(),
                                          path_of(line), [])
                self.transactions.append(transaction)
            elif verb == b"RCPT":
                other = self.answer_rcpt(path_of(line))
                if other:
                    reply = other.encode()
                else:
                    transaction.recipients.append(path_of(line))
            elif verb == b"DATA" and transaction.recipients:
                writer.write(b"354 go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                deadline = time.monotonic() + self.hold(transaction)
                while time.monotonic() < deadline and not transaction.is_released:
                    await asyncio.sleep(0.01)
                transaction.is_accepted, transaction.ended = True, time.monotonic()
            elif verb == b"DATA":
                reply = b"554 5.5.1 no recipients"
            writer.write(reply + b"\r\n")
            if verb == b"QUIT":
                break
            await writer.drain()

    def accepted(self):
        return [each for each in self.transactions if each.is_accepted]

    def wait(self, count, seconds=None):
        """The first `count` accepted transactions, in the order of their beginning."""
        wait_until(lambda: len(self.accepted()) >= count,
                   f"{count} transactions (there are {len(self.accepted())})", seconds)
        return sorted(self.accepted(), key=lambda each: each.began)


def path_of(line):
    return line.decode("latin1").split("<", 1)[1].split(">", 1)[0]


def most_at_once(transactions):
    events = sorted([(each.began, 1) for each in transactions] +
                    [(each.ended, -1) for each in transactions])
    return max(itertools.accumulate(step for _, step in events))


def release_one_by_one(sink, domain, count):
    """How many deliveries to the domain are in flight, before each of `count` ends: the window's
    way. Each time everything that may begin has begun."""
    seen = []
    while len(seen) < count:
        held = wait_until(lambda: settled(sink, domain), f"a delivery to {domain}")
        seen.append(len(held))
        min(held, key=lambda each: each.began).is_released = True
    return seen


def settled(sink, domain, seconds=0.5):
    def held():
        return [each for each in sink.transactions if not each.is_released and each.recipients
                and each.recipients[0].endswith("@" + domain)]
    before = held()
    time.sleep(seconds)
    return before if before and len(held()) == len(before) else None


def pauses(transactions):
    """From each end to the next beginning."""
    ordered = sorted(transactions, key=lambda each: each.began)
    return [later.began - sooner.ended for sooner, later in zip(ordered, ordered[1:])]
