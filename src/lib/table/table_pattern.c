/* SPDX-License-Identifier: Apache-2.0 */
#include "table/table_pattern.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "base/memory.h"
#include "table/table_source.h"

#include <time.h>

enum {
    SOURCE_BYTES_MAX = 64 << 20,
    NESTING_MAX = 100,
    LOOKUP_MS_MAX = 500,
    RULES_BETWEEN_CLOCKS = 8,
};

enum rule_kind { RULE_VALUE, RULE_IF, RULE_ENDIF };

struct rule {
    enum rule_kind kind;
    bool is_negated;
    bool has_dollar; /* in its text */
    struct pattern pattern;
    struct str text;
    size_t end; /* RULE_IF: the index of its RULE_ENDIF */
    int line;
};

struct pattern_table {
    const struct pattern_engine *engine;
    void *workspace;
    struct rule *rules;
    size_t count, capacity;
    size_t open[NESTING_MAX]; /* indices of RULE_IF that wait for their end */
    int depth;
};

/* ---- replacement text ---- */

enum reference { REFERENCE_GROUP, REFERENCE_DOLLAR, REFERENCE_BAD };

static size_t name_length(struct str text)
{
    size_t len = 0;

    while (len < text.len && (ascii_is_alnum(text.ptr[len]) || text.ptr[len] == '_'))
        len++;
    return len;
}

/* Takes what stands behind a '$' off `*text`. */
static enum reference take_reference(struct str *text, uint64_t *group, struct error *error)
{
    struct str rest = *text, name;

    if (rest.len > 0 && rest.ptr[0] == '$') {
        *text = str_skip(rest, 1);
        return REFERENCE_DOLLAR;
    }
    if (rest.len > 0 && (rest.ptr[0] == '{' || rest.ptr[0] == '(')) {
        ptrdiff_t end = str_find_byte(rest, rest.ptr[0] == '{' ? '}' : ')');
        if (end < 0) {
            error_set(error, "truncated macro reference \"$%.*s\": bad replacement syntax",
                      STR_ARGS(rest));
            return REFERENCE_BAD;
        }
        name = str_of(rest.ptr + 1, (size_t)end - 1);
        rest = str_skip(rest, (size_t)end + 1);
    } else {
        name = str_take(rest, name_length(rest));
        rest = str_skip(rest, name.len);
    }
    if (name.len == 0)
        error_set(error, "\"$\" without a number: bad replacement syntax");
    else if (!str_to_u64(name, group))
        error_set(error, "non-numeric replacement index \"%.*s\"", STR_ARGS(name));
    else {
        *text = rest;
        return REFERENCE_GROUP;
    }
    return REFERENCE_BAD;
}

static bool check_text(const struct table *table, struct rule *rule, struct error *error)
{
    struct str rest = rule->text;
    ptrdiff_t dollar;

    while ((dollar = str_find_byte(rest, '$')) >= 0) {
        uint64_t group;
        rule->has_dollar = true;
        rest = str_skip(rest, (size_t)dollar + 1);
        enum reference reference = take_reference(&rest, &group, error);
        if (reference == REFERENCE_BAD)
            return false;
        if (reference == REFERENCE_DOLLAR)
            continue;
        if (table->options.forbids_substitution)
            return error_set(error, "regular expression substitution is not allowed");
        if (rule->is_negated)
            return error_set(error, "$number found in negative match replacement text");
        if (group == 0 || group > rule->pattern.group_count)
            return error_set(error, "out of range replacement index \"%llu\"",
                             (unsigned long long)group);
    }
    return true;
}

static struct str expand(struct arena *arena, const struct rule *rule, const struct str *groups)
{
    autofree_buf struct buf out = { 0 };
    struct str rest = rule->text;
    struct error unused;
    ptrdiff_t dollar;

    while ((dollar = str_find_byte(rest, '$')) >= 0) {
        uint64_t group;
        buf_append(&out, str_take(rest, (size_t)dollar));
        rest = str_skip(rest, (size_t)dollar + 1);
        switch (take_reference(&rest, &group, &unused)) {
        case REFERENCE_GROUP: /* in range: check_text */
            buf_append(&out, groups[group]);
            break;
        case REFERENCE_DOLLAR:
            buf_append_byte(&out, '$');
            break;
        case REFERENCE_BAD:
            unreachable();
        }
    }
    buf_append(&out, rest);
    return arena_copy(arena, buf_str(&out));
}

