/* SPDX-License-Identifier: Apache-2.0 */
#include "table/match_list.h"

#include "base/ensure.h"
#include "base/file.h"
#include "base/memory.h"
#include "table/network.h"
#include "table/table.h"
#include "table/table_source.h"

#include <stdio.h>

enum {
    INCLUDE_DEPTH_MAX = 10,
    FILE_BYTES_MAX = 64 << 20,
    BROAD_PREFIX_IPV4 = 8, /* shorter than that is too broad for mynetworks */
    BROAD_PREFIX_IPV6 = 19,
};

enum entry_kind { ENTRY_NAME, ENTRY_NETWORK, ENTRY_TABLE };

struct entry {
    enum entry_kind kind;
    bool is_negated;
    struct str text; /* lower case for names; as written for others */
    union {
        struct network network;
        struct table *table;
    };
};

struct match_list {
    struct arena arena;
    struct match_list_options options;
    struct entry *entries;
    size_t count, capacity;
};

__attribute__((format(printf, 2, 3))) static void warn(const struct match_list *list,
                                                       const char *format, ...)
{
    char text[480];
    va_list arguments;

    if (list->options.warning == NULL)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    list->options.warning(list->options.argument, text);
}

static struct entry *add_entry(struct match_list *list, const struct entry *entry)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity > 0 ? list->capacity * 2 : 8;
        list->entries = memory_resize(list->entries, list->capacity * sizeof *list->entries);
    }
    list->entries[list->count] = *entry;
    return &list->entries[list->count++];
}

static struct str lower_copy(struct match_list *list, struct str text)
{
    char *copy = arena_new(&list->arena, text.len + 1);

    for (size_t i = 0; i < text.len; i++)
        copy[i] = ascii_lower(text.ptr[i]);
    return str_of(copy, text.len);
}

static void add_table(struct match_list *list, struct str word, bool is_negated)
{
    struct error error = { 0 };
    struct table_options options = { .warning = list->options.warning,
                                     .argument = list->options.argument };
    struct table *table = table_open(word, &options, &error);

    if (table == NULL) {
        warn(list, "%.*s: %s", STR_ARGS(list->options.name), error.message);
        table = table_new_failing(word, &error);
    }
    add_entry(list, &(struct entry){ .kind = ENTRY_TABLE,
                                     .is_negated = is_negated,
                                     .text = arena_copy(&list->arena, word),
                                     .table = table });
}

/* "fe80::/10" is no table of the type fe80. */
static bool looks_like_ipv6(struct str word)
{
    int colons = 0;

    for (size_t i = 0; i < word.len; i++) {
        colons += word.ptr[i] == ':';
        if (memchr("0123456789abcdefABCDEF:./", word.ptr[i], 25) == NULL)
            return false;
    }
    return colons >= 2;
}

static bool looks_like_network(struct str word)
{
    struct network address;

    return looks_like_ipv6(word) || word.ptr[0] == '[' || network_parse_address(word, &address) ||
           str_find_byte(word, '/') > 0;
}

/* Ahead of its place: files include words, and words files. */
static bool parse_words(struct match_list *list, struct str text, int depth, bool is_negated,
                        struct error *error);

static bool parse_file(struct match_list *list, struct str path, int depth, bool is_negated,
                       struct error *error)
{
    autofree_buf struct buf text = { 0 };
    const char *name = arena_text(&list->arena, path);
    struct table_source source = { 0 };
    struct str line;
    int number;

    if (depth >= INCLUDE_DEPTH_MAX)
        return error_set(error, "%s: files include each other more than %d deep", name,
                         INCLUDE_DEPTH_MAX);
    if (!file_read(name, FILE_BYTES_MAX, &text, error))
        return false;
    source.rest = buf_str(&text);
    while (table_source_line(&list->arena, &source, &line, &number)) {
        ptrdiff_t hash = str_find(line, STR(" #"));
        ptrdiff_t tab_hash = str_find(line, STR("\t#"));
        if (hash < 0 || (tab_hash >= 0 && tab_hash < hash))
            hash = tab_hash;
        if (hash >= 0) {
            warn(list, "%s, line %d: comment after an entry: it is left out: \"%.*s\"", name,
                 number, STR_ARGS(str_skip(line, (size_t)hash + 1)));
            line = str_take(line, (size_t)hash);
        }
        if (!parse_words(list, line, depth + 1, is_negated, error))
            return error_context(error, "%s, line %d", name, number);
    }
    return true;
}

static bool parse_word(struct match_list *list, struct str word, int depth, bool is_negated,
                       struct error *error)
{
    struct entry entry = { .is_negated = is_negated };

    while (word.len > 0 && word.ptr[0] == '!') {
        entry.is_negated = !entry.is_negated;
        word = str_skip(word, 1);
    }
    if (word.len == 0)
        return error_set(error, "\"!\" with nothing behind it");
    if (word.ptr[0] == '/')
        return parse_file(list, word, depth, entry.is_negated, error);
    if (table_is_specification(word) && !looks_like_ipv6(word)) {
        add_table(list, word, entry.is_negated);
        return true;
    }
    if (!list->options.has_plain_words && looks_like_network(word)) {
        entry.kind = ENTRY_NETWORK;
        entry.text = arena_copy(&list->arena, word);
        if (!network_parse(word, &entry.network, error))
            return false;
    } else {
        entry.kind = ENTRY_NAME;
        entry.text = lower_copy(list, word);
    }
    add_entry(list, &entry);
    return true;
}

static bool parse_words(struct match_list *list, struct str text, int depth, bool is_negated,
                        struct error *error)
{
    struct str word;

    while (table_next_word(&text, &word))
        if (!parse_word(list, word, depth, is_negated, error))
            return false;
    return true;
}

