/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sendmail's command line: thirty years of options, parsed without side effects. Options end at
 * "--" or at the first argument that is none; a letter's argument may be attached or follow.
 */
#pragma once

#include "base/error.h"
#include "mail/envelope.h"

enum sendmail_mode {
    SENDMAIL_DELIVER, /* -bm: a message on standard input */
    SENDMAIL_LIST,    /* -bp, mailq */
    SENDMAIL_FLUSH,   /* -q, -qI, -qR */
    SENDMAIL_ALIASES, /* -bi, -I, newaliases */
    SENDMAIL_SMTP,    /* -bs */
    SENDMAIL_DAEMON,  /* -bd, -bl */
    SENDMAIL_VERIFY,  /* -bv */
    SENDMAIL_NOTHING, /* -bh, -bH, -q5m alone: accepted, nothing to do */
};

struct sendmail_options {
    enum sendmail_mode mode;
    const char *config_directory; /* NULL: not given */
    const char *sender;           /* NULL: not given; "" or "<>": the null sender */
    const char *full_name;        /* NULL: not given */
    const char *alias_database;   /* -oA */
    const char *flush_id, *flush_site;
    const char *dsn_envid;        /* "" where not given */
    uint8_t dsn_notify;           /* enum dsn_notify bits */
    uint32_t envelope_flags;      /* ENVELOPE_8BITMIME, ENVELOPE_RET_… */
    bool takes_header_recipients; /* -t */
    bool ignores_dots;            /* -i, -oi */
    bool is_gateway;              /* -G */
    bool wants_report;            /* -v */
    const char *verp;             /* -XV: delimiters; "": the default ones; NULL: not given */
    const char *warning;          /* of a value that is ignored; NULL = none */
    int first_recipient;          /* index into argv; argc where there is none */
};

/* `mode` is where the program's name starts from. An error is a wrong command line: EX_USAGE. */
must_check bool sendmail_options_parse(int argc, char *const *argv, enum sendmail_mode mode,
                                       struct sendmail_options *options, struct error *error);
