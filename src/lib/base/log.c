/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/ensure.h"
#include "base/memory.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    DATAGRAM_BYTES = 60 * 1024, /* a batch leaves when it is this large */
    RING_BYTES = 1024 * 1024,   /* what may wait for a log role that does not keep up */
    TEXT_BYTES_MAX = 16 * 1024, /* of one line */
    TAG_BYTES_MAX = 255,
    LOST_TEXT_BYTES = 64,
};

/* In front of each record in a datagram; host byte order, both ends are this machine. */
struct record_header {
    int64_t wall_us;
    int32_t pid;
    uint16_t text_len;
    uint8_t severity;
    uint8_t tag_len;
};

/* `pending` holds whole records; none is ever split over two datagrams. */
struct log {
    int fd; /* -1: standard error */
    pid_t pid;
    struct buf pending;
    uint64_t lost_unsaid;
};

static struct log *log_new(int fd)
{
    struct log *log = memory_new(sizeof *log);

    log->fd = fd;
    log->pid = getpid();
    buf_init(&log->pending, RING_BYTES);
    return log;
}

struct log *log_new_socket(int fd)
{
    return log_new(fd);
}

struct log *log_new_stderr(void)
{
    return log_new(-1);
}

void log_free(struct log **log)
{
    if (*log == NULL)
        return;
    log_flush(*log);
    buf_free(&(*log)->pending);
    memory_free(*log);
    *log = NULL;
}

size_t log_pending_bytes(const struct log *log)
{
    return log->pending.len;
}

int log_fd(const struct log *log)
{
    return log->fd;
}

const char *severity_word(enum severity severity)
{
    switch (severity) {
    case SEVERITY_INFO:
        return "";
    case SEVERITY_WARNING:
        return "warning: ";
    case SEVERITY_ERROR:
        return "error: ";
    case SEVERITY_FATAL:
        return "fatal: ";
    case SEVERITY_PANIC:
        return "panic: ";
    }
    unreachable();
}

/* ---- neutralising ---- */

/* The length of the well-formed UTF-8 sequence at the start of `s` (RFC 3629), and its code point;
 * 0 where there is none. */
static size_t utf8_sequence(const unsigned char *s, size_t len, uint32_t *point)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t size = s[0] >= 0xf0 && s[0] < 0xf5   ? 4
                  : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
                  : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
                                                : 0;

    if (size == 0 || size > len)
        return 0;
    *point = s[0] & (0xffu >> (size + 1));
    for (size_t i = 1; i < size; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        *point = *point << 6 | (s[i] & 0x3f);
    }
    if (*point < least[size] || *point > 0x10ffff || (*point >= 0xd800 && *point < 0xe000))
        return 0;
    return size;
}

/* Line separators and what turns the direction of text, so that a line reads as it is. */
static bool is_deceiving(uint32_t point)
{
    return point < 0xa0 || point == 0x061c || (point >= 0x200e && point <= 0x200f) ||
           (point >= 0x2028 && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069);
}

/* In place: every byte that could do something to a terminal or a log parser becomes '?'. */
static void neutralise(char *text, size_t len)
{
    unsigned char *bytes = (unsigned char *)text;

    for (size_t i = 0; i < len;) {
        if (bytes[i] >= 0x20 && bytes[i] < 0x7f) {
            i++;
            continue;
        }
        uint32_t point;
        size_t size = bytes[i] >= 0x80 ? utf8_sequence(bytes + i, len - i, &point) : 0;
        if (size == 0 || is_deceiving(point)) {
            size = size > 0 ? size : 1;
            memset(bytes + i, '?', size);
        }
        i += size;
    }
}

/* ---- writing ---- */

static void write_stderr(struct str tag, enum severity severity, struct str text)
{
    autofree_buf struct buf line = { 0 };

    buf_append(&line, tag);
    buf_append_text(&line, ": ");
    buf_append_text(&line, severity_word(severity));
    size_t start = line.len;
    buf_append(&line, text);
    neutralise(line.ptr + start, line.len - start);
    buf_append_byte(&line, '\n');
    for (size_t at = 0; at < line.len;) {
        ssize_t count = write(STDERR_FILENO, line.ptr + at, line.len - at);
        if (count <= 0 && errno != EINTR)
            return;
        at += count > 0 ? (size_t)count : 0;
    }
}

