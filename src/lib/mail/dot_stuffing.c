/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both directions copy runs of clean lines at once, found with memchr; what is not clean goes
 * through a state machine byte by byte.
 */
#include "mail/dot_stuffing.h"

/* ---- decoder ---- */

enum decoder_state {
    AFTER_CRLF, /* at the start of a line; the start of content counts as one */
    AFTER_LF,   /* at the start of a line behind a bare LF: a dot here cannot end DATA */
    IN_LINE,
    IN_LINE_CR,   /* a CR, withheld */
    ON_DOT,       /* a dot behind CRLF, dropped */
    ON_DOT_CR,    /* CRLF "." CR: LF now is the end */
    ON_LF_DOT,    /* a dot behind a bare LF, dropped */
    ON_LF_DOT_CR, /* LF "." CR */
};

static void decode_in_line(struct dot_decoder *decoder, char byte, struct buf *out)
{
    if (byte == '\r') {
        decoder->state = IN_LINE_CR;
    } else if (byte == '\n') {
        buf_append(out, STR("\r\n"));
        decoder->has_bare_newline = true;
        decoder->line_count++;
        decoder->state = AFTER_LF;
    } else {
        buf_append_byte(out, byte);
        decoder->state = IN_LINE;
    }
}

/* The byte behind a CR that turned out to stand alone. */
static void decode_bare_return(struct dot_decoder *decoder, char byte, struct buf *out)
{
    buf_append_byte(out, ' ');
    decoder->has_bare_return = true;
    decode_in_line(decoder, byte, out);
}

/* The byte behind a dot at the start of a line. A dot alone in its line is nobody's content: meant
 * as the end of DATA, which it is only between CRLFs. */
static void decode_behind_dot(struct dot_decoder *decoder, char byte, enum decoder_state behind_cr,
                              struct buf *out)
{
    if (byte == '\r') {
        decoder->state = behind_cr;
    } else if (byte == '\n') {
        decoder->has_bare_newline = true;
        decoder->state = AFTER_LF;
    } else {
        decode_in_line(decoder, byte, out);
    }
}

static void decode_byte(struct dot_decoder *decoder, char byte, struct buf *out)
{
    switch ((enum decoder_state)decoder->state) {
    case AFTER_CRLF:
        if (byte == '.' && !decoder->is_plain)
            decoder->state = ON_DOT;
        else
            decode_in_line(decoder, byte, out);
        return;
    case AFTER_LF:
        if (byte == '.' && !decoder->is_plain)
            decoder->state = ON_LF_DOT;
        else
            decode_in_line(decoder, byte, out);
        return;
    case IN_LINE:
        decode_in_line(decoder, byte, out);
        return;
    case IN_LINE_CR:
        if (byte != '\n') {
            decode_bare_return(decoder, byte, out);
            return;
        }
        buf_append(out, STR("\r\n"));
        decoder->line_count++;
        decoder->state = AFTER_CRLF;
        return;
    case ON_DOT:
        decode_behind_dot(decoder, byte, ON_DOT_CR, out);
        return;
    case ON_LF_DOT:
        decode_behind_dot(decoder, byte, ON_LF_DOT_CR, out);
        return;
    case ON_LF_DOT_CR:
        if (byte == '\n')
            decoder->state = AFTER_CRLF;
        else
            decode_bare_return(decoder, byte, out);
        return;
    case ON_DOT_CR:
        if (byte == '\n')
            decoder->is_done = true;
        else
            decode_bare_return(decoder, byte, out);
        return;
    }
}

/* How many bytes from the start of `in`, which is in a line or starts one without a dot, can be
 * copied as they are; the state behind them. */
static size_t clean_run(struct dot_decoder *decoder, struct str in)
{
    size_t at = 0;

    while (at < in.len) {
        const char *line = in.ptr + at;
        if (decoder->state == AFTER_CRLF && *line == '.' && !decoder->is_plain)
            return at;
        const char *newline = memchr(line, '\n', in.len - at);
        size_t len = newline != NULL ? (size_t)(newline - line) : in.len - at;
        const char *carriage_return = memchr(line, '\r', len);
        if (carriage_return == NULL && newline == NULL) {
            decoder->state = IN_LINE;
            return in.len;
        }
        if (carriage_return == NULL || newline != carriage_return + 1) {
            /* Bare CR or LF, or a CR that ends the portion: up to there it is clean. */
            size_t clean = carriage_return != NULL ? (size_t)(carriage_return - line) : len;
            if (clean > 0)
                decoder->state = IN_LINE;
            return at + clean;
        }
        at += len + 1;
        decoder->line_count++;
        decoder->state = AFTER_CRLF;
    }
    return at;
}

