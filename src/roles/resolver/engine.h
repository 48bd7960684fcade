/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libunbound behind a small interface: asks, caches, and answers in the loop. One in the process.
 * Its own thread does the resolving (ub_ctx_async); answers come back over a pipe that the loop
 * watches, so everything on our side of this interface is single-threaded.
 *
 * What it never does: call a name absent when it only failed to find out. Timeouts, SERVFAIL,
 * REFUSED and answers that do not hold together are DNS_TRY_AGAIN.
 *
 * There are two resolvers behind it where DNSSEC is wanted: only who asks for validated answers
 * pays for a missing trust anchor, a wrong clock, or a name server that knows no DNSSEC.
 */
#pragma once

#include "base/error.h"
#include "net/dns.h"

struct engine;

struct engine_options {
    struct str dns_servers;  /* "192.0.2.53, [2001:db8::53]:5353"; empty: resolv.conf */
    const char *resolv_conf; /* "/etc/resolv.conf" */
    const char *hosts;       /* "/etc/hosts" */
    /* Questions with is_validated will come. Without this, or where there is no trust anchor, they
     * are answered DNS_TRY_AGAIN. */
    bool validates;
    struct str trust_anchor_file; /* empty: Debian's file, or else the root's keys of 2024 */
    void (*warning)(void *argument, const char *text);
    void *argument;
};

/* The one function that opens files (resolv.conf, hosts, trust anchors). NULL with `error` on
 * failure. */
struct engine *engine_new(struct loop *loop, const struct engine_options *options,
                          struct error *error);
void engine_free(struct engine **engine); /* open questions get no answer */

/* The asker embeds it. `answered` is called in the loop, exactly once unless it is cancelled; the
 * answer's strings live during that call. */
struct engine_question {
    struct engine *engine;
    enum dns_type type;
    bool is_validated; /* with DNSSEC, and without the hosts file */
    int async_id;
    void (*answered)(struct engine_question *question, const struct dns_answer *answer);
};
/* False where the question cannot even be asked: treat as DNS_TRY_AGAIN. `answered` is not called
 * then. */
must_check bool engine_ask(struct engine *engine, struct engine_question *question,
                           struct str name);
void engine_cancel(struct engine_question *question);
