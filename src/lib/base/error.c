/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool error_set(struct error *error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    error->system_errno = 0;
    return false;
}

bool error_errno(struct error *error, const char *format, ...)
{
    int system_errno = errno;
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    size_t len = strlen(error->message);
    snprintf(error->message + len, sizeof error->message - len, ": %s", strerror(system_errno));
    error->system_errno = system_errno;
    return false;
}

bool error_context(struct error *error, const char *format, ...)
{
    char cause[sizeof error->message];
    va_list arguments;

    memcpy(cause, error->message, sizeof cause);
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    size_t len = strlen(error->message);
    snprintf(error->message + len, sizeof error->message - len, ": %s", cause);
    return false;
}
