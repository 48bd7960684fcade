/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL_BYTES_MAX = 1032 };

static void *there(void *memory)
{
    if (memory == NULL) {
        fputs("fatal: out of memory\n", stderr);
        abort();
    }
    return memory;
}

/* The C library's calloc passes its cache of freed small pieces over. */
void *memory_new(size_t size_bytes)
{
    if (size_bytes > SMALL_BYTES_MAX)
        return there(calloc(1, size_bytes));
    return memset(there(malloc(size_bytes > 0 ? size_bytes : 1)), 0, size_bytes);
}

void *memory_new_array(size_t count, size_t size_bytes)
{
    return there(calloc(count > 0 ? count : 1, size_bytes));
}

void *memory_resize(void *memory, size_t size_bytes)
{
    return there(realloc(memory, size_bytes > 0 ? size_bytes : 1));
}

char *memory_copy_string(const char *text)
{
    return there(strdup(text));
}

void memory_free(void *memory)
{
    free(memory);
}
