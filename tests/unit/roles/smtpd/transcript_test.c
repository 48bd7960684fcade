/* SPDX-License-Identifier: Apache-2.0 */
/* Plays every transcript of this folder, named by its first argument. */
#include "transcript.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <cmocka.h>

enum { TRANSCRIPTS_MAX = 200 };

static void plays_as_written(void **state)
{
    assert_true(transcript_play(*state));
}

static int is_transcript(const struct dirent *entry)
{
    return str_ends_with(str_from(entry->d_name), STR(".txt"));
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[TRANSCRIPTS_MAX] = { { 0 } };
    struct arena arena = { 0 };
    struct dirent **entries;
    size_t count = 0;

    const char *folder = argc > 1 ? argv[1] : TRANSCRIPTS_FOLDER;
    int found = scandir(folder, &entries, is_transcript, alphasort);
    for (int i = 0; i < found && count < TRANSCRIPTS_MAX; i++) {
        const char *path = arena_printf(&arena, "%s/%s", folder, entries[i]->d_name);
        tests[count++] = (struct CMUnitTest){
            .name = arena_printf(&arena, "%s", entries[i]->d_name),
            .test_func = plays_as_written,
            .initial_state = (void *)(uintptr_t)path,
        };
        free(entries[i]);
    }
    if (found >= 0)
        free(entries);
    int failed =
        count == 0 || _cmocka_run_group_tests("smtpd transcripts", tests, count, NULL, NULL);
    arena_clear(&arena);
    return failed;
}
