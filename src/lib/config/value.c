/* SPDX-License-Identifier: Apache-2.0 */
#include "config/value.h"

bool value_to_bool(struct str text, bool *value, struct error *error)
{
    *value = str_equal_fold(text, STR("yes"));
    return *value || str_equal_fold(text, STR("no")) ||
           error_set(error, "\"%.*s\" is neither yes nor no", STR_ARGS(str_take(text, 100)));
}

bool value_to_number(struct str text, int64_t least, int64_t most, int64_t *value,
                     struct error *error)
{
    return (str_to_i64(text, value) && *value >= least && *value <= most) ||
           error_set(error, "\"%.*s\" is no number from %lld to %lld",
                     STR_ARGS(str_take(text, 100)), (long long)least, (long long)most);
}

static int64_t unit_seconds(char unit)
{
    switch (unit) {
    case 's':
        return 1;
    case 'm':
        return 60;
    case 'h':
        return 60 * 60;
    case 'd':
        return 24 * 60 * 60;
    case 'w':
        return 7 * 24 * 60 * 60;
    default:
        return 0;
    }
}

bool value_to_seconds(struct str text, char unit, int64_t *value, struct error *error)
{
    struct str digits = text;
    int64_t most = INT32_MAX;

    if (digits.len > 1 && unit_seconds(digits.ptr[digits.len - 1]) != 0) {
        unit = digits.ptr[digits.len - 1];
        digits = str_take(digits, digits.len - 1);
    }
    most /= unit_seconds(unit);
    if (!str_to_i64(digits, value) || *value < 0 || *value > most)
        return error_set(error,
                         "\"%.*s\" is no time: a number, then one of the units s, m, h, d, w or "
                         "none, which means %c here; from 0 to %lld%c",
                         STR_ARGS(str_take(text, 100)), unit, (long long)most, unit);
    *value *= unit_seconds(unit);
    return true;
}

struct str value_without_comment(struct str text)
{
    struct str rest = text, word = str_cut(&rest, " \t");

    rest = str_trim(rest);
    return !str_is_empty(rest) && rest.ptr[0] == '#' ? word : text;
}
