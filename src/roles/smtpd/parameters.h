/* SPDX-License-Identifier: Apache-2.0 */
/* What MAIL and RCPT carry behind their path: SIZE=, BODY=, NOTIFY= and so on. Pure. */
#pragma once

#include "base/arena.h"
#include "mail/envelope.h"
#include "replies.h"

struct mail_parameters {
    uint32_t flags; /* enum envelope_flag bits */
    uint64_t size_bytes;
    bool has_size;
    struct str envid;       /* xtext, as it came; borrowed */
    struct str auth_sender; /* the same */
    struct str verp;        /* XVERP's delimiters; borrowed; empty: none */
};

/* Why a parameter is refused. */
struct parameter_problem {
    bool is_unsupported; /* 555 5.5.4 Unsupported option: offender */
    struct str offender;
    bool is_bad_verp;      /* XVERP's value is none of two delimiters */
    enum reply_name reply; /* otherwise */
};

/* Which extensions the client has. */
struct parameter_rules {
    bool has_dsn, has_smtputf8, has_verp;
    bool has_auth;              /* smtpd_sasl_auth_enable: else AUTH= may say what it likes */
    struct str verp_delimiters; /* where XVERP has no value */
    struct str verp_filter;     /* what a delimiter may be */
};

must_check bool mail_parameters_parse(struct str text, struct parameter_rules rules,
                                      struct mail_parameters *parameters,
                                      struct parameter_problem *problem);
/* Sets dsn_notify and dsn_orcpt (borrowed). */
must_check bool rcpt_parameters_parse(struct str text, struct parameter_rules rules,
                                      struct recipient *recipient,
                                      struct parameter_problem *problem);
