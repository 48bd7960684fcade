/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_policy_service: asks a server for an access action, over Postfix's attribute protocol.
 * Connections stay open and are used again. Named before the role is confined; used from fibers.
 */
#pragma once

#include "rule.h"

struct policy_services;
struct policy_service;

struct policy_services *policy_services_new(struct service *service, const struct config *config);
void policy_services_free(struct policy_services **services);

/* "inet:host:port", "unix:path" or "{ server, timeout=10s, default_action=DUNNO }"; one that is
 * there already is given again. */
struct policy_service *policy_services_open(struct policy_services *services, struct str text,
                                            struct error *error);
/* NULL: none was opened by that name. */
struct policy_service *policy_services_find(const struct policy_services *services,
                                            struct str text);

/* The action the server names, or its default action where it cannot be asked. In the check's
 * scratch. */
struct str policy_service_ask(struct check *check, struct policy_service *service);
struct str policy_service_name(struct policy_service *service);

/* The action of a reply (attributes, each with its newline, without the empty line at the end).
 * False: malformed. */
must_check bool policy_reply_parse(struct str reply, struct str *action);
