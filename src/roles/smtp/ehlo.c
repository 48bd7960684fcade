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

static const struct {
    struct str word;
    enum feature feature;
} forwarded[] = {
    { STR_INIT("NAME"), FEATURE_XFORWARD_NAME },   { STR_INIT("ADDR"), FEATURE_XFORWARD_ADDR },
    { STR_INIT("PROTO"), FEATURE_XFORWARD_PROTO }, { STR_INIT("HELO"), FEATURE_XFORWARD_HELO },
    { STR_INIT("IDENT"), FEATURE_XFORWARD_IDENT }, { STR_INIT("SOURCE"), FEATURE_XFORWARD_SOURCE },
};

static uint32_t forwarded_features(struct str words)
{
    uint32_t features = 0;
    struct str word;

    while (str_next_word(&words, " \t", &word)) {
        for (size_t i = 0; i < sizeof forwarded / sizeof forwarded[0]; i++) {
            if (str_equal_fold(word, forwarded[i].word))
                features |= forwarded[i].feature;
        }
    }
    return features;
}

void ehlo_parse(const struct reply *reply, struct str discard, struct offer *offer)
{
    struct str line, word;

    *offer = (struct offer){ .features = FEATURE_ESMTP };
    for (int i = 1; reply_line(reply, i, &line); i++) {
        if (!str_next_word(&line, " \t=", &word) || str_list_has(discard, word))
            continue;
        for (size_t k = 0; k < sizeof keywords / sizeof keywords[0]; k++) {
            if (str_equal_fold(word, keywords[k].keyword))
                offer->features |= keywords[k].feature;
        }
        if (str_equal_fold(word, STR("AUTH")))
            offer->mechanisms = line;
        if (str_equal_fold(word, STR("XFORWARD")))
            offer->features |= forwarded_features(line);
        uint64_t size;
        if (str_equal_fold(word, STR("SIZE")) && str_next_word(&line, " \t", &word) &&
            str_to_u64(word, &size))
            offer->size_limit = size;
    }
}
