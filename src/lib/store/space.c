/* SPDX-License-Identifier: Apache-2.0 */
#include "store/environment.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

static const uint64_t sparse_from_bytes = (uint64_t)1 << 30;

static void note_file_size(struct store *store)
{
    struct stat status;

    if (fstat(store->data_fd, &status) == 0)
        store->reserved_bytes = (uint64_t)status.st_size;
    atomic_store(&store->file_bytes, store->reserved_bytes);
}

/* Grown in steps of the reserve, so that what is there stays between one and two of it while the
 * disk has room; a commit then hardly ever changes the file's size, and writing to it needs no
 * room. A nearly full disk gives at least one where it can. */
static void extend(struct store *store, uint64_t used_bytes)
{
    uint64_t reserve = store->options.reserve_bytes;
    int code = fallocate(store->data_fd, 0, 0, (off_t)(used_bytes + 2 * reserve));

    if (code < 0 && (errno == ENOSPC || errno == EDQUOT))
        code = fallocate(store->data_fd, 0, 0, (off_t)(used_bytes + reserve));
    if (code < 0 && (errno == ENOSPC || errno == EDQUOT) && !store->is_reserve_short) {
        store->is_reserve_short = true;
        environment_tell(store, "no room to extend the queue in %s: new mail waits until there is",
                         store->options.folder);
    }
    if (code == 0)
        store->is_reserve_short = false;
    note_file_size(store);
}

static bool has_room(const struct store *store, uint64_t bytes)
{
    struct statvfs room;

    return fstatvfs(store->data_fd, &room) == 0 && (uint64_t)room.f_bavail * room.f_frsize >= bytes;
}

void space_reserve(struct store *store)
{
    uint64_t reserve = store->options.reserve_bytes;
    uint64_t used_bytes = atomic_load(&store->end_page) * PAGE_BYTES;

    if (store->reserved_bytes == 0) {
        environment_measure(store);
        used_bytes = atomic_load(&store->end_page) * PAGE_BYTES;
        note_file_size(store);
    }
    if (store->reserved_bytes >= used_bytes + reserve)
        return;
    if (!store->is_reserve_short || has_room(store, used_bytes + reserve - store->reserved_bytes))
        extend(store, used_bytes);
    else
        note_file_size(store);
}

void store_space(const struct store *store, uint64_t queue_minfree_bytes, struct store_space *space)
{
    uint64_t used_bytes = (atomic_load(&store->used_pages) + 2) * PAGE_BYTES;
    uint64_t file_bytes = atomic_load(&store->file_bytes);
    uint64_t disk_bytes = 0;
    struct statvfs room;

    if (statvfs(store->options.folder, &room) == 0)
        disk_bytes = (uint64_t)room.f_bavail * room.f_frsize;
    uint64_t in_file_bytes = file_bytes > used_bytes ? file_bytes - used_bytes : 0;
    *space = (struct store_space){
        .used_bytes = used_bytes,
        .file_bytes = file_bytes,
        .free_bytes = disk_bytes + in_file_bytes,
        .is_low = disk_bytes + in_file_bytes < 2 * store->options.reserve_bytes ||
                  disk_bytes + in_file_bytes < queue_minfree_bytes,
    };
}

bool store_is_sparse(const struct store *store)
{
    uint64_t end_bytes = atomic_load(&store->end_page) * PAGE_BYTES;
    uint64_t used_bytes = atomic_load(&store->used_pages) * PAGE_BYTES;

    return end_bytes > sparse_from_bytes && used_bytes < end_bytes / 4;
}
