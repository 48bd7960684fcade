# SPDX-License-Identifier: Apache-2.0
"""Services of master.cf as transports: each with its own source address, name, log tag, limits and
fallback; and those that deliver to nobody."""
import re
import threading
import time

import pytest

from world import (MASTER_CF, Instance, NameServer, Sink, free_port, message,
                   wait_until)


def send(relay, *recipients, sender="sender@example.test", content=None):
    with relay.connect() as client:
        assert client.command("EHLO client.example.test")[0] == 250
        code, text = client.deliver(sender, recipients, content or message())
        assert code == 250, text


@pytest.fixture
def sink():
    with Sink() as server:
        yield server


OUTGOING = """\
out_default unix - - n - - smtp
    -o smtp_bind_address=127.0.0.11
    -o smtp_helo_name=out.example.test
    -o syslog_name=relay-out-default
zombig_name unix - - n - - smtp
    -o smtp_bind_address=127.0.0.12
    -o smtp_helo_name=zombig.name
    -o syslog_name=relay-zombig-name
plain_name unix - - n - - smtp
    -o { syslog_name = postfix/$service_name }
    -o smtp_bind_address=
"""


def test_each_transport_sends_from_its_address_under_its_names(sink):
    nexthop = f"[127.0.0.1]:{sink.port}"
    with Instance(master_cf=MASTER_CF + OUTGOING, relay_domains="zombig.example",
                  virtual_mailbox_domains="plain.example", smtpd_reject_unlisted_recipient="no",
                  default_transport=f"out_default:{nexthop}",
                  relay_transport=f"zombig_name:{nexthop}",
                  virtual_transport=f"plain_name:{nexthop}") as relay:
        send(relay, "a@default.example", "b@zombig.example", "c@plain.example")
        seen = {each.recipients[0][0]: (each.peer[0], each.helo) for each in sink.wait(3)}
        assert seen == {"a": ("127.0.0.11", "out.example.test"),
                        "b": ("127.0.0.12", "zombig.name"),
                        "c": ("127.0.0.1", "relay.example.test")}
        relay.wait_log(r" relay-out-default/smtp\[\d+\]: \w+: to=<a@default\.example>, .*sent")
        relay.wait_log(r" relay-zombig-name/smtp\[\d+\]: \w+: to=<b@zombig\.example>, .*sent")
        relay.wait_log(r" postfix/plain_name/smtp\[\d+\]: \w+: to=<c@plain\.example>, .*sent")
        relay.wait_log(r": removed")


MISSING = """\
waits unix - - n - - smtp
    -o smtp_bind_address=203.0.113.99
    -o syslog_name=relay-x
goes_on unix - - n - - smtp
    -o smtp_bind_address=203.0.113.99
    -o smtp_bind_address_enforce=no
"""


def test_mail_waits_for_a_source_address_that_is_missing(sink):
    nexthop = f"[127.0.0.1]:{sink.port}"
    with Instance(master_cf=MASTER_CF + MISSING, relay_domains="goes-on.example",
                  default_transport=f"waits:{nexthop}",
                  relay_transport=f"goes_on:{nexthop}") as relay:
        send(relay, "a@waits.example", "b@goes-on.example")
        relay.wait_log(r" relay-x/smtp\[\d+\]: warning: transport waits: cannot send from "
                       r"203\.0\.113\.99, which is no address of this machine \(its mail waits\); "
                       r"correct smtp_bind_address")
        relay.wait_log(r"to=<a@waits\.example>, relay=none, .*dsn=4\.4\.0, status=deferred "
                       r"\(server configuration error\)")
        relay.wait_log(r"warning: transport goes_on: cannot send from 203\.0\.113\.99, .*going on")
        relay.wait_log(r"to=<b@goes-on\.example>, .*status=sent")
        assert [each.recipients for each in sink.messages] == [["b@goes-on.example"]]


def test_process_limit_bounds_the_deliveries_of_a_transport():
    lock, level, peak = threading.Lock(), [0], [0]

    def slow(_):
        with lock:
            level[0] += 1
            peak[0] = max(peak[0], level[0])
        time.sleep(0.1)
        with lock:
            level[0] -= 1

    sinks = [Sink(f"127.0.0.{20 + i}", answers={"DATA": slow}) for i in range(4)]
    zone_hosts = [f"[{each.address}]:{each.port}" for each in sinks]
    for each in sinks:
        each.start()
    try:
        # Each sink answers one at a time; four destinations would go in parallel without the limit.
        with Instance(master_cf=MASTER_CF + "few unix - - n - 2 smtp\n",
                      default_transport=f"few:{zone_hosts[0]}",
                      relay_domains="r.example", relay_transport=f"few:{zone_hosts[1]}",
                      virtual_mailbox_domains="v.example", smtpd_reject_unlisted_recipient="no",
                      virtual_transport=f"few:{zone_hosts[2]}",
                      mydestination="l.example", local_transport=f"few:{zone_hosts[3]}") as relay:
            for _ in range(3):
                send(relay, "u@d.example", "u@r.example", "u@v.example", "u@l.example")
            wait_until(lambda: sum(len(each.messages) for each in sinks) == 12, "12 messages")
            assert peak[0] == 2
    finally:
        for each in sinks:
            each.stop()


