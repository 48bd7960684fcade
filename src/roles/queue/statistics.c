/* SPDX-License-Identifier: Apache-2.0 */
#include "statistics.h"

#include "base/clock.h"
#include "base/memory.h"
#include "queue.h"

static void record_free(struct statistics *statistics, struct destination_record *record)
{
    (void)map_remove(statistics->records, record->key);
    list_remove(&record->link);
    memory_free(record);
}

static char *put(char **at, struct str text)
{
    char *start = *at;

    memcpy(start, text.ptr, text.len);
    *at += text.len;
    return start;
}

static struct destination_record *record_new(struct statistics *statistics,
                                             const struct destination *destination)
{
    struct str transport = destination->transport->name;
    struct destination_record *record = memory_new(
        sizeof *record + destination->key.len + transport.len + destination->nexthop.len);
    char *at = (char *)(record + 1);

    if (map_count(statistics->records) >= STATISTICS_DESTINATIONS_MAX)
        record_free(statistics,
                    list_entry(statistics->by_use.next, struct destination_record, link));
    record->key = str_of(put(&at, destination->key), destination->key.len);
    record->transport = str_of(put(&at, transport), transport.len);
    record->nexthop = str_of(put(&at, destination->nexthop), destination->nexthop.len);
    list_init(&record->link);
    (void)map_set(statistics->records, record->key, record);
    return record;
}

static void count(struct destination_record *record, enum delivery_status status, int64_t now_ms)
{
    if (status == DELIVERY_SENT) {
        record->sent++;
        record->last_sent_ms = now_ms;
        return;
    }
    record->last_failed_ms = now_ms;
    if (status == DELIVERY_BOUNCED)
        record->bounced++;
    else
        record->deferred++;
}

/* The same answer again is one with a count. Of deliveries only the last is kept: each has a text
 * of its own. */
static void note_reply(struct destination_record *record, const struct result *result,
                       int64_t now_ms)
{
    struct str text = str_take(result->diagnostic, STATISTICS_REPLY_BYTES);
    struct reply_record *reply = &record->replies[record->newest];
    bool is_same = reply->wall_ms != 0 && reply->status == (uint8_t)result->status &&
                   (result->status == DELIVERY_SENT ||
                    str_equal(str_of(reply->text, reply->len), text));

    if (!is_same && reply->wall_ms != 0) {
        record->newest = (record->newest + 1) % STATISTICS_REPLIES;
        reply = &record->replies[record->newest];
        reply->repeats = 0;
    }
    reply->wall_ms = now_ms;
    reply->repeats++;
    reply->status = (uint8_t)result->status;
    reply->len = (uint8_t)text.len;
    memcpy(reply->text, text.ptr, text.len);
}

void statistics_note(const struct destination *destination, const struct result *result)
{
    struct statistics *statistics = &destination->queue->statistics;
    struct destination_record *record = map_find(statistics->records, destination->key);
    int64_t now_ms = clock_wall_ms();

    if (result->status == DELIVERY_UNDONE)
        return;
    if (record == NULL)
        record = record_new(statistics, destination);
    list_remove(&record->link);
    list_append(&statistics->by_use, &record->link);
    count(record, result->status, now_ms);
    note_reply(record, result, now_ms);
}

const struct destination_record *statistics_find(const struct queue *queue, struct str key)
{
    return map_find(queue->statistics.records, key);
}

void statistics_init(struct queue *queue)
{
    queue->statistics.records = map_new();
    list_init(&queue->statistics.by_use);
    queue->statistics.started_ms = clock_wall_ms();
}

void statistics_clear(struct queue *queue)
{
    struct statistics *statistics = &queue->statistics;

    while (!list_is_empty(&statistics->by_use))
        record_free(statistics,
                    list_entry(statistics->by_use.next, struct destination_record, link));
    map_free(&statistics->records);
}
