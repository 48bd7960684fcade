/* SPDX-License-Identifier: Apache-2.0 */
#include "commands.h"

#include "authentication.h"
#include "base/clock.h"
#include "chunking.h"
#include "data.h"
#include "ehlo.h"
#include "encryption.h"
#include "etrn.h"
#include "history.h"
#include "limits.h"
#include "mail/address.h"
#include "mail/request.h"
#include "mail/utf8.h"
#include "mail/xtext.h"
#include "parameters.h"
#include "xclient.h"

enum {
    /* How long RCPT waits for a queue id while the queue role is away. */
    QUEUE_ID_PATIENCE_MS = 10 * 1000,
};

/* One row of the protocol. */
struct command {
    const char *verb;
    enum counted_command counted;
    unsigned phases; /* in which it is allowed */
    /* What it gets elsewhere: outside of a transaction, after MAIL, RCPT and BDAT. */
    enum reply_name when_outside, when_mail, when_rcpt, when_bdat;
    bool needs_hello; /* with smtpd_helo_required */
    bool is_junk;     /* moves no mail: smtpd_junk_command_limit */
    bool is_last;     /* must end a group of pipelined commands (RFC 2920) */
    enum next (*handle)(struct conversation *conversation, struct str argument);
};

/* ---- HELO, EHLO ---- */

static enum next on_hello(struct conversation *conversation, struct str argument, bool is_esmtp)
{
    struct str name = argument; /* with blanks, too, where somebody says more than a name */

    if (str_is_empty(name))
        return reply(conversation, is_esmtp ? REPLY_EHLO_SYNTAX : REPLY_HELO_SYNTAX);
    struct verdict verdict =
        restrictions_check_helo(conversation, session_neutral_name(&conversation->scratch, name));
    if (!verdict.is_accepted)
        return reply_verdict(conversation, &verdict);
    session_set_hello(&conversation->session, name, is_esmtp);
    if (is_esmtp)
        history_flush(conversation, history_threshold(conversation));
    return is_esmtp ? ehlo_reply(conversation) : reply(conversation, REPLY_HELLO);
}

static enum next on_helo(struct conversation *conversation, struct str argument)
{
    return on_hello(conversation, argument, false);
}

static enum next on_ehlo(struct conversation *conversation, struct str argument)
{
    return on_hello(conversation, argument, true);
}

/* ---- MAIL ---- */

/* A refusal that the operator wants to see: in the log with its reply, and to the client. */
static enum next refuse_with_log(struct conversation *conversation, const char *where,
                                 const struct verdict *verdict)
{
    autofree_buf struct buf text = { 0 };

    verdict_format(verdict, &text);
    conversation_log_reject(conversation, where, buf_str(&text), NULL);
    history_blame(conversation, verdict->code == 452 ? ERROR_CLASS_RESOURCE : ERROR_CLASS_POLICY);
    return reply_text(conversation, verdict->code, buf_str(&text));
}

static enum next refuse_parameter(struct conversation *conversation,
                                  const struct parameter_problem *problem)
{
    const struct config *config = conversation->policy->config;
    struct verdict verdict = { .code = 555, .enhanced = "5.5.4" };

    if (problem->is_bad_verp) {
        verdict.code = 501;
        verdict.text =
            arena_printf(&conversation->scratch, "Error: XVERP needs two characters from %.*s",
                         STR_ARGS(config->verp_delimiter_filter));
    } else if (problem->is_unsupported) {
        verdict.text = arena_printf(&conversation->scratch, "Unsupported option: %.*s",
                                    STR_ARGS(problem->offender));
    } else {
        return reply(conversation, problem->reply);
    }
    return reply_verdict(conversation, &verdict);
}

static struct parameter_rules parameter_rules(const struct conversation *conversation)
{
    const struct config *config = conversation->policy->config;

