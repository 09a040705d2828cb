#include "server/patience.h"

bool patience_over(const struct patience *patience, struct problem *problem) {
    return patience && patience->over(patience->context, problem);
}

bool worker_ask(struct worker *worker, void (*run)(void *context, struct engine *engine), void *context,
                const struct patience *patience, struct problem *problem) {
    struct worker_read read = {.run = run, .context = context};
    worker_read_start(worker, &read);
    while (!worker_read_wait(worker, &read, PATIENCE_MS)) {
        if (patience_over(patience, problem)) {
            worker_read_cancel(worker, &read);
            return false;
        }
    }
    return read.state == READ_DONE || problem_set(problem, 503, "the server is stopping; ask again when it is back");
}

struct steps {
    bool (*step)(void *context, struct engine *engine);
    void *context;
    bool more;
};

static void steps_run(void *context, struct engine *engine) {
    struct steps *steps = context;
    steps->more = steps->step(steps->context, engine);
}

bool worker_ask_steps(struct worker *worker, bool (*step)(void *context, struct engine *engine), void *context,
                      const struct patience *patience, struct problem *problem) {
    struct steps steps = {step, context, true};
    while (steps.more)
        if (patience_over(patience, problem) || !worker_ask(worker, steps_run, &steps, patience, problem)) return false;
    return true;
}
