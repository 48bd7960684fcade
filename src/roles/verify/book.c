/* SPDX-License-Identifier: Apache-2.0 */
#include "book.h"

#include "base/clock.h"
#include "base/map.h"
#include "base/memory.h"
#include "mail/verify_sender.h"
#include "wire/wire.h"

enum { REASON_BYTES_MAX = 1024 };

/* On its way through the queue. */
struct probe {
    uint64_t id;
    char *address;
};

static int64_t now_s(void)
{
    return clock_wall_ms() / 1000;
}

/* ---- the cache ---- */

static bool find_entry(struct book *book, struct arena *scratch, struct str key,
                       struct entry *entry)
{
    struct str text;

    return kept_cache_find(&book->cache, scratch, key, &text) && entry_parse(text, entry);
}

static void put_entry(struct book *book, struct str key, const struct entry *entry)
{
    autofree_buf struct buf text = { 0 };

    entry_format(entry, &text);
    kept_cache_put(&book->cache, key, buf_str(&text));
}

/* ---- probes ---- */

static struct str id_key(const uint64_t *id)
{
    return str_of((const char *)id, sizeof *id);
}

static void probe_free(struct book *book, struct probe *probe)
{
    map_remove(book->probes, str_from(probe->address));
    map_remove(book->probes_by_id, id_key(&probe->id));
    memory_free(probe->address);
    memory_free(probe);
}

/* False: not now. */
static bool send_probe(struct book *book, struct str address)
{
    autofree_buf struct buf sender = { 0 };
    struct probe *probe;

    if (book->queue == NULL || map_find(book->probes, address) != NULL)
        return false;
    probe = memory_new(sizeof *probe);
    probe->id = ++book->last_id;
    probe->address = memory_new(address.len + 1);
    memcpy(probe->address, address.ptr, address.len);
    map_set(book->probes, address, probe);
    map_set(book->probes_by_id, id_key(&probe->id), probe);
    verify_sender_format(book->config, now_s(), &sender);
    wire_send_verify_probe(book->queue, &(struct wire_verify_probe){ .probe = probe->id,
                                                                     .sender = buf_str(&sender),
                                                                     .address = address });
    return true;
}

/* The queue that had them is gone: they are sent again when somebody asks. */
static void lose_probes(struct book *book)
{
    struct map_cursor cursor;

    for (;;) {
        autoclear_arena struct arena scratch = { 0 };
        struct entry entry;
        cursor = (struct map_cursor){ 0 };
        if (!map_next(book->probes, &cursor))
            return;
        struct probe *probe = cursor.value;
        struct str address = str_from(probe->address);
        if (find_entry(book, &scratch, address, &entry)) {
            entry.probed_s = 0;
            put_entry(book, address, &entry);
        }
        probe_free(book, probe);
    }
}

/* ---- questions ---- */

static bool on_query(struct asking *asking, struct str payload)
{
    autoclear_arena struct arena scratch = { 0 };
    struct book *book = asking->answerer->owner;
    struct wire_verify_query query;
    struct entry entry;
    int64_t now = now_s();

    /* A NUL would end the address early where texts are C strings. */
    if (!wire_decode_verify_query(asking->channel, payload, &query) || query.address.len == 0 ||
        str_find_byte(query.address, '\0') >= 0)
        return false;
    if (!find_entry(book, &scratch, query.address, &entry) ||
        entry_is_expired(&entry, &book->ages, now))
        entry = entry_unknown();
    wire_send_verify_answer(asking->channel, &(struct wire_verify_answer){
                                                 .query = query.query,
                                                 .status = (uint8_t)entry.status,
                                                 .reason = entry.reason,
                                             });
    if (entry_needs_probe(&entry, &book->ages, now) && send_probe(book, query.address) &&
        (entry.updated_s != 0 || book->config->address_verify_negative_cache)) {
        entry.probed_s = now;
        put_entry(book, query.address, &entry);
    }
    return true;
}

