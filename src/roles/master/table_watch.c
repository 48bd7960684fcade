/* SPDX-License-Identifier: Apache-2.0 */
#include "table_watch.h"

#include "base/memory.h"
#include "table/table_files.h"

enum {
    LOOK_EVERY_MS = 500,
    /* After a renewal the next one waits so long, and longer when changes go on. */
    PAUSE_FIRST_MS = 2000,
    PAUSE_MAX_MS = 60 * 1000,
    /* A file that changes in every look is taken as it is after so many. */
    RESTLESS_MAX = 10,
};

struct table_watch {
    struct loop *loop;
    const struct log_context *log_context;
    unsigned (*renew)(void *argument, unsigned uses);
    void *argument;
    const struct config *config;
    struct table_files files;
    struct timer look;
    unsigned pending; /* uses of files that changed */
    int restless;     /* how many looks in a row found a change */
    int64_t pause_ms, renewed_ms;
};

static bool looks_the_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* The uses of files that changed since the last look. */
static unsigned look_at_files(struct table_watch *watch)
{
    unsigned uses = 0;

    for (struct table_file *file = watch->files.first; file != NULL; file = file->next) {
        struct stat now;
        if (stat(file->path, &now) != 0 || looks_the_same(&now, &file->seen))
            continue;
        log_info(watch->log_context, "table %s has changed", file->path);
        file->seen = now;
        uses |= file->uses;
    }
    return uses;
}

static void warn_of_age(const struct table_watch *watch)
{
    for (const struct table_file *file = watch->files.first; file != NULL; file = file->next) {
        struct stat source;
        if (file->source != NULL && file->seen.st_ino != 0 && stat(file->source, &source) == 0 &&
            source.st_mtime > file->seen.st_mtime)
            log_warning(watch->log_context, "database %s is older than source file %s", file->path,
                        file->source);
    }
}

/* What a list file names may have changed with it. */
static void find_files(struct table_watch *watch)
{
    table_files_clear(&watch->files);
    table_files_find(&watch->files, watch->config);
    for (struct table_file *file = watch->files.first; file != NULL; file = file->next)
        if (stat(file->path, &file->seen) != 0)
            file->seen = (struct stat){ 0 };
    warn_of_age(watch);
}

static void renew_users(struct table_watch *watch, int64_t now_ms)
{
    unsigned left = watch->renew(watch->argument, watch->pending);

    if (left != watch->pending) {
        watch->pause_ms =
            now_ms - watch->renewed_ms > 2 * watch->pause_ms ? PAUSE_FIRST_MS : watch->pause_ms * 2;
        if (watch->pause_ms > PAUSE_MAX_MS)
            watch->pause_ms = PAUSE_MAX_MS;
        watch->renewed_ms = now_ms;
    }
    watch->pending = left;
    watch->restless = 0;
}

static void look_due(struct timer *timer)
{
    struct table_watch *watch = list_entry(timer, struct table_watch, look);
    int64_t now_ms = clock_monotonic_ms();
    unsigned changed = look_at_files(watch);

    watch->pending |= changed;
    watch->restless = changed != 0 ? watch->restless + 1 : 0;
    bool is_settled = changed == 0 || watch->restless >= RESTLESS_MAX;
    if (watch->pending != 0 && is_settled && now_ms - watch->renewed_ms >= watch->pause_ms) {
        /* Before the roles read, so that what changes meanwhile is a change again. */
        find_files(watch);
        renew_users(watch, now_ms);
    }
    timer_set(watch->loop, &watch->look, now_ms + LOOK_EVERY_MS, look_due);
}

struct table_watch *table_watch_new(struct loop *loop, const struct log_context *log_context,
                                    unsigned (*renew)(void *argument, unsigned uses),
                                    void *argument)
{
    struct table_watch *watch = memory_new(sizeof *watch);

    watch->loop = loop;
    watch->log_context = log_context;
    watch->renew = renew;
    watch->argument = argument;
    return watch;
}

void table_watch_free(struct table_watch **watch)
{
    if (*watch == NULL)
        return;
    table_watch_stop(*watch);
    table_files_clear(&(*watch)->files);
    memory_free(*watch);
    *watch = NULL;
}

void table_watch_set(struct table_watch *watch, const struct config *config)
{
    watch->config = config;
    watch->pending = 0;
    find_files(watch);
    timer_set(watch->loop, &watch->look, clock_monotonic_ms() + LOOK_EVERY_MS, look_due);
}

void table_watch_stop(struct table_watch *watch)
{
    timer_clear(watch->loop, &watch->look);
}
