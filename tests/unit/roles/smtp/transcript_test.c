/* SPDX-License-Identifier: Apache-2.0 */
/* One server, one job: what the client says, and what becomes of each recipient. */
#include "world.h"

#include "mail/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define HELLO          \
    "S: 220 x ESMTP\n" \
    "C: EHLO client.example\n"
#define PLAIN HELLO "S: 250 x\n"
#define PIPELINED    \
    HELLO            \
    "S: 250-x\n"     \
    "S: 250 PIPELINING\n"
#define MAIL "C: MAIL FROM:<s@a.example>\n"
#define RCPT(who) "C: RCPT TO:<" who "@b.example>\n"
#define ENVELOPE_SENT MAIL RCPT("r1") "C: DATA\n"
#define NAME "127.0.0.1[127.0.0.1]"

struct transcript_case {
    const char *name;
    int recipients;
    const char *transcript;
    const char *results;    /* for job 1 */
    const char *parameters; /* for main.cf; NULL: none */
    uint32_t flags;
};

/* clang-format off */
static const struct transcript_case cases[] = {
    { .name = "sent_with_the_servers_words", 1,
      PLAIN MAIL "S: 250 2.1.0 Ok\n" RCPT("r1") "S: 250 2.1.5 Ok\nC: DATA\nS: 354 go\nB:\n"
      "S: 250 2.0.0 Ok: queued as 12\n",
      "1/0 sent 2.0.0 250 2.0.0 Ok: queued as 12\n1 worked\n" },
    { .name = "pipelined_commands_go_out_together", 2,
      PIPELINED MAIL RCPT("r1") RCPT("r2") "C: DATA\n"
      "S: 250 a\nS: 250 b\nS: 250 c\nS: 354 d\nB:\nS: 250 e\n",
      "1/0 sent 2.0.0 250 e\n1/1 sent 2.0.0 250 e\n1 worked\n" },
    { .name = "multiline_replies_are_joined", 1,
      "S: 220-x\nS: 220 y ESMTP\nC: EHLO client.example\nS: 250 x\n" MAIL "S: 250-a\nS: 250 b\n"
      RCPT("r1") "S: 250 c\nC: DATA\nS: 354 d\nB:\nS: 250-2.0.0 e\nS: 250 2.0.0 f\n",
      "1/0 sent 2.0.0 250-2.0.0 e 250 2.0.0 f\n1 worked\n" },

    /* the greeting */
    { .name = "refusing_greeting_defers", 1, "S: 554 5.7.1 go away\n",
      "1/0 deferred 4.7.1 host " NAME " refused to talk to me: 554 5.7.1 go away\n1 failed\n" },
    { .name = "refusing_greeting_bounces_where_told_so", 1, "S: 554 5.7.1 go away\n",
      "1/0 bounced 5.7.1 host " NAME " refused to talk to me: 554 5.7.1 go away\n1 untouched\n",
      "smtp_skip_5xx_greeting = no\n" },
    { .name = "busy_greeting_defers", 1, "S: 421 4.3.2 busy\n",
      "1/0 deferred 4.3.2 host " NAME " refused to talk to me: 421 4.3.2 busy\n1 failed\n" },
    { .name = "strange_greeting_defers", 1, "S: 354 what\n",
      "1/0 deferred 4.0.0 host " NAME " refused to talk to me: 354 what\n1 failed\n" },
    { .name = "no_greeting_before_the_end_defers", 1, "X: close\n",
      "1/0 deferred 4.4.2 lost connection with " NAME
      " while receiving the initial server greeting\n1 failed\n" },
    { .name = "silent_server_times_out", 1, "X: wait\n",
      "1/0 deferred 4.4.2 conversation with " NAME
      " timed out while receiving the initial server greeting\n1 failed\n",
      "smtp_helo_timeout = 1s\n" },
    { .name = "dribbled_greeting_times_out", 1, "R: 2\nX: wait\n",
      "1/0 deferred 4.4.2 conversation with " NAME
      " timed out while receiving the initial server greeting\n1 failed\n",
      "smtp_helo_timeout = 1s\n" },
    { .name = "garbage_greeting_defers", 1, "S: hello there\nX: wait\n",
      "1/0 deferred 4.5.0 remote protocol error in reply from " NAME
      " while receiving the initial server greeting\n1 failed\n" },
    { .name = "endless_greeting_is_cut", 1, "S: 220-x\nX: flood\n",
      "1/0 deferred 4.5.0 remote protocol error in reply from " NAME
      " while receiving the initial server greeting\n1 failed\n" },
    { .name = "code_without_its_last_digit_is_garbage", 1, "S: 25\nX: wait\n",
      "1/0 deferred 4.5.0 remote protocol error in reply from " NAME
      " while receiving the initial server greeting\n1 failed\n" },
    { .name = "impossible_code_is_garbage", 1, "S: 999 x\nX: wait\n",
      "1/0 deferred 4.5.0 remote protocol error in reply from " NAME
      " while receiving the initial server greeting\n1 failed\n" },

    /* EHLO and HELO */
    { .name = "helo_follows_where_ehlo_is_unknown", 1,
      "S: 220 x\nC: EHLO client.example\nS: 502 what\nC: HELO client.example\nS: 250 x\n" MAIL
      "S: 250 a\n" RCPT("r1") "S: 250 b\nC: DATA\nS: 354 c\nB:\nS: 250 d\n",
      "1/0 sent 2.0.0 250 d\n1 worked\n" },
    { .name = "no_ehlo_where_told_so", 1,
      "S: 220 x ESMTP\nC: HELO client.example\nS: 250 x\n" MAIL "S: 250 a\n" RCPT("r1")
      "S: 250 b\nC: DATA\nS: 354 c\nB:\nS: 250 d\n",
      "1/0 sent 2.0.0 250 d\n1 worked\n", "smtp_never_send_ehlo = yes\n" },
    { .name = "refused_helo_bounces", 1,
      HELLO "S: 502 what\nC: HELO client.example\nS: 550 5.7.1 no\n",
      "1/0 bounced 5.7.1 host " NAME " refused to talk to me: 550 5.7.1 no\n1 untouched\n" },
    { .name = "busy_at_ehlo_defers", 1, HELLO "S: 421 4.3.2 later\n",
      "1/0 deferred 4.3.2 host " NAME " refused to talk to me: 421 4.3.2 later\n1 failed\n" },
    { .name = "lost_at_ehlo_defers", 1, HELLO "X: close\n",
      "1/0 deferred 4.4.2 lost connection with " NAME
      " while performing the EHLO handshake\n1 failed\n" },
    { .name = "reset_at_ehlo_defers", 1, HELLO "X: reset\n",
      "1/0 deferred 4.4.2 lost connection with " NAME
      " while performing the EHLO handshake\n1 failed\n" },
    { .name = "silence_at_ehlo_defers", 1, HELLO "X: wait\n",
      "1/0 deferred 4.4.2 conversation with " NAME
      " timed out while performing the EHLO handshake\n1 failed\n",
      "smtp_helo_timeout = 1s\n" },

    /* MAIL */
    { .name = "refused_sender_bounces_everybody", 2, PLAIN MAIL "S: 550 5.1.8 bad sender\n",
      "1/0 bounced 5.1.8 host " NAME
      " said: 550 5.1.8 bad sender (in reply to MAIL FROM command)\n"
      "1/1 bounced 5.1.8 host " NAME
      " said: 550 5.1.8 bad sender (in reply to MAIL FROM command)\n1 worked\n" },
    { .name = "refused_sender_counts_once_when_pipelined", 2,
      PIPELINED MAIL RCPT("r1") RCPT("r2") "C: DATA\n"
      "S: 550 5.1.8 bad\nS: 503 a\nS: 503 b\nS: 503 c\n",
      "1/0 bounced 5.1.8 host " NAME " said: 550 5.1.8 bad (in reply to MAIL FROM command)\n"
      "1/1 bounced 5.1.8 host " NAME " said: 550 5.1.8 bad (in reply to MAIL FROM command)\n"
      "1 worked\n" },
    { .name = "deferred_sender_defers", 1, PLAIN MAIL "S: 451 4.3.0 later\n",
      "1/0 deferred 4.3.0 host " NAME
      " said: 451 4.3.0 later (in reply to MAIL FROM command)\n1 worked\n" },
    { .name = "hang_up_at_mail_defers", 1, PLAIN MAIL "S: 421 4.4.5 too many\nX: close\n",
      "1/0 deferred 4.4.5 host " NAME
      " said: 421 4.4.5 too many (in reply to MAIL FROM command)\n1 worked\n" },
    { .name = "lost_at_mail_defers", 1, PLAIN MAIL "X: close\n",
      "1/0 deferred 4.4.2 lost connection with " NAME " while sending MAIL FROM\n1 failed\n" },
    { .name = "silence_at_mail_defers", 1, PLAIN MAIL "X: wait\n",
      "1/0 deferred 4.4.2 conversation with " NAME
      " timed out while sending MAIL FROM\n1 failed\n",
      "smtp_mail_timeout = 1s\n" },
    { .name = "greeting_as_reply_to_mail_defers", 1, PLAIN MAIL "S: 220 x ESMTP\nX: wait\n",
      "1/0 deferred 4.5.0 Protocol error: host " NAME
      " said: 220 x ESMTP (in reply to MAIL FROM command)\n1 worked\n" },

    /* RCPT */
    { .name = "each_recipient_has_his_own_reply", 3,
      PLAIN MAIL "S: 250 a\n" RCPT("r1") "S: 250 b\n" RCPT("r2") "S: 450 4.2.0 grey\n" RCPT("r3")
      "S: 550 5.1.1 unknown\nC: DATA\nS: 354 c\nB:\nS: 250 d\n",
      "1/2 bounced 5.1.1 host " NAME
      " said: 550 5.1.1 unknown (in reply to RCPT TO command)\n"
      "1/0 sent 2.0.0 250 d\n"
      "1/1 deferred 4.2.0 host " NAME
      " said: 450 4.2.0 grey (in reply to RCPT TO command)\n1 worked\n" },
    { .name = "each_recipient_has_his_own_reply_pipelined", 3,
      PIPELINED MAIL RCPT("r1") RCPT("r2") RCPT("r3") "C: DATA\n"
      "S: 250 a\nS: 250 b\nS: 450 4.2.0 grey\nS: 550 5.1.1 unknown\nS: 354 c\nB:\nS: 250 d\n",
      "1/2 bounced 5.1.1 host " NAME
      " said: 550 5.1.1 unknown (in reply to RCPT TO command)\n"
      "1/0 sent 2.0.0 250 d\n"
      "1/1 deferred 4.2.0 host " NAME
      " said: 450 4.2.0 grey (in reply to RCPT TO command)\n1 worked\n" },
    { .name = "nobody_accepted_means_no_data", 1, PLAIN MAIL "S: 250 a\n" RCPT("r1") "S: 550 no\n",
      "1/0 bounced 5.0.0 host " NAME " said: 550 no (in reply to RCPT TO command)\n1 worked\n" },
    { .name = "nobody_accepted_and_354_gets_an_empty_message", 1,
      PIPELINED ENVELOPE_SENT "S: 250 a\nS: 550 5.1.1 no\nS: 354 b\nC: .\nS: 554 none\n",
      "1/0 bounced 5.1.1 host " NAME
      " said: 550 5.1.1 no (in reply to RCPT TO command)\n1 worked\n" },
    { .name = "hang_up_after_some_recipients_keeps_all", 5,
      PLAIN MAIL "S: 250 a\n" RCPT("r1") "S: 250 b\n" RCPT("r2") "S: 250 c\n" RCPT("r3")
      "S: 250 d\n" RCPT("r4") "S: 421 4.3.2 bye\nX: close\n",
      "1/0 deferred 4.3.2 host " NAME " said: 421 4.3.2 bye (in reply to RCPT TO command)\n"
      "1/1 deferred 4.3.2 host " NAME " said: 421 4.3.2 bye (in reply to RCPT TO command)\n"
      "1/2 deferred 4.3.2 host " NAME " said: 421 4.3.2 bye (in reply to RCPT TO command)\n"
      "1/3 deferred 4.3.2 host " NAME " said: 421 4.3.2 bye (in reply to RCPT TO command)\n"
      "1/4 deferred 4.3.2 host " NAME " said: 421 4.3.2 bye (in reply to RCPT TO command)\n"
      "1 worked\n" },
    { .name = "lost_at_rcpt_defers_the_accepted_too", 2,
      PLAIN MAIL "S: 250 a\n" RCPT("r1") "S: 250 b\n" RCPT("r2") "X: close\n",
      "1/0 deferred 4.4.2 lost connection with " NAME " while sending RCPT TO\n"
      "1/1 deferred 4.4.2 lost connection with " NAME " while sending RCPT TO\n1 failed\n" },
    { .name = "data_prompt_as_reply_to_rcpt_defers", 1,
      PLAIN MAIL "S: 250 a\n" RCPT("r1") "S: 354 b\nX: wait\n",
      "1/0 deferred 4.5.0 Protocol error: host " NAME
      " said: 354 b (in reply to RCPT TO command)\n1 worked\n" },
    { .name = "silence_at_rcpt_defers", 1, PLAIN MAIL "S: 250 a\n" RCPT("r1") "X: wait\n",
      "1/0 deferred 4.4.2 conversation with " NAME " timed out while sending RCPT TO\n1 failed\n",
      "smtp_rcpt_timeout = 1s\n" },
    { .name = "control_characters_in_a_reply_are_harmless", 1,
      PLAIN MAIL "S: 250 a\n" RCPT("r1") "R: 550 5.1.1 \\e[31m\\0evil\\r\\n\n",
      "1/0 bounced 5.1.1 host " NAME
      " said: 550 5.1.1 ?[31m?evil (in reply to RCPT TO command)\n1 worked\n" },
    { .name = "endless_reply_is_cut", 1, PLAIN MAIL "S: 250 a\n" RCPT("r1") "X: flood\n",
      "1/0 deferred 4.5.0 remote protocol error in reply from " NAME
      " while sending RCPT TO\n1 failed\n" },
    { .name = "wrong_enhanced_code_gives_way_to_the_basic_one", 1,
      PLAIN MAIL "S: 250 a\n" RCPT("r1") "S: 550 4.1.1 no\n",
      "1/0 bounced 5.0.0 host " NAME
      " said: 550 4.1.1 no (in reply to RCPT TO command)\n1 worked\n" },
    { .name = "soft_bounce_keeps_everything", 1, PLAIN MAIL "S: 250 a\n" RCPT("r1") "S: 550 5.1.1 no\n",
      "1/0 deferred 4.1.1 host " NAME
      " said: 550 5.1.1 no (in reply to RCPT TO command)\n1 worked\n",
      "soft_bounce = yes\n" },

    /* DATA */
    { .name = "refused_data_bounces_the_accepted", 1, PIPELINED ENVELOPE_SENT "S: 250 a\nS: 250 b\nS: 554 5.3.0 no\n",
      "1/0 bounced 5.3.0 host " NAME
      " said: 554 5.3.0 no (in reply to DATA command)\n1 worked\n" },
    { .name = "deferred_data_defers", 1, PIPELINED ENVELOPE_SENT "S: 250 a\nS: 250 b\nS: 451 4.3.0 no\n",
      "1/0 deferred 4.3.0 host " NAME
      " said: 451 4.3.0 no (in reply to DATA command)\n1 worked\n" },
    { .name = "success_as_reply_to_data_defers", 1,
      PIPELINED ENVELOPE_SENT "S: 250 a\nS: 250 b\nS: 250 c\nX: wait\n",
      "1/0 deferred 4.5.0 Protocol error: host " NAME
      " said: 250 c (in reply to DATA command)\n1 worked\n" },
    { .name = "lost_at_data_defers", 1, PIPELINED ENVELOPE_SENT "S: 250 a\nS: 250 b\nX: close\n",
      "1/0 deferred 4.4.2 lost connection with " NAME
      " while sending DATA command\n1 failed\n" },
    { .name = "silence_at_data_defers", 1, PIPELINED ENVELOPE_SENT "S: 250 a\nS: 250 b\nX: wait\n",
      "1/0 deferred 4.4.2 conversation with " NAME
      " timed out while sending DATA command\n1 failed\n",
      "smtp_data_init_timeout = 1s\n" },

    /* the content */
    { .name = "refused_content_bounces", 1,
      PIPELINED ENVELOPE_SENT "S: 250 a\nS: 250 b\nS: 354 c\nB:\nS: 554 5.7.1 spam\n",
      "1/0 bounced 5.7.1 host " NAME
      " said: 554 5.7.1 spam (in reply to end of DATA command)\n1 worked\n" },
    { .name = "deferred_content_defers", 1,
      PIPELINED ENVELOPE_SENT "S: 250 a\nS: 250 b\nS: 354 c\nB:\nS: 452 4.3.1 full\n",
      "1/0 deferred 4.3.1 host " NAME
      " said: 452 4.3.1 full (in reply to end of DATA command)\n1 worked\n" },
    { .name = "lost_after_the_final_dot_defers", 1,
      PIPELINED ENVELOPE_SENT "S: 250 a\nS: 250 b\nS: 354 c\nB:\nX: close\n",
      "1/0 deferred 4.4.2 lost connection with " NAME
      " while sending end of data -- message may be sent more than once\n1 failed\n" },
    { .name = "silence_after_the_final_dot_defers", 1,
      PIPELINED ENVELOPE_SENT "S: 250 a\nS: 250 b\nS: 354 c\nB:\nX: wait\n",
      "1/0 deferred 4.4.2 conversation with " NAME
      " timed out while sending end of data -- message may be sent more than once\n1 failed\n",
      "smtp_data_done_timeout = 1s\n" },
    { .name = "success_before_a_reset_counts", 1,
      PIPELINED ENVELOPE_SENT "S: 250 a\nS: 250 b\nS: 354 c\nB:\nS: 250 d\nX: reset\n",
      "1/0 sent 2.0.0 250 d\n1 worked\n" },
    { .name = "success_before_the_end_counts", 1,
      PIPELINED ENVELOPE_SENT "S: 250 a\nS: 250 b\nS: 354 c\nB:\nS: 250 d\nX: close\n",
      "1/0 sent 2.0.0 250 d\n1 worked\n" },
    { .name = "garbage_after_the_final_dot_defers", 1,
      PIPELINED ENVELOPE_SENT "S: 250 a\nS: 250 b\nS: 354 c\nB:\nS: what\nX: wait\n",
      "1/0 deferred 4.5.0 remote protocol error in reply from " NAME
      " while sending end of data -- message may be sent more than once\n1 failed\n" },
    { .name = "hang_up_after_the_final_dot_defers", 1,
      PIPELINED ENVELOPE_SENT "S: 250 a\nS: 250 b\nS: 354 c\nB:\nS: 421 4.3.2 bye\nX: close\n",
      "1/0 deferred 4.3.2 host " NAME
      " said: 421 4.3.2 bye (in reply to end of DATA command)\n1 worked\n" },

    /* what the server offers */
    { .name = "size_is_told", 1,
      HELLO "S: 250-x\nS: 250 SIZE 1000\nC: MAIL FROM:<s@a.example> SIZE=22\nS: 250 a\n"
      RCPT("r1") "S: 250 b\nC: DATA\nS: 354 c\nB:\nS: 250 d\n",
      "1/0 sent 2.0.0 250 d\n1 worked\n" },
    { .name = "too_large_for_the_server_bounces_unsent", 1, HELLO "S: 250-x\nS: 250 SIZE 10\n",
      "1/0 bounced 5.3.4 message size 22 exceeds size limit 10 of server " NAME
      "\n1 untouched\n" },
    { .name = "eight_bit_content_is_announced", 1,
      HELLO "S: 250-x\nS: 250 8BITMIME\nC: MAIL FROM:<s@a.example> BODY=8BITMIME\nS: 250 a\n"
      RCPT("r1") "S: 250 b\nC: DATA\nS: 354 c\nB:\nS: 250 d\n",
      "1/0 sent 2.0.0 250 d\n1 worked\n", NULL, ENVELOPE_8BITMIME },
    { .name = "dsn_parameters_go_on", 1,
      HELLO "S: 250-x\nS: 250 DSN\nC: MAIL FROM:<s@a.example> RET=HDRS\nS: 250 a\n"
      "C: RCPT TO:<r1@b.example> ORCPT=rfc822;r1@b.example\n"
      "S: 250 b\nC: DATA\nS: 354 c\nB:\nS: 250 d\n",
      "1/0 sent 2.0.0 250 d\n1 worked\n", NULL, ENVELOPE_RET_HEADERS },
    { .name = "utf8_mail_needs_a_server_that_takes_it", 1, PLAIN,
      "1/0 bounced 5.6.7 SMTPUTF8 is required, but was not offered by host " NAME
      "\n1 untouched\n", NULL, ENVELOPE_SMTPUTF8 },
    { .name = "discarded_keywords_count_as_not_offered", 1,
      PIPELINED MAIL "S: 250 a\n" RCPT("r1") "S: 250 b\nC: DATA\nS: 354 c\nB:\nS: 250 d\n",
      "1/0 sent 2.0.0 250 d\n1 worked\n", "smtp_discard_ehlo_keywords = pipelining\n" },

    /* protection: what goes on inside is tested with peers that speak TLS (test_tls_out.py) */
    { .name = "mail_that_needs_tls_stays_where_it_is_not_offered", 1,
      PLAIN "C: QUIT\nS: 221 x\n",
      "1/0 deferred 4.7.4 TLS is required, but was not offered by host " NAME "\n1 failed\n",
      "smtp_tls_security_level = encrypt\n" },
    { .name = "mail_that_needs_tls_stays_where_it_is_refused", 1,
      HELLO "S: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 554 5.7.9 no\nC: QUIT\nS: 221 x\n",
      "1/0 deferred 4.7.9 TLS is required, but host " NAME
      " refused to start TLS: 554 5.7.9 no\n1 failed\n",
      "smtp_tls_security_level = encrypt\n" },
    { .name = "mail_that_may_go_in_clear_goes_on_where_tls_is_refused", 1,
      HELLO "S: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 4.7.0 no\n" MAIL "S: 250 a\n" RCPT("r1")
      "S: 250 b\nC: DATA\nS: 354 c\nB:\nS: 250 d\n",
      "1/0 sent 2.0.0 250 d\n1 worked\n", "smtp_tls_security_level = may\n" },
    { .name = "words_in_clear_behind_the_reply_are_an_attack", 1,
      HELLO "S: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nS: 250 x\n",
      "1/0 deferred 4.7.5 host " NAME " sent plaintext behind its reply to STARTTLS\n1 failed\n",
      "smtp_tls_security_level = may\nminimal_backoff_time = 0\n" },
    { .name = "mail_for_a_login_nobody_implements_stays", 1, "",
      "1/0 deferred 4.7.0 smtp_sasl_type names no client for SASL; there is only cyrus\n"
      "1 untouched\n", "smtp_sasl_auth_enable = yes\nsmtp_sasl_type = other\n" },
    { .name = "login_goes_before_the_mail", 1,
      "S: 220 x ESMTP\nC: EHLO client.example\nS: 250-x\nS: 250 AUTH PLAIN\n"
      "C: AUTH PLAIN AHVzcgBwYTpzcw==\nS: 235 2.7.0 ok\nC: MAIL FROM:<s@a.example> AUTH=<>\n"
      "S: 550 5.7.1 no\n",
      "1/0 bounced 5.7.1 host 127.0.0.1[127.0.0.1] said: 550 5.7.1 no (in reply to MAIL FROM "
      "command)\n1 worked\n",
      "smtp_sasl_auth_enable = yes\nsmtp_sasl_security_options =\n"
      "smtp_send_dummy_mail_auth = yes\nsmtp_sasl_password_maps = static:usr:pa:ss\n" },
};
/* clang-format on */

