/* SPDX-License-Identifier: Apache-2.0 */
#include "write_log.h"

#include "base/ensure.h"
#include "base/file.h"
#include "base/memory.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FILES_MAX = 64, FILE_BYTES_MAX = 64 << 20 };

struct known_file {
    dev_t device;
    ino_t inode;
    uint64_t size;
};

/* The interposed functions have no argument to carry this. */
static struct {
    bool is_on;
    char folder[128];
    struct write_log_entry *entries;
    size_t count, first;
    struct known_file files[FILES_MAX];
    size_t file_count;
    struct write_log_name names[FILES_MAX];
    size_t name_count;
} record;

static struct write_log_entry *add(enum write_log_kind kind, size_t file)
{
    record.entries = memory_resize(record.entries, (record.count + 1) * sizeof *record.entries);
    struct write_log_entry *entry = &record.entries[record.count++];
    *entry = (struct write_log_entry){ .kind = kind, .file = file };
    return entry;
}

/* ---- what is below the folder ---- */

static size_t find_file(const struct stat *status)
{
    size_t i = 0;

    while (i < record.file_count &&
           (record.files[i].device != status->st_dev || record.files[i].inode != status->st_ino))
        i++;
    return i;
}

static int file_number(const struct stat *status)
{
    size_t i = find_file(status);

    if (i == record.file_count) {
        ensure(i < FILES_MAX);
        record.files[record.file_count++] =
            (struct known_file){ status->st_dev, status->st_ino, 0 };
    }
    return (int)i;
}

struct look {
    struct write_log_name names[FILES_MAX];
    size_t count;
};

static void look_into(struct look *look, const char *below)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", record.folder, below);
    DIR *folder = opendir(path);
    if (folder == NULL)
        return;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        struct write_log_name *name = &look->names[look->count];
        struct stat status;

        if (entry->d_name[0] == '.' || fstatat(dirfd(folder), entry->d_name, &status, 0) < 0)
            continue;
        ensure(++look->count < FILES_MAX);
        int len = snprintf(name->path, sizeof name->path, "%s%s%s", below,
                           below[0] != '\0' ? "/" : "", entry->d_name);
        ensure(len > 0 && (size_t)len < sizeof name->path);
        name->file = S_ISDIR(status.st_mode) ? WRITE_LOG_FOLDER : file_number(&status);
        if (name->file == WRITE_LOG_FOLDER) {
            look_into(look, name->path);
        } else if (record.files[name->file].size != (uint64_t)status.st_size) {
            record.files[name->file].size = (uint64_t)status.st_size;
            add(LOG_SIZE, (size_t)name->file)->size = (uint64_t)status.st_size;
        }
    }
    closedir(folder);
}

static bool is_same(const struct look *look)
{
    if (look->count != record.name_count)
        return false;
    for (size_t i = 0; i < look->count; i++)
        if (look->names[i].file != record.names[i].file ||
            strcmp(look->names[i].path, record.names[i].path) != 0)
            return false;
    return true;
}

/* Notes what changed by other ways than through the functions below. */
static void look_around(void)
{
    struct look look = { 0 };

    look_into(&look, "");
    if (is_same(&look))
        return;
    memcpy(record.names, look.names, sizeof look.names);
    record.name_count = look.count;
    struct write_log_entry *entry = add(LOG_NAMES, 0);
    entry->names = memory_new_array(look.count + 1, sizeof *look.names);
    memcpy(entry->names, look.names, look.count * sizeof *look.names);
    entry->name_count = look.count;
}

/* The file behind a descriptor; -1: none of ours. */
static int file_of(int fd)
{
    struct stat status;

    if (!record.is_on)
        return -1;
    look_around();
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return -1;
    size_t file = find_file(&status);
    return file < record.file_count ? (int)file : -1;
}

/* ---- the calls ---- */

