/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration as the roles see it: a struct with one typed field for each parameter, named
 * as in main.cf, all values expanded. One is made from main.cf and the overrides (-o) of one
 * master.cf service; it is immutable and lives until config_free.
 *
 * Field types: TEXT struct str; BOOL bool; COUNT int; SIZE int64_t (bytes); TIME int64_t (seconds).
 * The rows are in config/parameters/<area>.def.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "config/machine.h"
#include "config/main_cf.h"
#include "config/master_cf.h"

typedef struct str config_type_TEXT;
typedef struct str config_type_RAW; /* TEXT whose macros stand for something else: not expanded */
typedef bool config_type_BOOL;
typedef int config_type_COUNT;
typedef int64_t config_type_SIZE;
typedef int64_t config_type_TIME;

/* Everything read from a configuration directory, unexpanded: main.cf's assignments and master.cf's
 * lines, each with the file and line it stands at. The master reads it once and hands a copy to
 * each role, so that all have the same. */
struct config_source {
    struct str folder; /* "/etc/postfix" */
    struct main_cf main_cf;
    struct master_cf master_cf;
    struct machine machine;
    struct str main_text, master_text; /* the files as they are */
    struct arena arena;
};

/* Reads main.cf and master.cf. Warnings (text after a number, unused parameters, …) go through
 * `warning`, which may be NULL; an error names file and line. */
must_check bool config_source_read(const char *folder,
                                   void (*warning)(void *argument, const char *text),
                                   void *argument, struct config_source *source,
                                   struct error *error);
void config_source_free(struct config_source *source);
/* The same from texts that stand for the two files of `folder`. */
must_check bool config_source_parse(const char *folder, struct str main_text,
                                    struct str master_text, struct config_source *source,
                                    struct error *error);
/* The same as bytes, for the copy that travels to roles. */
void config_source_save(const struct config_source *source, struct buf *out);
must_check bool config_source_load(struct str bytes, struct config_source *source,
                                   struct error *error);

struct config {
#define PARAMETER(type, name, ...) config_type_##type name;
#include "config/parameters.def"
#undef PARAMETER
    const struct config_source *source;
    const struct master_service *service; /* whose overrides apply; NULL = none */
    struct config_values *values;         /* every name that has a value, for config_find */
    const struct config *lender; /* whose values and texts it borrows (stress.h); NULL = nobody's */
    struct arena arena;
};

/* Expands and checks every parameter, with the overrides of `service` (NULL = main.cf alone). The
 * source must outlive it. The error names file and line, or the service, of the bad value. */
struct config *config_new(const struct config_source *source, const struct master_service *service,
                          void (*warning)(void *argument, const char *text), void *argument,
                          struct error *error);
void config_free(struct config **config);

/* A per-transport parameter: PREFIX_destination_concurrency_limit where main.cf has it, otherwise
 * the value of default_destination_concurrency_limit, and so on for each name that Postfix treats
 * so. `suffix` without the leading underscore. Time in seconds. */
must_check bool config_transport_number(const struct config *config, struct str transport,
                                        const char *suffix, int64_t *value, struct error *error);
must_check bool config_transport_text(const struct config *config, struct str transport,
                                      const char *suffix, struct str *value, struct error *error);
/* Whether main.cf or the service's overrides give the parameter a value, be it its default. */
bool config_is_set(const struct config *config, struct str name);
/* Any parameter by name, expanded, also user-defined ones; false when nobody defines it. The text
 * lives as long as the config. */
bool config_find(const struct config *config, struct str name, struct str *value);
