/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where log lines go. A role's lines travel to the log role as datagrams: lines gather in memory
 * and leave together when the loop is about to sleep (log_flush), so a line costs no system call
 * of its own. Logging never blocks: when the log role does not keep up, lines wait in a bounded
 * ring, and past its bound they are dropped and counted; the count is logged when there is room.
 * A tool logs to standard error.
 *
 * Every byte outside printable ASCII and well-formed UTF-8 becomes '?' before it leaves, as do
 * control characters (C0, DEL, C1), U+2028/2029 and bidirectional controls.
 */
#pragma once

#include "base/str.h"

#include <stdarg.h>
#include <sys/types.h>

enum severity {
    SEVERITY_INFO,    /* no word in front, as Postfix */
    SEVERITY_WARNING, /* "warning: " */
    SEVERITY_ERROR,   /* "error: " */
    SEVERITY_FATAL,   /* "fatal: " */
    SEVERITY_PANIC,   /* "panic: " */
};

struct log;

/* A role: `fd` is its (non-blocking) end of the log role's datagram socket. */
struct log *log_new_socket(int fd);
/* A tool, or a process without a log role: "tag: text" lines to standard error, unbuffered. */
struct log *log_new_stderr(void);
void log_free(struct log **log); /* flushes as far as that is possible without blocking */

/* Who speaks: the log tag that Postfix would show in front of [pid], "postfix/smtpd"; the text
 * must outlive the context. Lines are complete by construction because every call takes one. */
struct log_context {
    struct log *log;
    struct str tag;
};

__attribute__((format(printf, 3, 4))) void
log_write(const struct log_context *context, enum severity severity, const char *format, ...);
__attribute__((format(printf, 3, 0))) void log_vwrite(const struct log_context *context,
                                                      enum severity severity, const char *format,
                                                      va_list arguments);
/* A line that is complete already (mail/log_line.c builds those without printf). */
void log_write_text(const struct log_context *context, enum severity severity, struct str text);

#define log_info(context, ...)    log_write((context), SEVERITY_INFO, __VA_ARGS__)
#define log_warning(context, ...) log_write((context), SEVERITY_WARNING, __VA_ARGS__)
#define log_error(context, ...)   log_write((context), SEVERITY_ERROR, __VA_ARGS__)
#define log_fatal(context, ...)   log_write((context), SEVERITY_FATAL, __VA_ARGS__)

/* How many bytes of records wait; what a role's skeleton lets gather before it flushes. */
size_t log_pending_bytes(const struct log *log);
/* Sends what waits; true when nothing is left. Otherwise call again when the socket is writable. */
bool log_flush(struct log *log);
int log_fd(const struct log *log); /* -1 for standard error */

/* One record as the log role receives it; a datagram carries a run of them. */
struct log_record {
    enum severity severity;
    int64_t wall_us; /* when it was written */
    pid_t pid;
    struct str tag;
    struct str text; /* neutralised by the writer; the log role does it again, trusting nobody */
};
/* Takes the next record off `*datagram`; false at its end or where it is malformed. The record
 * borrows from the datagram. */
bool log_record_parse(struct str *datagram, struct log_record *record);
/* "warning: " and so on; "" for SEVERITY_INFO. */
const char *severity_word(enum severity severity);
