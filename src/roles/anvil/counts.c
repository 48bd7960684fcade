/* SPDX-License-Identifier: Apache-2.0 */
#include "counts.h"

#include "base/map.h"
#include "base/memory.h"

#include <time.h>

struct client {
    unsigned connections;
    unsigned rates[ANVIL_EVENT_COUNT];
    int64_t start_s; /* of its time unit */
};

/* The most of one thing, whose it was, and when. */
struct peak {
    unsigned value;
    int64_t wall_s;
    struct buf who;
};

enum {
    PEAK_CONNECTION_RATE,
    PEAK_CONNECTIONS,
    PEAK_MESSAGES,
    PEAK_RECIPIENTS,
    PEAK_NEW_TLS,
    PEAK_LOGINS,
    PEAK_CLIENTS,
    PEAK_COUNT
};

struct counts {
    struct map *clients; /* struct client by "service:address" */
    struct peak peaks[PEAK_COUNT];
    unsigned next_statistic;
};

struct counts_holder {
    struct counts *counts;
    struct map *connections; /* how many, by client; the number is the pointer */
};

static const char *const peak_names[PEAK_COUNT] = {
    "connection rate", "connection count", "message rate", "recipient rate",
    "newtls rate",     "auth rate",        "cache size",
};

struct counts *counts_new(void)
{
    struct counts *counts = memory_new(sizeof *counts);

    counts->clients = map_new();
    return counts;
}

void counts_free(struct counts **counts)
{
    struct map_cursor cursor = { 0 };

    if (*counts == NULL)
        return;
    while (map_next((*counts)->clients, &cursor))
        memory_free(cursor.value);
    map_free(&(*counts)->clients);
    for (int i = 0; i < PEAK_COUNT; i++)
        buf_free(&(*counts)->peaks[i].who);
    memory_free(*counts);
    *counts = NULL;
}

struct counts_holder *counts_holder_new(struct counts *counts)
{
    struct counts_holder *holder = memory_new(sizeof *holder);

    holder->counts = counts;
    holder->connections = map_new();
    return holder;
}

void counts_holder_free(struct counts_holder **holder)
{
    struct map_cursor cursor = { 0 };

    if (*holder == NULL)
        return;
    while (map_next((*holder)->connections, &cursor)) {
        struct client *client = map_find((*holder)->counts->clients, cursor.key);
        unsigned held = (unsigned)(uintptr_t)cursor.value;
        if (client != NULL)
            client->connections -= held < client->connections ? held : client->connections;
    }
    map_free(&(*holder)->connections);
    memory_free(*holder);
    *holder = NULL;
}

static void note_peak(struct counts *counts, int which, unsigned value, struct str who,
                      int64_t now_s)
{
    struct peak *peak = &counts->peaks[which];

    if (value <= peak->value)
        return;
    peak->value = value;
    peak->wall_s = now_s;
    buf_clear(&peak->who);
    buf_append(&peak->who, who);
}

static struct client *find_client(struct counts *counts, struct str who, int64_t now_s)
{
    struct client *client = map_find(counts->clients, who);

    if (client != NULL || map_count(counts->clients) >= CLIENTS_MAX || who.len > CLIENT_BYTES_MAX)
        return client;
    client = memory_new(sizeof *client);
    client->start_s = now_s;
    map_set(counts->clients, who, client);
    note_peak(counts, PEAK_CLIENTS, (unsigned)map_count(counts->clients), STR(""), now_s);
    return client;
}

static void hold_connection(struct counts_holder *holder, struct str who)
{
    uintptr_t held = (uintptr_t)map_find(holder->connections, who);

    map_set(holder->connections, who, (void *)(held + 1));
}

static bool is_unit_over(const struct client *client, int64_t now_s, int64_t unit_s)
{
    return client->start_s + unit_s < now_s || client->start_s > now_s;
}

struct anvil_counts counts_look(const struct counts *counts, enum anvil_event event,
                                struct str client, int64_t now_s, int64_t unit_s)
{
    const struct client *known = map_find(counts->clients, client);

    if (known == NULL)
        return (struct anvil_counts){ 0 };
    return (struct anvil_counts){ known->connections,
                                  is_unit_over(known, now_s, unit_s) ? 0 : known->rates[event] };
}

struct anvil_counts counts_add(struct counts_holder *holder, enum anvil_event event,
                               struct str client, int64_t now_s, int64_t unit_s)
{
    static const int peaks[ANVIL_EVENT_COUNT] = { PEAK_CONNECTION_RATE, PEAK_MESSAGES,
                                                  PEAK_RECIPIENTS, PEAK_NEW_TLS, PEAK_LOGINS };
    struct counts *counts = holder->counts;
    struct client *known = find_client(counts, client, now_s);

    if (known == NULL)
        return (struct anvil_counts){ 0 };
    if (is_unit_over(known, now_s, unit_s)) {
        memset(known->rates, 0, sizeof known->rates);
        known->start_s = now_s;
    }
    known->rates[event]++;
    note_peak(counts, peaks[event], known->rates[event], client, now_s);
    if (event == ANVIL_CONNECTION) {
        known->connections++;
        hold_connection(holder, client);
        note_peak(counts, PEAK_CONNECTIONS, known->connections, client, now_s);
    }
    return (struct anvil_counts){ known->connections, known->rates[event] };
}

void counts_end_connection(struct counts_holder *holder, struct str client)
{
    struct client *known = map_find(holder->counts->clients, client);
    uintptr_t held = (uintptr_t)map_find(holder->connections, client);

    if (held == 0)
        return; /* counted by one who is no more */
    if (held == 1)
        map_remove(holder->connections, client);
    else
        map_set(holder->connections, client, (void *)(held - 1));
    if (known != NULL && known->connections > 0)
        known->connections--;
}

void counts_sweep(struct counts *counts, int64_t now_s, int64_t unit_s)
{
    struct map *kept = map_new();
    struct map_cursor cursor = { 0 };

    while (map_next(counts->clients, &cursor)) {
        struct client *client = cursor.value;
        if (client->connections > 0 || !is_unit_over(client, now_s, unit_s))
            map_set(kept, cursor.key, client);
        else
            memory_free(client);
    }
    map_free(&counts->clients);
    counts->clients = kept;
}

size_t counts_client_count(const struct counts *counts)
{
    return map_count(counts->clients);
}

static void format_peak(const struct peak *peak, unsigned which, int64_t unit_s, struct buf *line)
{
    char when[32] = "";
    time_t wall = (time_t)peak->wall_s;
    struct tm broken;

    if (localtime_r(&wall, &broken) != NULL)
        (void)strftime(when, sizeof when, "%b %e %H:%M:%S", &broken);
    buf_printf(line, "statistics: max %s %u", peak_names[which], peak->value);
    if (which != PEAK_CONNECTIONS && which != PEAK_CLIENTS)
        buf_printf(line, "/%llds", (long long)unit_s);
    if (which != PEAK_CLIENTS)
        buf_printf(line, " for (%.*s)", STR_ARGS(buf_str(&peak->who)));
    buf_printf(line, " at %s", when);
}

bool counts_next_statistic(struct counts *counts, int64_t unit_s, struct buf *line)
{
    buf_clear(line);
    while (counts->next_statistic < PEAK_COUNT) {
        unsigned which = counts->next_statistic++;
        struct peak *peak = &counts->peaks[which];
        if (peak->value == 0)
            continue;
        format_peak(peak, which, unit_s, line);
        peak->value = 0;
        return true;
    }
    counts->next_statistic = 0;
    return false;
}
