/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks for bugs, kept in release builds: a condition that does not hold names its place on
 * standard error and aborts. What the outside can cause (a peer, a file, the system) is a failure
 * (error.h) or a verdict, never an `ensure`.
 */
#pragma once

#include <stdnoreturn.h>

noreturn void ensure_failed(const char *condition, const char *file, int line);

#define ensure(condition)                                                                          \
    (__builtin_expect(!!(condition), 1) ? (void)0 : ensure_failed(#condition, __FILE__, __LINE__))

/* A switch over an enum that has handled every value ends with this. */
#define unreachable() ensure_failed("unreachable", __FILE__, __LINE__)