    return (struct parameter_rules){
        .has_dsn = ehlo_has_keyword(conversation, STR("DSN")),
        .has_smtputf8 = ehlo_has_keyword(conversation, STR("SMTPUTF8")),
        .has_verp = ehlo_has_keyword(conversation, STR("XVERP")),
        .has_auth = config->smtpd_sasl_auth_enable,
        .verp_delimiters = config->default_verp_delimiters,
        .verp_filter = config->verp_delimiter_filter,
    };
}

static bool is_ascii(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] >= 0x80)
            return false;
    }
    return true;
}

/* RFC 6531 asks for SMTPUTF8 wherever an address is not ASCII. Without strict_smtputf8 Postfix lets
 * a local part pass that is not, as ever. */
static bool utf8_refusal(const struct conversation *conversation, struct str address,
                         uint32_t envelope_flags, enum reply_name bad, enum reply_name *refusal)
{
    *refusal = conversation->policy->config->strict_smtputf8 ? REPLY_NEED_SMTPUTF8 : bad;
    if (envelope_flags & ENVELOPE_SMTPUTF8)
        return false;
    return !is_ascii(address_domain(address)) ||
           (*refusal == REPLY_NEED_SMTPUTF8 && !is_ascii(address));
}

static enum next refuse_path(struct conversation *conversation, const char *verb, struct str text,
                             enum reply_name name)
{
    struct str client = session_client_text(&conversation->scratch, &conversation->session);

    if (!str_is_empty(text))
        log_warning(&conversation->policy->log,
                    "Illegal address syntax from %.*s in %s command: %.*s", STR_ARGS(client), verb,
                    STR_ARGS(str_take(text, 1000)));
    return reply(conversation, name);
}

/* Decoded; "<>" and what is malformed say nothing. */
static struct str xtext_copy(struct arena *arena, struct str xtext)
{
    autofree_buf struct buf decoded = { 0 };

    if (str_equal(xtext, STR("<>")) || !xtext_decode(xtext, &decoded))
        return STR("");
    return arena_copy(arena, buf_str(&decoded));
}

static void transaction_start(struct conversation *conversation, struct str sender,
                              const struct mail_parameters *parameters)
{
    struct session *session = &conversation->session;
    struct transaction *transaction = &session->transaction;
    struct envelope *envelope = &transaction->envelope;
    struct arena *arena = &transaction->arena;

    session_enter(session, PHASE_MAIL);
    transaction->sender_as_sent = arena_copy(arena, sender);
    envelope->sender =
        rewrite_address(arena, &conversation->policy->rewrite, transaction->sender_as_sent);
    envelope->flags = parameters->flags;
    envelope->filter = conversation->policy->config->content_filter;
    envelope->arrival_us = clock_wall_us();
    envelope->dsn_envid = arena_copy(arena, parameters->envid);
    envelope->verp = arena_copy(arena, parameters->verp);
    transaction->announced_bytes = parameters->size_bytes;
    if (session_is_authenticated(session)) {
        envelope->sasl_username = arena_copy(arena, session->sasl_username);
        transaction->sasl_sender = xtext_copy(arena, parameters->auth_sender);
    }
}

static void append_forwarded(const struct forwarded_client *forwarded, bool logs_port,
                             struct buf *line)
{
    struct log_client origin = {
        .name = str_is_empty(forwarded->name) ? STR("unknown") : forwarded->name,
        .address = forwarded->address,
        .port = logs_port ? forwarded->port : STR(""),
    };

    if (!str_is_empty(forwarded->queue_id))
        buf_printf(line, ", orig_queue_id=%.*s", STR_ARGS(forwarded->queue_id));
    if (str_is_empty(forwarded->address))
        return;
    buf_append_text(line, ", orig_client=");
    log_line_put_client(line, origin);
}

/* From the first recipient on the mail has its id, in the log and later in its Received: header;
 * with smtpd_delay_open_until_valid_rcpt = no from its sender on. */
