# SPDX-License-Identifier: Apache-2.0
"""Mail goes through, from a socket to a socket; what an operator sees of it."""
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from world import Instance, NameServer, Sink, free_port, is_alive, message, wait_until


@pytest.fixture
def sink():
    with Sink() as server:
        yield server


@pytest.fixture
def relay(sink):
    with Instance(relayhost=f"[127.0.0.1]:{sink.port}") as instance:
        yield instance


def send(relay, recipients=("user@example.com",), sender="sender@example.test", content=None):
    with relay.connect() as client:
        assert client.command("EHLO client.example.test")[0] == 250
        return client.deliver(sender, recipients, content or message())


def test_message_arrives_whole_with_a_received_header(relay, sink):
    content = message(body="line\r\n.dot\r\n..dots\r\n\r\nlast\r\n")
    code, text = send(relay, content=content)
    assert code == 250
    queue_id = re.fullmatch(r"2\.0\.0 Ok: queued as (\w+)", text[0]).group(1)
    [delivered] = sink.wait()
    assert delivered.sender == "sender@example.test"
    assert delivered.recipients == ["user@example.com"]
    assert delivered.text.endswith(content)
    received = delivered.text[:-len(content)]
    assert re.fullmatch(
        r"Received: from client\.example\.test \(\S+ \[127\.0\.0\.1\]\)\r\n"
        rf"\tby relay\.example\.test \(Postfix\) with ESMTP id {queue_id}\r\n"
        r"\tfor <user@example\.com>; \w{3}, +\d+ \w{3} \d{4} [\d:]{8} [+-]\d{4}( \(\w+\))?\r\n",
        received)


def test_log_tells_the_story_in_order(relay, sink):
    send(relay)
    sink.wait()
    relay.wait_log(r"disconnect from")
    relay.wait_log(r": removed$")
    words = [r"smtpd\[\d+\]: connect from \S+\[127\.0\.0\.1\]$",
             r"smtpd\[\d+\]: (\w+): client=\S+\[127\.0\.0\.1\]$",
             r"cleanup\[\d+\]: \w+: message-id=<\S+>$",
             r"qmgr\[\d+\]: \w+: from=<sender@example\.test>, size=\d+, nrcpt=1 \(queue active\)$",
             r"smtp\[\d+\]: \w+: to=<user@example\.com>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, "
             r"delay=[\d.e-]+, delays=[\d./e-]+, dsn=2\.0\.0, status=sent "
             r"\(250 2\.0\.0 Ok: taken\)$",
             r"qmgr\[\d+\]: \w+: removed$"]
    log, position = relay.log(), 0
    for word in words:
        match = re.compile(word, re.MULTILINE).search(log, position)
        assert match, f"{word}\n{log}"
        position = match.end()
    assert re.search(r"disconnect from \S+\[127\.0\.0\.1\] ehlo=1 mail=1 rcpt=1 data=1 "
                     r"commands=4$", log, re.MULTILINE)


def test_stranger_is_refused_and_nothing_is_queued(sink):
    with Instance(relayhost=f"[127.0.0.1]:{sink.port}", mynetworks="192.0.2.0/24") as relay:
        code, text = send(relay)
        assert (code, text) == (554, ["5.7.1 <user@example.com>: Relay access denied"])
        assert relay.queue_is_empty()
        relay.wait_log(r"NOQUEUE: reject: RCPT from \S+\[127\.0\.0\.1\]: 554 5\.7\.1 "
                       r"<user@example\.com>: Relay access denied; from=<sender@example\.test> "
                       r"to=<user@example\.com> proto=ESMTP helo=<client\.example\.test>")


