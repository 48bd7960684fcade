# SPDX-License-Identifier: Apache-2.0
"""Notices as an independent program reads them: Python's parser takes them apart, and what
RFC 3461, 3464 and 6533 ask for is checked field by field, in every form there is."""
import email
import email.policy
import re
import time

import pytest

from scripted import Servers
from world import Instance, Sink, wait_until

SENDER = "sender@sender.example"
FEATURES = ["PIPELINING", "SIZE 1000000", "8BITMIME"]
STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
ACTIONS = {"failed", "delayed", "delivered", "relayed", "expanded"}


def script(*keywords, **more):
    lines = ["scripted.example.test", *FEATURES, *keywords]
    return {"ehlo": "\r\n".join(f"250{'-' if i + 1 < len(lines) else ' '}{line}"
                                for i, line in enumerate(lines)),
            "rcpt": {"bad": "550 5.1.1 <bad>: no such user", "late": "450 4.2.0 <late>: not now",
                     "later": ["450 4.2.0 <later>: not now", "250 2.1.5 Ok"],
                     "eight": "550 5.1.1 caf\xe9"}, **more}


class World:
    """An instance, a sink that gets notices, and servers for all other mail."""

    def __init__(self, **parameters):
        self.sink = Sink(decode_data=False, enable_SMTPUTF8=True)
        self.servers = Servers({"127.0.0.2": script("SMTPUTF8"),
                                "127.0.0.3": script("SMTPUTF8", "DSN")})
        self.relay = Instance(**{
            "default_transport": f"smtp:[127.0.0.1]:{self.sink.port}", "mail_name": "Postfix",
            "transport_maps": "texthash:$config_directory/transport", "smtputf8_enable": "yes",
            "virtual_alias_maps": "texthash:$config_directory/virtual", **parameters})
        (self.relay.config / "transport").write_text(
            f"plain.example smtp:[127.0.0.2]:{self.servers.port}\n"
            f"dsn.example smtp:[127.0.0.3]:{self.servers.port}\n"
            "gone.example error:5.1.2 no such place any more\n")
        (self.relay.config / "virtual").write_text(
            "list@virtual.example good@plain.example, good@dsn.example\n")

    def __enter__(self):
        self.sink.start()
        self.servers.__enter__()
        self.relay.start()
        return self

    def __exit__(self, *exception):
        self.relay.__exit__(*exception)
        self.servers.__exit__()
        self.sink.stop()

    def send(self, *recipients, parameters="", sender=SENDER, body="Hello.\r\n"):
        """`recipients` with their parameters: "<a@b> NOTIFY=NEVER"."""
        with self.relay.connect() as client:
            assert client.command("EHLO client.example")[0] == 250
            for line in [f"MAIL FROM:<{sender}>{parameters}",
                         *[f"RCPT TO:{each}" for each in recipients]]:
                reply = client.command(line)
                assert reply[0] == 250, (line, reply)
            assert client.command("DATA")[0] == 354
            client.send(f"From: {SENDER}\r\nSubject: s\r\nMessage-Id: <original@x.example>\r\n\r\n"
                        f"{body}.\r\n".encode())
            assert client.reply()[0] == 250

    def notices(self, count):
        return [Notice(each) for each in self.sink.wait(count)]


class Notice:
    """A report taken apart, after everything that holds for all of them was checked."""

    def __init__(self, delivered):
        raw = delivered.content
        assert b"\n" not in raw.replace(b"\r\n", b"")
        assert max(map(len, raw.split(b"\r\n"))) <= 998
        self.delivered = delivered
        self.message = email.message_from_bytes(raw, policy=email.policy.SMTPUTF8)
        assert not self.message.defects
        assert self.message.get_content_type() == "multipart/report"
        assert self.message.get_param("report-type") == "delivery-status"
        assert self.message["Auto-Submitted"].startswith("auto-")
        assert self.message["Message-Id"] and self.message["Date"]
        self.text, self.status, self.returned = self.message.get_payload()
        assert self.text.get_content_type() == "text/plain"
        self.is_global = "SMTPUTF8" in delivered.options
        assert self.status.get_content_type() == (
            "message/global-delivery-status" if self.is_global else "message/delivery-status")
        blocks = self.blocks()
        self.fields, self.recipients = blocks[0], blocks[1:]
        self.check_fields()

    def blocks(self):
        """The fields of the message, and those of each recipient."""
        if self.is_global:  # the library knows RFC 3464 alone
            boundary = f"\r\n--{self.message.get_boundary()}".encode()
            part = self.delivered.content.split(boundary)[2]
            text = part.split(b"\r\n\r\n", 1)[1].decode()
            return [email.message_from_string(each, policy=email.policy.SMTPUTF8)
                    for each in re.split(r"\r?\n\r?\n", text.strip())]
        return self.status.get_payload()

    def check_fields(self):
        assert re.fullmatch(r"dns; \S+", self.fields["Reporting-MTA"])
        assert self.fields["Arrival-Date"]
        assert self.recipients
        for each in self.recipients:
            assert re.fullmatch(r"(rfc822|utf-8); \S+@\S+", each["Final-Recipient"])
            assert re.fullmatch(r"[\w-]+;\S+", each["Original-Recipient"])
            assert each["Action"] in ACTIONS
            assert STATUS.fullmatch(each["Status"])
            assert re.match(r"(smtp|X-\w+); ", each["Diagnostic-Code"])
            # RFC 3464, 2.3.3: the status tells the same as the action.
            assert (each["Action"] in ("delivered", "relayed", "expanded")) == \
                (each["Status"][0] == "2")

    def actions(self):
        return {each["Final-Recipient"].split("; ")[1]: each["Action"] for each in self.recipients}


