/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_sessions.h"

#include "base/map.h"
#include "base/memory.h"

enum { SESSIONS_MAX = 2000 };

struct entry {
    struct tls_session *session;
    int64_t expires_ms;
};

struct tls_sessions {
    struct map *by_key;
};

static void entry_free(struct entry *entry)
{
    if (entry == NULL)
        return;
    tls_session_free(&entry->session);
    memory_free(entry);
}

static void forget_all(struct tls_sessions *sessions)
{
    struct map_cursor cursor = { 0 };

    while (map_next(sessions->by_key, &cursor))
        entry_free(cursor.value);
    map_free(&sessions->by_key);
}

struct tls_sessions *tls_sessions_new(void)
{
    struct tls_sessions *sessions = memory_new(sizeof *sessions);

    sessions->by_key = map_new();
    return sessions;
}

void tls_sessions_free(struct tls_sessions **sessions)
{
    if (*sessions == NULL)
        return;
    forget_all(*sessions);
    memory_free(*sessions);
    *sessions = NULL;
}

const struct tls_session *tls_sessions_find(struct tls_sessions *sessions, struct str key,
                                            int64_t now_ms)
{
    if (sessions == NULL || key.len == 0)
        return NULL;
    struct entry *entry = map_find(sessions->by_key, key);
    if (entry == NULL || entry->expires_ms > now_ms)
        return entry != NULL ? entry->session : NULL;
    entry_free(map_remove(sessions->by_key, key));
    return NULL;
}

void tls_sessions_put(struct tls_sessions *sessions, struct str key, struct tls_session *session,
                      int64_t expires_ms)
{
    struct entry *entry = memory_new(sizeof *entry);

    /* Full: to begin anew costs a handshake for each server, and needs no order of use. */
    if (map_count(sessions->by_key) >= SESSIONS_MAX) {
        forget_all(sessions);
        sessions->by_key = map_new();
    }
    entry->session = session;
    entry->expires_ms = expires_ms;
    entry_free(map_set(sessions->by_key, key, entry));
}
