# SPDX-License-Identifier: Apache-2.0
"""The tutorial, from its first line to its last: each claim is proved from outside. Where it
contradicts itself the first pass shows what Postfix does and that `postfix check` names it; the
second pass, with the cures applied, shows what its author wanted."""
import re
import ssl
import time

import steps
from outside import FIRST, HOSTS, SECOND, SSO, STRANGER, ClientFrom
from world import message, wait_until

REFUSED = "554 5.7.1"
ME = "relay.zombig.name"


def relayed(outside, domain, count=1, seconds=20):
    host = outside.hosts[domain]
    wait_until(lambda: len(host.messages) >= count, f"{count} messages for {domain}", seconds)
    return host.messages


def send(relay, recipient, sender="app@example.net", text="Subject: test\n\nHello.\n"):
    relay.type(f"sendmail -f '{sender}' {recipient}", input=text)


def named(findings, *words):
    """The finding in which all the words are."""
    found = [line for line in findings if all(word in line for word in words)]
    assert found, f"{words} not in\n" + "\n".join(findings)
    return found[0]


# ---- base configuration ----

def test_the_base_configuration_starts(relay):
    for step in (steps.BASE_MAIN, steps.BASE_NETWORKS, steps.BASE_MASTER):
        relay.type(step)
    relay.type(steps.START)
    assert relay.type("service postfix status").returncode == 0


def test_white_space_at_line_ends_is_no_part_of_values(relay):
    assert relay.type("postconf -h smtpd_banner recipient_delimiter").stdout == \
        "$myhostname ESMTP $mail_name\n+\n"
    assert not re.search(r"[ \t]$", relay.type("postconf -n; postconf -M").stdout, re.MULTILINE)


def test_an_empty_inet_interfaces_does_not_start_and_is_named(relay):
    relay.type("cp /etc/postfix/main.cf /tmp/good.cf; postconf -e 'inet_interfaces ='")
    named(relay.check(), "inet_interfaces is empty", "loopback-only")
    relay.type("service postfix stop")
    assert relay.type("service postfix start", check=False).returncode != 0
    relay.type("cp /tmp/good.cf /etc/postfix/main.cf; service postfix start")


def test_overrides_without_white_space_in_front_are_named_with_their_line(relay):
    relay.type("cp /etc/postfix/master.cf /tmp/good.cf; "
               "printf 'x unix - - n - - smtp\\n-o syslog_name=x\\n' >>/etc/postfix/master.cf")
    failed = relay.type("postfix check", check=False)
    assert failed.returncode == 1 and "line 27" in failed.stderr, failed.stderr
    relay.type("cp /tmp/good.cf /etc/postfix/master.cf; postfix check", check=False)


def test_the_banner_begins_with_the_name_of_the_relay(relay):
    with ClientFrom(STRANGER) as client:
        assert client.banner == (220, [f"{ME} ESMTP Postfix"])


def test_no_smtputf8_at_compatibility_level_0(relay):
    with ClientFrom(STRANGER) as client:
        assert "SMTPUTF8" not in client.command("EHLO stranger.example")[1]


def test_mail_of_this_machine_is_relayed_from_the_first_address(relay, outside):
    send(relay, "someone@example.com")
    message, = relayed(outside, "example.com")
    assert message.peer[0] == FIRST and message.helo == ME
    assert message.sender == "app@example.net" and message.recipients == ["someone@example.com"]


def test_messages_travel_as_plain_text_at_first(relay, outside):
    send(relay, "someone@secure.example")
    message, = relayed(outside, "secure.example")
    assert not message.is_encrypted


def test_an_application_of_this_machine_relays_over_smtp(relay, outside):
    outside.clear()
    relay.type("printf 'EHLO app\\r\\nMAIL FROM:<app@example.net>\\r\\n"
               "RCPT TO:<someone@example.org>\\r\\nDATA\\r\\nSubject: x\\r\\n\\r\\nHello.\\r\\n.\\r\\n"
               "QUIT\\r\\n' >/tmp/dialogue; python3 -c \"import smtplib; c = "
               "smtplib.SMTP('127.0.0.1'); c.sendmail('app@example.net', ['someone@example.org'], "
               "'Subject: x\\n\\nHello.')\"")
    assert relayed(outside, "example.org")[0].sender == "app@example.net"


