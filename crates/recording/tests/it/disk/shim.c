/* Stands between a program and its disk, for the tests of this folder (LD_PRELOAD).
 *
 * It writes down, in order, what the program does to files below DISK_ROOT: writes with their data,
 * truncations, syncs, renames and removals. From that a test can make the disk as a power cut at
 * any moment could leave it. It can also make one call fail or hang.
 *
 *   DISK_ROOT        the folder that is watched
 *   DISK_TRACE       the file that it writes down into
 *   DISK_DEAF        syncs of files whose names end like this are not passed on and not written down
 *   DISK_FAIL        "sync" or "write": the call to fail
 *   DISK_FAIL_NAME   only on files whose names end like this
 *   DISK_FAIL_AT     at the how-manyth such call; DISK_FAIL_LAST the last one, else the same
 *   DISK_FAIL_ERRNO  the error; or DISK_FAIL_SLEEP, the seconds that the call takes longer
 *   DISK_FAIL_WHEN   only once there is this file
 *   DISK_SLOW        milliseconds that each sync takes longer
 *   DISK_CLOCK_AT    seconds from the start after which the clock is another one …
 *   DISK_CLOCK_BY    … by so many seconds
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FILES 4096
static const char *root, *deaf, *fail, *fail_name, *fail_when;
static long fail_at, fail_last, fail_errno, fail_sleep, calls, slow, clock_at, clock_by, begun;
static int trace = -1;
static char *names[FILES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("DISK_TRACE"), *text;
    root = getenv("DISK_ROOT");
    deaf = getenv("DISK_DEAF");
    fail = getenv("DISK_FAIL");
    fail_name = getenv("DISK_FAIL_NAME");
    fail_at = (text = getenv("DISK_FAIL_AT")) ? atol(text) : 0;
    fail_last = (text = getenv("DISK_FAIL_LAST")) ? atol(text) : fail_at;
    fail_errno = (text = getenv("DISK_FAIL_ERRNO")) ? atol(text) : 0;
    fail_sleep = (text = getenv("DISK_FAIL_SLEEP")) ? atol(text) : 0;
    fail_when = getenv("DISK_FAIL_WHEN");
    slow = (text = getenv("DISK_SLOW")) ? atol(text) : 0;
    clock_at = (text = getenv("DISK_CLOCK_AT")) ? atol(text) : 0;
    clock_by = (text = getenv("DISK_CLOCK_BY")) ? atol(text) : 0;
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    begun = now.tv_sec;
    if (file)
        trace = (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND, 0600);
}

static int ends(const char *name, const char *end) {
    size_t n = strlen(name), e = strlen(end);
    return n >= e && strcmp(name + n - e, end) == 0;
}

static const char *name_of(int fd) { return fd >= 0 && fd < FILES ? names[fd] : NULL; }

static int watched(const char *path) {
    return root && path && strncmp(path, root, strlen(root)) == 0 && !ends(path, "-shm");
}

/* One record: kind, length of the name, number, length of the data, name, data. */
static void note(char kind, const char *name, uint64_t number, const void *data, uint64_t length) {
    uint64_t head[4] = {(uint64_t)kind, strlen(name), number, length};
    struct iovec parts[3] = {{head, sizeof head}, {(void *)name, strlen(name)}, {(void *)data, length}};
    if (trace >= 0)
        syscall(SYS_writev, trace, parts, data ? 3 : 2);
}

