#include "engine/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/failure.h"

/* What the handler knows of one mapping. Guards are never freed, only used again, so that the handler may walk the list at any
 * moment without a lock. A guard with start 0 is free. */
struct guard {
    _Atomic uintptr_t start;
    _Atomic size_t length; /* whole pages */
    atomic_bool broken;
    struct guard *_Atomic next;
};

struct mapping {
    unsigned char *data;
    size_t size;
    int descriptor;
    struct timespec changed;
    struct guard *guard;
};

static struct guard *_Atomic guards;
static pthread_mutex_t guards_lock = PTHREAD_MUTEX_INITIALIZER; /* among openers and closers; the handler takes no lock */
static pthread_once_t handler_once = PTHREAD_ONCE_INIT;
static struct sigaction previous_action;
static bool handler_installed;
static uintptr_t page_size;

/* mmap is not on POSIX's list of functions for signal handlers, but on Linux it is a bare system call. */
static bool cover_with_zeros(uintptr_t address) {
    for (struct guard *guard = atomic_load(&guards); guard != NULL; guard = atomic_load(&guard->next)) {
        uintptr_t start = atomic_load(&guard->start);
        size_t length = atomic_load(&guard->length);
        if (start == 0 || address < start || address - start >= length) continue;
        if (atomic_load(&guard->start) != start) continue; /* given back and used again meanwhile: not this one */
        atomic_store(&guard->broken, true);                /* before anyone can read a zero */
        uintptr_t page = address & ~(page_size - 1);
        void *zeros = mmap((void *)page, start + length - page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        return zeros != MAP_FAILED;
    }
    return false;
}

static void on_sigbus(int signal_number, siginfo_t *info, void *context) {
    int saved_errno = errno;
    bool fault = info->si_code > 0; /* raised by the kernel for an address, not sent by kill() */
    if (fault && cover_with_zeros((uintptr_t)info->si_addr)) {
        errno = saved_errno;
        return;
    }
    errno = saved_errno;
    if (previous_action.sa_flags & SA_SIGINFO) {
        previous_action.sa_sigaction(signal_number, info, context);
    } else if (previous_action.sa_handler == SIG_DFL || (previous_action.sa_handler == SIG_IGN && fault)) {
        signal(SIGBUS, SIG_DFL); /* on return the read faults again, or the signal sent again arrives, and ends the process */
        if (!fault) raise(SIGBUS);
    } else if (previous_action.sa_handler != SIG_IGN) {
        previous_action.sa_handler(signal_number);
    }
}

static void install_handler(void) {
    long page = sysconf(_SC_PAGESIZE);
    page_size = page > 0 ? (uintptr_t)page : 4096;
    struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGBUS, NULL, &previous_action) == 0) handler_installed = sigaction(SIGBUS, &action, NULL) == 0;
}

static struct guard *guard_take(const void *data, size_t size) {
    pthread_mutex_lock(&guards_lock);
    struct guard *guard = atomic_load(&guards);
    while (guard != NULL && atomic_load(&guard->start) != 0) guard = atomic_load(&guard->next);
    bool fresh = guard == NULL;
    if (fresh) guard = calloc(1, sizeof *guard);
    if (guard != NULL) {
        atomic_store(&guard->broken, false);
        atomic_store(&guard->length, (size + page_size - 1) & ~(page_size - 1));
        atomic_store(&guard->start, (uintptr_t)data);
        if (fresh) {
            atomic_store(&guard->next, atomic_load(&guards));
            atomic_store(&guards, guard);
        }
    }
    pthread_mutex_unlock(&guards_lock);
    return guard;
}

static void guard_give_back(struct guard *guard) {
    pthread_mutex_lock(&guards_lock);
    atomic_store(&guard->start, 0);
    pthread_mutex_unlock(&guards_lock);
}

