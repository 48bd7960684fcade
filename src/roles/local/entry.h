/* SPDX-License-Identifier: Apache-2.0 */
/* One entry of an alias, .forward or :include: file: a command, a file, a list, or an address. */
#pragma once

#include "macro.h"
#include "walk.h"

void entry_deliver(struct walk *walk, struct step *step, struct str text);
/* Just as an address, whatever it looks like. */
void entry_deliver_address(struct walk *walk, struct step *step, struct str address);
/* A new message to the step's address. */
void entry_forward(struct walk *walk, const struct step *step);
/* The command of a mailbox or an entry, with the rights of the step's account. */
void entry_run_command(struct walk *walk, struct step *step, struct str command);
/* The names that stand for the step in forward_path and its like; ended, for struct macros. */
enum { STEP_MACROS = 9 };
void entry_macros(const struct walk *walk, const struct step *step,
                  struct macro_value values[STEP_MACROS]);
