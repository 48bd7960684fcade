/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line of master.cf whose command is local, virtual or pipe: its configuration, the tables
 * that it names, and what was worked out from them once. Made at the start, while everything can
 * be read; alive until the role ends.
 */
#pragma once

#include "base/map.h"
#include "config/config.h"
#include "mail/cleanup.h"
#include "mail/route.h"
#include "maps.h"
#include "pipe_settings.h"
#include "table/table_list.h"
#include "user.h"

enum agent_kind { AGENT_LOCAL, AGENT_VIRTUAL, AGENT_PIPE };

/* Where an entry came from: what it may be depends on that. */
enum origin { ORIGIN_ALIAS = 1, ORIGIN_FORWARD = 2, ORIGIN_INCLUDE = 4 };

/* For which deliveries a Delivered-To header is put in front. */
enum delivered_for { DELIVERED_FOR_COMMAND = 1, DELIVERED_FOR_FILE = 2, DELIVERED_FOR_FORWARD = 4 };

struct agent {
    enum agent_kind kind;
    struct str name;
    struct config *config;
    struct log_context log;         /* "postfix/local" */
    struct log_context cleanup_log; /* "postfix/cleanup": for what is forwarded */
    struct maps *alias_maps, *mailbox_command_maps;
    struct maps *mailbox_transport_maps, *fallback_transport_maps;
    struct table_list *status_filter; /* local_delivery_status_filter and its kin */
    struct maps *virtual_mailbox_maps, *virtual_uid_maps, *virtual_gid_maps;
    struct router *router;              /* of local alone, as is cleanup */
    struct cleanup *cleanup;            /* for what is forwarded */
    struct rights default_rights;       /* default_privs; uid 0: it cannot be used */
    unsigned commands_from, files_from; /* enum origin bits */
    unsigned propagates_for;            /* the same, of propagate_unmatched_extensions */
    unsigned delivered_for;             /* enum delivered_for bits */
    const char *host_name;              /* the machine's, for names of files */
    unsigned locks;                     /* enum mailbox_lock bits */
    struct pipe_settings pipe;
    const char *refusal; /* a mistake in the configuration: its mail waits. NULL: none */
};

struct agents {
    struct map *by_name;
    struct arena arena;
};

/* All lines of the configuration; a mistake in one is warned of and keeps its own mail waiting. */
void agents_init(struct agents *agents, const struct config_source *source,
                 const struct own_addresses *own_addresses, struct log *log);
void agents_clear(struct agents *agents);
/* Whether some command runs in a root directory of its own. */
bool agents_change_roots(const struct agents *agents);
/* NULL: there is none of that name. */
const struct agent *agents_find(const struct agents *agents, struct str name);
