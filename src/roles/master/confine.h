/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the master may do once its sockets are open: start roles as other users in empty root
 * directories, end them, bind ports at a reload, keep the spool in order. It is root without the
 * rest of root's rights: no module, no raw network, no other process's memory, no clock, no mount.
 */
#pragma once

#include "base/error.h"

/* Nothing where the effective user is not root. */
must_check bool master_confine(struct error *error);