static bool transaction_has_id(struct conversation *conversation)
{
    const struct policy *policy = conversation->policy;
    struct server *server = conversation->server;
    struct transaction *transaction = &conversation->session.transaction;

    if (transaction->has_queue_id)
        return true;
    if (!submission_take_id(server->submission, loop_now_ms(server->loop) + QUEUE_ID_PATIENCE_MS,
                            &transaction->queue_id))
        return false;
    transaction->has_queue_id = true;
    transaction->queue_id_text =
        queue_id_format(transaction->queue_id, policy->config->enable_long_queue_ids);
    const struct session *session = &conversation->session;
    struct log_sasl sasl = { session->sasl_method, session->sasl_username,
                             transaction->sasl_sender };
    log_line_client(conversation_queue_id(conversation), session_log_client(session), &sasl,
                    conversation_log_start(conversation));
    append_forwarded(&transaction->forwarded, session->logs_client_port, &conversation->line);
    conversation_log_end(conversation, SEVERITY_INFO);
    return true;
}

/* SIZE= beyond the limit, or a queue that takes nothing now. */
static enum next refuse_mail(struct conversation *conversation, struct str sender,
                             const struct verdict *verdict)
{
    struct session *session = &conversation->session;

    /* The log names the sender, as it does everywhere else. */
    transaction_start(conversation, sender, &(struct mail_parameters){ 0 });
    enum next next = refuse_with_log(conversation, "MAIL", verdict);
    session_reset_transaction(session);
    return next;
}

static enum next on_mail(struct conversation *conversation, struct str argument)
{
    const struct config *config = conversation->policy->config;
    struct path_rules rules = { .kind = PATH_SENDER,
                                .is_strict = config->strict_rfc821_envelopes,
                                .may_start_with_dash = config->allow_min_user,
                                .is_utf8 = config->smtputf8_enable };
    struct submission_reply shut;
    struct mail_parameters parameters;
    struct parameter_problem problem;
    enum reply_name refusal;
    struct path path;

    if (!limits_allow_message(conversation))
        return NEXT_COMMAND;
    switch (path_parse(&conversation->scratch, argument, rules, &path)) {
    case PATH_OK:
        break;
    case PATH_NO_KEYWORD:
        return reply(conversation, REPLY_MAIL_SYNTAX);
    case PATH_NOT_ASCII:
    case PATH_BAD:
    case PATH_TOO_LONG:
        return refuse_path(conversation, "MAIL", path.text, REPLY_BAD_SENDER);
    }
    if (!mail_parameters_parse(path.parameters, parameter_rules(conversation), &parameters,
                               &problem))
        return refuse_parameter(conversation, &problem);
    if (!str_is_empty(parameters.verp) && str_is_empty(path.address))
        return reply(conversation, REPLY_VERP_NULL_SENDER);
    if (utf8_refusal(conversation, path.address, parameters.flags, REPLY_BAD_SENDER, &refusal))
        return reply(conversation, refusal);
    if (parameters.has_size && config->message_size_limit > 0 &&
        parameters.size_bytes > (uint64_t)config->message_size_limit)
        return refuse_mail(conversation, path.address,
                           &(struct verdict){
                               .code = 552,
                               .enhanced = "5.3.4",
                               .text = "Message size exceeds fixed limit",
                           });
    if (!submission_is_open(conversation->server->submission, &shut))
        return refuse_mail(
            conversation, path.address,
            &(struct verdict){ .code = shut.code, .enhanced = shut.enhanced, .text = shut.text });
    transaction_start(conversation, path.address, &parameters);
    struct verdict verdict = restrictions_check_sender(conversation);
    bool is_good = verdict.is_accepted &&
                   (config->smtpd_delay_open_until_valid_rcpt || transaction_has_id(conversation));
    if (is_good)
        return reply(conversation, REPLY_SENDER_OK);
    session_reset_transaction(&conversation->session);
    return verdict.is_accepted ? reply(conversation, REPLY_QUEUE_ERROR)
                               : reply_verdict(conversation, &verdict);
}

/* ---- RCPT, VRFY ---- */

/* Whether it is known where the recipient's mail would go: a table that cannot answer now would
 * only put off the mail later. */
