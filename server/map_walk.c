#include "server/map_walk.h"

#include <stdlib.h>
#include <string.h>

#include "server/api.h"
#include "server/npy.h"

#define BLOCK_WEIGHTS ((size_t)1 << 17) /* half a megabyte: a few milliseconds of the worker */

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

bool map_walk_begin(struct map_walk *walk) {
    size_t queries = walk->rectangle.query1 - walk->rectangle.query0;
    walk->columns = walk->rectangle.key1 - walk->rectangle.key0;
    walk->rows_max = BLOCK_WEIGHTS / walk->columns;
    if (walk->rows_max < 1) walk->rows_max = 1;
    if (walk->rows_max > queries) walk->rows_max = queries;
    walk->next_head = walk->head;
    walk->block = malloc(walk->rows_max * walk->columns * sizeof *walk->block);
    return walk->block != NULL;
}

void map_walk_finish(struct map_walk *walk) {
    worker_read_cancel(walk->worker, &walk->read);
    analyses_release_activations(walk->analyses, &walk->lease);
    analyses_release_activations(walk->analyses, &walk->other);
    free(walk->pairs);
    walk->pairs = NULL;
    free(walk->block);
    walk->block = NULL;
}

static void map_walk_read(void *context, struct engine *engine) {
    struct map_walk *walk = context;
    struct rectangle rows = walk->rectangle;
    rows.query0 = walk->rectangle.query0 + walk->row;
    rows.query1 = rows.query0 + walk->rows;
    struct head_address at = {walk->lease.section, (int)walk->layer, (int)walk->head};
    if (walk->pairs) {
        walk->status = attention_difference(engine, walk->lease.activations, walk->other.activations, at, walk->pairs, walk->pair_count,
                                            &rows, walk->block, walk->error, sizeof walk->error);
        return;
    }
    bool values = walk->weighting == WEIGHTING_VALUE;
    walk->status = (values ? attention_read_values : attention_read)(engine, walk->lease.activations, at, &rows, walk->block,
                                                                     walk->error, sizeof walk->error);
    if (walk->status == ENGINE_OK && values && walk->scaled)
        walk->status = attention_largest_value(engine, walk->lease.activations, at, &walk->largest, walk->error, sizeof walk->error);
}

/* Starts reading the next block; false when there is none. */
static bool map_walk_start(struct map_walk *walk) {
    size_t queries = walk->rectangle.query1 - walk->rectangle.query0;
    if (walk->next_head >= walk->head_end) return false;
    walk->head = walk->next_head;
    walk->row = walk->next_row;
    walk->rows = queries - walk->row < walk->rows_max ? queries - walk->row : walk->rows_max;
    walk->next_row += walk->rows;
    if (walk->next_row == queries) {
        walk->next_row = 0;
        walk->next_head++;
    }
    walk->read = (struct worker_read){.run = map_walk_read, .context = walk};
    worker_read_start(walk->worker, &walk->read);
    return true;
}

int map_walk_next(struct map_walk *walk, const struct patience *patience, struct problem *problem) {
    if (!map_walk_start(walk)) return 0;
    while (!worker_read_wait(walk->worker, &walk->read, PATIENCE_MS)) {
        if (!patience_over(patience, problem)) continue;
        worker_read_cancel(walk->worker, &walk->read);
        return -1;
    }
    if (walk->read.state != READ_DONE) problem_set(problem, 503, "the server is stopping; ask again when it is back");
    else if (walk->status != ENGINE_OK) problem_engine(problem, walk->status, walk->error);
    else return 1;
    return -1;
}

/* ---- .npy -------------------------------------------------------------------------------------------------------- */

struct npy_source {
    struct map_walk *walk;
    char header[NPY_HEADER_SIZE];
    const char *bytes; /* what is to be sent next: the header, then the block */
    size_t left;
    bool in_header, reading;
};

static const char *walk_bytes(const struct map_walk *walk, size_t *size) {
    *size = walk->rows * walk->columns * sizeof *walk->block;
    return (const char *)walk->block;
}

/* 1: there is something to send; 0: not yet; -1: all is sent; -2: broken off. */
static int npy_source_fill(struct npy_source *source, int wait_ms) {
    struct map_walk *walk = source->walk;
    if (source->left > 0) return 1;
    if (source->in_header) { /* the first block is there already */
        source->in_header = false;
    } else {
        if (!source->reading && !map_walk_start(walk)) return -1;
        source->reading = true;
        if (!worker_read_wait(walk->worker, &walk->read, wait_ms)) return 0;
        source->reading = false;
        if (walk->read.state != READ_DONE || walk->status != ENGINE_OK) return -2;
    }
    source->bytes = walk_bytes(walk, &source->left);
    return 1;
}

static ssize_t npy_source_read(void *context, char *buffer, size_t size, int wait_ms) {
    struct npy_source *source = context;
    int filled = npy_source_fill(source, wait_ms);
    if (filled <= 0) return filled;
    if (size > source->left) size = source->left;
    memcpy(buffer, source->bytes, size);
    source->bytes += size;
    source->left -= size;
    return (ssize_t)size;
}

static void npy_source_close(void *context) {
    struct npy_source *source = context;
    map_walk_finish(source->walk);
    free(source->walk);
    free(source);
}

void map_walk_reply_npy(struct http_request *request, struct map_walk *walk, bool flat) {
    struct problem problem;
    struct patience patience = patience_of_request(request);
    struct npy_source *source = calloc(1, sizeof *source);
    size_t heads = walk->head_end - walk->head, queries = walk->rectangle.query1 - walk->rectangle.query0;
    bool fine = source && map_walk_begin(walk);
    if (!fine) problem_memory(&problem);
    if (fine) fine = map_walk_next(walk, &patience, &problem) > 0;
    if (!fine) {
        map_walk_finish(walk);
        free(walk);
        free(source);
        problem_reply(request, &problem);
        return;
    }
    size_t shape[3] = {heads, queries, walk->columns};
    npy_header(source->header, flat ? shape + 1 : shape, flat ? 2 : 3);
    source->walk = walk;
    source->bytes = source->header;
    source->left = sizeof source->header;
    source->in_header = true;
    http_reply_source(request, 200, TYPE_BYTES,
                      &(struct http_source){
                          .source = source,
                          .read = npy_source_read,
                          .close = npy_source_close,
                          .content_length = (int64_t)(NPY_HEADER_SIZE + heads * queries * walk->columns * sizeof(float)),
                      });
}
