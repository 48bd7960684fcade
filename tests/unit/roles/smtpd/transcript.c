/* SPDX-License-Identifier: Apache-2.0 */
#include "transcript.h"

#include "base/file.h"

#include <stdio.h>

enum { PATIENCE_MS = 20 * 1000 };

struct player {
    const char *path;
    struct str text;
    struct str client_address;
    struct buf main_cf, early;
    bool is_byte_by_byte, is_whole_only;
    struct buf unsent;
    int line_number;
    bool has_failed;
};

/* ---- small helpers ---- */

static bool fail(struct player *player, const char *what, struct str expected, struct str got)
{
    fprintf(stderr, "%s:%d (%s): %s\n  expected: %.*s\n  got:      %.*s\n", player->path,
            player->line_number, player->is_byte_by_byte ? "byte by byte" : "whole", what,
            STR_ARGS(expected), STR_ARGS(got));
    player->has_failed = true;
    return false;
}

static int hex_digit(char byte)
{
    if (ascii_is_digit(byte))
        return byte - '0';
    return ascii_lower(byte) - 'a' + 10;
}

/* \r \n \t \0 \\ \xHH */
static void append_unescaped(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '\\' || i + 1 == text.len) {
            buf_append_byte(out, text.ptr[i]);
            continue;
        }
        switch (text.ptr[++i]) {
        case 'r':
            buf_append_byte(out, '\r');
            break;
        case 'n':
            buf_append_byte(out, '\n');
            break;
        case 't':
            buf_append_byte(out, '\t');
            break;
        case '0':
            buf_append_byte(out, '\0');
            break;
        case 'x':
            if (i + 2 < text.len)
                buf_append_byte(out, (char)(hex_digit(text.ptr[i + 1]) * 16 +
                                            hex_digit(text.ptr[i + 2])));
            i += 2;
            break;
        default:
            buf_append_byte(out, text.ptr[i]);
            break;
        }
    }
}

static bool matches(struct str expected, struct str got)
{
    if (str_ends_with(expected, STR("...")))
        return str_starts_with(got, str_take(expected, expected.len - 3));
    return str_equal(expected, got);
}

static int64_t deadline(const struct world *world)
{
    return loop_now_ms(world->loop) + PATIENCE_MS;
}

static void send_unsent(struct world *world, struct player *player)
{
    struct str rest = buf_str(&player->unsent);
    size_t portion = player->is_byte_by_byte ? 1 : rest.len;

    /* A server that has hung up is what the next S: line finds out. */
    while (rest.len > 0) {
        if (stream_write(world->client, str_take(rest, portion), deadline(world)) != STREAM_OK ||
            stream_flush(world->client, deadline(world)) != STREAM_OK)
            break;
        rest = str_skip(rest, portion);
        if (player->is_byte_by_byte)
            fiber_yield(world->loop);
    }
    buf_clear(&player->unsent);
}

/* Lets the server finish what it does after its last byte, and the queue its part. */
static void settle(struct world *world)
{
    for (int i = 0; i < 8; i++)
        fiber_yield(world->loop);
}

/* ---- one directive each ---- */

static bool on_send_line(struct world *world, struct player *player, struct str argument)
{
    (void)world;
    buf_append(&player->unsent, argument);
    buf_append_text(&player->unsent, "\r\n");
    return true;
}

static bool on_send_raw(struct world *world, struct player *player, struct str argument)
{
    (void)world;
    append_unescaped(&player->unsent, argument);
    return true;
}

static bool on_send_run(struct world *world, struct player *player, struct str argument)
{
    struct str count = str_cut(&argument, " ");
    uint64_t times = 0;

    (void)world;
    if (!str_to_u64(count, &times))
        return fail(player, "a count and a byte", STR("C* 10 a"), count);
    autofree_buf struct buf piece = { 0 };
    append_unescaped(&piece, argument);
    while (times-- > 0)
        buf_append(&player->unsent, buf_str(&piece));
    return true;
}

