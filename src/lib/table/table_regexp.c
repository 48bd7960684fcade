/* SPDX-License-Identifier: Apache-2.0 */
/* regexp: tables: libc's POSIX expressions; see table_pattern.h. */
#include "base/memory.h"
#include "table/table_pattern.h"

#include <regex.h>

/* Each flag turns its default round: case is ignored, patterns are extended. */
static bool parse_flags(struct str flags, int *options, struct error *error)
{
    *options = REG_EXTENDED | REG_ICASE;
    for (size_t i = 0; i < flags.len; i++) {
        switch (flags.ptr[i]) {
        case 'i':
            *options ^= REG_ICASE;
            break;
        case 'm':
            *options ^= REG_NEWLINE;
            break;
        case 'x':
            *options ^= REG_EXTENDED;
            break;
        default:
            return error_set(error, "unknown regexp option \"%c\"", flags.ptr[i]);
        }
    }
    return true;
}

static bool regexp_compile(void *workspace, struct pattern *pattern, struct str text,
                           struct str flags, struct error *error)
{
    autoclear_arena struct arena scratch = { 0 };
    int options;
    char why[200];

    if (!parse_flags(flags, &options, error))
        return false;
    regex_t *compiled = memory_new(sizeof *compiled);
    int code = regcomp(compiled, arena_text(&scratch, text), options);
    if (code != 0) {
        regerror(code, compiled, why, sizeof why);
        memory_free(compiled);
        return error_set(error, "%s", why);
    }
    pattern->compiled = compiled;
    pattern->group_count = (unsigned)compiled->re_nsub;
    return pattern->group_count < PATTERN_GROUPS_MAX ||
           error_set(error, "more than %d groups", PATTERN_GROUPS_MAX - 1);
}

static enum pattern_outcome regexp_match(void *workspace, const struct pattern *pattern,
                                         struct pattern_subject *subject, struct error *error)
{
    struct str key = subject->key;
    const regex_t *compiled = pattern->compiled;
    regmatch_t matches[PATTERN_GROUPS_MAX] = { { .rm_so = 0, .rm_eo = (regoff_t)key.len } };
    int code = regexec(compiled, key.ptr, pattern->group_count + 1, matches, REG_STARTEND);

    if (code == REG_NOMATCH)
        return PATTERN_DIFFERS;
    if (code != 0) {
        error_set(error, "out of memory");
        return PATTERN_GAVE_UP;
    }
    for (unsigned i = 0; i <= pattern->group_count; i++)
        subject->groups[i] =
            matches[i].rm_so < 0
                ? (struct str){ NULL, 0 }
                : str_of(key.ptr + matches[i].rm_so, (size_t)(matches[i].rm_eo - matches[i].rm_so));
    return PATTERN_MATCHES;
}

static void regexp_free(struct pattern *pattern)
{
    if (pattern->compiled != NULL)
        regfree(pattern->compiled);
    memory_free(pattern->compiled);
    pattern->compiled = NULL;
}

static const struct pattern_engine engine = {
    .name = "regexp",
    .compile = regexp_compile,
    .match = regexp_match,
    .pattern_free = regexp_free,
};

static bool regexp_open(struct table *table, struct error *error)
{
    return pattern_table_open(table, &engine, error);
}

const struct table_type table_type_regexp = {
    .name = "regexp",
    .is_pattern = true,
    .open = regexp_open,
    .find = pattern_table_find,
    .close = pattern_table_close,
};
