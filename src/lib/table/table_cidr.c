/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cidr: tables: "network value" lines, tried in order, with "!network", and "if [!]network" …
 * "endif" around lines. A line that is wrong is left out with a warning, as in Postfix.
 */
#include "base/memory.h"
#include "table/network.h"
#include "table/table_source.h"
#include "table/table_type.h"

enum { SOURCE_BYTES_MAX = 64 << 20, NESTING_MAX = 100 };

enum rule_kind { RULE_VALUE, RULE_IF, RULE_ENDIF };

struct rule {
    enum rule_kind kind;
    bool is_negated;
    struct network network;
    struct str value;
    size_t end; /* RULE_IF: the index of its RULE_ENDIF */
    int line;
};

struct cidr_table {
    struct rule *rules;
    size_t count, capacity;
    size_t open[NESTING_MAX]; /* indices of RULE_IF that wait for their end */
    int depth;
};

static void add_rule(struct cidr_table *cidr, const struct rule *rule)
{
    if (cidr->count == cidr->capacity) {
        cidr->capacity = cidr->capacity > 0 ? cidr->capacity * 2 : 16;
        cidr->rules = memory_resize(cidr->rules, cidr->capacity * sizeof *cidr->rules);
    }
    cidr->rules[cidr->count++] = *rule;
}

static bool parse_pattern(struct str word, struct rule *rule, struct error *error)
{
    while (word.len > 0 && word.ptr[0] == '!') {
        rule->is_negated = !rule->is_negated;
        word = str_trim(str_skip(word, 1));
    }
    return network_parse_as_is(word, &rule->network, error);
}

static bool parse_rule(struct table *table, struct str line, int number, struct error *error)
{
    struct cidr_table *cidr = table->state;
    struct rule rule = { .line = number };
    struct str rest = line, word = str_cut(&rest, " \t");

    if (str_equal_fold(word, STR("endif"))) {
        if (cidr->depth == 0)
            return error_set(error, "ignoring ENDIF without matching IF");
        rule.kind = RULE_ENDIF;
        cidr->rules[cidr->open[--cidr->depth]].end = cidr->count;
    } else if (str_equal_fold(word, STR("if"))) {
        if (cidr->depth == NESTING_MAX)
            return error_set(error, "IF nested more than %d deep", NESTING_MAX);
        if (!parse_pattern(str_trim(rest), &rule, error))
            return false;
        rule.kind = RULE_IF;
        cidr->open[cidr->depth++] = cidr->count;
    } else {
        if (str_equal(word, STR("!"))) {
            rule.is_negated = true;
            rest = str_trim(rest);
            word = str_cut(&rest, " \t");
        }
        rule.value = str_trim(rest);
        if (!parse_pattern(word, &rule, error))
            return false;
        if (rule.value.len == 0)
            return error_set(error, "no lookup result: expected network whitespace value");
        rule.value = arena_copy(&table->arena, rule.value);
    }
    add_rule(cidr, &rule);
    return true;
}

static bool cidr_open(struct table *table, struct error *error)
{
    autofree_buf struct buf text = { 0 };
    struct cidr_table *cidr = arena_new(&table->arena, sizeof *cidr);
    struct table_source source = { 0 };
    struct str line;
    int number;

    table->state = cidr;
    if (!table_read_rules(table, SOURCE_BYTES_MAX, &text, error))
        return false;
    source.rest = buf_str(&text);
    while (table_source_line(&table->arena, &source, &line, &number)) {
        struct error problem = { 0 };
        if (!parse_rule(table, line, number, &problem))
            table_warn(table, "cidr map %s, line %d: %s: skipping this rule", table->name, number,
                       problem.message);
    }
    while (cidr->depth > 0) {
        struct rule *opened = &cidr->rules[cidr->open[--cidr->depth]];
        table_warn(table, "cidr map %s, line %d: IF has no matching ENDIF", table->name,
                   opened->line);
        opened->end = cidr->count;
    }
    return true;
}

static enum lookup_outcome cidr_find(struct table *table, struct str key, struct arena *arena,
                                     struct str *value, struct error *error)
{
    const struct cidr_table *cidr = table->state;
    struct network address;

    if (!network_parse_bare_address(key, &address))
        return LOOKUP_ABSENT;
    for (size_t i = 0; i < cidr->count; i++) {
        const struct rule *rule = &cidr->rules[i];
        if (rule->kind == RULE_ENDIF)
            continue;
        /* "!10.0.0.0/8" says nothing about IPv6. */
        bool matches = address.byte_count == rule->network.byte_count &&
                       network_contains(&rule->network, &address) != rule->is_negated;
        if (rule->kind == RULE_IF && !matches)
            i = rule->end;
        if (rule->kind == RULE_VALUE && matches) {
            *value = arena_copy(arena, rule->value);
            return LOOKUP_FOUND;
        }
    }
    return LOOKUP_ABSENT;
}

static void cidr_close(struct table *table)
{
    struct cidr_table *cidr = table->state;

    if (cidr != NULL)
        memory_free(cidr->rules);
}

const struct table_type table_type_cidr = {
    .name = "cidr",
    .is_pattern = true,
    .open = cidr_open,
    .find = cidr_find,
    .close = cidr_close,
};
