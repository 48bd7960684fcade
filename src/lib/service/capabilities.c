/* SPDX-License-Identifier: Apache-2.0 */
#include "service/capabilities.h"

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool is_in(unsigned capability, const unsigned *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == capability)
            return true;
    return false;
}

static bool limit_bounding_set(const struct capabilities *capabilities, struct error *error)
{
    for (unsigned each = 0; prctl(PR_CAPBSET_READ, each, 0, 0, 0) >= 0; each++) {
        if (is_in(each, capabilities->kept, capabilities->kept_count) ||
            is_in(each, capabilities->bounding, capabilities->bounding_count))
            continue;
        if (prctl(PR_CAPBSET_DROP, each, 0, 0, 0) < 0)
            return error_errno(error, "drop capability %u for good", each);
    }
    return true;
}

bool capabilities_keep(const struct capabilities *capabilities, struct error *error)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

    if (!limit_bounding_set(capabilities, error))
        return false;
    for (size_t i = 0; i < capabilities->kept_count; i++) {
        unsigned each = capabilities->kept[i];
        /* A container may never have had it; it cannot be kept then. */
        if (prctl(PR_CAPBSET_READ, each, 0, 0, 0) != 1)
            continue;
        data[each / 32].effective |= 1u << (each % 32);
        data[each / 32].permitted |= 1u << (each % 32);
    }
    if (syscall(SYS_capset, &header, data) < 0)
        return error_errno(error, "keep %zu capabilities only", capabilities->kept_count);
    return true;
}
