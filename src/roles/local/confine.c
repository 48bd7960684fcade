/* SPDX-License-Identifier: Apache-2.0 */
#include "confine.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* To become a user, to end what runs as one, to read tables that root alone does not own, and to
 * make a mailbox in a spool folder that only root writes to. */
static const unsigned kept[] = { CAP_SETUID, CAP_SETGID, CAP_KILL, CAP_DAC_READ_SEARCH, CAP_CHOWN };
/* Beyond these, what a set-user-id program (a mail filter of old) may have. */
static const unsigned bounding[] = { CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID };

static bool is_in(unsigned capability, const unsigned *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == capability)
            return true;
    return false;
}

static bool limit_bounding_set(struct error *error)
{
    for (unsigned each = 0; prctl(PR_CAPBSET_READ, each, 0, 0, 0) >= 0; each++) {
        if (is_in(each, kept, sizeof kept / sizeof kept[0]) ||
            is_in(each, bounding, sizeof bounding / sizeof bounding[0]))
            continue;
        if (prctl(PR_CAPBSET_DROP, each, 0, 0, 0) < 0)
            return error_errno(error, "drop capability %u for good", each);
    }
    return true;
}

static bool keep_capabilities(struct error *error)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        data[kept[i] / 32].effective |= 1u << (kept[i] % 32);
        data[kept[i] / 32].permitted |= 1u << (kept[i] % 32);
    }
    if (syscall(SYS_capset, &header, data) < 0)
        return error_errno(error, "keep five capabilities only");
    return true;
}

bool local_confine(struct service *service, struct error *error)
{
    const struct rlimit none = { 0, 0 };

    setrlimit(RLIMIT_CORE, &none);
    if (geteuid() != 0) {
        log_info(&service->log_context, "without root, mail is delivered to this user alone");
        return true;
    }
    return limit_bounding_set(error) && keep_capabilities(error);
}
