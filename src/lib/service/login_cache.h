/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the proxywrite role for the logins that servers refused (smtp_sasl_auth_cache_name), which
 * it keeps for all workers of smtp and across restarts. What keys and values mean only smtp knows.
 */
#pragma once

#include "base/arena.h"
#include "config/config.h"
#include "loop/fiber.h"

enum { LOGIN_CACHE_KEY_BYTES_MAX = 1024, LOGIN_CACHE_VALUE_BYTES_MAX = 8 * 1024 };

/* The cache that a client's service has, "btree:/var/lib/postfix/sasl_auth_cache"; empty: none.
 * Fails where the name is one that Postfix does not take. */
must_check bool login_cache_map(const struct config *config, struct str *map, struct error *error);

struct login_cache;

struct login_cache *login_cache_new(struct loop *loop);
void login_cache_free(struct login_cache **cache);
/* A (new) channel to proxywrite; takes over `fd`. */
must_check bool login_cache_attach(struct login_cache *cache, int fd, struct error *error);

/* What was put under the key, and when (wall clock). False: nothing, or nobody answered in time. */
struct login_cache_entry {
    struct str value; /* in the arena */
    int64_t stored_s;
};
bool login_cache_find(struct login_cache *cache, struct str map, struct str key,
                      int64_t deadline_ms, struct arena *arena, struct login_cache_entry *entry);
/* Not waited for. An empty value is forgotten. */
void login_cache_put(struct login_cache *cache, struct str map, struct str key, struct str value);
