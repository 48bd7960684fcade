/* SPDX-License-Identifier: Apache-2.0 */
/* postlog: writes lines to the mail log, for scripts. */
#include "commands.h"
#include "tool.h"

#include <stdlib.h>
#include <unistd.h>

const char postlog_help[] =
    "usage: postlog [-iv] [-c config_dir] [-p priority] [-t tag] [text ...]\n"
    "\n"
    "The text, or without one each line of standard input, goes to maillog_file or syslog; to a\n"
    "terminal on standard error too.\n"
    "\n"
    "  -p PRIORITY  info (the default), warn, error, fatal or panic\n"
    "  -t TAG       the tag in front instead of the default\n"
    "  -i           accepted: the process id is always shown\n"
    "  -c DIR       use the configuration in DIR\n"
    "  -v           accepted, does nothing\n"
    "  --help       show this text\n"
    "  --version    show the version\n";

static bool severity_parse(const char *text, enum severity *severity)
{
    static const struct {
        struct str name;
        enum severity severity;
    } names[] = {
        { STR_INIT("info"), SEVERITY_INFO },       { STR_INIT("warn"), SEVERITY_WARNING },
        { STR_INIT("warning"), SEVERITY_WARNING }, { STR_INIT("error"), SEVERITY_ERROR },
        { STR_INIT("fatal"), SEVERITY_FATAL },     { STR_INIT("panic"), SEVERITY_PANIC },
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (str_equal_fold(str_from(text), names[i].name)) {
            *severity = names[i].severity;
            return true;
        }
    }
    return false;
}

static void log_text(struct tool *tool, const char *tag, enum severity severity, struct str text)
{
    tool_log(tool, tag, severity, text);
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "%s: %s%.*s\n", tag, severity_word(severity), STR_ARGS(text));
}

static void log_input(struct tool *tool, const char *tag, enum severity severity)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t len;

    while ((len = getline(&line, &capacity, stdin)) > 0)
        log_text(tool, tag, severity, str_trim_end(str_of(line, (size_t)len)));
    free(line);
}

static void log_arguments(struct tool *tool, const char *tag, enum severity severity, int count,
                          char **words)
{
    autofree_buf struct buf text = { 0 };

    for (int i = 0; i < count; i++)
        buf_printf(&text, "%s%s", i > 0 ? " " : "", words[i]);
    log_text(tool, tag, severity, buf_str(&text));
}

int postlog_main(int argc, char **argv)
{
    const char *folder = NULL, *tag = NULL;
    enum severity severity = SEVERITY_INFO;
    struct arena scratch = { 0 };
    struct tool tool;
    int option;

    tool_start(&tool, "postlog");
    opterr = 0;
    while (argc > 0 && (option = getopt(argc, argv, "+c:ip:t:v")) != -1) {
        if (option == 'c')
            folder = optarg;
        else if (option == 't')
            tag = optarg;
        else if (option == 'p' && !severity_parse(optarg, &severity))
            return tool_fail(&tool, EX_USAGE,
                             "invalid severity: \"%.100s\"; it is info, warn, "
                             "error, fatal or panic",
                             optarg);
        else if (option == '?')
            return tool_bad_option(&tool, optopt);
    }
    if (!tool_configure(&tool, folder))
        return EX_CONFIG;
    if (tag == NULL)
        tag = arena_printf(&scratch, "%.*s/postlog", STR_ARGS(tool.config->syslog_name));
    if (optind < argc)
        log_arguments(&tool, tag, severity, argc - optind, argv + optind);
    else
        log_input(&tool, tag, severity);
    arena_clear(&scratch);
    tool_end(&tool);
    return EX_OK;
}
