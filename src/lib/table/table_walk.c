/* SPDX-License-Identifier: Apache-2.0 */
#include "table/table_walk.h"

#include "base/file.h"
#include "table/table.h"
#include "table/table_source.h"

enum { ENTRIES_MAX = 100 * 1000, FILE_BYTES_MAX = 16 * 1024 * 1024 };

static bool has_patterns(struct str type)
{
    return str_equal(type, STR("pcre")) || str_equal(type, STR("regexp")) ||
           str_equal(type, STR("cidr"));
}

static void walk_lines(struct str path, void (*hear)(void *argument, struct str text),
                       void *argument)
{
    autoclear_arena struct arena scratch = { 0 };
    autofree_buf struct buf text = { 0 };
    struct table_source source = { 0 };
    struct error unused;
    struct str line;
    int number;

    if (!file_read(arena_text(&scratch, path), FILE_BYTES_MAX, &text, &unused))
        return;
    source.rest = buf_str(&text);
    while (table_source_line(&scratch, &source, &line, &number))
        hear(argument, line);
}

static void walk_values(struct str specification, void (*hear)(void *argument, struct str text),
                        void *argument)
{
    autoclear_arena struct arena scratch = { 0 };
    struct str key = STR(""), value;
    struct error unused;
    struct table *table = table_open(specification, &(struct table_options){ 0 }, &unused);

    for (int i = 0; table != NULL && i < ENTRIES_MAX; i++) {
        if (table_next(table, &scratch, &key, &value, &unused) != LOOKUP_FOUND)
            break;
        hear(argument, value);
    }
    table_close(&table);
}

void table_walk(struct str list, void (*hear)(void *argument, struct str text), void *argument)
{
    struct str word;

    while (table_next_word(&list, &word)) {
        while (str_starts_with(word, STR("proxy:")))
            word = str_skip(word, 6);
        struct str name = word, type = str_cut(&name, ":");
        if (!table_is_specification(word) || str_equal(type, STR("inline")) ||
            str_equal(type, STR("static")))
            hear(argument, word);
        else if (has_patterns(type) && str_starts_with(name, STR("/")))
            walk_lines(name, hear, argument);
        else if (has_patterns(type))
            hear(argument, word); /* its lines stand in braces */
        else
            walk_values(word, hear, argument);
    }
}
