/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS answers as values, and asking the resolver role for them over its channel. A fiber asks and
 * is suspended; nothing here opens a socket.
 */
#pragma once

#include "base/arena.h"
#include "net/address.h"
#include "net/channel.h"

enum dns_type {
    DNS_A = 1,
    DNS_NS = 2,
    DNS_CNAME = 5,
    DNS_PTR = 12,
    DNS_MX = 15,
    DNS_TXT = 16,
    DNS_AAAA = 28,
    DNS_SRV = 33,
    DNS_TLSA = 52
};

enum dns_outcome {
    DNS_FOUND = 1,
    DNS_NO_NAME = 2,   /* NXDOMAIN */
    DNS_NO_DATA = 3,   /* the name exists, no record of this type */
    DNS_TRY_AGAIN = 4, /* timeout, SERVFAIL, REFUSED, bogus: never a reason to bounce */
    DNS_BAD_NAME = 5,  /* not a domain name at all */
    DNS_FILTERED = 6, /* a *_dns_reply_filter left nothing of the answer; never from the resolver */
};

struct dns_record {
    uint16_t preference;   /* MX; SRV priority */
    uint16_t weight, port; /* SRV */
    struct str name;       /* MX, NS, SRV, PTR, CNAME target without trailing dot ("" = null MX) */
    struct str data;       /* A, AAAA: 4 or 16 bytes; TXT: joined text; TLSA: rdata */
};

struct dns_answer {
    enum dns_outcome outcome;
    bool is_secure; /* the whole answer was validated with DNSSEC; see dns_query_validated */
    uint32_t ttl_s;
    struct str canonical_name;
    struct dns_record *records;
    size_t record_count;
    struct str reason; /* for the log where outcome is not DNS_FOUND, in Postfix's words:
                          "Host not found", "Host not found, try again", "Malformed or unexpected
                          name server reply", … */
};

enum { DNS_RECORDS_MAX = 100 };

void dns_records_encode(const struct dns_record *records, size_t count, struct buf *out);
must_check bool dns_records_decode(struct arena *arena, struct str bytes,
                                   struct dns_answer *answer);

/* One record's data as it stands in an answer, without compression. False where it is malformed, or
 * a name in it is not a host name: such a record is ignored. Strings are copied into the arena. */
must_check bool dns_rdata_parse(struct arena *arena, enum dns_type type, struct str rdata,
                                struct dns_record *record);
/* Letters, digits, '-', '_' and dots in labels of legal length: all that a host name for mail may
 * be, and all that is ever asked. A trailing dot is allowed. */
bool dns_name_is_valid(struct str name);
const char *dns_type_name(enum dns_type type); /* "MX" */
/* The address in an A or AAAA record. */
bool dns_record_address(const struct dns_record *record, uint16_t port,
                        struct net_address *address);
/* Appends "1.2.0.192.in-addr.arpa"; false for other than IP addresses. */
bool dns_reverse_name(const struct net_address *address, struct buf *out);

/* The asking end, one in each conversation worker. It speaks wire/resolve.def and is therefore
 * implemented above this layer, in wire/dns_client.c. */
struct dns_client;

struct dns_client *dns_client_new(struct loop *loop);
void dns_client_free(struct dns_client **client);
/* A (new) channel to the resolver; takes over `fd`. Queries that were open on an older one are
 * asked again. While there is none, queries wait for one until their deadline. */
must_check bool dns_client_attach(struct dns_client *client, int fd, struct error *error);
/* Suspends the fiber. Strings of the answer live in `arena`. On timeout or cancellation the outcome
 * is DNS_TRY_AGAIN. */
void dns_query(struct dns_client *client, struct arena *arena, enum dns_type type, struct str name,
               int64_t deadline_ms, struct dns_answer *answer);
/* The same with DNSSEC and without /etc/hosts: what is forged is DNS_TRY_AGAIN, what a signed zone
 * vouches for is_secure. */
void dns_query_validated(struct dns_client *client, struct arena *arena, enum dns_type type,
                         struct str name, int64_t deadline_ms, struct dns_answer *answer);
/* PTR of an address. */
void dns_query_address(struct dns_client *client, struct arena *arena,
                       const struct net_address *address, int64_t deadline_ms,
                       struct dns_answer *answer);
