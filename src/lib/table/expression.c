/* SPDX-License-Identifier: Apache-2.0 */
#include "table/expression.h"

#include "base/memory.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { STEPS_MAX = 100000, DEPTH_MAX = 1000, HEAP_KB_MAX = 1024, SHOWN_BYTES = 100 };

struct expression {
    pcre2_code *code;
    pcre2_match_data *found;
    pcre2_match_context *limits;
};

struct expression *expression_new(struct str text, struct error *error)
{
    struct expression *expression = memory_new(sizeof *expression);
    unsigned char why[200];
    PCRE2_SIZE offset;
    int code;

    expression->code =
        pcre2_compile((PCRE2_SPTR)text.ptr, text.len, PCRE2_CASELESS, &code, &offset, NULL);
    expression->found = pcre2_match_data_create(1, NULL);
    expression->limits = pcre2_match_context_create(NULL);
    if (expression->code == NULL) {
        pcre2_get_error_message(code, why, sizeof why);
        error_set(error, "\"%.*s\" is no regular expression: %s",
                  STR_ARGS(str_take(text, SHOWN_BYTES)), (const char *)why);
        expression_free(&expression);
    } else if (expression->found == NULL || expression->limits == NULL) {
        error_set(error, "out of memory");
        expression_free(&expression);
    } else {
        pcre2_set_match_limit(expression->limits, STEPS_MAX);
        pcre2_set_depth_limit(expression->limits, DEPTH_MAX);
        pcre2_set_heap_limit(expression->limits, HEAP_KB_MAX);
    }
    return expression;
}

void expression_free(struct expression **expression)
{
    struct expression *gone = *expression;

    if (gone == NULL)
        return;
    pcre2_code_free(gone->code);
    pcre2_match_data_free(gone->found);
    pcre2_match_context_free(gone->limits);
    memory_free(gone);
    *expression = NULL;
}

bool expression_matches(const struct expression *expression, struct str text)
{
    return pcre2_match(expression->code, (PCRE2_SPTR)text.ptr, text.len, 0, 0, expression->found,
                       expression->limits) >= 0;
}
