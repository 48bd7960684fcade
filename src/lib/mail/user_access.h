/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which users of this machine may do what with the mail system: authorized_flush_users,
 * authorized_mailq_users and authorized_submit_users. Postfix's texts say who may not. Whoever
 * holds one asks it in its own thread.
 */
#pragma once

#include "config/config.h"

#include <sys/types.h>

enum user_right {
    USER_RIGHT_FLUSH,
    USER_RIGHT_VIEW,
    USER_RIGHT_SUBMIT,
    USER_RIGHT_COUNT,
};

struct user_access;

/* Never NULL: with a list that cannot be read everybody is refused who has to be on it. Borrows
 * from the configuration. `owner` is mail_owner, who like root may always look and flush. */
struct user_access *user_access_new(const struct config *config, enum user_right right,
                                    uid_t owner);
void user_access_free(struct user_access **access);

/* Whether the user has the right whatever the name is: that need not be looked up then. */
bool user_access_is_given(const struct user_access *access, uid_t uid);
enum user_verdict {
    USER_ALLOWED,
    USER_FORBIDDEN, /* `error` says so in Postfix's words */
    USER_UNCLEAR,   /* the list cannot tell now; `error` says why */
};
/* `name` is the login name; empty: nobody has this number. */
must_check enum user_verdict user_access_check(struct user_access *access, uid_t uid,
                                               struct str name, struct error *error);
/* For whoever called this process: its real user. */
must_check enum user_verdict user_access_check_caller(const struct config *config,
                                                      enum user_right right, struct error *error);
