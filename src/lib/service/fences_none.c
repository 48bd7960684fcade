/* SPDX-License-Identifier: Apache-2.0 */
/* For builds with sanitizers: their run-time opens files and looks into its own process. */
#include "service/fences.h"

bool fences_need_dumpable(void)
{
    return true;
}

bool fences_files(const char *const *paths, const char *const *readable, struct error *error)
{
    (void)paths, (void)readable, (void)error;
    return true;
}

bool fences_system_calls(unsigned rights, bool has_files, struct error *error)
{
    (void)rights, (void)has_files, (void)error;
    return true;
}
