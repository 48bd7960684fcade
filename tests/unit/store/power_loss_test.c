/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power loss: the store works and everything it writes is recorded; then, for each moment of the
 * record, folders are made as a loss of power could have left them, and each must open and hold
 * exactly what had been acknowledged by then, or that and the commit that was under way.
 *
 * WAYPOST_CRASH_STATES sets how many different states are tried in all (default 10,000, which
 * has every moment with each of the simple losses; the long
 * run is `make crash-states`), WAYPOST_CRASH_SEED the random numbers.
 */
#include "disk.h"
#include "spool.h"
#include "write_log.h"

#include "base/memory.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    IDS = 128,
    STEPS_MAX = 400,
    STATES = 10000,
    TRIES_PER_STATE = 4,
    GOES_ON_EVERY = 4, /* states, that it can go on working is tried with some */
    LARGE_BYTES = 3 << 20,
    NEW_ID = 1000,
    RESERVE_BYTES = 64 << 10,
};

struct kept {
    uint32_t bytes; /* of its content; 0: not there */
    uint32_t updates;
    int64_t due_ms;
};

struct model {
    struct kept messages[IDS];
};

/* A scenario while it is played and checked. */
struct play {
    struct spool *spool;
    char root[128];       /* what is recorded */
    char queue[160];      /* below it */
    struct model *models; /* after each acknowledged step */
    size_t steps;
    uint64_t chance;
    bool is_batch_open;
};

struct scenario {
    const char *name;
    void (*prepare)(struct play *play); /* NULL: there is no queue yet */
    void (*act)(struct play *play);
    bool
        tears_sectors; /* a sector is not written whole: costs the commit under way, and a repair */
};

/* ---- steps ---- */

static struct model *next_model(struct play *play)
{
    return &play->models[play->steps + 1];
}

static void begin(struct play *play)
{
    assert_true(play->steps + 1 < STEPS_MAX);
    *next_model(play) = play->models[play->steps];
    assert_true(store_begin(play->spool->store, &play->spool->error));
}

static void commit(struct play *play)
{
    assert_int_equal(store_commit(play->spool->store, &play->spool->error), STORE_OK);
    write_log_mark(++play->steps);
}

static void put(struct play *play, uint64_t id, uint32_t bytes)
{
    struct kept *kept = &next_model(play)->messages[id];

    *kept = (struct kept){ bytes, 0, (int64_t)id * 10 };
    assert_int_equal(message_put(play->spool->store, id, bytes, kept->due_ms, &play->spool->error),
                     STORE_OK);
    store_set_id_mark(play->spool->store, id + 1);
}

static void update(struct play *play, uint64_t id, int64_t due_ms)
{
    struct kept *kept = &next_model(play)->messages[id];
    char envelope[32];

    kept->due_ms = due_ms;
    snprintf(envelope, sizeof envelope, "update %u", ++kept->updates);
    assert_int_equal(store_update_message(play->spool->store, id, str_from(envelope), due_ms,
                                          &play->spool->error),
                     STORE_OK);
}

static void end(struct play *play, uint64_t id)
{
    next_model(play)->messages[id].bytes = 0;
    assert_int_equal(store_delete_message(play->spool->store, id, &play->spool->error), STORE_OK);
}

static uint32_t some_bytes(struct play *play)
{
    static const uint32_t limits[] = { 500, 3000, 7000, 7000, 20000, 60000 };

    return 1 + (uint32_t)chance_below(&play->chance, limits[chance_below(&play->chance, 6)]);
}

static void fill(struct play *play, uint64_t from, uint64_t count)
{
    begin(play);
    for (uint64_t id = from; id < from + count; id++)
        put(play, id, some_bytes(play));
    commit(play);
}

/* ---- scenarios ---- */

static void prepare_nothing(struct play *play)
{
    (void)play;
}

static void prepare_some(struct play *play)
{
    fill(play, 0, 16);
}

static void prepare_many(struct play *play)
{
    fill(play, 0, 48);
}

static void accept_messages(struct play *play)
{
    for (uint64_t id = 0; id < 25; id++)
        fill(play, id, 1);
}

static void defer(struct play *play)
{
    for (uint64_t turn = 0; turn < 24; turn++) {
        begin(play);
        update(play, turn * 5 % 16, 5000 + (int64_t)turn);
        commit(play);
    }
}

static void deliver(struct play *play)
{
    for (uint64_t id = 0; id < 16; id++) {
        begin(play);
        end(play, id * 7 % 16);
        commit(play);
    }
}

