/* SPDX-License-Identifier: Apache-2.0 */
#include "table_tool.h"

#include "table_dial.h"
#include "table_message.h"

#include "base/file.h"
#include "mail/json.h"
#include "table/table.h"
#include "table/table_builder.h"
#include "table/table_source.h"
#include "table/table_value.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { STATUS_FOUND = 0, STATUS_FAILED = 1, STATUS_ABSENT = 1, SOURCE_BYTES_MAX = 1 << 30 };

static int fail(const struct table_tool *table_tool, const struct error *error)
{
    return tool_fail(&table_tool->tool, STATUS_FAILED, "%s", error->message);
}

static void warn_about_table(void *argument, const char *text)
{
    const struct table_tool *table_tool = argument;

    tool_warn(&table_tool->tool, "%s", text);
}

/* "type:file", completed where the type is left out; false after a message. */
static bool complete(struct table_tool *table_tool, struct arena *arena, const char *given,
                     struct str *specification)
{
    *specification = str_from(given);
    if (table_is_specification(*specification))
        return true;
    if (table_tool->tool.config == NULL &&
        !tool_configure(&table_tool->tool, table_tool->configuration))
        return false;
    *specification = str_from(arena_printf(
        arena, "%.*s:%s", STR_ARGS(table_tool->tool.config->default_database_type), given));
    return true;
}

/* ---- build ---- */

static bool read_standard_input(struct buf *text, struct error *error)
{
    size_t count;
    char bytes[65536];

    while ((count = fread(bytes, 1, sizeof bytes, stdin)) > 0)
        buf_append(text, str_of(bytes, count));
    return ferror(stdin) == 0 || error_errno(error, "read standard input");
}

static void warn_about_entry(const struct table_tool *table_tool, enum table_entry_fault fault,
                             const char *path, int line, struct str text)
{
    switch (fault) {
    case TABLE_ENTRY_FINE:
        break;
    case TABLE_ENTRY_NO_VALUE:
        tool_warn(&table_tool->tool, "%s, line %d: %s", path, line,
                  table_tool->is_alias ? "need name:value pair"
                                       : "expected format: key whitespace value");
        break;
    case TABLE_ENTRY_OPEN_QUOTE:
        tool_warn(&table_tool->tool, "%s, line %d: unbalanced '\"' in '%.*s' -- ignoring this line",
                  path, line, STR_ARGS(text));
        break;
    case TABLE_ENTRY_LIKE_ALIAS:
        tool_warn(&table_tool->tool,
                  "%s, line %d: record is in \"key: value\" format; is this an alias file?", path,
                  line);
        break;
    }
}

static void warn_about_duplicate(const struct table_tool *table_tool, const char *path,
                                 struct str key)
{
    autofree_buf struct buf shown = { 0 };

    for (size_t i = 0; i < key.len; i++)
        buf_append_byte(&shown, table_tool->keeps_case ? key.ptr[i] : ascii_lower(key.ptr[i]));
    tool_warn(&table_tool->tool, "%s: duplicate entry: \"%s\"", path, buf_text(&shown));
}

/* Where the files of -F cannot be read the entry is left out; a table that cannot be written ends
 * it all. */
static bool add(const struct table_tool *table_tool, struct table_builder *builder, struct str key,
                struct str value, struct error *error)
{
    autofree_buf struct buf content = { 0 };
    struct error problem = { 0 };

    if (table_tool->has_file_values) {
        if (!table_value_read(value, &content, &problem)) {
            tool_warn(&table_tool->tool, "%s: %s: skipping the entry \"%.*s\"",
                      table_builder_path(builder), problem.message, STR_ARGS(key));
            return true;
        }
        value = buf_str(&content);
    }
    switch (table_builder_add(builder, key, value, error)) {
    case TABLE_ADDED:
        return true;
    case TABLE_DUPLICATE:
        if (!table_tool->is_quiet)
            warn_about_duplicate(table_tool, table_builder_path(builder), key);
        return true;
    case TABLE_ADD_FAILED:
        return false;
    }
    return false;
}