static void note_write(int fd, size_t file, struct str bytes, uint64_t offset)
{
    struct write_log_entry *entry = add(LOG_WRITE, file);
    uint64_t end = offset + bytes.len;

    entry->offset = offset;
    entry->is_synchronous = (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
    buf_append(&entry->bytes, bytes);
    if (end > record.files[file].size)
        record.files[file].size = end;
}

/* By their linker names: <unistd.h> turns a `pwrite` of ours into pwrite64. */
ssize_t logged_pwrite(int fd, const void *bytes, size_t len, off_t offset) __asm__("pwrite");

ssize_t logged_pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    int file = file_of(fd);

    if (file >= 0)
        note_write(fd, (size_t)file, str_of(bytes, len), (uint64_t)offset);
    ssize_t written = syscall(SYS_pwrite64, fd, bytes, len, offset);
    if (file >= 0 && record.entries[record.count - 1].is_synchronous)
        add(LOG_FLUSH_WRITE, (size_t)file);
    return written;
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    int file = file_of(fd);

    if (file >= 0)
        note_write(fd, (size_t)file, str_of(bytes, len), (uint64_t)lseek(fd, 0, SEEK_CUR));
    return syscall(SYS_write, fd, bytes, len);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    int file = file_of(fd);
    struct buf whole = { 0 };

    for (int i = 0; file >= 0 && i < count; i++)
        buf_append(&whole, str_of(parts[i].iov_base, parts[i].iov_len));
    if (file >= 0)
        note_write(fd, (size_t)file, buf_str(&whole), (uint64_t)lseek(fd, 0, SEEK_CUR));
    buf_free(&whole);
    return syscall(SYS_writev, fd, parts, (long)count);
}

int fdatasync(int fd)
{
    int file = file_of(fd);

    if (file >= 0)
        add(LOG_FLUSH, (size_t)file);
    return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    int file = file_of(fd);
    struct stat status;

    if (file >= 0)
        add(LOG_FLUSH, (size_t)file);
    else if (record.is_on && fstat(fd, &status) == 0 && S_ISDIR(status.st_mode))
        add(LOG_FLUSH_NAMES, 0);
    return (int)syscall(SYS_fsync, fd);
}

static int after_change(long code)
{
    if (record.is_on)
        look_around();
    return (int)code;
}

int rename(const char *from, const char *to)
{
    return after_change(syscall(SYS_rename, from, to));
}

int link(const char *from, const char *to)
{
    return after_change(syscall(SYS_link, from, to));
}

int unlink(const char *path)
{
    return after_change(syscall(SYS_unlink, path));
}

int mkdir(const char *path, mode_t mode)
{
    return after_change(syscall(SYS_mkdir, path, mode));
}

int rmdir(const char *path)
{
    return after_change(syscall(SYS_rmdir, path));
}

/* ---- the record ---- */

static void note_contents(const struct write_log_name *name)
{
    char path[256];
    struct buf contents = { 0 };
    struct error error;

    if (name->file == WRITE_LOG_FOLDER)
        return;
    snprintf(path, sizeof path, "%s/%s", record.folder, name->path);
    ensure(file_read(path, FILE_BYTES_MAX, &contents, &error));
    add(LOG_WRITE, (size_t)name->file)->bytes = contents;
    add(LOG_FLUSH, (size_t)name->file);
}

void write_log_start(const char *folder)
{
    snprintf(record.folder, sizeof record.folder, "%s", folder);
    look_around();
    for (size_t i = 0; i < record.name_count; i++)
        note_contents(&record.names[i]);
    add(LOG_FLUSH_NAMES, 0);
    record.first = record.count;
    record.is_on = true;
}

size_t write_log_first(void)
{
    return record.first;
}

void write_log_mark(size_t mark)
{
    add(LOG_MARK, 0)->mark = mark;
}

void write_log_stop(void)
{
    record.is_on = false;
}

size_t write_log_count(void)
{
    return record.count;
}

size_t write_log_file_count(void)
{
    return record.file_count;
}

const struct write_log_entry *write_log_at(size_t index)
{
    return &record.entries[index];
}

void write_log_free(void)
{
    for (size_t i = 0; i < record.count; i++) {
        buf_free(&record.entries[i].bytes);
        memory_free(record.entries[i].names);
    }
    memory_free(record.entries);
    memset(&record, 0, sizeof record);
}
