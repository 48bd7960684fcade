# SPDX-License-Identifier: Apache-2.0
"""Tables in a running relay: changed ones are seen without a restart while mail flows; servers
that answer look-ups may be away, slow or wrong."""
import contextlib
import os
import re
import socket
import socketserver
import sqlite3
import threading
import time

import pytest

from world import MASTER_CF, Instance, Sink, message, wait_until

CHANGE_SECONDS = 8  # until a changed table must be seen; usually two or three


@pytest.fixture
def sink():
    with Sink() as server:
        yield server


def instance(sink, master_cf=None, **parameters):
    return Instance(master_cf=master_cf, **{"relayhost": f"[127.0.0.1]:{sink.port}", "mynetworks": "192.0.2.0/24",
                       "smtpd_peername_lookup": "no", "smtpd_error_sleep_time": "0",
                       "mydestination": "", "smtpd_recipient_restrictions": "",
                       "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
                       **parameters})


def rcpt(relay, recipient="user@example.com"):
    """The reply to RCPT in a connection of its own."""
    with relay.connect() as client:
        client.command("EHLO client.example.test")
        client.command("MAIL FROM:<sender@example.test>")
        code, text = client.command(f"RCPT TO:<{recipient}>")
        client.command("QUIT")
        return code, text[0]


def wait_rcpt(relay, code, recipient="user@example.com"):
    """Until every worker gives it: the old ones end one after the other."""
    wait_until(lambda: all(rcpt(relay, recipient)[0] == code for _ in range(6)),
               f"{code} for {recipient}", CHANGE_SECONDS)


class Flow(threading.Thread):
    """Sends mail all the time, each message over a connection of its own, and keeps count."""

    def __init__(self, relay, recipient):
        super().__init__(daemon=True)
        self.relay, self.recipient = relay, recipient
        self.accepted, self.failures, self.is_over = 0, [], False

    def run(self):
        while not self.is_over:
            try:
                with self.relay.connect() as client:
                    client.command("EHLO client.example.test")
                    code, text = client.deliver("sender@example.test", [self.recipient],
                                                message(f"flow {self.accepted}"))
                    if code == 250:
                        self.accepted += 1
                    else:
                        self.failures.append((code, text))
            except OSError as error:
                self.failures.append(error)
            time.sleep(0.02)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self.is_over = True
        self.join(30)


def test_postmap_changes_answers_while_mail_flows_and_nothing_is_lost(sink):
    relay = instance(sink, master_cf=MASTER_CF.replace(
        "-o smtp_fallback_relay=", "-o syslog_name=postfix/relay"))
    table, domains = relay.folder / "networks", relay.folder / "domains"
    table.write_text("192.0.2.1 yes\n")
    domains.write_text("flow.example yes\n")
    relay.parameters.update({"mynetworks": f"hash:{table}", "relay_domains": f"hash:{domains}"})
    relay.write()
    relay.run("postmap", f"hash:{table}", f"hash:{domains}")
    with relay, Flow(relay, "user@flow.example") as flow:
        assert rcpt(relay) == (554, "5.7.1 <user@example.com>: Relay access denied")
        wait_until(lambda: flow.accepted > 5, "mail to flow")
        for entry, code in [("127.0.0.1", 250), ("192.0.2.9", 554)]:
            table.write_text(f"{entry} yes\n")
            relay.run("postmap", f"hash:{table}")
            wait_rcpt(relay, code)
        # The queue reads the list of relayed domains too, confined and in place.
        assert rcpt(relay, "user@new.example")[0] == 554
        domains.write_text("flow.example yes\nnew.example yes\n")
        relay.run("postmap", f"hash:{domains}")
        wait_rcpt(relay, 250, "user@new.example")
        with relay.connect() as client:
            client.command("EHLO client.example.test")
            assert client.deliver("sender@example.test", ["user@new.example"],
                                  message("new"))[0] == 250
        accepted = flow.accepted
        wait_until(lambda: flow.accepted > accepted + 5, "mail to go on")
        flow.is_over = True
        flow.join(30)
        assert not flow.failures
        wait_until(lambda: len(sink.messages) >= flow.accepted + 1, "every message")
        assert len(sink.messages) == flow.accepted + 1
        relay.wait_log(r"postfix/relay/smtp\[\d+\]: \w+: to=<user@new\.example>, .* status=sent")
        relay.wait_log(rf"table {re.escape(str(domains))}\.lmdb has changed")
        assert "stays as it was read" not in relay.log()


def test_text_tables_and_list_files_are_read_again(sink):
    relay = instance(sink)
    networks, nested = relay.folder / "networks", relay.folder / "nested"
    networks.write_text(f"192.0.2.0/24\n{nested}\n")
    nested.write_text("192.0.3.0/24\n")
    relay.parameters["mynetworks"] = networks
    relay.write()
    with relay:
        assert rcpt(relay)[0] == 554
        nested.write_text(f"cidr:{relay.folder}/cidr\n")
        (relay.folder / "cidr").write_text("127.0.0.0/8 yes\n")
        wait_rcpt(relay, 250)
        (relay.folder / "cidr").write_text("127.0.0.0/30 !no\n!127.0.0.0/8 yes\n127.0.0.2 yes\n")
        time.sleep(1)
        (relay.folder / "cidr").write_text("127.0.0.2 yes\n")
        wait_rcpt(relay, 554)