static bool add_all(const struct table_tool *table_tool, struct table_builder *builder,
                    const char *path, struct str text, struct error *error)
{
    autoclear_arena struct arena arena = { 0 };
    struct table_source source = { .rest = text };
    struct str line, key, value;
    int number;

    while (table_source_line(&arena, &source, &line, &number)) {
        enum table_entry_fault fault = table_tool->is_alias
                                           ? table_alias_split(&arena, line, &key, &value)
                                           : table_entry_split(line, &key, &value);
        warn_about_entry(table_tool, fault, path, number, line);
        if (fault != TABLE_ENTRY_NO_VALUE && fault != TABLE_ENTRY_OPEN_QUOTE &&
            !add(table_tool, builder, key, value, error))
            return error_context(error, "%s, line %d", path, number);
    }
    return true;
}

static struct table_builder *new_builder(const struct table_tool *table_tool,
                                         struct str specification, const char *source_path,
                                         bool is_incremental, struct error *error)
{
    struct table_builder_options options = {
        .is_incremental = is_incremental,
        .may_replace = table_tool->may_replace,
        .keeps_case = table_tool->keeps_case,
        .source_path = source_path,
        .keeps_mode = table_tool->keeps_mode,
        .stays_root = table_tool->stays_root,
    };

    return table_builder_new(specification, &options, error);
}

static bool build(const struct table_tool *table_tool, struct str specification,
                  struct error *error)
{
    autofree_buf struct buf text = { 0 };
    autoclear_arena struct arena arena = { 0 };
    struct str rest = specification;

    str_cut(&rest, ":");
    const char *path = arena_text(&arena, rest);
    if (!(table_tool->is_incremental ? read_standard_input(&text, error)
                                     : file_read(path, SOURCE_BYTES_MAX, &text, error)))
        return false;
    struct table_builder *builder =
        new_builder(table_tool, specification, path, table_tool->is_incremental, error);
    bool is_built =
        builder != NULL &&
        add_all(table_tool, builder, table_tool->is_incremental ? "standard input" : path,
                buf_str(&text), error) &&
        table_builder_finish(builder, error);
    table_builder_free(&builder);
    return is_built;
}

int table_tool_build(struct table_tool *table_tool, const char *given)
{
    autoclear_arena struct arena arena = { 0 };
    struct error error = { 0 };
    struct str specification;

    if (!complete(table_tool, &arena, given, &specification))
        return STATUS_FAILED;
    return build(table_tool, specification, &error) ? EX_OK : fail(table_tool, &error);
}

/* ---- keys from the command line, or with "-" from standard input ---- */

struct keys {
    const char *argument; /* NULL once it was used */
    char *line;
    size_t line_size;
    bool is_from_input;
};

static bool next_key(struct keys *keys, struct str *key)
{
    if (!keys->is_from_input) {
        *key = str_from(keys->argument);
        bool is_there = keys->argument != NULL;
        keys->argument = NULL;
        return is_there;
    }
    ssize_t len = getline(&keys->line, &keys->line_size, stdin);
    if (len < 0)
        return false;
    *key = str_of(keys->line, (size_t)len - (keys->line[len - 1] == '\n'));
    return true;
}

static struct keys keys_from(const char *argument)
{
    return (struct keys){ .argument = argument,
                          .is_from_input = str_equal(str_from(argument), STR("-")) };
}

/* ---- query ---- */

static void print_entry(const struct table_tool *table_tool, struct str key, struct str value)
{
    autofree_buf struct buf line = { 0 };

    if (!table_tool->is_json) {
        printf("%.*s%s\t%.*s\n", STR_ARGS(key), table_tool->is_alias ? ":" : "", STR_ARGS(value));
        return;
    }
    buf_append_text(&line, "{\"key\": ");
    json_append_string(&line, key);
    buf_append_text(&line, ", \"value\": ");
    json_append_string(&line, value);
    buf_append_byte(&line, '}');
    puts(buf_text(&line));
}

