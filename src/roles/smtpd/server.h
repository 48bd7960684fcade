/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the conversations of one worker share. Belongs to the role's main.c; everything runs in one
 * loop on one thread.
 */
#pragma once

#include "base/list.h"
#include "loop/fiber.h"
#include "net/dns.h"
#include "service/cyrus.h"
#include "service/keys.h"
#include "service/submission.h"
#include "service/verify.h"

struct server {
    struct loop *loop;
    struct submission *submission;
    struct dns_client *dns;
    struct anvil_client *anvil;   /* may be NULL: nothing is limited */
    struct cyrus_client *cyrus;   /* may be NULL: nobody logs in by Cyrus SASL */
    struct keys_client *keys;     /* may be NULL: no service has keys for TLS */
    struct verify_client *verify; /* may be NULL: nothing can be verified */
    struct list conversations;    /* struct conversation, by link */
    size_t conversation_count;
    bool is_closing; /* no transaction may begin; idle conversations end with 421 */
    void (*emptied)(struct server *server); /* the last conversation ended; may be NULL */
    void *owner;
    uint64_t accepted_count; /* connections */
    uint64_t message_count;  /* answered 250 */
    uint64_t refused_count;  /* RCPT commands that were refused */
};
