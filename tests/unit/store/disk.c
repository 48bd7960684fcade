/* SPDX-License-Identifier: Apache-2.0 */
#include "disk.h"

#include "write_log.h"

#include "base/ensure.h"
#include "base/memory.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SECTOR = 512, PAGE_SECTORS = 8, PERCENT = 100 };

struct disk_file {
    struct buf durable;
    struct buf left; /* after the loss of power */
};

struct disk {
    size_t position; /* how many entries have happened */
    struct disk_file *files;
    size_t file_count;
    size_t *pending; /* entries that are not durable, in their order */
    size_t pending_count, pending_capacity;
    size_t flush_count;          /* those that made something durable */
    size_t durable_names, names; /* entries of the record */
    size_t left_names;
    size_t mark;
};

/* xorshift64* */
uint64_t chance_below(uint64_t *chance, uint64_t limit)
{
    *chance ^= *chance >> 12;
    *chance ^= *chance << 25;
    *chance ^= *chance >> 27;
    return (*chance * 0x2545f4914f6cdd1d >> 16) % limit;
}

/* ---- what happens ---- */

static void resize(struct buf *image, uint64_t size)
{
    if (size > image->len) {
        size_t more = size - image->len;
        memset(buf_reserve(image, more), 0, more);
        buf_commit(image, more);
    } else {
        buf_truncate(image, size);
    }
}

static void put(struct buf *image, uint64_t offset, struct str bytes)
{
    if (bytes.len == 0)
        return;
    if (offset + bytes.len > image->len)
        resize(image, offset + bytes.len);
    memcpy(image->ptr + offset, bytes.ptr, bytes.len);
}

static void apply(struct buf *image, const struct write_log_entry *entry)
{
    if (entry->kind == LOG_SIZE)
        resize(image, entry->size);
    else
        put(image, entry->offset, buf_str(&entry->bytes));
}

/* From `from` on in the list of what is pending. */
static void make_durable(struct disk *disk, size_t file, size_t from)
{
    size_t kept = from;

    for (size_t i = from; i < disk->pending_count; i++) {
        const struct write_log_entry *entry = write_log_at(disk->pending[i]);
        if (entry->file == file)
            apply(&disk->files[file].durable, entry);
        else
            disk->pending[kept++] = disk->pending[i];
    }
    disk->flush_count += kept < disk->pending_count;
    disk->pending_count = kept;
}

static void add_pending(struct disk *disk, size_t index)
{
    if (disk->pending_count == disk->pending_capacity) {
        disk->pending_capacity = disk->pending_capacity * 2 + 16;
        disk->pending =
            memory_resize(disk->pending, disk->pending_capacity * sizeof *disk->pending);
    }
    disk->pending[disk->pending_count++] = index;
}

static void happen(struct disk *disk, size_t index)
{
    const struct write_log_entry *entry = write_log_at(index);

    switch (entry->kind) {
    case LOG_WRITE:
    case LOG_SIZE:
        add_pending(disk, index);
        break;
    case LOG_NAMES:
        disk->names = index;
        break;
    case LOG_FLUSH:
        make_durable(disk, entry->file, 0);
        break;
    case LOG_FLUSH_WRITE:
        ensure(disk->pending_count > 0);
        make_durable(disk, entry->file, disk->pending_count - 1);
        break;
    case LOG_FLUSH_NAMES:
        disk->durable_names = disk->names;
        break;
    case LOG_MARK:
        disk->mark = entry->mark;
        break;
    }
}

struct disk *disk_new(void)
{
    struct disk *disk = memory_new(sizeof *disk);

    disk->file_count = write_log_file_count();
    disk->files = memory_new_array(disk->file_count + 1, sizeof *disk->files);
    while (disk->position < write_log_first())
        happen(disk, disk->position++);
    return disk;
}

void disk_free(struct disk **disk_pointer)
{
    struct disk *disk = *disk_pointer;

    for (size_t i = 0; i < disk->file_count; i++) {
        buf_free(&disk->files[i].durable);
        buf_free(&disk->files[i].left);
    }
    memory_free(disk->files);
    memory_free(disk->pending);
    memory_free(disk);
    *disk_pointer = NULL;
}

bool disk_advance(struct disk *disk)
{
    if (disk->position == write_log_count())
        return false;
    happen(disk, disk->position++);
    return true;
}

bool disk_is_in_meta_write(const struct disk *disk)
{
    const struct write_log_entry *last = write_log_at(disk->position - 1);

    return last->kind == LOG_WRITE && last->is_synchronous;
}

size_t disk_mark(const struct disk *disk)
{
    return disk->mark;
}

/* ---- what is left of it ---- */

struct loss {
    enum disk_loss kind;
    uint64_t percent; /* of what is kept */
    uint64_t *chance;
    uint64_t number;
};

static void count_in(struct loss *loss, uint64_t what)
{
    loss->number = (loss->number ^ what) * 0x100000001b3;
    loss->number ^= loss->number >> 29;
}

static bool is_kept(struct loss *loss)
{
    return chance_below(loss->chance, PERCENT) < loss->percent;
}

/* Some pieces, at their places on the disk. */
static void apply_pieces(struct loss *loss, struct buf *image, const struct write_log_entry *entry,
                         size_t piece)
{
    struct str bytes = buf_str(&entry->bytes);

    for (size_t at = 0, next; at < bytes.len; at = next) {
        next = (entry->offset + at) / piece * piece + piece - entry->offset;
        next = next < bytes.len ? next : bytes.len;
        if (!is_kept(loss))
            continue;
        count_in(loss, entry->offset + at);
        put(image, entry->offset + at, str_of(bytes.ptr + at, next - at));
    }
}