static bool on_reply(struct world *world, struct player *player, struct str argument)
{
    struct str line = STR("");

    send_unsent(world, player);
    enum stream_outcome outcome =
        stream_read_line(world->client, 4096, deadline(world), &line, NULL);
    bool has_ended = outcome == STREAM_CLOSED || outcome == STREAM_FAILED;
    if (str_equal(argument, STR("closed")))
        return has_ended || fail(player, "the connection is open", argument, line);
    if (outcome != STREAM_OK)
        return fail(player, "no reply", argument, str_from(stream_outcome_text(outcome)));
    return matches(argument, line) || fail(player, "another reply", argument, line);
}

/* A reply of any number of lines. */
static bool on_lines(struct world *world, struct player *player, struct str argument)
{
    struct str line;

    send_unsent(world, player);
    do {
        enum stream_outcome outcome =
            stream_read_line(world->client, 4096, deadline(world), &line, NULL);
        if (outcome != STREAM_OK)
            return fail(player, "no reply", argument, str_from(stream_outcome_text(outcome)));
        if (!str_starts_with(line, argument))
            return fail(player, "another reply", argument, line);
    } while (line.len > 3 && line.ptr[3] == '-');
    return true;
}

static bool on_clean(struct world *world, struct player *player, struct str argument)
{
    (void)argument;
    send_unsent(world, player);
    settle(world);
    if (list_is_empty(&world->server.conversations))
        return true;
    const struct conversation *conversation =
        list_entry(world->server.conversations.next, struct conversation, link);
    return session_has_no_transaction(&conversation->session) ||
           fail(player, "a transaction is left", STR("none"),
                str_from(phase_name(conversation->session.phase)));
}

static bool on_queue(struct world *world, struct player *player, struct str argument)
{
    static const struct {
        const char *name;
        enum queue_manner manner;
    } manners[] = { { "accepts", QUEUE_ACCEPTS },
                    { "refuses", QUEUE_REFUSES },
                    { "dies", QUEUE_DIES },
                    { "shut", QUEUE_IS_SHUT } };

    for (size_t i = 0; i < sizeof(manners) / sizeof(manners[0]); i++) {
        if (str_equal(argument, str_from(manners[i].name))) {
            world_set_queue(world, manners[i].manner);
            settle(world);
            return true;
        }
    }
    return fail(player, "an unknown manner", STR("accepts, refuses, dies, shut"), argument);
}

static bool on_count(struct world *world, struct player *player, struct str argument)
{
    autofree_buf struct buf count = { 0 };

    settle(world);
    buf_append_u64(&count, world->message_count);
    return str_equal(buf_str(&count), argument) ||
           fail(player, "accepted messages", argument, buf_str(&count));
}

static bool on_from(struct world *world, struct player *player, struct str argument)
{
    struct str sender = world->message.envelope.sender;

    return str_equal(sender, argument) || fail(player, "another sender", argument, sender);
}

static bool on_to(struct world *world, struct player *player, struct str argument)
{
    const struct envelope *envelope = &world->message.envelope;
    autofree_buf struct buf list = { 0 };

    for (size_t i = 0; i < envelope->recipient_count; i++) {
        if (i > 0)
            buf_append_byte(&list, ' ');
        buf_append(&list, envelope->recipients[i].address);
    }
    return str_equal(buf_str(&list), argument) ||
           fail(player, "other recipients", argument, buf_str(&list));
}

static bool on_ends(struct world *world, struct player *player, struct str argument)
{
    autofree_buf struct buf wanted = { 0 };
    struct str content = buf_str(&world->message.content);

    append_unescaped(&wanted, argument);
    return str_ends_with(content, buf_str(&wanted)) ||
           fail(player, "other content", argument, content);
}

static bool on_log(struct world *world, struct player *player, struct str argument)
{
    settle(world);
    return str_find(world_log(world), argument) >= 0 ||
           fail(player, "not in the log", argument, world_log(world));
}