@pytest.fixture(scope="module")
def world():
    with World() as one:
        yield one


@pytest.fixture
def fresh(world):
    world.sink.messages.clear()
    return world


def test_a_failure_comes_back_with_the_message(fresh):
    fresh.send("<bad@plain.example>")
    notice, = fresh.notices(1)
    assert notice.delivered.sender in ("", None, "<>")
    assert notice.delivered.recipients == [SENDER]
    assert notice.message["Subject"] == "Undelivered Mail Returned to Sender"
    assert notice.actions() == {"bad@plain.example": "failed"}
    assert notice.recipients[0]["Remote-MTA"] == "dns; 127.0.0.2"
    assert notice.recipients[0]["Diagnostic-Code"] == "smtp; 550 5.1.1 <bad>: no such user"
    assert notice.returned.get_content_type() == "message/rfc822"
    assert notice.returned.get_payload()[0].get_content() == "Hello.\r\n"
    assert "<bad@plain.example>: host 127.0.0.2" in notice.text.get_content()


def test_ret_envid_and_orcpt_are_kept(fresh):
    fresh.send("<bad@plain.example> ORCPT=rfc822;First+2Bname@first.example",
               parameters=" RET=HDRS ENVID=QQ+2B314")
    notice, = fresh.notices(1)
    assert notice.fields["Original-Envelope-Id"] == "QQ+314"
    assert notice.recipients[0]["Original-Recipient"] == "rfc822;First+name@first.example"
    assert notice.returned.get_content_type() == "text/rfc822-headers"
    assert "Hello." not in notice.returned.get_payload()


def test_a_server_with_dsn_gets_all_of_it_and_reports_success_itself(fresh):
    fresh.send("<good@dsn.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a=b@c.example",
               "<x@dsn.example>", parameters=" RET=FULL ENVID=id")
    wait_until(lambda: len(fresh.servers["127.0.0.3"].messages) >= 1, "the mail")
    commands = fresh.servers["127.0.0.3"].commands
    assert any(re.fullmatch(r"MAIL FROM:<sender@sender.example> .*ENVID=id RET=FULL", each)
               for each in commands)
    assert "RCPT TO:<good@dsn.example> ORCPT=rfc822;a+3Db@c.example NOTIFY=SUCCESS,FAILURE" \
        in commands
    assert "RCPT TO:<x@dsn.example> ORCPT=rfc822;x@dsn.example" in commands
    time.sleep(0.5)
    assert fresh.sink.messages == []


def test_without_dsn_success_is_reported_as_relayed(fresh):
    fresh.send("<good@plain.example> NOTIFY=SUCCESS", "<quiet@plain.example>")
    notice, = fresh.notices(1)
    assert notice.message["Subject"] == "Successful Mail Delivery Report"
    assert notice.actions() == {"good@plain.example": "relayed"}
    assert notice.returned.get_content_type() == "text/rfc822-headers"


def test_an_alias_is_reported_as_expanded_and_its_members_are_not(fresh):
    fresh.send("<list@virtual.example> NOTIFY=SUCCESS")
    notice, = fresh.notices(1)
    assert notice.actions() == {"list@virtual.example": "expanded"}
    wait_until(lambda: any("NOTIFY=NEVER" in each for each in fresh.servers["127.0.0.3"].commands),
               "the member")


