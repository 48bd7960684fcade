/* SPDX-License-Identifier: Apache-2.0 */
#include "store/structure.h"

#include "base/file.h"
#include "base/memory.h"
#include "store/data_file.h"
#include "store/record.h"
#include "store/salvage.h"

#include <unistd.h>

struct walk {
    int fd;
    struct meta meta;
    uint64_t end_page;
    uint8_t *seen; /* a bit for each page */
    char *levels;  /* a page buffer for each depth of the tree */
    uint64_t tree_pages, free_pages;
    struct error *error;

    /* of the tree at hand */
    const struct tree *tree;
    bool is_free_tree;
    struct tree found; /* counted */
    char previous[KEY_MAX];
    size_t previous_len;
    bool has_previous, may_equal;
    struct self_record self;
    bool has_self;
    uint64_t messages, scheduled;
};

static bool wrong(struct walk *walk, uint64_t page, const char *what)
{
    return error_set(walk->error, "page %llu of the data file is damaged: %s",
                     (unsigned long long)page, what);
}

/* Each page belongs to one place. */
static bool claim(struct walk *walk, uint64_t page, uint64_t count)
{
    if (page < META_COUNT || page >= walk->end_page || count > walk->end_page - page)
        return wrong(walk, page, "something refers to it, but it is outside the used part");
    for (uint64_t i = page; i < page + count; i++) {
        uint8_t bit = (uint8_t)(1u << i % 8);
        if ((walk->seen[i / 8] & bit) != 0)
            return wrong(walk, i, "two places claim it");
        walk->seen[i / 8] |= bit;
    }
    return true;
}

static int compare_keys(bool is_integer, struct str a, struct str b)
{
    uint64_t left, right;

    if (!is_integer)
        return str_compare(a, b);
    memcpy(&left, a.ptr, sizeof left);
    memcpy(&right, b.ptr, sizeof right);
    return left < right ? -1 : left > right;
}

/* Keys come in ascending order; a leaf's first key may equal the separator above it. */
static bool check_order(struct walk *walk, uint64_t page, struct str key, bool is_separator)
{
    if (walk->has_previous) {
        int order =
            compare_keys(walk->is_free_tree, key, str_of(walk->previous, walk->previous_len));
        if (order < 0 || (order == 0 && !walk->may_equal))
            return wrong(walk, page, "its keys are out of order");
    }
    memcpy(walk->previous, key.ptr, key.len);
    walk->previous_len = key.len;
    walk->has_previous = true;
    walk->may_equal = is_separator;
    return true;
}

static bool check_free_list(struct walk *walk, uint64_t page, const char *value, size_t len)
{
    uint64_t count, number;

    memcpy(&count, value, sizeof count);
    if (count > len / sizeof count - 1)
        return wrong(walk, page, "a free list is longer than its record");
    for (uint64_t i = 1; i <= count; i++) {
        memcpy(&number, value + i * sizeof number, sizeof number);
        if (!claim(walk, number, 1))
            return false;
    }
    walk->free_pages += count;
    return true;
}

static bool read_free_run(struct walk *walk, uint64_t page, size_t len)
{
    char *value = memory_new(len);
    bool is_fine = data_file_read(walk->fd, page * PAGE + HEADER, len, value, walk->error) &&
                   check_free_list(walk, page, value, len);

    memory_free(value);
    return is_fine;
}

static bool check_run(struct walk *walk, uint64_t page, const char *where, size_t value_bytes)
{
    uint64_t pages = (HEADER + (uint64_t)value_bytes + PAGE - 1) / PAGE;
    uint64_t first;

    memcpy(&first, where, sizeof first);
    if (!claim(walk, first, pages))
        return error_context(walk->error, "page %llu", (unsigned long long)page);
    walk->found.run_pages += pages;
    return !walk->is_free_tree || read_free_run(walk, first, value_bytes);
}

static void note_record(struct walk *walk, struct str key)
{
    if (walk->is_free_tree)
        return;
    walk->messages += key.ptr[0] == RECORD_MESSAGE;
    walk->scheduled += key.ptr[0] == RECORD_DUE;
}

static void note_self(struct walk *walk, struct str key, struct str value)
{
    if (!walk->is_free_tree && key.len == 1 && key.ptr[0] == RECORD_SELF)
        walk->has_self = self_record_parse(value, &walk->self);
}

