# SPDX-License-Identifier: Apache-2.0
"""`waypost check` and `postfix check`: each mistake is named with its place and its cure, and a
configuration without it is not."""
import json
import os
import subprocess
import time

import pytest
from certificates import openssl
from world import MASTER_CF, PROGRAM, Instance

GUARD = "permit_mynetworks, reject_unauth_destination"


class Configuration:
    def __init__(self, folder):
        self.folder = folder
        self.parameters = {
            "compatibility_level": "3.6", "myhostname": "relay.example.com",
            "inet_interfaces": "127.0.0.1", "mynetworks": "127.0.0.0/8", "mail_owner": "postfix",
            "smtpd_relay_restrictions": GUARD, "alias_maps": "", "alias_database": "",
            "smtp_tls_CAfile": "", "queue_directory": folder / "spool",
            "data_directory": folder / "data",
        }
        self.services = ""

    def file(self, name, text, build=None):
        (self.folder / name).write_text(text)
        if build:
            self.write()
            subprocess.run([PROGRAM, "postmap", "-c", self.folder, f"{build}:{self.folder / name}"],
                           check=True, timeout=30)
        return self.folder / name

    def write(self):
        (self.folder / "main.cf").write_text(
            "".join(f"{name} = {value}\n" for name, value in self.parameters.items()))
        (self.folder / "master.cf").write_text(MASTER_CF + self.services)

    def check(self, **parameters):
        """[(level, kind, text, cure)] of the findings, and the exit status."""
        self.parameters.update(parameters)
        self.write()
        result = subprocess.run([PROGRAM, "check", "--json", "-c", self.folder],
                                capture_output=True, text=True, timeout=30)
        found = [json.loads(line) for line in result.stdout.splitlines()]
        return found, result.returncode

    def line_of(self, name):
        return list(self.parameters).index(name) + 1


@pytest.fixture
def configuration(tmp_path):
    tmp_path.chmod(0o755)
    return Configuration(tmp_path)


def the(found, kind):
    matching = [each for each in found if each["kind"] == kind]
    assert matching, f"no {kind} in {found}"
    return matching[0]


def test_a_good_configuration_has_no_findings(configuration):
    assert configuration.check() == ([], 0)


def test_an_unknown_name_gets_the_nearest_one(configuration):
    found, status = configuration.check(smtpd_relay_restriction="permit")
    finding = the(found, "unused-parameter")
    assert "smtpd_relay_restrictions?" in finding["text"] and status == 1


def test_a_comment_behind_a_text_is_part_of_it(configuration):
    found, status = configuration.check(relayhost="[mail.example.com] # our provider")
    finding = the(found, "comment-in-value")
    assert finding["line"] == configuration.line_of("relayhost") and status == 1
    assert 'write "relayhost = [mail.example.com]"' in finding["cure"]


def test_a_comment_behind_a_number_is_named_too(configuration):
    found, _ = configuration.check(smtpd_tls_loglevel="1 # be more verbose")
    assert the(found, "comment-in-value")["line"] == configuration.line_of("smtpd_tls_loglevel")


def test_an_entry_for_everybody_shadows_sender_dependent_transports(configuration):
    table = configuration.file("transport", "* out:\n", "hash")
    senders = configuration.file("senders", "@example.org own\n", "hash")
    configuration.services = "out unix - - n - - smtp\nown unix - - n - - smtp\n"
    found, status = configuration.check(
        transport_maps=f"hash:{table}", sender_dependent_default_transport_maps=f"hash:{senders}")
    finding = the(found, "shadowed-transport")
    assert finding["line"] == configuration.line_of("sender_dependent_default_transport_maps")
    assert "default_transport = out" in finding["cure"] and status == 1
    assert "comes back" in the(found, "captured-local-mail")["text"]


def test_an_entry_for_a_domain_shadows_nothing(configuration):
    table = configuration.file("transport", "example.net out:\n", "hash")
    senders = configuration.file("senders", "@example.org out\n", "hash")
    configuration.services = "out unix - - n - - smtp\n"
    assert configuration.check(
        transport_maps=f"hash:{table}",
        sender_dependent_default_transport_maps=f"hash:{senders}") == ([], 0)


def test_a_transport_that_is_no_service_is_named_with_its_entry(configuration):
    table = configuration.file("transport", "example.net nowhere:\nexample.org smtp:\n", "hash")
    found, status = configuration.check(transport_maps=f"hash:{table}")
    assert status == 2 and '"example.net"' in the(found, "unknown-transport")["text"]
    assert len(found) == 1


def test_a_rate_delay_kills_concurrency_limits(configuration):
    configuration.services = "slow unix - - n - - smtp\n"
    found, _ = configuration.check(slow_destination_rate_delay="10s",
                                   slow_destination_concurrency_limit="2")
    finding = the(found, "dead-limit")
    assert finding["line"] == configuration.line_of("slow_destination_concurrency_limit")
    found, _ = configuration.check(slow_destination_concurrency_limit="1",
                                   slow_destination_concurrency_failed_cohort_limit="10")
    assert not [each for each in found if each["kind"] in ("dead-limit", "fragile-delay")]


