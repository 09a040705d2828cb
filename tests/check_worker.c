/* check_worker.c: order and fairness of jobs, reads that go first, ends of all kinds. */
#include "server/worker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/patience.h"
#include "server/wait.h"

#include <check.h>

static struct worker *worker;

/* What the jobs and reads write down, in order. */
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char order[256];

static void note(char c) {
    pthread_mutex_lock(&log_lock);
    size_t length = strlen(order);
    if (length + 1 < sizeof order) order[length] = c;
    pthread_mutex_unlock(&log_lock);
}

static bool noted(char c) {
    pthread_mutex_lock(&log_lock);
    bool there = strchr(order, c) != NULL;
    pthread_mutex_unlock(&log_lock);
    return there;
}

static void wait_for(char c) {
    for (int i = 0; i < 20000 && !noted(c); i++) nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
    ck_assert_msg(noted(c), "%c never came: %s", c, order);
}

static void set_up(void) {
    char error[256];
    memset(order, 0, sizeof order);
    ck_assert_msg(worker_create(&(struct worker_options){.threads = 1, .queue_max = 5}, &worker, error, sizeof error), "%s", error);
}

static void tear_down(void) {
    worker_destroy(worker);
    worker = NULL;
}

struct job {
    char name;
    atomic_bool go; /* a job with a gate runs until it is opened */
    bool gated;
};

static void job_run(void *context, struct worker *w, struct engine *engine) {
    struct job *job = context;
    ck_assert_ptr_nonnull(engine);
    if (job->gated) note('(');
    while (job->gated && !atomic_load(&job->go)) {
        if (!worker_breathe(w, engine)) break;
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    note(job->name);
}

static void job_drop(void *context) {
    const struct job *job = context;
    note((char)(job->name - 'a' + 'A'));
}

static enum worker_accept submit(const char *client, struct job *job) {
    return worker_submit(worker, client, &(struct worker_job){.run = job_run, .drop = job_drop, .context = job});
}

START_TEST(clients_in_turn) {
    struct job gate = {.name = ')', .gated = true}, jobs[5];
    static const char *const clients[] = {"one", "one", "one", "two", "three"};
    ck_assert(submit("gate", &gate) == WORKER_ACCEPTED);
    wait_for('(');
    for (size_t i = 0; i < 5; i++) {
        jobs[i] = (struct job){.name = (char)('a' + i)};
        ck_assert(submit(clients[i], &jobs[i]) == WORKER_ACCEPTED);
    }
    ck_assert_uint_eq(worker_waiting(worker), 5);
    ck_assert(submit("four", &gate) == WORKER_FULL);
    atomic_store(&gate.go, true);
    wait_for('c');
    ck_assert_str_eq(order, "()adebc");
}
END_TEST

START_TEST(withdrawn) {
    struct job gate = {.name = ')', .gated = true}, a = {.name = 'a'}, b = {.name = 'b'};
    ck_assert(submit("gate", &gate) == WORKER_ACCEPTED);
    wait_for('(');
    submit("one", &a);
    submit("two", &b);
    ck_assert(worker_withdraw(worker, &a));
    ck_assert(!worker_withdraw(worker, &a));
    ck_assert(!worker_withdraw(worker, &gate)); /* it has begun */
    ck_assert_uint_eq(worker_waiting(worker), 1);
    atomic_store(&gate.go, true);
    wait_for('b');
    ck_assert_str_eq(order, "()b");
}
END_TEST

static void read_run(void *context, struct engine *engine) {
    ck_assert_ptr_nonnull(engine);
    note(*(const char *)context);
}

START_TEST(reads_go_first) {
    struct job gate = {.name = ')', .gated = true}, a = {.name = 'a'};
    char x = 'x', y = 'y';
    struct worker_read first = {.run = read_run, .context = &x}, second = {.run = read_run, .context = &y};
    submit("gate", &gate);
    wait_for('(');
    submit("one", &a);
    worker_read_start(worker, &first); /* served while the job runs */
    worker_read_start(worker, &second);
    ck_assert(worker_read_wait(worker, &first, 5000) && worker_read_wait(worker, &second, 5000));
    ck_assert(first.state == READ_DONE && second.state == READ_DONE);
    atomic_store(&gate.go, true);
    wait_for('a');
    ck_assert_str_eq(order, "(xy)a");
    worker_read_cancel(worker, &first); /* over: nothing to cancel */
    ck_assert(first.state == READ_DONE);
}
END_TEST

START_TEST(a_read_with_nothing_else_to_do) {
    struct worker_read read = {.run = read_run, .context = &(char){'x'}};
    worker_read_start(worker, &read);
    ck_assert(worker_read_wait(worker, &read, 5000));
    ck_assert(read.state == READ_DONE);
}
END_TEST

static void sleepy_run(void *context, struct worker *w, struct engine *engine) {
    (void)w, (void)engine;
    note('s'); /* does not breathe for a while */
    while (!atomic_load((atomic_bool *)context)) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

START_TEST(a_read_is_cancelled_before_it_runs) {
    atomic_bool wake = false;
    struct worker_read one = {.run = read_run, .context = &(char){'1'}}, two = {.run = read_run, .context = &(char){'2'}};
    worker_submit(worker, "sleepy", &(struct worker_job){.run = sleepy_run, .drop = job_drop, .context = &wake});
    wait_for('s');
    worker_read_start(worker, &one);
    worker_read_start(worker, &two);
    ck_assert(!worker_read_wait(worker, &one, 30));
    worker_read_cancel(worker, &one);
    ck_assert(one.state == READ_FAILED);
    atomic_store(&wake, true);
    ck_assert(worker_read_wait(worker, &two, 5000));
    ck_assert_str_eq(order, "s2");
}
END_TEST

START_TEST(stopping) {
    struct job gate = {.name = ')', .gated = true}, a = {.name = 'a'}, b = {.name = 'b'};
    struct worker_read read = {.run = read_run, .context = &(char){'x'}};
    submit("gate", &gate);
    wait_for('(');
    submit("one", &a);
    submit("one", &b);
    worker_stop(worker); /* the running job's breath says so; the others are dropped */
    ck_assert(submit("one", &a) == WORKER_STOPPED);
    worker_read_start(worker, &read);
    ck_assert(worker_read_wait(worker, &read, 0));
    ck_assert(read.state == READ_FAILED);
    worker_destroy(worker);
    worker = NULL;
    ck_assert_str_eq(order, "()AB");
}
END_TEST

#define ASKERS 8
#define READS 200

static void count_run(void *context, struct engine *engine) {
    (void)engine;
    ++*(int *)context;
}

static void *ask_often(void *argument) {
    int count = 0;
    (void)argument;
    for (int i = 0; i < READS; i++) {
        struct worker_read read = {.run = count_run, .context = &count};
        worker_read_start(worker, &read);
        if (i % 7 == 0) worker_read_cancel(worker, &read);
        else while (!worker_read_wait(worker, &read, 10)) continue;
    }
    return (void *)(size_t)count;
}

START_TEST(many_askers) {
    pthread_t threads[ASKERS];
    struct job gate = {.name = ')', .gated = true};
    submit("gate", &gate);
    for (size_t i = 0; i < ASKERS; i++) ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_often, NULL), 0);
    for (size_t i = 0; i < ASKERS; i++) {
        void *count;
        pthread_join(threads[i], &count);
        ck_assert_uint_ge((size_t)count, READS - READS / 7 - 1);
    }
    atomic_store(&gate.go, true);
    wait_for(')');
}
END_TEST