/* The notice and the end of what it is about are one commit. */
static void bounce(struct play *play)
{
    for (uint64_t id = 0; id < 16; id++) {
        begin(play);
        put(play, 64 + id, some_bytes(play));
        end(play, id);
        commit(play);
    }
}

static void hold_and_release(struct play *play)
{
    for (uint64_t turn = 0; turn < 24; turn++) {
        begin(play);
        update(play, turn / 2, turn % 2 == 0 ? INT64_MAX : 7000);
        commit(play);
    }
}

static void delete_many(struct play *play)
{
    for (uint64_t id = 0; id < 48; id += 4) {
        begin(play);
        for (uint64_t each = id; each < id + 4; each++)
            end(play, each);
        commit(play);
    }
}

static void stream_chunks(struct play *play, uint64_t id, uint32_t count)
{
    char *chunk = memory_new(STORE_CHUNK_BYTES);

    for (uint32_t index = 0; index < count; index++) {
        if (!play->is_batch_open)
            begin(play);
        content_fill(id, (size_t)index * STORE_CHUNK_BYTES, chunk, STORE_CHUNK_BYTES);
        assert_int_equal(store_put_chunk(play->spool->store, id, index,
                                         str_of(chunk, STORE_CHUNK_BYTES), &play->spool->error),
                         STORE_OK);
        play->is_batch_open = index % 8 != 7;
        if (!play->is_batch_open)
            commit(play);
    }
    memory_free(chunk);
}

/* Content that arrives in portions, each committed, and the message after them; one that the client
 * gave up; and the end of the first. */
static void large(struct play *play)
{
    uint32_t count = LARGE_BYTES / STORE_CHUNK_BYTES;
    autofree_buf struct buf envelope = message_envelope(0);

    stream_chunks(play, 0, count);
    if (!play->is_batch_open)
        begin(play);
    play->is_batch_open = false;
    struct store_message message = { .envelope = buf_str(&envelope), .chunk_count = count };
    store_set_id_mark(play->spool->store, 1);
    next_model(play)->messages[0] = (struct kept){ count * STORE_CHUNK_BYTES, 0, 0 };
    assert_int_equal(store_put_message(play->spool->store, &message, &play->spool->error),
                     STORE_OK);
    commit(play);
    stream_chunks(play, 1, 16);
    begin(play);
    assert_int_equal(store_drop_chunks(play->spool->store, 1, 16, &play->spool->error), STORE_OK);
    commit(play);
    begin(play);
    end(play, 0);
    commit(play);
    fill(play, 2, 1);
}

/* Also what an edit does: another message takes the place of one. */
static void requeue(struct play *play)
{
    for (uint64_t id = 0; id < 16; id++) {
        uint32_t bytes = play->models[play->steps].messages[id].bytes;

        begin(play);
        put(play, 64 + id, id % 2 == 0 ? bytes : bytes + 900);
        end(play, id);
        commit(play);
    }
}

static void compact(struct play *play)
{
    for (uint64_t turn = 0; turn < 2; turn++) {
        begin(play);
        for (uint64_t id = turn * 24; id < turn * 24 + 20; id++)
            end(play, id);
        commit(play);
        assert_true(store_compact(play->spool->store, &play->spool->error));
        fill(play, 60 + turn * 4, 3);
    }
}

static void change_one(struct play *play, uint64_t id)
{
    if (next_model(play)->messages[id].bytes == 0)
        put(play, id, some_bytes(play));
    else if (chance_below(&play->chance, 3) == 0)
        update(play, id, (int64_t)chance_below(&play->chance, 9000));
    else
        end(play, id);
}

static void group_commits(struct play *play)
{
    for (int step = 0; step < 30; step++) {
        begin(play);
        for (uint64_t i = 1 + chance_below(&play->chance, 8); i > 0; i--)
            change_one(play, chance_below(&play->chance, 40));
        commit(play);
    }
}

static void open_it(struct play *play)
{
    spool_open(play->spool);
    play->models[play->steps + 1] = play->models[play->steps];
    write_log_mark(++play->steps);
}

/* Nothing is there yet, not even the folder; then twice a stop in order. */
static void first_starts(struct play *play)
{
    for (uint64_t turn = 0; turn < 3; turn++) {
        open_it(play);
        fill(play, turn * 8, 3);
        fill(play, turn * 8 + 4, 1);
        spool_close(play->spool);
    }
    open_it(play);
}