def test_a_default_delay_kills_the_default_limits(configuration):
    found, _ = configuration.check(default_destination_rate_delay="1",
                                   default_destination_concurrency_limit="20",
                                   initial_destination_concurrency="3")
    assert len([each for each in found if each["kind"] == "dead-limit"]) == 2
    assert "fragile-delay" in [each["kind"] for each in found]


def test_a_missing_table_is_named_with_the_one_that_was_meant(configuration):
    configuration.file("sender_transpors", "@example.org smtp:\n", "hash")
    found, status = configuration.check(
        sender_dependent_default_transport_maps=f"hash:{configuration.folder}/sender_transports")
    finding = the(found, "missing-table")
    assert status == 2 and f"hash:{configuration.folder}/sender_transpors" in finding["cure"]


def test_a_missing_table_without_a_candidate_says_what_to_run(configuration):
    found, _ = configuration.check(canonical_maps=f"hash:{configuration.folder}/canonical")
    assert "postmap hash:" in the(found, "missing-table")["cure"]


def test_a_table_older_than_its_text_is_stale(configuration):
    table = configuration.file("canonical", "a@example.com b@example.com\n", "hash")
    assert configuration.check(canonical_maps=f"hash:{table}") == ([], 0)
    os.utime(table, (time.time() + 10, time.time() + 10))
    found, status = configuration.check()
    assert status == 1 and "postmap" in the(found, "stale-table")["cure"]


def test_a_table_that_was_never_built_is_named(configuration):
    table = configuration.file("canonical", "a@example.com b@example.com\n")
    found, _ = configuration.check(canonical_maps=f"hash:{table}")
    assert f"postmap hash:{table}" in the(found, "unbuilt-table")["cure"]


def test_a_table_of_an_unknown_type_does_not_open(configuration):
    found, status = configuration.check(canonical_maps="hsah:/etc/postfix/canonical")
    assert status == 2 and "hsah" in the(found, "unreadable-table")["text"]


def test_a_damaged_pattern_is_named_with_its_line(configuration):
    table = configuration.file("checks", "/good/ IGNORE\n/bad(/ IGNORE\n")
    found, status = configuration.check(header_checks=f"pcre:{table}")
    assert status == 1 and "line 2" in the(found, "bad-entry")["text"]


def test_access_tables_in_restrictions_are_looked_at(configuration):
    found, status = configuration.check(
        smtpd_recipient_restrictions=f"check_client_access hash:{configuration.folder}/access")
    assert status == 2 and "access" in the(found, "missing-table")["text"]


def test_passwords_for_everybody_to_read_are_named(configuration):
    table = configuration.file("passwords", "example.com me:secret\n", "hash")
    table.chmod(0o644)
    found, _ = configuration.check(smtp_sasl_password_maps=f"hash:{table}")
    assert f"chmod 600 {table}" in the(found, "readable-secret")["cure"]


def test_restrictions_behind_a_final_one_are_unreachable(configuration):
    found, status = configuration.check(
        smtpd_recipient_restrictions="permit_mynetworks, reject, reject_unknown_recipient_domain")
    finding = the(found, "unreachable-restriction")
    assert "reject_unknown_recipient_domain" in finding["text"] and status == 1


def test_no_guard_is_an_open_relay(configuration):
    found, status = configuration.check(smtpd_relay_restrictions="permit_mynetworks",
                                        smtpd_recipient_restrictions="permit, reject")
    assert status == 2 and the(found, "open-relay")


def test_the_whole_internet_in_mynetworks_is_an_open_relay(configuration):
    found, status = configuration.check(mynetworks="0.0.0.0/0")
    assert status == 2 and "0.0.0.0/0" in the(found, "open-relay")["text"]


def test_a_default_of_whole_subnets_is_named(configuration):
    del configuration.parameters["mynetworks"]
    found, _ = configuration.check(compatibility_level="0")
    assert "subnet" in the(found, "relays-for-neighbours")["text"]


@pytest.mark.parametrize("value", ["192.0.2.77", "2001:db8::77"])
def test_addresses_that_are_not_there_are_named(configuration, value):
    name = "smtp_bind_address6" if ":" in value else "smtp_bind_address"
    configuration.services = f"out unix - - n - - smtp\n  -o {name}={value}\n"
    found, status = configuration.check()
    finding = the(found, "missing-address")
    assert status == 2 and finding["file"].endswith("master.cf") and value in finding["text"]


def test_a_listener_on_an_address_that_is_not_there_is_named(configuration):
    configuration.services = "192.0.2.77:25 inet n - n - - smtpd\n"
    found, status = configuration.check(inet_interfaces="127.0.0.1, 192.0.2.78")
    assert status == 2
    assert len([each for each in found if each["kind"] == "missing-address"]) == 2


