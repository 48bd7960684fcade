/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks at the files behind the configured tables and lists twice a second. When one changed and
 * stays as it is now, whoever reads it is renewed. A file that went away changes nothing until
 * there is one again. It belongs to the master's loop.
 */
#pragma once

#include "base/log.h"
#include "config/config.h"
#include "loop/loop.h"

struct table_watch;

/* `renew` gets enum table_use bits; what it gives back could not be done now and is tried again. */
struct table_watch *table_watch_new(struct loop *loop, const struct log_context *log_context,
                                    unsigned (*renew)(void *argument, unsigned uses),
                                    void *argument);
void table_watch_free(struct table_watch **watch);
/* From now on the tables of this configuration, as they are now. It must live until the next call.
 * Warns of tables that are older than the text they are made from. */
void table_watch_set(struct table_watch *watch, const struct config *config);
void table_watch_stop(struct table_watch *watch);
