/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tables of a list could answer, for roles that must prepare for it before they are
 * confined: files and sockets that values name. As far as that can be known: servers and data bases
 * are not asked.
 */
#pragma once

#include "base/str.h"

/* `hear` gets each value of a table that can be walked, the lines of a table of patterns, and the
 * word itself of one that stands in main.cf (inline:, static:). Tables that do not open are left
 * to whoever looks things up in them. */
void table_walk(struct str list, void (*hear)(void *argument, struct str text), void *argument);