static bool is_resolved(struct conversation *conversation, struct str recipient)
{
    const struct policy *policy = conversation->policy;
    struct str sender = conversation->session.transaction.envelope.sender;
    struct route route;
    struct error error = { 0 };

    if (router_find(policy->router, &conversation->scratch, sender, recipient, &route, &error))
        return true;
    log_warning(&policy->log, "%s", error.message);
    return false;
}

static struct verdict refuse_unresolved(struct conversation *conversation, const char *where,
                                        struct str sent)
{
    autofree_buf struct buf text = { 0 };
    struct verdict verdict = {
        .code = 451,
        .enhanced = "4.3.0",
        .text = arena_printf(&conversation->scratch, "<%.*s>: Temporary lookup failure",
                             STR_ARGS(sent)),
    };

    verdict_format(&verdict, &text);
    conversation_log_reject(conversation, where, buf_str(&text), &sent);
    return verdict;
}

static struct verdict judge(struct conversation *conversation, const char *where, struct str sent,
                            struct str rewritten)
{
    struct recipient_question question = { .where = where,
                                           .as_sent = sent,
                                           .rewritten = rewritten };

    if (!is_resolved(conversation, rewritten))
        return refuse_unresolved(conversation, where, sent);
    return restrictions_check_recipient(conversation, &question);
}

static enum next refuse_recipient(struct conversation *conversation, const struct verdict *verdict)
{
    conversation->server->refused_count++;
    return reply_verdict(conversation, verdict);
}

/* A second RCPT for the same mailbox is answered like the first and delivered once. */
static bool has_recipient(const struct envelope *envelope, const struct recipient *recipient)
{
    for (size_t i = 0; i < envelope->recipient_count; i++) {
        if (str_equal(envelope->recipients[i].address, recipient->address) &&
            str_equal(envelope->recipients[i].original_recipient, recipient->original_recipient))
            return true;
    }
    return false;
}

static enum next add_recipient(struct conversation *conversation, struct str sent,
                               struct recipient *recipient)
{
    struct session *session = &conversation->session;
    struct envelope *envelope = &session->transaction.envelope;

    if (!str_equal(sent, recipient->address))
        recipient->original_recipient = sent;
    if (!transaction_has_id(conversation))
        return reply(conversation, REPLY_QUEUE_ERROR);
    if (!has_recipient(envelope, recipient))
        envelope_add_recipient(&session->transaction.arena, envelope, recipient);
    session_enter(session, PHASE_RCPT);
    return reply(conversation, REPLY_RECIPIENT_OK);
}

static enum next refuse_overshoot(struct conversation *conversation)
{
    struct transaction *transaction = &conversation->session.transaction;
    unsigned limit = (unsigned)conversation->policy->config->smtpd_recipient_overshoot_limit;

    conversation->is_error_excused = transaction->overshoot++ < limit;
    return reply(conversation, REPLY_TOO_MANY_RECIPIENTS);
}

static enum next on_rcpt(struct conversation *conversation, struct str argument)
{
    const struct config *config = conversation->policy->config;
    struct path_rules rules = { .kind = PATH_RECIPIENT,
                                .is_strict = config->strict_rfc821_envelopes,
                                .may_start_with_dash = config->allow_min_user,
                                .is_utf8 = config->smtputf8_enable };
    struct recipient recipient = { 0 };
    struct parameter_problem problem;
    enum reply_name refusal;
    struct path path;