@pytest.mark.parametrize("notify", ["NEVER", "SUCCESS", "DELAY", "SUCCESS,DELAY"])
def test_who_does_not_ask_for_failures_hears_of_none(fresh, notify):
    fresh.send(f"<bad@plain.example> NOTIFY={notify}")
    fresh.relay.wait_log(r"status=bounced")
    time.sleep(0.5)
    assert fresh.sink.messages == []


def test_nobody_hears_of_mail_without_a_sender(fresh):
    before = len(re.findall(r"status=bounced", fresh.relay.log()))
    fresh.send("<bad@plain.example> NOTIFY=FAILURE", sender="")
    fresh.relay.wait_log(r"status=bounced", before + 1)
    time.sleep(0.5)
    assert fresh.sink.messages == []


def test_mail_with_smtputf8_gets_rfc_6533s_form(fresh):
    fresh.send("<bad@plain.example> ORCPT=utf-8;b\\x{E4}d@plain.example",
               parameters=" SMTPUTF8 BODY=8BITMIME", sender="sénder@sender.example",
               body="Grüße\r\n")
    notice, = fresh.notices(1)
    assert notice.is_global
    assert notice.delivered.recipients == ["sénder@sender.example"]
    assert notice.recipients[0]["Original-Recipient"] == "utf-8;bäd@plain.example"
    assert notice.fields["X-Postfix-Sender"] == "utf-8; sénder@sender.example"
    assert notice.returned.get_content_type() == "message/global"
    assert "Return-Path: <sénder@sender.example>".encode() in notice.delivered.content


def test_8bit_answers_of_servers_do_not_break_the_notice(fresh):
    fresh.send("<eight@plain.example>")
    notice, = fresh.notices(1)
    assert notice.actions() == {"eight@plain.example": "failed"}


def test_a_large_message_comes_back_as_its_headers():
    with World(bounce_size_limit="2000") as world:
        world.send("<bad@plain.example>", body="x" * 70 + "\r\n")
        assert world.notices(1)[0].returned.get_content_type() == "message/rfc822"
        world.send("<bad@plain.example>", body=("x" * 70 + "\r\n") * 40)
        assert world.notices(2)[1].returned.get_content_type() == "text/rfc822-headers"


def test_a_delay_is_told_once_over_restarts_and_its_end_where_wanted():
    with World(delay_warning_time="1s", confirm_delay_cleared="yes", minimal_backoff_time="1s",
               maximal_backoff_time="2s", queue_run_delay="1s") as world:
        world.send("<late@plain.example>")
        notice, = world.notices(1)
        assert notice.message["Subject"] == "Delayed Mail (still being retried)"
        assert notice.actions() == {"late@plain.example": "delayed"}
        assert notice.recipients[0]["Will-Retry-Until"]
        assert notice.returned.get_content_type() == "text/rfc822-headers"
        world.relay.stop()
        attempts = len(re.findall(r"status=deferred", world.relay.log()))
        world.relay.start()
        world.relay.wait_log(r"status=deferred", attempts + 2)
        assert len(world.sink.messages) == 1
        world.servers["127.0.0.2"].script["rcpt"] = {}
        notice = world.notices(2)[1]
        assert notice.message["Subject"] == "Successful Mail Delivery Report"
        assert notice.actions() == {"late@plain.example": "relayed"}


def test_a_success_that_was_not_told_before_a_crash_is_told_after_it():
    with World(minimal_backoff_time="2s", maximal_backoff_time="3s", queue_run_delay="1s") as world:
        world.send("<good@plain.example> NOTIFY=SUCCESS", "<late@plain.example>")
        world.relay.wait_log(r"to=<good@plain\.example>.*status=sent")
        world.relay.kill_everything()
        world.relay.start()
        notice = world.notices(1)[0]
        assert notice.actions() == {"good@plain.example": "relayed"}
        assert len(world.servers["127.0.0.2"].messages) <= 2


def test_a_double_bounce_reaches_the_postmaster_and_goes_no_further():
    with World(**{"notify_classes": "2bounce",
                  "2bounce_notice_recipient": "bad@plain.example"}) as world:
        world.send("<bad@plain.example>", sender="bad@plain.example")
        world.relay.wait_log(r"postmaster non-delivery notification")
        world.relay.wait_log(r"undeliverable postmaster notification discarded")
        wait_until(world.relay.queue_is_empty, "an empty queue")
        assert world.sink.messages == []


