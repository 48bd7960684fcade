/* SPDX-License-Identifier: Apache-2.0 */
/* What smtpd may do once it talks to the network. */
#pragma once

#include "service/service.h"

bool smtpd_confine(struct service *service, struct error *error);
