/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store can do on this disk: messages accepted and deleted again, in batches of 1, 16 and
 * 64, with and without a backlog, beside the disk's own rate (the same bytes appended to a file
 * and flushed as often) in the same run. Prints a Markdown table.
 *
 *   bench-store [-d FOLDER] [-s SECONDS] [-b BACKLOG]
 */
#include "store/store.h"
#include "base/clock.h"
#include "base/memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { ENVELOPE_BYTES = 300, CONTENT_MAX_BYTES = 131072, CHUNK = STORE_CHUNK_BYTES };

struct options {
    const char *folder;
    double seconds; /* for each line of the table */
    size_t backlog;
};

struct bench {
    const struct options *options;
    struct store *store;
    uint64_t *live; /* ids of the messages there, in random order of removal */
    size_t live_count;
    uint64_t next_id;
    size_t mean_bytes;
    bool is_spread; /* sizes spread around the mean as real mail's are */
    uint64_t random;
    char *content;
};

struct rate {
    double messages_per_s;
    double cpu_us;
    double commit_ms;
    double bytes; /* for each message */
};

static void die(const char *what, const struct error *error)
{
    fprintf(stderr, "bench-store: %s: %s\n", what, error->message);
    exit(1);
}

static uint64_t next_random(struct bench *bench)
{
    bench->random = bench->random * 6364136223846793005 + 1442695040888963407;
    return bench->random >> 33;
}

static double cpu_s(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static double now_s(void)
{
    return (double)clock_monotonic_us() * 1e-6;
}

/* Half of the mail is small, a few messages are large; the mean is what was asked for. */
static size_t next_size(struct bench *bench)
{
    if (!bench->is_spread)
        return bench->mean_bytes;
    uint64_t dice = next_random(bench) % 100;
    size_t unit = bench->mean_bytes / 16;
    if (dice < 50)
        return unit * 4 + next_random(bench) % (unit * 4); /* mean 6 units */
    if (dice < 90)
        return unit * 8 + next_random(bench) % (unit * 16); /* 16 */
    return unit * 40 + next_random(bench) % (unit * 52);    /* 66 */
}

static void put(struct bench *bench, size_t size_bytes)
{
    struct store_message message = {
        .queue_id = bench->next_id++,
        .envelope = str_of(bench->content, ENVELOPE_BYTES),
        .due_ms = clock_wall_ms(),
    };
    struct error error;
    size_t offset = 0;
    enum store_outcome outcome = STORE_OK;

    for (; size_bytes - offset > STORE_INLINE_MAX && outcome == STORE_OK; offset += CHUNK)
        outcome = store_put_chunk(bench->store, message.queue_id, message.chunk_count++,
                                  str_of(bench->content + offset, CHUNK), &error);
    message.content = str_of(bench->content + offset, size_bytes - offset);
    if (outcome == STORE_OK)
        outcome = store_put_message(bench->store, &message, &error);
    if (outcome != STORE_OK)
        die("put", &error);
    bench->live[bench->live_count++] = message.queue_id;
}

static void remove_random(struct bench *bench)
{
    size_t place = next_random(bench) % bench->live_count;
    struct error error;

    if (store_delete_message(bench->store, bench->live[place], &error) != STORE_OK)
        die("delete", &error);
    bench->live[place] = bench->live[--bench->live_count];
}

static void begin(struct bench *bench)
{
    struct error error;

    if (!store_begin(bench->store, &error))
        die("begin", &error);
}

static void commit(struct bench *bench)
{
    struct error error;

    if (store_commit(bench->store, &error) != STORE_OK)
        die("commit", &error);
}

static void fill(struct bench *bench, size_t count)
{
    while (bench->live_count < count) {
        begin(bench);
        while (bench->live_count < count && !store_batch_is_full(bench->store))
            put(bench, next_size(bench));
        commit(bench);
    }
}

/* Each commit accepts `batch` messages and removes as many, once enough are there. */
static struct rate measure(struct bench *bench, size_t batch, size_t live_count)
{
    double start_s = now_s(), start_cpu_s = cpu_s(), end_s = start_s + bench->options->seconds;
    double bytes = 0;
    size_t messages = 0, commits = 0;

    for (; now_s() < end_s; commits++, messages += batch) {
        begin(bench);
        for (size_t i = 0; i < batch; i++) {
            size_t size_bytes = next_size(bench);
            bytes += (double)(size_bytes + ENVELOPE_BYTES);
            put(bench, size_bytes);
            if (bench->live_count > live_count)
                remove_random(bench);
        }
        commit(bench);
    }
    double took_s = now_s() - start_s;
    return (struct rate){
        .messages_per_s = (double)messages / took_s,
        .cpu_us = (cpu_s() - start_cpu_s) * 1e6 / (double)messages,
        .commit_ms = took_s * 1e3 / (double)commits,
        .bytes = bytes / (double)messages,
    };
}

/* The disk alone: the same bytes, appended, one fdatasync for each batch. */
static struct rate measure_disk(struct bench *bench, size_t batch, size_t message_bytes)
{
    size_t written = 0, commits = 0, len = batch * message_bytes;
    struct error error;
    struct buf path = { 0 };
    char *bytes = memory_new(len);

    buf_printf(&path, "%s/append", bench->options->folder);
    int fd = open(buf_text(&path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 && !error_errno(&error, "%s", buf_text(&path)))
        die("create", &error);
    double start_s = now_s(), start_cpu_s = cpu_s(), end_s = start_s + bench->options->seconds;
    for (; now_s() < end_s; commits++, written += batch)
        if ((write(fd, bytes, len) != (ssize_t)len || fdatasync(fd) < 0) &&
            !error_errno(&error, "%s", buf_text(&path)))
            die("append", &error);
    double took_s = now_s() - start_s;
    struct rate rate = { (double)written / took_s, (cpu_s() - start_cpu_s) * 1e6 / (double)written,
                         took_s * 1e3 / (double)commits, (double)message_bytes };
    close(fd);
    unlink(buf_text(&path));
    buf_free(&path);
    memory_free(bytes);
    return rate;
}

static void print_line(const char *size, size_t backlog, size_t batch, struct rate store,
                       struct rate disk)
{
    printf("| %s | %zu | %zu | %.0f | %.1f | %.2f | %.0f | %.1f | %.2f | %.0f %% |\n", size,
           backlog, batch, store.messages_per_s, store.cpu_us, store.commit_ms, disk.messages_per_s,
           disk.cpu_us, disk.commit_ms, 100 * store.messages_per_s / disk.messages_per_s);
    fflush(stdout);
}

static void run_batches(struct bench *bench, const char *size, size_t backlog)
{
    static const size_t batches[] = { 1, 16, 64 };

    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        size_t live_count = backlog > 0 ? backlog : 2 * batches[i];
        struct rate store = measure(bench, batches[i], live_count);
        struct rate disk = measure_disk(bench, batches[i], (size_t)store.bytes);
        print_line(size, backlog, batches[i], store, disk);
    }
}

static void remove_store(const char *folder)
{
    static const char *const names[] = { "data.mdb", "lock.mdb", "queue.lock", "queue.marker" };
    struct buf path = { 0 };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        buf_clear(&path);
        buf_printf(&path, "%s/%s", folder, names[i]);
        unlink(buf_text(&path));
    }
    buf_free(&path);
}

