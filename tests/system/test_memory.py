# SPDX-License-Identifier: Apache-2.0
"""What an idle relay holds in memory."""
import pathlib

import pytest

from certificates import Certificates
from world import IS_SANITIZED, Instance

PSS_KB_MAX = 15 * 1024


def roles_with(instance, library):
    return {role for role, pids in instance.role_pids().items() for pid in pids
            if f"/{library}.so" in pathlib.Path(f"/proc/{pid}/maps").read_text()}


@pytest.fixture
def idle():
    with Instance() as instance:
        yield instance


@pytest.mark.skipif(IS_SANITIZED, reason="the sanitizer's own memory is many times as much")
def test_idle_relay_fits_into_fifteen_megabytes(idle):
    assert idle.pss_kb() < PSS_KB_MAX


def test_only_the_resolver_has_the_dns_library(idle):
    assert roles_with(idle, "libunbound") == {"resolver"}


def test_without_tls_nobody_has_the_tls_library(idle):
    assert roles_with(idle, "libcrypto") == set()


def test_only_the_server_has_the_tls_library_where_only_it_offers_tls():
    certificates = Certificates()
    certificates.make("relay.example.test")
    files = {"smtpd_tls_cert_file": certificates.folder / "relay.example.test.pem",
             "smtpd_tls_key_file": certificates.folder / "relay.example.test.key"}
    with Instance(smtpd_tls_security_level="may", **files) as instance:
        assert roles_with(instance, "libcrypto") == {"keys", "smtpd"}
