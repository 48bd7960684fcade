/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manual page of the parameters, made from their table.
 */
#pragma once

#include <stdio.h>

/* postconf(5), as roff. */
void parameters_print_man(FILE *out);
