/*
 * pool.h: a fixed team of threads. The caller of pool_run is worker 0; all workers run the same function at once and
 * pool_run returns when the last one is done (fork and join). Between calls the others spin for a moment, since the next
 * phase of a forward pass comes within microseconds, then sleep.
 *
 * Threads   One thread at a time may call pool_run. From inside a running function only worker 0 may: the others are busy, so it runs
 *           the new function alone, which must take its share of the work from a counter, not from the number of workers. Nobody is pinned: a worker that is bound
 *           to a core waits there for another program (the browser) while the other core may be free.
 */
#ifndef HEADSCOPE_ENGINE_POOL_H
#define HEADSCOPE_ENGINE_POOL_H

struct pool;

typedef void pool_work(void *context, int worker);

/* How many cores this process may use. */
int pool_cores(void);

/* threads >= 1. NULL: no memory, or the system gives no thread. */
struct pool *pool_create(int threads);
void pool_destroy(struct pool *pool); /* NULL is fine */
int pool_threads(const struct pool *pool);

void pool_run(struct pool *pool, pool_work *work, void *context);

#endif
