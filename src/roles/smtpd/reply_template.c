/* SPDX-License-Identifier: Apache-2.0 */
#include "reply_template.h"

#include "base/byte_set.h"
#include "config/expand.h"

struct names {
    struct arena *arena;
    const struct template_name *names;
    size_t count;
    struct byte_set allowed;
    struct str unknown; /* the first name that there is not */
};

/* As a value that expand() leaves alone: a '$' in it stands for itself. */
static struct str shield(struct names *names, struct str value)
{
    char *copy = arena_new(names->arena, value.len * 2 + 1);
    size_t len = 0;

    for (size_t i = 0; i < value.len; i++) {
        char byte = byte_set_has(&names->allowed, value.ptr[i]) ? value.ptr[i] : '_';
        if (byte == '$')
            copy[len++] = '$';
        copy[len++] = byte;
    }
    return str_of(copy, len);
}

static bool find(void *argument, struct str name, struct expand_value *value)
{
    struct names *names = argument;

    *value = (struct expand_value){ .text = STR("") };
    for (size_t i = 0; i < names->count; i++) {
        if (str_equal(name, str_from(names->names[i].name))) {
            value->text = shield(names, names->names[i].value);
            return true;
        }
    }
    if (str_is_empty(names->unknown))
        names->unknown = arena_copy(names->arena, name);
    return false;
}

bool reply_template_expand(struct arena *arena, struct str template, struct str allowed,
                           const struct template_name *names, size_t count, struct str *text,
                           struct error *error)
{
    struct names known = {
        .arena = arena, .names = names, .count = count, .allowed = byte_set_parse(allowed)
    };
    struct expand_source source = { .find = find, .argument = &known };
    autofree_buf struct buf out = { 0 };

    buf_init(&out, 4096);
    if (!expand(&source, STR(""), template, &out, error))
        return false;
    if (!str_is_empty(known.unknown))
        return error_set(error, "unknown name \"%.*s\"", STR_ARGS(known.unknown));
    *text = arena_copy(arena, buf_str(&out));
    return true;
}
