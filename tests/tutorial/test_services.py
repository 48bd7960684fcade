# SPDX-License-Identifier: Apache-2.0
"""A row for each of the 24 services in the tutorial's master.cf: what it does, and the proof from
outside that it does it."""
import re
import ssl
import subprocess

import pytest
import steps
from aiosmtpd.controller import Controller
from aiosmtpd.lmtp import LMTP
from outside import SSO, STRANGER, ClientFrom
from world import wait_until

ME = "relay.zombig.name"
LMTP_HOST = "203.0.113.71"


@pytest.fixture(scope="module", autouse=True)
def base(relay):
    for step in (steps.BASE_MAIN, steps.BASE_NETWORKS, steps.BASE_MASTER, steps.TLS_FILES, steps.TLS):
        relay.type(step)
    relay.type("postconf -e 'smtpd_tls_loglevel = 1'; useradd -m reader")
    relay.type(steps.START)


@pytest.fixture
def settings(relay):
    """A function that sets parameters and reloads; afterwards main.cf is as before."""
    relay.type("cp /etc/postfix/main.cf /tmp/main.cf")

    def change(*assignments):
        quoted = " ".join(f"'{each}'" for each in assignments)
        mark = relay.mark()
        relay.type(f"postconf -e {quoted} && service postfix reload")
        wait_until(lambda: "reload -- version" in relay.log_since(mark), "the reload")
    yield change
    relay.type("cp /tmp/main.cf /etc/postfix/main.cf; postsuper -d ALL; service postfix restart")


@pytest.fixture(autouse=True)
def fresh(outside):
    outside.clear()


def send(relay, recipient, sender="app@example.net", text="Subject: test\n\nHello.\n", options=""):
    relay.type(f"sendmail {options} -f '{sender}' {recipient}", input=text)


def received(outside, domain, count=1):
    host = outside.hosts[domain]
    wait_until(lambda: len(host.messages) >= count, f"{count} messages for {domain}")
    return host.messages


def test_smtpd_answers_on_the_network(relay):
    with ClientFrom(STRANGER) as client:
        assert client.banner[0] == 220 and client.command("EHLO x.example")[0] == 250
    relay.wait_log(r"postfix/smtpd\[\d+\]: connect from stranger\.example\[203\.0\.113\.99\]")


def test_pickup_takes_what_sendmail_left_while_nothing_ran(relay, outside):
    relay.type("service postfix stop")
    send(relay, "someone@example.com")
    assert relay.type("ls /var/spool/postfix/maildrop").stdout.strip()
    relay.type("service postfix start")
    received(outside, "example.com")
    assert not relay.type("ls /var/spool/postfix/maildrop").stdout.strip()
    relay.wait_log(r"postfix/pickup\[\d+\]: \S+: uid=0 from=<app@example\.net>")


def test_cleanup_completes_headers_and_maps_addresses(relay, outside, settings):
    settings("sender_canonical_maps = inline:{ app@example.net=service@example.net }")
    send(relay, "someone@example.com", text="To: someone@example.com\n\nHello.\n")
    message, = received(outside, "example.com")
    assert message.sender == "service@example.net"
    for name in ("From", "Date", "Message-Id"):
        assert re.search(rf"(?m)^{name}: ", message.text), message.text
    relay.wait_log(r"postfix/cleanup\[\d+\]: \S+: message-id=<")


def test_qmgr_keeps_trying_and_forgets_what_is_delivered(relay, outside):
    send(relay, "someone@example.com")
    received(outside, "example.com")
    relay.wait_log(r"postfix/qmgr\[\d+\]: \S+: from=<app@example\.net>, size=\d+, nrcpt=1 "
                   r"\(queue active\)")
    relay.wait_log(r"postfix/qmgr\[\d+\]: \S+: removed")
    wait_until(lambda: "Mail queue is empty" in relay.queue(), "an empty queue")


def starttls(session=None):
    context = starttls.context
    with ClientFrom(STRANGER) as client:
        client.command("EHLO stranger.example")
        assert client.command("STARTTLS")[0] == 220
        secured = context.wrap_socket(client.socket, session=session)
        secured.sendall(b"EHLO stranger.example\r\n")
        secured.recv(4096)
        return secured.session, secured.session_reused


starttls.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
starttls.context.check_hostname, starttls.context.verify_mode = False, ssl.CERT_NONE


def test_tlsmgr_lets_a_client_resume_its_tls_session(relay):
    session, was_reused = starttls()
    assert not was_reused
    assert starttls(session)[1], "the second handshake took up the first one's session"


def test_rewrite_completes_addresses_and_chooses_the_way(relay, outside):
    send(relay, "someone@example.com", sender="app")
    assert received(outside, "example.com")[0].sender == f"app@{ME}"


def test_bounce_tells_the_sender(relay, outside):
    send(relay, "someone@no-such-domain.example")
    text = received(outside, "example.net")[0].text
    assert received(outside, "example.net")[0].sender == "<>"
    assert "multipart/report" in text and "Action: failed" in text
    assert re.search(r"Final-Recipient: rfc822; ?someone@no-such-domain\.example", text)
    relay.wait_log(r"postfix/bounce\[\d+\]: \S+: sender non-delivery notification: \S+")


