/* SPDX-License-Identifier: Apache-2.0 */
/* Writing into mailboxes, in a folder of the test's own, with the rights that the test has. */
#include "mailbox.h"

#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
    char folder[64];
    char path[80];
    struct mailbox mailbox;
};

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof *place);

    assert_non_null(place);
    snprintf(place->folder, sizeof place->folder, "/tmp/waypost-mailbox-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    snprintf(place->path, sizeof place->path, "%s/box", place->folder);
    place->mailbox = (struct mailbox){
        .path = place->path,
        .copy = { .sender = STR("s@x.example"),
                  .original_to = STR("o@x.example"),
                  .delivered_to = STR("d@x.example"),
                  .content = STR("Subject: x\r\n\r\nbody\r\n") },
        .has_delivered_to = true,
        .locks = MAILBOX_LOCK_FCNTL | MAILBOX_LOCK_DOTLOCK,
        .must_be_owner = true,
        .lock_attempts = 1,
        .stale_lock_s = 500,
        .host_name = "host",
    };
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    char command[128];

    snprintf(command, sizeof command, "rm -r %s", place->folder);
    assert_int_equal(system(command), 0);
    free(place);
    return 0;
}

static struct str contents(struct place *place, struct buf *out)
{
    struct error error;

    buf_clear(out);
    assert_true(file_read(place->path, 1 << 20, out, &error));
    return buf_str(out);
}

static void messages_follow_one_another(void **state)
{
    struct place *place = *state;
    struct outcome outcome;
    autofree_buf struct buf once = { 0 }, twice = { 0 };

    mailbox_append(&place->mailbox, &outcome);
    assert_string_equal(outcome.text, "delivered to mailbox");
    (void)contents(place, &once);
    mailbox_append(&place->mailbox, &outcome);
    (void)contents(place, &twice);
    assert_int_equal(twice.len, 2 * once.len);
    assert_true(str_starts_with(str_skip(buf_str(&twice), once.len), STR("From s@x.example  ")));
    assert_int_equal(access(place->path, X_OK), -1);
}

static void message_that_does_not_fit_leaves_nothing(void **state)
{
    struct place *place = *state;
    struct outcome outcome;
    autofree_buf struct buf before = { 0 }, after = { 0 };

    mailbox_append(&place->mailbox, &outcome);
    place->mailbox.size_limit_bytes = (int64_t)contents(place, &before).len + 10;
    mailbox_append(&place->mailbox, &outcome);
    assert_string_equal(outcome.dsn, "5.2.2");
    assert_true(str_equal(contents(place, &after), buf_str(&before)));
    assert_int_equal(access(place->path, F_OK), 0);
}

static void torn_end_is_set_apart(void **state)
{
    static const char *const ends[] = { "cut off", "a line\n", "whole\n\n" };
    static const char *const between[] = { "\n\n", "\n", "" };
    struct place *place = *state;

    for (size_t i = 0; i < 3; i++) {
        struct outcome outcome;
        autofree_buf struct buf all = { 0 };
        FILE *file = fopen(place->path, "w");
        assert_non_null(file);
        fputs(ends[i], file);
        fclose(file);
        mailbox_append(&place->mailbox, &outcome);
        assert_true(outcome_is_sent(&outcome));
        struct str rest = str_skip(contents(place, &all), strlen(ends[i]));
        assert_true(str_starts_with(rest, str_from(between[i])));
        assert_true(str_starts_with(str_skip(rest, strlen(between[i])), STR("From s@x")));
    }
}

static void lock_of_a_stranger_counts(void **state)
{
    struct place *place = *state;
    struct outcome outcome;
    char lock[96];

    snprintf(lock, sizeof lock, "%s.lock", place->path);
    FILE *file = fopen(lock, "w");
    assert_non_null(file);
    fputs("waypost 99999999 another machine", file);
    fclose(file);
    mailbox_append(&place->mailbox, &outcome);
    assert_string_equal(outcome.dsn, "4.2.0");
    assert_int_equal(access(lock, F_OK), 0);
}

