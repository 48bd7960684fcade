/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's words, then a template with their name in it. Words are never expanded again, and
 * bytes that are not allowed do not come through.
 */
#include "base/ensure.h"
#include "reply_template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autoclear_arena struct arena arena = { 0 };
    struct str rest = str_of((const char *)data, size), words = str_cut(&rest, "\n");
    const struct template_name names[] = { { "client", words }, { "empty", STR("") } };
    struct error error = { 0 };
    struct str text;

    if (!reply_template_expand(&arena, rest, STR("ab$ {}"), names, 2, &text, &error)) {
        ensure(error.message[0] != '\0');
        return 0;
    }
    if (str_equal(rest, STR("$client"))) {
        ensure(text.len == words.len);
        for (size_t i = 0; i < text.len; i++)
            ensure(strchr("ab$ {}_", text.ptr[i]) != NULL && text.ptr[i] != '\0');
    }
    return 0;
}