    if (!limits_allow_recipient(conversation))
        return NEXT_COMMAND;
    switch (path_parse(&conversation->scratch, argument, rules, &path)) {
    case PATH_OK:
        break;
    case PATH_NO_KEYWORD:
        return reply(conversation, REPLY_RCPT_SYNTAX);
    case PATH_NOT_ASCII:
    case PATH_BAD:
    case PATH_TOO_LONG:
        return refuse_path(conversation, "RCPT", path.text, REPLY_BAD_RECIPIENT);
    }
    if (!rcpt_parameters_parse(path.parameters, parameter_rules(conversation), &recipient,
                               &problem))
        return refuse_parameter(conversation, &problem);
    if (utf8_refusal(conversation, path.address, conversation->session.transaction.envelope.flags,
                     REPLY_BAD_RECIPIENT, &refusal))
        return reply(conversation, refusal);
    if (config->smtpd_recipient_limit > 0 &&
        conversation->session.transaction.envelope.recipient_count >=
            (size_t)config->smtpd_recipient_limit)
        return refuse_overshoot(conversation);
    recipient.address =
        rewrite_address(&conversation->scratch, &conversation->policy->rewrite, path.address);
    struct verdict verdict = judge(conversation, "RCPT", path.address, recipient.address);
    if (!verdict.is_accepted)
        return refuse_recipient(conversation, &verdict);
    return add_recipient(conversation, path.address, &recipient);
}

/* RFC 6531: the word behind the address. */
static uint32_t take_smtputf8(struct str *argument)
{
    static const struct str word = STR_INIT("SMTPUTF8");
    struct str rest = str_trim_end(*argument);

    if (!str_ends_with_fold(rest, word) ||
        (rest.len > word.len && rest.ptr[rest.len - word.len - 1] != ' '))
        return 0;
    *argument = str_trim_end(str_take(rest, rest.len - word.len));
    return ENVELOPE_SMTPUTF8;
}

static enum next on_vrfy(struct conversation *conversation, struct str argument)
{
    const struct config *config = conversation->policy->config;
    struct path_rules rules = { .kind = PATH_RECIPIENT,
                                .may_start_with_dash = config->allow_min_user,
                                .is_utf8 = config->smtputf8_enable };
    uint32_t flags = config->smtputf8_enable ? take_smtputf8(&argument) : 0;
    enum reply_name refusal;
    struct arena *scratch = &conversation->scratch;
    struct path path;

    if (config->disable_vrfy_command)
        return reply(conversation, REPLY_NO_VRFY);
    if (str_is_empty(argument))
        return reply(conversation,
                     config->smtputf8_enable ? REPLY_VRFY_SYNTAX_UTF8 : REPLY_VRFY_SYNTAX);
    struct str as_path = str_from(arena_printf(scratch, "TO:%.*s", STR_ARGS(argument)));
    if (path_parse(scratch, as_path, rules, &path) != PATH_OK || !str_is_empty(path.parameters))
        return refuse_path(conversation, "VRFY", argument, REPLY_BAD_RECIPIENT);
    if (utf8_refusal(conversation, path.address, flags, REPLY_BAD_RECIPIENT, &refusal))
        return reply(conversation, refusal);
    struct str rewritten = rewrite_address(scratch, &conversation->policy->rewrite, path.address);
    struct verdict verdict = judge(conversation, "VRFY", path.address, rewritten);
    if (!verdict.is_accepted)
        return refuse_recipient(conversation, &verdict);
    return reply_text(conversation, 252,
                      str_from(arena_printf(scratch, "252 2.0.0 %.*s", STR_ARGS(argument))));
}

/* ---- DATA ---- */

static enum next on_data(struct conversation *conversation, struct str argument)
{
    if (!str_is_empty(argument))
        return reply(conversation, REPLY_DATA_SYNTAX);
    struct verdict verdict = restrictions_check_data(conversation);
    return verdict.is_accepted ? data_receive(conversation) : reply_verdict(conversation, &verdict);
}

/* ---- the small ones ---- */

static enum next on_rset(struct conversation *conversation, struct str argument)
{
    if (!str_is_empty(argument))
        return reply(conversation, REPLY_RSET_SYNTAX);
    session_reset_transaction(&conversation->session);
    history_flush(conversation, history_threshold(conversation));
    return reply(conversation, REPLY_OK);
}

static enum next on_noop(struct conversation *conversation, struct str argument)
{
    (void)argument;
    return reply(conversation, REPLY_OK);
}

