/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the local role keeps of root. Its children become users, and programs that users start may
 * be set-user-id or set-group-id, so no_new_privs, Landlock and a system call filter, which all of
 * them would inherit, are not for it.
 */
#pragma once

#include "service/service.h"

/* `changes_roots`: some command runs in a root directory of its own. */
must_check bool local_confine_as(struct service *service, bool changes_roots, struct error *error);
