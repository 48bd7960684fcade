/* SPDX-License-Identifier: Apache-2.0 */
#include "store/folder.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "store/data_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

enum { XFS_MAGIC = 0x58465342, ZFS_MAGIC = 0x2fc12fc1, DATA_MIN_BYTES = 2 * 4096 };
enum { FIRST_COMMIT_BYTES = 16 * 4096 }; /* more than it takes */
enum { MOUNTINFO_MAX_BYTES = 1 << 22, FULL_BELOW_BYTES = 1 << 20 };

static const struct timespec lock_pause = { .tv_nsec = 20 * 1000000 };
static const char marker_text[] = "waypost queue 1\n";

char *folder_path(const char *folder, const char *name)
{
    struct buf path = { 0 };

    buf_printf(&path, "%s/%s", folder, name);
    return path.ptr;
}

static void tell(const struct store_options *options, const char *text)
{
    if (options->notice != NULL)
        options->notice(options->notice_argument, text);
}

/* Whether `word` is one of the comma-separated `list`. */
static bool list_has(struct str list, struct str word)
{
    struct str item;

    while (str_next_word(&list, ",", &item))
        if (str_equal(item, word))
            return true;
    return false;
}

/* A line of mountinfo: id parent major:minor root mount-point options … - type source options. */
static bool check_mount_line(const struct store_options *options, struct str line, dev_t device,
                             struct error *error)
{
    char number[32];
    struct str word, mount_options;

    snprintf(number, sizeof number, "%u:%u", major(device), minor(device));
    for (int field = 1; str_next_word(&line, " ", &word); field++)
        if (field == 3 && !str_equal(word, str_from(number)))
            return true;
    mount_options = word;
    if (list_has(mount_options, STR("nobarrier")) || list_has(mount_options, STR("barrier=0")))
        return error_set(error,
                         "%s is on a file system mounted with write barriers off, so a power "
                         "loss could take acknowledged mail; mount it without \"nobarrier\"",
                         options->folder);
    if (list_has(mount_options, STR("data=journal")))
        tell(options, "the queue's file system is mounted with data=journal; data=ordered is "
                      "the mode that is well tried");
    return true;
}

static bool check_mount(const struct store_options *options, dev_t device, struct error *error)
{
    autofree_buf struct buf mounts = { 0 };
    struct error ignored;

    if (!file_read("/proc/self/mountinfo", MOUNTINFO_MAX_BYTES, &mounts, &ignored))
        return true; /* no /proc in this root: nothing to learn */
    for (struct str rest = buf_str(&mounts); rest.len > 0;)
        if (!check_mount_line(options, str_cut(&rest, "\n"), device, error))
            return false;
    return true;
}

static void check_kernel(const struct store_options *options)
{
    struct utsname name;

    if (uname(&name) == 0 && str_starts_with(str_from(name.release), STR("6.1.64")))
        tell(options, "kernel 6.1.64 is known to damage files on ext4: upgrade the kernel");
}

static bool check_filesystem(const struct store_options *options, struct error *error)
{
    struct statfs filesystem;

    if (statfs(options->folder, &filesystem) < 0)
        return error_errno(error, "statfs %s", options->folder);
    switch ((uint32_t)filesystem.f_type) {
    case EXT4_SUPER_MAGIC:
    case XFS_MAGIC:
        break;
    case BTRFS_SUPER_MAGIC:
    case ZFS_MAGIC:
        tell(options, "the queue is on a copy-on-write file system, where preallocated room "
                      "promises nothing: a full disk may also stop deliveries");
        break;
    default:
        return error_set(error,
                         "%s is on a file system of type 0x%x, which is not known to keep what "
                         "it acknowledged; put the queue on ext4 or xfs",
                         options->folder, (unsigned)filesystem.f_type);
    }
    check_kernel(options);
    return true;
}

bool folder_prepare(const struct store_options *options, struct error *error)
{
    struct stat status;

    if (options->may_create && mkdir(options->folder, 0700) < 0 && errno != EEXIST)
        return error_errno(error, "create the queue's folder %s", options->folder);
    if (stat(options->folder, &status) < 0)
        return error_errno(error, "the queue's folder %s", options->folder);
    if (!S_ISDIR(status.st_mode))
        return error_set(error, "%s is not a folder", options->folder);
    if ((status.st_mode & 077) != 0 && chmod(options->folder, 0700) < 0)
        return error_errno(error, "make %s private (mode 0700)", options->folder);
    if (options->is_any_filesystem)
        return true;
    return check_filesystem(options, error) && check_mount(options, status.st_dev, error);
}

