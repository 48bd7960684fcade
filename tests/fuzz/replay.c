/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over the files of its corpus, each also cut short at every length up to a
 * bound, so that what fuzzing once found stays a test under every compiler and sanitizer.
 */
#include "base/file.h"
#include "base/memory.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILE_BYTES_MAX = 1024 * 1024, PREFIXES_MAX = 300 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An exact copy, so that reading past the end is seen. */
static void run_one(const char *bytes, size_t len)
{
    uint8_t *copy = memory_new(len);

    memcpy(copy, bytes, len);
    LLVMFuzzerTestOneInput(copy, len);
    memory_free(copy);
}

static bool run_file(const char *path)
{
    autofree_buf struct buf contents = { 0 };
    struct error error;

    if (!file_read(path, FILE_BYTES_MAX, &contents, &error)) {
        fprintf(stderr, "%s\n", error.message);
        return false;
    }
    for (size_t len = 0; len < contents.len && len < PREFIXES_MAX; len++)
        run_one(contents.ptr, len);
    run_one(buf_text(&contents), contents.len);
    return true;
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[argc - 1] : ".";
    DIR *entries = opendir(folder);
    size_t count = 0;

    if (entries == NULL) {
        perror(folder);
        return EXIT_FAILURE;
    }
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        char path[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (!run_file(path))
            return EXIT_FAILURE;
        count++;
    }
    closedir(entries);
    if (count == 0) {
        fprintf(stderr, "%s has no files\n", folder);
        return EXIT_FAILURE;
    }
    printf("[       OK ] %zu_corpus_files_pass\n", count);
    return EXIT_SUCCESS;
}