@pytest.mark.parametrize("size", [10, 60_000, 70_000, 1_000_000, 9_000_000])
def test_every_size_arrives_unchanged(relay, sink, size):
    line = "0123456789" * 7 + "\r\n"
    content = message(body=line * (size // len(line) + 1))
    assert send(relay, content=content)[0] == 250
    [delivered] = sink.wait()
    assert delivered.text.endswith(content)
    relay.wait_log(": removed")


def test_many_recipients_arrive_each_once(relay, sink):
    recipients = [f"user{i}@domain{i % 7}.example.com" for i in range(300)]
    assert send(relay, recipients)[0] == 250
    wait_until(lambda: sum(len(each.recipients) for each in sink.messages) >= 300, "300 recipients")
    assert sorted(sum((each.recipients for each in sink.messages), [])) == sorted(recipients)
    relay.wait_log(": removed")


def test_mail_waits_while_the_destination_is_down_and_goes_when_flushed():
    port = free_port()
    with Instance(relayhost=f"[127.0.0.1]:{port}") as relay:
        assert send(relay)[0] == 250
        relay.wait_log(r"status=deferred \(connect to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: "
                       r"Connection refused\)")
        listing = relay.run("mailq", "-bp", config_option="-C").stdout
        assert re.search(r"^\(connect to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: Connection refused\)$|"
                         r"^ +\(connect to", listing, re.MULTILINE), listing
        assert "-- 0 Kbytes in 1 Request." in listing or "-- 1 Kbytes in 1 Request." in listing
        with Sink(port=port) as sink:
            relay.run("postqueue", "-f")
            sink.wait()
            wait_until(relay.queue_is_empty, "an empty queue")


def test_mail_survives_a_restart():
    port = free_port()
    with Instance(relayhost=f"[127.0.0.1]:{port}", minimal_backoff_time="1s",
                  maximal_backoff_time="2s") as relay:
        for _ in range(20):
            assert send(relay)[0] == 250
        relay.stop()
        assert "20 Requests." in relay.run("mailq", config_option="-C").stdout
        with Sink(port=port) as sink:
            relay.start()
            sink.wait(20)
            wait_until(relay.queue_is_empty, "an empty queue")
            assert len(sink.messages) == 20


def test_refused_recipient_bounces_to_the_sender():
    refused = {"RCPT": lambda address: "550 5.1.1 No such user" if "nobody" in address else None}
    with Sink(answers=refused) as sink, Instance(relayhost=f"[127.0.0.1]:{sink.port}") as relay:
        send(relay, ["nobody@example.com", "user@example.com"])
        sink.wait(2)
        relay.wait_log(r"to=<nobody@example\.com>, .*dsn=5\.1\.1, status=bounced \(host "
                       r"127\.0\.0\.1\[127\.0\.0\.1\] said: 550 5\.1\.1 No such user "
                       r"\(in reply to RCPT TO command\)\)")
        relay.wait_log(r"bounce\[\d+\]: \w+: sender non-delivery notification: \w+")
        relay.wait_log(r": removed$", 2)
        [notice] = [each for each in sink.messages if each.sender == "<>"]
        assert notice.recipients == ["sender@example.test"]
        assert "multipart/report; report-type=delivery-status" in notice.text
        assert "Final-Recipient: rfc822; nobody@example.com" in notice.text
        assert "Action: failed" in notice.text
        assert "Status: 5.1.1" in notice.text


def test_routing_by_mx_records(sink):
    zone = {
        ("example.com", "MX"): ["10 dead.example.com.", "20 mx.example.com."],
        ("dead.example.com", "A"): ["127.0.0.21"],
        ("mx.example.com", "A"): ["127.0.0.22"],
        ("null.example", "MX"): ["0 ."],
        ("address.example", "A"): ["127.0.0.22"],
    }
    with NameServer(zone) as names, Sink("127.0.0.22", 25) as exchanger, \
            Instance(dns_servers=f"127.0.0.1:{names.port}") as relay:
        for domain in ("example.com", "address.example", "null.example", "missing.example"):
            assert send(relay, [f"user@{domain}"])[0] == 250
        exchanger.wait(2)
        relay.wait_log(r"relay=mx\.example\.com\[127\.0\.0\.22\]:25, .*status=sent")
        relay.wait_log(r"relay=address\.example\[127\.0\.0\.22\]:25, .*status=sent")
        relay.wait_log(r"to=<user@null\.example>, relay=none, .*status=bounced \(Domain "
                       r"null\.example does not accept mail \(nullMX\)\)")
        relay.wait_log(r"to=<user@missing\.example>, relay=none, .*dsn=5\.4\.4, status=bounced "
                       r"\(Host or domain name not found\. Name service error for "
                       r"name=missing\.example type=A(AAA)?: Host not found\)")


def test_name_server_failure_never_bounces():
    zone = {("example.com", "MX"): "SERVFAIL", ("example.com", "A"): "SERVFAIL",
            ("example.com", "AAAA"): "SERVFAIL"}
    with NameServer(zone) as names, Instance(dns_servers=f"127.0.0.1:{names.port}") as relay:
        assert send(relay)[0] == 250
        relay.wait_log(r"dsn=4\.4\.3, status=deferred \(Host or domain name not found\. Name "
                       r"service error for name=example\.com type=MX: Host not found, try again\)")


def test_deleting_from_the_queue():
    with Instance(relayhost=f"[127.0.0.1]:{free_port()}") as relay:
        ids = [re.search(r"queued as (\w+)", send(relay)[1][0]).group(1) for _ in range(4)]
        relay.wait_log(r"status=deferred", 4)
        result = relay.run("postsuper", "-d", ids[0])
        assert f"postsuper: {ids[0]}: removed" in result.stderr
        assert "postsuper: Deleted: 1 message" in result.stderr
        pipeline = (f"{relay.bin}/mailq -C {relay.config} -bp | grep 'Connection refused' -B1 | "
                    f"grep -E '^[0-9A-Z]' | cut -d' ' -f1 | {relay.bin}/postsuper -c "
                    f"{relay.config} -d -")
        result = subprocess.run(pipeline, shell=True, capture_output=True, text=True)
        assert "Deleted: 3 messages" in result.stderr, result
        assert relay.queue_is_empty()
        send(relay)
        relay.wait_log(r"status=deferred", 5)
        result = relay.run("postsuper", "-d", "ALL", "deferred")
        assert result.stderr == "postsuper: Deleted: 1 message\n"
        assert relay.queue_is_empty()


def test_reload_takes_a_new_configuration_and_keeps_the_old_one_when_it_is_broken(relay, sink):
    relay.parameters["smtpd_banner"] = "relay.example.test ESMTP anew"
    relay.write()
    relay.reload()
    relay.wait_log("reload -- version")
    wait_until(lambda: "anew" in relay.connect().banner[1][0], "the new banner")
    relay.parameters["smtpd_timeout"] = "20x"
    relay.write()
    refused = relay.run("postfix", "reload", check=False)
    assert refused.returncode == 1
    assert "main.cf, line " in refused.stderr and "smtpd_timeout" in refused.stderr
    os.kill(relay.master_pid(), signal.SIGHUP)
    relay.wait_log(r"reload: .*smtpd_timeout.*the configuration before stays in force")
    assert send(relay)[0] == 250
    sink.wait()


@pytest.mark.parametrize("role", ["queue", "smtpd", "smtp", "resolver", "pickup", "log"])
def test_role_that_dies_is_restarted_and_mail_goes_on(relay, sink, role):
    old = relay.role_pids()[role]
    for pid in old:
        os.kill(pid, 9)

    def is_replaced():
        new = relay.role_pids().get(role, [])
        return len(new) == len(old) and not set(new) & set(old)
    wait_until(is_replaced, f"a new {role}")

    def is_taken():
        try:
            return send(relay)[0] == 250
        except OSError:
            return False
    wait_until(is_taken, "mail to be taken again")
    sink.wait()
    relay.wait_log(": removed")


def test_stop_works_with_a_configuration_that_is_broken_since(relay):
    relay.parameters["smtpd_timeout"] = "20x"
    relay.write()
    assert relay.run("postfix", "status", check=False).returncode == 0
    assert relay.stop().returncode == 0
    assert relay.run("postfix", "status", check=False).returncode == 1


def test_second_start_is_refused(relay):
    result = relay.run("postfix", "start", check=False)
    assert result.returncode == 1
    assert "the Postfix mail system is already running" in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
def test_queue_that_cannot_open_its_store_says_so_and_ends():
    relay = Instance(relayhost="[127.0.0.1]:1").start()
    relay.stop()
    data = relay.queue / "store" / "data.mdb"
    os.chown(data, 0, 0)
    data.chmod(0o600)
    try:
        result = relay.run("postfix", "start", check=False)
        assert result.returncode != 0
        assert "Permission denied" in result.stderr + relay.log()
        wait_until(lambda: not relay.is_running(), "the end of the master")
        assert "killed by signal" not in relay.log()
    finally:
        shutil.rmtree(relay.folder)


def test_roles_end_when_the_master_is_killed(relay):
    pids = sum(relay.role_pids().values(), [])
    os.kill(relay.master_pid(), 9)
    wait_until(lambda: not any(is_alive(pid) for pid in pids), "the end of all roles")
    relay.start()
    assert send(relay)[0] == 250


def test_idle_connections_wait_and_go_on(relay, sink):
    clients = [relay.connect() for _ in range(50)]
    for client in clients:
        assert client.command("EHLO client.example.test")[0] == 250
    time.sleep(0.5)
    for client in clients:
        assert client.deliver("sender@example.test", ["user@example.com"], message())[0] == 250
    for client in clients:
        assert client.command("QUIT")[0] == 221
        client.close()
    sink.wait(50)


def test_pflogsumm_counts_what_happened(sink):
    refused = {"RCPT": lambda address: ("550 5.1.1 No such user" if "nobody" in address else
                                        "450 4.2.0 Later" if "later" in address else None)}
    with Sink(answers=refused) as server, Instance(relayhost=f"[127.0.0.1]:{server.port}") as relay:
        for _ in range(5):
            send(relay)
        for _ in range(2):
            send(relay, ["nobody@example.com"], sender="")
        for _ in range(3):
            send(relay, ["later@example.com"])
        with relay.connect() as client:
            client.command("EHLO client.example.test")
            client.command("MAIL FROM:<a@example.test>")
            client.command("RCPT TO:<@>")
        relay.wait_log(r"status=sent", 5)
        relay.wait_log(r"status=bounced", 2)
        relay.wait_log(r"status=deferred", 3)
        summary = subprocess.run(["pflogsumm", str(relay.log_file)], capture_output=True,
                                 text=True, check=True).stdout
        counts = {name: int(number) for number, name in
                  re.findall(r"^ +(\d+)k? +(received|delivered|forwarded|deferred|bounced|rejected)",
                             summary, re.MULTILINE)}
        assert counts["received"] == 10, summary
        assert counts["delivered"] == 5, summary
        assert counts["deferred"] == 3, summary
        assert counts["bounced"] == 2, summary
