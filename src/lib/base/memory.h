/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heap memory that is there or ends the process: out of memory is not an error any caller could
 * mend, the queue on disk is safe, and what a peer can make us allocate is bounded elsewhere.
 */
#pragma once

#include <stddef.h>

#define attribute_malloc __attribute__((malloc, returns_nonnull, warn_unused_result))

/* Zeroed memory; free with memory_free. */
attribute_malloc void *memory_new(size_t size_bytes);
attribute_malloc void *memory_new_array(size_t count, size_t size_bytes);
/* Grows or shrinks; what is beyond the old size is not zeroed. */
__attribute__((returns_nonnull, warn_unused_result)) void *memory_resize(void *memory,
                                                                         size_t size_bytes);
attribute_malloc char *memory_copy_string(const char *text);
void memory_free(void *memory);
