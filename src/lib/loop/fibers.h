/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop's side of its fibers (fiber.h is what everybody else uses). Belongs to src/lib/loop.
 */
#pragma once

#include "loop/fiber.h"

struct fibers;

struct fibers *fibers_new(struct loop *loop);
void fibers_free(struct fibers **fibers); /* all must have ended */
/* The fibers' part of an iteration. */
void fibers_run(struct fibers *fibers);
bool fibers_are_runnable(const struct fibers *fibers);

/* In loop.c. */
struct fibers *loop_fibers(const struct loop *loop);
