# SPDX-License-Identifier: Apache-2.0
"""A small SMTP server that does STARTTLS, or what `manner` says instead of it."""
import contextlib
import socket
import ssl
import threading
import time

from world import free_port


class TlsServer:
    """`manner`: "good", "none" (not offered), "refuses", "injects", "garbage", "closes", "silent",
    "wrapped" (TLS from the first byte), "late" (offers nothing but STARTTLS before it), "old"
    (knows no EHLO inside), "mute" (and no HELO either)."""

    def __init__(self, certificates, manner="good", name="mx.example.test", configure=None,
                 address="127.0.0.1", port=None):
        self.manner, self.port = manner, port or free_port(address)
        self.messages, self.sessions, self.connections = [], [], 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificates.folder / f"{name}.pem",
                                     certificates.folder / f"{name}.key")
        self.context.sni_callback = self.note_name
        self.names = []
        if configure:
            configure(self.context)
        self.listener = socket.create_server((address, self.port))
        threading.Thread(target=self.accept, daemon=True).start()

    def note_name(self, _socket, name, _context):
        self.names.append(name)

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.guarded, args=(connection,), daemon=True).start()

    def guarded(self, connection):
        with contextlib.suppress(OSError, ValueError):
            self.serve(connection)

    def secure(self, connection):
        secured = self.context.wrap_socket(connection, server_side=True)
        self.sessions.append((secured.session_reused, secured.getpeercert(True), secured.version()))
        return secured

    def starttls(self, connection):
        """The connection to go on with; None where there is none."""
        if self.manner == "refuses":
            connection.sendall(b"454 4.7.0 no TLS today\r\n")
            return connection
        connection.sendall(b"220 go\r\n" + (b"250 injected\r\n" if self.manner == "injects" else b""))
        if self.manner == "garbage":
            connection.recv(4096)
            connection.sendall(b"x" * 100)
            connection.recv(4096)
        elif self.manner == "silent":
            time.sleep(30)
        elif self.manner == "closes":
            connection.recv(65536)  # else what was sent is answered by a reset, or not, by chance
        else:
            return self.secure(connection)
        connection.close()
        return None

    def serve(self, connection):
        is_secure = self.manner == "wrapped"
        if is_secure:
            connection = self.secure(connection)
        file = connection.makefile("rb")
        connection.sendall(b"220 mx.example.test ESMTP\r\n")
        while line := file.readline():
            verb = line.split()[0].upper() if line.split() else b""
            if is_secure and (self.manner, verb) in (("old", b"EHLO"), ("mute", b"EHLO"),
                                                     ("mute", b"HELO")):
                connection.sendall(b"502 5.5.1 what?\r\n")
            elif verb == b"EHLO":
                offer = b"" if is_secure or self.manner == "none" else b"250-STARTTLS\r\n"
                size = b"250-SIZE 10\r\n" if self.manner == "late" and not is_secure else b""
                connection.sendall(b"250-mx.example.test\r\n" + offer + size + b"250 8BITMIME\r\n")
            elif verb == b"STARTTLS":
                before, connection = connection, self.starttls(connection)
                if connection is None:
                    return
                is_secure = connection is not before
                file = connection.makefile("rb")
            elif verb == b"DATA":
                connection.sendall(b"354 go\r\n")
                lines = list(iter(file.readline, b".\r\n"))
                self.messages.append((is_secure, b"".join(lines)))
                connection.sendall(b"250 2.0.0 taken\r\n")
            elif verb == b"QUIT":
                connection.sendall(b"221 2.0.0 bye\r\n")
                connection.close()
                return
            else:
                connection.sendall(b"250 2.1.0 ok\r\n")

    def close(self):
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