static enum next on_quit(struct conversation *conversation, struct str argument)
{
    (void)argument;
    return reply_and_close(conversation, REPLY_BYE);
}

static enum next on_starttls(struct conversation *conversation, struct str argument)
{
    return encryption_start(conversation, argument);
}

static enum next on_auth(struct conversation *conversation, struct str argument)
{
    if (conversation->policy->authentication != NULL && !limits_allow_login(conversation))
        return NEXT_COMMAND;
    return authentication_run(conversation, argument);
}

static enum next on_xclient(struct conversation *conversation, struct str argument)
{
    return xclient_run(conversation, argument);
}

static enum next on_xforward(struct conversation *conversation, struct str argument)
{
    return xforward_run(conversation, argument);
}

static enum next on_bdat(struct conversation *conversation, struct str argument)
{
    return chunking_run(conversation, argument);
}

static enum next on_etrn(struct conversation *conversation, struct str argument)
{
    return etrn_run(conversation, argument);
}

/* ---- the protocol ---- */

#define CHUNKS   (PHASE_BDAT | PHASE_BDAT_FAILED)
#define ANY_TIME (PHASE_NEW | PHASE_READY | PHASE_MAIL | PHASE_RCPT | CHUNKS)
#define OUTSIDE  (PHASE_NEW | PHASE_READY)
#define ALLOWED  REPLY_COUNT /* no refusal: it is allowed there */

/* clang-format off */
static const struct command commands[] = {
    /* verb      counted          allowed in     elsewhere: outside, after MAIL, after RCPT, after BDAT                             hello  junk   last   handler */
    { "HELO",     COUNTED_HELO,     ANY_TIME,   ALLOWED,             ALLOWED,             ALLOWED,             ALLOWED,               false, true,  true,  on_helo },
    { "EHLO",     COUNTED_EHLO,     ANY_TIME,   ALLOWED,             ALLOWED,             ALLOWED,             ALLOWED,               false, true,  true,  on_ehlo },
    { "MAIL",     COUNTED_MAIL,     OUTSIDE,    ALLOWED,             REPLY_NESTED_MAIL,   REPLY_NESTED_MAIL,   REPLY_NESTED_MAIL,     true,  false, false, on_mail },
    { "RCPT",     COUNTED_RCPT,     PHASE_MAIL | PHASE_RCPT,
                                                REPLY_NEED_MAIL,     ALLOWED,             ALLOWED,             REPLY_RCPT_AFTER_BDAT, false, false, false, on_rcpt },
    { "DATA",     COUNTED_DATA,     PHASE_RCPT, REPLY_NEED_RCPT,     REPLY_NO_RECIPIENTS, ALLOWED,             REPLY_DATA_AFTER_BDAT, false, false, true,  on_data },
    { "RSET",     COUNTED_RSET,     ANY_TIME,   ALLOWED,             ALLOWED,             ALLOWED,             ALLOWED,               false, true,  false, on_rset },
    { "NOOP",     COUNTED_NOOP,     ANY_TIME,   ALLOWED,             ALLOWED,             ALLOWED,             ALLOWED,               false, true,  true,  on_noop },
    { "VRFY",     COUNTED_VRFY,     ANY_TIME,   ALLOWED,             ALLOWED,             ALLOWED,             ALLOWED,               false, true,  true,  on_vrfy },
    { "QUIT",     COUNTED_QUIT,     ANY_TIME,   ALLOWED,             ALLOWED,             ALLOWED,             ALLOWED,               false, false, false, on_quit },
    { "ETRN",     COUNTED_ETRN,     OUTSIDE,    ALLOWED,             REPLY_ETRN_IN_MAIL,  REPLY_ETRN_IN_MAIL,  REPLY_ETRN_IN_MAIL,    false, true,  false, on_etrn },
    { "STARTTLS", COUNTED_STARTTLS, ANY_TIME,   ALLOWED,             ALLOWED,             ALLOWED,             ALLOWED,               false, false, false, on_starttls },
    { "AUTH",     COUNTED_AUTH,     ANY_TIME,   ALLOWED,             ALLOWED,             ALLOWED,             ALLOWED,               true,  false, false, on_auth },
    { "BDAT",     COUNTED_BDAT,     ANY_TIME,   ALLOWED,             ALLOWED,             ALLOWED,             ALLOWED,               false, false, false, on_bdat },
    { "XCLIENT",  COUNTED_XCLIENT,  OUTSIDE,    ALLOWED,             REPLY_IN_MAIL,       REPLY_IN_MAIL,       REPLY_IN_MAIL,         false, false, false, on_xclient },
    { "XFORWARD", COUNTED_XFORWARD, OUTSIDE,    ALLOWED,             REPLY_IN_MAIL,       REPLY_IN_MAIL,       REPLY_IN_MAIL,         false, false, false, on_xforward },
};
/* clang-format on */

