/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many conversations each listening service may have, and the places (service/places.h) that
 * its workers share for it. A service keeps its places over reloads, by its name, so that
 * conversations of processes that finish what they have still count. Belongs to the supervisor.
 */
#pragma once

#include "config/config.h"
#include "net/channel.h"
#include "sockets.h"

struct service_places;

struct service_places *service_places_new(void);
void service_places_free(struct service_places **all);

/* Places for each smtpd line that has a socket. On failure what was there stays. */
must_check bool service_places_apply(struct service_places *all, const struct config *config,
                                     const struct sockets *sockets, struct error *error);
/* Tells a new worker of all of them; before its listeners. */
void service_places_send(const struct service_places *all, struct channel *control,
                         uint32_t worker);
/* What a worker held is free, as it has ended. */
void service_places_forget(const struct service_places *all, uint32_t worker);
/* Tells a worker that it may find a place: of the service with that number, where there is one, or
 * with NULL of each. */
void service_places_tell_free(const struct service_places *all, struct channel *control,
                              const uint32_t *number);
