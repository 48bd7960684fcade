/* SPDX-License-Identifier: Apache-2.0 */
#include "tool.h"

#include "base/clock.h"
#include "base/file.h"
#include "mail/date.h"
#include "service/environment.h"
#include "service/mail_log.h"
#include "waypost_build.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

void tool_start(struct tool *tool, const char *name)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    fd_close(&fd);
    tzset();
    setvbuf(stdout, NULL, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF, 64 * 1024);
    *tool = (struct tool){ .name = name, .log_fd = -1 };
}

static void print(const struct tool *tool, enum severity severity, struct str text)
{
    struct log *log = log_new_stderr();
    struct log_context context = { log, str_from(tool->name) };

    log_write_text(&context, severity, text);
    log_free(&log);
}

__attribute__((format(printf, 3, 0))) static void print_arguments(const struct tool *tool,
                                                                  enum severity severity,
                                                                  const char *format,
                                                                  va_list arguments)
{
    autofree_buf struct buf text = { 0 };

    buf_vprintf(&text, format, arguments);
    print(tool, severity, buf_str(&text));
}

int tool_fail(const struct tool *tool, int status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_arguments(tool, SEVERITY_FATAL, format, arguments);
    va_end(arguments);
    return status;
}

void tool_warn(const struct tool *tool, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_arguments(tool, SEVERITY_WARNING, format, arguments);
    va_end(arguments);
}

int tool_usage(const struct tool *tool, const char *reason)
{
    return tool_fail(tool, EX_USAGE, "%s; see '%s --help'", reason, tool->name);
}

int tool_bad_option(const struct tool *tool, int option)
{
    return tool_fail(tool, EX_USAGE, "-%c is no option here or lacks its value; see '%s --help'",
                     option, tool->name);
}

int tool_next_option(struct tool *tool, int argc, char **argv, const char *letters)
{
    char *arguments_name = argc > 0 ? argv[0] : NULL;
    int option;

    if (argc == 0)
        return -1;
    argv[0] = (char *)(uintptr_t)tool->name; /* in front of what getopt says */
    do {
        option = getopt(argc, argv, letters);
        if (option == 'c')
            tool->folder = optarg;
        tool->is_verbose |= option == 'v';
    } while (option == 'c' || option == 'v');
    argv[0] = arguments_name;
    return option;
}

const char *tool_folder(const char *folder)
{
    const char *environment = getenv("MAIL_CONFIG");

    if (folder != NULL)
        return folder;
    return environment != NULL && environment[0] != '\0' ? environment : WAYPOST_CONFIG_DIRECTORY;
}

bool tool_configure(struct tool *tool, const char *folder)
{
    struct error error = { 0 };

    if (config_source_read(tool_folder(folder), NULL, NULL, &tool->source, &error))
        tool->config = config_new(&tool->source, NULL, NULL, NULL, &error);
    if (tool->config == NULL)
        tool_fail(tool, EX_CONFIG, "%s", error.message);
    else
        environment_enforce(tool->config);
    return tool->config != NULL;
}

void tool_end(struct tool *tool)
{
    fd_close(&tool->log_fd);
    config_free(&tool->config);
    config_source_free(&tool->source);
}

/* The log file is also ours to write to only where the operator may write to it. */
static void log_to_file(struct tool *tool, const char *tag, enum severity severity, struct str text)
{
    autofree_buf struct buf line = { 0 };
    struct utsname host;
    struct error error;

    if (tool->log_fd < 0)
        tool->log_fd = mail_log_open(tool->config, &error);
    if (tool->log_fd < 0 || uname(&host) < 0)
        return;
    date_format_syslog(clock_wall_ms() / 1000, &line);
    buf_printf(&line, " %.*s %s[%d]: %s", (int)strcspn(host.nodename, "."), host.nodename, tag,
               (int)getpid(), severity_word(severity));
    buf_append(&line, text);
    for (size_t i = 0; i < line.len; i++)
        if ((unsigned char)line.ptr[i] < ' ' || line.ptr[i] == 0x7f)
            line.ptr[i] = '?';
    buf_append_byte(&line, '\n');
    if (!fd_write_all(tool->log_fd, buf_str(&line), "the mail log", &error))
        return; /* standard error has the text, nobody waits for this copy */
}

static void log_to_syslog(const char *tag, enum severity severity, struct str text)
{
    static const int priorities[] = {
        [SEVERITY_INFO] = LOG_INFO,  [SEVERITY_WARNING] = LOG_WARNING, [SEVERITY_ERROR] = LOG_ERR,
        [SEVERITY_FATAL] = LOG_CRIT, [SEVERITY_PANIC] = LOG_CRIT,
    };

    openlog(tag, LOG_PID, LOG_MAIL);
    syslog(priorities[severity], "%s%.*s", severity_word(severity), STR_ARGS(text));
    closelog();
}

void tool_log(struct tool *tool, const char *tag, enum severity severity, struct str text)
{
    if (tool->config != NULL && !str_is_empty(tool->config->maillog_file))
        log_to_file(tool, tag, severity, text);
    else
        log_to_syslog(tag, severity, text);
}

static void note(struct tool *tool, enum severity severity, struct str text)
{
    struct arena scratch = { 0 };
    struct str syslog_name = tool->config != NULL ? tool->config->syslog_name : STR("postfix");

    print(tool, severity, text);
    tool_log(tool, arena_printf(&scratch, "%.*s/%s", STR_ARGS(syslog_name), tool->name), severity,
             text);
    arena_clear(&scratch);
}

void tool_note(struct tool *tool, struct str text)
{
    note(tool, SEVERITY_INFO, text);
}

void tool_note_warning(struct tool *tool, struct str text)
{
    note(tool, SEVERITY_WARNING, text);
}

int tool_flush_output(const struct tool *tool)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return tool_fail(tool, EX_IOERR, "cannot write to standard output");
    return EX_OK;
}