def test_defer_keeps_the_reason(relay):
    send(relay, "someone@refused.example")
    wait_until(lambda: "Connection refused" in relay.queue(), "the reason in mailq")
    relay.type("service postfix restart")
    assert "Connection refused" in relay.queue()
    relay.type("postsuper -d ALL")


def test_trace_reports_a_successful_delivery(relay, outside):
    send(relay, "someone@example.com", options="-N success")
    received(outside, "example.com")
    text = received(outside, "example.net")[0].text
    assert re.search(r"Action: (delivered|relayed)", text), text


def test_trace_reports_a_probe_without_delivering(relay, outside):
    relay.type("sendmail -bv -f app@example.net someone@example.com", input="")
    text = received(outside, "example.net")[0].text
    assert "deliverable" in text and not outside.hosts["example.com"].messages


def test_verify_asks_the_receiving_host(relay, outside, settings):
    host = outside.hosts["example.com"]
    host.answers["RCPT"] = lambda address: "550 5.1.1 no such user" if "wrong" in address else None
    settings("smtpd_recipient_restrictions = reject_unverified_recipient, permit_mynetworks, "
             "reject_unauth_destination", "address_verify_poll_count = 5")
    relay.type("echo 203.0.113.77 >> /etc/postfix/mynetworks")

    def answer(recipient):
        with ClientFrom(SSO) as client:
            client.command("EHLO sso-api-01.zombig.name")
            client.command("MAIL FROM:<login@zombig.name>")
            return client.command(f"RCPT TO:<{recipient}>")[0]
    try:
        wait_until(lambda: answer("wrong@example.com") == 450, "the refusal")
        wait_until(lambda: answer("right@example.com") == 250, "the acceptance")
    finally:
        host.answers.clear()
    assert not host.messages


def test_flush_sends_what_waits_for_one_site(relay, outside, settings):
    host = outside.hosts["example.com"]
    host.answers["RCPT"] = lambda address: "450 4.2.0 later"
    settings("relay_domains = example.com", "fast_flush_domains = $relay_domains")
    send(relay, "someone@example.com")
    wait_until(lambda: "later" in relay.queue(), "a deferred message")
    host.answers.clear()
    relay.type("postqueue -s example.com")
    received(outside, "example.com")


def test_proxymap_serves_tables(relay, outside, settings):
    relay.type("echo 'team@example.net someone@example.com' >/etc/postfix/virtual && "
               "postmap hash:/etc/postfix/virtual")
    settings("virtual_alias_maps = proxy:hash:/etc/postfix/virtual")
    send(relay, "team@example.net")
    assert received(outside, "example.com")[0].recipients == ["someone@example.com"]


def test_proxywrite_keeps_what_verify_learned(relay, outside, settings):
    settings("smtpd_recipient_restrictions = reject_unverified_recipient, permit_mynetworks, "
             "reject_unauth_destination",
             "address_verify_map = proxy:btree:$data_directory/verify_cache")
    asked = []
    outside.hosts["example.com"].answers["RCPT"] = lambda address: asked.append(address)

    def accepted():
        with ClientFrom(SSO) as client:
            client.command("EHLO sso-api-01.zombig.name")
            client.command("MAIL FROM:<login@zombig.name>")
            return client.command("RCPT TO:<kept@example.com>")[0] == 250
    try:
        wait_until(accepted, "the acceptance")
        count = len(asked)
        relay.type("service postfix restart")
        assert accepted() and len(asked) == count, "known across a restart"
    finally:
        outside.hosts["example.com"].answers.clear()


def test_smtp_delivers_to_the_mail_exchanger(relay, outside):
    send(relay, "someone@example.com")
    assert received(outside, "example.com")[0].recipients == ["someone@example.com"]
    relay.wait_log(r"postfix/smtp\[\d+\]: \S+: to=<someone@example\.com>, "
                   r"relay=mx\.example\.com\[203\.0\.113\.11\]:25, .*dsn=2\.0\.0, status=sent")


def test_relay_does_not_use_the_fallback_that_smtp_has(relay, outside, settings):
    settings("smtp_fallback_relay = [mx.example.org]", "relay_domains = refused.example")
    send(relay, "a@refused.example")
    relay.wait_log(r"to=<a@refused\.example>, .*status=deferred \(connect to refused\.example")
    assert not outside.hosts["example.org"].messages
    settings("relay_domains =")
    send(relay, "b@refused.example")
    assert received(outside, "example.org")[0].recipients == ["b@refused.example"]


def test_showq_lists_the_queue_for_every_user(relay):
    send(relay, "someone@refused.example")
    wait_until(lambda: "Connection refused" in relay.run("mailq", user="reader").stdout,
               "the list for an ordinary user")
    relay.type("postsuper -d ALL")