/* A long read of ten steps; a small one comes in while the third runs. */
struct long_read {
    int steps;
    struct worker_read small;
    int small_after; /* step after which the small one was seen to have run */
};

static void small_run(void *context, struct engine *engine) {
    ck_assert_ptr_nonnull(engine);
    struct long_read *l = context;
    l->small_after = l->steps;
}

static bool long_step(void *context, struct engine *engine) {
    struct long_read *l = context;
    ck_assert_ptr_nonnull(engine);
    if (++l->steps == 3) {
        l->small = (struct worker_read){.run = small_run, .context = l};
        worker_read_start(worker, &l->small);
    }
    return l->steps < 10;
}

START_TEST(small_reads_go_between_the_steps_of_a_long_one) {
    struct long_read l = {0};
    struct problem problem;
    ck_assert(worker_ask_steps(worker, long_step, &l, NULL, &problem));
    ck_assert_int_eq(l.steps, 10);
    ck_assert_int_eq(l.small_after, 3);
}
END_TEST

static bool endless_step(void *context, struct engine *engine) {
    (void)engine;
    ++*(int *)context;
    return true;
}

static bool over_after_five(void *context, struct problem *problem) {
    return *(int *)context >= 5 && !problem_set(problem, 503, "the client has hung up");
}

START_TEST(a_long_read_ends_when_nobody_waits) {
    int steps = 0;
    struct problem problem = {0};
    struct patience patience = {.over = over_after_five, .context = &steps};
    ck_assert(!worker_ask_steps(worker, endless_step, &steps, &patience, &problem));
    ck_assert_int_eq(problem.status, 503);
    ck_assert_int_eq(steps, 5);
    worker_stop(worker);
    ck_assert(!worker_ask_steps(worker, endless_step, &steps, NULL, &problem));
    ck_assert_int_eq(steps, 5);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("worker");
    TCase *t = tcase_create("queue");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, clients_in_turn);
    tcase_add_test(t, withdrawn);
    tcase_add_test(t, reads_go_first);
    tcase_add_test(t, a_read_with_nothing_else_to_do);
    tcase_add_test(t, a_read_is_cancelled_before_it_runs);
    tcase_add_test(t, small_reads_go_between_the_steps_of_a_long_one);
    tcase_add_test(t, a_long_read_ends_when_nobody_waits);
    tcase_add_test(t, stopping);
    tcase_add_test(t, many_askers);
    suite_add_tcase(s, t);
    return s;
}

#include "tests/check_main.h"
