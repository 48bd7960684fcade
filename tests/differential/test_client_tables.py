# SPDX-License-Identifier: Apache-2.0
"""Tables that change what a client is offered, says and hears, and what the log says of its port:
Debian's Postfix and Waypost side by side."""
import contextlib
import re
import socket
import ssl

import pytest

from certificates import Certificates
from pair import FRIEND, PATIENCE, STRANGER, Content, Dialogue, Pair, is_possible, read_reply

pytestmark = pytest.mark.skipif(not is_possible(), reason="needs root, a namespace, postfix")

OTHER = "198.51.100.7"
WORDS = ["8BITMIME", "AUTH", "CHUNKING", "DSN", "ENHANCEDSTATUSCODES", "ETRN", "PIPELINING", "SIZE",
         "SMTPUTF8", "STARTTLS", "VRFY", "XCLIENT", "XFORWARD", "VERP", "XVERP", "NONESUCH"]

SERVICES = {
    "plain": {},
    **{f"without_{word}": {"smtpd_discard_ehlo_keywords": word.lower()} for word in WORDS},
    "without_all": {"smtpd_discard_ehlo_keywords": ", ".join([*WORDS, "silent-discard"])},
    "keywords": {
        "smtpd_discard_ehlo_keywords": "vrfy, etrn",
        "smtpd_discard_ehlo_keyword_address_maps":
            f"inline:{{ {STRANGER}=dsn {{{OTHER} = silent-discard, size chunking}} }}"},
    "keywords_broken": {"smtpd_discard_ehlo_keywords": "vrfy",
                        "smtpd_discard_ehlo_keyword_address_maps": "fail:keywords"},
    "keywords_mail": {"smtpd_discard_ehlo_keyword_address_maps":
                      f"inline:{{ {{{STRANGER} = dsn, smtputf8, 8bitmime, size, chunking}} }}"},
    "filter": {"smtpd_command_filter": "pcre:$config_directory/commands"},
    "filter_names": {"smtpd_command_filter": "texthash:$config_directory/names"},
    "filter_broken": {"smtpd_command_filter": "fail:commands"},
    "footer": {"smtpd_reject_footer": "\\c; ask $server_name",
               "smtpd_reject_footer_maps": "pcre:$config_directory/footers"},
    "footer_names": {"smtpd_reject_footer_maps":
"texthash:$config_directory/refusals"},
    "footer_broken": {"smtpd_reject_footer": "whatever", "smtpd_reject_footer_maps": "fail:footers"},
    "footer_wrong": {"smtpd_reject_footer_maps": "static:{$nonesuch is not known}"},
    "footer_port": {"smtpd_reject_footer_maps": "static:{\\c from $client_address $client_port}"},
    "port": {"smtpd_client_port_logging": "yes", "debug_peer_list": OTHER},
    "port_denied": {"smtpd_client_port_logging": "yes", "smtpd_delay_reject": "no",
                    "smtpd_client_restrictions": f"check_client_access inline:{{{STRANGER}=REJECT}}"},
    "opens_late": {},
    "opens_early": {"smtpd_delay_open_until_valid_rcpt": "no"},
    "opens_early_sender": {"smtpd_delay_open_until_valid_rcpt": "no", "smtpd_delay_reject": "no",
                           "smtpd_sender_restrictions":
                               "check_sender_access inline:{bad@b.example=REJECT}"},
    "dns": {"smtpd_dns_reply_filter": "pcre:$config_directory/records",
            "smtpd_sender_restrictions": "reject_unknown_sender_domain"},
    "dns_broken": {"smtpd_dns_reply_filter": "fail:records",
                   "smtpd_sender_restrictions": "reject_unknown_sender_domain"},
    "dns_list": {"smtpd_dns_reply_filter": "pcre:$config_directory/records",
                 "smtpd_client_restrictions": "reject_rbl_client list.example"},
    "dns_servers": {"smtpd_dns_reply_filter": "pcre:$config_directory/records",
                    "smtpd_sender_restrictions":
                        "check_sender_mx_access inline:{192.0.2.201=REJECT},"
                        "check_sender_ns_access inline:{ns.bad.example=REJECT}"},
    "handshakes": {"smtpd_client_new_tls_session_rate_limit": "2"},
    "handshakes_wrapped": {"smtpd_client_new_tls_session_rate_limit": "2",
                           "smtpd_tls_wrappermode": "yes"},
}
FILES = {
    "commands": """\
/^ehlo broken(.*)/ EHLO client$1
/^bad\\s+(.*)/ NOOP $1
/^mail from: (<[^>]*>)\\s+FOO$/ MAIL FROM:$1
/^helo$/ nonesuch
/^trail $/ RSET
/^rcpt to:<other@/ RCPT TO:<x@local.example>
""",
    "names": 'vrfy NOOP\nquit NOOP x\nNOOP RSET\n',
    "refusals": '''\
"503 5.5.1 Error: need RCPT command" of the table
"500 5.5.2 error: command not recognized" folded
''',
    "footers": """\
/^550 5\\.7\\.1/ \\c (refused)\\nat $localtime_is_no_name
/^554/ of the table for $client_address
/^503/ first\\nsecond
""",
    "records": """\
/^ignored\\.example\\. \\d+ IN A / IGNORE
/^mx1\\.example\\. \\d+ IN MX 10 bad\\.example\\.$/ ignore
/^all\\.example\\. \\d+ IN (MX|A|AAAA) / IGNORE
/^known\\.example\\. / FOO
/^1\\.100\\.51\\.198\\.list\\.example\\. \\d+ IN A 127\\.0\\.0\\.2$/ IGNORE
/^2\\.100\\.51\\.198\\.list\\.example\\. \\d+ IN TXT / IGNORE
/IN NS ns\\.bad\\.example\\.$/ IGNORE
""",
}
ZONE = {
    ("ignored.example", "A"): ["192.0.2.1"],
    ("mx1.example", "MX"): ["10 bad.example.", "20 good.example."],
    ("all.example", "MX"): ["10 good.example."],
    ("all.example", "A"): ["192.0.2.1"],
    ("known.example", "A"): ["192.0.2.1"],
    ("good.example", "A"): ["192.0.2.200"],
    ("bad.example", "A"): ["192.0.2.201"],
    ("mx1.example", "NS"): ["ns.good.example."],
    ("known.example", "NS"): ["ns.bad.example."],
    **{(f"{last}.100.51.198.list.example", "A"): ["127.0.0.2"] for last in (1, 2, 3)},
    **{(f"{last}.100.51.198.list.example", "TXT"): [f'"listed {last}"'] for last in (1, 2, 3)},
}
HELLO = b"EHLO client.example"