def test_error_returns_mail_with_its_text(relay, outside, settings):
    settings("transport_maps = inline:{ { example.org = error:5.1.2 we do not write there } }")
    send(relay, "someone@example.org")
    relay.wait_log(r"postfix/error\[\d+\]: \S+: to=<someone@example\.org>, relay=none, .*"
                   r"dsn=5\.1\.2, status=bounced")
    assert "5.1.2" in received(outside, "example.net")[0].text


def test_retry_lets_mail_wait_with_its_text(relay, settings):
    settings("transport_maps = inline:{ { example.org = retry:4.3.0 not today } }")
    send(relay, "someone@example.org")
    relay.wait_log(r"postfix/retry\[\d+\]: \S+: to=<someone@example\.org>, relay=none, .*"
                   r"dsn=4\.3\.0, status=deferred \(not today\)")
    assert "(not today)" in relay.queue()


def test_discard_takes_mail_and_delivers_nothing(relay, outside, settings):
    settings("transport_maps = inline:{ { example.org = discard:unwanted } }")
    send(relay, "someone@example.org")
    relay.wait_log(r"postfix/discard\[\d+\]: \S+: to=<someone@example\.org>, relay=none, .*"
                   r"status=sent \(unwanted\)")
    assert not outside.hosts["example.org"].messages
    assert "Mail queue is empty" in relay.queue()


def test_local_delivers_to_the_users_mailbox(relay):
    send(relay, f"reader@{ME}", text="Subject: for reader\n\nHello.\n")
    wait_until(lambda: "Subject: for reader" in relay.read("/var/mail/reader"), "the mailbox")
    assert relay.type("stat -c %U /var/mail/reader").stdout == "reader\n"
    relay.wait_log(rf"postfix/local\[\d+\]: \S+: to=<reader@{ME}>, relay=local, .*status=sent")


def test_virtual_delivers_to_mailboxes_without_users(relay, settings):
    relay.type("mkdir -p /var/vmail && chown 5000:5000 /var/vmail")
    settings("virtual_mailbox_domains = virtual.example", "virtual_mailbox_base = /var/vmail",
             "virtual_mailbox_maps = inline:{ box@virtual.example=box/ }",
             "virtual_uid_maps = static:5000", "virtual_gid_maps = static:5000",
             "virtual_minimum_uid = 1000")
    send(relay, "box@virtual.example")
    wait_until(lambda: relay.type("ls /var/vmail/box/new 2>/dev/null", check=False).stdout,
               "a file in the Maildir")
    assert relay.type("stat -c %u /var/vmail/box/new/*").stdout == "5000\n"
    relay.wait_log(r"postfix/virtual\[\d+\]: \S+: to=<box@virtual\.example>, relay=virtual, .*"
                   r"status=sent")


class Mailboxes:
    def __init__(self):
        self.recipients = []

    async def handle_RCPT(self, server, session, envelope, address, options):
        self.recipients.append(address)
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server, session, envelope):
        return "250 2.0.0 stored"


class LmtpController(Controller):
    def factory(self):
        return LMTP(self.handler, hostname="mailboxes.example")


def test_lmtp_hands_mail_to_a_mailbox_server(relay, settings):
    subprocess.run(["ip", "address", "add", f"{LMTP_HOST}/32", "dev", "lo"], check=True)
    server = LmtpController(Mailboxes(), hostname=LMTP_HOST, port=24)
    server.start()
    try:
        settings(f"transport_maps = inline:{{ {{ example.org = lmtp:inet:{LMTP_HOST}:24 }} }}")
        send(relay, "someone@example.org")
        relay.wait_log(r"postfix/lmtp\[\d+\]: \S+: to=<someone@example\.org>, "
                       r"relay=203\.0\.113\.71\[203\.0\.113\.71\]:24, .*status=sent \(250 2\.0\.0 "
                       r"stored")
        assert server.handler.recipients == ["someone@example.org"]
    finally:
        server.stop()


def test_anvil_limits_how_often_a_client_connects(relay, settings):
    settings("smtpd_client_connection_rate_limit = 2", "smtpd_client_event_limit_exceptions =")
    codes = []
    for _ in range(4):
        with ClientFrom(STRANGER) as client:
            codes.append(client.banner[0])
    assert codes == [220, 220, 421, 421]
    relay.wait_log(r"warning: Connection rate limit exceeded: 3 from stranger\.example")


def test_scache_uses_a_connection_again(relay, outside):
    host = outside.hosts["example.com"]
    for _ in range(20):
        send(relay, "someone@example.com")
    received(outside, "example.com", 20)
    assert len(host.peers) < 20, "fewer connections than messages"
    relay.wait_log(r"conn_use=\d+")


def test_every_service_of_the_file_has_its_row():
    names = {"smtpd" if "smtpd" in line else line.split()[0]
             for line in steps.BASE_MASTER.splitlines() if re.match(r"[a-z]+ +\w+ ", line) and
             not line.startswith("cat")}
    tested = {re.match(r"test_([a-z]+)_", name)[1] for name in globals() if name.startswith("test_")}
    assert len(names) == 24 and names <= tested, names - tested