/* The value as it is to be printed: with -F what it stands for, which lives in `content`. */
static bool resolve_value(const struct table_tool *table_tool, struct str *value,
                          struct buf *content, struct error *error)
{
    if (!table_tool->has_file_values)
        return true;
    if (!table_value_decode(*value, content, error))
        return false;
    *value = buf_str(content);
    return true;
}

static struct table *open_table(struct table_tool *table_tool, const char *given,
                                struct error *error)
{
    autoclear_arena struct arena arena = { 0 };
    struct str specification;
    struct table_options options = { .warning = warn_about_table,
                                     .argument = table_tool,
                                     .keeps_case = table_tool->keeps_case,
                                     .warns_of_age = true };

    if (!complete(table_tool, &arena, given, &specification)) {
        error_set(error, "\"%s\" has no type", given);
        return NULL;
    }
    return table_open(specification, &options, error);
}

/* The first table that has the key answers. */
static enum lookup_outcome query_tables(struct table **tables, int count, struct str key,
                                        struct arena *arena, struct str *value, struct error *error)
{
    enum lookup_outcome outcome = LOOKUP_ABSENT;

    for (int i = 0; i < count && outcome == LOOKUP_ABSENT; i++)
        outcome = table_find(tables[i], key, arena, value, error);
    return outcome;
}

struct querying {
    struct table_tool *table_tool;
    struct table **tables;
    int count;
    bool shows_key;
    int status;
    bool is_over; /* it failed */
};

static void query_key(void *argument, struct str key)
{
    struct querying *querying = argument;
    struct table_tool *table_tool = querying->table_tool;
    autoclear_arena struct arena arena = { 0 };
    autofree_buf struct buf content = { 0 };
    struct error error = { 0 };
    struct str value;

    if (querying->is_over)
        return;
    enum lookup_outcome outcome =
        query_tables(querying->tables, querying->count, key, &arena, &value, &error);
    if (outcome == LOOKUP_FOUND && !resolve_value(table_tool, &value, &content, &error))
        outcome = LOOKUP_FAILED;
    if (outcome == LOOKUP_FAILED) {
        querying->status = fail(table_tool, &error);
        querying->is_over = true;
    }
    if (outcome != LOOKUP_FOUND)
        return;
    querying->status = STATUS_FOUND;
    if (querying->shows_key || table_tool->is_json)
        print_entry(table_tool, key, value);
    else
        printf("%.*s\n", STR_ARGS(value));
}

/* Standard input is a message (-h, -b). */
static void query_message(struct querying *querying)
{
    struct table_tool *table_tool = querying->table_tool;
    autofree_buf struct buf message = { 0 };
    struct error error = { 0 };

    querying->is_over = true;
    if (table_tool->tool.config == NULL &&
        !tool_configure(&table_tool->tool, table_tool->configuration)) {
        querying->status = STATUS_FAILED;
        return;
    }
    if (!read_standard_input(&message, &error)) {
        querying->status = fail(table_tool, &error);
        return;
    }
    const struct config *config = table_tool->tool.config;
    const struct mime_limits limits = {
        .nesting = (size_t)config->mime_nesting_limit,
        .boundary_bytes = (size_t)config->mime_boundary_length_limit,
        .header_bytes = (size_t)config->header_size_limit,
        .line_bytes = (size_t)config->line_length_limit,
    };
    querying->is_over = false;
    table_message_keys(buf_str(&message), table_tool->message_parts, &limits, query_key, querying);
}