/* The first has the fewest different states; the others make up for it. */
static const struct scenario scenarios[] = {
    { "torn within a sector", prepare_some, group_commits, true },
    { "first start, restart", NULL, first_starts, false },
    { "accept", prepare_nothing, accept_messages, false },
    { "defer", prepare_some, defer, false },
    { "deliver", prepare_some, deliver, false },
    { "bounce", prepare_some, bounce, false },
    { "hold, release", prepare_some, hold_and_release, false },
    { "delete", prepare_many, delete_many, false },
    { "large, streamed", prepare_nothing, large, false },
    { "requeue, edit", prepare_some, requeue, false },
    { "compaction", prepare_many, compact, false },
    { "mixed group commits", prepare_some, group_commits, false },
};
enum { SCENARIO_COUNT = sizeof scenarios / sizeof *scenarios };

/* ---- a state ---- */

static bool agrees_message(struct spool *spool, uint64_t id, const struct kept *kept)
{
    autofree_buf struct buf envelope = { 0 }, expected = message_envelope(id);
    int64_t due_ms;
    bool is_same;

    if (message_check(spool->store, id, kept->bytes, &is_same) != STORE_OK || !is_same ||
        store_read_envelope(spool->store, id, &envelope, &due_ms, &spool->error) != STORE_OK)
        return false;
    if (kept->updates > 0) {
        buf_clear(&expected);
        buf_printf(&expected, "update %u", kept->updates);
    }
    return due_ms == kept->due_ms && str_equal(buf_str(&envelope), buf_str(&expected));
}

/* The store holds these messages, no other, and will not give their ids again. */
static bool agrees(struct spool *spool, const struct model *model)
{
    uint64_t ids[IDS + 1];
    size_t count = store_scan_ids(spool->store, 0, ids, IDS + 1), next = 0;

    for (uint64_t id = 0; id < IDS; id++) {
        if (model->messages[id].bytes == 0)
            continue;
        if (next == count || ids[next++] != id || store_id_mark(spool->store) <= id ||
            !agrees_message(spool, id, &model->messages[id]))
            return false;
    }
    return next == count;
}

/* For the message of an abort, too. */
static struct {
    const char *scenario;
    size_t position, loss, number;
} at;