/* ---- source ---- */

struct source_place {
    const struct table *table;
    int line;
};

static void warn_line(const struct source_place *place, const char *text)
{
    table_warn(place->table, "%s map %s, line %d: %s", place->table->type->name, place->table->name,
               place->line, text);
}

/* "[!]/pattern/flags" off `*line`, which is left with what follows. */
static bool parse_pattern(struct pattern_table *patterns, struct str *line, struct rule *rule,
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
    struct str text = str_of(line->ptr + 1, end - 1);
    *line = str_skip(*line, end + 1);
    struct str flags = str_cut(line, " \t\r\v\f");
    *line = str_trim(*line);
    return patterns->engine->compile(patterns->workspace, &rule->pattern, text, flags, error);
}

static bool is_word(struct str line, const char *word)
{
    size_t len = strlen(word);

    return str_starts_with_fold(line, str_from(word)) &&
           (line.len == len || !ascii_is_alnum(line.ptr[len]));
}

static bool parse_endif(struct pattern_table *patterns, struct str rest, struct rule *rule,
                        const struct source_place *place, struct error *error)
{
    if (patterns->depth == 0)
        return error_set(error, "ignoring ENDIF without matching IF");
    if (str_trim(rest).len > 0)
        warn_line(place, "ignoring extra text after ENDIF");
    rule->kind = RULE_ENDIF;
    return true;
}

static bool parse_if(struct pattern_table *patterns, struct str rest, struct rule *rule,
                     const struct source_place *place, struct error *error)
{
    if (patterns->depth == NESTING_MAX)
        return error_set(error, "IF nested more than %d deep", NESTING_MAX);
    rule->kind = RULE_IF;
    if (!parse_pattern(patterns, &rest, rule, error))
        return false;
    if (rest.len > 0) {
        warn_line(place, "ignoring extra text after IF statement");
        warn_line(place, "do not prepend whitespace to statements between IF and ENDIF");
    }
    return true;
}

static bool parse_rule(struct table *table, struct str line, struct rule *rule,
                       const struct source_place *place, struct error *error)
{
    struct pattern_table *patterns = table->state;

    if (is_word(line, "endif"))
        return parse_endif(patterns, str_skip(line, 5), rule, place, error);
    if (is_word(line, "if"))
        return parse_if(patterns, str_skip(line, 2), rule, place, error);
    if (ascii_is_alnum(line.ptr[0]))
        return error_set(error, "ignoring unrecognized request");
    if (!parse_pattern(patterns, &line, rule, error))
        return false;
    if (line.len == 0)
        warn_line(place, "no replacement text: using empty string");
    rule->text = arena_copy(&table->arena, line);
    return check_text(table, rule, error);
}

static void add_rule(struct pattern_table *patterns, const struct rule *rule)
{
    if (patterns->count == patterns->capacity) {
        patterns->capacity = patterns->capacity > 0 ? patterns->capacity * 2 : 16;
        patterns->rules =
            memory_resize(patterns->rules, patterns->capacity * sizeof *patterns->rules);
    }
    if (rule->kind == RULE_IF)
        patterns->open[patterns->depth++] = patterns->count;
    else if (rule->kind == RULE_ENDIF)
        patterns->rules[patterns->open[--patterns->depth]].end = patterns->count;
    patterns->rules[patterns->count++] = *rule;
}

static void add_line(struct table *table, struct str line, int number)
{
    struct pattern_table *patterns = table->state;
    const struct source_place place = { table, number };
    struct rule rule = { .line = number };
    struct error problem = { 0 };

    if (parse_rule(table, line, &rule, &place, &problem)) {
        if (rule.pattern.has_obsolete_flag)
            warn_line(&place, "ignoring obsolete regexp option \"X\"");
        add_rule(patterns, &rule);
        return;
    }
    table_warn(table, "%s map %s, line %d: %s: skipping this rule", table->type->name, table->name,
               number, problem.message);
    patterns->engine->pattern_free(&rule.pattern);
}

