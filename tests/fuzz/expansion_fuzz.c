/* SPDX-License-Identifier: Apache-2.0 */
/* Macros of hostile values that refer to one another: the first lines are values of a, b, c …, the
 * last is expanded. */
#include "config/expand.h"

#include "base/ensure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VALUE_COUNT = 8 };

static bool find(void *argument, struct str name, struct expand_value *value)
{
    const struct str *values = argument;

    if (name.len != 1 || name.ptr[0] < 'a' || name.ptr[0] >= 'a' + VALUE_COUNT)
        return false;
    value->text = values[name.ptr[0] - 'a'];
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_of((const char *)data, size), values[VALUE_COUNT];
    autofree_buf struct buf out = { 0 };
    struct error error = { 0 };

    for (size_t i = 0; i < VALUE_COUNT; i++)
        values[i] = str_cut(&rest, "\n");
    const struct expand_source source = { .find = find, .argument = values };
    if (!expand(&source, STR(""), rest.len > 0 ? rest : values[0], &out, &error))
        ensure(error.message[0] != '\0');
    ensure(out.len <= 1 << 20);
    return 0;
}
