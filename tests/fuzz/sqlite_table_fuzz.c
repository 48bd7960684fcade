/* SPDX-License-Identifier: Apache-2.0 */
/* A key, then what may stand behind "query =" in the settings of a sqlite: table. Whatever the key
 * is, the query means the same. */
#include "memory_file.h"
#include "table/table.h"
#include "table/table_template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void open_and_ask(struct str settings, struct str key)
{
    autoclear_arena struct arena arena = { 0 };
    struct error error = { 0 };
    struct str value;
    char path[64];
    autofree_buf struct buf text = { 0 };

    buf_append_text(&text, "query = ");
    buf_append(&text, settings);
    buf_append_text(&text, "\ndbpath = :memory:\ndomain =\n");
    int fd = memory_file_open(text.ptr, text.len, path, sizeof path);
    struct table *table =
        table_open(str_from(arena_printf(&arena, "sqlite:%s", path)), NULL, &error);
    if (table != NULL)
        (void)table_find(table, key, &arena, &value, &error);
    else
        ensure(error.message[0] != '\0');
    table_close(&table);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autoclear_arena struct arena arena = { 0 };
    autofree_buf struct buf out = { 0 };
    struct str rest = str_of((const char *)data, size), key = str_cut(&rest, "\n");
    struct query_template query;
    struct error error = { 0 };
    struct str value;

    if (query_template_parse(&arena, rest, &query, &error)) {
        ensure(query.count <= TEMPLATE_REFERENCES_MAX);
        for (size_t i = 0; i < query.count; i++)
            if (template_resolve(&query.references[i], key, &value))
                ensure(value.len > 0 && value.len <= key.len);
    }
    if (result_template_check(rest, &error) && result_template_fits(rest, key))
        (void)result_template_expand(rest, key, STR("user@example.com"), &out);
    open_and_ask(rest, key);
    return 0;
}
