/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trust anchor files that smtp_tls_policy_maps names (tafile=). They are read before the role
 * is confined, as far as the tables let themselves be looked through; a change of a table renews
 * the role. Memory is the arena's.
 */
#pragma once

#include "base/log.h"
#include "base/map.h"
#include "trust_files.h"

struct named_trust {
    struct arena *arena;
    const struct log_context *log;
    struct map *by_path; /* struct trust_files */
};

void named_trust_init(struct named_trust *trust, struct arena *arena,
                      const struct log_context *log);
void named_trust_clear(struct named_trust *trust);
/* Reads all that the tables name; says in the log what cannot be read. */
void named_trust_read(struct named_trust *trust, struct str maps);
/* NULL where it could not be read, or was not named. */
const struct trust_files *named_trust_find(const struct named_trust *trust, struct str path);
