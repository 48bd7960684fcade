/* SPDX-License-Identifier: Apache-2.0 */
/* A cdb file of any bytes is read without a crash, and what is found in it is bounded by it. */
#include "memory_file.h"
#include "table/cdb_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keys[] = { "a", "", "key", "user@example.com" };
    int fd = memory_file_open(data, size, NULL, 0);

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        autoclear_arena struct arena arena = { 0 };
        struct error error = { 0 };
        struct str value;
        switch (cdb_file_find(fd, str_from(keys[i]), &arena, &value, &error)) {
        case LOOKUP_FOUND:
            ensure(value.len <= size);
            break;
        case LOOKUP_ABSENT:
            break;
        case LOOKUP_FAILED:
            ensure(error.message[0] != '\0');
            break;
        }
    }
    close(fd);
    return 0;
}
