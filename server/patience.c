#include "server/patience.h"

#include "server/http.h"

bool patience_over(const struct patience *patience, struct problem *problem) {
    return patience && patience->over(patience->context, problem);
}

static bool request_is_over(void *context, struct problem *problem) {
    const struct http_request *request = context;
    if (http_stopping(request)) return !problem_set(problem, 503, "the server is stopping; ask again when it is back");
    if (http_client_gone(request)) return !problem_set(problem, 503, "the client has hung up");
    return false;
}

struct patience patience_of_request(struct http_request *request) {
    return (struct patience){.over = request_is_over, .context = request};
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