def test_fallback_relay_is_each_services_own(sink):
    dead = f"[127.0.0.1]:{free_port()}"
    with Instance(smtp_fallback_relay=f"[127.0.0.1]:{sink.port}", relay_domains="relay.example",
                  default_transport=f"smtp:{dead}", relay_transport=f"relay:{dead}") as relay:
        send(relay, "a@default.example", "b@relay.example")
        relay.wait_log(r"to=<a@default\.example>, relay=127\.0\.0\.1\[127\.0\.0\.1\]"
                       rf":{sink.port}, .*status=sent")
        relay.wait_log(r"to=<b@relay\.example>, relay=none, .*status=deferred \(connect to")
        assert len(sink.messages) == 1


# What Debian's Postfix 3.7 says: transport, log name, dsn, status, text.
SPOKEN = [
    ("error:5.1.1 no such", "error", "5.1.1", "bounced", "no such"),
    ("error:4.2.1 later", "error", "5.0.0", "bounced", "later"),
    ("error:just text", "error", "5.0.0", "bounced", "just text"),
    ("error:2.0.0 odd", "error", "5.0.0", "bounced", "odd"),
    ("error:5.7 short", "error", "5.0.0", "bounced", "5.7 short"),
    ("error:5.7.1-x y", "error", "5.0.0", "bounced", "5.7.1-x y"),
    ("error:5.7.1234 y", "error", "5.0.0", "bounced", "5.7.1234 y"),
    ("error:5.1.1    spaces", "error", "5.1.1", "bounced", "spaces"),
    ("error:550 5.7.1 code", "error", "5.0.0", "bounced", "550 5.7.1 code"),
    ("retry:5.1.1 wait", "error", "4.0.0", "deferred", "wait"),
    ("retry:4.7.1 wait", "error", "4.7.1", "deferred", "wait"),
    ("retry:text here", "error", "4.0.0", "deferred", "text here"),
    ("discard:gone", "discard", "2.0.0", "sent", "gone"),
    ("discard:2.1.5 gone", "discard", "2.1.5", "sent", "gone"),
    ("discard:5.1.1 gone", "discard", "2.0.0", "sent", "gone"),
]


def test_transports_that_deliver_to_nobody_say_what_they_are_told():
    # Four at a time: each class of recipients has a transport.
    for start in range(0, len(SPOKEN), 4):
        some = SPOKEN[start:start + 4]
        names = ["default_transport", "relay_transport", "virtual_transport", "local_transport"]
        parameters = {name: each[0] for name, each in zip(names, some)}
        with Instance(relay_domains="c1.example", virtual_mailbox_domains="c2.example",
                      smtpd_reject_unlisted_recipient="no",
                      mydestination="c3.example", **parameters) as relay:
            send(relay, *[f"u@c{i}.example" for i in range(len(some))], sender="")
            for i, (_, program, dsn, status, text) in enumerate(some):
                relay.wait_log(rf" postfix/{program}\[\d+\]: \w+: to=<u@c{i}\.example>, "
                               rf"relay=none, .*dsn={re.escape(dsn)}, status={status} "
                               rf"\({re.escape(text)}\)")


def test_tag_of_a_service_that_discards_is_its_own():
    with Instance(master_cf=MASTER_CF + "gone unix - - n - - discard\n -o syslog_name=relay-gone\n"
                  "odd unix - - n - - error\n",
                  default_transport="gone:spam", relay_domains="odd.example",
                  relay_transport="odd:5.1.1 x") as relay:
        send(relay, "a@b.example", "c@odd.example")
        relay.wait_log(r" relay-gone/discard\[\d+\]: \w+: to=<a@b\.example>, .*status=sent \(spam\)")
        relay.wait_log(r"to=<c@odd\.example>, .*status=deferred \(mail transport unavailable\)")


def test_what_loops_goes_to_best_mx_transport(sink):
    zone = {("loop.example", "MX"): ["10 relay.example.test."],
            ("relay.example.test", "A"): ["127.0.0.1"]}
    with NameServer(zone) as names:
        common = dict(dns_servers=f"127.0.0.1:{names.port}", smtp_tcp_port="25",
                      master_cf=MASTER_CF + "own unix - - n - - smtp -o smtp_bind_address=127.0.0.9\n",
                      notify_classes="")
        with Instance(**common) as relay:
            send(relay, "u@loop.example", sender="")
            relay.wait_log(r"to=<u@loop\.example>, .*dsn=5\.4\.6, status=bounced \(mail for "
                           r"loop\.example loops back to myself\)")
        with Instance(best_mx_transport=f"own:[127.0.0.1]:{sink.port}", **common) as relay:
            send(relay, "u@loop.example", "v@loop.example")
            relay.wait_log(r"postfix/smtp\[\d+\]: \w+: passing <[uv]@loop\.example> to "
                           r"transport=own", 2)
            relay.wait_log(r"to=<[uv]@loop\.example>, .*status=sent", 2)
            assert {each.peer[0] for each in sink.wait(1)} == {"127.0.0.9"}
            relay.wait_log(r": removed")
