# SPDX-License-Identifier: Apache-2.0
"""Address verification: probes deliver nothing, store nothing and tell nobody; what they found is
remembered, over a restart too."""
import os
import signal
import time

import pytest

from scripted import HANG, Servers
from world import Instance, wait_until

GREETING = "220 mail.example.com ESMTP"


def relay(port, **parameters):
    return Instance(**{
        "mynetworks": "192.0.2.0/24",
        "relay_domains": "example.com",
        "relay_transport": f"smtp:[127.0.0.1]:{port}",
        "smtpd_recipient_restrictions": "reject_unverified_recipient, reject_unauth_destination",
        "smtpd_relay_restrictions": "reject_unauth_destination",
        "address_verify_poll_delay": "1s",
        "minimal_backoff_time": "1s", "maximal_backoff_time": "1s",
        **parameters})


def servers(answer):
    """One server with that reply to RCPT; set_answer changes it."""
    return Servers({"127.0.0.1": {"rcpt": answer}})


def set_answer(peer, answer):
    peer["127.0.0.1"].script["rcpt"] = answer


def ask(instance, address="user@example.com", sender=""):
    client = instance.connect()
    client.command("EHLO client.example")
    client.command(f"MAIL FROM:<{sender}>")
    code, text = client.command(f"RCPT TO:<{address}>")
    client.command("QUIT")
    return code, text[0]


def heard(peer, word):
    return [each for each in peer["127.0.0.1"].commands if each.startswith(word)]


def test_a_probe_sends_no_content_and_leaves_nothing_behind():
    with servers("250 2.1.5 Ok") as peer, relay(peer.port) as instance:
        assert ask(instance)[0] == 250
        assert heard(peer, "MAIL")[0].startswith("MAIL FROM:<double-bounce@relay.example.test>")
        assert heard(peer, "RCPT") == ["RCPT TO:<user@example.com> ORCPT=rfc822;user@example.com"]
        assert heard(peer, "DATA") == []
        instance.wait_log(r"postfix/smtp\[\d+\]: \w+: to=<user@example.com>, relay=.*, dsn=2.1.5, "
                          r"status=deliverable \(250 2.1.5 Ok\)")
        instance.wait_log(r"postfix/qmgr\[\d+\]: \w+: removed")
        assert instance.queue_is_empty()


def test_what_is_known_is_not_asked_again_and_outlives_a_restart():
    with servers("550 5.1.1 no such user") as peer:
        instance = relay(peer.port)
        with instance:
            assert ask(instance)[0] == 450
            assert ask(instance)[0] == 450
            assert len(heard(peer, "RCPT")) == 1
            instance.stop()
            instance.start()
            code, text = ask(instance)
            assert code == 450 and "no such user" in text
            assert len(heard(peer, "RCPT")) == 1
            assert (instance.folder / "data" / "verify_cache.lmdb").exists()


def test_results_survive_the_death_of_the_verify_role():
    with servers("250 2.1.5 Ok") as peer, relay(peer.port) as instance:
        assert ask(instance)[0] == 250
        time.sleep(1.5)  # results gather for a second
        [pid] = instance.role_pids()["verify"]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: pid not in instance.role_pids().get("verify", [pid]), "its successor")
        wait_until(lambda: ask(instance)[0] == 250, "an answer")
        assert len(heard(peer, "RCPT")) == 1


def test_while_a_server_thinks_nothing_is_in_the_queue_and_the_client_is_told_to_wait():
    with servers(HANG) as peer, relay(peer.port, address_verify_poll_count="1") as instance:
        code, text = ask(instance)
        assert (code, text) == (450, "4.1.1 <user@example.com>: Recipient address rejected: "
                                     "unverified address: Address verification in progress")
        wait_until(lambda: heard(peer, "RCPT"), "the probe")
        assert instance.queue_is_empty()
        assert ask(instance)[0] == 450
        assert len(heard(peer, "RCPT")) == 1


def test_an_address_that_was_good_stays_good_when_a_later_probe_fails():
    with servers("250 2.1.5 Ok") as peer, relay(peer.port,
                                        address_verify_positive_refresh_time="1s") as instance:
        assert ask(instance)[0] == 250
        set_answer(peer, "550 5.1.1 gone")
        time.sleep(2.1)
        assert ask(instance)[0] == 250
        wait_until(lambda: len(heard(peer, "RCPT")) == 2, "a probe in the background")
        instance.wait_log(r"status=undeliverable \(host .* said: 550 5.1.1 gone")
        assert ask(instance)[0] == 250


