/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk-recorder IMAGE RECORD FOLDER: shows IMAGE as the one file "image" in FOLDER (FUSE), for a
 * loop device over it, and appends to RECORD what reaches it, in order: each write, and each flush,
 * which a loop device passes on as fsync. One thread, so the order is that of the disk. Ends when
 * FOLDER is unmounted.
 *
 * An entry of RECORD: 'W' or 'F' and seven NULs, then the time (CLOCK_MONOTONIC, ns), offset and
 * length, each 8 bytes little-endian; then the bytes of a write. read_record in power_cut.py reads
 * it.
 */
#define FUSE_USE_VERSION 35

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const char image_path[] = "/image";

struct recorder {
    int image_fd, record_fd;
};

static struct recorder *own(void)
{
    return fuse_get_context()->private_data;
}

static int note(char kind, uint64_t offset, const char *bytes, size_t len)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t head[4] = {
        htole64((uint64_t)kind),
        htole64((uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec),
        htole64(offset),
        htole64(len),
    };
    struct iovec parts[] = { { head, sizeof head }, { (void *)(uintptr_t)bytes, len } };
    ssize_t written = writev(own()->record_fd, parts, 2);
    return written == (ssize_t)(sizeof head + len) ? 0 : -EIO;
}

static int get_attributes(const char *path, struct stat *status, struct fuse_file_info *file)
{
    (void)file;
    memset(status, 0, sizeof *status);
    if (strcmp(path, "/") == 0) {
        status->st_mode = S_IFDIR | 0700;
        status->st_nlink = 2;
        return 0;
    }
    if (strcmp(path, image_path) != 0)
        return -ENOENT;
    return fstat(own()->image_fd, status) < 0 ? -errno : 0;
}

/* Past the page cache: a write is here before it is answered. */
static int open_image(const char *path, struct fuse_file_info *file)
{
    if (strcmp(path, image_path) != 0)
        return -ENOENT;
    file->direct_io = 1;
    return 0;
}

static int read_image(const char *path, char *out, size_t len, off_t offset,
                      struct fuse_file_info *file)
{
    (void)path;
    (void)file;
    ssize_t count = pread(own()->image_fd, out, len, offset);
    return count < 0 ? -errno : (int)count;
}

static int write_image(const char *path, const char *bytes, size_t len, off_t offset,
                       struct fuse_file_info *file)
{
    (void)path;
    (void)file;
    int code = note('W', (uint64_t)offset, bytes, len);
    if (code < 0)
        return code;
    ssize_t count = pwrite(own()->image_fd, bytes, len, offset);
    return count < 0 ? -errno : (int)count;
}

static int flush_image(const char *path, int is_data_only, struct fuse_file_info *file)
{
    (void)path;
    (void)is_data_only;
    (void)file;
    return note('F', 0, "", 0);
}

static const struct fuse_operations operations = {
    .getattr = get_attributes,
    .open = open_image,
    .read = read_image,
    .write = write_image,
    .fsync = flush_image,
};

int main(int argc, char **argv)
{
    struct recorder recorder = { -1, -1 };

    if (argc != 4) {
        fprintf(stderr, "usage: disk-recorder IMAGE RECORD FOLDER\n");
        return 64;
    }
    recorder.image_fd = open(argv[1], O_RDWR | O_CLOEXEC);
    recorder.record_fd = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (recorder.image_fd < 0 || recorder.record_fd < 0) {
        perror(recorder.image_fd < 0 ? argv[1] : argv[2]);
        return 1;
    }
    /* In the foreground, one thread. */
    char *options[] = { argv[0], "-f", "-s", "-o", "fsname=disk-recorder", argv[3], NULL };
    return fuse_main(6, options, &operations, &recorder);
}
