/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attributes of a pipe line in master.cf: flags=, user=, argv= and so on, and the arguments
 * that they make for one delivery. The parser and the expansion are pure.
 */
#pragma once

#include "child.h"
#include "config/config.h"
#include "macro.h"

struct pipe_settings {
    unsigned copy_flags;      /* enum copy_flag bits */
    bool folds_domain;        /* h */
    bool folds_local;         /* u */
    bool quotes_local;        /* q */
    bool is_final;            /* X: "delivered", not "relayed" */
    struct str user, group;   /* user=name[:group] */
    struct str root;          /* chroot= */
    struct str folder;        /* directory= */
    struct str null_sender;   /* null_sender=; MAILER-DAEMON otherwise */
    struct str eol;           /* "\n" */
    int64_t size_limit_bytes; /* size=; 0: none */
    struct str *arguments;    /* argv= */
    size_t argument_count;
    struct rights rights; /* found by pipe_settings_find_user */
};

/* `words` is what follows "pipe" on the line, its -o included. */
must_check bool pipe_settings_parse(struct arena *arena, const struct str *words, size_t count,
                                    struct pipe_settings *settings, struct error *error);
/* Never root, mail_owner or setgid_group. */
must_check bool pipe_settings_find_user(struct pipe_settings *settings, const struct config *config,
                                        struct error *error);

/* One of the recipients, as macros see it. */
struct pipe_recipient {
    struct str address, original;
    struct str user, extension, mailbox, domain;
};
struct pipe_delivery {
    struct macro_value values[20]; /* those that are the same for all recipients */
    const struct pipe_recipient *recipients;
    size_t recipient_count;
};
/* The arguments, ended by NULL. One with a recipient's macro comes once for each recipient; none
 * is lost for being empty. NULL with `error`: an unknown macro, or too many. */
const char *const *pipe_arguments(struct arena *arena, const struct pipe_settings *settings,
                                  const struct pipe_delivery *delivery, struct error *error);
