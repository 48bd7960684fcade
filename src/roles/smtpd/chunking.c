/* SPDX-License-Identifier: Apache-2.0 */
#include "chunking.h"

#include "data.h"
#include "ehlo.h"

struct chunk {
    uint64_t count;
    bool is_last;
    enum reply_name refusal; /* REPLY_COUNT: none of the fixed ones */
    struct verdict verdict;
};

bool chunking_parse(struct str argument, uint64_t *count, bool *is_last)
{
    struct str digits, last;

    *is_last = false;
    if (!str_next_word(&argument, " \t", &digits))
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        if (!ascii_is_digit(digits.ptr[i]))
            return false;
    }
    if (!str_to_u64(digits, count) || *count > INT64_MAX)
        return false;
    if (!str_next_word(&argument, " \t", &last))
        return true;
    *is_last = str_equal_fold(last, STR("LAST"));
    return *is_last && str_is_empty(str_trim(argument));
}

/* Nobody knows what is content and what commands from here on. */
static enum next refuse_syntax(struct conversation *conversation, struct str argument)
{
    struct str client = session_client_text(&conversation->scratch, &conversation->session);
    struct str id = conversation_queue_id(conversation);

    log_warning(&conversation->policy->log,
                "%.*s: malformed BDAT command syntax from %.*s: BDAT%s%.*s",
                STR_ARGS(str_is_empty(id) ? STR("NOQUEUE") : id), STR_ARGS(client),
                str_is_empty(argument) ? "" : " ", STR_ARGS(str_take(argument, 100)));
    return reply_and_close(conversation, REPLY_BDAT_SYNTAX);
}

static void warn_of_null_chunk(struct conversation *conversation)
{
    struct str client = session_client_text(&conversation->scratch, &conversation->session);
    struct str id = conversation_queue_id(conversation);

    log_warning(&conversation->policy->log, "%.*s: null BDAT request from %.*s", STR_ARGS(id),
                STR_ARGS(client));
}

/* Why this chunk is not wanted; REPLY_COUNT: it is. */
static enum reply_name chunk_refusal(struct conversation *conversation, uint64_t count,
                                     bool is_last)
{
    int64_t limit_bytes = conversation->policy->config->message_size_limit;

    switch (conversation->session.phase) {
    case PHASE_NEW:
    case PHASE_READY:
        return REPLY_NEED_RCPT;
    case PHASE_MAIL:
        return REPLY_NO_RECIPIENTS;
    case PHASE_BDAT_FAILED:
        return REPLY_CHUNK_DISCARDED;
    case PHASE_RCPT:
    case PHASE_BDAT:
        break;
    case PHASE_DATA:
    case PHASE_CLOSED:
        return REPLY_DATA_IN_DATA;
    }
    if (count == 0 && !is_last) {
        warn_of_null_chunk(conversation);
        return REPLY_NULL_CHUNK;
    }
    return limit_bytes > 0 && count > (uint64_t)limit_bytes ? REPLY_CHUNK_TOO_BIG : REPLY_COUNT;
}

static enum next say_refusal(struct conversation *conversation, const struct chunk *chunk)
{
    if (chunk->refusal != REPLY_CHUNK_DISCARDED)
        return chunk->refusal == REPLY_COUNT ? reply_verdict(conversation, &chunk->verdict)
                                             : reply(conversation, chunk->refusal);
    return reply_text(conversation, 551,
                      str_from(arena_printf(&conversation->scratch,
                                            "551 5.0.0 Discarded %llu bytes after earlier error",
                                            (unsigned long long)chunk->count)));
}

static enum next refuse_chunk(struct conversation *conversation, const struct chunk *chunk)
{
    enum stream_outcome outcome = chunk_discard(conversation, chunk->count);

    if (outcome != STREAM_OK) {
        enum next next = chunk_lost(conversation, outcome);
        session_reset_transaction(&conversation->session);
        return next;
    }
    enum next next = say_refusal(conversation, chunk);
    if (chunk->is_last)
        session_reset_transaction(&conversation->session);
    else
        session_refuse_chunks(&conversation->session);
    return next;
}

enum next chunking_run(struct conversation *conversation, struct str argument)
{
    struct chunk chunk = { .verdict.is_accepted = true };

    if (!ehlo_has_keyword(conversation, STR("CHUNKING")))
        return reply_and_close(conversation, REPLY_BDAT_NOT_IMPLEMENTED);
    if (!chunking_parse(argument, &chunk.count, &chunk.is_last))
        return refuse_syntax(conversation, argument);
    chunk.refusal = chunk_refusal(conversation, chunk.count, chunk.is_last);
    /* What DATA is asked, the first chunk is. */
    if (chunk.refusal == REPLY_COUNT && conversation->session.phase == PHASE_RCPT)
        chunk.verdict = restrictions_check_data(conversation);
    if (chunk.refusal != REPLY_COUNT || !chunk.verdict.is_accepted)
        return refuse_chunk(conversation, &chunk);
    return chunk_receive(conversation, chunk.count, chunk.is_last);
}