def test_without_a_negative_cache_failures_are_not_remembered():
    with servers("550 5.1.1 not yet") as peer, relay(peer.port, address_verify_negative_cache="no",
                                        address_verify_poll_count="2") as instance:
        code, text = ask(instance)
        assert code == 450 and "in progress" in text
        set_answer(peer, "250 2.1.5 Ok")
        wait_until(lambda: ask(instance)[0] == 250, "a new probe")


@pytest.mark.parametrize("sender, shown", [
    ("<>", "MAIL FROM:<>"), ("", "MAIL FROM:<>"),
    ("checker", "MAIL FROM:<checker@relay.example.test>"),
    ("probe@other.example", "MAIL FROM:<probe@other.example>")])
def test_the_probe_sender_is_the_configured_one(sender, shown):
    with servers("250 2.1.5 Ok") as peer, \
            relay(peer.port, address_verify_sender=sender) as instance:
        assert ask(instance)[0] == 250
        assert heard(peer, "MAIL")[0].split(" SIZE")[0] == shown


def test_the_probe_sender_changes_with_time_and_its_mail_is_accepted():
    with servers("250 2.1.5 Ok") as peer, \
            relay(peer.port, address_verify_sender_ttl="1h",
                  smtpd_client_restrictions="check_client_access inline:{127.0.0.1=OK}",
                  smtpd_recipient_restrictions="reject_unverified_recipient, reject") as instance:
        ask(instance)
        [mail] = heard(peer, "MAIL")
        address = mail.split("<")[1].split(">")[0]
        local, domain = address.split("@")
        assert domain == "relay.example.test" and local.startswith("double-bounce")
        assert len(local) > len("double-bounce")
        assert ask(instance, address)[0] == 250
        assert ask(instance, "double-bounce@relay.example.test")[0] != 250


def test_probes_go_their_own_way_where_the_configuration_says_so():
    with servers("250 2.1.5 Ok") as normal, servers("550 5.1.1 other") as other, \
            relay(normal.port, address_verify_relay_transport=f"smtp:[127.0.0.1]:{other.port}",
                  ) as instance:
        code, text = ask(instance)
        assert code == 450 and "550 5.1.1 other" in text
        assert heard(normal, "RCPT") == []


def test_a_server_that_only_says_no_to_data_is_asked_so_far():
    with Servers({"127.0.0.1": {"data": "550 5.7.1 not here"}}) as peer, \
            relay(peer.port, smtp_address_verify_target="data") as instance:
        code, text = ask(instance)
        assert code == 450 and "not here (in reply to DATA command)" in text


def test_the_role_is_there_only_where_the_configuration_asks_for_it():
    with Instance() as instance:
        assert "verify" not in instance.role_pids()
        instance.parameters["smtpd_sender_restrictions"] = "reject_unverified_sender"
        instance.write()
        instance.reload()
        wait_until(lambda: "verify" in instance.role_pids(), "the verify role")


def test_a_cache_file_that_is_none_is_moved_aside():
    with servers("250 2.1.5 Ok") as peer:
        instance = relay(peer.port)
        (instance.folder / "data").mkdir()
        (instance.folder / "data" / "verify_cache.lmdb").write_bytes(b"nonsense" * 2000)
        os.chown(instance.folder / "data", *[getattr(__import__("pwd").getpwnam("postfix"), each)
                                             for each in ("pw_uid", "pw_gid")])
        with instance:
            assert ask(instance)[0] == 250
            assert (instance.folder / "data" / "verify_cache.lmdb.bad").exists()
            instance.wait_log("warning: .*verify_cache.lmdb.*moved it to")


def test_expired_results_are_swept():
    with servers("250 2.1.5 Ok") as peer, relay(
            peer.port, address_verify_cache_cleanup_interval="1s") as instance:
        ask(instance)
        instance.wait_log(r"postfix/verify\[\d+\]: cache btree:/.*/verify_cache full cleanup: "
                          r"retained=1 dropped=0 entries")
