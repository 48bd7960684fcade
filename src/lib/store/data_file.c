/* SPDX-License-Identifier: Apache-2.0 */
#include "store/data_file.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint32_t meta_magic = 0xbeefc0de;

bool data_file_read(int fd, uint64_t offset, size_t len, void *out, struct error *error)
{
    ssize_t count = pread(fd, out, len, (off_t)offset);

    if (count < 0)
        return error_errno(error, "read the data file at byte %llu", (unsigned long long)offset);
    if ((size_t)count < len)
        return error_set(error, "the data file ends within page %llu: it is truncated",
                         (unsigned long long)offset / PAGE);
    return true;
}

static bool read_meta(int fd, uint64_t page, struct meta *meta, struct error *error)
{
    struct page_header header;

    if (!data_file_read(fd, page * PAGE, sizeof header, &header, error) ||
        !data_file_read(fd, page * PAGE + HEADER, sizeof *meta, meta, error))
        return false;
    if ((header.flags & META_PAGE) == 0 || meta->magic != meta_magic || meta->version != 1)
        return error_set(error, "the data file is not a queue: its page %llu is no meta page",
                         (unsigned long long)page);
    if (meta->trees[FREE_TREE].padding != PAGE || meta->trees[FREE_TREE].flags != INTEGER_KEYS ||
        meta->trees[MAIN_TREE].flags != 0 || meta->trees[MAIN_TREE].padding != 0)
        return error_set(error, "page %llu of the data file is damaged: its settings are not ours",
                         (unsigned long long)page);
    return true;
}

bool data_file_metas(int fd, struct meta metas[META_COUNT], uint64_t *newest, uint64_t *file_bytes,
                     struct error *error)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return error_errno(error, "stat the data file");
    if (!read_meta(fd, 0, &metas[0], error) || !read_meta(fd, 1, &metas[1], error))
        return false;
    *file_bytes = (uint64_t)status.st_size;
    *newest = metas[0].transaction < metas[1].transaction;
    return true;
}

size_t data_file_node(const char *page, size_t offset, bool is_leaf, struct node *node)
{
    if (offset + NODE_HEADER > PAGE)
        return 0;
    memcpy(node, page + offset, sizeof *node);
    size_t size = NODE_HEADER + (size_t)node->key_bytes;
    if (is_leaf)
        size += (node->flags & NODE_HAS_RUN) != 0 ? sizeof(uint64_t) : data_file_value_bytes(node);
    size += size % 2;
    return offset + size <= PAGE && node->key_bytes <= KEY_MAX ? size : 0;
}