def test_a_template_file_is_read_again_after_a_reload():
    with World(bounce_template_file="$config_directory/templates") as world:
        world.send("<bad@plain.example>")
        assert "This is the mail system" in world.notices(1)[0].text.get_content()
        world.relay.wait_log(r"bounce_template_file: .*using the built-in texts")
        (world.relay.config / "templates").write_text(
            "failure_template = <<E\nSubject: Other\n\nOther words of $myhostname.\nE\n")
        world.relay.reload()
        time.sleep(1)
        world.send("<bad@plain.example>")
        notice = world.notices(2)[1]
        assert notice.message["Subject"] == "Other"
        assert "Other words of relay.example.test." in notice.text.get_content()


def test_sendmail_v_mails_a_report_of_the_first_attempt():
    with World() as world:
        result = world.relay.sendmail("-v", "-f", SENDER, "good@plain.example",
                                      "late@plain.example", input="Subject: x\n\nHello\n")
        assert result.stdout == f"Mail Delivery Status Report will be mailed to <{SENDER}>.\n"
        notice, = world.notices(1)
        assert notice.message["Subject"] == "Mail Delivery Status Report"
        assert notice.actions() == {"good@plain.example": "relayed",
                                    "late@plain.example": "delayed"}


def test_sendmail_bv_reports_and_delivers_nothing():
    with World() as world:
        result = world.relay.sendmail("-bv", "-f", SENDER, "good@plain.example",
                                      "bad@plain.example", "late@dsn.example")
        assert result.stdout == f"Mail Delivery Status Report will be mailed to <{SENDER}>.\n"
        delivered, = world.sink.wait(1)
        assert re.findall(r"Action: (\w+)", delivered.text) == \
            ["deliverable", "undeliverable", "undeliverable"]
        wait_until(world.relay.queue_is_empty, "an empty queue")
        assert world.servers["127.0.0.2"].messages == []
        assert "DATA" not in world.servers["127.0.0.2"].commands


def test_verp_bounces_can_be_put_together():
    with World(disable_verp_bounces="yes") as world:
        world.relay.sendmail("-XV", "-f", SENDER, "bad@plain.example", "bad@dsn.example",
                             input="Subject: x\n\nHello\n")
        notice, = world.notices(1)
        assert notice.delivered.recipients == [SENDER]
        assert set(notice.actions()) == {"bad@plain.example", "bad@dsn.example"}
        senders = [line.split(" SIZE")[0] for line in world.servers["127.0.0.2"].commands
                   if line.startswith("MAIL")]
        assert senders == ["MAIL FROM:<sender+bad=plain.example@sender.example>"]


def test_verp_bounces_of_a_mailing_come_in_portions():
    """All notices of one end are in memory at once, so there may not be any number of them."""
    recipients = [f"r{i}@gone.example" for i in range(203)]
    with World() as world:
        world.relay.sendmail("-XV", "-f", SENDER, *recipients, input="Subject: x\n\nHello\n")
        world.notices(200)
        wait_until(lambda: "*" not in world.relay.run("postqueue", "-p").stdout, "mail at rest")
        assert len(world.sink.messages) == 200
        world.relay.run("postqueue", "-f")
        told = {each.delivered.recipients[0] for each in world.notices(203)}
        assert told == {f"sender+r{i}=gone.example@sender.example" for i in range(203)}
        wait_until(world.relay.queue_is_empty, "an empty queue")


def test_postconf_b_shows_the_texts(tmp_path):
    relay = Instance()
    result = relay.run("postconf", "-b")
    assert result.stdout.count("_text = <<EOF\n") == 4
    assert "$" not in result.stdout
    assert "This is the mail system at host relay.example.test." in result.stdout
    (tmp_path / "t").write_text("failure_template = <<E\n\nHost $myhostname\nE\n")
    result = relay.run("postconf", "-b", tmp_path / "t")
    assert result.stdout.startswith("expanded_failure_text = <<EOF\nHost relay.example.test\nEOF\n")
    (tmp_path / "t").write_text(relay.run("postconf", "-t").stdout)
    assert relay.run("postconf", "-b", tmp_path / "t").stdout == relay.run("postconf", "-b").stdout
    assert relay.run("postconf", "-b", tmp_path / "none", check=False).returncode == 1


def test_dialogues_never_show_secrets():
    with World(notify_classes="policy, protocol",
               error_notice_recipient="errors@chief.example") as world:
        with world.relay.connect() as client:
            client.command("EHLO a")
            client.command("AUTH PLAIN c2VjcmV0LXNlY3JldA==")
            client.command("NONSENSE")
            client.command("QUIT")
        text = world.sink.wait(1)[0].text
        assert "Subject: Postfix SMTP server: errors from" in text
        assert " In:  NONSENSE\r\n" in text
        assert "c2VjcmV0" not in text