def test_no_interface_at_all_is_named(configuration):
    found, status = configuration.check(inet_interfaces="")
    assert status == 2 and the(found, "no-interface")


def certificate(folder, name, days):
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", "/CN=relay.example.com", "-keyout", folder / f"{name}.key",
            "-out", folder / f"{name}.csr")
    openssl("x509", "-req", "-in", folder / f"{name}.csr", "-signkey", folder / f"{name}.key",
            "-days", days, "-out", folder / f"{name}.crt")


@pytest.mark.parametrize("days, kind", [(1, "certificate-expires"), (300, None)])
def test_a_certificate_that_goes_out_of_date_is_named(configuration, days, kind):
    certificate(configuration.folder, "one", days)
    found, _ = configuration.check(smtpd_tls_cert_file=configuration.folder / "one.crt",
                                   smtpd_tls_key_file=configuration.folder / "one.key")
    assert [each["kind"] for each in found] == ([kind] if kind else [])


def test_a_certificate_out_of_date_is_an_error(configuration):
    certificate(configuration.folder, "one", -1)
    found, status = configuration.check(smtpd_tls_cert_file=configuration.folder / "one.crt",
                                        smtpd_tls_key_file=configuration.folder / "one.key")
    assert status == 2 and the(found, "certificate-expired")


def test_a_key_of_another_certificate_is_named(configuration):
    certificate(configuration.folder, "one", 300)
    certificate(configuration.folder, "two", 300)
    found, status = configuration.check(smtpd_tls_cert_file=configuration.folder / "one.crt",
                                        smtpd_tls_key_file=configuration.folder / "two.key")
    assert status == 2 and the(found, "certificate-mismatch")


def test_a_certificate_that_is_not_there_is_named(configuration):
    found, status = configuration.check(smtpd_tls_cert_file="/nowhere/one.crt")
    assert status == 2 and "/nowhere/one.crt" in the(found, "certificate-unreadable")["text"]


def test_missing_accounts_are_named(configuration):
    configuration.services = "archive unix - n n - - pipe user=nobody-here argv=/bin/true\n"
    found, status = configuration.check(setgid_group="no-such-group", default_privs="no-such-user")
    assert status == 2
    assert "groupadd" in the(found, "missing-group")["cure"]
    assert any("default_privs" in each["text"] for each in found)
    assert any("nobody-here" in each["text"] for each in found)


def test_header_checks_that_remove_our_own_received_line_are_named(configuration):
    table = configuration.file("checks", "/.*localhost.*/ IGNORE\n")
    found, status = configuration.check(header_checks=f"pcre:{table}")
    assert status == 1 and the(found, "received-removed")
    configuration.file("checks", "/^X-Test:.*localhost/ IGNORE\n")
    assert configuration.check() == ([], 0)


def test_a_replacement_that_is_no_header_is_named(configuration):
    table = configuration.file("checks", "/^Received: from sso-api/ REPLACE  login.example.com\n")
    found, status = configuration.check(header_checks=f"pcre:{table}")
    assert status == 1 and the(found, "replacement-no-header")


def test_a_banner_without_the_host_name_is_named(configuration):
    found, status = configuration.check(smtpd_banner="ESMTP Postfix")
    assert status == 1 and the(found, "banner-without-name")


def test_a_log_name_that_pflogsumm_does_not_count_is_a_hint(configuration):
    configuration.services = "out unix - - n - - smtp\n  -o syslog_name=outgoing\n"
    found, status = configuration.check()
    assert status == 0 and "postfix/outgoing" in the(found, "log-name")["cure"]


def test_postfix_check_says_the_same_and_fails_for_errors_alone(configuration):
    configuration.check(mynetworks="0.0.0.0/0")
    result = subprocess.run([PROGRAM, "postfix", "-c", configuration.folder, "check"],
                            capture_output=True, text=True, timeout=30)
    assert result.returncode == 1
    assert f"error: {configuration.folder}/main.cf, line 4: 0.0.0.0/0 in mynetworks" in result.stderr
    configuration.check(mynetworks="127.0.0.0/8", smtpd_banner="ESMTP")
    result = subprocess.run([PROGRAM, "postfix", "-c", configuration.folder, "check"],
                            capture_output=True, text=True, timeout=30)
    assert result.returncode == 0 and result.stderr.count("smtpd_banner is") == 1


def test_a_configuration_that_cannot_be_read_has_a_status_of_its_own(configuration):
    configuration.check(maximal_queue_lifetime="20x")
    result = subprocess.run([PROGRAM, "check", "-c", configuration.folder], capture_output=True,
                            text=True, timeout=30)
    assert result.returncode == 78 and "maximal_queue_lifetime" in result.stderr


def test_start_says_once_what_is_odd_about_a_value():
    with Instance(smtpd_tls_loglevel="1 # be more verbose") as relay:
        relay.wait_log("daemon started")
        assert relay.log().count("# be more verbose") == 1
        relay.reload()
        relay.wait_log("# be more verbose", 2)
