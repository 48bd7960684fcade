/* SPDX-License-Identifier: Apache-2.0 */
/* A pipe line of master.cf (the first line) with a hostile address (the second). */
#include "pipe_settings.h"

#include "base/ensure.h"

enum { WORDS_MAX = 40 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str address = str_of((const char *)data, size), words[WORDS_MAX];
    struct str line = str_cut(&address, "\n");
    struct arena arena = { 0 };
    struct pipe_settings settings;
    struct error error = { 0 };
    size_t count = 0;

    while (count < WORDS_MAX && str_next_word(&line, " \t", &words[count]))
        count++;
    if (pipe_settings_parse(&arena, words, count, &settings, &error)) {
        const struct pipe_recipient recipients[] = {
            { .address = address, .original = address, .user = address },
            { .address = STR("b@x"), .domain = STR("x") },
        };
        const struct pipe_delivery delivery = { .values = { { "sender", address },
                                                            { NULL, STR("") } },
                                                .recipients = recipients,
                                                .recipient_count = 2 };
        const char *const *arguments = pipe_arguments(&arena, &settings, &delivery, &error);
        size_t made = 0;
        while (arguments != NULL && arguments[made] != NULL)
            made++;
        /* None is lost, and none becomes more than one for each recipient. */
        ensure(arguments == NULL ||
               (made >= settings.argument_count && made <= 2 * settings.argument_count));
    } else {
        ensure(error.message[0] != '\0');
    }
    arena_clear(&arena);
    return 0;
}