def test_a_stranger_is_refused(relay):
    with ClientFrom(STRANGER) as client:
        client.command("EHLO stranger.example")
        client.command("MAIL FROM:<stranger@stranger.example>")
        assert client.command("RCPT TO:<someone@example.com>") == \
            (554, ["5.7.1 <someone@example.com>: Relay access denied"])
    relay.wait_log(r"NOQUEUE: reject: RCPT from stranger\.example\[203\.0\.113\.99\]: 554 5\.7\.1 ")


def test_a_stranger_may_write_to_users_of_the_relay(relay):
    with ClientFrom(STRANGER) as client:
        client.command("EHLO stranger.example")
        code, text = client.deliver("stranger@stranger.example", [f"root@{ME}"], message())
        assert code == 250, text
    relay.wait_log(rf"to=<root@{ME}>, .*relay=local, .*status=sent")


def test_authentication_is_not_offered(relay):
    with ClientFrom(STRANGER) as client:
        _, lines = client.command("EHLO stranger.example")
        assert not any(line.startswith("AUTH") for line in lines)
        assert client.command("AUTH PLAIN AGEAYg==")[0] == 503


def test_an_extension_behind_plus_is_a_part_of_the_user(relay):
    send(relay, f"root+tag@{ME}")
    relay.wait_log(rf"to=<root\+tag@{ME}>, .*status=sent")


def test_biff_is_off(relay):
    assert relay.type("postconf -h biff").stdout == "no\n"


def test_a_name_without_dot_is_not_completed(relay, outside):
    send(relay, "someone@example.com", sender="app@host")
    wait_until(lambda: any(each.sender == "app@host" for each in outside.hosts["example.com"].messages),
               "the message of app@host")


# ---- SSL ----

def test_tls_is_on_with_its_files_in_place(relay):
    relay.type(steps.TLS_FILES)
    relay.type(steps.TLS)
    relay.type(steps.START)


def test_starttls_is_offered_and_the_received_line_says_so(relay, outside):
    outside.clear()
    with ClientFrom(STRANGER) as client:
        assert "STARTTLS" in client.command("EHLO stranger.example")[1]
        assert client.command("STARTTLS")[0] == 220
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client.socket = context.wrap_socket(client.socket)
        client.file = client.socket.makefile("rb")
        client.command("EHLO stranger.example")
        assert client.deliver("stranger@stranger.example", [f"root@{ME}"],
                              message("over tls"))[0] == 250
    wait_until(lambda: "Subject: over tls" in relay.read("/var/mail/root") or
               "Subject: over tls" in relay.read("/var/mail/nobody"), "the message in the mailbox")
    text = relay.read("/var/mail/root") + relay.read("/var/mail/nobody")
    assert re.search(r"\(using TLSv1\.3 with cipher \S+ \(\d+/\d+ bits\)", text)


def test_mail_goes_out_encrypted_where_the_host_offers_it(relay, outside):
    send(relay, "someone@secure.example")
    assert relayed(outside, "secure.example")[0].is_encrypted
    send(relay, "someone@example.com")
    assert not relayed(outside, "example.com")[0].is_encrypted


def test_the_comment_behind_a_value_is_named(relay):
    named(relay.check(), "smtpd_tls_loglevel", "comment", "main.cf, line 21")


def test_without_the_certificate_starttls_is_answered_454_and_check_says_why(relay):
    relay.type("mv /etc/postfix/ssl/smtpd.crt /tmp/ && service postfix restart")
    named(relay.check(), "smtpd.crt", "TLS does not work")
    with ClientFrom(STRANGER) as client:
        assert "STARTTLS" in client.command("EHLO stranger.example")[1]
        assert client.command("STARTTLS") == (454, ["4.7.0 TLS not available due to local problem"])
    relay.type("mv /tmp/smtpd.crt /etc/postfix/ssl/ && service postfix restart")


# ---- a transport of one's own ----

def test_a_custom_transport_sends_from_the_second_address(relay, outside):
    outside.clear()
    relay.type(steps.TRANSPORT)
    mark = relay.mark()
    send(relay, "someone@example.com")
    message, = relayed(outside, "example.com")
    assert message.peer[0] == SECOND and message.helo == ME
    wait_until(lambda: re.search(r"relay-zombig-name/smtp\[\d+\]: .*to=<someone@example.com>, .*"
                                 r"status=sent", relay.log_since(mark)), "its log line")


