/* SPDX-License-Identifier: Apache-2.0 */
#include "sink.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "base/file.h"
#include "base/memory.h"
#include "service/mail_log.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum {
    PENDING_BYTES_MAX = 1024 * 1024, /* lines that neither file nor logger took yet */
    RETRY_MS = 200,
    HOST_NAME_BYTES = 256,
};

static const char system_logger[] = "/dev/log";

struct sink {
    struct loop *loop;
    int fd; /* the file, or the connected socket; -1 while there is no logger */
    bool is_file;
    int facility;
    char host[HOST_NAME_BYTES];
    struct buf pending; /* a file's bytes; or frames for the logger: u32 length, bytes */
    struct timer retry;
    uint64_t lost, lost_unsaid;
    int64_t stamp_s; /* the second that `stamp` was made for */
    char stamp[32];
};

static const struct {
    const char *name;
    int facility;
} facilities[] = {
    { "mail", LOG_MAIL },     { "daemon", LOG_DAEMON },     { "user", LOG_USER },
    { "auth", LOG_AUTH },     { "authpriv", LOG_AUTHPRIV }, { "cron", LOG_CRON },
    { "news", LOG_NEWS },     { "uucp", LOG_UUCP },         { "syslog", LOG_SYSLOG },
    { "lpr", LOG_LPR },       { "kern", LOG_KERN },         { "ftp", LOG_FTP },
    { "local0", LOG_LOCAL0 }, { "local1", LOG_LOCAL1 },     { "local2", LOG_LOCAL2 },
    { "local3", LOG_LOCAL3 }, { "local4", LOG_LOCAL4 },     { "local5", LOG_LOCAL5 },
    { "local6", LOG_LOCAL6 }, { "local7", LOG_LOCAL7 },
};

static bool find_facility(struct str name, int *facility, struct error *error)
{
    for (size_t i = 0; i < sizeof facilities / sizeof *facilities; i++)
        if (str_equal_fold(name, str_from(facilities[i].name))) {
            *facility = facilities[i].facility;
            return true;
        }
    return error_set(error, "syslog_facility: there is no facility \"%.*s\"", STR_ARGS(name));
}

static int syslog_level(enum severity severity)
{
    switch (severity) {
    case SEVERITY_INFO:
        return LOG_INFO;
    case SEVERITY_WARNING:
        return LOG_WARNING;
    case SEVERITY_ERROR:
        return LOG_ERR;
    case SEVERITY_FATAL:
    case SEVERITY_PANIC:
        return LOG_CRIT;
    }
    unreachable();
}

static bool open_file(struct sink *sink, const struct config *config, struct error *error)
{
    sink->is_file = true;
    sink->fd = mail_log_open(config, error);
    return sink->fd >= 0;
}

/* Also after the logger was restarted. Without one the lines wait. */
static void connect_logger(struct sink *sink)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    autoclose int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    memcpy(address.sun_path, system_logger, sizeof system_logger);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        sink->fd = fd_take(&fd);
}

struct sink *sink_new(struct loop *loop, const struct config *config, struct error *error)
{
    struct sink *sink = memory_new(sizeof *sink);

    sink->loop = loop;
    sink->fd = -1;
    buf_init(&sink->pending, PENDING_BYTES_MAX);
    gethostname(sink->host, sizeof sink->host - 1);
    bool is_open = find_facility(config->syslog_facility, &sink->facility, error);
    if (is_open && config->maillog_file.len > 0)
        is_open = open_file(sink, config, error);
    else if (is_open)
        connect_logger(sink);
    if (!is_open)
        sink_free(&sink);
    return sink;
}

void sink_free(struct sink **sink)
{
    if (*sink == NULL)
        return;
    timer_clear((*sink)->loop, &(*sink)->retry);
    buf_free(&(*sink)->pending);
    fd_close(&(*sink)->fd);
    memory_free(*sink);
    *sink = NULL;
}

/* "Nov  2 07:05:09", the same for all lines of a second. */
static const char *stamp(struct sink *sink, int64_t wall_us)
{
    time_t now_s = (time_t)(wall_us / 1000000);
    struct tm local;

    if (sink->stamp_s != (int64_t)now_s || sink->stamp[0] == '\0') {
        localtime_r(&now_s, &local);
        strftime(sink->stamp, sizeof sink->stamp, "%b %e %H:%M:%S", &local);
        sink->stamp_s = (int64_t)now_s;
    }
    return sink->stamp;
}

