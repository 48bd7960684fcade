/* SPDX-License-Identifier: Apache-2.0 */
/*
 * waypost check [--json]: what in the configuration is wrong, dead, or not what it seems. Nothing
 * is changed, nothing is started, nobody outside is asked.
 */
#include "check.h"
#include "commands.h"
#include "tool.h"

#include "mail/json.h"

#include <getopt.h>

enum { EXIT_CLEAN = 0, EXIT_WARNINGS = 1, EXIT_ERRORS = 2 };

const char check_help[] =
    "usage: waypost check [--json] [-c config_directory]\n"
    "\n"
    "Reads the configuration and says what in it cannot work, never counts, or does\n"
    "something else than it seems to; each time with what to do about it.\n"
    "\n"
    "options:\n"
    "  --json      one object for each finding, one to a line\n"
    "  -c DIR      the configuration directory\n"
    "\n"
    "exit status: 0 nothing but hints, 1 warnings, 2 errors (mail does not flow, or flows\n"
    "for strangers), 78 the configuration cannot be read, and nothing starts with it\n";

static void print_text(struct check *check)
{
    for (const struct check_finding *each = check->first; each != NULL; each = each->next)
        printf("%s: %s\n", check_level_word(each->level), check_finding_text(check, each));
}

static void append_member(struct buf *out, const char *name, const char *text)
{
    buf_printf(out, ", \"%s\": ", name);
    json_append_string(out, str_from(text));
}

static void print_finding_as_json(const struct check_finding *finding)
{
    autofree_buf struct buf out = { 0 };

    buf_printf(&out, "{\"level\": \"%s\", \"kind\": \"%s\"", check_level_word(finding->level),
               finding->kind);
    if (finding->place.file != NULL)
        append_member(&out, "file", finding->place.file);
    if (finding->place.line > 0)
        buf_printf(&out, ", \"line\": %d", finding->place.line);
    append_member(&out, "text", finding->text);
    if (finding->cure != NULL)
        append_member(&out, "cure", finding->cure);
    printf("%s}\n", buf_text(&out));
}

static int status_of(const struct check *check)
{
    if (check->count[CHECK_ERROR] > 0)
        return EXIT_ERRORS;
    return check->count[CHECK_WARNING] > 0 ? EXIT_WARNINGS : EXIT_CLEAN;
}

static int run(struct tool *tool, const char *folder, bool is_json)
{
    struct check check = { 0 };
    int status;

    if (!tool_configure(tool, folder))
        return EX_CONFIG;
    check_run(&check, &tool->source, tool->config);
    if (is_json)
        for (const struct check_finding *each = check.first; each != NULL; each = each->next)
            print_finding_as_json(each);
    else
        print_text(&check);
    status = status_of(&check);
    check_clear(&check);
    return tool_flush_output(tool) == EX_OK ? status : EX_IOERR;
}

int check_main(int argc, char **argv)
{
    static const struct option long_options[] = { { "json", no_argument, NULL, 'j' }, { 0 } };
    const char *folder = NULL;
    bool is_json = false;
    struct tool tool;

    tool_start(&tool, "waypost check");
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, "c:j", long_options, NULL)) != -1;) {
        if (option == 'c')
            folder = optarg;
        else if (option == 'j')
            is_json = true;
        else
            return tool_bad_option(&tool, optopt);
    }
    if (optind < argc)
        return tool_usage(&tool, "it takes no arguments");
    int status = run(&tool, folder, is_json);
    tool_end(&tool);
    return status;
}
