/*
 * wait.h: waiting with a limit, by the clock that nobody sets.
 */
#ifndef HEADSCOPE_SERVER_WAIT_H
#define HEADSCOPE_SERVER_WAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

/* A condition whose pthread_cond_timedwait takes what wait_until returns. */
bool wait_condition_init(pthread_cond_t *condition);
struct timespec wait_until(int from_now_ms);
/* Seconds since some fixed moment. */
double wait_now(void);

#endif
