/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the restrictions share: the parsed lists and what the rules look at. */
#pragma once

#include "rule.h"

/* A name that an operator made up in smtpd_restriction_classes, and its list. */
struct restriction_class {
    struct str name;
    struct rule_list list;
};

struct restrictions {
    struct restrictions_options options;
    struct match_list *mynetworks;
    struct rule_list lists[LIST_COUNT];
    struct restriction_class *classes;
    size_t class_count;
    struct policy_services *services;
    struct table_list *rbl_reply_maps, *relay_clientcerts;
    struct match_list *mx_backup_networks; /* permit_mx_backup_networks */
    bool access_has_parents; /* smtpd_access_maps in parent_domain_matches_subdomains */
    struct arena arena;
};

const char *restriction_list_parameter(enum restriction_list list);

struct parse_request {
    const char *parameter;
    struct str text;
    enum restriction_list list;
};
/* Before confinement: opens tables and names servers. */
must_check bool rules_parse(struct restrictions *restrictions, const struct parse_request *request,
                            struct rule_list *list, struct error *error);
/* From a table's result or a policy server's, at run time: nothing is opened. What cannot be
 * becomes a rule that answers 451. */
void rules_parse_result(const struct restrictions *restrictions, struct arena *arena,
                        const struct parse_request *request, struct rule_list *list);