@pytest.fixture(scope="module")
def pair():
    certificates = Certificates()
    with Pair({"mynetworks": "203.0.113.0/24", "smtpd_tls_security_level": "may",
               "smtpd_authorized_xclient_hosts": FRIEND, "smtpd_authorized_xforward_hosts": FRIEND,
               "smtpd_authorized_verp_clients": FRIEND, "smtpd_tls_loglevel": "1",
               "smtpd_tls_cert_file": "$config_directory/mail.example.test.pem",
               "smtpd_tls_key_file": "$config_directory/mail.example.test.key",
               "smtpd_tls_session_cache_timeout": "3600s",
               "smtpd_tls_session_cache_database": "btree:$data_directory/sessions"},
              SERVICES, files={**FILES, **certificate_files(certificates)}, zone=ZONE) as both:
        yield both


def certificate_files(certificates):
    certificates.make("mail.example.test")
    return {name: (certificates.folder / name).read_text()
            for name in ("mail.example.test.pem", "mail.example.test.key")}


def offers(side, service, client, hello=HELLO):
    with socket.create_connection(("127.0.0.1", side.system.ports[service]), PATIENCE,
                                  source_address=(client, 0)) as peer, peer.makefile("rwb") as file:
        read_reply(file)
        file.write(hello + b"\r\n")
        file.flush()
        lines = [file.readline()]
        while lines[-1][3:4] == b"-":
            lines.append(file.readline())
        return lines


@pytest.mark.parametrize("client", [FRIEND, STRANGER, OTHER])
@pytest.mark.parametrize("service", ["plain", "keywords", "keywords_broken", "keywords_mail",
                                     "without_all", *(f"without_{word}" for word in WORDS)])
def test_clients_are_offered_what_postfix_offers(pair, service, client):
    theirs, ours = (offers(side, service, client) for side in pair.sides)
    assert theirs == ours


def test_keywords_that_are_left_out_are_logged_as_by_postfix(pair):
    theirs, ours = pair.log_lines("^discarding EHLO keywords")
    # Postfix shows the name of a constant there, and says nothing of one keyword.
    assert theirs and sorted(each.replace("EHLO_MASK_", "") for each in theirs) == \
        [each for each in ours if "ENHANCEDSTATUSCODES" not in each]