def test_the_entry_for_everybody_captures_local_mail_and_check_says_so(relay):
    send(relay, f"root@{ME}")
    relay.wait_log(rf"to=<root@{ME}>, .*dsn=5\.4\.6, status=bounced \(mail for {ME} loops back to "
                   r"myself\)")
    finding = named(relay.check(), f"({ME})", "loops back to myself", "transport_maps")
    assert "default_transport = out_default" in finding


# ---- sender-dependent transports ----

def test_the_table_that_is_configured_is_not_the_one_that_was_made(relay):
    relay.type(steps.SENDERS)
    assert "451 4.3.0" in relay.type(
        "python3 -c \"import smtplib; c = smtplib.SMTP('127.0.0.1'); c.ehlo(); c.mail('a@b.example');"
        " print(*map(str, c.rcpt('someone@example.com')))\"").stdout.replace("b'", "")
    send(relay, "waits@example.com")
    relay.wait_log(r"to=<waits@example\.com>, .*status=deferred \(address resolver failure\)")
    relay.type("postsuper -d ALL")
    finding = named(relay.check(), "hash:/etc/postfix/sender_transport_maps", "does not exist", "451")
    assert 'write "sender_dependent_default_transport_maps = ' \
        'hash:/etc/postfix/sender_dependet_transpors"' in finding


def test_the_entry_for_everybody_overrides_the_senders_transport(relay, outside):
    outside.clear()
    relay.type("postconf -e 'sender_dependent_default_transport_maps = "
               "hash:/etc/postfix/sender_dependet_transpors'; service postfix restart")
    send(relay, "someone@example.com", sender="testing@zombig.name")
    assert relayed(outside, "example.com")[0].peer[0] == SECOND, "it left through out_default"
    finding = named(relay.check(), "sender_dependent_default_transport_maps never decides")
    assert "default_transport = out_default" in finding


# ---- rate limits ----

def test_a_limited_destination_gets_batches_of_three_every_ten_seconds(relay, outside):
    outside.clear()
    relay.type(steps.RATE)
    send(relay, " ".join(f"user{number}@qq.com" for number in range(7)))
    send(relay, "someone@example.org")
    relayed(outside, "example.org", seconds=8)
    messages = relayed(outside, "qq.com", 3, 40)
    assert sorted(len(each.recipients) for each in messages) == [1, 3, 3]
    times = outside.hosts["qq.com"].times
    assert all(9.5 < later - earlier < 12 for earlier, later in zip(times, times[1:])), times


def test_limits_that_the_delay_makes_dead_are_named(relay):
    named(relay.check(), "qq_com_limit_destination_concurrency_limit = 2 has no effect")
    named(relay.check(), "qq_com_limit_destination_concurrency_failed_cohort_limit = 10")


def test_a_default_delay_of_one_second_holds_for_every_destination(relay, outside):
    outside.clear()
    relay.type(steps.DEFAULT_RATE)
    for _ in range(4):
        send(relay, "someone@example.com")
    relayed(outside, "example.com", 4)
    times = outside.hosts["example.com"].times
    assert all(0.9 < later - earlier < 2.5 for earlier, later in zip(times, times[1:])), times
    named(relay.check(), "default_destination_concurrency_limit = 20 has no effect")
    named(relay.check(), "initial_destination_concurrency = 3 has no effect")


# ---- remote access, header checks ----

def test_a_server_that_is_not_in_mynetworks_is_refused(relay):
    with ClientFrom(SSO) as client:
        client.command("EHLO sso-api-01.zombig.name")
        client.command("MAIL FROM:<login@zombig.name>")
        assert client.command("RCPT TO:<someone@example.com>")[0] == 554


def test_a_server_in_mynetworks_may_relay_without_a_restart(relay):
    relay.type(steps.REMOTE)

    def accepted():
        with ClientFrom(SSO) as client:
            client.command("EHLO sso-api-01.zombig.name")
            client.command("MAIL FROM:<login@zombig.name>")
            return client.command("RCPT TO:<someone@example.com>")[0] == 250
    wait_until(accepted, "the new entry of mynetworks to count")
    with ClientFrom(STRANGER) as client:
        client.command("EHLO stranger.example")
        client.command("MAIL FROM:<stranger@stranger.example>")
        assert client.command("RCPT TO:<someone@example.com>")[0] == 554


