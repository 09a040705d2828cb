/*
 * linear.h: y = x W^T for all rows of a text at once, on the whole pool. The work is split over output features, so that
 * each weight is unpacked once, by the thread that multiplies with it, and lies in its cache meanwhile: to float32, or to bfloat16
 * where the products are to be (bf16.h).
 *
 * x: [rows, cols of the weights], row stride x_stride; where cols is not a multiple of PANEL the rest of each x row is 0.
 * y: [rows, outputs], row stride y_stride, a multiple of PANEL and at least whole_panels(outputs): whole panels are written.
 */
#ifndef HEADSCOPE_ENGINE_LINEAR_H
#define HEADSCOPE_ENGINE_LINEAR_H

#include <stdatomic.h>

#include "engine/bf16.h"
#include "engine/kernels.h"
#include "engine/model.h"

enum { LINEAR_PARTS = 3 };

struct linear_part {
    const struct tensor *weight;
    const struct tensor *up; /* not NULL: y = silu(x weight^T) * (x up^T), the gated feed-forward layer */
    float *y;
    size_t y_stride;
};

/* Several layers of the same x run as one: q, k and v. */
struct linear {
    const struct kernels *kernels;
    const struct bf16 *bf16; /* NULL: float32 */
    const float *x;
    size_t x_stride, rows;
    struct linear_part part[LINEAR_PARTS];
    int parts;
    bool accumulate; /* y += x W^T: the residual stream */
    int threads;
    _Atomic size_t next; /* task to be taken next; starts at 0 */
};

/* Floats of scratch that one thread needs for layers of at most `cols` inputs. */
size_t linear_scratch(const struct kernels *kernels, size_t cols);

/* Takes one task and does it; false if none is left. Called by every thread of the pool until false. */
bool linear_step(struct linear *linear, float *scratch);

#endif
