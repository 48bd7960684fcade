/* SPDX-License-Identifier: Apache-2.0 */
#include "ehlo.h"

static const struct {
    struct str keyword;
    enum feature feature;
} keywords[] = {
    { STR_INIT("PIPELINING"), FEATURE_PIPELINING },
    { STR_INIT("SIZE"), FEATURE_SIZE },
    { STR_INIT("8BITMIME"), FEATURE_8BITMIME },
    { STR_INIT("DSN"), FEATURE_DSN },
    { STR_INIT("SMTPUTF8"), FEATURE_SMTPUTF8 },
    { STR_INIT("STARTTLS"), FEATURE_STARTTLS },
    { STR_INIT("AUTH"), FEATURE_AUTH },
};

static bool list_has_word(struct str list, struct str word)
{
    struct str entry;

    while (str_next_word(&list, ", \t\r\n", &entry)) {
        if (str_equal_fold(entry, word))
            return true;
    }
    return false;
}

void ehlo_parse(const struct reply *reply, struct str discard, struct offer *offer)
{
    struct str line, word;

    *offer = (struct offer){ .features = FEATURE_ESMTP };
    for (int i = 1; reply_line(reply, i, &line); i++) {
        if (!str_next_word(&line, " \t=", &word) || list_has_word(discard, word))
            continue;
        for (size_t k = 0; k < sizeof keywords / sizeof keywords[0]; k++) {
            if (str_equal_fold(word, keywords[k].keyword))
                offer->features |= keywords[k].feature;
        }
        uint64_t size;
        if (str_equal_fold(word, STR("SIZE")) && str_next_word(&line, " \t", &word) &&
            str_to_u64(word, &size))
            offer->size_limit = size;
    }
}
