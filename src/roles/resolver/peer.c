/* SPDX-License-Identifier: Apache-2.0 */
#include "peer.h"

#include "base/memory.h"
#include "wire/wire.h"

struct peer {
    struct list by_peers;
    struct peers *peers;
    struct channel *channel;
    struct list questions; /* struct question, by_peer */
    bool is_deliverer;     /* asks where to send mail */
};

struct question {
    struct engine_question engine;
    struct list by_peer;
    struct list by_waiting;
    struct peer *peer;
    uint64_t id;
    bool is_asked;
    struct buf name;
};

void peers_init(struct peers *peers, struct loop *loop, struct engine *engine,
                const struct log_context *log)
{
    *peers = (struct peers){ .loop = loop, .engine = engine, .log = log };
    list_init(&peers->members);
    list_init(&peers->waiting);
    answer_cache_init(&peers->cache);
}

static void question_free(struct question *question)
{
    struct peers *peers = question->peer->peers;

    list_remove(&question->by_peer);
    list_remove(&question->by_waiting);
    peers->open_count--;
    if (question->is_asked)
        peers->asked_count--;
    buf_free(&question->name);
    memory_free(question);
}

static void send_answer(struct channel *channel, uint64_t id, const struct dns_answer *answer)
{
    autofree_buf struct buf records = { 0 };

    dns_records_encode(answer->records, answer->record_count, &records);
    struct wire_resolve_answer message = {
        .query = id,
        .outcome = (uint8_t)answer->outcome,
        .is_secure = answer->is_secure,
        .ttl_s = answer->ttl_s,
        .canonical_name = answer->canonical_name,
        .records = buf_str(&records),
        .reason = answer->reason,
    };
    wire_send_resolve_answer(channel, &message);
}

/* Where the name server is not to be believed, "no such name" becomes "try again": mail would
 * bounce. Only who delivers asks to that effect; smtpd asks for whatever senders strangers make up,
 * and those must not bring the name servers into disrepute. */
static void doubt_answer(struct peers *peers, enum dns_type type, struct str name,
                         struct dns_answer *answer)
{
    int64_t now_ms = loop_now_ms(peers->loop);
    bool is_absent = answer->outcome == DNS_NO_NAME;

    if (type == DNS_MX && nxdomain_guard_note(&peers->guard, name, is_absent, now_ms))
        log_warning(peers->log,
                    "the name servers say of more than %d%% of the domains asked for that they do "
                    "not exist; mail to such domains is kept for the next %d minutes. Check the "
                    "name servers in /etc/resolv.conf or dns_servers",
                    NXDOMAIN_GUARD_PERCENT, NXDOMAIN_GUARD_DOUBT_MS / 60000);
    bool is_for_delivery = type == DNS_MX || type == DNS_A || type == DNS_AAAA;
    if (is_absent && is_for_delivery && nxdomain_guard_doubts(&peers->guard, now_ms)) {
        answer->outcome = DNS_TRY_AGAIN;
        answer->reason = STR("Host not found, try again");
    }
}

static void tell(struct peer *peer, uint64_t id, enum dns_type type, struct str name,
                 const struct dns_answer *answer)
{
    struct dns_answer told = *answer;

    if (peer->is_deliverer)
        doubt_answer(peer->peers, type, name, &told);
    if (told.outcome == DNS_TRY_AGAIN)
        peer->peers->failure_count++;
    send_answer(peer->channel, id, &told);
}

static void refuse_question(struct question *question)
{
    struct dns_answer answer = { .outcome = DNS_TRY_AGAIN,
                                 .reason = STR("Host not found, try again") };

    question->peer->peers->failure_count++;
    send_answer(question->peer->channel, question->id, &answer);
    question_free(question);
}