/* A whole record or nothing. */
static bool append_record(struct log *log, struct str tag, enum severity severity, struct str text)
{
    tag = str_take(tag, TAG_BYTES_MAX);
    text = str_take(text, TEXT_BYTES_MAX);
    const struct record_header header = { .wall_us = clock_wall_us(),
                                          .pid = log->pid,
                                          .text_len = (uint16_t)text.len,
                                          .severity = (uint8_t)severity,
                                          .tag_len = (uint8_t)tag.len };
    size_t len = sizeof header + tag.len + text.len;
    char *room = buf_reserve(&log->pending, len);

    if (room == NULL) {
        log->pending.is_overflowed = false;
        return false;
    }
    memcpy(room, &header, sizeof header);
    if (tag.len > 0)
        memcpy(room + sizeof header, tag.ptr, tag.len);
    if (text.len > 0)
        memcpy(room + sizeof header + tag.len, text.ptr, text.len);
    neutralise(room + sizeof header, tag.len + text.len);
    buf_commit(&log->pending, len);
    return true;
}

/* Says how many lines are missing, at the place where they are missing. */
static void say_lost(struct log *log, struct str tag)
{
    char text[LOST_TEXT_BYTES];

    int len = snprintf(text, sizeof text, "%llu log lines of this process were lost here",
                       (unsigned long long)log->lost_unsaid);
    if (append_record(log, tag, SEVERITY_WARNING, str_of(text, (size_t)len)))
        log->lost_unsaid = 0;
}

void log_write_text(const struct log_context *context, enum severity severity, struct str text)
{
    struct log *log = context->log;

    if (log->fd < 0) {
        write_stderr(context->tag, severity, text);
        return;
    }
    if (log->lost_unsaid > 0 && log->pending.len < RING_BYTES / 2)
        say_lost(log, context->tag);
    size_t halves = log->pending.len / (DATAGRAM_BYTES / 2);
    if (!append_record(log, context->tag, severity, text))
        log->lost_unsaid++;
    /* Once for each half datagram: no system call for every line while the log role is behind. */
    if (log->pending.len / (DATAGRAM_BYTES / 2) > halves)
        log_flush(log);
}

void log_vwrite(const struct log_context *context, enum severity severity, const char *format,
                va_list arguments)
{
    autofree_buf struct buf text = { 0 };

    buf_vprintf(&text, format, arguments);
    log_write_text(context, severity, buf_str(&text));
}

void log_write(const struct log_context *context, enum severity severity, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    log_vwrite(context, severity, format, arguments);
    va_end(arguments);
}

/* ---- sending ---- */

static size_t record_len(const char *record)
{
    struct record_header header;

    memcpy(&header, record, sizeof header);
    return sizeof header + header.tag_len + header.text_len;
}

/* As many whole records from `at` on as fit in a datagram. */
static size_t batch_len(const struct log *log, size_t at)
{
    size_t len = 0;

    while (at + len < log->pending.len) {
        size_t next = record_len(log->pending.ptr + at + len);
        if (len > 0 && len + next > DATAGRAM_BYTES)
            break;
        len += next;
    }
    return len;
}

bool log_flush(struct log *log)
{
    size_t sent = 0;

    if (log->fd < 0 || log->pending.len == 0)
        return true;
    while (sent < log->pending.len) {
        size_t len = batch_len(log, sent);
        ssize_t count = send(log->fd, log->pending.ptr + sent, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            break;
        sent += len;
    }
    buf_consume(&log->pending, sent);
    return log->pending.len == 0;
}

bool log_record_parse(struct str *datagram, struct log_record *record)
{
    struct record_header header;

    if (datagram->len < sizeof header)
        return false;
    memcpy(&header, datagram->ptr, sizeof header);
    if (datagram->len < sizeof header + header.tag_len + header.text_len ||
        header.severity > SEVERITY_PANIC || header.pid < 0)
        return false;
    *datagram = str_skip(*datagram, sizeof header);
    record->severity = (enum severity)header.severity;
    record->wall_us = header.wall_us;
    record->pid = header.pid;
    record->tag = str_take(*datagram, header.tag_len);
    *datagram = str_skip(*datagram, header.tag_len);
    record->text = str_take(*datagram, header.text_len);
    *datagram = str_skip(*datagram, header.text_len);
    return true;
}
