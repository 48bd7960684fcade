/* SPDX-License-Identifier: Apache-2.0 */
#include "xclient.h"

#include "ehlo.h"
#include "mail/address.h"
#include "mail/attribute.h"

enum { NAME_BYTES_MAX = 255, PORT_MAX = 65535 };

/* What one command is made of: nothing of it counts unless all of it is good. */
struct introduction {
    struct conversation *conversation;
    struct arena *arena; /* for what it leaves */
    const char *verb;
    struct attribute attribute; /* the one at hand */
    enum next next;             /* after a refusal */
};

/* ---- authorisation ---- */

static bool is_listed(const struct conversation *conversation, struct match_list *list)
{
    const struct session *session = &conversation->session;
    struct error error;

    /* A list that cannot answer authorises nobody. */
    return match_list_find_client(list, session->client_name, session->client_address, &error) ==
           MATCH_FOUND;
}

void xclient_authorise(struct conversation *conversation)
{
    struct session *session = &conversation->session;

    session->may_xclient = is_listed(conversation, conversation->policy->xclient_hosts);
    session->may_xforward = is_listed(conversation, conversation->policy->xforward_hosts);
    session->may_verp = is_listed(conversation, conversation->policy->verp_clients);
}

/* ---- attributes ---- */

static bool is_called(const struct introduction *introduction, const char *name)
{
    return str_equal_fold(introduction->attribute.name, str_from(name));
}

static bool refuse(struct introduction *introduction, struct str text)
{
    introduction->next = reply_text(introduction->conversation, 501, text);
    return false;
}

static bool refuse_name(struct introduction *introduction)
{
    struct arena *scratch = &introduction->conversation->scratch;

    return refuse(
        introduction,
        str_from(arena_printf(scratch, "501 5.5.4 Bad %s attribute name: %.*s", introduction->verb,
                              STR_ARGS(str_take(introduction->attribute.name, 100)))));
}

static bool refuse_value(struct introduction *introduction, const char *name)
{
    struct arena *scratch = &introduction->conversation->scratch;

    return refuse(introduction,
                  str_from(arena_printf(scratch, "501 5.5.4 Bad %s syntax: %.*s", name,
                                        STR_ARGS(str_take(introduction->attribute.value, 100)))));
}

/* The value, to stay; `instead` where it is not available. */
static struct str keep(struct introduction *introduction, struct str value, struct str instead)
{
    return introduction->attribute.is_unavailable ? instead
                                                  : arena_copy(introduction->arena, value);
}

static bool take_host_name(struct introduction *introduction, const char *name, struct str *kept)
{
    struct str value = introduction->attribute.value;

    if (!introduction->attribute.is_unavailable && !domain_is_valid(value, false))
        return refuse_value(introduction, name);
    *kept = keep(introduction, value, STR("unknown"));
    return true;
}

static bool take_address(struct introduction *introduction, const char *name, struct str *kept)
{
    struct str address = STR("");

    if (!introduction->attribute.is_unavailable &&
        !attribute_is_address(introduction->attribute.value, &address))
        return refuse_value(introduction, name);
    *kept = keep(introduction, address, STR("unknown"));
    return true;
}

static bool take_port(struct introduction *introduction, const char *name, struct str *kept)
{
    struct str value = introduction->attribute.value;
    uint64_t port = 0;

    if (!introduction->attribute.is_unavailable &&
        (!ascii_is_digit(value.ptr[0]) || !str_to_u64(value, &port) || port > PORT_MAX))
        return refuse_value(introduction, name);
    *kept = keep(introduction, value, STR("unknown"));
    return true;
}

/* Names as clients say them of themselves: bounded, and nothing that could pass for more. */
static bool take_word(struct introduction *introduction, const char *name, struct str *kept)
{
    struct str value = introduction->attribute.value;

    if (value.len > NAME_BYTES_MAX)
        return refuse_value(introduction, name);
    *kept = keep(introduction, value, STR(""));
    return true;
}

static bool take_protocol(struct introduction *introduction, bool *is_esmtp)
{
    struct str value = introduction->attribute.value;

    *is_esmtp = str_equal_fold(value, STR("ESMTP"));
    return *is_esmtp || str_equal_fold(value, STR("SMTP")) || refuse_value(introduction, "PROTO");
}

/* ---- XCLIENT ---- */

/* The client as it will be. */
struct replacement {
    struct str name, reverse_name, address, port, helo_name, login, ignored;
    enum peer_name name_status, reverse_status;
    bool has_name, has_reverse_name, has_address, has_port, has_helo, has_login, has_protocol,
        is_esmtp;
};

static enum peer_name name_status(const struct attribute *attribute)
{
    if (attribute->is_temporarily_unavailable)
        return PEER_NAME_TRY_AGAIN;
    return attribute->is_unavailable ? PEER_NAME_NONE : PEER_NAME_OK;
}