static const char content[] = "Subject: x\r\n\r\n.dot\r\na\r\n";

static void play(void **state)
{
    const struct transcript_case *one = *state;
    struct world world;
    struct world_job job = { .job = 1,
                             .nexthop = "[127.0.0.1]:PORT",
                             .sender = "s@a.example",
                             .content = str_from(content),
                             .flags = one->flags };
    static const char *const recipients[] = { "r1@b.example", "r2@b.example", "r3@b.example",
                                              "r4@b.example", "r5@b.example" };

    for (int i = 0; i < one->recipients; i++)
        job.recipients[i] = recipients[i];
    world_open(&world, one->parameters != NULL ? one->parameters : "");
    world_transcript(&world, 0, one->transcript);
    job.content.len = 22;
    world_send(&world, &job);
    world_run(&world, 1);
    if (strcmp(buf_text(&world.results), one->results) != 0)
        print_message("%s%s", buf_text(&world.mistakes), buf_text(&world.lines));
    assert_string_equal(buf_text(&world.results), one->results);
    worker_drain(&world.worker);
    for (int i = 0; i < 100 && fiber_count(world.loop) > 0; i++)
        world_idle(&world, 10);
    assert_string_equal(buf_text(&world.mistakes), "");
    if (world.servers[0].content.len > 0)
        assert_string_equal(buf_text(&world.servers[0].content), "Subject: x\r\n\r\n..dot\r\na\r\n");
    world_close(&world);
}

int main(void)
{
    enum { COUNT = sizeof cases / sizeof cases[0] };
    struct CMUnitTest tests[COUNT];

    cmocka_set_test_filter(getenv("TEST_FILTER"));

    for (size_t i = 0; i < COUNT; i++) {
        union {
            const struct transcript_case *one;
            void *state;
        } initial = { .one = &cases[i] };
        tests[i] = (struct CMUnitTest){ .name = cases[i].name,
                                        .test_func = play,
                                        .initial_state = initial.state };
    }
    return cmocka_run_group_tests_name("transcripts", tests, NULL, NULL);
}
