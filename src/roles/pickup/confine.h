/* SPDX-License-Identifier: Apache-2.0 */
/* All that the pickup role may do once it runs. */
#pragma once

#include "service/service.h"

must_check bool pickup_confine(struct service *service, struct error *error);
