/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the queue takes from the configuration, in its own units, with the router that is made from
 * it. Immutable; a reload makes a new one. Strings borrow from the config, which must
 * outlive it, as must the own addresses.
 */
#pragma once

#include "base/log.h"
#include "concurrency.h"
#include "config/config.h"
#include "mail/bounce_template.h"
#include "mail/cleanup.h"
#include "mail/error_class.h"
#include "mail/queue_id.h"
#include "mail/route.h"
#include "mail/user_access.h"
#include "retry.h"

/* Whom the queue speaks as in the log. */
enum speaker {
    SPEAKER_QMGR,
    SPEAKER_BOUNCE,
    SPEAKER_CLEANUP,
    SPEAKER_PICKUP,
    SPEAKER_COUNT,
};

struct settings {
    const struct config_source *source;
    struct config *config;
    struct log *log;
    struct arena arena;
    struct router *router;
    struct router *probe_router; /* by address_verify_*; the same where they say nothing else */
    struct cleanup *cleanup;     /* for notices */
    struct retry_limits retry;
    int64_t minimal_backoff_ms; /* also how long a destination stays dead */
    size_t active_limit;
    size_t recipient_limit, recipient_minimum; /* qmgr_message_recipient_…, see budget.h */
    uint64_t minfree_bytes;
    uint64_t bounce_size_limit;
    bool has_long_ids;
    unsigned notified; /* notify_classes: enum error_class bits */
    struct bounce_templates templates;
    struct user_access *rights[USER_RIGHT_COUNT]; /* of the queue tools; the others are NULL */
    struct log_context speakers[SPEAKER_COUNT];
};

struct settings_surroundings {
    struct log *log;
    const struct own_addresses *own_addresses; /* NULL: none */
    const struct settings *old; /* those that the new ones will replace, see router_new; or NULL */
    uid_t owner_uid;            /* mail_owner */
};
/* NULL with `error` for what cannot work, or is not built yet and would be ignored otherwise. */
struct settings *settings_new(const struct config_source *source, struct config *config,
                              const struct settings_surroundings *surroundings,
                              struct error *error);
void settings_free(struct settings **settings);

/* The sender of notices to the postmaster. */
struct str settings_double_bounce_address(const struct settings *settings, struct arena *arena);

/* How mail of a transport is dealt with. */
enum transport_kind {
    TRANSPORT_WORKER,  /* smtp, lmtp: by an smtp worker */
    TRANSPORT_LOCAL,   /* local, virtual, pipe: by the local role */
    TRANSPORT_ERROR,   /* bounced with the next hop as text */
    TRANSPORT_RETRY,   /* deferred with the next hop as text */
    TRANSPORT_DISCARD, /* done without a delivery */
    TRANSPORT_UNBUILT, /* deferred */
    TRANSPORT_UNKNOWN, /* no such service: deferred */
};
struct transport_settings {
    enum transport_kind kind;
    struct log_context speaker;            /* "postfix/error": for what the queue itself logs */
    size_t process_limit;                  /* 0 = none */
    size_t recipient_limit;                /* per delivery; 0 = none */
    struct concurrency_limits concurrency; /* a pause after deliveries makes its limit 1 */
    int64_t destination_delay_ms; /* from the end of a delivery to the next one's beginning */
    int64_t transport_delay_ms;   /* from beginning to beginning, whatever the destination */
    size_t overtaken_from;        /* messages with so many deliveries are overtaken; 0: none */
    bool is_deferred; /* in defer_transports: only what an operator flushes is delivered */
};
/* Where mail for the sender of notices to the postmaster goes: nobody reads it. No service of
 * master.cf can have this name. */
#define TRANSPORT_NOWHERE "(nowhere)"
/* What the configuration says of the transport, now. A number that cannot be read was warned of
 * and counts as its default. */
struct transport_settings settings_transport(const struct settings *settings, struct str name,
                                             struct arena *arena);
