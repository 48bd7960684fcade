/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users of the system, looked up when mail is delivered to them. The look-up may block for as long
 * as the system's name services do; this role waits for nothing else meanwhile.
 */
#pragma once

#include "base/arena.h"
#include "child.h"

struct user {
    const char *name;
    struct rights rights;
    const char *home, *shell;
    bool has_own_group; /* its group has its name and nobody else */
};

enum user_outcome { USER_FOUND, USER_ABSENT, USER_FAILED };

enum user_outcome user_find(struct arena *arena, struct str name, struct user *user,
                            struct error *error);
enum user_outcome user_find_id(struct arena *arena, uid_t uid, struct user *user,
                               struct error *error);
/* By name or number. */
enum user_outcome group_find(struct str name, gid_t *gid, struct error *error);
