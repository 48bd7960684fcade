/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of a service under overload: the same main.cf and line of master.cf, read with
 * another `stress`, as Postfix's master starts processes with "-o stress=yes" then. What the line
 * itself says of stress comes behind that, and holds.
 */
#pragma once

#include "config/config.h"

/* The line with that value of stress in front of its overrides; it lives as long as the arena and
 * what it is made from. */
const struct master_service *
service_with_stress(struct arena *arena, const struct master_service *service, struct str stress);

/* The configuration of `service` under overload, beside `calm`, the one it has otherwise. Where
 * they differ in nothing but what a default of Postfix makes depend on stress (deadlines, error
 * limits: all are read when they are needed, nothing is made from them), the result borrows
 * everything else from `calm`, must be freed before it, and its `lender` says so. `service` and the
 * arena must outlive the result. NULL with `error`. */
struct config *config_under_stress(const struct config *calm, const struct master_service *service,
                                   struct arena *arena, struct error *error);