def test_the_received_line_hides_the_sso_server(relay, outside):
    outside.clear()
    relay.type(steps.HEADERS)
    with ClientFrom(SSO) as client:
        client.command("EHLO sso-api-01.zombig.name")
        assert client.deliver("login@zombig.name", ["someone@example.com"],
                              message("your password"))[0] == 250
    text = relayed(outside, "example.com")[0].text
    assert text.startswith("Received: from login.zombig.name (unknown [unknown])"), text
    assert "sso-api" not in text and SSO not in text
    relay.wait_log(r"cleanup\[\d+\]: \S+: replace: header Received: from sso-api-01\.zombig\.name "
                   r".*: Received: from login\.zombig\.name \(unknown \[unknown\]\)")


def test_headers_with_the_word_localhost_go_also_our_own_and_check_says_so(relay, outside):
    outside.clear()
    relay.type("python3 -c \"import smtplib; c = smtplib.SMTP('127.0.0.1'); "
               "c.sendmail('app@example.net', ['someone@example.org'], "
               "'Subject: about LocalHost\\nX-Kept: yes\\n\\nHello.')\"")
    text = relayed(outside, "example.org")[0].text
    assert "X-Kept" in text and "Subject:" not in text and "Received:" not in text
    named(relay.check(), "removes the Received: line", "header_checks")


def test_a_shell_that_eats_the_replacement_is_named(relay):
    relay.type("cp /etc/postfix/header_checks /tmp/ && " +
               steps.HEADERS.split("EOF\ncat")[0].strip("\n").replace("'EOF'", "EOF") + "EOF\n")
    named(relay.check(), "replaces a Received: line", "which is no header")
    relay.type("cp /tmp/header_checks /etc/postfix/header_checks")


def test_a_shell_that_eats_the_name_in_the_banner_is_named(relay):
    relay.type("cp /etc/postfix/main.cf /tmp/good.cf; cat << EOF >> /etc/postfix/main.cf\n"
               "smtpd_banner = $myhostname ESMTP $mail_name\nEOF\n")
    named(relay.check(), "smtpd_banner", "must begin with this host's name")
    relay.type("cp /tmp/good.cf /etc/postfix/main.cf")


# ---- debugging ----

def test_debug_peers_get_more_lines_and_others_do_not(relay, outside):
    outside.clear()
    relay.type(steps.DEBUGGING)
    mark = relay.mark()
    send(relay, "someone@plain.example")
    send(relay, "someone@example.org")
    relayed(outside, "plain.example")
    relayed(outside, "example.org")
    address = re.escape(HOSTS["plain.example"])
    wait_until(lambda: re.search(rf"> mx\.plain\.example\[{address}\]:25: QUIT|"
                                 rf"< mx\.plain\.example\[{address}\]:25: 250 2\.0\.0",
                                 relay.log_since(mark)), "the dialogue in the log")
    log = relay.log_since(mark)
    assert re.search(rf"> mx\.plain\.example\[{address}\]:25: EHLO {re.escape(ME)}", log)
    assert not re.search(r"[<>] mx\.example\.org\[", log)


# ---- mail, queue, statistics ----

def test_the_test_mail_arrives(relay, outside):
    outside.clear()
    relay.type(steps.MAIL.format(recipient="someone@example.com"))
    message, = relayed(outside, "example.com")
    assert message.sender == "testing@zombig.name"
    assert "Subject: Relay Service Test message" in message.text
    assert "you relay server works fine!" in message.text
    assert re.search(r"(?m)^Message-Id: |^Message-ID: ", message.text)
    assert re.search(r"(?m)^Date: ", message.text)


def fill_queue(relay):
    relay.type("postconf -e smtp_connect_timeout=2s && service postfix reload")
    for recipient in ("one@refused.example", "two@silent.example"):
        relay.type(steps.MAIL.format(recipient=recipient))

    def waits():
        queue = relay.queue()
        return "Connection refused" in queue and "Connection timed out" in queue and \
            "*" not in queue
    wait_until(waits, "two deferred messages", 40)


