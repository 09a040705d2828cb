#include "engine/linear.h"

#include <cblas.h>

#include "engine/weights.h"

/* A task of our own kernel: so many panels of outputs by all rows. 3 panels of 576 inputs take 110 KB, which stay in L2. */
enum { TASK_PANELS = 3, TASK_ROWS = 48 };
/* A task of OpenBLAS, which packs x anew in each: larger. */
enum { BLAS_OUTPUTS = 192 };

static size_t task_outputs(const struct linear *linear) {
    return linear->kernels->own_linear ? TASK_PANELS * PANEL : BLAS_OUTPUTS;
}

size_t linear_scratch(const struct kernels *kernels, size_t cols) {
    size_t depth = whole_panels(cols);
    if (kernels->own_linear) return (2 * TASK_PANELS + 1) * PANEL * depth + TASK_ROWS * TASK_PANELS * PANEL;
    return 2 * BLAS_OUTPUTS * cols + TASK_ROWS * BLAS_OUTPUTS;
}

static void unpack_panels(const struct linear *linear, const struct tensor *weight, size_t first, size_t panels, float *scratch,
                          float *to) {
    size_t depth = whole_panels(weight->cols);
    for (size_t p = 0; p < panels; p++) {
        size_t row = first + p * PANEL, rows = weight->rows - row < PANEL ? weight->rows - row : PANEL;
        weights_panel(linear->kernels, weight, row, rows, scratch, to + p * PANEL * depth);
    }
}

static void multiply_task(const struct linear *linear, const struct linear_part *part, size_t first, size_t outputs,
                          float *scratch) {
    const struct kernels *kernels = linear->kernels;
    size_t depth = whole_panels(part->weight->cols), panels = whole_panels(outputs) / PANEL;
    float *weight = scratch + PANEL * depth, *up = weight + TASK_PANELS * PANEL * depth,
          *tile = up + TASK_PANELS * PANEL * depth;
    unpack_panels(linear, part->weight, first, panels, scratch, weight);
    if (part->up) unpack_panels(linear, part->up, first, panels, scratch, up);
    for (size_t row = 0; row < linear->rows; row += TASK_ROWS) {
        struct product product = {
            .rows = linear->rows - row < TASK_ROWS ? linear->rows - row : TASK_ROWS, .panels = panels, .depth = depth,
            .a = linear->x + row * linear->x_stride, .a_stride = linear->x_stride,
            .b = weight, .b_panel_stride = PANEL * depth,
            .c = part->y + row * part->y_stride + first, .c_stride = part->y_stride, .c_panel_stride = PANEL,
            .scale = 1.0f, .accumulate = linear->accumulate,
        };
        kernels->multiply(&product);
        if (!part->up) continue;
        float *gate = product.c;
        product.b = up;
        product.c = tile;
        product.c_stride = TASK_PANELS * PANEL;
        kernels->multiply(&product);
        for (size_t r = 0; r < product.rows; r++)
            kernels->swiglu(gate + r * part->y_stride, tile + r * product.c_stride, panels * PANEL);
    }
}

static void blas_task(const struct linear *linear, const struct linear_part *part, size_t first, size_t outputs, float *scratch) {
    const struct kernels *kernels = linear->kernels;
    size_t cols = part->weight->cols;
    float *weight = scratch, *up = weight + BLAS_OUTPUTS * cols, *tile = up + BLAS_OUTPUTS * cols;
    for (size_t o = 0; o < outputs; o++) {
        weights_row(kernels, part->weight, first + o, weight + o * cols);
        if (part->up) weights_row(kernels, part->up, first + o, up + o * cols);
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)linear->rows, (int)outputs, (int)cols, 1.0f, linear->x,
                (int)linear->x_stride, weight, (int)cols, linear->accumulate ? 1.0f : 0.0f, part->y + first, (int)part->y_stride);
    if (!part->up) return;
    for (size_t row = 0; row < linear->rows; row += TASK_ROWS) {
        size_t rows = linear->rows - row < TASK_ROWS ? linear->rows - row : TASK_ROWS;
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)rows, (int)outputs, (int)cols, 1.0f,
                    linear->x + row * linear->x_stride, (int)linear->x_stride, up, (int)cols, 0.0f, tile, BLAS_OUTPUTS);
        for (size_t r = 0; r < rows; r++)
            kernels->swiglu(part->y + (row + r) * part->y_stride + first, tile + r * BLAS_OUTPUTS, whole_panels(outputs));
    }
}

bool linear_step(struct linear *linear, float *scratch) {
    size_t task = atomic_fetch_add_explicit(&linear->next, 1, memory_order_relaxed), size = task_outputs(linear);
    for (int p = 0; p < linear->parts; p++) {
        const struct linear_part *part = &linear->part[p];
        size_t tasks = (part->weight->rows + size - 1) / size;
        if (task < tasks) {
            size_t first = task * size, left = part->weight->rows - first, outputs = left < size ? left : size;
            if (linear->rows == 0) return true;
            (linear->kernels->own_linear ? multiply_task : blas_task)(linear, part, first, outputs, scratch);
            return true;
        }
        task -= tasks;
    }
    return false;
}
