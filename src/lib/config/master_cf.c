/* SPDX-License-Identifier: Apache-2.0 */
#include "config/master_cf.h"

#include "base/buf.h"
#include "config/logical_line.h"

#include <limits.h>

static const char blanks[] = " \t\r\n\v\f";
enum { FIELD_COUNT = 8, SERVICE_LIMIT = 10000 };

static const char *const type_names[] = {
    [SERVICE_INET] = "inet", [SERVICE_UNIX] = "unix", [SERVICE_UNIX_DGRAM] = "unix-dgram",
    [SERVICE_FIFO] = "fifo", [SERVICE_PASS] = "pass",
};

struct parser {
    struct arena *arena;
    const char *file;
    int line;
    struct error *error;
};

const char *service_type_name(enum service_type type)
{
    return type_names[type];
}

static bool fail(struct parser *parser, const char *what, struct str text, const char *advice)
{
    return error_set(parser->error, "%s, line %d: %s \"%.*s\"%s%s", parser->file, parser->line,
                     what, STR_ARGS(str_take(text, 100)), *advice != '\0' ? "; " : "", advice);
}

/* "name = value" from inside { } loses the blanks around its "=" as Postfix has it. */
static struct str normalize_assignment(struct arena *arena, struct str text)
{
    ptrdiff_t equals = str_find_byte(text, '=');

    if (equals < 0)
        return text;
    struct str name = str_trim(str_take(text, (size_t)equals));
    struct str value = str_trim(str_skip(text, (size_t)equals + 1));
    return str_from(arena_printf(arena, "%.*s=%.*s", STR_ARGS(name), STR_ARGS(value)));
}

/* The length of the word that `rest` begins with: blanks inside { } do not end it. Zero where a {
 * has no }. */
static size_t word_len(struct str rest)
{
    size_t len = 0, level = 0;

    while (len < rest.len && (level > 0 || strchr(blanks, rest.ptr[len]) == NULL)) {
        if (rest.ptr[len] == '{')
            level++;
        else if (rest.ptr[len] == '}' && level > 0)
            level--;
        len++;
    }
    return level > 0 ? 0 : len;
}

/* Splits the part of a line behind the command into words. */
static bool parse_words(struct parser *parser, struct str rest, struct master_service *service)
{
    struct str words[256];
    size_t count = 0;

    for (;;) {
        while (rest.len > 0 && strchr(blanks, rest.ptr[0]) != NULL)
            rest = str_skip(rest, 1);
        if (rest.len == 0)
            break;
        size_t len = word_len(rest);
        if (len == 0)
            return fail(parser, "a { without its } in", rest, "");
        if (count == sizeof words / sizeof *words)
            return fail(parser, "more than 256 arguments, from", rest, "");
        struct str word = str_take(rest, len);
        if (word.ptr[0] == '{' && word.ptr[len - 1] == '}')
            word = str_trim(str_of(word.ptr + 1, len - 2));
        words[count++] = arena_copy(parser->arena, word);
        rest = str_skip(rest, len);
    }
    service->arguments = arena_new_array(parser->arena, count + 1, sizeof *service->arguments);
    service->argument_count = count;
    memcpy(service->arguments, words, count * sizeof *words);
    return true;
}

static bool add_override(struct parser *parser, struct str text, struct master_service *service)
{
    ptrdiff_t equals = str_find_byte(text, '=');

    if (equals <= 0)
        return fail(parser, "-o wants name=value, not", text,
                    "a value with blanks is written -o { name = value }");
    service->overrides[service->override_count++] = (struct service_override){
        .name = str_trim(str_take(text, (size_t)equals)),
        .value = str_trim(str_skip(text, (size_t)equals + 1)),
    };
    return true;
}

/* Reads the options in front of a service's own arguments. */
static bool parse_options(struct parser *parser, struct master_service *service)
{
    size_t i = 0;

    service->overrides =
        arena_new_array(parser->arena, service->argument_count + 1, sizeof *service->overrides);
    for (; i < service->argument_count; i++) {
        struct str *word = &service->arguments[i];
        if (word->len < 2 || word->ptr[0] != '-' || str_equal(*word, STR("--")))
            return true;
        if (word->ptr[1] == 'v') {
            service->verbosity += (int)word->len - 1;
        } else if (word->ptr[1] == 'o') {
            bool is_joined = word->len > 2;
            if (!is_joined && ++i == service->argument_count)
                return fail(parser, "nothing follows the last -o of service", service->name, "");
            word = &service->arguments[i];
            struct str text =
                normalize_assignment(parser->arena, is_joined ? str_skip(*word, 2) : *word);
            if (!add_override(parser, text, service))
                return false;
            if (!is_joined)
                *word = text;
        }
    }
    return true;
}

static bool parse_flag(struct parser *parser, const char *what, struct str text, bool if_default,
                       bool *value)
{
    if (!str_equal(text, STR("y")) && !str_equal(text, STR("n")) && !str_equal(text, STR("-")))
        return fail(parser, what, text, "it is y, n or -");
    *value = text.ptr[0] == '-' ? if_default : text.ptr[0] == 'y';
    return true;
}

