/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smtp_dns_resolver_options: names that are completed with the domains of resolv.conf, as the
 * system's resolver would (res_search(3)). Pure.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

enum { SEARCH_DOMAINS_MAX = 16 };

struct search_domains {
    struct str items[SEARCH_DOMAINS_MAX];
    size_t count;
    uint64_t dots; /* a name with so many is asked for as it is first: "options ndots:1" */
};

/* What `text`, a resolv.conf, says; without a domain in it that of the machine's own name counts.
 * Strings live in the arena. */
void search_domains_parse(struct arena *arena, struct str text, struct str host_name,
                          struct search_domains *domains);

/* enum bits */
enum name_search { SEARCH_SINGLE = 1 /* res_defnames */, SEARCH_ALL = 2 /* res_dnsrch */ };
must_check bool name_search_parse(struct str options, unsigned *bits, struct error *error);

struct search_names {
    struct str items[SEARCH_DOMAINS_MAX + 1];
    size_t count;
    size_t as_is; /* which of them is the name itself */
};
/* The names to ask for, in order. */
void name_search_list(struct arena *arena, const struct search_domains *domains, unsigned bits,
                      struct str name, struct search_names *names);
