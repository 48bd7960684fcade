/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content of DATA: the decoder that smtpd reads it with, and the one encoder that anything
 * leaves by. Between them content is normalised: lines end in CRLF, and there is no other CR or
 * LF. Whatever the bytes and however they are cut into portions, only CRLF "." CRLF ends DATA
 * (SMTP smuggling), and the encoder never produces that before the end. A line with a lone dot and
 * other ends is left out. A CR that no LF follows is a blank, also one before CRLF.
 */
#pragma once

#include "base/buf.h"

enum bare_newline {                         /* smtpd_forbid_bare_newline */
                    BARE_NEWLINE_NORMALIZE, /* LF is a line end like CRLF, except around the final
                                               dot (default) */
                    BARE_NEWLINE_REJECT, /* the same, and the caller refuses when has_bare_newline
                                          */
};

struct dot_decoder {
    uint8_t state;         /* private */
    bool is_plain;         /* the content of BDAT: dots mean nothing, the caller knows the end */
    bool is_done;          /* CRLF.CRLF was seen */
    bool has_bare_newline; /* an LF without CR was seen */
    bool has_bare_return;  /* a CR without LF was seen; it became a blank */
    bool has_nul;
    uint64_t line_count;
};

/* { 0 } is the start of content, right after the line end of the DATA command. Decodes from `in`
 * up to its end or the end of the content, appends to `out`, returns how many bytes it used: less
 * than in.len only when is_done. A buffer at its limit drops bytes and is marked overflowed, and
 * decoding goes on, so the end is still found. The output always ends a line when is_done. */
size_t dot_decode(struct dot_decoder *decoder, struct str in, struct buf *out);
/* The end of plain content: a last line without its end gets one. */
void dot_decode_end(struct dot_decoder *decoder, struct buf *out);

struct dot_encoder {
    size_t line_length_limit; /* smtp_line_length_limit; 0 = unlimited; longer lines get CRLF and
                                 a blank at the limit */
    bool has_broken_line;     /* a line was longer than that */
    size_t line_bytes;        /* private: in the line so far */
    uint8_t state;            /* private */
};

/* Takes the next piece off `*content`: bytes to send as they are, a borrowed run of the content
 * wherever possible or a constant. False when `*content` is used up. Content that is clean and has
 * no line that starts with a dot comes back whole, in one piece. Bare CR becomes a blank, bare LF
 * becomes CRLF. */
bool dot_encode_next(struct dot_encoder *encoder, struct str *content, struct str *piece);
/* What ends DATA here: ".\r\n", with CRLF in front where the last line has no end. */
struct str dot_encode_end(struct dot_encoder *encoder);
/* Everything at once, with the end. */
void dot_encode(struct dot_encoder *encoder, struct str content, struct buf *out);
