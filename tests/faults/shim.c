/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes calls of the C library fail: a shared library that a copy of the program needs (patchelf),
 * so that it stands before the C library. Which call of which role fails, when and how, is said by
 * a file that every process maps when it starts and that the test writes to: see struct order.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { FAIL, SHORT, DELAY };
enum { NAME_BYTES = 16, DELAY_MS = 50, O_READ_CLOSE = 02000000, O_READ_WRITE_CLOSE = 02000002 };

/* The file's layout; sweep.py writes it with struct.pack. */
struct order {
    char role[NAME_BYTES]; /* "smtpd"; empty: none is armed */
    char call[NAME_BYTES]; /* "write" */
    int32_t wait;          /* so many calls pass first */
    int32_t count;         /* so many fail then */
    int32_t kind;          /* enum kind */
    int32_t error;         /* errno of FAIL */
    int32_t hits;          /* counted here */
    int32_t padding;
    int64_t clock_ahead_s; /* of the wall clock, for every process */
};

static struct order *order;
static char role[NAME_BYTES] = "command";

static int open_quietly(const char *path, int flags)
{
    return (int)syscall(SYS_openat, -100, path, flags, 0); /* AT_FDCWD */
}

/* The words of our command line: "waypost", "role", NAME. */
static void find_role(void)
{
    char text[256] = { 0 };
    int fd = open_quietly("/proc/self/cmdline", O_READ_CLOSE);
    ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    const char *word = text + strlen(text) + 1;

    if (fd >= 0)
        close(fd);
    if (len > 0 && word < text + len && strcmp(word, "role") == 0)
        snprintf(role, sizeof role, "%.15s", word + strlen(word) + 1);
}

/* The file stands beside the program: it is found before anything is confined. */
__attribute__((constructor)) static void begin(void)
{
    char path[4096] = { 0 };
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - sizeof ".order");

    if (len <= 0)
        return;
    memcpy(path + len, ".order", sizeof ".order");
    find_role();
    int fd = open_quietly(path, O_READ_WRITE_CLOSE);
    if (fd < 0)
        return;
    void *mapped = mmap(NULL, sizeof *order, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped != MAP_FAILED)
        order = mapped;
}

/* Whether this is a call that the order means; what it is to do then. */
static int is_meant(const char *call, enum kind *kind)
{
    if (order == NULL || order->role[0] == '\0' || strcmp(order->call, call) != 0 ||
        strcmp(order->role, role) != 0)
        return 0;
    if (__atomic_fetch_sub(&order->wait, 1, __ATOMIC_SEQ_CST) > 0)
        return 0;
    if (__atomic_fetch_sub(&order->count, 1, __ATOMIC_SEQ_CST) <= 0)
        return 0;
    __atomic_fetch_add(&order->hits, 1, __ATOMIC_SEQ_CST);
    *kind = (enum kind)order->kind;
    return 1;
}

static void delay(void)
{
    const struct timespec pause = { .tv_nsec = DELAY_MS * 1000000L };

    nanosleep(&pause, NULL);
}

/* True: the call fails, errno is set. A call that cannot fall short fails instead. */
static int fails(const char *call)
{
    enum kind kind;

    if (!is_meant(call, &kind))
        return 0;
    if (kind == DELAY) {
        delay();
        return 0;
    }
    errno = order->error;
    return 1;
}

/* For calls with a length: SHORT halves it. */
static int fails_or_shortens(const char *call, size_t *length)
{
    enum kind kind;

    if (!is_meant(call, &kind))
        return 0;
    if (kind == FAIL) {
        errno = order->error;
        return 1;
    }
    if (kind == DELAY)
        delay();
    else if (*length > 1)
        *length /= 2;
    return 0;
}

static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