def test_what_is_not_offered_is_refused_as_by_postfix(pair):
    steps = [b"MAIL FROM:<a@b.example> SIZE=100 BODY=8BITMIME RET=HDRS", b"RSET",
             b"MAIL FROM:<a@b.example> RET=HDRS", b"RSET", b"MAIL FROM:<a@b.example> SMTPUTF8",
             b"RSET", b"MAIL FROM:<a@b.example> SIZE=100", b"RSET",
             b"MAIL FROM:<a@b.example> BODY=8BITMIME", b"RSET",
             b"MAIL FROM:<a@b.example>", b"RCPT TO:<x@local.example> NOTIFY=NEVER", b"RSET",
             b"VRFY x@local.example", b"ETRN relay.example", b"QUIT"]
    last = [b"MAIL FROM:<a@b.example>", b"BDAT 0 LAST", b"QUIT"]
    found = pair.compare([
        Dialogue(service, [*hello, *which], client) for service in SERVICES
        if service.startswith(("plain", "keywords", "without")) for client in (STRANGER, OTHER)
        for which in (steps, [b"STARTTLS"], last) for hello in ([HELLO], [b"HELO x"], [])])
    assert not found, "\n".join(map(str, found))


COMMANDS = [b"EHLO broken.example", b"BAD  noop", b"bad things", b"MAIL FROM: <a@b.example> FOO",
            b"RCPT TO:<other@anywhere.example>", b"RCPT TO:<y@local.example>", b"RSET",
            b"  BAD leading", b"HELO", b"trail ", b"NOOP x", b"noop X", b"VRFY", b"\tvrfy",
            b"BAD \xff\xfe", b"QUIT"]


@pytest.mark.parametrize("service", ["filter", "filter_names", "filter_broken"])
def test_commands_are_replaced_as_by_postfix(pair, service):
    found = pair.compare([Dialogue(service, COMMANDS[at:], STRANGER)
                          for at in range(len(COMMANDS))])
    assert not found, "\n".join(map(str, found))
    theirs, ours = pair.log_lines("replacing command")
    assert theirs == ours


REFUSED = [HELLO, b"NONESUCH", b"MAIL FROM:<a@b.example>", b"MAIL FROM:<a@b.example>",
           b"RCPT TO:<x@elsewhere.example>", b"DATA", b"RCPT TO:<x@local.example>", b"STARTTLS x",
           b"XCLIENT NAME=x", b"BDAT 0", b"RSET", b"BDAT", b"QUIT"]


@pytest.mark.parametrize("service", [name for name in SERVICES if name.startswith("footer")])
def test_refusals_have_the_footers_of_postfix(pair, service):
    steps = REFUSED if service != "footer_port" else [
        b"XCLIENT ADDR=192.0.2.55 PORT=4321", HELLO, b"NONESUCH", b"XCLIENT ADDR=192.0.2.56",
        HELLO, b"NONESUCH"]
    client = FRIEND if service == "footer_port" else STRANGER
    found = pair.compare([Dialogue(service, steps, client)])
    assert not found, "\n".join(map(str, found))


def test_ports_are_logged_where_postfix_logs_them(pair):
    steps = [HELLO, b"MAIL FROM:<a@b.example>", b"RCPT TO:<x@elsewhere.example>",
             b"RCPT TO:<x@local.example>", b"DATA", Content(b"Subject: x\r\n\r\nx\r\n.\r\n"),
             b"MAIL FROM <", b"NONESUCH", b"Subject: x"]
    other = [HELLO, b"XFORWARD NAME=a.example ADDR=192.0.2.9 PORT=99", b"MAIL FROM:<a@b.example>",
             b"RCPT TO:<x@local.example>", b"RSET", b"BDAT x"]
    third = [b"XCLIENT NAME=b.example ADDR=192.0.2.8 PORT=98", HELLO, b"MAIL FROM:<a@b.example>",
             b"RCPT TO:<x@elsewhere.example>", b"XCLIENT ADDR=192.0.2.8", b"RSET",
             b"XCLIENT PORT=[UNAVAILABLE]", b"XCLIENT PORT=70000", HELLO,
             b"MAIL FROM:<a@b.example>", b"RCPT TO:<x@elsewhere.example>", b"QUIT"]
    dialogues = [Dialogue("port", steps, STRANGER), Dialogue("port", other, FRIEND),
                 Dialogue("port", third, FRIEND), Dialogue("port_denied", steps, STRANGER)]
    said = pair.play(dialogues)
    for dialogue, theirs, ours in said:
        assert [without_port(each) for _, each in theirs] == \
               [without_port(each) for _, each in ours], dialogue.title()
    theirs, ours = pair.log_lines(r"\[[0-9.]+\]:\w+")
    assert sorted(map(without_port, theirs)) == sorted(map(without_port, ours))
    assert any(":99" in line for line in ours) and any(":98" in line for line in ours)


