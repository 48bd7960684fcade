/* SPDX-License-Identifier: Apache-2.0 */
#include "confine.h"

#include "service/capabilities.h"

#include <unistd.h>

/* The roles that it starts give up theirs themselves; CAP_SETPCAP is for that. */
static const unsigned kept[] = {
    CAP_CHOWN,      CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER,  CAP_FSETID,
    CAP_KILL,       CAP_SETGID,       CAP_SETUID,          CAP_SETPCAP, CAP_NET_BIND_SERVICE,
    CAP_SYS_CHROOT,
};

bool master_confine(struct error *error)
{
    const struct capabilities capabilities = {
        .kept = kept,
        .kept_count = sizeof kept / sizeof kept[0],
    };

    return geteuid() != 0 || capabilities_keep(&capabilities, error);
}
