/*
 * app.h: what the request handlers and commands share: made once at start, handed to every handler.
 */
#ifndef HEADSCOPE_SERVER_APP_H
#define HEADSCOPE_SERVER_APP_H

#include <stddef.h>

struct cache;   /* db/cache.h: NULL when there is no database (the log says why) */
struct models;  /* models.h: what is in the models folder, and what is open */
struct worker;  /* worker.h: the one thread that owns the engine */
struct analyses; /* analysis.h: what is running, and the way to results */
struct prober;  /* prober.h: what probes have found of each model */
struct similarities; /* similarities.h: how alike heads are, as computed lately */
struct tiles;   /* tiles.h: coarse tiles, as drawn lately */
struct log;     /* log.h */
struct options; /* options.h: flags, environment, defaults */

struct app {
    const struct options *options;
    struct log *log;
    struct cache *cache;
    struct models *models;
    struct worker *worker;
    struct analyses *analyses;
    struct similarities *similarities;
    struct tiles *tiles;
    struct prober *prober;
};

#endif