def without_port(line):
    return re.sub(r"(\[[0-9.]+\]:)\d{5}\b", r"\1PORT", re.sub(r"delay[^ ]*", "", line))


def test_mail_has_an_id_as_early_as_in_postfix(pair):
    steps = [HELLO, b"MAIL FROM:<early@b.example>", b"RCPT TO:<x@elsewhere.example>", b"RSET",
             b"MAIL FROM:<bad@b.example>", b"RCPT TO:<y@elsewhere.example>", b"RSET",
             b"MAIL FROM:<early@b.example>", b"RCPT TO:<z@local.example>",
             b"RCPT TO:<z@elsewhere.example>", b"DATA", Content(b"Subject: x\r\n\r\nx\r\n.\r\n"),
             b"MAIL FROM:<early@b.example>", b"QUIT"]
    client = "192.0.2.44"
    found = pair.compare([Dialogue(service, steps, client) for service in SERVICES
                          if service.startswith("opens")])
    assert not found, "\n".join(map(str, found))
    theirs, ours = pair.log_lines(r"(client=|reject: ).*\[192\.0\.2\.44\]")
    assert theirs and theirs == ours


def test_dns_answers_are_filtered_as_by_postfix(pair):
    names = ["ignored", "mx1", "all", "known", "good", "none"]
    found = pair.compare(
        [Dialogue(service, [HELLO, f"MAIL FROM:<a@{name}.example>".encode(),
                            b"RCPT TO:<x@local.example>", b"QUIT"], STRANGER)
         for service in ("dns", "dns_broken", "dns_servers") for name in names] +
        [Dialogue("dns_list", [HELLO, b"MAIL FROM:<>", b"RCPT TO:<x@local.example>", b"QUIT"],
                  f"198.51.100.{last}") for last in (1, 2, 3, 4)])
    assert not found, "\n".join(map(str, found))


def test_dns_filters_log_as_postfix_does(pair):
    theirs, ours = (sorted({re.sub(r" \d+ IN |Unknown error 0", "", line).replace(
        "Invalid DNS reply filter syntax", "") for line in lines})
                    for lines in pair.log_lines("DNS RR|DNS filter|DNS reply filter|look up|lookup error: "))
    assert theirs and theirs == ours


def handshake(side, service, session=None):
    """The replies around STARTTLS, and the TLS session."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    said = []
    with socket.create_connection(("127.0.0.1", side.system.ports[service]), PATIENCE,
                                  source_address=(STRANGER, 0)) as peer:
        if "wrapped" not in service:
            file = peer.makefile("rwb", buffering=0)
            read_reply(file)
            for command in (HELLO, b"STARTTLS"):
                file.write(command + b"\r\n")
                said.append(read_reply(file))
        if not said or said[-1].startswith("220"):
            try:
                secured = (session[0] if session else context).wrap_socket(
                    peer, session=session[1] if session else None)
            except OSError:
                return [*said, "no handshake"], None
            file = secured.makefile("rwb", buffering=0)
            if "wrapped" in service:
                said.append(read_reply(file))
            with contextlib.suppress(OSError):
                file.write(HELLO + b"\r\n")
            said.append(read_reply(file))
            session = secured.context, secured.session
    return said, session


@pytest.mark.parametrize("service", ["handshakes", "handshakes_wrapped"])
def test_new_tls_sessions_are_limited_as_by_postfix(pair, service):
    both = []
    for side in pair.sides:
        said, session = handshake(side, service)
        resumed, _ = handshake(side, service, session)
        both.append([said, resumed, *(handshake(side, service)[0] for _ in range(4))])
    assert both[0] == both[1]
    assert any("too many new TLS sessions" in each for said in both[1] for each in said)


def test_limits_of_tls_sessions_are_logged_as_by_postfix(pair):
    theirs, ours = ([re.sub(r":[12](\d{4})$", r":\1", line) for line in lines]
                    for lines in pair.log_lines("TLS session|Refusing"))
    assert theirs and theirs == ours
