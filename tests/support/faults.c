/* A library for LD_PRELOAD: the FAULTS_AT-th call that changes something below the folder FAULTS_UNDER meets a fault.

   FAULTS_ACT   kill     the process dies at once, the call is not made
                eio      this one call fails with EIO
                enospc   this call and all after it fail with ENOSPC, as on a full disk; removing works
   FAULTS_ONLY  sync     count fsync and fdatasync only

   The variables are read at every call, so that a process can arm itself after it has forked. The count is one for the
   whole process, whichever thread calls. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum kind { WRITES, SYNCS, REMOVES };

static atomic_long calls;
static atomic_int fired;

/* Whether a fault has happened in this process; asked by ctypes. */
int faults_fired(void) { return atomic_load(&fired); }

static int watched_path(const char *path) {
    const char *under = getenv("FAULTS_UNDER");
    return under && strncmp(path, under, strlen(under)) == 0;
}

static int watched_file(int file) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return watched_path(path);
}

/* The errno that a call must fail with, 0 when it may go on. */
static int meet(int watched, enum kind kind) {
    const char *at = getenv("FAULTS_AT"), *act = getenv("FAULTS_ACT"), *only = getenv("FAULTS_ONLY");
    if (!at || !act || !watched || (only && kind != SYNCS))
        return 0;
    int lasting = strcmp(act, "enospc") == 0;
    if (lasting && kind == REMOVES)
        return 0;
    long call = atomic_fetch_add(&calls, 1) + 1, chosen = atol(at);
    if (lasting ? call < chosen : call != chosen)
        return 0;
    atomic_store(&fired, 1);
    if (strcmp(act, "kill") == 0)
        kill(getpid(), SIGKILL);
    return lasting ? ENOSPC : EIO;
}

#define GUARDED(type, name, parameters, arguments, watched, kind)                                                      \
    type name parameters {                                                                                             \
        static type(*real) parameters;                                                                                 \
        if (!real)                                                                                                     \
            real = (type(*) parameters)dlsym(RTLD_NEXT, #name);                                                        \
        int error = meet(watched, kind);                                                                               \
        if (error) {                                                                                                   \
            errno = error;                                                                                             \
            return -1;                                                                                                 \
        }                                                                                                              \
        return real arguments;                                                                                         \
    }

GUARDED(ssize_t, write, (int file, const void *data, size_t size), (file, data, size), watched_file(file), WRITES)
GUARDED(ssize_t, pwrite, (int file, const void *data, size_t size, off_t at), (file, data, size, at), watched_file(file), WRITES)
GUARDED(ssize_t, pwrite64, (int file, const void *data, size_t size, off64_t at), (file, data, size, at), watched_file(file), WRITES)
GUARDED(int, ftruncate, (int file, off_t size), (file, size), watched_file(file), WRITES)
GUARDED(int, ftruncate64, (int file, off64_t size), (file, size), watched_file(file), WRITES)
GUARDED(int, fsync, (int file), (file), watched_file(file), SYNCS)
GUARDED(int, fdatasync, (int file), (file), watched_file(file), SYNCS)
GUARDED(int, rename, (const char *from, const char *to), (from, to), watched_path(to), WRITES)
GUARDED(int, unlink, (const char *path), (path), watched_path(path), REMOVES)
GUARDED(int, mkdir, (const char *path, mode_t mode), (path, mode), watched_path(path), WRITES)
