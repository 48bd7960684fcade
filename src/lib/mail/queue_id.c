/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/queue_id.h"

#include "base/ensure.h"

#define EPOCH_MS 1577836800000 /* 2020-01-01 00:00:00 UTC */

enum {
    SHORT_DIGITS = 12,
    SECONDS_LETTERS = 6,
    MICROSECONDS_LETTERS = 4,
    LONG_BASE = 52,
    MS_BITS = 41,
};

static const char hexadecimal[] = "0123456789ABCDEF";
/* Digits and consonants: no id spells a word. */
static const char letters[] = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";
/* Postfix shows the inode number here, behind the 'z'. */
static const char tail[] = "z0000";

uint64_t queue_id_from_wall_ms(int64_t wall_ms)
{
    int64_t since_epoch_ms = wall_ms - EPOCH_MS;

    if (since_epoch_ms < 0)
        since_epoch_ms = 0;
    if (since_epoch_ms >= (int64_t)1 << MS_BITS)
        since_epoch_ms = ((int64_t)1 << MS_BITS) - 1;
    return (uint64_t)since_epoch_ms << QUEUE_ID_COUNT_BITS;
}

int64_t queue_id_wall_ms(uint64_t queue_id)
{
    return (int64_t)(queue_id >> QUEUE_ID_COUNT_BITS) + EPOCH_MS;
}

static void put_digits(char *out, int count, uint64_t value, const char *alphabet, unsigned base)
{
    for (int i = count - 1; i >= 0; i--) {
        out[i] = alphabet[value % base];
        value /= base;
    }
    ensure(value == 0);
}

struct queue_id_text queue_id_format(uint64_t queue_id, bool is_long)
{
    struct queue_id_text id = { { 0 } };

    ensure(queue_id >> (MS_BITS + QUEUE_ID_COUNT_BITS) == 0);
    if (!is_long) {
        put_digits(id.text, SHORT_DIGITS, queue_id, hexadecimal, 16);
        return id;
    }
    uint64_t ms = (uint64_t)queue_id_wall_ms(queue_id);
    uint64_t count = queue_id & ((1U << QUEUE_ID_COUNT_BITS) - 1);
    put_digits(id.text, SECONDS_LETTERS, ms / 1000, letters, LONG_BASE);
    put_digits(id.text + SECONDS_LETTERS, MICROSECONDS_LETTERS, ms % 1000 * 1000 + count, letters,
               LONG_BASE);
    memcpy(id.text + SECONDS_LETTERS + MICROSECONDS_LETTERS, tail, sizeof tail);
    return id;
}

static bool get_digits(struct str text, const char *alphabet, unsigned base, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < text.len; i++) {
        const char *digit = memchr(alphabet, text.ptr[i], base);
        if (digit == NULL)
            return false;
        *value = *value * base + (uint64_t)(digit - alphabet);
    }
    return true;
}

static bool parse_long(struct str text, uint64_t *queue_id)
{
    uint64_t seconds, microseconds;

    if (!str_equal(str_skip(text, SECONDS_LETTERS + MICROSECONDS_LETTERS),
                   str_of(tail, sizeof tail - 1)) ||
        !get_digits(str_take(text, SECONDS_LETTERS), letters, LONG_BASE, &seconds) ||
        !get_digits(str_take(str_skip(text, SECONDS_LETTERS), MICROSECONDS_LETTERS), letters,
                    LONG_BASE, &microseconds))
        return false;
    uint64_t count = microseconds % 1000, ms = seconds * 1000 + microseconds / 1000;
    if (microseconds >= 1000000 || count >> QUEUE_ID_COUNT_BITS != 0 || ms < EPOCH_MS ||
        (ms - EPOCH_MS) >> MS_BITS != 0)
        return false;
    *queue_id = (ms - EPOCH_MS) << QUEUE_ID_COUNT_BITS | count;
    return true;
}

bool queue_id_parse(struct str text, uint64_t *queue_id)
{
    if (text.len == SHORT_DIGITS)
        return get_digits(text, hexadecimal, 16, queue_id);
    return text.len == SECONDS_LETTERS + MICROSECONDS_LETTERS + sizeof tail - 1 &&
           parse_long(text, queue_id);
}