static void ask_waiting(struct peers *peers)
{
    while (peers->asked_count < QUESTIONS_ASKED_MAX && !list_is_empty(&peers->waiting)) {
        struct question *question = list_entry(peers->waiting.next, struct question, by_waiting);
        list_remove(&question->by_waiting);
        question->is_asked = true;
        peers->asked_count++;
        if (!engine_ask(peers->engine, &question->engine, buf_str(&question->name)))
            refuse_question(question);
    }
}

static void question_answered(struct engine_question *engine_question,
                              const struct dns_answer *answer)
{
    struct question *question = list_entry(engine_question, struct question, engine);
    struct peers *peers = question->peer->peers;
    struct str name = buf_str(&question->name);

    struct answer_key key = { engine_question->type, engine_question->is_validated, name };

    answer_cache_add(&peers->cache, &key, answer, loop_now_ms(peers->loop));
    tell(question->peer, question->id, engine_question->type, name, answer);
    question_free(question);
    ask_waiting(peers);
}

static bool type_is_known(uint32_t type)
{
    return type == DNS_A || type == DNS_AAAA || type == DNS_MX || type == DNS_PTR ||
           type == DNS_NS || type == DNS_TXT || type == DNS_SRV || type == DNS_TLSA ||
           type == DNS_CNAME;
}

static void add_question(struct peer *peer, const struct wire_resolve_query *message)
{
    struct peers *peers = peer->peers;
    struct question *question = memory_new(sizeof *question);

    question->engine.type = (enum dns_type)message->type;
    question->engine.is_validated = message->is_validated != 0;
    question->engine.answered = question_answered;
    question->peer = peer;
    question->id = message->query;
    buf_append(&question->name, message->name);
    list_append(&peer->questions, &question->by_peer);
    list_append(&peers->waiting, &question->by_waiting);
    peers->open_count++;
    if (peers->open_count > QUESTIONS_OPEN_MAX)
        refuse_question(question);
    else
        ask_waiting(peers);
}

static bool peer_received(void *owner, struct channel *channel, uint16_t number, struct str payload)
{
    struct peer *peer = owner;
    struct wire_resolve_query message;

    if (number != WIRE_resolve_query || !wire_decode_resolve_query(channel, payload, &message))
        return false;
    if (!type_is_known(message.type) || !dns_name_is_valid(message.name))
        return false; /* the asking end checks both */
    struct answer_key key = { (enum dns_type)message.type, message.is_validated != 0,
                              message.name };
    const struct dns_answer *known =
        answer_cache_find(&peer->peers->cache, &key, loop_now_ms(peer->peers->loop));
    peer->peers->question_count++;
    if (known != NULL)
        tell(peer, message.query, key.type, message.name, known);
    else
        add_question(peer, &message);
    return true;
}

static void peer_free(struct peer *peer)
{
    list_each_removable (link, &peer->questions) {
        struct question *question = list_entry(link, struct question, by_peer);
        engine_cancel(&question->engine);
        question_free(question);
    }
    list_remove(&peer->by_peers);
    channel_free(&peer->channel);
    memory_free(peer);
}

static void peer_closed(void *owner, struct channel *channel, const char *reason)
{
    struct peer *peer = owner;
    struct peers *peers = peer->peers;

    (void)channel;
    (void)reason; /* workers come and go with each reload */
    peer_free(peer);
    ask_waiting(peers);
}

static const struct channel_events peer_events = { .received = peer_received,
                                                   .closed = peer_closed };

bool peers_add(struct peers *peers, bool is_deliverer, int fd, struct error *error)
{
    struct peer *peer = memory_new(sizeof *peer);

    peer->peers = peers;
    peer->is_deliverer = is_deliverer;
    list_init(&peer->questions);
    peer->channel = channel_new(peers->loop, fd, &peer_events, peer, error);
    if (peer->channel == NULL) {
        memory_free(peer);
        return false;
    }
    list_append(&peers->members, &peer->by_peers);
    return true;
}

void peers_clear(struct peers *peers)
{
    list_each_removable (link, &peers->members) {
        peer_free(list_entry(link, struct peer, by_peers));
    }
    answer_cache_clear(&peers->cache);
}
