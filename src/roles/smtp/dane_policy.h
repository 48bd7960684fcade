/* SPDX-License-Identifier: Apache-2.0 */
/* Levels dane and dane-only: what the DNS lets them be for one server (RFC 7672). */
#pragma once

#include "tls_policy.h"
#include "tlsa.h"

struct dane_rules {
    struct tlsa_digests digests;
    enum tls_level insecure_mx_level; /* smtp_tls_dane_insecure_mx_policy: may, encrypt or dane */
};

must_check bool dane_rules_init(const struct config *config, const struct log_context *log,
                                struct dane_rules *rules, struct error *error);

/* `policy` has the level dane or dane-only. It gets the records to check the certificate by, or
 * where there are none the level that is left. False: nothing may be sent there; `*problem` then
 * says why where it is not the configuration. Asks the resolver: the fiber is suspended. */
bool dane_policy_apply(const struct dane_rules *rules, struct delivery *delivery,
                       const struct tls_site *site, struct tls_policy *policy,
                       const char **problem);