static const struct command *command_find(struct str verb)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (str_equal_fold(verb, str_from(commands[i].verb)))
            return &commands[i];
    }
    return NULL;
}

/* smtpd_client_restrictions refused it, with smtpd_delay_reject = no: it may only leave. */
static enum next deny(struct conversation *conversation)
{
    struct str client = session_client_text(&conversation->scratch, &conversation->session);

    history_blame(conversation, ERROR_CLASS_POLICY);
    return reply_text(
        conversation, 503,
        str_from(arena_printf(&conversation->scratch, "503 5.7.0 Error: access denied for %.*s",
                              STR_ARGS(client))));
}

static enum next handle_unknown(struct conversation *conversation, struct str line, struct str verb)
{
    struct session *session = &conversation->session;

    session->where = STR("UNKNOWN");
    session->counts.total[COUNTED_UNKNOWN]++;
    if (policy_forbids_command(conversation->policy, verb)) {
        log_line_non_smtp(session_log_client(session), str_take(line, 100),
                          conversation_log_start(conversation));
        conversation_log_end(conversation, SEVERITY_WARNING);
        return reply_and_close(conversation, REPLY_NOT_SMTP);
    }
    if (session->is_denied)
        return deny(conversation);
    return reply(conversation, REPLY_UNKNOWN_COMMAND);
}

/* Input behind a command that must be the last of its group, or that a client sends who never said
 * EHLO: two speakers may be on this connection. */
static bool is_out_of_step(const struct conversation *conversation, const struct command *command)
{
    const struct session *session = &conversation->session;

    return (!session->is_esmtp || command->is_last) && !session->has_pipelined &&
           !str_is_empty(stream_pending(conversation->stream));
}

static enum reply_name sequence_check(const struct conversation *conversation,
                                      const struct command *command)
{
    const struct session *session = &conversation->session;

    if (command->needs_hello && conversation->policy->config->smtpd_helo_required &&
        str_is_empty(session->helo_name))
        return REPLY_HELLO_FIRST;
    if (session->phase & command->phases)
        return ALLOWED;
    switch (session->phase) {
    case PHASE_NEW:
    case PHASE_READY:
        return command->when_outside;
    case PHASE_MAIL:
        return command->when_mail;
    case PHASE_RCPT:
        return command->when_rcpt;
    case PHASE_BDAT:
    case PHASE_BDAT_FAILED:
        return command->when_bdat;
    case PHASE_DATA:
    case PHASE_CLOSED:
        break;
    }
    return REPLY_DATA_IN_DATA;
}

/* What is answered where TLS is required before there is any. */
static bool is_fine_in_clear(const struct command *command)
{
    return command->counted == COUNTED_HELO || command->counted == COUNTED_EHLO ||
           command->counted == COUNTED_STARTTLS || command->counted == COUNTED_NOOP ||
           command->counted == COUNTED_QUIT;
}

/* Behind BDAT comes content, whatever the answer to it was: nobody is to take that for commands. */
static enum next end_before_content(const struct command *command, enum next next)
{
    return command->counted == COUNTED_BDAT ? NEXT_CLOSE : next;
}