static bool take_replacement(struct introduction *introduction, struct replacement *replacement)
{
    if (is_called(introduction, "NAME")) {
        replacement->has_name = true;
        replacement->name_status = name_status(&introduction->attribute);
        return take_host_name(introduction, "NAME", &replacement->name);
    }
    if (is_called(introduction, "REVERSE_NAME")) {
        replacement->has_reverse_name = true;
        replacement->reverse_status = name_status(&introduction->attribute);
        return take_host_name(introduction, "REVERSE_NAME", &replacement->reverse_name);
    }
    if (is_called(introduction, "ADDR")) {
        replacement->has_address = true;
        return take_address(introduction, "ADDR", &replacement->address);
    }
    if (is_called(introduction, "PORT")) {
        replacement->has_port = true;
        return take_port(introduction, "PORT", &replacement->port);
    }
    if (is_called(introduction, "DESTADDR"))
        return take_address(introduction, "DESTADDR", &replacement->ignored);
    if (is_called(introduction, "DESTPORT"))
        return take_port(introduction, "DESTPORT", &replacement->ignored);
    if (is_called(introduction, "HELO")) {
        replacement->has_helo = true;
        return take_word(introduction, "HELO", &replacement->helo_name);
    }
    if (is_called(introduction, "LOGIN")) {
        replacement->has_login = true;
        return take_word(introduction, "LOGIN", &replacement->login);
    }
    if (is_called(introduction, "PROTO")) {
        replacement->has_protocol = true;
        return take_protocol(introduction, &replacement->is_esmtp);
    }
    return refuse_name(introduction);
}

static void become(struct conversation *conversation, const struct replacement *replacement)
{
    struct session *session = &conversation->session;
    struct net_address nobody = { .len = 0 };

    /* A verified name is a name in the DNS, too. */
    if (replacement->has_name) {
        session->client_name = session->reverse_name = replacement->name;
        session->client_name_status = session->reverse_name_status = replacement->name_status;
    }
    if (replacement->has_reverse_name) {
        session->reverse_name = replacement->reverse_name;
        session->reverse_name_status = replacement->reverse_status;
    }
    if (replacement->has_address) {
        session->client_address = replacement->address;
        if (!net_address_parse(replacement->address, 0, &conversation->peer))
            conversation->peer = nobody;
        session->is_local_client =
            own_addresses_contain(conversation->policy->own, &conversation->peer);
    }
    if (replacement->has_port)
        session->client_port = replacement->port;
    if (replacement->has_login) {
        session->sasl_username = replacement->login;
        session->sasl_method = str_is_empty(replacement->login) ? STR("") : STR("XCLIENT");
    }
    session_forget_hello(session);
    if (replacement->has_helo && !str_is_empty(replacement->helo_name))
        session_set_hello(session, replacement->helo_name, replacement->is_esmtp);
    if (replacement->has_protocol)
        session->is_esmtp = replacement->is_esmtp;
    session->may_xclient = is_listed(conversation, conversation->policy->xclient_hosts);
}

enum next xclient_run(struct conversation *conversation, struct str argument)
{
    struct introduction introduction = { .conversation = conversation,
                                         .arena = &conversation->session.arena,
                                         .verb = "XCLIENT" };
    struct replacement replacement = { .has_name = false };
    enum attribute_outcome outcome;

    if (str_is_empty(argument))
        return reply(conversation, REPLY_XCLIENT_SYNTAX);
    if (!ehlo_has_keyword(conversation, STR("XCLIENT")))
        return reply(conversation, REPLY_NO_AUTHORIZATION);
    while ((outcome = attribute_next(&conversation->scratch, &argument, &introduction.attribute)) ==
           ATTRIBUTE_FOUND) {
        if (!take_replacement(&introduction, &replacement))
            return introduction.next;
    }
    if (outcome == ATTRIBUTE_BAD)
        return reply(conversation, REPLY_BAD_ATTRIBUTE);
    become(conversation, &replacement);
    return conversation_welcome(conversation);
}

/* ---- XFORWARD ---- */

static bool take_source(struct introduction *introduction, struct forwarded_client *forwarded)
{
    struct str value = introduction->attribute.value;

    forwarded->is_local = str_equal_fold(value, STR("LOCAL"));
    return forwarded->is_local || introduction->attribute.is_unavailable ||
           str_equal_fold(value, STR("REMOTE")) || refuse_value(introduction, "SOURCE");
}

static bool take_forwarded(struct introduction *introduction, struct forwarded_client *forwarded)
{
    if (is_called(introduction, "NAME"))
        return take_host_name(introduction, "NAME", &forwarded->name);
    if (is_called(introduction, "ADDR"))
        return take_address(introduction, "ADDR", &forwarded->address);
    if (is_called(introduction, "PORT"))
        return take_port(introduction, "PORT", &forwarded->port);
    if (is_called(introduction, "PROTO"))
        return take_word(introduction, "PROTO", &forwarded->protocol);
    if (is_called(introduction, "HELO"))
        return take_word(introduction, "HELO", &forwarded->helo_name);
    if (is_called(introduction, "IDENT"))
        return take_word(introduction, "IDENT", &forwarded->queue_id);
    if (is_called(introduction, "SOURCE"))
        return take_source(introduction, forwarded);
    return refuse_name(introduction);
}

enum next xforward_run(struct conversation *conversation, struct str argument)
{
    struct transaction *transaction = &conversation->session.transaction;
    struct introduction introduction = { .conversation = conversation,
                                         .arena = &transaction->arena,
                                         .verb = "XFORWARD" };
    struct forwarded_client forwarded = transaction->forwarded;
    enum attribute_outcome outcome;

    if (str_is_empty(argument))
        return reply(conversation, REPLY_XFORWARD_SYNTAX);
    if (!ehlo_has_keyword(conversation, STR("XFORWARD")))
        return reply(conversation, REPLY_NO_AUTHORIZATION);
    while ((outcome = attribute_next(&conversation->scratch, &argument, &introduction.attribute)) ==
           ATTRIBUTE_FOUND) {
        if (!take_forwarded(&introduction, &forwarded))
            return introduction.next;
    }
    if (outcome == ATTRIBUTE_BAD)
        return reply(conversation, REPLY_BAD_ATTRIBUTE);
    forwarded.is_set = true;
    transaction->forwarded = forwarded;
    return reply(conversation, REPLY_OK);
}