static void append_tail(struct buf *out, const struct log_record *record)
{
    buf_append(out, record->tag);
    buf_append_byte(out, '[');
    buf_append_u64(out, (uint64_t)record->pid);
    buf_append_text(out, "]: ");
    buf_append_text(out, severity_word(record->severity));
    for (size_t i = 0; i < record->text.len; i++)
        buf_append_byte(out, (unsigned char)record->text.ptr[i] < 0x20 ? '?' : record->text.ptr[i]);
}

static void append_file_line(struct sink *sink, const struct log_record *record)
{
    struct buf *out = &sink->pending;

    buf_append_text(out, stamp(sink, record->wall_us));
    buf_append_byte(out, ' ');
    buf_append_text(out, sink->host);
    buf_append_byte(out, ' ');
    append_tail(out, record);
    buf_append_byte(out, '\n');
}

static void append_frame(struct sink *sink, const struct log_record *record)
{
    struct buf *out = &sink->pending;
    size_t start = out->len;
    uint32_t len = 0;

    buf_append(out, str_of((const char *)&len, sizeof len));
    buf_printf(out, "<%d>%s ", sink->facility | syslog_level(record->severity),
               stamp(sink, record->wall_us));
    append_tail(out, record);
    if (out->is_overflowed)
        return;
    len = (uint32_t)(out->len - start - sizeof len);
    memcpy(out->ptr + start, &len, sizeof len);
}

/* Whole lines or nothing: what overflowed is taken back. */
static bool append(struct sink *sink, const struct log_record *record)
{
    size_t before = sink->pending.len;

    if (sink->is_file)
        append_file_line(sink, record);
    else
        append_frame(sink, record);
    if (!sink->pending.is_overflowed)
        return true;
    buf_truncate(&sink->pending, before);
    sink->pending.is_overflowed = false;
    return false;
}

void sink_write(struct sink *sink, const struct log_record *record)
{
    if (append(sink, record))
        return;
    sink->lost++;
    sink->lost_unsaid++;
}

/* Says how many lines are missing, at the place where they are missing. */
static void say_lost(struct sink *sink)
{
    char text[64];

    if (sink->lost_unsaid == 0 || sink->pending.len > PENDING_BYTES_MAX / 2)
        return;
    snprintf(text, sizeof text, "%llu log lines were lost here",
             (unsigned long long)sink->lost_unsaid);
    const struct log_record record = { .severity = SEVERITY_WARNING,
                                       .wall_us = clock_wall_us(),
                                       .pid = getpid(),
                                       .tag = STR("postfix/log"),
                                       .text = str_from(text) };
    if (append(sink, &record))
        sink->lost_unsaid = 0;
}

static void retry_due(struct timer *timer)
{
    sink_flush(list_entry(timer, struct sink, retry));
}

static void retry_later(struct sink *sink)
{
    timer_set(sink->loop, &sink->retry, clock_monotonic_ms() + RETRY_MS, retry_due);
}

static void flush_file(struct sink *sink)
{
    ssize_t count = write(sink->fd, sink->pending.ptr, sink->pending.len);

    if (count > 0)
        buf_consume(&sink->pending, (size_t)count);
    if (sink->pending.len > 0)
        retry_later(sink);
}

/* One line; false when the logger does not take it now. */
static bool send_frame(struct sink *sink, struct str frame)
{
    if (send(sink->fd, frame.ptr, frame.len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        return true;
    if (errno == EMSGSIZE) {
        sink->lost++;
        sink->lost_unsaid++;
        return true;
    }
    if (errno != EAGAIN && errno != ENOBUFS && errno != EINTR)
        fd_close(&sink->fd); /* the logger went away: connect again */
    return false;
}

static void flush_logger(struct sink *sink)
{
    struct str rest = buf_str(&sink->pending);

    while (rest.len > 0) {
        uint32_t len;
        if (sink->fd < 0)
            connect_logger(sink);
        if (sink->fd < 0)
            break;
        memcpy(&len, rest.ptr, sizeof len);
        if (!send_frame(sink, str_of(rest.ptr + sizeof len, len)))
            break;
        rest = str_skip(rest, sizeof len + len);
    }
    buf_consume(&sink->pending, sink->pending.len - rest.len);
    if (rest.len > 0)
        retry_later(sink);
}

void sink_flush(struct sink *sink)
{
    say_lost(sink);
    if (sink->pending.len == 0)
        return;
    if (sink->is_file)
        flush_file(sink);
    else
        flush_logger(sink);
}

uint64_t sink_lost_count(const struct sink *sink)
{
    return sink->lost;
}
