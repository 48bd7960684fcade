/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/maildrop_file.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_BYTES_MAX = 32 };

bool maildrop_name_is_valid(struct str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!ascii_is_alnum(name.ptr[i]))
            return false;
    return name.len > 0 && name.len <= NAME_BYTES_MAX;
}

static enum maildrop_file_outcome bad(struct error *error, const char *text)
{
    error_set(error, "%s", text);
    return MAILDROP_FILE_BAD;
}

static enum maildrop_file_outcome failed(struct error *error, const char *what)
{
    error_errno(error, "%s", what);
    return MAILDROP_FILE_FAILED;
}

/* All of `room`, or less only at the end of the file; -1 with errno. */
static ssize_t read_at(int fd, char *bytes, size_t room, uint64_t offset)
{
    size_t done = 0;

    while (done < room) {
        ssize_t count = pread(fd, bytes + done, room - done, (off_t)(offset + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -1;
        if (count == 0)
            break;
        done += (size_t)count;
    }
    return (ssize_t)done;
}

static enum maildrop_file_outcome check_status(struct maildrop_file *file, struct error *error)
{
    struct stat status;

    if (fstat(file->fd, &status) < 0)
        return failed(error, "stat");
    if (!S_ISREG(status.st_mode) || status.st_nlink != 1)
        return bad(error, "it is no regular file with a single name");
    file->uid = status.st_uid;
    file->modified_s = status.st_mtim.tv_sec;

    uint64_t whole =
        MAILDROP_HEADER_BYTES + file->header.content_bytes + file->header.envelope_bytes;
    if (file->header.envelope_bytes > 0 && (uint64_t)status.st_size != whole)
        return bad(error, "its size is not what its header says");
    return MAILDROP_FILE_OK;
}

static enum maildrop_file_outcome read_header(struct maildrop_file *file, struct error *error)
{
    char bytes[MAILDROP_HEADER_BYTES];
    ssize_t count = read_at(file->fd, bytes, sizeof bytes, 0);

    if (count < 0)
        return failed(error, "read");
    if (!maildrop_header_decode(str_of(bytes, (size_t)count), &file->header, error))
        return MAILDROP_FILE_BAD;
    return check_status(file, error); /* again, now that the size is known */
}

static enum maildrop_file_outcome read_envelope(struct arena *arena, struct maildrop_file *file,
                                                struct error *error)
{
    size_t len = file->header.envelope_bytes;
    char *bytes = arena_new(arena, len + 1);
    ssize_t count =
        read_at(file->fd, bytes, len, MAILDROP_HEADER_BYTES + file->header.content_bytes);

    if (count < 0)
        return failed(error, "read");
    if ((size_t)count != len || maildrop_crc(0, str_of(bytes, len)) != file->header.envelope_crc)
        return bad(error, "its envelope fails the checksum");
    if (!maildrop_envelope_decode(arena, str_of(bytes, len), &file->envelope, error))
        return MAILDROP_FILE_BAD;
    return MAILDROP_FILE_OK;
}

enum maildrop_file_outcome maildrop_file_open(struct arena *arena, int folder_fd, const char *name,
                                              struct maildrop_file *file, struct error *error)
{
    *file = (struct maildrop_file){ .fd = -1 };
    file->fd = openat(folder_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file->fd < 0 && errno == ENOENT)
        return MAILDROP_FILE_GONE;
    if (file->fd < 0 && (errno == ELOOP || errno == ENXIO || errno == EACCES || errno == EPERM))
        return bad(error, "it cannot be opened as a regular file");
    if (file->fd < 0)
        return failed(error, "open");

    enum maildrop_file_outcome outcome = check_status(file, error);
    if (outcome == MAILDROP_FILE_OK)
        outcome = read_header(file, error);
    if (outcome == MAILDROP_FILE_OK)
        outcome = read_envelope(arena, file, error);
    if (outcome != MAILDROP_FILE_OK)
        maildrop_file_close(file);
    return outcome;
}

enum maildrop_file_outcome maildrop_file_read(struct maildrop_file *file, char *bytes, size_t room,
                                              size_t *count, struct error *error)
{
    uint64_t left = file->header.content_bytes - file->offset;

    *count = 0;
    if (left == 0)
        return file->crc == file->header.content_crc ? MAILDROP_FILE_OK
                                                     : bad(error, "its content fails the checksum");
    if (room > left)
        room = (size_t)left;
    ssize_t got = read_at(file->fd, bytes, room, MAILDROP_HEADER_BYTES + file->offset);
    if (got < 0)
        return failed(error, "read");
    if ((size_t)got != room)
        return bad(error, "its content is cut short");
    file->offset += room;
    file->crc = maildrop_crc(file->crc, str_of(bytes, room));
    *count = room;
    return MAILDROP_FILE_OK;
}

void maildrop_file_close(struct maildrop_file *file)
{
    fd_close(&file->fd);
}