static bool check_leaf_node(struct walk *walk, uint64_t page, const char *at,
                            const struct node *node)
{
    struct str key = str_of(at + NODE_HEADER, node->key_bytes);
    const char *value = key.ptr + key.len;
    size_t value_bytes = data_file_value_bytes(node);

    if ((node->flags & ~NODE_HAS_RUN) != 0 || key.len == 0 ||
        (walk->is_free_tree && (key.len != sizeof(uint64_t) || value_bytes < sizeof(uint64_t))))
        return wrong(walk, page, "a record is of a kind that we do not write");
    if (!check_order(walk, page, key, false))
        return false;
    walk->found.entries++;
    note_record(walk, key);
    if ((node->flags & NODE_HAS_RUN) != 0)
        return check_run(walk, page, value, value_bytes);
    if (walk->is_free_tree)
        return check_free_list(walk, page, value, value_bytes);
    note_self(walk, key, str_of(value, value_bytes));
    return true;
}

static bool walk_page(struct walk *walk, uint64_t page, unsigned level);

static bool check_branch_node(struct walk *walk, uint64_t page, const char *at,
                              const struct node *node, unsigned level, bool is_first)
{
    uint64_t child = data_file_child(node);
    struct str key = str_of(at + NODE_HEADER, node->key_bytes);

    if (!is_first && (key.len == 0 || (walk->is_free_tree && key.len != sizeof(uint64_t))))
        return wrong(walk, page, "a separator has no key");
    if (!is_first && !check_order(walk, page, key, true))
        return false;
    return walk_page(walk, child, level + 1);
}

static bool check_nodes(struct walk *walk, uint64_t page, unsigned level, const char *bytes,
                        const struct page_header *header)
{
    bool is_leaf = (header->flags & LEAF_PAGE) != 0;
    size_t count = (header->lower - HEADER) / 2, total = 0;

    if (count < (is_leaf ? 1 : 2))
        return wrong(walk, page, "it has too few entries");
    for (size_t i = 0; i < count; i++) {
        uint16_t offset;
        struct node node;

        memcpy(&offset, bytes + HEADER + 2 * i, sizeof offset);
        size_t size = data_file_node(bytes, offset, is_leaf, &node);
        if (size == 0 || offset < header->upper)
            return wrong(walk, page, "an entry lies outside of it");
        total += size;
        if (is_leaf ? !check_leaf_node(walk, page, bytes + offset, &node)
                    : !check_branch_node(walk, page, bytes + offset, &node, level, i == 0))
            return false;
    }
    return total == (size_t)PAGE - header->upper || wrong(walk, page, "its entries do not fill it");
}

/* Recursion is bounded by the depth that the meta page gives, itself at most DEPTH_MAX. */
static bool walk_page(struct walk *walk, uint64_t page, unsigned level)
{
    char *bytes = walk->levels + (size_t)level * PAGE;
    bool is_leaf = level + 1 == walk->tree->depth;
    struct page_header header;

    if (!claim(walk, page, 1) || !data_file_read(walk->fd, page * PAGE, PAGE, bytes, walk->error))
        return false;
    memcpy(&header, bytes, sizeof header);
    if (header.page != page || header.flags != (is_leaf ? LEAF_PAGE : BRANCH_PAGE))
        return wrong(walk, page, "it is not the tree page that it should be");
    if (header.lower < HEADER || header.lower % 2 != 0 || header.lower > header.upper ||
        header.upper > PAGE)
        return wrong(walk, page, "its bounds are impossible");
    if (is_leaf)
        walk->found.leaf_pages++;
    else
        walk->found.branch_pages++;
    return check_nodes(walk, page, level, bytes, &header);
}

static bool counts_agree(const struct tree *a, const struct tree *b)
{
    return a->branch_pages == b->branch_pages && a->leaf_pages == b->leaf_pages &&
           a->run_pages == b->run_pages && a->entries == b->entries;
}

