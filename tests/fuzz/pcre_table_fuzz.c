/* SPDX-License-Identifier: Apache-2.0 */
/* A line that is the key, and the rules of pcre: and regexp: tables in a file, as an operator may
 * write them. Keys are what strangers send. */
#include "memory_file.h"
#include "table/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(void *argument, const char *text)
{
    ensure(text[0] != '\0');
}

static void ask(const char *type, const char *path, struct str key)
{
    static const struct table_options options = { .warning = ignore };
    autoclear_arena struct arena arena = { 0 };
    const char *specification = arena_printf(&arena, "%s:%s", type, path);
    struct error error = { 0 };
    struct str value;
    struct table *table = table_open(str_from(specification), &options, &error);

    ensure(table != NULL);
    if (table_find(table, key, &arena, &value, &error) == LOOKUP_FAILED)
        ensure(error.message[0] != '\0');
    table_close(&table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_of((const char *)data, size), key = str_cut(&rest, "\n");
    char path[64];

    /* libc's POSIX expressions have no limits of their own: only short ones. */
    int fd = memory_file_open(rest.ptr, rest.len, path, sizeof path);
    ask("pcre", path, key);
    if (size < 60 && memchr(rest.ptr, '{', rest.len) == NULL)
        ask("regexp", path, key);
    close(fd);
    return 0;
}
