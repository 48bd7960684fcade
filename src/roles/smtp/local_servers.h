/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LMTP servers behind Unix sockets. The role cannot open such sockets itself: before it is
 * confined it names to the master those that the configuration speaks of, and asks the master for
 * connections later (service/endpoint.h). A path that the configuration did not have at start is
 * out of reach until a reload.
 */
#pragma once

#include "service/endpoint.h"

struct local_servers;

/* Looks for "unix:PATH" in the parameters that route mail, and in the tables that they name as far
 * as those can be walked. In the role's start function. */
struct local_servers *local_servers_new(struct service *service);
void local_servers_free(struct local_servers **servers);
/* The same for one more text of that kind, such as a service's fallback relay. */
void local_servers_name(struct local_servers *servers, struct str text);
/* As the next hop has it; NULL where it was not named. */
struct endpoint *local_servers_find(const struct local_servers *servers, struct str path);