static bool asked(struct asking *asking, uint16_t number, struct str payload)
{
    return number == WIRE_verify_query && on_query(asking, payload);
}

static const struct answerer_events questions = { .bytes = sizeof(struct asking),
                                                  .received = asked };

/* ---- results ---- */

static void learn(struct book *book, struct str address, enum verify_status status,
                  struct str reason)
{
    autoclear_arena struct arena scratch = { 0 };
    struct entry entry;

    if (status != VERIFY_OK && !book->config->address_verify_negative_cache)
        return;
    if (!find_entry(book, &scratch, address, &entry))
        entry = entry_unknown();
    if (entry_update(&entry, &book->ages, status, str_take(reason, REASON_BYTES_MAX), now_s()))
        put_entry(book, address, &entry);
}

static bool on_result(struct book *book, struct channel *channel, struct str payload)
{
    struct wire_verify_result result;

    if (!wire_decode_verify_result(channel, payload, &result) || result.status > VERIFY_BOUNCE ||
        result.address.len == 0)
        return false;
    const struct probe *probe = map_find(book->probes_by_id, id_key(&result.probe));
    if (probe == NULL)
        return true;
    struct str asked = str_from(probe->address);
    learn(book, asked, (enum verify_status)result.status, result.reason);
    if (!str_equal(asked, result.address))
        learn(book, result.address, (enum verify_status)result.status, result.reason);
    return true;
}

static bool on_done(struct book *book, struct channel *channel, struct str payload)
{
    struct wire_verify_done done;

    if (!wire_decode_verify_done(channel, payload, &done))
        return false;
    struct probe *probe = map_find(book->probes_by_id, id_key(&done.probe));
    if (probe != NULL)
        probe_free(book, probe);
    return true;
}

static bool queue_received(void *owner, struct channel *channel, uint16_t number,
                           struct str payload)
{
    if (number == WIRE_verify_result)
        return on_result(owner, channel, payload);
    return number == WIRE_verify_done && on_done(owner, channel, payload);
}

static void queue_closed(void *owner, struct channel *channel, const char *reason)
{
    struct book *book = owner;

    (void)reason;
    if (book->queue != channel)
        return;
    channel_free(&book->queue);
    lose_probes(book);
}

static const struct channel_events queue_events = { queue_received, queue_closed };

bool book_attach_queue(struct book *book, int fd, struct error *error)
{
    struct channel *queue = channel_new(book->loop, fd, &queue_events, book, error);

    if (queue == NULL)
        return error_context(error, "channel to the queue");
    if (book->queue != NULL)
        channel_free(&book->queue);
    lose_probes(book);
    book->queue = queue;
    return true;
}

/* ---- life ---- */

void book_init(struct book *book)
{
    answerer_init(&book->clients, book->loop, &questions, book);
    book->probes = map_new();
    book->probes_by_id = map_new();
}

void book_configure(struct book *book, const struct config *config)
{
    book->config = config;
    book->ages = (struct entry_ages){
        .positive_expire_s = config->address_verify_positive_expire_time,
        .positive_refresh_s = config->address_verify_positive_refresh_time,
        .negative_expire_s = config->address_verify_negative_expire_time,
        .negative_refresh_s = config->address_verify_negative_refresh_time,
    };
}

struct sweeping {
    const struct entry_ages *ages;
    int64_t now_s;
};

static bool is_old(void *argument, struct str key, struct str value)
{
    const struct sweeping *sweeping = argument;
    struct entry entry;

    (void)key;
    return !entry_parse(value, &entry) || entry_is_expired(&entry, sweeping->ages, sweeping->now_s);
}

void book_sweep(struct book *book)
{
    struct sweeping sweeping = { &book->ages, now_s() };

    kept_cache_sweep(&book->cache, is_old, &sweeping);
}

void book_clear(struct book *book)
{
    lose_probes(book);
    kept_cache_close(&book->cache);
    answerer_clear(&book->clients);
    if (book->queue != NULL)
        channel_free(&book->queue);
    map_free(&book->probes);
    map_free(&book->probes_by_id);
}
