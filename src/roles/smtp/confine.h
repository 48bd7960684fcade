/* SPDX-License-Identifier: Apache-2.0 */
/* All that the smtp role may do once its jobs begin to come. */
#pragma once

#include "service/service.h"

must_check bool smtp_confine(struct service *service, struct error *error);
