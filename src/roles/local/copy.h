/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message as a mailbox or a program gets it: the headers that tell of its envelope in front, and
 * its lines with the line ends of the receiver. Pure.
 */
#pragma once

#include "base/buf.h"

#include <stdint.h>

enum copy_flag {
    COPY_FROM_LINE = 1,   /* "From sender  date" in front */
    COPY_RETURN_PATH = 2, /* Return-Path: */
    COPY_ORIGINAL = 4,    /* X-Original-To: */
    COPY_DELIVERED = 8,   /* Delivered-To: */
    COPY_QUOTE_FROM = 16, /* '>' before lines that look like the From line */
    COPY_BLANK_END = 32,  /* an empty line behind the message */
    COPY_STUFF_DOTS = 64, /* '.' before lines that begin with one */
    COPY_MBOX = COPY_FROM_LINE | COPY_RETURN_PATH | COPY_ORIGINAL | COPY_DELIVERED |
                COPY_QUOTE_FROM | COPY_BLANK_END,
    COPY_MAILDIR = COPY_RETURN_PATH | COPY_ORIGINAL | COPY_DELIVERED,
};

struct copy {
    unsigned flags;         /* enum copy_flag bits */
    struct str sender;      /* internal form; empty: the null sender */
    struct str original_to; /* internal form */
    struct str delivered_to;
    struct str content; /* with CRLF line ends */
    struct str eol;     /* "\n" */
    int64_t wall_s;     /* for the From line, in local time */
};

void copy_format(const struct copy *copy, struct buf *out);
