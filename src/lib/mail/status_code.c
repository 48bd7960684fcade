/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/status_code.h"

size_t status_code_length(struct str text)
{
    size_t len = 0, digits = 0, dots = 0;

    if (text.len == 0 || (text.ptr[0] != '2' && text.ptr[0] != '4' && text.ptr[0] != '5'))
        return 0;
    for (; len < text.len && !ascii_is_space(text.ptr[len]); len++) {
        bool is_dot = text.ptr[len] == '.';
        if (!is_dot && (!ascii_is_digit(text.ptr[len]) || ++digits > 3))
            return 0;
        if (is_dot && (digits == 0 || ++dots > 2))
            return 0;
        if (is_dot && dots == 1 && digits != 1)
            return 0;
        if (is_dot)
            digits = 0;
    }
    return dots == 2 && digits > 0 ? len : 0;
}

void status_filter_apply(struct table_list *filter, struct arena *arena,
                         const struct log_context *log, struct str *status, struct str *text)
{
    struct str key = str_from(arena_printf(arena, "%.*s %.*s", STR_ARGS(*status), STR_ARGS(*text)));
    struct str found = STR("");
    struct error error;

    if (filter == NULL || table_list_is_empty(filter))
        return;
    switch (table_list_find(filter, key, KEY_WHOLE, arena, &found, &error)) {
    case LOOKUP_ABSENT:
        return;
    case LOOKUP_FAILED:
        log_warning(log, "%.*s: %s", STR_ARGS(table_list_name(filter)), error.message);
        return;
    case LOOKUP_FOUND:
        break;
    }
    size_t len = status_code_length(found);
    struct str rest = str_trim(str_skip(found, len));
    if (len == 0 || rest.len == 0 || (found.ptr[0] == '2') != (status->ptr[0] == '2')) {
        struct str word = str_cut(&found, " \t");
        log_warning(log, "delivery status filter returned bad status: \"%.*s\"", STR_ARGS(word));
        return;
    }
    *status = str_take(found, len);
    *text = rest;
}
