/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cache that a role keeps across restarts, in the place that a parameter names as Postfix does
 * ("btree:/var/lib/postfix/verify_cache"). Whatever type of file that says, it is LMDB. The role
 * opens it before it is confined, and is the only one that has it open. Changes gather for a second
 * before they go to the disk.
 */
#pragma once

#include "service/service.h"
#include "table/cache_file.h"

struct kept_cache {
    struct loop *loop;
    struct log_context log;
    struct str map; /* the parameter's value */
    struct cache_file *file;
    struct timer write;
};

/* In memory alone, with a warning that names `parameter`, where the file cannot be. */
must_check bool kept_cache_open(struct kept_cache *cache, struct service *service,
                                const char *parameter, struct str map, struct error *error);
/* Writes what is not on disk yet. */
void kept_cache_close(struct kept_cache *cache);

/* False: there is none. The value is copied. */
bool kept_cache_find(const struct kept_cache *cache, struct arena *arena, struct str key,
                     struct str *value);
void kept_cache_put(struct kept_cache *cache, struct str key, struct str value);
/* Removes all that `is_old` says of, and logs how many. */
void kept_cache_sweep(struct kept_cache *cache,
                      bool (*is_old)(void *argument, struct str key, struct str value),
                      void *argument);