static void tell_place(int signal_number)
{
    fprintf(stderr, "aborted in a state of \"%s\": entry %zu, loss %zu, state %zu\n", at.scenario,
            at.position, at.loss, at.number);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void check_state(struct play *play, size_t mark)
{
    struct spool *spool = play->spool;

    if (!spool_try_open(spool))
        fail_msg("%s: entry %zu, loss %zu: %s", at.scenario, at.position, at.loss,
                 spool->error.message);
    if (verify_problems(spool->store) != 0 ||
        (!agrees(spool, &play->models[mark]) &&
         (mark == play->steps || !agrees(spool, &play->models[mark + 1]))))
        fail_msg("%s: entry %zu, loss %zu: it holds neither what was acknowledged by step %zu nor "
                 "the next step",
                 at.scenario, at.position, at.loss, mark);
    if (at.number % GOES_ON_EVERY == 0) {
        spool_put(spool, NEW_ID, 5000, 1);
        assert_int_equal(verify_problems(spool->store), 0);
    }
    spool_close(spool);
    spool->notices[0] = '\0';
}

/* ---- all states of a scenario ---- */

/* The numbers of the states that were tried. */
struct seen {
    uint64_t *slots;
    size_t slot_count;
};

static bool is_new(struct seen *seen, uint64_t number)
{
    size_t slot = number % seen->slot_count;

    while (seen->slots[slot] != 0 && seen->slots[slot] != number)
        slot = (slot + 1) % seen->slot_count;
    if (seen->slots[slot] == number)
        return false;
    seen->slots[slot] = number;
    return true;
}

struct search {
    struct play *play;
    struct seen seen;
    size_t states, wanted;
};

static void try_state(struct search *search, struct disk *disk, enum disk_loss loss)
{
    uint64_t number = 0;

    for (int i = 0; i < TRIES_PER_STATE; i++) {
        number = disk_lose_power(disk, loss, &search->play->chance) | 1;
        if (is_new(&search->seen, number))
            break;
        number = 0;
    }
    if (number == 0)
        return;
    at.number = ++search->states;
    at.loss = loss;
    disk_write_files(disk, search->play->root);
    check_state(search->play, disk_mark(disk));
}

/* One look at each moment of the record; the simple losses first, each of them everywhere. */
static void pass(struct search *search, size_t number, bool tears_sectors)
{
    static const enum disk_loss random[] = { LOSS_TEARS_LAST, LOSS_OF_SECTORS, LOSS_OF_PAGES,
                                             LOSS_OF_WRITES };
    enum disk_loss loss = number < LOSS_OF_PAGES ? (enum disk_loss)number : random[number % 4];
    struct disk *disk = disk_new();

    for (at.position = write_log_first(); disk_advance(disk); at.position++) {
        if (search->states >= search->wanted)
            break;
        if (!tears_sectors)
            try_state(search, disk, loss);
        else if (disk_is_in_meta_write(disk))
            try_state(search, disk, LOSS_TEARS_SECTOR);
    }
    disk_free(&disk);
}

static size_t try_states(struct play *play, size_t wanted, bool tears_sectors)
{
    size_t slots = 2 * (wanted + 10 * write_log_count()) + 1, before = SIZE_MAX;
    struct search search = {
        play, { memory_new_array(slots, sizeof(uint64_t)), slots }, 0, wanted
    };

    play->spool->options.may_repair = tears_sectors;
    for (size_t number = 0;
         number < LOSS_OF_PAGES || (search.states < wanted && search.states != before); number++) {
        before = number % 4 == 0 ? search.states : before;
        pass(&search, number, tears_sectors);
    }
    memory_free(search.seen.slots);
    return search.states;
}

/* ---- the test ---- */

static size_t number_from_environment(const char *name, size_t otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? strtoul(text, NULL, 10) : otherwise;
}

static void set_root(struct play *play, const char *name)
{
    struct spool *spool = play->spool;

    snprintf(play->root, sizeof play->root, "%s/%s", spool->folder, name);
    snprintf(play->queue, sizeof play->queue, "%s/queue", play->root);
    assert_int_equal(mkdir(play->root, 0700), 0);
    spool->options.folder = play->queue;
}

/* Plays it while it is recorded. */
static void play_scenario(struct play *play, const struct scenario *scenario)
{
    set_root(play, "work");
    if (scenario->prepare != NULL) {
        spool_open(play->spool);
        scenario->prepare(play);
        play->models[0] = play->models[play->steps];
        play->steps = 0;
    }
    write_log_free(); /* the marks of the preparation */
    write_log_start(play->root);
    scenario->act(play);
    write_log_stop();
    spool_close(play->spool);
    assert_int_equal(folder_remove(play->root), 0);
}

static size_t count_kind(enum write_log_kind kind)
{
    size_t count = 0;

    for (size_t i = write_log_first(); i < write_log_count(); i++)
        count += write_log_at(i)->kind == kind;
    return count;
}

static size_t run_scenario(struct spool *spool, const struct scenario *scenario, size_t wanted)
{
    struct play play = {
        .spool = spool,
        .models = memory_new_array(STEPS_MAX, sizeof *play.models),
        .chance = 1 + number_from_environment("WAYPOST_CRASH_SEED", 22),
    };

    at.scenario = scenario->name;
    spool->options.may_repair = false;
    play_scenario(&play, scenario);
    set_root(&play, "state");
    size_t states = try_states(&play, wanted, scenario->tears_sectors);
    print_message("%-22s %5zu steps, %5zu writes, %5zu flushes, %7zu states\n", scenario->name,
                  play.steps, count_kind(LOG_WRITE),
                  count_kind(LOG_FLUSH) + count_kind(LOG_FLUSH_WRITE), states);
    write_log_free();
    memory_free(play.models);
    assert_int_equal(folder_remove(play.root), 0);
    return states;
}

static void in_every_state_after_a_loss_of_power_all_acknowledged_is_there(void **state)
{
    struct spool *spool = *state;
    size_t wanted = number_from_environment("WAYPOST_CRASH_STATES", STATES), states = 0;

    signal(SIGABRT, tell_place);
    for (size_t i = 0; i < SCENARIO_COUNT; i++)
        states +=
            run_scenario(spool, &scenarios[i],
                         (wanted - (states < wanted ? states : wanted)) / (SCENARIO_COUNT - i));
    print_message("%zu states in all\n", states);
    assert_true(states >= wanted);
}

static int power_setup(void **state)
{
    if (getenv("TMPDIR") == NULL && access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
    if (spool_setup_closed(state) < 0)
        return -1;
    ((struct spool *)*state)->options.reserve_bytes = RESERVE_BYTES;
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            in_every_state_after_a_loss_of_power_all_acknowledged_is_there, power_setup,
            spool_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
