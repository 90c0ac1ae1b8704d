/* Number the calls with which a process changes files below one folder, and disturb one of them.

   Loaded with LD_PRELOAD. It stands between the process and the C library, which Python and the
   Rust and C++ codecs alike call for their system calls. Nothing happens until `torture_arm`.
   The number of calls is kept in memory that a parent shares, so it is known after a kill. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utime.h>

enum action { WATCH, BEFORE, INSIDE, AFTER, FAIL, SHORT, PAUSE };

static struct {
    int armed, action, error, from_there_on, no_exchange, dry_flush, log;
    long at;
    char root[PATH_MAX];
    size_t length;
} plan;

static atomic_long *count;

#define GO -1L   /* not below the folder, or not armed: the call is made and not numbered */
#define STOP 0L  /* the call fails; errno is set */
#define HALF -2L /* only half of the bytes are written, then the process dies or goes on */

/* The function of the C library: looked for once. */
#define KNOWN(name) static void *real_##name
#define REAL(name) ((__typeof__(&name))find(&real_##name, #name))

static void *find(void **known, const char *name)
{
    if (!*known)
        *known = dlsym(RTLD_NEXT, name);
    return *known;
}

/* The counter is made once, before any child is forked. */
void torture_prepare(void)
{
    count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

long torture_count(void) { return atomic_load(count); }

void torture_arm(const char *root, int log, int action, long at, int error, int from_there_on,
                 int no_exchange, int dry_flush)
{
    snprintf(plan.root, sizeof plan.root, "%s", root);
    plan.length = strlen(plan.root);
    plan.log = log;
    plan.action = action;
    plan.at = at;
    plan.error = error;
    plan.from_there_on = from_there_on;
    plan.no_exchange = no_exchange;
    plan.dry_flush = dry_flush;
    atomic_store(count, 0);
    plan.armed = 1;
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* The full path of a name, relative to an open folder. */
static const char *full(int folder, const char *name, char *buffer)
{
    ssize_t used;
    char link[64];

    if (!name)
        return NULL;
    if (name[0] == '/')
        return name;
    snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
    used = readlink(link, buffer, PATH_MAX - 1);
    if (used < 0)
        return NULL;
    snprintf(buffer + used, PATH_MAX - used, name[0] ? "/%s" : "%s", name);
    return buffer;
}

static int below(const char *path)
{
    return path && strncmp(path, plan.root, plan.length) == 0 &&
           (path[plan.length] == '/' || path[plan.length] == 0);
}

static void note(long number, const char *call, const char *one, const char *two)
{
    static void *real_write;
    char line[2 * PATH_MAX + 64];
    int size = snprintf(line, sizeof line, "%ld\t%s\t%s\t%s\n", number, call, one ? one : "",
                        two ? two : "");
    REAL(write)(plan.log, line, size);
}

/* Number a call; GO, STOP, HALF or its number. `data`: it can be made by half. */
static long enter(const char *call, int data, const char *one, const char *two)
{
    long number;

    if (!plan.armed || !(below(one) || below(two)))
        return GO;
    number = atomic_fetch_add(count, 1) + 1;
    if (plan.log >= 0)
        note(number, call, one, two);
    if (plan.action == FAIL && (number == plan.at || (plan.from_there_on && number > plan.at))) {
        errno = plan.error;
        return STOP;
    }
    if (plan.action == SHORT && number > plan.at) {
        errno = plan.error;
        return STOP;
    }
    if (number == plan.at && plan.action == BEFORE)
        die();
    if (number == plan.at && plan.action == PAUSE)
        kill(getpid(), SIGSTOP); /* until the parent lets it go on */
    if (number == plan.at && (plan.action == INSIDE || plan.action == SHORT)) {
        if (data)
            return HALF;
        if (plan.action == INSIDE)
            die();
        errno = plan.error;
        return STOP;
    }
    return number;
}

/* What follows a call that was made. */
static void leave(long number)
{
    if ((number == plan.at && plan.action == AFTER) || (number == HALF && plan.action == INSIDE))
        die();
}

#define CALL(type, failed, call, data, one, two, made)                                             \
    do {                                                                                           \
        long number = enter(call, data, one, two);                                                 \
        type result;                                                                               \
        if (number == STOP)                                                                        \
            return failed;                                                                         \
        result = made;                                                                             \
        if (number != GO) {                                                                        \
            int error = errno;                                                                     \
            leave(number);                                                                         \
            errno = error;                                                                         \
        }                                                                                          \
        return result;                                                                             \
    } while (0)

/* ---- opening ---- */

#define CHANGES(flags) ((flags) & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR))

#define OPEN_MODE                                                                                  \
    mode_t mode = 0;                                                                               \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                           \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode = va_arg(rest, mode_t);                                                               \
        va_end(rest);                                                                              \
    }

#define OPEN(name)                                                                                 \
    KNOWN(name);                                                                                   \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        char buffer[PATH_MAX];                                                                     \
        OPEN_MODE                                                                                  \
        if (!plan.armed || !CHANGES(flags))                                                        \
            return REAL(name)(path, flags, mode);                                                  \
        CALL(int, -1, "open", 0, full(AT_FDCWD, path, buffer), NULL,                               \
             REAL(name)(path, flags, mode));                                                       \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                               \
    KNOWN(name);                                                                                   \
    int name(int folder, const char *path, int flags, ...)                                         \
    {                                                                                              \
        char buffer[PATH_MAX];                                                                     \
        OPEN_MODE                                                                                  \
        if (!plan.armed || !CHANGES(flags))                                                        \
            return REAL(name)(folder, path, flags, mode);                                          \
        CALL(int, -1, "open", 0, full(folder, path, buffer), NULL,                                 \
             REAL(name)(folder, path, flags, mode));                                               \
    }
OPENAT(openat)
OPENAT(openat64)

#define CREAT(name)                                                                                \
    KNOWN(name);                                                                                   \
    int name(const char *path, mode_t mode)                                                        \
    {                                                                                              \
        char buffer[PATH_MAX];                                                                     \
        CALL(int, -1, "open", 0, full(AT_FDCWD, path, buffer), NULL, REAL(name)(path, mode));      \
    }
CREAT(creat)
CREAT(creat64)

/* ---- writing ---- */

static const char *file_of(int file, char *buffer)
{
    return plan.armed ? full(file, "", buffer) : NULL;
}

/* `half` is made of the same call with half of its bytes. */
#define WRITE(call, whole, half)                                                                   \
    do {                                                                                           \
        char buffer[PATH_MAX];                                                                     \
        long number = enter(call, 1, file_of(file, buffer), NULL);                                 \
        ssize_t done;                                                                              \
        if (number == STOP)                                                                        \
            return -1;                                                                             \
        done = number == HALF ? (half) : (whole);                                                  \
        if (number != GO) {                                                                        \
            int error = errno;                                                                     \
            leave(number);                                                                         \
            errno = error;                                                                         \
        }                                                                                          \
        return done;                                                                               \
    } while (0)

KNOWN(write);
ssize_t write(int file, const void *data, size_t size)
{
    WRITE("write", REAL(write)(file, data, size), REAL(write)(file, data, size / 2));
}

#define PWRITE(name)                                                                               \
    KNOWN(name);                                                                                   \
    ssize_t name(int file, const void *data, size_t size, off_t place)                             \
    {                                                                                              \
        WRITE("pwrite", REAL(name)(file, data, size, place),                                       \
              REAL(name)(file, data, size / 2, place));                            \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

/* Of several pieces only the first half of the first is written. */
KNOWN(writev);
ssize_t writev(int file, const struct iovec *pieces, int number_of)
{
    WRITE("writev", REAL(writev)(file, pieces, number_of),
          REAL(writev)(file, &(struct iovec){pieces->iov_base, pieces->iov_len / 2}, 1));
}

#define PWRITEV(name)                                                                              \
    KNOWN(name);                                                                                   \
    ssize_t name(int file, const struct iovec *pieces, int number_of, off_t place)                 \
    {                                                                                              \
        WRITE("pwritev", REAL(name)(file, pieces, number_of, place),                               \
              REAL(name)(file, &(struct iovec){pieces->iov_base, pieces->iov_len / 2}, 1, place)); \
    }
PWRITEV(pwritev)
PWRITEV(pwritev64)

#define PWRITEV2(name)                                                                             \
    KNOWN(name);                                                                                   \
    ssize_t name(int file, const struct iovec *pieces, int number_of, off_t place, int flags)      \
    {                                                                                              \
        WRITE("pwritev2", REAL(name)(file, pieces, number_of, place, flags),                       \
              REAL(name)(file, &(struct iovec){pieces->iov_base, pieces->iov_len / 2}, 1, place,   \
                         flags));                                                                  \
    }
PWRITEV2(pwritev2)
PWRITEV2(pwritev64v2)

#define SENDFILE(name)                                                                             \
    KNOWN(name);                                                                                   \
    ssize_t name(int file, int from, off_t *place, size_t size)                                    \
    {                                                                                              \
        WRITE("sendfile", REAL(name)(file, from, place, size), half_of(file, from, place));        \
    }

/* The caller asks for more than there is: half of the file that is sent. */
ssize_t sendfile(int file, int from, off_t *place, size_t size);
ssize_t sendfile64(int file, int from, off_t *place, size_t size);
static ssize_t half_of(int file, int from, off_t *place)
{
    static void *real_sendfile;
    struct stat source;
    off_t at = place ? *place : 0;
    if (fstat(from, &source) < 0)
        return -1;
    return source.st_size - at < 2 ? 0
                                   : REAL(sendfile)(file, from, place, (source.st_size - at) / 2);
}
SENDFILE(sendfile)
SENDFILE(sendfile64)

KNOWN(copy_file_range);
ssize_t copy_file_range(int from, off_t *at, int file, off_t *place, size_t size, unsigned flags)
{
    WRITE("copy_file_range", REAL(copy_file_range)(from, at, file, place, size, flags),
          REAL(copy_file_range)(from, at, file, place, size / 2, flags));
}

/* ---- sizes, flushes ---- */

#define ON_FILE(name, call, types, arguments)                                                      \
    KNOWN(name);                                                                                   \
    int name types                                                                                 \
    {                                                                                              \
        char buffer[PATH_MAX];                                                                     \
        CALL(int, -1, call, 0, file_of(file, buffer), NULL, REAL(name) arguments);                 \
    }
ON_FILE(ftruncate, "ftruncate", (int file, off_t size), (file, size))
ON_FILE(ftruncate64, "ftruncate", (int file, off_t size), (file, size))
ON_FILE(fallocate, "fallocate", (int file, int mode, off_t at, off_t size), (file, mode, at, size))
ON_FILE(fallocate64, "fallocate", (int file, int mode, off_t at, off_t size),
        (file, mode, at, size))
ON_FILE(fchmod, "fchmod", (int file, mode_t mode), (file, mode))
ON_FILE(fchown, "fchown", (int file, uid_t user, gid_t group), (file, user, group))
ON_FILE(futimens, "utime", (int file, const struct timespec times[2]), (file, times))
ON_FILE(fsetxattr, "setxattr",
        (int file, const char *name, const void *value, size_t size, int flags),
        (file, name, value, size, flags))

/* posix_fallocate returns the error. */
#define RESERVE(name)                                                                              \
    KNOWN(name);                                                                                   \
    int name(int file, off_t at, off_t size)                                                       \
    {                                                                                              \
        char buffer[PATH_MAX];                                                                     \
        CALL(int, errno, "fallocate", 0, file_of(file, buffer), NULL, REAL(name)(file, at, size)); \
    }
RESERVE(posix_fallocate)
RESERVE(posix_fallocate64)

/* A kill loses nothing that was written, flushed or not: `dry_flush` saves the time. */
#define FLUSH(name, types, arguments)                                                              \
    KNOWN(name);                                                                                   \
    int name types                                                                                 \
    {                                                                                              \
        char buffer[PATH_MAX];                                                                     \
        const char *path = file_of(file, buffer);                                                  \
        CALL(int, -1, #name, 0, path, NULL,                                                        \
             plan.dry_flush && below(path) ? 0 : REAL(name) arguments);                            \
    }
FLUSH(fsync, (int file), (file))
FLUSH(fdatasync, (int file), (file))
FLUSH(syncfs, (int file), (file))
FLUSH(sync_file_range, (int file, off_t at, off_t size, unsigned flags), (file, at, size, flags))

KNOWN(sync);
void sync(void)
{
    long number = enter("sync", 0, plan.armed ? plan.root : NULL, NULL);
    if (number == GO || !plan.dry_flush)
        REAL(sync)();
    if (number != GO)
        leave(number);
}

/* ---- names ---- */

#define ON_PATH(name, call, types, arguments)                                                      \
    KNOWN(name);                                                                                   \
    int name types                                                                                 \
    {                                                                                              \
        char buffer[PATH_MAX];                                                                     \
        CALL(int, -1, call, 0, plan.armed ? full(AT_FDCWD, path, buffer) : NULL, NULL,             \
             REAL(name) arguments);                                                                \
    }
#define IN_FOLDER(name, call, types, arguments)                                                    \
    KNOWN(name);                                                                                   \
    int name types                                                                                 \
    {                                                                                              \
        char buffer[PATH_MAX];                                                                     \
        CALL(int, -1, call, 0, plan.armed ? full(folder, path, buffer) : NULL, NULL,               \
             REAL(name) arguments);                                                                \
    }
ON_PATH(unlink, "unlink", (const char *path), (path))
ON_PATH(rmdir, "rmdir", (const char *path), (path))
ON_PATH(mkdir, "mkdir", (const char *path, mode_t mode), (path, mode))
ON_PATH(chmod, "chmod", (const char *path, mode_t mode), (path, mode))
ON_PATH(chown, "chown", (const char *path, uid_t user, gid_t group), (path, user, group))
ON_PATH(lchown, "chown", (const char *path, uid_t user, gid_t group), (path, user, group))
ON_PATH(truncate, "truncate", (const char *path, off_t size), (path, size))
ON_PATH(truncate64, "truncate", (const char *path, off_t size), (path, size))
ON_PATH(utime, "utime", (const char *path, const struct utimbuf *times), (path, times))
ON_PATH(utimes, "utime", (const char *path, const struct timeval times[2]), (path, times))
ON_PATH(setxattr, "setxattr",
        (const char *path, const char *name, const void *value, size_t size, int flags),
        (path, name, value, size, flags))
ON_PATH(lsetxattr, "setxattr",
        (const char *path, const char *name, const void *value, size_t size, int flags),
        (path, name, value, size, flags))
IN_FOLDER(unlinkat, flags & AT_REMOVEDIR ? "rmdir" : "unlink",
          (int folder, const char *path, int flags), (folder, path, flags))
IN_FOLDER(mkdirat, "mkdir", (int folder, const char *path, mode_t mode), (folder, path, mode))
IN_FOLDER(fchmodat, "chmod", (int folder, const char *path, mode_t mode, int flags),
          (folder, path, mode, flags))
IN_FOLDER(fchownat, "chown", (int folder, const char *path, uid_t user, gid_t group, int flags),
          (folder, path, user, group, flags))
IN_FOLDER(utimensat, "utime",
          (int folder, const char *path, const struct timespec times[2], int flags),
          (folder, path, times, flags))

#define TWO_NAMES(name, call, types, arguments, one, two)                                          \
    KNOWN(name);                                                                                   \
    int name types                                                                                 \
    {                                                                                              \
        char first[PATH_MAX], second[PATH_MAX];                                                    \
        if (!plan.armed)                                                                           \
            return REAL(name) arguments;                                                           \
        CALL(int, -1, call, 0, full(one, first), full(two, second), REAL(name) arguments);         \
    }
#define HERE(path) AT_FDCWD, path
#define IN(folder, path) folder, path
TWO_NAMES(rename, "rename", (const char *from, const char *to), (from, to), HERE(from), HERE(to))
TWO_NAMES(renameat, "rename", (int one, const char *from, int two, const char *to),
          (one, from, two, to), IN(one, from), IN(two, to))
TWO_NAMES(link, "link", (const char *from, const char *to), (from, to), HERE(from), HERE(to))
TWO_NAMES(linkat, "link", (int one, const char *from, int two, const char *to, int flags),
          (one, from, two, to, flags), IN(one, from), IN(two, to))
TWO_NAMES(symlink, "symlink", (const char *from, const char *to), (from, to), HERE(to), HERE(to))
TWO_NAMES(symlinkat, "symlink", (const char *from, int two, const char *to), (from, two, to),
          IN(two, to), IN(two, to))

static int has_no_exchange(unsigned flags, const char *one)
{
    if (!plan.no_exchange || !(flags & RENAME_EXCHANGE) || !below(one))
        return 0;
    errno = EINVAL;
    return 1;
}

KNOWN(renameat2);
int renameat2(int one, const char *from, int two, const char *to, unsigned flags)
{
    char first[PATH_MAX], second[PATH_MAX];
    const char *source;
    if (!plan.armed)
        return REAL(renameat2)(one, from, two, to, flags);
    source = full(one, from, first);
    CALL(int, -1, flags & RENAME_EXCHANGE ? "exchange" : "rename", 0, source, full(two, to, second),
         has_no_exchange(flags, source) ? -1 : REAL(renameat2)(one, from, two, to, flags));
}

/* ---- times ---- */

/* A plate is copied for every point. With this, a copy has the times of the original in all
   respects: the time of the last change, which nobody can set, is that of the last writing. */
#define STATUS(name, types, arguments)                                                       \
    KNOWN(name);                                                                                   \
    int name types                                                                                 \
    {                                                                                              \
        int result = REAL(name) arguments;                                                         \
        if (result == 0 && count)                                                                  \
            status->st_ctim = status->st_mtim;                                                     \
        return result;                                                                             \
    }
STATUS(stat, (const char *path, struct stat *status), (path, status))
STATUS(stat64, (const char *path, struct stat64 *status), (path, status))
STATUS(lstat, (const char *path, struct stat *status), (path, status))
STATUS(lstat64, (const char *path, struct stat64 *status), (path, status))
STATUS(fstat, (int file, struct stat *status), (file, status))
STATUS(fstat64, (int file, struct stat64 *status), (file, status))
STATUS(fstatat, (int folder, const char *path, struct stat *status, int flags),
       (folder, path, status, flags))
STATUS(fstatat64, (int folder, const char *path, struct stat64 *status, int flags),
       (folder, path, status, flags))

/* Raw calls that libraries make: those that change files go the way of the functions above. */
long syscall(long number, ...)
{
    static void *real_syscall;
    long a[6];
    va_list rest;
    va_start(rest, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(rest, long);
    va_end(rest);
    if (plan.armed)
        switch (number) {
        case SYS_renameat2:
            return renameat2(a[0], (char *)a[1], a[2], (char *)a[3], a[4]);
        case SYS_copy_file_range:
            return copy_file_range(a[0], (off_t *)a[1], a[2], (off_t *)a[3], a[4], a[5]);
        case SYS_syncfs:
            return syncfs(a[0]);
        case SYS_write:
            return write(a[0], (void *)a[1], a[2]);
        case SYS_openat:
            return openat(a[0], (char *)a[1], a[2], a[3]);
        }
    return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
