/* SPDX-License-Identifier: Apache-2.0 */
#include "table/cdb_file.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/memory.h"

#include <fcntl.h>
#include <unistd.h>

enum {
    TABLES = 256,
    PAIR_BYTES = 8,
    HEADER_BYTES = TABLES * PAIR_BYTES,
    VALUE_BYTES_MAX = 16 << 20,
    GATHER_BYTES = 256 << 10,
};

/* Two numbers of 32 bits stand side by side everywhere in this format. */
struct pair {
    uint32_t first, second;
};

static uint32_t hash_of(struct str key)
{
    uint32_t hash = 5381;

    for (size_t i = 0; i < key.len; i++)
        hash = ((hash << 5) + hash) ^ (unsigned char)key.ptr[i];
    return hash;
}

/* ---- reading ---- */

static bool read_bytes(int fd, void *bytes, size_t len, uint64_t position, struct error *error)
{
    ssize_t count = pread(fd, bytes, len, (off_t)position);

    if (count < 0)
        return error_errno(error, "read");
    return (size_t)count == len || error_set(error, "the file is cut short or damaged");
}

static uint32_t decode(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static bool read_pair(int fd, uint64_t position, struct pair *pair, struct error *error)
{
    unsigned char bytes[PAIR_BYTES];

    if (!read_bytes(fd, bytes, sizeof bytes, position, error))
        return false;
    *pair = (struct pair){ decode(bytes), decode(bytes + 4) };
    return true;
}

/* The record at `position`: LOOKUP_ABSENT when its key is another one. */
static enum lookup_outcome read_record(int fd, uint64_t position, struct str key,
                                       struct arena *arena, struct str *value, struct error *error)
{
    struct pair lengths;

    if (!read_pair(fd, position, &lengths, error))
        return LOOKUP_FAILED;
    if (lengths.first != key.len)
        return LOOKUP_ABSENT;
    char *found = arena_new(arena, key.len + 1);
    position += PAIR_BYTES;
    if (!read_bytes(fd, found, key.len, position, error))
        return LOOKUP_FAILED;
    if (!str_equal(str_of(found, key.len), key))
        return LOOKUP_ABSENT;
    if (lengths.second > VALUE_BYTES_MAX) {
        error_set(error, "a value of %u bytes is too long", lengths.second);
        return LOOKUP_FAILED;
    }
    /* Whether it is there at all is known before there is memory for it. */
    char last;
    position += key.len;
    if (lengths.second > 0 && !read_bytes(fd, &last, 1, position + lengths.second - 1, error))
        return LOOKUP_FAILED;
    char *text = arena_new(arena, (size_t)lengths.second + 1);
    if (!read_bytes(fd, text, lengths.second, position, error))
        return LOOKUP_FAILED;
    *value = str_of(text, lengths.second);
    return LOOKUP_FOUND;
}

enum lookup_outcome cdb_file_find(int fd, struct str key, struct arena *arena, struct str *value,
                                  struct error *error)
{
    uint32_t hash = hash_of(key);
    struct pair table, slot;

    if (!read_pair(fd, (uint64_t)(hash % TABLES) * PAIR_BYTES, &table, error))
        return LOOKUP_FAILED;
    /* Each slot that is looked at exists in the file, so a lie about their number ends soon. */
    for (uint32_t i = 0; i < table.second; i++) {
        uint64_t number = ((uint64_t)(hash / TABLES) + i) % table.second;
        if (!read_pair(fd, table.first + number * PAIR_BYTES, &slot, error))
            return LOOKUP_FAILED;
        if (slot.second == 0)
            return LOOKUP_ABSENT;
        if (slot.first != hash)
            continue;
        enum lookup_outcome outcome = read_record(fd, slot.second, key, arena, value, error);
        if (outcome != LOOKUP_ABSENT)
            return outcome;
    }
    return LOOKUP_ABSENT;
}

/* ---- writing ---- */

struct cdb_writer {
    int fd;
    const char *path;
    struct arena arena;
    struct buf gathered;
    uint64_t position;  /* in the file, with what is gathered */
    struct pair *slots; /* hash and place of each record, in order */
    size_t count, capacity;
};

static void append_pair(struct buf *buf, struct pair pair)
{
    const uint32_t numbers[] = { pair.first, pair.second };

    for (size_t i = 0; i < 2; i++)
        for (int shift = 0; shift < 32; shift += 8)
            buf_append_byte(buf, (char)(numbers[i] >> shift & 0xff));
}

static bool flush(struct cdb_writer *writer, struct error *error)
{
    bool is_written = fd_write_all(writer->fd, buf_str(&writer->gathered), writer->path, error);

    buf_clear(&writer->gathered);
    return is_written;
}

struct cdb_writer *cdb_writer_new(const char *path, struct error *error)
{
    struct cdb_writer *writer = memory_new(sizeof *writer);

    writer->path = arena_text(&writer->arena, str_from(path));
    writer->position = HEADER_BYTES;
    writer->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (writer->fd < 0)
        error_errno(error, "create %s", path);
    else if (lseek(writer->fd, HEADER_BYTES, SEEK_SET) < 0)
        error_errno(error, "seek in %s", path);
    else
        return writer;
    cdb_writer_free(&writer);
    return NULL;
}

static bool check_size(const struct cdb_writer *writer, uint64_t more, struct error *error)
{
    return writer->position + more <= UINT32_MAX ||
           error_set(error, "%s: a cdb file cannot be larger than 4 GB", writer->path);
}

bool cdb_writer_add(struct cdb_writer *writer, struct str key, struct str value,
                    struct error *error)
{
    uint64_t bytes = PAIR_BYTES + (uint64_t)key.len + value.len;

    if (!check_size(writer, bytes, error))
        return false;
    if (writer->count == writer->capacity) {
        writer->capacity = writer->capacity > 0 ? writer->capacity * 2 : 1024;
        writer->slots = memory_resize(writer->slots, writer->capacity * sizeof *writer->slots);
    }
    writer->slots[writer->count++] = (struct pair){ hash_of(key), (uint32_t)writer->position };
    append_pair(&writer->gathered, (struct pair){ (uint32_t)key.len, (uint32_t)value.len });
    buf_append(&writer->gathered, key);
    buf_append(&writer->gathered, value);
    writer->position += bytes;
    return writer->gathered.len < GATHER_BYTES || flush(writer, error);
}

/* One hash table, half full; its place. */
static struct pair append_table(struct cdb_writer *writer, const struct pair *sorted, size_t count)
{
    struct pair place = { (uint32_t)writer->position, (uint32_t)count * 2 };
    size_t len = count * 2;
    struct pair *table = memory_new_array(len + 1, sizeof *table);

    for (size_t i = 0; i < count; i++) {
        size_t slot = sorted[i].first / TABLES % len;
        while (table[slot].second != 0)
            slot = (slot + 1) % len;
        table[slot] = sorted[i];
    }
    for (size_t i = 0; i < len; i++)
        append_pair(&writer->gathered, table[i]);
    writer->position += len * PAIR_BYTES;
    memory_free(table);
    return place;
}

/* Records by hash table, in each in the order in which they were added, or the other way round. */
static struct pair *sort_slots(const struct cdb_writer *writer, bool last_first, size_t *starts)
{
    struct pair *sorted = memory_new_array(writer->count + 1, sizeof *sorted);
    size_t next[TABLES];

    memset(starts, 0, (TABLES + 1) * sizeof *starts);
    for (size_t i = 0; i < writer->count; i++)
        starts[writer->slots[i].first % TABLES + 1]++;
    for (size_t i = 0; i < TABLES; i++)
        starts[i + 1] += starts[i];
    memcpy(next, starts, sizeof next);
    for (size_t i = 0; i < writer->count; i++) {
        struct pair slot = writer->slots[last_first ? writer->count - 1 - i : i];
        sorted[next[slot.first % TABLES]++] = slot;
    }
    return sorted;
}

bool cdb_writer_finish(struct cdb_writer *writer, bool last_wins, struct error *error)
{
    autofree_buf struct buf header = { 0 };
    size_t starts[TABLES + 1];
    bool is_written = check_size(writer, (uint64_t)writer->count * 2 * PAIR_BYTES, error);
    struct pair *sorted = sort_slots(writer, last_wins, starts);

    for (unsigned i = 0; i < TABLES && is_written; i++) {
        append_pair(&header, append_table(writer, sorted + starts[i], starts[i + 1] - starts[i]));
        is_written = writer->gathered.len < GATHER_BYTES || flush(writer, error);
    }
    memory_free(sorted);
    if (!is_written || !flush(writer, error))
        return false;
    if (lseek(writer->fd, 0, SEEK_SET) < 0)
        return error_errno(error, "seek in %s", writer->path);
    return fd_write_all(writer->fd, buf_str(&header), writer->path, error) &&
           fd_sync(writer->fd, writer->path, error);
}

void cdb_writer_free(struct cdb_writer **writer)
{
    if (*writer == NULL)
        return;
    fd_close(&(*writer)->fd);
    buf_free(&(*writer)->gathered);
    memory_free((*writer)->slots);
    arena_clear(&(*writer)->arena);
    memory_free(*writer);
    *writer = NULL;
}
