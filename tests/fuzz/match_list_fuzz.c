/* SPDX-License-Identifier: Apache-2.0 */
/* Lists as an operator may write them; no file and no table outside memory is touched. */
#include "base/ensure.h"
#include "table/match_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_of((const char *)data, size);
    struct match_list_options options = { .name = STR("mynetworks"),
                                          .matches_parent_domains = true };
    struct error error;

    /* "/…" would open files, as would most types of tables. */
    if (str_find(text, STR("/")) == 0 || str_find(text, STR(" /")) >= 0 ||
        str_find(text, STR("!/")) >= 0 || str_find(text, STR(",/")) >= 0 ||
        memchr(text.ptr, '\0', text.len) != NULL)
        return 0;
    struct match_list *list = match_list_new(text, &options, &error);
    if (list == NULL)
        return 0;
    (void)match_list_find_name(list, STR("mail.example.com"), &error);
    enum match_outcome plain =
        match_list_find_client(list, STR("unknown"), STR("192.0.2.1"), &error);
    enum match_outcome mapped =
        match_list_find_client(list, STR("unknown"), STR("::ffff:192.0.2.1"), &error);
    ensure(plain == mapped || str_find(text, STR(":")) >= 0 ||
           str_find(text, STR("192.0.2.1")) >= 0);
    (void)match_list_too_broad(list);
    match_list_free(&list);
    return 0;
}