def test_a_table_that_went_away_stays_in_use(sink):
    relay = instance(sink)
    networks = relay.folder / "networks"
    networks.write_text("127.0.0.1 yes\n")
    relay.parameters["mynetworks"] = f"texthash:{networks}"
    relay.write()
    with relay:
        assert rcpt(relay)[0] == 250
        networks.unlink()
        time.sleep(1.5)
        assert rcpt(relay)[0] == 250
        networks.write_text("127.0.0.2 yes\n")
        wait_rcpt(relay, 554)


def test_a_table_older_than_its_text_is_warned_about(sink):
    relay = instance(sink)
    networks = relay.folder / "networks"
    networks.write_text("127.0.0.1 yes\n")
    relay.parameters["mynetworks"] = f"hash:{networks}"
    relay.write()
    relay.run("postmap", f"hash:{networks}")
    later = time.time() + 5
    os.utime(networks, (later, later))
    warning = f"database {networks}.lmdb is older than source file {networks}"
    with relay:
        relay.wait_log(re.escape(warning))
        assert relay.log().count(warning) == 1
        assert rcpt(relay)[0] == 250
        result = relay.run("postmap", "-q", "127.0.0.1", f"hash:{networks}")
        assert result.stdout == "yes\n" and warning in result.stderr


def test_sqlite_answers_in_a_confined_role_and_bounds_what_it_takes(sink):
    relay = instance(sink)
    database, settings = relay.folder / "t.db", relay.folder / "networks.cf"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE t(k, v)")
        connection.commit()
        settings.write_text(f"dbpath = {database}\nquery = SELECT v FROM t WHERE k = '%s'\n")
        relay.parameters["mynetworks"] = f"sqlite:{settings}"
        relay.write()
        with relay:
            assert rcpt(relay)[0] == 554
            connection.execute("INSERT INTO t VALUES('127.0.0.1', 'yes')")
            connection.commit()
            assert rcpt(relay)[0] == 250
            for value in ["x" * 200_000, b"a\0b".decode()]:
                connection.execute("UPDATE t SET v = ?", (value,))
                connection.commit()
                assert rcpt(relay)[0] == 451
            connection.execute("UPDATE t SET v = 'yes'")
            connection.execute("WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n "
                               "LIMIT 50000) INSERT INTO t SELECT '127.0.0.1', 'v' || i FROM n")
            connection.commit()
            assert rcpt(relay)[0] == 451
            # A query without an end is given up.
            settings.write_text(f"dbpath = {database}\nquery = WITH RECURSIVE n(i) AS (VALUES(1) "
                                "UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i = '%s'\n")
            wait_until(lambda: "networks.cf has changed" in relay.log(), "the change")
            time.sleep(1.5)
            started = time.monotonic()
            assert rcpt(relay)[0] == 451
            assert time.monotonic() - started < 15


# ---- table servers ----

class TableServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """socketmap or tcp, as it is told: `answer` is the reply to each key, or a function of it."""
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, kind, answer, port=0):
        self.kind, self.answer, self.keys = kind, answer, []
        server = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                with contextlib.suppress(OSError, ValueError):
                    while server.serve(self.rfile, self.wfile):
                        pass

        super().__init__(("127.0.0.1", port), Handler)
        self.port = self.server_address[1]

    def serve(self, rfile, wfile):
        if self.kind == "tcp":
            line = rfile.readline()
            if not line:
                return False
            key = line.removeprefix(b"get ").strip().decode()
        else:
            length = b""
            while (byte := rfile.read(1)) != b":":
                if not byte:
                    return False
                length += byte
            key = rfile.read(int(length)).decode().split(" ", 1)[1]
            rfile.read(1)
        self.keys.append(key)
        reply = self.answer(key) if callable(self.answer) else self.answer
        if reply is None:
            return False
        if self.kind == "tcp":
            wfile.write(f"{reply}\n".encode())
        else:
            wfile.write(f"{len(reply)}:{reply},".encode())
        return True

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05},
                         daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


def server_instance(sink, kind, server, **parameters):
    name = f"tcp:127.0.0.1:{server.port}" if kind == "tcp" else \
        f"socketmap:inet:127.0.0.1:{server.port}:networks"
    return instance(sink, mynetworks=name, smtpd_client_event_limit_exceptions="127.0.0.0/8",
                    **parameters)


FOUND = {"tcp": "200 yes", "socketmap": "OK yes"}
ABSENT = {"tcp": "500 no", "socketmap": "NOTFOUND "}
LATER = {"tcp": "400 busy", "socketmap": "TEMP busy"}


