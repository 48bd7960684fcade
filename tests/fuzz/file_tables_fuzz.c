/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line that is the key, and the file of a cidr: or texthash: table, or the words of one that has
 * no file. What is found stands in the table.
 */
#include "memory_file.h"
#include "table/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(void *argument, const char *text)
{
    ensure(text[0] != '\0');
}

static void ask(struct str specification, struct str key, struct str source)
{
    static const struct table_options options = { .warning = ignore };
    autoclear_arena struct arena arena = { 0 };
    struct error error = { 0 };
    struct str value = STR("");
    struct table *table = table_open(specification, &options, &error);

    if (table == NULL) {
        ensure(error.message[0] != '\0');
        return;
    }
    switch (table_find(table, key, &arena, &value, &error)) {
    case LOOKUP_FOUND:
        ensure(value.len <= source.len);
        break;
    case LOOKUP_FAILED:
        ensure(error.message[0] != '\0');
        break;
    case LOOKUP_ABSENT:
        break;
    }
    table_close(&table);
}

/* Their words alone, so that no other table is opened. */
static void ask_words(const char *type, struct str words, struct str key)
{
    autoclear_arena struct arena arena = { 0 };

    if (str_find_byte(words, ':') >= 0 || str_find_byte(words, '/') >= 0 ||
        str_find_byte(words, '\0') >= 0)
        return;
    ask(str_from(arena_printf(&arena, "%s:{ %.*s }", type, STR_ARGS(words))), key, words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_of((const char *)data, size), key = str_cut(&rest, "\n");
    char path[64], specification[80];
    int fd = memory_file_open(rest.ptr, rest.len, path, sizeof path);

    snprintf(specification, sizeof specification, "cidr:%s", path);
    ask(str_from(specification), key, rest);
    snprintf(specification, sizeof specification, "texthash:%s", path);
    ask(str_from(specification), key, rest);
    close(fd);
    ask_words("inline", rest, key);
    ask_words("static", rest, key);
    ask_words("randmap", rest, key);
    return 0;
}