int folder_lock(const char *folder, int64_t wait_ms, struct error *error)
{
    char *path = folder_path(folder, "queue.lock");
    int64_t deadline_ms = clock_monotonic_ms() + wait_ms;
    int fd = lock_file(path, error);

    while (fd < 0 && error->system_errno == EWOULDBLOCK && clock_monotonic_ms() < deadline_ms) {
        nanosleep(&lock_pause, NULL);
        fd = lock_file(path, error);
    }
    free(path);
    if (fd < 0 && error->system_errno == EWOULDBLOCK)
        error_set(error, "the queue in %s is in use by another process", folder);
    return fd;
}

static bool check_marker(const char *path, bool *is_there, struct error *error)
{
    autofree_buf struct buf text = { 0 };

    *is_there = access(path, F_OK) == 0;
    if (!*is_there)
        return errno == ENOENT || error_errno(error, "look for %s", path);
    if (!file_read(path, 4096, &text, error))
        return false;
    if (!str_equal(buf_str(&text), str_from(marker_text)))
        return error_set(error,
                         "%s is not of this version of Waypost: use the version that wrote the "
                         "queue, or a newer one",
                         path);
    return true;
}

/* The size, or 0 where the file is missing. */
static bool data_bytes(const char *path, uint64_t *size_bytes, struct error *error)
{
    struct stat status;

    *size_bytes = 0;
    if (stat(path, &status) < 0)
        return errno == ENOENT || error_errno(error, "%s", path);
    if (!S_ISREG(status.st_mode))
        return error_set(error, "%s is not a regular file", path);
    *size_bytes = (uint64_t)status.st_size;
    return true;
}

static bool is_zero(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != '\0')
            return false;
    return true;
}

/* Whether our first commit was never completed in it: a meta page is missing, or names no tree, and
 * nothing stands where that commit has no pages. */
static bool is_unfinished(const char *path, uint64_t size_bytes)
{
    autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct meta metas[META_COUNT];
    uint64_t newest, file_bytes;
    struct error ignored;
    char page[PAGE];

    if (fd < 0 || (data_file_metas(fd, metas, &newest, &file_bytes, &ignored) &&
                   metas[newest].trees[MAIN_TREE].root != no_page))
        return false;
    for (uint64_t at = FIRST_COMMIT_BYTES; at + PAGE <= size_bytes; at += PAGE)
        if (!data_file_read(fd, at, PAGE, page, &ignored) || !is_zero(page, PAGE))
            return false;
    return true;
}

static bool check_data(const struct store_options *options, const char *data_path,
                       const char *marker_path, bool *is_new, struct error *error)
{
    uint64_t size_bytes;
    bool has_marker;

    if (!check_marker(marker_path, &has_marker, error) ||
        !data_bytes(data_path, &size_bytes, error))
        return false;
    *is_new = !has_marker && (size_bytes == 0 || is_unfinished(data_path, size_bytes));
    if (*is_new && !options->may_create)
        return error_set(error, "there is no queue in %s", options->folder);
    if (!*is_new && size_bytes < DATA_MIN_BYTES)
        return error_set(error,
                         "%s is missing or truncated, but there was a queue here: restore it; or, "
                         "to begin with an empty queue, move the folder away",
                         data_path);
    return true;
}

bool folder_check_data(const struct store_options *options, bool *is_new, struct error *error)
{
    char *data_path = folder_path(options->folder, "data.mdb");
    char *marker_path = folder_path(options->folder, "queue.marker");
    bool is_fine = check_data(options, data_path, marker_path, is_new, error);

    free(data_path);
    free(marker_path);
    return is_fine;
}

static bool write_marker(const char *draft, const char *path, struct error *error)
{
    autoclose int fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0)
        return error_errno(error, "create %s", draft);
    return fd_write_all(fd, str_from(marker_text), draft, error) && fd_sync(fd, draft, error) &&
           rename_durably(draft, path, error);
}

bool folder_set_aside(const struct store_options *options, struct error *error)
{
    char *path = folder_path(options->folder, "data.mdb");
    char *kept = folder_path(options->folder, "data.mdb.damaged");
    bool is_there = access(path, F_OK) == 0;
    bool is_fine = !is_there || rename(path, kept) == 0 || error_errno(error, "rename %s", path);

    if (is_there && is_fine)
        tell(options, "the first start of this queue was interrupted before anything was stored; "
                      "it begins anew, and what was left is kept as data.mdb.damaged");
    free(path);
    free(kept);
    return is_fine;
}

bool folder_mark(const char *folder, struct error *error)
{
    char *draft = folder_path(folder, "queue.marker.new");
    char *path = folder_path(folder, "queue.marker");
    bool is_fine = access(path, F_OK) == 0 || write_marker(draft, path, error);

    free(draft);
    free(path);
    return is_fine;
}

bool folder_is_full(const char *folder)
{
    struct statvfs room;

    return statvfs(folder, &room) == 0 &&
           (uint64_t)room.f_bavail * room.f_frsize < FULL_BELOW_BYTES;
}