static bool parse_number(struct parser *parser, const char *what, struct str text, int *value)
{
    uint64_t number;

    if (str_equal(text, STR("-")))
        return true;
    if (!str_to_u64(text, &number) || number > INT_MAX)
        return fail(parser, what, text, "it is a number from 0 to 2147483647, or -");
    *value = (int)number;
    return true;
}

static bool parse_columns(struct parser *parser, struct str type, struct master_service *service)
{
    struct str *columns = service->columns, wakeup = columns[3];
    size_t i = 0;

    while (i < sizeof type_names / sizeof *type_names && !str_equal(type, str_from(type_names[i])))
        i++;
    if (i == sizeof type_names / sizeof *type_names)
        return fail(parser, "bad service type", type,
                    "it is inet, unix, unix-dgram, fifo or pass");
    service->type = (enum service_type)i;
    service->is_wakeup_lazy = str_ends_with(wakeup, STR("?"));
    if (service->is_wakeup_lazy)
        wakeup = str_take(wakeup, wakeup.len - 1);
    service->process_limit = -1;
    return parse_flag(parser, "bad \"private\" column", columns[0], true, &service->is_private) &&
           parse_flag(parser, "bad \"unprivileged\" column", columns[1], true,
                      &service->is_unprivileged) &&
           parse_flag(parser, "bad \"chroot\" column", columns[2], false, &service->is_chrooted) &&
           parse_number(parser, "bad \"wakeup\" column", wakeup, &service->wakeup_s) &&
           parse_number(parser, "bad \"maxproc\" column", columns[4], &service->process_limit) &&
           (service->type != SERVICE_INET || !service->is_private ||
            fail(parser, "an inet service cannot be private:", service->name,
                 "write n in its third column"));
}

static bool parse_service(struct parser *parser, struct str text, struct master_service *service)
{
    struct str fields[FIELD_COUNT], rest = text;

    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (!str_next_word(&rest, blanks, &fields[i]))
            return fail(parser, "bad field count: a service has 8 columns, but there are fewer in",
                        text,
                        "a line that continues the one before it begins with white space");
        fields[i] = arena_copy(parser->arena, fields[i]);
    }
    *service = (struct master_service){
        .name = fields[0], .command = fields[7], .file = parser->file, .line = parser->line
    };
    memcpy(service->columns, &fields[2], sizeof service->columns);
    return parse_columns(parser, fields[1], service) && parse_words(parser, rest, service) &&
           parse_options(parser, service);
}

static void add_line(struct arena *arena, struct master_cf *master_cf,
                     const struct master_service *service)
{
    size_t count = master_cf->line_count;

    if (count == 0 || (count >= 16 && (count & (count - 1)) == 0)) {
        struct master_service *larger =
            arena_new_array(arena, count == 0 ? 16 : count * 2, sizeof *larger);
        if (count > 0)
            memcpy(larger, master_cf->lines, count * sizeof *larger);
        master_cf->lines = larger;
    }
    master_cf->lines[master_cf->line_count++] = *service;
}

/* The last line of a name and type counts, at the place of the first. */
static void choose_services(struct arena *arena, struct master_cf *master_cf)
{
    master_cf->services =
        arena_new_array(arena, master_cf->line_count + 1, sizeof *master_cf->services);
    for (size_t i = 0; i < master_cf->line_count; i++) {
        const struct master_service *line = &master_cf->lines[i];
        size_t j = 0;
        while (j < master_cf->count && !(master_cf->services[j].type == line->type &&
                                         str_equal(master_cf->services[j].name, line->name)))
            j++;
        if (j == master_cf->count)
            master_cf->count++;
        master_cf->services[j] = *line;
    }
}

bool master_cf_parse(struct arena *arena, const char *file, struct str text,
                     struct master_cf *master_cf, struct error *error)
{
    struct parser parser = { .arena = arena, .error = error };
    struct logical_line_reader reader;
    autofree_buf struct buf logical = { 0 };
    struct master_service service;

    *master_cf = (struct master_cf){ 0 };
    parser.file = arena_text(arena, str_from(file));
    if (str_find_byte(text, '\0') >= 0)
        return error_set(error, "%s contains a NUL byte; it must be a text file", file);
    logical_line_start(&reader, text);
    while (logical_line_next(&reader, &logical, &parser.line)) {
        if (ascii_is_space(buf_text(&logical)[0]))
            return fail(&parser, "the first service begins with white space:",
                        str_trim(buf_str(&logical)), "remove it");
        if (master_cf->line_count == SERVICE_LIMIT)
            return fail(&parser, "more than 10000 services, from", str_trim(buf_str(&logical)), "");
        if (!parse_service(&parser, str_trim(buf_str(&logical)), &service))
            return false;
        add_line(arena, master_cf, &service);
    }
    choose_services(arena, master_cf);
    return true;
}

const struct master_service *master_cf_find(const struct master_cf *master_cf, struct str name,
                                            enum service_type type)
{
    for (size_t i = 0; i < master_cf->count; i++) {
        if (master_cf->services[i].type == type && str_equal(master_cf->services[i].name, name))
            return &master_cf->services[i];
    }
    return NULL;
}

bool master_cf_has_name(const struct master_cf *master_cf, struct str name)
{
    for (size_t i = 0; i < master_cf->count; i++) {
        if (str_equal(master_cf->services[i].name, name))
            return true;
    }
    return false;
}
