/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ensure.h"

#include <stdio.h>
#include <stdlib.h>

noreturn void ensure_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "panic: %s:%d: %s\n", file, line, condition);
    abort();
}
