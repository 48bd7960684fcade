/* SPDX-License-Identifier: Apache-2.0 */
/* Which roles there are, and how many processes of each a configuration wants. */
#pragma once

#include "config/config.h"

enum { WORKERS_MAX = 64, ROLE_COUNT = 12 };

/* The order of the stages at an orderly stop. */
enum stop_stage { STAGE_CONVERSATIONS, STAGE_QUEUE, STAGE_LOG, STAGE_COUNT };

struct role_row {
    const char *name;
    int (*workers)(const struct config *config);
    bool reloads; /* takes a new configuration in place */
    bool waits_for_queue;
    enum stop_stage stage;
    unsigned table_uses; /* enum table_use: whose tables it reads */
};

/* In the order they are started in. */
extern const struct role_row role_table[ROLE_COUNT];