size_t dot_decode(struct dot_decoder *decoder, struct str in, struct buf *out)
{
    size_t used = 0;

    while (used < in.len && !decoder->is_done) {
        bool may_run = decoder->state == IN_LINE || decoder->state == AFTER_CRLF ||
                       (decoder->state == AFTER_LF && (decoder->is_plain || in.ptr[used] != '.'));
        size_t run = may_run ? clean_run(decoder, str_skip(in, used)) : 0;
        if (run > 0)
            buf_append(out, str_of(in.ptr + used, run));
        used += run;
        if (used < in.len)
            decode_byte(decoder, in.ptr[used++], out);
    }
    if (used > 0 && memchr(in.ptr, '\0', used) != NULL)
        decoder->has_nul = true;
    return used;
}

void dot_decode_end(struct dot_decoder *decoder, struct buf *out)
{
    if (decoder->state == AFTER_CRLF || decoder->state == AFTER_LF)
        return;
    if (decoder->state == IN_LINE_CR) {
        buf_append_byte(out, ' ');
        decoder->has_bare_return = true;
    }
    buf_append(out, STR("\r\n"));
    decoder->line_count++;
    decoder->state = AFTER_CRLF;
}

/* ---- encoder ---- */

enum encoder_state {
    LINE_START, /* nothing of the line was sent */
    LINE_INSIDE,
    LINE_RETURN, /* a CR at the end of the last portion, withheld */
};

/* How many bytes can be sent as they are; the state behind them. */
static size_t sendable_run(struct dot_encoder *encoder, struct str content)
{
    size_t at = 0;
    size_t limit = encoder->line_length_limit > 0 ? encoder->line_length_limit : SIZE_MAX;

    while (at < content.len) {
        const char *line = content.ptr + at;
        if (encoder->state == LINE_START && *line == '.')
            return at;
        const char *newline = memchr(line, '\n', content.len - at);
        size_t len = newline != NULL ? (size_t)(newline - line) : content.len - at;
        const char *carriage_return = memchr(line, '\r', len);
        size_t text = carriage_return != NULL ? (size_t)(carriage_return - line) : len;
        if (text > limit - encoder->line_bytes)
            text = limit - encoder->line_bytes;
        if (newline == NULL || line + text + 1 != newline || carriage_return == NULL) {
            if (text > 0)
                encoder->state = LINE_INSIDE;
            encoder->line_bytes += text;
            return at + text;
        }
        at += len + 1;
        encoder->state = LINE_START;
        encoder->line_bytes = 0;
    }
    return at;
}

/* The first byte of `*content` cannot be sent as it is: what is sent in its place or before it. */
static struct str mend(struct dot_encoder *encoder, struct str *content)
{
    char byte = content->ptr[0];

    if (encoder->state == LINE_START && byte == '.') {
        encoder->state = LINE_INSIDE;
        return STR(".");
    }
    if (byte == '\n' || (byte == '\r' && content->len > 1 && content->ptr[1] == '\n')) {
        *content = str_skip(*content, byte == '\n' ? 1 : 2);
        encoder->state = LINE_START;
        encoder->line_bytes = 0;
        return STR("\r\n");
    }
    if (byte == '\r' && content->len == 1) {
        *content = str_skip(*content, 1);
        encoder->state = LINE_RETURN;
        return STR("");
    }
    if (encoder->line_length_limit > 0 && encoder->line_bytes >= encoder->line_length_limit) {
        /* The blank stands for a bare CR too. */
        *content = str_skip(*content, byte == '\r' ? 1 : 0);
        encoder->line_bytes = 1;
        encoder->has_broken_line = true;
        return STR("\r\n ");
    }
    *content = str_skip(*content, 1);
    encoder->state = LINE_INSIDE;
    encoder->line_bytes++;
    return STR(" ");
}

/* The portion before ended with a CR. */
static struct str mend_return(struct dot_encoder *encoder, struct str *content)
{
    if (content->ptr[0] == '\n')
        return mend(encoder, content);
    encoder->state = LINE_INSIDE;
    if (encoder->line_length_limit > 0 && encoder->line_bytes >= encoder->line_length_limit) {
        encoder->line_bytes = 1;
        encoder->has_broken_line = true;
        return STR("\r\n ");
    }
    encoder->line_bytes++;
    return STR(" ");
}

bool dot_encode_next(struct dot_encoder *encoder, struct str *content, struct str *piece)
{
    *piece = STR("");
    while (content->len > 0 && piece->len == 0) {
        if (encoder->state == LINE_RETURN) {
            *piece = mend_return(encoder, content);
            continue;
        }
        size_t run = sendable_run(encoder, *content);
        if (run > 0) {
            *piece = str_take(*content, run);
            *content = str_skip(*content, run);
        } else {
            *piece = mend(encoder, content);
        }
    }
    return piece->len > 0;
}

struct str dot_encode_end(struct dot_encoder *encoder)
{
    bool is_at_start = encoder->state == LINE_START;

    encoder->state = LINE_START;
    encoder->line_bytes = 0;
    return is_at_start ? STR(".\r\n") : STR("\r\n.\r\n");
}

void dot_encode(struct dot_encoder *encoder, struct str content, struct buf *out)
{
    struct str piece;

    while (dot_encode_next(encoder, &content, &piece))
        buf_append(out, piece);
    buf_append(out, dot_encode_end(encoder));
}
