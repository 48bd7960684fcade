/* SPDX-License-Identifier: Apache-2.0 */
#include "store/salvage.h"

#include "base/buf.h"
#include "base/memory.h"
#include "store/data_file.h"
#include "store/record.h"

enum { VALUE_MAX_BYTES = 256 << 20 };

struct search {
    int fd;
    uint64_t end_page;
    uint8_t *seen;
    char *levels; /* a page buffer for each depth */
    struct buf value;
    bool (*found)(void *argument, struct str key, struct str value);
    void *argument;
    struct salvage_report *report;
    bool is_over; /* `found` said no */
};

/* The keys that belong below a branch's entry: a page that a damaged number leads to may be whole,
 * but old, and would bring back mail that was delivered. */
struct range {
    struct str low, high; /* empty: no bound; `high` itself is beyond */
};

static bool is_within(struct range range, struct str key)
{
    return (range.low.len == 0 || str_compare(key, range.low) >= 0) &&
           (range.high.len == 0 || str_compare(key, range.high) < 0);
}

static bool is_sound_message(enum record_type type, struct str key, struct str value)
{
    struct message_header header;
    uint64_t queue_id;

    return record_key_parse_message(type, key, &queue_id) &&
           message_header_parse(type, queue_id, value, value.len, &header) &&
           message_envelope_is_sound(
               &header, str_take(value, MESSAGE_HEADER_BYTES + (size_t)header.envelope_len));
}

/* A message whose content alone is damaged is kept: it is reported when it is read. */
static bool is_sound(struct str key, struct str value)
{
    struct self_record self;
    uint64_t queue_id;
    uint32_t index;
    struct str bytes;

    switch (key.len > 0 ? key.ptr[0] : '\0') {
    case RECORD_MESSAGE:
        return is_sound_message(RECORD_MESSAGE, key, value);
    case RECORD_UPDATE:
        return is_sound_message(RECORD_UPDATE, key, value);
    case RECORD_CHUNK:
        return record_key_parse_chunk(key, &queue_id, &index) &&
               chunk_record_parse(queue_id, index, value, &bytes);
    case RECORD_DUE:
        return due_record_is_sound(key, value);
    case RECORD_SELF:
        return key.len == 1 && self_record_parse(value, &self);
    default:
        return false;
    }
}

static void keep(struct search *search, struct str key, struct str value)
{
    if (!is_sound(key, value)) {
        search->report->lost++;
        return;
    }
    search->report->records++;
    search->is_over = !search->found(search->argument, key, value);
}

static void keep_run(struct search *search, struct str key, const char *where, size_t value_bytes)
{
    struct error ignored;
    uint64_t first;

    memcpy(&first, where, sizeof first);
    buf_clear(&search->value);
    if (value_bytes > VALUE_MAX_BYTES || first >= search->end_page ||
        !data_file_read(search->fd, first * PAGE + HEADER, value_bytes,
                        buf_reserve(&search->value, value_bytes + 1), &ignored)) {
        search->report->lost++;
        return;
    }
    keep(search, key, str_of(search->value.ptr, value_bytes));
}

static void search_leaf_node(struct search *search, const char *at, const struct node *node,
                             struct range range)
{
    struct str key = str_of(at + NODE_HEADER, node->key_bytes);
    const char *value = key.ptr + key.len;

    if (!is_within(range, key))
        search->report->lost++;
    else if ((node->flags & NODE_HAS_RUN) != 0)
        keep_run(search, key, value, data_file_value_bytes(node));
    else
        keep(search, key, str_of(value, data_file_value_bytes(node)));
}

static bool read_tree_page(struct search *search, uint64_t page, char *bytes,
                           struct page_header *header)
{
    struct error ignored;

    if (page < META_COUNT || page >= search->end_page ||
        (search->seen[page / 8] & 1u << page % 8) != 0 ||
        !data_file_read(search->fd, page * PAGE, PAGE, bytes, &ignored))
        return false;
    search->seen[page / 8] |= (uint8_t)(1u << page % 8);
    memcpy(header, bytes, sizeof *header);
    return header->page == page && header->lower >= HEADER && header->lower <= PAGE &&
           (header->flags == LEAF_PAGE || header->flags == BRANCH_PAGE);
}

/* The node of entry `index`; false where there is none that lies within the page. */
static bool find_node(const char *bytes, size_t index, bool is_leaf, const char **at,
                      struct node *node)
{
    uint16_t offset;

    memcpy(&offset, bytes + HEADER + 2 * index, sizeof offset);
    *at = bytes + offset;
    return data_file_node(bytes, offset, is_leaf, node) != 0;
}

/* Between its own separator and the next. The page's buffer stays as it is while its children are
 * searched. */
static struct range child_range(const char *bytes, size_t index, size_t count, struct range range)
{
    struct node node;
    const char *at;

    if (index > 0 && find_node(bytes, index, false, &at, &node))
        range.low = str_of(at + NODE_HEADER, node.key_bytes);
    if (index + 1 < count && find_node(bytes, index + 1, false, &at, &node))
        range.high = str_of(at + NODE_HEADER, node.key_bytes);
    return range;
}

/* Recursion is bounded by DEPTH_MAX, and each page is visited once. */
static void search_page(struct search *search, uint64_t page, unsigned level, struct range range)
{
    char *bytes = search->levels + (size_t)level * PAGE;
    struct page_header header;
    struct node node;
    const char *at;

    if (level >= DEPTH_MAX || !read_tree_page(search, page, bytes, &header)) {
        search->report->lost++;
        return;
    }
    bool is_leaf = header.flags == LEAF_PAGE;
    size_t count = (header.lower - (size_t)HEADER) / 2;
    for (size_t i = 0; i < count && !search->is_over; i++) {
        if (!find_node(bytes, i, is_leaf, &at, &node))
            search->report->lost++;
        else if (is_leaf)
            search_leaf_node(search, at, &node, range);
        else
            search_page(search, data_file_child(&node), level + 1,
                        child_range(bytes, i, count, range));
    }
}

static void search_tree(struct search *search, uint64_t root)
{
    search->seen = memory_new(search->end_page / 8 + 1);
    search_page(search, root, 0, (struct range){ STR(""), STR("") });
    memory_free(search->seen);
    search->seen = NULL;
}

bool salvage_records(int fd, bool (*found)(void *argument, struct str key, struct str value),
                     void *argument, struct salvage_report *report, struct error *error)
{
    struct search search = { .fd = fd, .found = found, .argument = argument, .report = report };
    struct meta metas[META_COUNT];
    uint64_t newest, file_bytes;

    *report = (struct salvage_report){ 0 };
    if (!data_file_metas(fd, metas, &newest, &file_bytes, error))
        return false;
    search.end_page = file_bytes / PAGE;
    search.levels = memory_new_array(DEPTH_MAX, PAGE);
    search_tree(&search, metas[newest].trees[MAIN_TREE].root);
    if (report->records == 0 && !search.is_over) {
        report->is_of_commit_before = true;
        search_tree(&search, metas[1 - newest].trees[MAIN_TREE].root);
    }
    memory_free(search.levels);
    buf_free(&search.value);
    if (search.is_over)
        return false;
    return report->records > 0 || error_set(error, "no record of the queue can be read");
}
