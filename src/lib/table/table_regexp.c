/* SPDX-License-Identifier: Apache-2.0 */
/*
 * regexp: tables: "/pattern/flags text" lines, tried in order, with "!/pattern/flags text", and
 * "if [!]/pattern/flags" … "endif" around lines. $1, ${1} and $(1) stand for what a group matched,
 * $$ for a dollar. A line that is wrong is left out with a warning, as in Postfix.
 */
#include "base/file.h"
#include "base/memory.h"
#include "table/table_source.h"
#include "table/table_type.h"

#include <regex.h>

enum { SOURCE_BYTES_MAX = 16 << 20, NESTING_MAX = 100, GROUPS_MAX = 100 };

enum rule_kind { RULE_VALUE, RULE_IF, RULE_ENDIF };

struct rule {
    enum rule_kind kind;
    bool is_negated, is_compiled;
    regex_t pattern;
    struct str text;
    size_t end; /* RULE_IF: the index of its RULE_ENDIF */
};

struct regexp_table {
    struct rule *rules;
    size_t count, capacity;
    size_t open[NESTING_MAX]; /* indices of RULE_IF that wait for their end */
    int depth;
};

/* ---- replacement text ---- */

/* Takes what stands behind a '$' off `*text`: the number of a group, or -1 for "$$"; false where
 * it is neither. */
static bool take_group(struct str *text, int *group)
{
    struct str rest = *text;
    char closing = '\0';

    if (rest.len > 0 && rest.ptr[0] == '$') {
        *group = -1;
        *text = str_skip(rest, 1);
        return true;
    }
    if (rest.len > 0 && (rest.ptr[0] == '{' || rest.ptr[0] == '(')) {
        closing = rest.ptr[0] == '{' ? '}' : ')';
        rest = str_skip(rest, 1);
    }
    size_t digits = 0;
    for (*group = 0; digits < 2 && digits < rest.len && ascii_is_digit(rest.ptr[digits]); digits++)
        *group = *group * 10 + (rest.ptr[digits] - '0');
    rest = str_skip(rest, digits);
    if (digits == 0 || *group == 0 || (closing != '\0' && (rest.len == 0 || *rest.ptr != closing)))
        return false;
    *text = str_skip(rest, closing != '\0');
    return true;
}

static bool check_text(const struct rule *rule, struct error *error)
{
    struct str rest = rule->text;

    for (;;) {
        ptrdiff_t dollar = str_find_byte(rest, '$');
        int group;
        if (dollar < 0)
            return true;
        rest = str_skip(rest, (size_t)dollar + 1);
        if (!take_group(&rest, &group))
            return error_set(error, "bad replacement syntax");
        if (group > (int)rule->pattern.re_nsub)
            return error_set(error, "out-of-range replacement index \"%d\"", group);
        if (group > 0 && rule->is_negated)
            return error_set(error, "$number found in negative match replacement text");
    }
}

static struct str expand(struct arena *arena, const struct rule *rule, const char *key,
                         const regmatch_t *matches)
{
    autofree_buf struct buf out = { 0 };
    struct str rest = rule->text;
    ptrdiff_t dollar;

    while ((dollar = str_find_byte(rest, '$')) >= 0) {
        int group;
        buf_append(&out, str_take(rest, (size_t)dollar));
        rest = str_skip(rest, (size_t)dollar + 1);
        if (!take_group(&rest, &group))
            break; /* check_text has let nothing of that kind in */
        if (group < 0)
            buf_append_byte(&out, '$');
        else if (matches[group].rm_so >= 0)
            buf_append(&out, str_of(key + matches[group].rm_so,
                                    (size_t)(matches[group].rm_eo - matches[group].rm_so)));
    }
    buf_append(&out, rest);
    return arena_copy(arena, buf_str(&out));
}

/* ---- source ---- */

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
            return error_set(error, "unknown regexp option \"%.*s\"", STR_ARGS(flags));
        }
    }
    return true;
}

static bool compile(struct arena *arena, struct rule *rule, struct str pattern, struct str flags,
                    struct error *error)
{
    int options;
    char why[200];

    if (!parse_flags(flags, &options, error))
        return false;
    int code = regcomp(&rule->pattern, arena_text(arena, pattern), options);
    if (code != 0) {
        regerror(code, &rule->pattern, why, sizeof why);
        return error_set(error, "%s", why);
    }
    rule->is_compiled = true;
    if (rule->pattern.re_nsub >= GROUPS_MAX)
        return error_set(error, "more than %d groups", GROUPS_MAX - 1);
    return true;
}

/* "[!]/pattern/flags" off `*line`, which is left with what follows. */
static bool parse_pattern(struct arena *arena, struct str *line, struct rule *rule,
                          struct error *error)
{
    size_t end = 1;

