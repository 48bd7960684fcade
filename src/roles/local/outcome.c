/* SPDX-License-Identifier: Apache-2.0 */
#include "outcome.h"

#include "mail/status_code.h"

#include <stdarg.h>
#include <stdio.h>
#include <sysexits.h>

void outcome_set(struct outcome *outcome, const char *dsn, const char *format, ...)
{
    va_list arguments;

    snprintf(outcome->dsn, sizeof outcome->dsn, "%s", dsn);
    va_start(arguments, format);
    vsnprintf(outcome->text, sizeof outcome->text, format, arguments);
    va_end(arguments);
}

void outcome_prepend(struct outcome *outcome, const char *format, ...)
{
    struct outcome old = *outcome;
    va_list arguments;
    int len;

    va_start(arguments, format);
    len = vsnprintf(outcome->text, sizeof outcome->text, format, arguments);
    va_end(arguments);
    if (len >= 0 && (size_t)len < sizeof outcome->text)
        snprintf(outcome->text + len, sizeof outcome->text - (size_t)len, "%s", old.text);
}

bool outcome_is_sent(const struct outcome *outcome)
{
    return outcome->dsn[0] == '2';
}

bool outcome_is_soft(const struct outcome *outcome)
{
    return outcome->dsn[0] == '4';
}

static struct str without_blanks_before(struct str text)
{
    while (text.len > 0 && ascii_is_space(text.ptr[0]))
        text = str_skip(text, 1);
    return text;
}

bool outcome_from_text(struct outcome *outcome, struct str text)
{
    size_t len = str_starts_with(text, STR("2")) ? 0 : status_code_length(text);
    char dsn[OUTCOME_DSN_BYTES];

    if (len == 0)
        return false;
    snprintf(dsn, sizeof dsn, "%.*s", (int)len, text.ptr);
    outcome_set(outcome, dsn, "%.*s", STR_ARGS(without_blanks_before(str_skip(text, len))));
    return true;
}

static const struct {
    int status;
    const char *dsn;
    const char *text;
} exits[] = {
    { EX_USAGE, "5.3.0", "command line usage error" },
    { EX_DATAERR, "5.6.0", "data format error" },
    { EX_NOINPUT, "5.3.0", "cannot open input" },
    { EX_NOUSER, "5.1.1", "user unknown" },
    { EX_NOHOST, "5.1.2", "host name unknown" },
    { EX_UNAVAILABLE, "5.3.0", "service unavailable" },
    { EX_SOFTWARE, "5.3.0", "internal software error" },
    { EX_OSERR, "4.3.0", "system resource problem" },
    { EX_OSFILE, "5.3.0", "critical OS file missing" },
    { EX_CANTCREAT, "5.2.0", "can't create user output file" },
    { EX_IOERR, "5.3.0", "input/output error" },
    { EX_TEMPFAIL, "4.3.0", "temporary failure" },
    { EX_PROTOCOL, "5.5.0", "remote error in protocol" },
    { EX_NOPERM, "5.7.0", "permission denied" },
    { EX_CONFIG, "5.3.5", "local configuration error" },
};

void outcome_from_exit(struct outcome *outcome, int status, const char *command, struct str output)
{
    const char *between = output.len > 0 ? ". Command output: " : "";

    if (status == 0) {
        outcome_set(outcome, "2.0.0", "delivered to command: %s", command);
        return;
    }
    if (outcome_from_text(outcome, output))
        return;
    for (size_t i = 0; i < sizeof exits / sizeof exits[0]; i++) {
        if (exits[i].status != status)
            continue;
        outcome_set(outcome, exits[i].dsn, "%s%s%.*s", exits[i].text, between, STR_ARGS(output));
        return;
    }
    outcome_set(outcome, "5.3.0", "Command died with status %d: \"%s\"%s%.*s", status, command,
                between, STR_ARGS(output));
}
