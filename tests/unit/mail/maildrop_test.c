/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/maildrop.h"
#include "mail/maildrop_file.h"

#include "base/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct maildrop_envelope example(struct arena *arena)
{
    struct maildrop_envelope envelope = {
        .flags = MAILDROP_GATEWAY,
        .full_name = STR("Joe User"),
        .envelope = { .sender = STR("joe"),
                      .flags = ENVELOPE_LOCAL,
                      .arrival_us = 1234567,
                      .dsn_envid = STR("id") },
    };
    struct recipient first = { .address = STR("a@b"), .dsn_notify = DSN_NOTIFY_NEVER };
    struct recipient second = { .address = STR("c d@e") };

    envelope_add_recipient(arena, &envelope.envelope, &first);
    envelope_add_recipient(arena, &envelope.envelope, &second);
    return envelope;
}

static void crc_is_castagnoli_and_may_come_in_portions(void **state)
{
    assert_int_equal(maildrop_crc(0, STR("123456789")), 0xe3069283);
    assert_int_equal(maildrop_crc(maildrop_crc(0, STR("1234")), STR("56789")), 0xe3069283);
}

static void header_survives_and_every_flipped_bit_is_found(void **state)
{
    struct maildrop_header header = { 1ULL << 33, 77, 0x12345678, 0x9abcdef0 }, read;
    unsigned char bytes[MAILDROP_HEADER_BYTES];
    struct str text = str_of((const char *)bytes, sizeof bytes);
    struct error error;

    maildrop_header_encode(&header, bytes);
    assert_true(maildrop_header_decode(text, &read, &error));
    assert_true(read.content_bytes == header.content_bytes);
    assert_int_equal(read.envelope_bytes, 77);
    assert_int_equal(read.content_crc, 0x12345678);
    assert_int_equal(read.envelope_crc, 0x9abcdef0);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_false(maildrop_header_decode(text, &read, &error));
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    assert_false(maildrop_header_decode(str_take(text, 63), &read, &error));
}

static void envelope_survives_and_a_cut_one_is_refused(void **state)
{
    struct arena arena = { 0 };
    struct maildrop_envelope envelope = example(&arena), read;
    autofree_buf struct buf bytes = { 0 };
    struct error error;

    maildrop_envelope_encode(&envelope, &bytes);
    assert_true(maildrop_envelope_decode(&arena, buf_str(&bytes), &read, &error));
    assert_int_equal(read.flags, MAILDROP_GATEWAY);
    assert_true(str_equal(read.full_name, STR("Joe User")));
    assert_true(str_equal(read.envelope.sender, STR("joe")));
    assert_int_equal(read.envelope.recipient_count, 2);
    assert_true(str_equal(read.envelope.recipients[1].address, STR("c d@e")));
    for (size_t len = 0; len < bytes.len; len++)
        assert_false(maildrop_envelope_decode(&arena, str_of(bytes.ptr, len), &read, &error));
    arena_clear(&arena);
}

static void addresses_that_could_break_a_line_are_refused(void **state)
{
    static const struct str bad[] = {
        STR_INIT("a\nb"), STR_INIT("a\rb"), STR_INIT("a\0b"), STR_INIT("a\x7f"), STR_INIT(""),
    };
    struct error error;

    for (size_t i = 0; i < COUNT(bad); i++) {
        struct arena arena = { 0 };
        struct maildrop_envelope envelope = example(&arena);
        envelope.envelope.recipients[1].address = bad[i];
        assert_false(maildrop_envelope_check(&envelope, &error));
        envelope = example(&arena);
        envelope.envelope.sender = bad[i];
        assert_int_equal(maildrop_envelope_check(&envelope, &error), bad[i].len == 0);
        envelope = example(&arena);
        envelope.full_name = bad[i];
        assert_int_equal(maildrop_envelope_check(&envelope, &error), bad[i].len == 0);
        envelope.full_name = STR("");
        envelope.envelope.recipient_count = 0;
        assert_false(maildrop_envelope_check(&envelope, &error));
        arena_clear(&arena);
    }
}

static void frames_beyond_the_bound_and_of_no_kind_are_refused(void **state)
{
    unsigned char bytes[MAILDROP_FRAME_HEADER_BYTES];
    struct str text = str_of((const char *)bytes, sizeof bytes);
    enum maildrop_frame_kind kind;
    uint32_t len;

    maildrop_frame_header_encode(MAILDROP_FRAME_CONTENT, MAILDROP_FRAME_MAX, bytes);
    assert_true(maildrop_frame_header_decode(text, &kind, &len));
    assert_int_equal(kind, MAILDROP_FRAME_CONTENT);
    assert_int_equal(len, MAILDROP_FRAME_MAX);
    maildrop_frame_header_encode(MAILDROP_FRAME_ENVELOPE, MAILDROP_FRAME_MAX + 1, bytes);
    assert_false(maildrop_frame_header_decode(text, &kind, &len));
    bytes[0] = 'X';
    assert_false(maildrop_frame_header_decode(text, &kind, &len));
}