/* A child that holds the lock waits in a FIFO's place for nothing: it is killed there. */
static void lock_of_a_killed_process_is_taken(void **state)
{
    struct place *place = *state;
    struct outcome outcome;
    char lock[96];
    autofree_buf struct buf signature = { 0 };
    struct error error;
    int status;

    snprintf(lock, sizeof lock, "%s.lock", place->path);
    pid_t pid = fork();
    if (pid == 0) {
        autoclose int fd = open(place->path, O_RDWR | O_CREAT, 0600);
        place->mailbox.locks = MAILBOX_LOCK_FLOCK | MAILBOX_LOCK_DOTLOCK;
        place->mailbox.lock_attempts = 100;
        place->mailbox.lock_delay_s = 1;
        flock(fd, LOCK_EX); /* so that it comes to wait with the lock file in place */
        mailbox_append(&place->mailbox, &outcome);
        _exit(0);
    }
    for (int i = 0; i < 1000 && !file_read(lock, 1000, &signature, &error); i++) {
        buf_clear(&signature);
        usleep(10000);
    }
    assert_true(str_starts_with(buf_str(&signature), STR("waypost ")));
    mailbox_append(&place->mailbox, &outcome);
    assert_string_equal(outcome.dsn, "4.2.0"); /* it lives */
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    place->mailbox.lock_attempts = 2;
    mailbox_append(&place->mailbox, &outcome);
    assert_string_equal(outcome.dsn, "2.0.0");
    assert_int_equal(access(lock, F_OK), -1);
}

static void odd_files_are_refused(void **state)
{
    struct place *place = *state;
    struct outcome outcome;
    char other[96];

    snprintf(other, sizeof other, "%s/other", place->folder);
    assert_int_equal(symlink(other, place->path), 0);
    mailbox_append(&place->mailbox, &outcome);
    assert_string_equal(outcome.dsn, "5.2.0");
    assert_int_equal(access(other, F_OK), -1);
    unlink(place->path);
    assert_int_equal(mkfifo(place->path, 0600), 0);
    mailbox_append(&place->mailbox, &outcome);
    assert_string_equal(outcome.dsn, "5.2.0");
    unlink(place->path);
    place->mailbox.is_any_file = true;
    place->mailbox.path = "/dev/null";
    mailbox_append(&place->mailbox, &outcome);
    assert_true(outcome_is_sent(&outcome));
    place->mailbox.path = "/dev/zero";
    mailbox_append(&place->mailbox, &outcome);
    assert_string_equal(outcome.dsn, "5.2.0");
}

static size_t count_files(const char *folder)
{
    DIR *entries = opendir(folder);
    size_t count = 0;

    assert_non_null(entries);
    while (readdir(entries) != NULL)
        count++;
    closedir(entries);
    return count - 2;
}

static void maildir_gets_whole_files(void **state)
{
    struct place *place = *state;
    struct outcome outcome;
    char maildir[100], part[120];

    snprintf(maildir, sizeof maildir, "%s/deep/er/", place->folder);
    place->mailbox.path = maildir;
    for (int i = 0; i < 3; i++) {
        maildir_add(&place->mailbox, &outcome);
        assert_string_equal(outcome.text, "delivered to maildir");
    }
    snprintf(part, sizeof part, "%snew", maildir);
    assert_int_equal(count_files(part), 3);
    place->mailbox.size_limit_bytes = 10;
    maildir_add(&place->mailbox, &outcome);
    assert_string_equal(outcome.dsn, "5.2.2");
    assert_int_equal(count_files(part), 3);
    snprintf(part, sizeof part, "%stmp", maildir);
    assert_int_equal(count_files(part), 0);
}

static void lock_names_are_checked(void **state)
{
    unsigned locks;

    (void)state;
    assert_true(mailbox_locks_parse(STR("fcntl, dotlock"), &locks));
    assert_int_equal(locks, MAILBOX_LOCK_FCNTL | MAILBOX_LOCK_DOTLOCK);
    assert_true(mailbox_locks_parse(STR("flock"), &locks));
    assert_false(mailbox_locks_parse(STR(""), &locks));
    assert_false(mailbox_locks_parse(STR("fcntl lockf"), &locks));
}

int main(void)
{
#define PLACE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        PLACE_TEST(messages_follow_one_another),
        PLACE_TEST(message_that_does_not_fit_leaves_nothing),
        PLACE_TEST(torn_end_is_set_apart),
        PLACE_TEST(lock_of_a_stranger_counts),
        PLACE_TEST(lock_of_a_killed_process_is_taken),
        PLACE_TEST(odd_files_are_refused),
        PLACE_TEST(maildir_gets_whole_files),
        cmocka_unit_test(lock_names_are_checked),
    };
    return cmocka_run_group_tests_name("roles/local_mailbox", tests, NULL, NULL);
}
