/* SPDX-License-Identifier: Apache-2.0 */
#include "user_file.h"

#include "alias_entry.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LIMIT_MS = 60 * 1000,
    OUTPUT_BYTES_MAX = 2 * USER_FILE_BYTES_MAX + 8 * USER_FILE_ENTRIES_MAX,
};

/* What a child says first; entries follow behind USER_FILE_FOUND, a reason behind the others. */
struct answer {
    int32_t outcome;
    uint32_t owner;
};

struct reading {
    const struct user_file *file;
    int fd; /* opened by root */
    int open_errno;
};

/* ---- in the child ---- */

static int say(int fd, enum user_file_outcome outcome, uid_t owner, struct str bytes)
{
    struct answer answer = { outcome, owner };
    struct error error;

    return fd_write_all(fd, str_of((const char *)&answer, sizeof answer), "answer", &error) &&
                   fd_write_all(fd, bytes, "answer", &error)
               ? 0
               : 1;
}

static int open_it(const char *path)
{
    return open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static bool open_as_root(void *argument)
{
    struct reading *reading = argument;

    reading->fd = open_it(reading->file->path);
    reading->open_errno = errno;
    return true;
}

static bool may_others_write(const struct user_file *file, const struct stat *status)
{
    return (status->st_mode & 0002) ||
           ((status->st_mode & 0020) && status->st_gid != 0 && status->st_gid != file->own_group);
}

/* Who can write the folder can put another file in its place. */
static const char *fault_of_folder(const struct user_file *file, struct arena *arena)
{
    struct stat status;
    ptrdiff_t slash = str_find_last_byte(str_from(file->path), '/');
    const char *folder = arena_text(arena, str_take(str_from(file->path), (size_t)slash));

    if (slash <= 0 || stat(folder, &status) < 0)
        return NULL;
    if (may_others_write(file, &status) && !(status.st_mode & S_ISVTX))
        return arena_printf(arena, "file %s is in a folder that others may write", file->path);
    return NULL;
}

static const char *fault_of(const struct user_file *file, const struct stat *status,
                            struct arena *arena)
{
    if (!S_ISREG(status->st_mode))
        return arena_printf(arena, "file %s is not a regular file", file->path);
    if (!file->is_any_owner && status->st_uid != 0 && status->st_uid != file->owner)
        return arena_printf(arena, "file %s has bad owner uid %ld", file->path,
                            (long)status->st_uid);
    if (status->st_mode & 0002)
        return arena_printf(arena, "file %s is world writable", file->path);
    if (may_others_write(file, status))
        return arena_printf(arena, "file %s is group writable", file->path);
    if (status->st_size > USER_FILE_BYTES_MAX)
        return arena_printf(arena, "file %s is larger than %d bytes", file->path,
                            (int)USER_FILE_BYTES_MAX);
    return fault_of_folder(file, arena);
}

static bool read_whole(int fd, struct buf *text)
{
    char bytes[4096];
    ssize_t count = 1;

    while (count > 0 && text->len <= USER_FILE_BYTES_MAX) {
        count = read(fd, bytes, sizeof bytes);
        if (count < 0 && errno == EINTR)
            count = 1;
        else if (count > 0)
            buf_append(text, str_of(bytes, (size_t)count));
    }
    return count >= 0;
}

/* Lines are taken apart one by one, as a quote does not go over a line's end. */
static bool encode_entries(struct arena *arena, struct str text, struct buf *out)
{
    size_t count = 0;

    while (text.len > 0) {
        struct str line = str_cut(&text, "\n");
        struct str entry;
        if (line.len > 0 && line.ptr[0] == '#')
            continue;
        while (alias_entry_next(arena, &line, &entry)) {
            uint32_t len = (uint32_t)entry.len;
            if (++count > USER_FILE_ENTRIES_MAX)
                return false;
            buf_append(out, str_of((const char *)&len, sizeof len));
            buf_append(out, entry);
        }
    }
    return true;
}

static int say_open_failure(const struct user_file *file, int code, struct arena *arena,
                            int result_fd)
{
    const char *reason =
        code == ELOOP ? arena_printf(arena, "file %s is not a regular file", file->path)
                      : arena_printf(arena, "cannot open file %s: %s", file->path, strerror(code));
    bool is_absent = code == ENOENT || code == ENOTDIR;
    bool is_unsafe = code == EACCES || code == ELOOP || code == ENXIO || code == ENAMETOOLONG;

    return say(result_fd,
               is_absent   ? USER_FILE_ABSENT
               : is_unsafe ? USER_FILE_UNSAFE
                           : USER_FILE_FAILED,
               0, str_from(reason));
}

static int read_as_user(void *argument, int result_fd)
{
    struct reading *reading = argument;
    const struct user_file *file = reading->file;
    struct arena arena = { 0 };
    struct buf text = { 0 }, entries = { 0 };
    struct stat status;
    int fd = file->is_opened_by_root ? reading->fd : open_it(file->path);

    if (fd < 0)
        return say_open_failure(file, file->is_opened_by_root ? reading->open_errno : errno, &arena,
                                result_fd);
    if (fstat(fd, &status) < 0)
        return say_open_failure(file, errno, &arena, result_fd);
    const char *fault = fault_of(file, &status, &arena);
    if (fault != NULL)
        return say(result_fd, USER_FILE_UNSAFE, status.st_uid, str_from(fault));
    if (!read_whole(fd, &text))
        return say(
            result_fd, USER_FILE_FAILED, 0,
            str_from(arena_printf(&arena, "error reading forwarding file: %s", strerror(errno))));
    if (text.len > USER_FILE_BYTES_MAX || !encode_entries(&arena, buf_str(&text), &entries))
        return say(result_fd, USER_FILE_UNSAFE, status.st_uid,
                   str_from(arena_printf(&arena, "file %s has more than %d entries", file->path,
                                         (int)USER_FILE_ENTRIES_MAX)));
    return say(result_fd, USER_FILE_FOUND, status.st_uid, buf_str(&entries));
}

/* ---- in the role ---- */

static bool decode_entries(struct arena *arena, struct str bytes, struct user_file *file)
{
    file->entries = arena_new_array(arena, USER_FILE_ENTRIES_MAX, sizeof *file->entries);
    file->entry_count = 0;
    while (bytes.len > 0) {
        uint32_t len;
        if (bytes.len < sizeof len || file->entry_count == USER_FILE_ENTRIES_MAX)
            return false;
        memcpy(&len, bytes.ptr, sizeof len);
        bytes = str_skip(bytes, sizeof len);
        if (len == 0 || len > bytes.len)
            return false;
        file->entries[file->entry_count++] = arena_copy(arena, str_take(bytes, len));
        bytes = str_skip(bytes, len);
    }
    return true;
}

static enum user_file_outcome decode(struct arena *arena, struct str bytes, struct user_file *file)
{
    struct answer answer;

    file->reason = arena_printf(arena, "file %s could not be read", file->path);
    if (bytes.len < sizeof answer)
        return USER_FILE_FAILED;
    memcpy(&answer, bytes.ptr, sizeof answer);
    bytes = str_skip(bytes, sizeof answer);
    file->found_owner = answer.owner;
    switch (answer.outcome) {
    case USER_FILE_FOUND:
        return decode_entries(arena, bytes, file) ? USER_FILE_FOUND : USER_FILE_FAILED;
    case USER_FILE_ABSENT:
        return USER_FILE_ABSENT;
    case USER_FILE_UNSAFE:
    case USER_FILE_FAILED:
        file->reason = arena_text(arena, str_take(bytes, 500));
        return answer.outcome == USER_FILE_UNSAFE ? USER_FILE_UNSAFE : USER_FILE_FAILED;
    default:
        return USER_FILE_FAILED;
    }
}

enum user_file_outcome user_file_read(struct loop *loop, struct arena *arena,
                                      struct user_file *file)
{
    struct reading reading = { .file = file, .fd = -1 };
    struct child_work work = {
        .rights = file->reader,
        .as_root = file->is_opened_by_root ? open_as_root : NULL,
        .run = read_as_user,
        .argument = &reading,
        .limit_ms = LIMIT_MS,
        .output_bytes = OUTPUT_BYTES_MAX,
    };
    struct child_result result = { 0 };
    enum child_end end = child_run(loop, &work, &result);
    enum user_file_outcome outcome = USER_FILE_FAILED;

    if (end == CHILD_EXITED && result.status == 0)
        outcome = decode(arena, buf_str(&result.output), file);
    else
        file->reason = arena_printf(arena, "file %s could not be read", file->path);
    buf_free(&result.output);
    return outcome;
}
