/* SPDX-License-Identifier: Apache-2.0 */
/* All that the resolver may do once questions begin to come. */
#pragma once

#include "service/service.h"

must_check bool resolver_confine(struct service *service, struct error *error);
