/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pcre: tables: PCRE2's interpreter; see table_pattern.h. No just-in-time compiler: it would need
 * memory that is written and executed, which a confined role may not have.
 */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "base/ensure.h"
#include "base/memory.h"
#include "table/table_pattern.h"

#include <pcre2.h>

/*
 * PCRE2 counts the steps of each place in the key where a match may start, not their sum, so a
 * limit that is fair to a short key would let a long one take minutes. A first try over the whole
 * key has the limit that keeps the sum below WHOLE_STEPS; where that is not enough, one try after
 * the other begins at a few places only, with a look at the clock in between.
 */
enum {
    STEPS_MAX = 2000000, /* for one place */
    WHOLE_STEPS = 10000000,
    SLICE_STEPS = 100000, /* for one place of a slice */
    SLICE_PLACES = 64,
    DEPTH_MAX = 100000,
    HEAP_KB_MAX = 16384,
};

struct workspace {
    pcre2_match_context *context;
    pcre2_match_data *data;
};

static void take_match_data(struct workspace *workspace)
{
    pcre2_match_data_free(workspace->data);
    workspace->data = pcre2_match_data_create(PATTERN_GROUPS_MAX, NULL);
    ensure(workspace->data != NULL);
}

static void *pcre_workspace_new(void)
{
    struct workspace *workspace = memory_new(sizeof *workspace);

    workspace->context = pcre2_match_context_create(NULL);
    ensure(workspace->context != NULL);
    take_match_data(workspace);
    pcre2_set_depth_limit(workspace->context, DEPTH_MAX);
    pcre2_set_heap_limit(workspace->context, HEAP_KB_MAX);
    return workspace;
}

static void pcre_workspace_free(void *state)
{
    struct workspace *workspace = state;

    pcre2_match_data_free(workspace->data);
    pcre2_match_context_free(workspace->context);
    memory_free(workspace);
}

/* Each flag turns its default round: case is ignored, a dot matches a newline too. */
static bool parse_flags(struct str flags, uint32_t *options, struct error *error)
{
    static const struct {
        char flag;
        uint32_t option;
    } known[] = {
        { 'i', PCRE2_CASELESS }, { 'm', PCRE2_MULTILINE },
        { 's', PCRE2_DOTALL },   { 'x', PCRE2_EXTENDED },
        { 'A', PCRE2_ANCHORED }, { 'E', PCRE2_DOLLAR_ENDONLY },
        { 'U', PCRE2_UNGREEDY }, { 'X', 0 }, /* PCRE2 is strict always */
    };

    *options = PCRE2_CASELESS | PCRE2_DOTALL;
    for (size_t i = 0; i < flags.len; i++) {
        size_t k = 0;
        while (k < sizeof known / sizeof *known && known[k].flag != flags.ptr[i])
            k++;
        if (k == sizeof known / sizeof *known)
            return error_set(error, "unknown regexp option \"%c\"", flags.ptr[i]);
        *options ^= known[k].option;
    }
    return true;
}

/* A byte that has to be in the key, in both cases. */
static void note_needed(struct pattern *pattern)
{
    const pcre2_code *compiled = pattern->compiled;
    uint32_t type = 0, unit = 0;

    (void)pcre2_pattern_info(compiled, PCRE2_INFO_LASTCODETYPE, &type);
    if (type == 1)
        (void)pcre2_pattern_info(compiled, PCRE2_INFO_LASTCODEUNIT, &unit);
    else if (pcre2_pattern_info(compiled, PCRE2_INFO_FIRSTCODETYPE, &type) == 0 && type == 1)
        (void)pcre2_pattern_info(compiled, PCRE2_INFO_FIRSTCODEUNIT, &unit);
    if (unit == 0 || unit > 127)
        return;
    pattern->needed = (unsigned char)unit;
    pattern->needed_too =
        ascii_is_alpha((char)unit) ? (unsigned char)(unit ^ 0x20) : (unsigned char)unit;
}

static bool pcre_compile(void *state, struct pattern *pattern, struct str text, struct str flags,
                         struct error *error)
{
    uint32_t options, groups = 0;
    PCRE2_SIZE offset;
    PCRE2_UCHAR why[200];
    int code;