/* O_NONBLOCK: opening a pipe must not wait for its writer. */
static enum engine_status open_regular(const char *path, int *descriptor, struct stat *state, char *error,
                                       size_t error_size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        int reason = errno;
        enum engine_status status = reason == ENOENT || reason == ENOTDIR ? ENGINE_NOT_FOUND : ENGINE_IO;
        return engine_fail(status, error, error_size, "%s cannot be opened: %s", path, strerror(reason));
    }
    if (fstat(fd, state) != 0) {
        int reason = errno;
        close(fd);
        return engine_fail(ENGINE_IO, error, error_size, "%s cannot be examined: %s", path, strerror(reason));
    }
    if (!S_ISREG(state->st_mode)) {
        close(fd);
        return engine_fail(ENGINE_INVALID, error, error_size, "%s is %s; name a model file", path,
                           S_ISDIR(state->st_mode) ? "a folder" : "not a regular file");
    }
    *descriptor = fd;
    return ENGINE_OK;
}

enum engine_status mapping_open_file(const char *path, int *descriptor, uint64_t *size, char *error, size_t error_size) {
    struct stat state;
    enum engine_status status = open_regular(path, descriptor, &state, error, error_size);
    if (status == ENGINE_OK) *size = (uint64_t)state.st_size;
    return status;
}

enum engine_status mapping_open(const char *path, struct mapping **mapping, char *error, size_t error_size) {
    struct mapping opened = {.data = MAP_FAILED, .descriptor = -1};
    struct mapping *result = NULL;
    struct stat state;
    enum engine_status status = open_regular(path, &opened.descriptor, &state, error, error_size);
    if (status != ENGINE_OK) return status;
    if (state.st_size == 0) {
        status = engine_fail(ENGINE_BROKEN, error, error_size, "%s is empty; fetch the model again", path);
        goto failed;
    }
    opened.size = (size_t)state.st_size;
    opened.changed = state.st_mtim;
    pthread_once(&handler_once, install_handler);
    if (!handler_installed) {
        status = engine_fail(ENGINE_IO, error, error_size, "the guard of mapped files cannot be installed");
        goto failed;
    }
    opened.data = mmap(NULL, opened.size, PROT_READ, MAP_PRIVATE, opened.descriptor, 0);
    if (opened.data == MAP_FAILED) {
        status = engine_fail(errno == ENOMEM ? ENGINE_NO_MEMORY : ENGINE_IO, error, error_size,
                             "%s cannot be mapped: %s",
                             path, strerror(errno));
        goto failed;
    }
    result = malloc(sizeof *result);
    opened.guard = result != NULL ? guard_take(opened.data, opened.size) : NULL;
    if (opened.guard == NULL) {
        status = engine_fail_memory(error, error_size);
        goto failed;
    }
    *result = opened;
    *mapping = result;
    return ENGINE_OK;

failed:
    free(result);
    if (opened.data != MAP_FAILED) munmap(opened.data, opened.size);
    close(opened.descriptor);
    return status;
}

void mapping_close(struct mapping *mapping) {
    if (mapping == NULL) return;
    guard_give_back(mapping->guard);
    munmap(mapping->data, mapping->size);
    close(mapping->descriptor);
    free(mapping);
}

const unsigned char *mapping_data(const struct mapping *mapping) {
    return mapping->data;
}

size_t mapping_size(const struct mapping *mapping) {
    return mapping->size;
}

bool mapping_is_broken(const struct mapping *mapping) {
    if (atomic_load(&mapping->guard->broken)) return true;
    struct stat state;
    if (fstat(mapping->descriptor, &state) == 0 && state.st_size >= 0 && (size_t)state.st_size == mapping->size &&
        state.st_mtim.tv_sec == mapping->changed.tv_sec && state.st_mtim.tv_nsec == mapping->changed.tv_nsec)
        return false;
    atomic_store(&mapping->guard->broken, true); /* what was read since cannot be told from what was written */
    return true;
}