static void apply_cut(struct loss *loss, struct buf *image, const struct write_log_entry *entry)
{
    struct str bytes = buf_str(&entry->bytes);
    size_t cut = 1 + chance_below(loss->chance, bytes.len - 1);
    bool is_front = chance_below(loss->chance, 2) == 0;

    count_in(loss, cut * 2 + (size_t)is_front);
    if (is_front)
        put(image, entry->offset, str_take(bytes, cut));
    else
        put(image, entry->offset + cut, str_skip(bytes, cut));
}

static void apply_whole(struct loss *loss, struct buf *image, const struct write_log_entry *entry)
{
    count_in(loss, UINT64_MAX);
    apply(image, entry);
}

static void apply_some(struct loss *loss, struct buf *image, const struct write_log_entry *entry,
                       bool is_last)
{
    switch (loss->kind) {
    case LOSS_ALL:
        return;
    case LOSS_OF_LAST:
        if (is_last)
            return;
        break;
    case LOSS_BUT_LAST:
        if (!is_last)
            return;
        break;
    case LOSS_TEARS_LAST:
        if (is_last && entry->kind == LOG_WRITE) {
            apply_pieces(loss, image, entry, SECTOR);
            return;
        }
        break;
    case LOSS_TEARS_SECTOR:
        if (is_last && entry->is_synchronous) {
            apply_cut(loss, image, entry);
            return;
        }
        break;
    case LOSS_OF_PAGES:
    case LOSS_OF_SECTORS:
        if (entry->kind == LOG_WRITE) {
            apply_pieces(loss, image, entry,
                         loss->kind == LOSS_OF_PAGES ? SECTOR * PAGE_SECTORS : SECTOR);
            return;
        }
        /* fall through */
    case LOSS_OF_WRITES:
        if (!is_kept(loss))
            return;
        break;
    case LOSS_NONE:
        break;
    }
    apply_whole(loss, image, entry);
}

/* Names in their order: as they were at any moment since they were durable. */
static size_t choose_names(const struct disk *disk, struct loss *loss)
{
    size_t chosen = disk->durable_names, candidates = 1;

    if (loss->kind == LOSS_ALL)
        return disk->durable_names;
    if (loss->kind == LOSS_NONE)
        return disk->names;
    for (size_t i = disk->durable_names + 1; i <= disk->names; i++)
        if (write_log_at(i)->kind == LOG_NAMES && chance_below(loss->chance, ++candidates) == 0)
            chosen = i;
    return chosen;
}

uint64_t disk_lose_power(struct disk *disk, enum disk_loss kind, uint64_t *chance)
{
    static const uint64_t percents[] = { 10, 50, 90 };
    struct loss loss = { kind, percents[chance_below(chance, 3)], chance, 0xcbf29ce484222325 };

    for (size_t i = 0; i < disk->file_count; i++) {
        buf_clear(&disk->files[i].left);
        buf_append(&disk->files[i].left, buf_str(&disk->files[i].durable));
    }
    for (size_t i = 0; i < disk->pending_count; i++) {
        const struct write_log_entry *entry = write_log_at(disk->pending[i]);

        count_in(&loss, disk->pending[i]);
        apply_some(&loss, &disk->files[entry->file].left, entry, i + 1 == disk->pending_count);
    }
    disk->left_names = choose_names(disk, &loss);
    count_in(&loss, disk->left_names);
    count_in(&loss, disk->mark);
    count_in(&loss, disk->flush_count);
    return loss.number;
}

/* ---- files ---- */

static bool is_left(const struct write_log_entry *names, const char *path)
{
    for (size_t i = 0; i < names->name_count; i++)
        if (strcmp(names->names[i].path, path) == 0)
            return true;
    return false;
}

static void remove_others(const struct write_log_entry *names, const char *root, const char *below)
{
    char path[256], full[512];

    snprintf(full, sizeof full, "%s/%s", root, below);
    DIR *folder = opendir(full);
    if (folder == NULL)
        return;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s%s%s", below, below[0] != '\0' ? "/" : "", entry->d_name);
        snprintf(full, sizeof full, "%s/%s", root, path);
        if (entry->d_type == DT_DIR)
            remove_others(names, root, path);
        if (!is_left(names, path) && unlink(full) < 0)
            rmdir(full);
    }
    closedir(folder);
}

/* Over the file of the state before: its pages are there already. */
static void write_file(const char *path, struct str bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    ensure(fd >= 0);
    while (bytes.len > 0) {
        ssize_t written = syscall(SYS_write, fd, bytes.ptr, bytes.len);
        ensure(written > 0);
        bytes = str_skip(bytes, (size_t)written);
    }
    ensure(ftruncate(fd, lseek(fd, 0, SEEK_CUR)) == 0);
    close(fd);
}

void disk_write_files(const struct disk *disk, const char *root)
{
    const struct write_log_entry *names = write_log_at(disk->left_names);
    char path[256];

    remove_others(names, root, "");
    for (size_t i = 0; i < names->name_count; i++) {
        const struct write_log_name *name = &names->names[i];

        snprintf(path, sizeof path, "%s/%s", root, name->path);
        if (name->file == WRITE_LOG_FOLDER)
            syscall(SYS_mkdir, path, 0700);
        else
            write_file(path, buf_str(&disk->files[name->file].left));
    }
}