    if (!parse_flags(flags, &options, error))
        return false;
    pattern->has_obsolete_flag = str_find_byte(flags, 'X') >= 0;
    /* Keys are bytes, as for Postfix; a pattern does not change that by "(*UTF)". */
    options |= PCRE2_NEVER_UTF | PCRE2_USE_OFFSET_LIMIT;
    pattern->compiled =
        pcre2_compile((PCRE2_SPTR)text.ptr, text.len, options, &code, &offset, NULL);
    if (pattern->compiled == NULL) {
        pcre2_get_error_message(code, why, sizeof why);
        return error_set(error, "error in regex at offset %zu: %s", (size_t)offset,
                         (const char *)why);
    }
    (void)pcre2_pattern_info(pattern->compiled, PCRE2_INFO_CAPTURECOUNT, &groups);
    pattern->group_count = groups;
    note_needed(pattern);
    return groups < PATTERN_GROUPS_MAX ||
           error_set(error, "more than %d groups", PATTERN_GROUPS_MAX - 1);
}

static void copy_groups(const struct workspace *workspace, unsigned group_count,
                        struct pattern_subject *subject)
{
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(workspace->data);

    for (unsigned i = 0; i <= group_count; i++) {
        PCRE2_SIZE start = ends[2 * i], end = ends[2 * i + 1];
        /* "\K" in a look-ahead can make a group end before it starts. */
        subject->groups[i] = start == PCRE2_UNSET || start > end
                                 ? (struct str){ NULL, 0 }
                                 : str_of(subject->key.ptr + start, end - start);
    }
}

/* A match that starts at one of the places from `first` to `last`. */
static int try_places(struct workspace *workspace, const struct pattern *pattern, struct str key,
                      size_t first, size_t last, uint32_t steps)
{
    pcre2_set_match_limit(workspace->context, steps);
    pcre2_set_offset_limit(workspace->context, last);
    return pcre2_match(pattern->compiled, (PCRE2_SPTR)key.ptr, key.len, first, 0, workspace->data,
                       workspace->context);
}

static int try_slices(struct workspace *workspace, const struct pattern *pattern,
                      struct pattern_subject *subject)
{
    size_t len = subject->key.len, end;
    int code = PCRE2_ERROR_NOMATCH;

    for (size_t first = 0; first <= len && code == PCRE2_ERROR_NOMATCH; first = end) {
        end = first + SLICE_PLACES > len ? len + 1 : first + SLICE_PLACES;
        if (pattern_time_is_up(subject))
            return PCRE2_ERROR_MATCHLIMIT;
        code = try_places(workspace, pattern, subject->key, first, end - 1, SLICE_STEPS);
        if (code != PCRE2_ERROR_MATCHLIMIT)
            continue;
        code = PCRE2_ERROR_NOMATCH;
        for (size_t place = first; place < end && code == PCRE2_ERROR_NOMATCH; place++)
            code = pattern_time_is_up(subject)
                       ? PCRE2_ERROR_MATCHLIMIT
                       : try_places(workspace, pattern, subject->key, place, place, STEPS_MAX);
    }
    return code;
}

static enum pattern_outcome pcre_match(void *state, const struct pattern *pattern,
                                       struct pattern_subject *subject, struct error *error)
{
    struct workspace *workspace = state;
    size_t len = subject->key.len;
    uint32_t steps = (uint32_t)(WHOLE_STEPS / (len + 1));
    PCRE2_UCHAR why[200];
    int code =
        try_places(workspace, pattern, subject->key, 0, len, steps < STEPS_MAX ? steps : STEPS_MAX);

    if (code == PCRE2_ERROR_MATCHLIMIT)
        code = try_slices(workspace, pattern, subject);
    if (code >= 0) {
        copy_groups(workspace, pattern->group_count, subject);
        return PATTERN_MATCHES;
    }
    if (code == PCRE2_ERROR_NOMATCH)
        return PATTERN_DIFFERS;
    pcre2_get_error_message(code, why, sizeof why);
    error_set(error, "%s", (const char *)why);
    take_match_data(workspace); /* it grew: it is not kept */
    return PATTERN_GAVE_UP;
}

static void pcre_free(struct pattern *pattern)
{
    pcre2_code_free(pattern->compiled);
    pattern->compiled = NULL;
}

static const struct pattern_engine engine = {
    .name = "pcre",
    .workspace_new = pcre_workspace_new,
    .workspace_free = pcre_workspace_free,
    .compile = pcre_compile,
    .match = pcre_match,
    .pattern_free = pcre_free,
};

static bool pcre_open(struct table *table, struct error *error)
{
    return pattern_table_open(table, &engine, error);
}

const struct table_type table_type_pcre = {
    .name = "pcre",
    .is_pattern = true,
    .open = pcre_open,
    .find = pattern_table_find,
    .close = pattern_table_close,
};
