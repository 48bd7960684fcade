/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite: tables (sqlite_table(5)). The library is loaded when a configuration names such a table.
 * The data base is opened read-only and its query compiled when the table is opened, so a confined
 * role can go on asking; it is asked in place, with a limit of time. The parts of the key are bound
 * to the query's parameters.
 */
#include "base/clock.h"
#include "base/file.h"
#include "config/config.h"
#include "table/match_list.h"
#include "table/table_template.h"
#include "table/table_type.h"

#include <dlfcn.h>
#include <sqlite3.h>

enum {
    CONFIGURATION_BYTES_MAX = 1 << 20,
    VALUE_BYTES_MAX = 1 << 20,
    RESULT_BYTES_MAX = 100000,
    ROWS_MAX = 10000,
    LOCK_MS_MAX = 200,   /* while another process writes */
    QUERY_MS_MAX = 1000, /* nobody else of this role goes on meanwhile */
    STEPS_BETWEEN_CLOCKS = 10000,
};

#define LIBRARY_NAME "libsqlite3.so.0"
#define FUNCTIONS(F)                                                                               \
    F(open_v2)                                                                                     \
    F(close)                                                                                       \
    F(errmsg)                                                                                      \
    F(busy_timeout)                                                                                \
    F(progress_handler) F(limit) F(prepare_v2) F(finalize) F(stmt_readonly) F(bind_text)           \
        F(bind_parameter_count) F(step) F(reset) F(column_text) F(column_bytes) F(exec)

struct library {
#define FUNCTION(name) __typeof__(sqlite3_##name) *name;
    FUNCTIONS(FUNCTION)
#undef FUNCTION
};

struct sqlite_table {
    struct library library;
    void *handle;
    sqlite3 *database;
    sqlite3_stmt *statement;
    struct query_template query;
    struct str result_format;
    struct match_list *domains; /* NULL: all */
    int64_t expansion_limit;
    int64_t deadline_ms;
};

/* ---- settings ---- */

struct settings {
    struct table *table;
    struct main_cf file;
    bool is_file; /* else they are parameters of main.cf, NAME_query and so on */
};

static struct str setting(const struct settings *settings, const char *name)
{
    const struct table_surroundings *surroundings = table_surroundings();
    const struct main_cf_assignment *found;
    struct str value = STR("");

    if (!settings->is_file) {
        const char *whole =
            arena_printf(&settings->table->arena, "%s_%s", settings->table->name, name);
        if (surroundings->config != NULL)
            (void)config_find(surroundings->config, str_from(whole), &value);
        return value;
    }
    found = main_cf_find(&settings->file, str_from(name));
    return found != NULL ? found->value : value;
}

static bool read_settings(struct settings *settings, struct error *error)
{
    autofree_buf struct buf text = { 0 };
    struct table *table = settings->table;

    settings->is_file = table->name[0] == '/' || table->name[0] == '.';
    if (!settings->is_file)
        return true;
    if (!table_read_text(table, table->name, CONFIGURATION_BYTES_MAX, &text, error))
        return false;
    return main_cf_parse(&table->arena, table->name, arena_copy(&table->arena, buf_str(&text)),
                         &settings->file, error);
}

/* "query", or what the four older parameters make. */
static struct str query_text(const struct settings *settings)
{
    struct str query = setting(settings, "query");

    if (query.len > 0)
        return query;
    return str_from(arena_printf(
        &settings->table->arena, "SELECT %.*s FROM %.*s WHERE %.*s = '%%s' %.*s",
        STR_ARGS(setting(settings, "select_field")), STR_ARGS(setting(settings, "table")),
        STR_ARGS(setting(settings, "where_field")),
        STR_ARGS(setting(settings, "additional_conditions"))));
}

static bool take_domains(struct sqlite_table *sqlite, const struct settings *settings,
                         struct error *error)
{
    const struct table_options *options = &settings->table->options;
    struct str domains = setting(settings, "domain");
    struct match_list_options list_options = { .name = STR("domain"),
                                               .warning = options->warning,
                                               .argument = options->argument };

    if (domains.len == 0)
        return true;
    sqlite->domains = match_list_new(domains, &list_options, error);
    return sqlite->domains != NULL;
}

static bool take_settings(struct sqlite_table *sqlite, const struct settings *settings,
                          struct error *error)
{
    struct table *table = settings->table;
    struct str limit = setting(settings, "expansion_limit");

