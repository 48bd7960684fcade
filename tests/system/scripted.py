# SPDX-License-Identifier: Apache-2.0
"""Servers that misbehave as they are told: any number of them in one thread, each on an address of
its own and all on one port."""
import asyncio
import re
import socket
import struct
import threading

from world import free_port


class Step:
    """What a server does in place of a plain reply."""

    def __init__(self, kind, *arguments):
        self.kind, self.arguments = kind, arguments


CLOSE = Step("close")
RESET = Step("reset")
HANG = Step("hang")


def raw(data):
    """These bytes, without a line end of our own."""
    return Step("raw", data)


def then(*actions):
    """One after the other: then("250 Ok", CLOSE)."""
    return Step("then", *actions)


def slowly(text, pause):
    """A byte at a time."""
    return Step("slowly", text, pause)


def flood(line, count):
    return Step("flood", line, count)


def after(seconds, action):
    return Step("after", seconds, action)


DEFAULTS = {
    "greeting": "220 scripted.example.test ESMTP",
    "ehlo": "250-scripted.example.test\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250-8BITMIME\r\n"
            "250 DSN",
    "helo": "250 scripted.example.test",
    "lhlo": "250-scripted.example.test\r\n250 PIPELINING",
    "xforward": "250 2.0.0 Ok",
    "mail": "250 2.1.0 Ok",
    "rcpt": "250 2.1.5 Ok",
    "data": "354 go on",
    "dot": "250 2.0.0 Ok: taken",
    "rset": "250 2.0.0 Ok",
    "quit": "221 2.0.0 Bye",
    "starttls": "454 4.7.0 not now",
    "auth": "535 5.7.8 no",
    "line": "500 5.5.2 what?",
}


class Server:
    """`script` maps a stage ("greeting", "ehlo", "mail", "rcpt", "data", "dot", …) to a reply or
    Step; a dictionary in its place maps the local part of the recipient (rcpt), and a list is
    used up by one connection after the other. "body" is done while content is expected."""

    def __init__(self, script):
        self.script = script
        self.connections = 0
        self.commands = []  # of all connections, as they came
        self.messages = []  # (accepted recipients, content as it came, dots stuffed)
        self.peers = []

    def action(self, stage, key, number):
        action = self.script.get(stage, DEFAULTS.get(stage))
        if isinstance(action, list):
            action = action[min(number, len(action) - 1)]
        if isinstance(action, dict):
            action = action.get(key, DEFAULTS.get(stage))
        return action


class Over(Exception):
    pass


class Servers:
    """{address: script}; `server(address)` tells what happened there."""

    def __init__(self, scripts, port=None):
        self.port = port or free_port()
        self.servers = {address: Server(script) for address, script in scripts.items()}

    def __getitem__(self, address):
        return self.servers[address]

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        started = threading.Event()

        def run():
            asyncio.set_event_loop(self.loop)
            self.loop.run_until_complete(self.listen())
            started.set()
            self.loop.run_forever()
            tasks = asyncio.all_tasks(self.loop)
            for each in tasks:
                each.cancel()
            self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self.loop.close()
        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        assert started.wait(20)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    async def listen(self):
        for address, server in self.servers.items():
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listener = socket.socket(family)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, self.port))
            await asyncio.start_server(
                lambda reader, writer, server=server: self.serve(server, reader, writer),
                sock=listener, limit=64 * 1024)

    async def serve(self, server, reader, writer):
        number = server.connections
        server.connections += 1
        server.peers.append(writer.get_extra_info("peername"))
        try:
            await self.converse(server, number, reader, writer)
        except (Over, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def do(self, action, writer):
        if isinstance(action, str):
            writer.write(action.encode("latin1") + b"\r\n")
            await writer.drain()
            return
        kind, arguments = action.kind, action.arguments
        if kind == "raw":
            data, = arguments
            writer.write(data if isinstance(data, bytes) else data.encode("latin1"))
            await writer.drain()
        elif kind == "then":
            for each in arguments:
                await self.do(each, writer)
        elif kind == "slowly":
            text, pause = arguments
            for byte in text.encode():
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(pause)
        elif kind == "flood":
            line, count = arguments
            for _ in range(count):
                writer.write(line.encode() + b"\r\n")
                await writer.drain()
        elif kind == "after":
            seconds, then_action = arguments
            await asyncio.sleep(seconds)
            await self.do(then_action, writer)
        elif kind == "hang":
            await asyncio.sleep(3600)
        elif kind == "close":
            raise Over
        elif kind == "reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                                       struct.pack("ii", 1, 0))
            raise Over

    async def converse(self, server, number, reader, writer):
        recipients = []
        await self.do(server.action("greeting", None, number), writer)
        while True:
            line = await reader.readuntil(b"\n")
            text = line.decode("latin1").rstrip("\r\n")
            server.commands.append(text)
            stage = text[:4].lower() if text[:8].lower() not in ("starttls", "xforward") else \
                text[:8].lower()
            if stage not in DEFAULTS or stage in ("line", "dot"):
                stage = "line"
            found = re.search(r"<(?:\"?)([^@>\"]*)", text)
            key = found.group(1) if found else None
            action = server.action(stage, key, number)
            await self.do(action, writer)
            code = action if isinstance(action, str) else ""
            if stage == "rcpt" and code.startswith("25"):
                recipients.append(key)
            elif stage in ("mail", "rset", "ehlo", "helo"):
                recipients = []
            elif stage == "quit":
                return
            elif stage == "data" and code.startswith("354"):
                await self.take_content(server, number, reader, writer, recipients)
                recipients = []

    async def take_content(self, server, number, reader, writer, recipients):
        if "body" in server.script:
            await self.do(server.action("body", None, number), writer)
        content, line = bytearray(), b""
        while line != b".\r\n":
            line = await reader.readuntil(b"\n")
            content += line
        server.messages.append((list(recipients), bytes(content[:-3])))
        await self.do(server.action("dot", recipients[0] if recipients else None, number), writer)