    while (line->len > 0 && (line->ptr[0] == '!' || ascii_is_space(line->ptr[0]))) {
        rule->is_negated ^= line->ptr[0] == '!';
        *line = str_skip(*line, 1);
    }
    if (line->len == 0)
        return error_set(error, "no regexp");
    while (end < line->len && line->ptr[end] != line->ptr[0])
        end += line->ptr[end] == '\\' ? 2 : 1;
    if (end >= line->len)
        return error_set(error, "no closing regexp delimiter \"%c\"", line->ptr[0]);
    struct str pattern = str_of(line->ptr + 1, end - 1);
    *line = str_skip(*line, end + 1);
    struct str flags = str_cut(line, " \t");
    *line = str_trim(*line);
    return compile(arena, rule, pattern, flags, error);
}

static bool is_word(struct str line, const char *word)
{
    size_t len = strlen(word);

    return str_starts_with_fold(line, str_from(word)) &&
           (line.len == len || !ascii_is_alnum(line.ptr[len]));
}

static bool parse_rule(struct table *table, struct str line, struct rule *rule, struct error *error)
{
    struct regexp_table *regexp = table->state;

    if (is_word(line, "endif")) {
        rule->kind = RULE_ENDIF;
        return regexp->depth > 0 || error_set(error, "ignoring ENDIF without matching IF");
    }
    if (is_word(line, "if")) {
        rule->kind = RULE_IF;
        line = str_skip(line, 2);
        return (regexp->depth < NESTING_MAX ||
                error_set(error, "IF nested more than %d deep", NESTING_MAX)) &&
               parse_pattern(&table->arena, &line, rule, error);
    }
    if (!parse_pattern(&table->arena, &line, rule, error))
        return false;
    rule->text = arena_copy(&table->arena, line);
    return check_text(rule, error);
}

static void add_rule(struct regexp_table *regexp, const struct rule *rule)
{
    if (regexp->count == regexp->capacity) {
        regexp->capacity = regexp->capacity > 0 ? regexp->capacity * 2 : 16;
        regexp->rules = memory_resize(regexp->rules, regexp->capacity * sizeof *regexp->rules);
    }
    if (rule->kind == RULE_IF)
        regexp->open[regexp->depth++] = regexp->count;
    else if (rule->kind == RULE_ENDIF)
        regexp->rules[regexp->open[--regexp->depth]].end = regexp->count;
    regexp->rules[regexp->count++] = *rule;
}

static bool regexp_open(struct table *table, struct error *error)
{
    autofree_buf struct buf text = { 0 };
    struct regexp_table *regexp = arena_new(&table->arena, sizeof *regexp);
    struct table_source source = { 0 };
    struct str line;
    int number;

    table->state = regexp;
    if (!file_read(table->name, SOURCE_BYTES_MAX, &text, error))
        return false;
    source.rest = buf_str(&text);
    while (table_source_line(&table->arena, &source, &line, &number)) {
        struct error problem = { 0 };
        struct rule rule = { 0 };
        if (parse_rule(table, line, &rule, &problem)) {
            add_rule(regexp, &rule);
            continue;
        }
        table_warn(table, "regexp map %s, line %d: %s: skipping this rule", table->name, number,
                   problem.message);
        if (rule.is_compiled)
            regfree(&rule.pattern);
    }
    while (regexp->depth > 0) {
        table_warn(table, "regexp map %s: IF has no matching ENDIF", table->name);
        regexp->rules[regexp->open[--regexp->depth]].end = regexp->count;
    }
    return true;
}

static void regexp_close(struct table *table)
{
    struct regexp_table *regexp = table->state;

    if (regexp == NULL)
        return;
    for (size_t i = 0; i < regexp->count; i++)
        if (regexp->rules[i].is_compiled)
            regfree(&regexp->rules[i].pattern);
    memory_free(regexp->rules);
}

/* ---- look-ups ---- */

static enum lookup_outcome regexp_find(struct table *table, struct str key, struct arena *arena,
                                       struct str *value, struct error *error)
{
    const struct regexp_table *regexp = table->state;
    const char *text = arena_text(arena, key);
    regmatch_t matches[GROUPS_MAX];

    for (size_t i = 0; i < regexp->count; i++) {
        const struct rule *rule = &regexp->rules[i];
        if (rule->kind == RULE_ENDIF)
            continue;
        int code = regexec(&rule->pattern, text, GROUPS_MAX, matches, 0);
        if (code != 0 && code != REG_NOMATCH) {
            error_set(error, "%.*s: out of memory or patience", STR_ARGS(table->specification));
            return LOOKUP_FAILED;
        }
        bool is_match = (code == 0) != rule->is_negated;
        if (rule->kind == RULE_IF && !is_match)
            i = rule->end;
        if (rule->kind == RULE_VALUE && is_match) {
            *value = expand(arena, rule, text, matches);
            return LOOKUP_FOUND;
        }
    }
    return LOOKUP_ABSENT;
}

const struct table_type table_type_regexp = {
    .name = "regexp",
    .open = regexp_open,
    .find = regexp_find,
    .close = regexp_close,
};