static bool walk_tree(struct walk *walk, int which, uint64_t meta_page)
{
    const struct tree *tree = &walk->meta.trees[which];

    walk->tree = tree;
    walk->is_free_tree = which == FREE_TREE;
    walk->has_previous = false;
    walk->found = (struct tree){ 0 };
    if (tree->depth > DEPTH_MAX || (tree->root == no_page) != (tree->depth == 0))
        return wrong(walk, meta_page, "the depth of a tree is impossible");
    if (tree->root != no_page && !walk_page(walk, tree->root, 0))
        return false;
    walk->tree_pages += walk->found.branch_pages + walk->found.leaf_pages + walk->found.run_pages;
    return counts_agree(&walk->found, tree) ||
           wrong(walk, meta_page, "its counts do not agree with its trees");
}

static bool check_self(struct walk *walk, uint64_t meta_page)
{
    if (walk->meta.trees[MAIN_TREE].root == no_page && walk->meta.transaction <= 1)
        return true; /* new: nothing was ever committed */
    if (!walk->has_self)
        return wrong(walk, meta_page, "its commit has no sound self-check record");
    return walk->self.transaction == walk->meta.transaction ||
           wrong(walk, meta_page, "it is torn: the self-check record is of another commit");
}

static bool walk_trees(struct walk *walk, uint64_t meta_page)
{
    walk->seen = memory_new(walk->end_page / 8 + 1);
    walk->levels = memory_new_array(DEPTH_MAX, PAGE);
    bool is_fine = walk_tree(walk, FREE_TREE, meta_page) && walk_tree(walk, MAIN_TREE, meta_page) &&
                   check_self(walk, meta_page);
    memory_free(walk->seen);
    memory_free(walk->levels);
    return is_fine;
}

/* The commit that a meta page describes. */
static bool check_commit(int fd, uint64_t page, const struct meta *meta, uint64_t file_bytes,
                         struct structure_report *report, struct error *error)
{
    struct walk walk = { .fd = fd, .meta = *meta, .error = error };

    if (meta->last_page >= file_bytes / PAGE)
        return error_set(error, "the data file is truncated: it should have %llu pages",
                         (unsigned long long)meta->last_page + 1);
    walk.end_page = meta->last_page + 1;
    if (!walk_trees(&walk, page))
        return false;
    *report = (struct structure_report){
        .end_page = walk.end_page,
        .tree_pages = walk.tree_pages + META_COUNT,
        .free_pages = walk.free_pages,
        .unused_pages = walk.end_page - META_COUNT - walk.tree_pages - walk.free_pages,
        .messages = walk.messages,
        .scheduled = walk.scheduled,
    };
    return true;
}

static bool take_self(void *argument, struct str key, struct str value)
{
    struct self_record *self = argument;

    return key.ptr[0] != RECORD_SELF || self_record_parse(value, self);
}

/* Whether the newest commit was complete once: then its damage came later, and to go back behind it
 * would lose what it acknowledged. A commit that a power loss interrupted has no self-check record
 * of its own number. */
static bool was_complete(int fd, uint64_t transaction)
{
    struct self_record self = { 0 };
    struct salvage_report report;
    struct error ignored;

    return salvage_records(fd, take_self, &self, &report, &ignored) &&
           self.transaction == transaction;
}

enum structure_state structure_check(int fd, struct structure_report *report, struct error *error)
{
    struct meta metas[META_COUNT];
    struct structure_report ignored_report;
    struct error ignored;
    uint64_t newest, file_bytes;

    if (report == NULL)
        report = &ignored_report;
    if (!data_file_metas(fd, metas, &newest, &file_bytes, error))
        return STRUCTURE_DAMAGED;
    if (check_commit(fd, newest, &metas[newest], file_bytes, report, error))
        return STRUCTURE_SOUND;
    uint64_t older = 1 - newest;
    return check_commit(fd, older, &metas[older], file_bytes, report, &ignored) &&
                   !was_complete(fd, metas[newest].transaction)
               ? STRUCTURE_TORN
               : STRUCTURE_DAMAGED;
}

bool structure_drop_newest(int fd, struct error *error)
{
    struct meta metas[META_COUNT];
    uint64_t newest, file_bytes;

    if (!data_file_metas(fd, metas, &newest, &file_bytes, error))
        return false;
    if (pwrite(fd, &metas[1 - newest], sizeof(struct meta), (off_t)(newest * PAGE + HEADER)) !=
        (ssize_t)sizeof(struct meta))
        return error_errno(error, "write the data file");
    return fd_sync(fd, "the data file", error);
}