static int query(struct table_tool *table_tool, struct table **tables, int count)
{
    struct keys keys = keys_from(table_tool->query);
    struct querying querying = { .table_tool = table_tool,
                                 .tables = tables,
                                 .count = count,
                                 .shows_key = keys.is_from_input,
                                 .status = STATUS_ABSENT };
    struct str key;

    if (table_tool->message_parts != 0)
        query_message(&querying);
    while (table_tool->message_parts == 0 && !querying.is_over && next_key(&keys, &key))
        query_key(&querying, key);
    free(keys.line);
    return querying.status;
}

static int list(struct table_tool *table_tool, struct table *table)
{
    struct arena arena = { 0 };
    struct error error = { 0 };
    struct str key = STR(""), value;
    enum lookup_outcome outcome;

    while ((outcome = table_next(table, &arena, &key, &value, &error)) == LOOKUP_FOUND) {
        struct arena next = { 0 };
        autofree_buf struct buf content = { 0 };
        if (!resolve_value(table_tool, &value, &content, &error)) {
            outcome = LOOKUP_FAILED;
            break;
        }
        print_entry(table_tool, key, value);
        key = arena_copy(&next, key);
        arena_clear(&arena);
        arena = next;
    }
    arena_clear(&arena);
    return outcome == LOOKUP_ABSENT ? EX_OK : fail(table_tool, &error);
}

/* -q or -s */
static int ask(struct table_tool *table_tool, int count, char **specifications)
{
    autoclear_arena struct arena arena = { 0 };
    struct table **tables = arena_new_array(&arena, (size_t)count + 1, sizeof *tables);
    struct error error = { 0 };
    int status = EX_OK, opened = 0;

    for (; opened < count && status == EX_OK; opened++) {
        tables[opened] = open_table(table_tool, specifications[opened], &error);
        if (tables[opened] == NULL)
            status = fail(table_tool, &error);
        else if (table_tool->is_listing)
            status = list(table_tool, tables[opened]);
    }
    if (status == EX_OK && table_tool->query != NULL)
        status = query(table_tool, tables, count);
    for (int i = 0; i < opened; i++)
        table_close(&tables[i]);
    int output = tool_flush_output(&table_tool->tool);
    return status == EX_OK ? output : status;
}

/* ---- -d ---- */

static int remove_keys(struct table_tool *table_tool, struct keys *keys, const char *given)
{
    autoclear_arena struct arena arena = { 0 };
    struct error error = { 0 };
    struct str specification, key;
    bool was_there = false;

    if (!complete(table_tool, &arena, given, &specification))
        return STATUS_FAILED;
    struct str path = specification;
    str_cut(&path, ":");
    struct table_builder *builder =
        new_builder(table_tool, specification, arena_text(&arena, path), true, &error);
    if (builder == NULL)
        return fail(table_tool, &error);
    while (next_key(keys, &key))
        was_there |= table_builder_remove(builder, key);
    bool is_done = !was_there || table_builder_finish(builder, &error);
    table_builder_free(&builder);
    if (!is_done)
        return fail(table_tool, &error);
    return was_there ? EX_OK : STATUS_ABSENT;
}

/* ---- options ---- */

/* Options without an argument. */
static bool take_flag(struct table_tool *table_tool, int option)
{
    const struct {
        char option;
        bool *flag;
    } flags[] = {
        { 'f', &table_tool->keeps_case },     { 'F', &table_tool->has_file_values },
        { 'i', &table_tool->is_incremental }, { 'j', &table_tool->is_json },
        { 'o', &table_tool->stays_root },     { 'p', &table_tool->keeps_mode },
        { 'r', &table_tool->may_replace },    { 's', &table_tool->is_listing },
        { 'w', &table_tool->is_quiet },
    };

    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (flags[i].option == option) {
            *flags[i].flag = true;
            return true;
        }
    table_tool->message_parts |= option == 'b'   ? TABLE_MESSAGE_BODY
                                 : option == 'h' ? TABLE_MESSAGE_HEADERS
                                 : option == 'm' ? TABLE_MESSAGE_PARTS
                                                 : 0;
    /* About NUL bytes, UTF-8 and verbosity: nothing here depends on them. */
    return memchr("bhmnNuUv", option, 8) != NULL;
}