struct match_list *match_list_new(struct str text, const struct match_list_options *options,
                                  struct error *error)
{
    struct match_list *list = memory_new(sizeof *list);

    list->options = *options;
    list->options.name = arena_copy(&list->arena, options->name);
    if (!parse_words(list, text, 0, false, error)) {
        error_context(error, "%.*s", STR_ARGS(options->name));
        match_list_free(&list);
    }
    return list;
}

void match_list_free(struct match_list **list)
{
    if (*list == NULL)
        return;
    for (size_t i = 0; i < (*list)->count; i++)
        if ((*list)->entries[i].kind == ENTRY_TABLE)
            table_close(&(*list)->entries[i].table);
    memory_free((*list)->entries);
    arena_clear(&(*list)->arena);
    memory_free(*list);
    *list = NULL;
}

/* ---- look-ups ---- */

static enum match_outcome find_key(struct table *table, struct str key, struct arena *scratch,
                                   struct error *error)
{
    struct str value;

    switch (table_find(table, key, scratch, &value, error)) {
    case LOOKUP_FOUND:
        return MATCH_FOUND;
    case LOOKUP_ABSENT:
        return MATCH_ABSENT;
    case LOOKUP_FAILED:
        return MATCH_FAILED;
    }
    unreachable();
}

/* The name, then its parents: "example.com" where parents match subdomains, else
 * ".example.com". */
static enum match_outcome find_in_table(const struct match_list *list, struct table *table,
                                        struct str name, struct error *error)
{
    autoclear_arena struct arena scratch = { 0 };
    enum match_outcome outcome = find_key(table, name, &scratch, error);

    while (outcome == MATCH_ABSENT && !list->options.has_plain_words) {
        ptrdiff_t dot = str_find_byte(str_skip(name, 1), '.');
        if (dot < 0)
            return MATCH_ABSENT;
        name = str_skip(name, (size_t)dot + 1);
        struct str key = list->options.matches_parent_domains ? str_skip(name, 1) : name;
        if (key.len > 0)
            outcome = find_key(table, key, &scratch, error);
    }
    return outcome;
}

static bool name_matches(const struct match_list *list, struct str pattern, struct str name)
{
    if (name.len == pattern.len || list->options.has_plain_words)
        return str_equal_fold(name, pattern);
    if (name.len < pattern.len || !str_ends_with_fold(name, pattern))
        return false;
    if (list->options.matches_parent_domains) /* ".example.com" matches nothing then */
        return name.ptr[name.len - pattern.len - 1] == '.';
    return pattern.len > 0 && pattern.ptr[0] == '.';
}

static enum match_outcome entry_find_name(const struct match_list *list, const struct entry *entry,
                                          struct str name, struct error *error)
{
    switch (entry->kind) {
    case ENTRY_NAME:
        return name_matches(list, entry->text, name) ? MATCH_FOUND : MATCH_ABSENT;
    case ENTRY_TABLE:
        return find_in_table(list, entry->table, name, error);
    case ENTRY_NETWORK: /* "[192.0.2.1]" in mydestination */
        return str_equal_fold(entry->text, name) ? MATCH_FOUND : MATCH_ABSENT;
    }
    unreachable();
}

static enum match_outcome entry_find_address(const struct entry *entry, struct str text,
                                             const struct network *address, struct error *error)
{
    autoclear_arena struct arena scratch = { 0 };

    switch (entry->kind) {
    case ENTRY_NAME:
        return str_equal_fold(entry->text, text) ? MATCH_FOUND : MATCH_ABSENT;
    case ENTRY_TABLE:
        return find_key(entry->table, text, &scratch, error);
    case ENTRY_NETWORK:
        return address->byte_count > 0 && network_contains(&entry->network, address) ? MATCH_FOUND
                                                                                     : MATCH_ABSENT;
    }
    unreachable();
}

enum match_outcome match_list_find_name(struct match_list *list, struct str name,
                                        struct error *error)
{
    for (size_t i = 0; i < list->count; i++) {
        enum match_outcome outcome = entry_find_name(list, &list->entries[i], name, error);
        if (outcome == MATCH_FAILED)
            return MATCH_FAILED;
        if (outcome == MATCH_FOUND)
            return list->entries[i].is_negated ? MATCH_ABSENT : MATCH_FOUND;
    }
    return MATCH_ABSENT;
}

enum match_outcome match_list_find_client(struct match_list *list, struct str name,
                                          struct str address, struct error *error)
{
    bool has_name = name.len > 0 && !str_equal(name, STR("unknown"));
    struct network parsed;

    if (!network_parse_address(address, &parsed))
        parsed = (struct network){ 0 };
    for (size_t i = 0; i < list->count; i++) {
        const struct entry *entry = &list->entries[i];
        enum match_outcome outcome =
            has_name ? entry_find_name(list, entry, name, error) : MATCH_ABSENT;
        if (outcome == MATCH_ABSENT)
            outcome = entry_find_address(entry, address, &parsed, error);
        if (outcome == MATCH_FAILED)
            return MATCH_FAILED;
        if (outcome == MATCH_FOUND)
            return entry->is_negated ? MATCH_ABSENT : MATCH_FOUND;
    }
    return MATCH_ABSENT;
}

struct str match_list_too_broad(const struct match_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct entry *entry = &list->entries[i];
        int least = entry->network.byte_count == 4 ? BROAD_PREFIX_IPV4 : BROAD_PREFIX_IPV6;
        if (entry->kind == ENTRY_NETWORK && !entry->is_negated &&
            entry->network.prefix_length < least)
            return entry->text;
    }
    return STR("");
}

bool match_list_is_empty(const struct match_list *list)
{
    return list->count == 0;
}
