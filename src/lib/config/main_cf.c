/* SPDX-License-Identifier: Apache-2.0 */
#include "config/main_cf.h"

#include "base/memory.h"
#include "config/logical_line.h"

struct parser {
    struct arena *arena;
    const char *file;
    struct main_cf *main_cf;
    size_t capacity, note_capacity;
};

/* Arrays live in the arena and double: what is left behind is less than what is used. */
static void *grow(struct arena *arena, void *array, size_t count, size_t *capacity,
                  size_t size_bytes)
{
    if (count < *capacity)
        return array;
    *capacity = *capacity == 0 ? 32 : *capacity * 2;
    void *larger = arena_new_array(arena, *capacity, size_bytes);
    if (count > 0)
        memcpy(larger, array, count * size_bytes);
    return larger;
}

static void note(struct parser *parser, const char *text)
{
    struct main_cf *main_cf = parser->main_cf;

    main_cf->notes = grow(parser->arena, main_cf->notes, main_cf->note_count,
                          &parser->note_capacity, sizeof *main_cf->notes);
    main_cf->notes[main_cf->note_count++].text = text;
}

static bool parse_assignment(struct parser *parser, struct str text, int line, struct error *error)
{
    struct main_cf *main_cf = parser->main_cf;
    struct str rest = str_trim(text);
    size_t len = 0;

    while (len < rest.len && rest.ptr[len] != '=' && !ascii_is_space(rest.ptr[len]))
        len++;
    struct str name = str_take(rest, len);
    rest = str_trim(str_skip(rest, len));
    if (str_is_empty(name))
        return error_set(error, "%s, line %d: there is no parameter name before the \"=\"",
                         parser->file, line);
    if (str_is_empty(rest) || rest.ptr[0] != '=')
        return error_set(error,
                         "%s, line %d: there is no \"=\" after \"%.*s\"; a line that continues the "
                         "one before it begins with white space",
                         parser->file, line, STR_ARGS(str_take(name, 100)));
    main_cf->assignments = grow(parser->arena, main_cf->assignments, main_cf->count,
                                &parser->capacity, sizeof *main_cf->assignments);
    main_cf->assignments[main_cf->count++] = (struct main_cf_assignment){
        .name = arena_copy(parser->arena, name),
        .value = arena_copy(parser->arena, str_trim(str_skip(rest, 1))),
        .file = parser->file,
        .line = line,
    };
    return true;
}

bool main_cf_parse(struct arena *arena, const char *file, struct str text, struct main_cf *main_cf,
                   struct error *error)
{
    struct parser parser = { .arena = arena, .main_cf = main_cf };
    struct logical_line_reader reader;
    autofree_buf struct buf logical = { 0 };
    int line;

    *main_cf = (struct main_cf){ 0 };
    parser.file = arena_text(arena, str_from(file));
    if (str_find_byte(text, '\0') >= 0)
        return error_set(error, "%s contains a NUL byte; it must be a text file", file);
    logical_line_start(&reader, text);
    while (logical_line_next(&reader, &logical, &line)) {
        if (ascii_is_space(buf_text(&logical)[0]))
            note(&parser, arena_printf(arena,
                                       "%s, line %d: ignored, because it begins with white space "
                                       "and there is no line before it that it could continue",
                                       parser.file, line));
        else if (!parse_assignment(&parser, buf_str(&logical), line, error))
            return false;
    }
    return true;
}

const struct main_cf_assignment *main_cf_find(const struct main_cf *main_cf, struct str name)
{
    for (size_t i = main_cf->count; i > 0; i--) {
        if (str_equal(main_cf->assignments[i - 1].name, name))
            return &main_cf->assignments[i - 1];
    }
    return NULL;
}