static enum next handle_known(struct conversation *conversation, const struct command *command,
                              const struct request *request)
{
    struct session *session = &conversation->session;

    session->where = str_from(command->verb);
    session->counts.total[command->counted]++;
    if (is_out_of_step(conversation, command)) {
        session->has_pipelined = true;
        log_line_pipelining(session->where, session_log_client(session),
                            str_take(stream_pending(conversation->stream), 100),
                            conversation_log_start(conversation));
        conversation_log_end(conversation, SEVERITY_INFO);
        if (conversation->policy->config->smtpd_forbid_unauth_pipelining)
            return reply_and_close(conversation, REPLY_NOT_SYNCHRONOUS);
    }
    if (encryption_is_missing(conversation) && !is_fine_in_clear(command))
        return end_before_content(command, reply(conversation, REPLY_TLS_FIRST));
    if (session->is_denied && command->handle != on_quit)
        return end_before_content(command, deny(conversation));
    if (request->has_control)
        return end_before_content(command, reply(conversation, REPLY_CONTROL_CHARACTER));
    enum reply_name refusal = sequence_check(conversation, command);
    return refusal == ALLOWED ? command->handle(conversation, request->argument)
                              : reply(conversation, refusal);
}

/* What the answer means for the counts and limits. */
static void count_command(struct conversation *conversation, const struct command *command)
{
    struct session *session = &conversation->session;
    bool is_good = conversation->reply_code < 400 || conversation->is_error_excused;

    if (!is_good)
        session->error_count++;
    if (command == NULL)
        return;
    /* XCLIENT begins the session anew, as Postfix sees it, and is never done. */
    if (is_good && command->counted != COUNTED_XCLIENT)
        session->counts.good[command->counted]++;
    if (command->is_junk &&
        session->junk_count++ > (unsigned)conversation->policy->config->smtpd_junk_command_limit)
        session->error_count++;
}

/* smtpd_command_filter. False: it cannot be asked; the connection has ended. */
static bool filter_command(struct conversation *conversation, struct str *line)
{
    const struct policy *policy = conversation->policy;
    struct str client, filtered;

    switch (table_list_find_or_warn(policy->command_filter, str_trim_start(*line),
                                    &conversation->scratch, &filtered, &policy->log)) {
    case LOOKUP_ABSENT:
        return true;
    case LOOKUP_FAILED:
        (void)reply(conversation, REPLY_LOCAL_DATA_ERROR);
        return false;
    case LOOKUP_FOUND:
        break;
    }
    client = session_client_text(&conversation->scratch, &conversation->session);
    log_info(&policy->log, "%.*s: replacing command \"%.*s\" with \"%.*s\"", STR_ARGS(client),
             STR_ARGS(str_take(*line, 100)), STR_ARGS(str_take(filtered, 100)));
    *line = filtered;
    return true;
}

enum next command_handle(struct conversation *conversation, struct str line)
{
    const struct command *command = NULL;
    struct request request;
    enum next next;

    conversation->reply_code = 0;
    conversation->is_error_excused = false;
    if (conversation->policy->config->smtputf8_enable && !utf8_is_valid(line)) {
        next = reply(conversation, REPLY_BAD_UTF8);
    } else if (!filter_command(conversation, &line)) {
        next = NEXT_CLOSE;
    } else if (!request_parse(line, &request)) {
        next = reply(conversation, REPLY_EMPTY_COMMAND);
    } else if (policy_ignores_command(conversation->policy, request.verb)) {
        struct session *session = &conversation->session;
        next = reply(conversation, REPLY_OK);
        if (session->junk_count++ >
            (unsigned)conversation->policy->config->smtpd_junk_command_limit)
            session->error_count++;
    } else if ((command = command_find(request.verb)) != NULL) {
        next = handle_known(conversation, command, &request);
    } else {
        next = handle_unknown(conversation, line, request.verb);
    }
    count_command(conversation, command);
    return next;
}
