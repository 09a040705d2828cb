/*
 * patience.h: how long somebody waits: until the client hangs up or the server stops, asked a few times a second.
 */
#ifndef HEADSCOPE_SERVER_PATIENCE_H
#define HEADSCOPE_SERVER_PATIENCE_H

#include <stdbool.h>

#include "server/problem.h"
#include "server/worker.h"

#define PATIENCE_MS 200

/* `over` true: give up, for the reason in *problem. A NULL patience waits without end. */
struct patience {
    bool (*over)(void *context, struct problem *problem);
    void *context;
};

bool patience_over(const struct patience *patience, struct problem *problem);

/* Has the worker run a read and waits for it. False with a problem when patience was over or the worker stops: then it has not
 * run, or is over too. */
bool worker_ask(struct worker *worker, void (*run)(void *context, struct engine *engine), void *context,
                const struct patience *patience, struct problem *problem);

/* A read that takes longer than a tile: `step` does a few milliseconds of it and says whether more is left. Others' reads go in
 * between. As worker_ask. */
bool worker_ask_steps(struct worker *worker, bool (*step)(void *context, struct engine *engine), void *context,
                      const struct patience *patience, struct problem *problem);

#endif
