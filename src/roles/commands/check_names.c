/* SPDX-License-Identifier: Apache-2.0 */
/* Names that nobody knows or that are not honoured, lines that do not count, services that cannot
 * run: what config/check.h finds. */
#include "check.h"

#include "config/check.h"

/* Those texts begin with their place: "main.cf, line 3: …", and "…(line 3; did you mean …)" for
 * unused names, in Postfix's form. */
static void take(void *argument, const char *text)
{
    struct check *check = argument;
    struct check_place place = { 0 };
    struct str rest = str_from(text);
    ptrdiff_t at = str_find(rest, STR(", line "));
    ptrdiff_t colon = str_find(rest, STR(": "));
    uint64_t line;

    if (at > 0 && at < colon &&
        str_to_u64(str_of(rest.ptr + at + 7, (size_t)(colon - at - 7)), &line)) {
        place.file = arena_text(&check->arena, str_take(rest, (size_t)at));
        place.line = (int)line;
        rest = str_skip(rest, (size_t)colon + 2);
    }
    bool is_unused = str_find(rest, STR("unused parameter")) >= 0;
    bool is_comment = str_find(rest, STR("a comment cannot")) >= 0;
    check_find(check, is_unused || is_comment ? CHECK_WARNING : CHECK_HINT,
               is_unused                                         ? "unused-parameter"
               : str_find(rest, STR("not honoured")) >= 0        ? "unsupported-parameter"
               : str_find(rest, STR("which counts")) >= 0        ? "set-twice"
               : str_find(rest, STR("there is no program")) >= 0 ? "unknown-program"
               : is_comment                                      ? "comment-in-value"
                                                                 : "no-effect",
               place, arena_text(&check->arena, rest), NULL);
}

void check_names(struct check *check)
{
    struct error ignored;

    config_check_names(check->source, take, check);
    /* Reading the values again has them warned of. */
    struct config *config = config_new(check->source, NULL, take, check, &ignored);
    config_free(&config);
}