/* A folder with one file "A1"; `change` may spoil it before it is opened. */
static enum maildrop_file_outcome open_after(void (*change)(int folder_fd), size_t *content_bytes)
{
    char path[] = "/tmp/maildrop-test.XXXXXX";
    struct arena arena = { 0 };
    struct maildrop_envelope envelope = example(&arena);
    autofree_buf struct buf bytes = { 0 };
    unsigned char header_bytes[MAILDROP_HEADER_BYTES];
    struct maildrop_file file;
    struct error error;
    char portion[4];
    size_t count;

    assert_non_null(mkdtemp(path));
    autoclose int folder_fd = open(path, O_RDONLY | O_DIRECTORY);
    int fd = openat(folder_fd, "A1", O_CREAT | O_WRONLY, 0600);
    maildrop_envelope_encode(&envelope, &bytes);
    struct maildrop_header header = { 11, (uint32_t)bytes.len, maildrop_crc(0, STR("hello\nworld")),
                                      maildrop_crc(0, buf_str(&bytes)) };
    maildrop_header_encode(&header, header_bytes);
    assert_int_equal(write(fd, header_bytes, sizeof header_bytes), sizeof header_bytes);
    assert_int_equal(write(fd, "hello\nworld", 11), 11);
    assert_int_equal(write(fd, bytes.ptr, bytes.len), (ssize_t)bytes.len);
    close(fd);
    if (change != NULL)
        change(folder_fd);
    enum maildrop_file_outcome outcome = maildrop_file_open(&arena, folder_fd, "A1", &file, &error);
    *content_bytes = 0;
    count = 1;
    while (outcome == MAILDROP_FILE_OK && count > 0) {
        outcome = maildrop_file_read(&file, portion, sizeof portion, &count, &error);
        *content_bytes += count;
    }
    maildrop_file_close(&file);
    unlinkat(folder_fd, "A1", 0);
    unlinkat(folder_fd, "other", 0);
    rmdir(path);
    arena_clear(&arena);
    return outcome;
}

static void flip_at(int folder_fd, off_t offset)
{
    autoclose int fd = openat(folder_fd, "A1", O_RDWR);
    char byte;

    assert_int_equal(pread(fd, &byte, 1, offset), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
}

static void spoil_content(int folder_fd)
{
    flip_at(folder_fd, MAILDROP_HEADER_BYTES + 3);
}

static void spoil_envelope(int folder_fd)
{
    flip_at(folder_fd, MAILDROP_HEADER_BYTES + 11 + 9);
}

static void cut(int folder_fd)
{
    autoclose int fd = openat(folder_fd, "A1", O_RDWR);

    assert_int_equal(ftruncate(fd, 80), 0);
}

static void empty(int folder_fd)
{
    autoclose int fd = openat(folder_fd, "A1", O_RDWR | O_TRUNC);

    assert_true(fd >= 0);
}

static void link_twice(int folder_fd)
{
    assert_int_equal(linkat(folder_fd, "A1", folder_fd, "other", 0), 0);
}

static void make_symlink(int folder_fd)
{
    unlinkat(folder_fd, "A1", 0);
    assert_int_equal(symlinkat("/etc/passwd", folder_fd, "A1"), 0);
}

static void make_fifo(int folder_fd)
{
    unlinkat(folder_fd, "A1", 0);
    assert_int_equal(mkfifoat(folder_fd, "A1", 0600), 0);
}

static void take_away(int folder_fd)
{
    unlinkat(folder_fd, "A1", 0);
}

static void files_are_read_or_refused_and_never_trusted(void **state)
{
    static const struct {
        void (*change)(int folder_fd);
        enum maildrop_file_outcome outcome;
    } cases[] = {
        { NULL, MAILDROP_FILE_OK },
        { spoil_content, MAILDROP_FILE_BAD },
        { spoil_envelope, MAILDROP_FILE_BAD },
        { cut, MAILDROP_FILE_BAD },
        { empty, MAILDROP_FILE_BAD },
        { link_twice, MAILDROP_FILE_BAD },
        { make_symlink, MAILDROP_FILE_BAD },
        { make_fifo, MAILDROP_FILE_BAD },
        { take_away, MAILDROP_FILE_GONE },
    };
    size_t content_bytes;

    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(open_after(cases[i].change, &content_bytes), cases[i].outcome);
        if (cases[i].outcome == MAILDROP_FILE_OK)
            assert_int_equal(content_bytes, 11);
    }
    assert_true(maildrop_name_is_valid(STR("00639FA1B2C3D4")));
    assert_false(maildrop_name_is_valid(STR(".00639FA1B2C3D4")));
    assert_false(maildrop_name_is_valid(STR("../x")));
    assert_false(maildrop_name_is_valid(STR("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_is_castagnoli_and_may_come_in_portions),
        cmocka_unit_test(header_survives_and_every_flipped_bit_is_found),
        cmocka_unit_test(envelope_survives_and_a_cut_one_is_refused),
        cmocka_unit_test(addresses_that_could_break_a_line_are_refused),
        cmocka_unit_test(frames_beyond_the_bound_and_of_no_kind_are_refused),
        cmocka_unit_test(files_are_read_or_refused_and_never_trusted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
