/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every name stands for, for one service: its -o, else main.cf, else the default; expanded
 * when it is asked for. The inside of struct config; postconf uses it too.
 */
#pragma once

#include "config/config.h"
#include "config/expand.h"
#include "config/parameter.h"

enum value_origin { VALUE_IS_DEFAULT, VALUE_IN_MAIN_CF, VALUE_IN_MASTER_CF };

struct config_value {
    struct str name;
    struct str raw;
    const char *place; /* "main.cf, line 3"; NULL for a default */
    enum value_origin origin;
    const struct parameter *parameter; /* NULL for a user-defined name */
    bool is_expanded;
    struct str expanded;
};

struct config_values;

/* The source and service must outlive it. */
struct config_values *config_values_new(const struct config_source *source,
                                        const struct master_service *service);
void config_values_free(struct config_values **values);

/* The value of a name, unexpanded; NULL when it has none. A parameter of a transport has the
 * default for all transports where it is not set. */
struct config_value *config_values_find(struct config_values *values, struct str name);
/* Whether nothing but the parameter's default counts, and that stands for itself. Most do; asking
 * for them by config_values_find would only make room for each. */
bool config_values_has_plain_default(const struct config_values *values,
                                     const struct parameter *parameter);
/* The same, expanded; the text lives as long as the values. The error names the place. */
must_check bool config_values_expand(struct config_values *values, struct config_value *value,
                                     struct str *text, struct error *error);
/* Calls `differs` for each name whose expanded values are not the same in the two, also for those
 * that a configuration made up. */
void config_values_compare(struct config_values *one, struct config_values *other,
                           void (*differs)(void *argument, const struct config_value *value),
                           void *argument);
/* Expands any text with these values, as a part of `name`. */
must_check bool config_values_expand_text(struct config_values *values, struct str name,
                                          struct str text, struct buf *out, struct error *error);
/* Gives a default that depends on the machine its text; others stay. */
must_check bool config_values_compute(struct config_values *values, struct config_value *value,
                                      struct error *error);
/* Called for each name that is referred to and that nobody defines; NULL = not. */
void config_values_on_undefined(struct config_values *values,
                                void (*undefined)(void *argument, struct str name), void *argument);
