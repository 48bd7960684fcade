/* SPDX-License-Identifier: Apache-2.0 */
/* check_*_{a,mx,ns}_access: looks up the servers of a name, and each of them in an access table. */
#pragma once

#include "access.h"
#include "net/dns.h"

enum server_kind { SERVERS_A, SERVERS_MX, SERVERS_NS };

/* `name` is a domain name or a mail address. */
enum rule_outcome servers_check(struct check *check, struct access *access, enum server_kind kind,
                                struct str name);

/* One question for the rules: bounded in time, never a bounce for silence. Without a resolver the
 * outcome is DNS_TRY_AGAIN. */
void check_ask_dns(struct check *check, enum dns_type type, struct str name,
                   struct dns_answer *answer);
/* A name with an address: A, then AAAA. The better of both outcomes. */
enum dns_outcome check_ask_address(struct check *check, struct str name, struct dns_answer *ipv4,
                                   struct dns_answer *ipv6);
/* The same for the address of a server, which smtpd_dns_reply_filter does not see. */
enum dns_outcome check_ask_host(struct check *check, struct str name, struct dns_answer *ipv4,
                                struct dns_answer *ipv6);
/* Whether an MX answer says that the domain takes no mail (RFC 7505). */
bool dns_answer_is_null_mx(const struct dns_answer *answer);
