/* SPDX-License-Identifier: Apache-2.0 */
#include "postsuper_id.h"

#include "mail/queue_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void queue_ids_are_told_from_what_is_none(void **state)
{
    struct queue_id_text short_id = queue_id_format(queue_id_from_wall_ms(1700000000000), false);
    struct queue_id_text long_id = queue_id_format(queue_id_from_wall_ms(1700000000000), true);
    char ten_kilobytes[10240];
    const struct {
        struct str text;
        enum postsuper_id id;
    } cases[] = {
        { str_from(short_id.text), POSTSUPER_ID_MESSAGE },
        { str_from(long_id.text), POSTSUPER_ID_MESSAGE },
        { STR("ALL"), POSTSUPER_ID_ALL },
        { STR("all"), POSTSUPER_ID_UNKNOWN },
        { STR("A"), POSTSUPER_ID_UNKNOWN },
        { STR("ABC19A72062"), POSTSUPER_ID_UNKNOWN },
        { STR("ABC19A72062*"), POSTSUPER_ID_INVALID },
        { STR("ABC19A72062!"), POSTSUPER_ID_INVALID },
        { STR("../x"), POSTSUPER_ID_INVALID },
        { STR("A B"), POSTSUPER_ID_INVALID },
        { STR("A\0B"), POSTSUPER_ID_INVALID },
        { STR("-"), POSTSUPER_ID_INVALID },
        { STR(""), POSTSUPER_ID_INVALID },
        { str_of(ten_kilobytes, sizeof ten_kilobytes), POSTSUPER_ID_INVALID },
        { str_of(ten_kilobytes, 255), POSTSUPER_ID_UNKNOWN },
        { str_of(ten_kilobytes, 256), POSTSUPER_ID_INVALID },
    };

    memset(ten_kilobytes, 'A', sizeof ten_kilobytes);
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(postsuper_id_parse(cases[i].text), cases[i].id);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(queue_ids_are_told_from_what_is_none) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