/* Whether this call shall fail. */
static int fails(const char *what, const char *name) {
    if (!fail || strcmp(fail, what) || (fail_name && !ends(name, fail_name)))
        return 0;
    if (fail_when && syscall(SYS_faccessat, AT_FDCWD, fail_when, F_OK) != 0)
        return 0;
    calls++;
    return calls >= fail_at && calls <= fail_last;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int opened(int fd, const char *path, int flags, int existed) {
    if (fd >= 0 && fd < FILES) {
        pthread_mutex_lock(&lock);
        free(names[fd]);
        names[fd] = watched(path) ? strdup(path) : NULL;
        if (names[fd] && !existed)
            note('C', path, 0, NULL, 0);
        if (names[fd] && existed && (flags & O_TRUNC))
            note('T', path, 0, NULL, 0);
        pthread_mutex_unlock(&lock);
    }
    return fd;
}

#define OPEN(name)                                                                        \
    int name(const char *path, int flags, ...) {                                          \
        va_list more;                                                                     \
        va_start(more, flags);                                                            \
        mode_t mode = (flags & O_CREAT) ? (mode_t)va_arg(more, int) : 0;                  \
        va_end(more);                                                                     \
        int existed = !watched(path) || syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0; \
        return opened(REAL(name)(path, flags, mode), path, flags, existed);               \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    pthread_mutex_lock(&lock);
    if (name_of(fd)) {
        free(names[fd]);
        names[fd] = NULL;
    }
    pthread_mutex_unlock(&lock);
    return (int)syscall(SYS_close, fd);
}

static ssize_t put(int fd, const void *data, size_t length, off_t at, int has_at) {
    const char *name = name_of(fd);
    if (!name)
        return has_at ? syscall(SYS_pwrite64, fd, data, length, at) : syscall(SYS_write, fd, data, length);
    pthread_mutex_lock(&lock);
    ssize_t done = -1;
    off_t place = has_at ? at : lseek(fd, 0, SEEK_CUR);
    if (fails("write", name)) {
        errno = (int)fail_errno;
    } else {
        done = has_at ? syscall(SYS_pwrite64, fd, data, length, at) : syscall(SYS_write, fd, data, length);
        if (done > 0)
            note('W', name, (uint64_t)place, data, (uint64_t)done);
    }
    pthread_mutex_unlock(&lock);
    return done;
}
ssize_t write(int fd, const void *data, size_t length) { return put(fd, data, length, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t at) { return put(fd, data, length, at, 1); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) { return put(fd, data, length, at, 1); }

static int cut(int fd, off_t length) {
    const char *name = name_of(fd);
    pthread_mutex_lock(&lock);
    int done = (int)syscall(SYS_ftruncate, fd, length);
    if (name && done == 0)
        note('T', name, (uint64_t)length, NULL, 0);
    pthread_mutex_unlock(&lock);
    return done;
}
int ftruncate(int fd, off_t length) { return cut(fd, length); }
int ftruncate64(int fd, off64_t length) { return cut(fd, length); }

static int sync_of(int fd) {
    const char *name = name_of(fd);
    if (!name)
        return (int)syscall(SYS_fsync, fd);
    if (deaf && ends(name, deaf))
        return 0;
    if (slow)
        usleep((useconds_t)slow * 1000);
    if (fails("sync", name)) {
        if (fail_sleep) {
            sleep((unsigned)fail_sleep);
        } else {
            errno = (int)fail_errno;
            return -1;
        }
    }
    pthread_mutex_lock(&lock);
    /* To the disk it really goes does not matter here: what counts is what was asked for. */
    struct stat about;
    int folder = fstat(fd, &about) == 0 && S_ISDIR(about.st_mode);
    note(folder ? 'D' : 'S', name, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return 0;
}
int fsync(int fd) { return sync_of(fd); }
int fdatasync(int fd) { return sync_of(fd); }

int rename(const char *from, const char *to) {
    pthread_mutex_lock(&lock);
    int done = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (done == 0 && watched(from))
        note('R', from, 0, to, strlen(to));
    pthread_mutex_unlock(&lock);
    return done;
}

int unlink(const char *path) {
    pthread_mutex_lock(&lock);
    int done = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (done == 0 && watched(path))
        note('U', path, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return done;
}

int clock_gettime(clockid_t id, struct timespec *time) {
    int done = (int)syscall(SYS_clock_gettime, id, time);
    struct timespec now;
    if (done == 0 && id == CLOCK_REALTIME && clock_by) {
        syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
        if (now.tv_sec - begun >= clock_at)
            time->tv_sec += clock_by;
    }
    return done;
}
