/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The servers that one role may have connections to: a list that the role fills before it is
 * ready, and connections to what is on it. The master begins the connection and passes the socket
 * on; it neither waits for it nor reads from it.
 */
#pragma once

#include "wire/connector.h"

enum { ENDPOINTS_MAX = CONNECTOR_NAMES_MAX };

struct endpoints;

struct endpoints *endpoints_new(void);
void endpoints_free(struct endpoints **endpoints);

/* Frames of `control`, from the role. False: malformed, or more than the role may ask for. */
bool endpoints_name(struct endpoints *endpoints, struct channel *control, struct str payload);
bool endpoints_connect(struct endpoints *endpoints, struct channel *control, struct str payload);
/* What a role gets for a control_connect or control_ask_user: a copy of `fd`, or where that is
 * negative errno. */
void endpoints_answer(struct channel *control, uint32_t token, int fd);