static void run_store(const struct options *options, const char *size, size_t mean_bytes,
                      bool is_spread, size_t backlog)
{
    struct store_options store_options = { .folder = options->folder,
                                           .may_create = true,
                                           .is_any_filesystem = true };
    struct bench bench = {
        .options = options, .mean_bytes = mean_bytes, .is_spread = is_spread, .random = 1
    };
    struct error error;

    bench.store = store_open(&store_options, &error);
    if (bench.store == NULL)
        die("open", &error);
    bench.live = memory_new_array(backlog + 1000, sizeof *bench.live);
    bench.content = memory_new(CONTENT_MAX_BYTES);
    for (size_t i = 0; i < CONTENT_MAX_BYTES; i++)
        bench.content[i] = (char)('a' + i % 26);
    fill(&bench, backlog);
    run_batches(&bench, size, backlog);
    store_close(&bench.store);
    memory_free(bench.live);
    memory_free(bench.content);
    remove_store(options->folder);
}

static struct options parse_options(int argc, char **argv)
{
    struct options options = { .folder = NULL, .seconds = 2, .backlog = 100000 };
    int letter;

    while ((letter = getopt(argc, argv, "d:s:b:")) != -1) {
        switch (letter) {
        case 'd':
            options.folder = optarg;
            break;
        case 's':
            options.seconds = strtod(optarg, NULL);
            break;
        case 'b':
            options.backlog = strtoul(optarg, NULL, 10);
            break;
        default:
            fprintf(stderr, "usage: bench-store [-d FOLDER] [-s SECONDS] [-b BACKLOG]\n");
            exit(64);
        }
    }
    return options;
}

int main(int argc, char **argv)
{
    char folder[] = "bench-store-XXXXXX";
    struct options options = parse_options(argc, argv);
    bool is_ours = options.folder == NULL;

    if (is_ours)
        options.folder = mkdtemp(folder);
    if (options.folder == NULL) {
        perror("bench-store: create a folder here");
        return 1;
    }
    printf("| size | backlog | batch | store msg/s | CPU µs/msg | commit ms | append+fdatasync "
           "msg/s | CPU µs/msg | flush ms | store/disk |\n"
           "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
    run_store(&options, "4 KB", 4096, false, 0);
    run_store(&options, "4 KB", 4096, false, options.backlog);
    run_store(&options, "16 KB mean", 16384, true, 0);
    run_store(&options, "16 KB mean", 16384, true, options.backlog);
    if (is_ours)
        rmdir(options.folder);
    return 0;
}
