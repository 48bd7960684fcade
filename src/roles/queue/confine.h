/* SPDX-License-Identifier: Apache-2.0 */
/* What the queue may do once it runs: its store and its descriptors, nothing else. */
#pragma once

#include "service/service.h"

bool queue_confine(struct service *service, struct error *error);
