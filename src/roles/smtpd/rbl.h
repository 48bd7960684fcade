/* SPDX-License-Identifier: Apache-2.0 */
/* DNS lists: which answers count, as in "dnsbl.example=127.0.0.[2..8;10]". Pure. */
#pragma once

#include "base/arena.h"
#include "base/error.h"

/* "domain" or "domain=pattern". */
struct dns_list {
    struct str domain;
    struct str pattern; /* empty: any address counts */
};
struct dns_list dns_list_parse(struct str text);
/* Four fields, each a number or "[" numbers and ranges "2..8" with ";" between "]". */
must_check bool dns_list_pattern_is_valid(struct str pattern);
bool dns_list_pattern_matches(struct str pattern, const uint8_t address[4]);