def test_mailq_bp_lists_what_waits_and_why(relay):
    fill_queue(relay)
    text = relay.type(steps.LIST).stdout
    assert text.startswith(
        "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n")
    assert re.search(r"(?m)^[0-9A-Z]\S* +\d+ \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d  "
                     r"testing@zombig\.name\n *\(connect to refused\.example\[203\.0\.113\.61\]:25: "
                     r"Connection refused\)\n +one@refused\.example\n", text), text
    assert re.search(r"-- \d+ Kbytes in 2 Requests\.\n$", text)


def test_the_pipelines_delete_by_reason(relay):
    removed = relay.type(steps.DELETE_BY_REASON.format(reason="Connection refused"))
    assert re.search(r"postsuper: \S+: removed\npostsuper: Deleted: 1 message\n", removed.stderr)
    assert "refused.example" not in relay.queue() and "silent.example" in relay.queue()
    removed = relay.type(steps.DELETE_BY_REASON.format(reason="Connection timed out"))
    assert "Deleted: 1 message" in removed.stderr
    assert "Mail queue is empty" in relay.queue()


def test_all_deferred_messages_are_deleted_at_once(relay):
    fill_queue(relay)
    said = relay.type(steps.DELETE_ALL_DEFERRED).stderr
    assert "Deleted: 2 messages" in said
    assert "Mail queue is empty" in relay.queue()


def test_nobody_but_root_deletes(relay):
    relay.type("id reader >/dev/null 2>&1 || useradd -m reader")
    refused = relay.run(steps.DELETE_ALL_DEFERRED, user="reader", check=False)
    assert refused.returncode != 0


def test_pflogsumm_counts_what_happened(relay):
    text = relay.type(steps.STATISTICS).stdout
    counts = {name: int(count) for count, name in
              re.findall(r"(?m)^ +(\d+)   (received|delivered|deferred|bounced|rejected)\b", text)}
    log = relay.log()
    # What is logged under relay-zombig-name is not counted: contradiction, and named.
    postfix = "\n".join(line for line in log.splitlines() if " postfix/" in line)
    assert counts["received"] == len(re.findall(r"postfix/(?:smtpd|pickup)\[\d+\]: [0-9A-Za-z]+: "
                                                r"(?:client|uid)=", postfix)), text
    assert counts["delivered"] == len(re.findall(r"status=sent", postfix))
    assert counts["rejected"] == len(re.findall(r"reject: RCPT", postfix))
    named(relay.check(), "pflogsumm", "syslog_name=postfix/relay-zombig-name")


# ---- the second pass: what its author wanted ----

def test_with_the_cures_applied_check_has_no_complaints(relay):
    relay.type(steps.CURE)
    left = [line for line in relay.check() if "not honoured" not in line]
    assert left == []
    assert relay.type("waypost check").returncode == 0


def test_then_each_senders_domain_has_its_own_address(relay, outside):
    outside.clear()
    send(relay, "someone@example.com", sender="testing@zombig.name")
    send(relay, "someone@example.org", sender="app@example.net")
    assert relayed(outside, "example.com")[0].peer[0] == FIRST
    assert relayed(outside, "example.org")[0].peer[0] == SECOND


def test_then_local_mail_is_delivered_here(relay):
    mark = relay.mark()
    send(relay, f"root@{ME}")
    wait_until(lambda: re.search(rf"to=<root@{ME}>, .*relay=local, .*status=sent",
                                 relay.log_since(mark)), "the local delivery")


def test_then_our_own_received_line_stays(relay, outside):
    outside.clear()
    relay.type("python3 -c \"import smtplib; c = smtplib.SMTP('127.0.0.1'); "
               "c.sendmail('app@example.net', ['someone@example.org'], "
               "'Subject: about LocalHost\\n\\nHello.')\"")
    text = relayed(outside, "example.org")[0].text
    assert "Received: from " in text and "Subject: about LocalHost" in text


def test_then_pflogsumm_counts_every_delivery(relay, outside):
    relay.type("postsuper -d ALL; sleep 1")  # nothing of the steps before may go on
    relay.type("cp /var/log/maillog /var/log/before; : >/var/log/maillog")
    outside.clear()
    for recipient in ("a@example.com", "b@example.org"):
        send(relay, recipient)
    relayed(outside, "example.com")
    relayed(outside, "example.org")
    relay.wait_log(r"removed", 2)
    text = relay.type(steps.STATISTICS).stdout
    assert re.search(r"(?m)^ +2   received", text) and re.search(r"(?m)^ +2   delivered", text), text