    sqlite->result_format = arena_copy(&table->arena, setting(settings, "result_format"));
    if (sqlite->result_format.len == 0)
        sqlite->result_format = STR("%s");
    if (limit.len > 0 &&
        (!str_to_i64(limit, &sqlite->expansion_limit) || sqlite->expansion_limit < 0))
        return error_set(error, "expansion_limit: \"%.*s\" is no number", STR_ARGS(limit));
    if (!query_template_parse(&table->arena, query_text(settings), &sqlite->query, error))
        return error_context(error, "query");
    if (sqlite->query.has_double_quotes)
        table_warn(table,
                   "%.*s: query has %%-expansions between double quotes, which SQL has for names: "
                   "use single quotes",
                   STR_ARGS(table->specification));
    if (!result_template_check(sqlite->result_format, error))
        return error_context(error, "result_format");
    return take_domains(sqlite, settings, error);
}

/* ---- opening ---- */

static bool load_library(struct sqlite_table *sqlite, struct error *error)
{
    sqlite->handle = dlopen(LIBRARY_NAME, RTLD_NOW | RTLD_LOCAL);
    if (sqlite->handle == NULL)
        return error_set(error, "%s: install libsqlite3-0", dlerror());
#define FUNCTION(function)                                                                         \
    *(void **)&sqlite->library.function = dlsym(sqlite->handle, "sqlite3_" #function);             \
    if (sqlite->library.function == NULL)                                                          \
        return error_set(error, "%s has no sqlite3_" #function, LIBRARY_NAME);
    FUNCTIONS(FUNCTION)
#undef FUNCTION
    return true;
}

static int time_is_up(void *argument)
{
    const struct sqlite_table *sqlite = argument;

    return clock_monotonic_ms() >= sqlite->deadline_ms;
}

static bool error_sqlite(const struct sqlite_table *sqlite, const char *what, struct error *error)
{
    return error_set(error, "%s: %s", what,
                     sqlite->database != NULL ? sqlite->library.errmsg(sqlite->database)
                                              : "out of memory");
}

static bool prepare(struct sqlite_table *sqlite, struct error *error)
{
    const struct library *library = &sqlite->library;
    const char *tail = "";

    if (library->prepare_v2(sqlite->database, sqlite->query.sql, -1, &sqlite->statement, &tail) !=
        SQLITE_OK)
        return error_sqlite(sqlite, "query", error);
    if (sqlite->statement == NULL || str_trim(str_from(tail)).len > 0 ||
        !library->stmt_readonly(sqlite->statement))
        return error_set(error, "query: expected one SELECT");
    /* "?5" in the operator's own text would be a parameter that nobody binds. */
    if (library->bind_parameter_count(sqlite->statement) != (int)sqlite->query.count)
        return error_set(error, "query: it has parameters of its own");
    return true;
}

static bool open_database(struct sqlite_table *sqlite, const struct settings *settings,
                          struct error *error)
{
    const struct library *library = &sqlite->library;
    const char *path = arena_text(&settings->table->arena, setting(settings, "dbpath"));

    if (*path == '\0')
        return error_set(error, "dbpath is not set");
    if (library->open_v2(path, &sqlite->database, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX,
                         NULL) != SQLITE_OK)
        return error_sqlite(sqlite, path, error);
    library->busy_timeout(sqlite->database, LOCK_MS_MAX);
    library->limit(sqlite->database, SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX);
    library->progress_handler(sqlite->database, STEPS_BETWEEN_CLOCKS, time_is_up, sqlite);
    sqlite->deadline_ms = clock_monotonic_ms() + QUERY_MS_MAX;
    /* A confined role can make no temporary files. */
    if (library->exec(sqlite->database, "PRAGMA temp_store = MEMORY", NULL, NULL, NULL) !=
        SQLITE_OK)
        return error_sqlite(sqlite, path, error);
    return prepare(sqlite, error);
}

static bool sqlite_open(struct table *table, struct error *error)
{
    struct sqlite_table *sqlite = arena_new(&table->arena, sizeof *sqlite);
    struct settings settings = { .table = table };

    table->state = sqlite;
    return (read_settings(&settings, error) && take_settings(sqlite, &settings, error) &&
            load_library(sqlite, error) && open_database(sqlite, &settings, error)) ||
           error_context(error, "%.*s", STR_ARGS(table->specification));
}

static void sqlite_close(struct table *table)
{
    struct sqlite_table *sqlite = table->state;

    if (sqlite == NULL)
        return;
    if (sqlite->statement != NULL)
        sqlite->library.finalize(sqlite->statement);
    if (sqlite->database != NULL)
        sqlite->library.close(sqlite->database);
    match_list_free(&sqlite->domains);
    if (sqlite->handle != NULL)
        dlclose(sqlite->handle);
}

/* ---- look-ups ---- */

/* With a list of domains only addresses in one of them are asked for. */
static enum lookup_outcome check_domain(const struct sqlite_table *sqlite, struct str key,
                                        struct error *error)
{
    ptrdiff_t at = str_find_last_byte(key, '@');

    if (sqlite->domains == NULL)
        return LOOKUP_FOUND;
    if (at <= 0)
        return LOOKUP_ABSENT;
    switch (match_list_find_name(sqlite->domains, str_skip(key, (size_t)at + 1), error)) {
    case MATCH_FOUND:
        return LOOKUP_FOUND;
    case MATCH_ABSENT:
        return LOOKUP_ABSENT;
    case MATCH_FAILED:
        return LOOKUP_FAILED;
    }
    return LOOKUP_FAILED;
}

/* False: the key lacks a part that the query wants. */
static bool bind_key(struct sqlite_table *sqlite, struct str key)
{
    for (size_t i = 0; i < sqlite->query.count; i++) {
        struct str value;
        if (!template_resolve(&sqlite->query.references[i], key, &value))
            return false;
        sqlite->library.bind_text(sqlite->statement, (int)i + 1, value.ptr, (int)value.len,
                                  SQLITE_STATIC);
    }
    return true;
}

static bool add_row(struct sqlite_table *sqlite, struct str key, struct buf *result, int64_t *count,
                    struct error *error)
{
    const char *text = (const char *)sqlite->library.column_text(sqlite->statement, 0);
    struct str value = str_of(text, (size_t)sqlite->library.column_bytes(sqlite->statement, 0));

    if (text == NULL || value.len == 0)
        return true;
    if (memchr(value.ptr, '\0', value.len) != NULL)
        return error_set(error, "a result with a NUL byte");
    if (result_template_expand(sqlite->result_format, key, value, result))
        ++*count;
    if (result->len > RESULT_BYTES_MAX)
        return error_set(error, "a result of more than %d bytes", RESULT_BYTES_MAX);
    return sqlite->expansion_limit == 0 || *count <= sqlite->expansion_limit ||
           error_set(error, "Expansion limit exceeded for key: '%.*s'", STR_ARGS(key));
}

static bool run_query(struct sqlite_table *sqlite, struct str key, struct buf *result,
                      struct error *error)
{
    int64_t count = 0;
    int code = SQLITE_ROW;

    sqlite->deadline_ms = clock_monotonic_ms() + QUERY_MS_MAX;
    for (int rows = 0; code == SQLITE_ROW; rows++) {
        code = sqlite->library.step(sqlite->statement);
        if (code == SQLITE_ROW && rows == ROWS_MAX)
            return error_set(error, "more than %d rows", ROWS_MAX);
        if (code == SQLITE_ROW && !add_row(sqlite, key, result, &count, error))
            return false;
    }
    return code == SQLITE_DONE || error_sqlite(sqlite, "query", error);
}

static enum lookup_outcome sqlite_find(struct table *table, struct str key, struct arena *arena,
                                       struct str *value, struct error *error)
{
    struct sqlite_table *sqlite = table->state;
    autofree_buf struct buf result = { 0 };

    if (!table->options.keeps_case)
        key = table_fold(arena, key);
    enum lookup_outcome outcome = check_domain(sqlite, key, error);
    if (outcome != LOOKUP_FOUND)
        return outcome;
    if (!result_template_fits(sqlite->result_format, key) || !bind_key(sqlite, key))
        return LOOKUP_ABSENT;
    bool is_good = run_query(sqlite, key, &result, error);
    sqlite->library.reset(sqlite->statement);
    if (!is_good) {
        error_context(error, "%.*s", STR_ARGS(table->specification));
        return LOOKUP_FAILED;
    }
    *value = arena_copy(arena, buf_str(&result));
    return result.len > 0 ? LOOKUP_FOUND : LOOKUP_ABSENT;
}

const struct table_type table_type_sqlite = {
    .name = "sqlite",
    .open = sqlite_open,
    .find = sqlite_find,
    .close = sqlite_close,
};
