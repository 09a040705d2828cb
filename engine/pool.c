#include "engine/pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* About 50 microseconds of looking before sleeping. */
enum { SPINS = 1500 };

struct helper {
    struct pool *pool;
    pthread_t thread;
    int worker;
};

struct pool {
    int threads;
    pool_work *work;
    void *context;
    bool stopping;
    bool running; /* known to the caller of pool_run alone */
    _Atomic uint32_t round;   /* raised to start the helpers */
    _Atomic uint32_t pending; /* helpers that have not finished this round */
    struct helper helpers[];  /* [threads - 1] */
};

#if defined(__x86_64__)
static inline void relax(void) {
    __builtin_ia32_pause();
}
#elif defined(__aarch64__)
static inline void relax(void) {
    __asm__ volatile("yield");
}
#else
static inline void relax(void) {
}
#endif

static void sleep_while(_Atomic uint32_t *word, uint32_t value) {
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(word, memory_order_acquire) != value) return;
        relax();
    }
    while (atomic_load_explicit(word, memory_order_acquire) == value)
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void wake_all(_Atomic uint32_t *word) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static void *helper_main(void *argument) {
    struct helper *helper = argument;
    struct pool *pool = helper->pool;
    for (uint32_t round = 0;; round++) {
        sleep_while(&pool->round, round);
        if (pool->stopping) return NULL;
        pool->work(pool->context, helper->worker);
        if (atomic_fetch_sub_explicit(&pool->pending, 1, memory_order_acq_rel) == 1) wake_all(&pool->pending);
    }
}

static void start_round(struct pool *pool) {
    atomic_store_explicit(&pool->pending, (uint32_t)pool->threads - 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&pool->round, 1, memory_order_release);
    wake_all(&pool->round);
}

int pool_cores(void) {
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) != 0) return 1;
    int n = CPU_COUNT(&cores);
    return n > 0 ? n : 1;
}

struct pool *pool_create(int threads) {
    struct pool *pool = calloc(1, sizeof *pool + ((size_t)threads - 1) * sizeof pool->helpers[0]);
    if (!pool) return NULL;
    for (pool->threads = 1; pool->threads < threads; pool->threads++) {
        struct helper *helper = &pool->helpers[pool->threads - 1];
        *helper = (struct helper){.pool = pool, .worker = pool->threads};
        if (pthread_create(&helper->thread, NULL, helper_main, helper) != 0) {
            pool_destroy(pool);
            return NULL;
        }
    }
    return pool;
}

void pool_destroy(struct pool *pool) {
    if (!pool) return;
    pool->stopping = true;
    start_round(pool);
    for (int i = 0; i < pool->threads - 1; i++) pthread_join(pool->helpers[i].thread, NULL);
    free(pool);
}

int pool_threads(const struct pool *pool) {
    return pool->threads;
}

void pool_run(struct pool *pool, pool_work *work, void *context) {
    if (pool->threads == 1 || pool->running) {
        work(context, 0);
        return;
    }
    pool->running = true;
    pool->work = work;
    pool->context = context;
    start_round(pool);
    work(context, 0);
    for (uint32_t left; (left = atomic_load_explicit(&pool->pending, memory_order_acquire)) != 0;)
        sleep_while(&pool->pending, left);
    pool->running = false;
}