static bool parse_options(struct table_tool *table_tool, int argc, char **argv)
{
    int option;

    /* The first '+' is for getopt: no reordering. */
    while ((option = getopt(argc, argv,
                            table_tool->is_alias ? "+c:d:fijnNopq:rsuUvw"
                                                 : "+bc:d:fFhijmnNopq:rsuUvw")) != -1) {
        if (option == 'c')
            table_tool->configuration = optarg;
        else if (option == 'd')
            table_tool->removal = optarg;
        else if (option == 'q')
            table_tool->query = optarg;
        else if (!take_flag(table_tool, option))
            return false;
    }
    /* -m says where to look for the others. */
    if (table_tool->message_parts == TABLE_MESSAGE_PARTS) {
        tool_warn(&table_tool->tool, "ignoring -m option without -b or -h");
        table_tool->message_parts = 0;
    }
    int actions =
        (table_tool->query != NULL) + (table_tool->removal != NULL) + table_tool->is_listing;
    return optind < argc && actions <= 1;
}

struct asking {
    struct table_tool *table_tool;
    int count;
    char **specifications;
    int status;
};

static void ask_tables(void *argument)
{
    struct asking *asking = argument;

    asking->status = ask(asking->table_tool, asking->count, asking->specifications);
}

/* Tables on servers need a fiber to wait in; the others need not be in one. */
static int ask_where_tables_may_wait(struct table_tool *table_tool, int count,
                                     char **specifications)
{
    struct asking asking = { table_tool, count, specifications, STATUS_FAILED };
    struct error error = { 0 };
    bool waits = false;

    for (int i = 0; i < count; i++)
        waits |= strstr(specifications[i], "tcp:") != NULL ||
                 strstr(specifications[i], "socketmap:") != NULL;
    if (!waits)
        ask_tables(&asking);
    else if (table_tool->tool.config == NULL &&
             !tool_configure(&table_tool->tool, table_tool->configuration))
        return STATUS_FAILED;
    else if (!table_dial_run(table_tool->tool.config, ask_tables, &asking, &error))
        return fail(table_tool, &error);
    return asking.status;
}

static int run(struct table_tool *table_tool, int count, char **specifications)
{
    int status = EX_OK;

    if (table_tool->query != NULL || table_tool->is_listing)
        return ask_where_tables_may_wait(table_tool, count, specifications);
    struct keys keys = keys_from(table_tool->removal);
    for (int i = 0; i < count && status == EX_OK; i++) {
        if (table_tool->removal == NULL) {
            status = table_tool_build(table_tool, specifications[i]);
            continue;
        }
        if (!keys.is_from_input)
            keys = keys_from(table_tool->removal);
        status = remove_keys(table_tool, &keys, specifications[i]);
    }
    free(keys.line);
    return status;
}

int table_tool_main(struct table_tool *table_tool, int argc, char **argv)
{
    const char *name = table_tool->is_alias ? "postalias" : "postmap";
    int status;

    tool_start(&table_tool->tool, name);
    if (argc < 1 || !parse_options(table_tool, argc, argv))
        status = tool_fail(&table_tool->tool, STATUS_FAILED,
                           "usage: %s [-%sfijnNoprsuUvw] [-c config_dir] [-d key] [-q key] "
                           "[map_type:]file ...",
                           name, table_tool->is_alias ? "" : "bFhm");
    else if (table_tool->message_parts != 0 && !str_equal(str_from(table_tool->query), STR("-")))
        status =
            tool_fail(&table_tool->tool, STATUS_FAILED, "specify -b -h or -m only with \"-q -\"");
    else
        status = run(table_tool, argc - optind, argv + optind);
    tool_end(&table_tool->tool);
    return status;
}