@pytest.mark.parametrize("kind", ["tcp", "socketmap"])
def test_a_table_server_answers_or_mail_waits(sink, kind):
    with TableServer(kind, ABSENT[kind]) as server, server_instance(sink, kind, server) as relay:
        assert rcpt(relay)[0] == 554
        assert "127.0.0.1" in server.keys
        server.answer = FOUND[kind]
        assert rcpt(relay)[0] == 250
        for answer in [LATER[kind], "nonsense", lambda key: None]:
            server.answer = answer
            code, text = rcpt(relay)
            assert code == 451 and text.startswith("4.3.")
        server.answer = FOUND[kind]
        assert rcpt(relay)[0] == 250
        server.answer = lambda key: None
        server.__exit__()
        assert rcpt(relay)[0] == 451


def test_an_answer_longer_than_socketmap_max_reply_size_is_none(sink):
    with TableServer("socketmap", "OK 345678") as server, \
            server_instance(sink, "socketmap", server, socketmap_max_reply_size="9") as relay:
        assert rcpt(relay)[0] == 250
        server.answer = "OK 3456789"
        assert rcpt(relay)[0] == 451


def test_a_slow_table_server_holds_up_only_who_asked(sink):
    answers = threading.Event()

    def slowly(key):
        answers.wait(30)
        return "OK yes"

    with TableServer("socketmap", slowly) as server, \
            server_instance(sink, "socketmap", server) as relay:
        with relay.connect() as waiting:
            waiting.command("EHLO client.example.test")
            waiting.command("MAIL FROM:<sender@example.test>")
            waiting.send("RCPT TO:<user@example.com>\r\n")
            wait_until(lambda: server.keys, "the look-up")
            for _ in range(8):  # some of them meet the same worker
                started = time.monotonic()
                with relay.connect() as client:
                    assert client.command("EHLO client.example.test")[0] == 250
                    assert client.command("NOOP")[0] == 250
                assert time.monotonic() - started < 5
            answers.set()
            assert waiting.reply()[0] == 250


def test_a_unix_socketmap_is_found_below_the_queue_directory(sink):
    class UnixServer(TableServer):
        address_family = socket.AF_UNIX

        def __init__(self, path):
            self.kind, self.answer, self.keys = "socketmap", "OK yes", []
            server = self

            class Handler(socketserver.StreamRequestHandler):
                def handle(self):
                    while server.serve(self.rfile, self.wfile):
                        pass

            socketserver.TCPServer.__init__(self, str(path), Handler)

    relay = instance(sink, mynetworks="socketmap:unix:private/map:networks")
    with relay:
        (relay.queue / "private").mkdir(exist_ok=True)
        with UnixServer(relay.queue / "private" / "map"):
            assert rcpt(relay)[0] == 250


def test_the_queue_says_that_it_asks_no_servers_and_keeps_the_mail(sink):
    with TableServer("socketmap", "NOTFOUND ") as server:
        table = f"socketmap:inet:127.0.0.1:{server.port}:transport"
        with instance(sink, mynetworks="127.0.0.0/8", transport_maps=table) as relay:
            relay.wait_log(rf"postfix/qmgr.*warning: transport_maps: {re.escape(table)}: tables of "
                           "this type cannot be used here")
            with relay.connect() as client:
                client.command("EHLO client.example.test")
                reply = client.deliver("sender@example.test", ["user@example.com"], message())
            if reply[0] == 250:
                relay.wait_log(r"to=<user@example\.com>,.* dsn=4\.3\.0, status=deferred")
            assert reply[0] in (250, 451) and not sink.messages


def test_proxy_tables_that_nobody_approved_of_make_mail_wait(sink):
    with instance(sink, mynetworks="proxy:static:yes", proxy_read_maps="proxy:static:no") as relay:
        assert rcpt(relay)[0] == 451
        relay.wait_log(r'proxymap service is not configured for table "static:yes"')
    with instance(sink, mynetworks="proxy:static:yes") as relay:
        assert rcpt(relay)[0] == 250


def test_postmap_asks_table_servers(sink):
    relay = instance(sink)
    for kind in ["tcp", "socketmap"]:
        with TableServer(kind, lambda key: FOUND[kind] if key == "a" else ABSENT[kind]) as server:
            name = f"tcp:127.0.0.1:{server.port}" if kind == "tcp" else \
                f"socketmap:inet:127.0.0.1:{server.port}:m"
            assert relay.run("postmap", "-q", "a", name).stdout == "yes\n"
            assert relay.run("postmap", "-q", "b", name, check=False).returncode == 1
            result = relay.run("postmap", "-q", "-", name, input="b\na\na\n")
            assert result.stdout == "a\tyes\na\tyes\n"
        result = relay.run("postmap", "-q", "a", name, check=False)
        assert result.returncode == 1 and "Connection refused" in result.stderr


def test_postfixs_default_of_a_nis_table_is_empty_where_there_is_no_nis():
    with Instance(alias_maps="nis:mail.aliases",
                  local_recipient_maps="proxy:unix:passwd.byname $alias_maps") as relay:
        assert relay.run("postmap", "-q", "root", "nis:mail.aliases", check=False).returncode == 1
        with relay.connect() as client:
            client.command("EHLO client.example.test")
            client.command("MAIL FROM:<a@example.com>")
            assert client.command("RCPT TO:<root@relay.example.test>")[0] == 250
            assert client.command("RCPT TO:<nobody-there@relay.example.test>")[0] == 550