/* Each stands for the C library's function of its name, which the order may know as `call`. */
#define STAND_IN(result, name, call, failure, parameters, ...)                                     \
    result name parameters;                                                                        \
    result name parameters                                                                         \
    {                                                                                              \
        static result(*real) parameters;                                                           \
        if (real == NULL)                                                                          \
            real = (result(*) parameters)next(#name);                                              \
        if (fails(call))                                                                           \
            return failure;                                                                        \
        return real(__VA_ARGS__);                                                                  \
    }
#define STAND_IN_WITH_LENGTH(name, call, parameters, ...)                                          \
    ssize_t name parameters;                                                                       \
    ssize_t name parameters                                                                        \
    {                                                                                              \
        static ssize_t(*real) parameters;                                                          \
        if (real == NULL)                                                                          \
            real = (ssize_t(*) parameters)next(#name);                                             \
        if (fails_or_shortens(call, &length))                                                      \
            return -1;                                                                             \
        return real(__VA_ARGS__);                                                                  \
    }

STAND_IN_WITH_LENGTH(read, "read", (int fd, void *bytes, size_t length), fd, bytes, length)
STAND_IN_WITH_LENGTH(write, "write", (int fd, const void *bytes, size_t length), fd, bytes, length)
STAND_IN_WITH_LENGTH(pwrite, "pwrite", (int fd, const void *bytes, size_t length, off_t at), fd,
                     bytes, length, at)
STAND_IN_WITH_LENGTH(pwrite64, "pwrite", (int fd, const void *bytes, size_t length, off64_t at), fd,
                     bytes, length, at)
STAND_IN_WITH_LENGTH(recv, "recv", (int fd, void *bytes, size_t length, int flags), fd, bytes,
                     length, flags)
STAND_IN_WITH_LENGTH(send, "send", (int fd, const void *bytes, size_t length, int flags), fd, bytes,
                     length, flags)
STAND_IN(ssize_t, pwritev, "pwritev", -1, (int fd, const struct iovec *parts, int count, off_t at),
         fd, parts, count, at)
STAND_IN(ssize_t, pwritev64, "pwritev", -1,
         (int fd, const struct iovec *parts, int count, off64_t at), fd, parts, count, at)
STAND_IN(ssize_t, sendmsg, "sendmsg", -1, (int fd, const struct msghdr *message, int flags), fd,
         message, flags)
STAND_IN(ssize_t, recvmsg, "recvmsg", -1, (int fd, struct msghdr *message, int flags), fd, message,
         flags)
STAND_IN(int, fsync, "fsync", -1, (int fd), fd)
STAND_IN(int, fdatasync, "fdatasync", -1, (int fd), fd)
STAND_IN(int, ftruncate, "ftruncate", -1, (int fd, off_t size), fd, size)
STAND_IN(int, ftruncate64, "ftruncate", -1, (int fd, off64_t size), fd, size)
STAND_IN(int, fallocate64, "fallocate", -1, (int fd, int mode, off64_t at, off64_t size), fd, mode,
         at, size)
STAND_IN(int, socket, "socket", -1, (int family, int type, int protocol), family, type, protocol)
STAND_IN(int, socketpair, "socketpair", -1, (int family, int type, int protocol, int pair[2]),
         family, type, protocol, pair)
STAND_IN(int, connect, "connect", -1, (int fd, const struct sockaddr *address, socklen_t length),
         fd, address, length)
STAND_IN(int, accept4, "accept4", -1,
         (int fd, struct sockaddr *address, socklen_t *length, int flags), fd, address, length,
         flags)
STAND_IN(int, epoll_ctl, "epoll_ctl", -1,
         (int epoll, int action, int fd, struct epoll_event *event), epoll, action, fd, event)
STAND_IN(pid_t, fork, "fork", -1, (void), )
STAND_IN(int, rename, "rename", -1, (const char *from, const char *to), from, to)
STAND_IN(int, renameat, "rename", -1,
         (int from_folder, const char *from, int to_folder, const char *to), from_folder, from,
         to_folder, to)
STAND_IN(int, unlinkat, "unlinkat", -1, (int folder, const char *name, int flags), folder, name,
         flags)
STAND_IN(int, memfd_create, "memfd_create", -1, (const char *name, unsigned flags), name, flags)
STAND_IN(void *, mmap, "mmap", MAP_FAILED,
         (void *wanted, size_t length, int protection, int flags, int fd, off_t at), wanted, length,
         protection, flags, fd, at)
STAND_IN(void *, mmap64, "mmap", MAP_FAILED,
         (void *wanted, size_t length, int protection, int flags, int fd, off64_t at), wanted,
         length, protection, flags, fd, at)
STAND_IN(int, pthread_create, "thread", errno,
         (pthread_t * thread, const pthread_attr_t *attributes, void *(*run)(void *),
          void *argument),
         thread, attributes, run, argument)
/* Their mode is there only with O_CREAT; as an argument too many it does no harm. fcntl.h, which
 * declares them otherwise, is not included. */
STAND_IN(int, open, "open", -1, (const char *path, int flags, mode_t mode), path, flags, mode)
STAND_IN(int, open64, "open", -1, (const char *path, int flags, mode_t mode), path, flags, mode)
STAND_IN(int, openat, "open", -1, (int folder, const char *path, int flags, mode_t mode), folder,
         path, flags, mode)
STAND_IN(int, openat64, "open", -1, (int folder, const char *path, int flags, mode_t mode), folder,
         path, flags, mode)

/* The wall clock as the order has it; the monotonic one stays. */
static int64_t clock_ahead_s(void)
{
    return order == NULL ? 0 : __atomic_load_n(&order->clock_ahead_s, __ATOMIC_SEQ_CST);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);

    if (real == NULL)
        real = (int (*)(clockid_t, struct timespec *))next("clock_gettime");
    int code = real(clock, now);
    if (code == 0 && clock == CLOCK_REALTIME)
        now->tv_sec += clock_ahead_s();
    return code;
}

int gettimeofday(struct timeval *now, void *zone)
{
    struct timespec precise;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    *now = (struct timeval){ precise.tv_sec, precise.tv_nsec / 1000 };
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL)
        *out = now.tv_sec;
    return now.tv_sec;
}

/* The allocator is asked before dlsym can be. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);

void *malloc(size_t size)
{
    return fails("malloc") ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails("calloc") ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    return fails("realloc") ? NULL : __libc_realloc(memory, size);
}
