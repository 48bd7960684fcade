/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of parameters, made from config/parameters.def.
 */
#pragma once

#include "base/str.h"

enum parameter_type {
    PARAMETER_TEXT,
    PARAMETER_RAW, /* TEXT whose macros are somebody else's */
    PARAMETER_BOOL,
    PARAMETER_COUNT,
    PARAMETER_SIZE,
    PARAMETER_TIME,
};
enum parameter_mark { PARAMETER_NOT_YET, PARAMETER_NO_USE, PARAMETER_HONOURED };
enum parameter_scope { PARAMETER_PER_SERVICE, PARAMETER_GLOBAL };

struct parameter {
    struct str name;
    enum parameter_type type;
    struct str default_text; /* unexpanded; empty where it depends on the machine */
    enum parameter_scope scope;
    enum parameter_mark mark;
    const char *documentation; /* sentences, in words of our own */
    size_t offset;             /* of the field in struct config */
};

extern const struct parameter parameters[];
extern const size_t parameter_count;

/* How large the field in struct config is. */
size_t parameter_field_bytes(enum parameter_type type);

/* NULL when there is no such parameter. */
const struct parameter *parameter_find(struct str name);
/* Its value has no blanks: what people write behind it is a comment. Numbers and the like, and
 * texts whose default is a number: those once were numbers. */
bool parameter_is_one_word(const struct parameter *parameter);
/* What a TIME without a unit is in: the unit its default ends with, else 's'. */
char parameter_time_unit(const struct parameter *parameter);
/* The parameter whose name is most like `name`, where one is like it; else NULL. */
const struct parameter *parameter_nearest(struct str name);

/* A name that Postfix once had: what became of it, in a few words; NULL when it never had it. */
const char *parameter_removed(struct str name);

/* A parameter that each transport has under its own name, such as
 * PREFIX_destination_rate_delay. */
struct transport_parameter {
    struct str suffix;       /* "_destination_rate_delay" */
    struct str default_name; /* "default_destination_rate_delay": whose value it has if unset */
};
extern const struct transport_parameter transport_parameters[];
extern const size_t transport_parameter_count;

/* Splits "qq_destination_rate_delay" into the transport's name and its parameter; NULL when the
 * name is of no such form. */
const struct transport_parameter *transport_parameter_find(struct str name, struct str *transport);

/* The parameters by name, in `sorted`, which has room for parameter_count. */
void parameters_sort(const struct parameter **sorted);
