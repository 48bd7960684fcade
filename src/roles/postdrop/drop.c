/* SPDX-License-Identifier: Apache-2.0 */
#include "drop.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "mail/maildrop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* The input as it comes: what the envelope and the checksums are made from. */
struct intake {
    struct drop *drop;
    int fd;
    uint64_t content_bytes;
    uint32_t content_crc;
    struct buf envelope;
    bool has_envelope;
};

static enum drop_outcome refused(struct error *error, const char *text)
{
    error_set(error, "%s", text);
    return DROP_REFUSED;
}

static bool drop_names(struct drop *drop, struct error *error)
{
    unsigned random;
    unsigned long long now_us = (unsigned long long)clock_wall_us();

    if (getrandom(&random, sizeof random, 0) != sizeof random)
        return error_errno(error, "get random bytes");
    /* Short enough for mailq's column, and in order of time. Two in the same microsecond: the
     * draft is created exclusively and the rename does not replace. */
    snprintf(drop->final, sizeof drop->final, "%013llX%03X", now_us, random & 0xfff);
    drop->draft[0] = '.';
    memcpy(drop->draft + 1, drop->final, sizeof drop->final);
    return true;
}

enum drop_outcome drop_open(struct drop *drop, const char *folder, uint64_t size_limit_bytes,
                            struct error *error)
{
    *drop = (struct drop){ .folder_fd = -1, .fd = -1, .size_limit_bytes = size_limit_bytes };
    if (!drop_names(drop, error))
        return DROP_TRY_AGAIN;
    drop->folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (drop->folder_fd < 0) {
        error_errno(error, "open the folder %s (run 'postfix check' as root)", folder);
        return DROP_TRY_AGAIN;
    }
    drop->fd = openat(drop->folder_fd, drop->draft,
                      O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (drop->fd < 0) {
        error_errno(error, "create a file in %s (is postdrop set-group-id? see 'make install')",
                    folder);
        return DROP_TRY_AGAIN;
    }
    return DROP_OK;
}

void drop_remove(const struct drop *drop)
{
    /* Not asked of drop->fd: a signal may come between the file's creation and its assignment. */
    if (drop->folder_fd >= 0)
        unlinkat(drop->folder_fd, drop->draft, 0);
}

/* The most that could be read before the end of the stream, or -1 with errno. */
static ssize_t read_fully(int fd, char *bytes, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t count = read(fd, bytes + done, len - done);
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

static enum drop_outcome cut_off(ssize_t count, struct error *error)
{
    if (count < 0)
        error_errno(error, "read the message");
    else
        error_set(error, "the message ended too early; nothing was queued");
    return DROP_TRY_AGAIN;
}

static enum drop_outcome take_content(struct intake *intake, uint32_t len, struct error *error)
{
    struct drop *drop = intake->drop;
    char piece[16384];

    intake->content_bytes += len;
    if (drop->size_limit_bytes > 0 && intake->content_bytes > drop->size_limit_bytes)
        return refused(error, "message file too big (see message_size_limit)");
    while (len > 0) {
        size_t wanted = len < sizeof piece ? len : sizeof piece;
        ssize_t count = read_fully(intake->fd, piece, wanted);
        if (count != (ssize_t)wanted)
            return cut_off(count, error);
        struct str bytes = str_of(piece, wanted);
        intake->content_crc = maildrop_crc(intake->content_crc, bytes);
        if (!fd_write_all(drop->fd, bytes, "the message", error))
            return DROP_TRY_AGAIN;
        len -= (uint32_t)wanted;
    }
    return DROP_OK;
}

static enum drop_outcome take_envelope(struct intake *intake, uint32_t len, struct error *error)
{
    char *room = buf_reserve(&intake->envelope, len);
    ssize_t count = read_fully(intake->fd, room, len);

    if (count != (ssize_t)len)
        return cut_off(count, error);
    buf_commit(&intake->envelope, len);
    intake->has_envelope = true;

    struct maildrop_envelope envelope;
    struct arena arena = { 0 };
    bool is_good = maildrop_envelope_decode(&arena, buf_str(&intake->envelope), &envelope, error);
    arena_clear(&arena);
    return is_good ? DROP_OK : DROP_REFUSED;
}

static enum drop_outcome take_frames(struct intake *intake, struct error *error)
{
    for (;;) {
        char bytes[MAILDROP_FRAME_HEADER_BYTES];
        enum maildrop_frame_kind kind;
        uint32_t len;
        ssize_t count = read_fully(intake->fd, bytes, sizeof bytes);

        if (count == 0 && intake->has_envelope)
            return DROP_OK;
        if (count != sizeof bytes)
            return cut_off(count, error);
        if (!maildrop_frame_header_decode(str_of(bytes, sizeof bytes), &kind, &len) ||
            intake->has_envelope)
            return refused(error, "malformed input; this program is meant to be run by sendmail");
        enum drop_outcome outcome = kind == MAILDROP_FRAME_CONTENT
                                        ? take_content(intake, len, error)
                                        : take_envelope(intake, len, error);
        if (outcome != DROP_OK)
            return outcome;
    }
}

static enum drop_outcome write_header(const struct intake *intake, struct error *error)
{
    int fd = intake->drop->fd;
    unsigned char bytes[MAILDROP_HEADER_BYTES];
    struct str envelope = buf_str(&intake->envelope);
    struct maildrop_header header = {
        .content_bytes = intake->content_bytes,
        .envelope_bytes = (uint32_t)envelope.len,
        .content_crc = intake->content_crc,
        .envelope_crc = maildrop_crc(0, envelope),
    };

    if (!fd_write_all(fd, envelope, "the envelope", error))
        return DROP_TRY_AGAIN;
    maildrop_header_encode(&header, bytes);
    if (lseek(fd, 0, SEEK_SET) < 0 ||
        !fd_write_all(fd, str_of((const char *)bytes, sizeof bytes), "the header", error))
        return DROP_TRY_AGAIN;
    return DROP_OK;
}

enum drop_outcome drop_receive(struct drop *drop, int fd, struct error *error)
{
    struct intake intake = { .drop = drop, .fd = fd };
    enum drop_outcome outcome;

    if (lseek(drop->fd, MAILDROP_HEADER_BYTES, SEEK_SET) < 0) {
        error_errno(error, "seek in the message");
        return DROP_TRY_AGAIN;
    }
    outcome = take_frames(&intake, error);
    if (outcome == DROP_OK)
        outcome = write_header(&intake, error);
    buf_free(&intake.envelope);
    return outcome;
}

static bool rename_exclusively(const struct drop *drop, struct error *error)
{
    if (renameat2(drop->folder_fd, drop->draft, drop->folder_fd, drop->final, RENAME_NOREPLACE) ==
        0)
        return true;
    if (errno == EINVAL || errno == ENOSYS) /* this file system does not know the flag */
        if (renameat(drop->folder_fd, drop->draft, drop->folder_fd, drop->final) == 0)
            return true;
    return error_errno(error, "rename the message");
}

static bool folder_sync(const struct drop *drop, struct error *error)
{
    autoclose int fd = openat(drop->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0)
        return fd_sync(fd, "the maildrop", error);
    /* The group may not list a maildrop with Postfix's rights (1730), and so cannot open it to
     * sync it. syncfs on the file does more than is needed, and suffices. */
    if (syncfs(drop->fd) < 0)
        return error_errno(error, "sync the maildrop");
    return true;
}

enum drop_outcome drop_finish(struct drop *drop, struct error *error)
{
    /* Readable by the pickup role, which owns the folder but not the file; nobody else gets into
     * the folder. */
    if (fchmod(drop->fd, 0444) < 0) {
        error_errno(error, "change the message's mode");
        return DROP_TRY_AGAIN;
    }
    if (!fd_sync(drop->fd, "the message", error))
        return DROP_TRY_AGAIN;
    if (!rename_exclusively(drop, error))
        return DROP_TRY_AGAIN;
    if (!folder_sync(drop, error)) {
        unlinkat(drop->folder_fd, drop->final, 0);
        return DROP_TRY_AGAIN;
    }
    return DROP_OK;
}
