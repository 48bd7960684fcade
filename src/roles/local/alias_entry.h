/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The right-hand side of an alias, and each line of a .forward or :include: file: addresses,
 * "|command", /file and :include:/file, separated by commas or blanks, with quotes and comments as
 * in mail headers. Pure, linear, without recursion.
 */
#pragma once

#include "base/arena.h"

/* Takes the next entry off `*text`, in internal form (without quotes, comments and what stands
 * around <…>), into the arena. False at the end. Entries that are empty are skipped. */
bool alias_entry_next(struct arena *arena, struct str *text, struct str *entry);
