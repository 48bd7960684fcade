/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where lines end up: a file (maillog_file), or the system's logger through /dev/log. Neither is
 * ever waited for. What does not fit into the bounded memory in between is dropped and counted,
 * and the count is written as a line of its own as soon as there is room.
 */
#pragma once

#include "base/log.h"
#include "config/config.h"
#include "loop/loop.h"

struct sink;

/* Opens the file, with the rights that the process has now. NULL on failure. */
struct sink *sink_new(struct loop *loop, const struct config *config, struct error *error);
void sink_free(struct sink **sink);

void sink_write(struct sink *sink, const struct log_record *record);
/* Hands on what gathered; call when a batch is over. */
void sink_flush(struct sink *sink);
uint64_t sink_lost_count(const struct sink *sink);
