/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LMDB's data file as bytes, as 0.9 writes it on 64-bit little-endian machines: for the look at a
 * file before LMDB may map it (structure.c) and for the rescue of a damaged one (salvage.c). What
 * is read here is checked to lie where it can; nothing is believed beyond that.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { PAGE = 4096, META_COUNT = 2, DEPTH_MAX = 32, KEY_MAX = 511, NODE_HEADER = 8, HEADER = 16 };
enum { BRANCH_PAGE = 1, LEAF_PAGE = 2, META_PAGE = 8 };
enum { NODE_HAS_RUN = 1, FREE_TREE = 0, MAIN_TREE = 1, INTEGER_KEYS = 8 };

static const uint64_t no_page = UINT64_MAX;

struct tree {
    uint32_t padding; /* of the free tree: the page size */
    uint16_t flags;
    uint16_t depth;
    uint64_t branch_pages, leaf_pages, run_pages, entries, root;
};

struct meta {
    uint32_t magic, version;
    uint64_t address, map_bytes;
    struct tree trees[2];
    uint64_t last_page, transaction;
};

struct page_header {
    uint64_t page;
    uint16_t padding, flags;
    uint16_t lower, upper;
};

struct node {
    uint16_t low, high, flags, key_bytes; /* then the key, then the value or its page */
};

must_check bool data_file_read(int fd, uint64_t offset, size_t len, void *out, struct error *error);
/* Both meta pages, with the settings that we write; `newest` is the index of the newer. */
must_check bool data_file_metas(int fd, struct meta metas[META_COUNT], uint64_t *newest,
                                uint64_t *file_bytes, struct error *error);
/* The node at `offset` of a page: its size there, or 0 when it does not lie within the page. */
size_t data_file_node(const char *page, size_t offset, bool is_leaf, struct node *node);

static inline size_t data_file_value_bytes(const struct node *node)
{
    return node->low | (size_t)node->high << 16;
}
static inline uint64_t data_file_child(const struct node *node)
{
    return node->low | (uint64_t)node->high << 16 | (uint64_t)node->flags << 32;
}