static bool on_no_log(struct world *world, struct player *player, struct str argument)
{
    settle(world);
    return str_find(world_log(world), argument) < 0 ||
           fail(player, "in the log", STR("nothing of that"), argument);
}

static bool on_setting(struct world *world, struct player *player, struct str argument)
{
    (void)world;
    (void)player;
    (void)argument;
    return true; /* was read before the dialogue began */
}

static const struct {
    const char *name;
    bool (*handle)(struct world *world, struct player *player, struct str argument);
} directives[] = {
    { "C:", on_send_line }, { "C!", on_send_raw }, { "C*", on_send_run },
    { "S:", on_reply },     { "S+", on_lines }, { "T:", on_clean },    { "queue:", on_queue },
    { "Q:", on_count },     { "from:", on_from },  { "to:", on_to },
    { "ends:", on_ends },   { "L:", on_log },      { "L!", on_no_log },
    { "main.cf:", on_setting }, { "client:", on_setting }, { "whole", on_setting },
    { "early:", on_setting },
};

/* ---- a file ---- */

/* "C: EHLO x" -> "C:", "EHLO x": one blank between them. */
static struct str take_directive(struct str *line)
{
    ptrdiff_t blank = str_find_byte(*line, ' ');
    struct str name = blank < 0 ? *line : str_take(*line, (size_t)blank);

    *line = blank < 0 ? STR("") : str_skip(*line, (size_t)blank + 1);
    return name;
}

static bool play_line(struct world *world, struct player *player, struct str line)
{
    if (str_is_empty(line) || line.ptr[0] == '#')
        return true;
    struct str name = take_directive(&line);
    for (size_t i = 0; i < sizeof(directives) / sizeof(directives[0]); i++) {
        if (str_equal(name, str_from(directives[i].name)))
            return directives[i].handle(world, player, line);
    }
    return fail(player, "an unknown directive", STR("see transcript.h"), name);
}

static void play_file(struct world *world, void *argument)
{
    struct player *player = argument;
    struct str rest = player->text;

    player->line_number = 0;
    while (rest.len > 0 && !player->has_failed) {
        struct str line = str_cut(&rest, "\n");
        player->line_number++;
        (void)play_line(world, player, line);
    }
    send_unsent(world, player);
}

static void read_settings(struct player *player)
{
    struct str rest = player->text;

    while (rest.len > 0) {
        struct str line = str_cut(&rest, "\n");
        struct str name = take_directive(&line);
        if (str_equal(name, STR("main.cf:"))) {
            buf_append(&player->main_cf, line);
            buf_append_byte(&player->main_cf, '\n');
        } else if (str_equal(name, STR("client:"))) {
            player->client_address = line;
        } else if (str_equal(name, STR("early:"))) {
            buf_append(&player->early, line);
            buf_append_text(&player->early, "\r\n");
        } else if (str_equal(name, STR("whole"))) {
            player->is_whole_only = true;
        }
    }
}

static void play_once(struct player *player)
{
    autofree_buf struct buf address = { 0 };
    struct world world;

    buf_append(&address, player->client_address);
    world_open(&world, buf_text(&player->main_cf));
    world.early = buf_str(&player->early);
    world_run(&world, buf_text(&address), play_file, player);
    if (player->has_failed)
        fprintf(stderr, "the log:\n%.*s", STR_ARGS(world_log(&world)));
    world_close(&world);
}

bool transcript_play(const char *path)
{
    struct player player = { .path = path, .client_address = STR("127.0.0.1") };
    autofree_buf struct buf text = { 0 };
    struct error error;

    if (!file_read(path, 1024 * 1024, &text, &error)) {
        fprintf(stderr, "%s\n", error.message);
        return false;
    }
    player.text = buf_str(&text);
    read_settings(&player);
    play_once(&player);
    player.is_byte_by_byte = true;
    if (!player.has_failed && !player.is_whole_only)
        play_once(&player);
    buf_free(&player.main_cf);
    buf_free(&player.early);
    buf_free(&player.unsent);
    return !player.has_failed;
}
