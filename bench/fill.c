/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills a store with messages as if they had been accepted, for bench/depth: COUNT messages with
 * one recipient each, at HOSTS destinations in turn, due so many SECONDS from now.
 *
 *   bench-fill FOLDER COUNT HOSTS SECONDS
 */
#include "base/clock.h"
#include "mail/envelope.h"
#include "mail/queue_id.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 4096 };

static void die(const char *what, const struct error *error)
{
    fprintf(stderr, "bench-fill: %s: %s\n", what, error->message);
    exit(1);
}

static void put(struct store *store, uint64_t first_id, uint64_t number, uint64_t hosts,
                int64_t due_ms)
{
    static const char content[] = "Subject: depth\r\nFrom: a@b.example\r\n\r\nsome text\r\n";
    struct arena arena = { 0 };
    struct buf bytes = { 0 };
    struct error error;
    int64_t now_us = clock_wall_us();
    struct recipient recipient = {
        .address =
            str_from(arena_printf(&arena, "user%llu@d%llu.example", (unsigned long long)number,
                                  (unsigned long long)(number % hosts + 1))),
    };
    struct envelope envelope = {
        .sender = STR("sender@bench.example"),
        .arrival_us = now_us,
        .size_bytes = sizeof content - 5,
        .content_bytes = sizeof content - 1,
        .client_name = STR("localhost"),
        .client_address = STR("127.0.0.1"),
        .helo_name = STR("bench.example"),
        .protocol = STR("ESMTP"),
    };

    envelope_add_recipient(&arena, &envelope, &recipient);
    envelope_encode(&envelope, &bytes);
    struct store_message message = {
        .queue_id = first_id + number,
        .envelope = buf_str(&bytes),
        .content = str_from(content),
        .due_ms = due_ms,
    };
    if (store_put_message(store, &message, &error) != STORE_OK)
        die("put", &error);
    buf_free(&bytes);
    arena_clear(&arena);
}

int main(int argc, char **argv)
{
    struct error error;

    if (argc != 5) {
        fprintf(stderr, "usage: bench-fill FOLDER COUNT HOSTS SECONDS\n");
        return 2;
    }
    uint64_t count = strtoull(argv[2], NULL, 10), hosts = strtoull(argv[3], NULL, 10);
    int64_t due_ms = clock_wall_ms() + strtoll(argv[4], NULL, 10) * 1000;
    uint64_t first_id = queue_id_from_wall_ms(clock_wall_ms() - 86400000); /* before all others */
    struct store *store = store_open(
        &(struct store_options){ .folder = argv[1], .may_create = true, .is_any_filesystem = true },
        &error);
    if (store == NULL)
        die(argv[1], &error);
    for (uint64_t done = 0; done < count;) {
        if (!store_begin(store, &error))
            die("begin", &error);
        for (int i = 0; i < BATCH && done < count && !store_batch_is_full(store); i++)
            put(store, first_id, done++, hosts, due_ms);
        if (store_commit(store, &error) != STORE_OK)
            die("commit", &error);
    }
    store_close(&store);
    return 0;
}