bool pattern_table_open(struct table *table, const struct pattern_engine *engine,
                        struct error *error)
{
    autofree_buf struct buf text = { 0 };
    struct pattern_table *patterns = arena_new(&table->arena, sizeof *patterns);
    struct table_source source = { 0 };
    struct str line;
    int number;

    patterns->engine = engine;
    table->state = patterns;
    if (engine->workspace_new != NULL)
        patterns->workspace = engine->workspace_new();
    if (!table_read_rules(table, SOURCE_BYTES_MAX, &text, error))
        return false;
    source.rest = buf_str(&text);
    while (table_source_line(&table->arena, &source, &line, &number))
        add_line(table, line, number);
    while (patterns->depth > 0) {
        struct rule *opened = &patterns->rules[patterns->open[--patterns->depth]];
        warn_line(&(struct source_place){ table, opened->line }, "IF has no matching ENDIF");
        opened->end = patterns->count;
    }
    return true;
}

void pattern_table_close(struct table *table)
{
    struct pattern_table *patterns = table->state;

    if (patterns == NULL)
        return;
    for (size_t i = 0; i < patterns->count; i++)
        patterns->engine->pattern_free(&patterns->rules[i].pattern);
    if (patterns->engine->workspace_free != NULL)
        patterns->engine->workspace_free(patterns->workspace);
    memory_free(patterns->rules);
}

/* ---- look-ups ---- */

static int64_t cpu_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

/* The thread's own time counts, so that a busy machine does not make look-ups fail; but to ask for
 * it costs a system call, so the usual clock is asked first. */
bool pattern_time_is_up(struct pattern_subject *subject)
{
    int64_t now_ms = clock_monotonic_ms();

    if (subject->deadline_ms == 0) {
        subject->deadline_ms = now_ms + LOOKUP_MS_MAX;
        subject->cpu_deadline_us = cpu_us() + LOOKUP_MS_MAX * INT64_C(1000);
    }
    return now_ms >= subject->deadline_ms && cpu_us() >= subject->cpu_deadline_us;
}

static enum pattern_outcome match(struct table *table, const struct rule *rule,
                                  struct pattern_subject *subject, struct error *error)
{
    const struct pattern_table *patterns = table->state;
    const struct pattern *pattern = &rule->pattern;

    if (pattern->needed != 0 && !subject->has_byte[pattern->needed] &&
        !subject->has_byte[pattern->needed_too])
        return PATTERN_DIFFERS;
    if (subject->rules_tried++ % RULES_BETWEEN_CLOCKS == 0 && pattern_time_is_up(subject)) {
        error_set(error, "%.*s: its patterns need more than %d ms for one look-up",
                  STR_ARGS(table->specification), LOOKUP_MS_MAX);
        return PATTERN_GAVE_UP;
    }
    enum pattern_outcome outcome =
        patterns->engine->match(patterns->workspace, pattern, subject, error);
    if (outcome == PATTERN_GAVE_UP)
        error_context(error, "%s map %s, line %d", table->type->name, table->name, rule->line);
    return outcome;
}

enum lookup_outcome pattern_table_find(struct table *table, struct str key, struct arena *arena,
                                       struct str *value, struct error *error)
{
    const struct pattern_table *patterns = table->state;
    struct pattern_subject subject = { .key = arena_copy(arena, key) };

    for (size_t i = 0; i < key.len; i++)
        subject.has_byte[(unsigned char)key.ptr[i]] = true;
    for (size_t i = 0; i < patterns->count; i++) {
        const struct rule *rule = &patterns->rules[i];
        if (rule->kind == RULE_ENDIF)
            continue;
        enum pattern_outcome outcome = match(table, rule, &subject, error);
        if (outcome == PATTERN_GAVE_UP)
            return LOOKUP_FAILED;
        bool applies = (outcome == PATTERN_MATCHES) != rule->is_negated;
        if (rule->kind == RULE_IF && !applies)
            i = rule->end;
        if (rule->kind != RULE_VALUE || !applies)
            continue;
        *value =
            rule->has_dollar ? expand(arena, rule, subject.groups) : arena_copy(arena, rule->text);
        return LOOKUP_FOUND;
    }
    return LOOKUP_ABSENT;
}
