#include "engine/linear.h"

#include <cblas.h>
#include <string.h>

#include "engine/weights.h"

/* A task of our own kernel: so many panels of outputs by all rows. 3 panels of 576 inputs take 110 KB, which stay in L2. */
enum { TASK_PANELS = 3, TASK_ROWS = 48 };
/* A task of OpenBLAS, which packs x anew in each: larger. */
enum { BLAS_OUTPUTS = 192 };

/* A task in bfloat16: rows of x are rounded in each, so it takes more panels, of half the bytes. */
enum { BF16_PANELS = 2 * TASK_PANELS };

static size_t task_outputs(const struct linear *linear) {
    if (linear->bf16) return BF16_PANELS * PANEL;
    return linear->kernels->own_linear ? TASK_PANELS * PANEL : BLAS_OUTPUTS;
}

/* Pairs of a row: transposing takes whole panels of them. */
static size_t pairs_of(size_t cols) {
    return whole_panels((cols + 1) / 2);
}

static size_t bf16_scratch(size_t cols) {
    return (2 * BF16_PANELS + 1) * PANEL * pairs_of(cols) + TASK_ROWS * (pairs_of(cols) + BF16_PANELS * PANEL) + whole_panels(cols);
}

size_t linear_scratch(const struct kernels *kernels, size_t cols) {
    size_t depth = whole_panels(cols), bf16 = bf16_scratch(cols), float32 = 2 * BLAS_OUTPUTS * cols + TASK_ROWS * BLAS_OUTPUTS;
    if (kernels->own_linear) float32 = (2 * TASK_PANELS + 1) * PANEL * depth + TASK_ROWS * TASK_PANELS * PANEL;
    return float32 > bf16 ? float32 : bf16;
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

/* n numbers, a multiple of PANEL, as pairs; the rest of the row is 0. */
static void round_row(const struct bf16 *bf16, const float *x, size_t n, size_t pairs, uint32_t *to) {
    bf16->round(x, n, to);
    memset(to + n / 2, 0, (pairs - n / 2) * sizeof *to);
}

/* Panels of pairs: rows are rounded, then turned as if pairs were floats, of which only bits are moved. */
static void unpack_pairs(const struct linear *linear, const struct tensor *weight, size_t first, size_t panels, float *scratch,
                         float *to) {
    size_t n = whole_panels(weight->cols), pairs = pairs_of(weight->cols);
    float *lines = scratch, *row = lines + PANEL * pairs;
    memset(row, 0, n * sizeof *row);
    for (size_t p = 0; p < panels; p++) {
        for (size_t r = 0; r < PANEL; r++) {
            size_t output = first + p * PANEL + r;
            uint32_t *line = (uint32_t *)(void *)(lines + r * pairs);
            if (output >= weight->rows) {
                memset(line, 0, pairs * sizeof *line);
                continue;
            }
            weights_row(linear->kernels, weight, output, row);
            round_row(linear->bf16, row, n, pairs, line);
        }
        linear->kernels->transpose_panel(lines, pairs, pairs, to + p * PANEL * pairs);
    }
}

static void bf16_task(const struct linear *linear, const struct linear_part *part, size_t first, size_t outputs, float *scratch) {
    const struct bf16 *bf16 = linear->bf16;
    size_t n = whole_panels(part->weight->cols), pairs = pairs_of(part->weight->cols), panels = whole_panels(outputs) / PANEL;
    float *weight = scratch, *up = weight + BF16_PANELS * PANEL * pairs, *tile = up + BF16_PANELS * PANEL * pairs;
    uint32_t *x = (uint32_t *)(void *)(tile + TASK_ROWS * BF16_PANELS * PANEL);
    float *rest = tile + TASK_ROWS * (BF16_PANELS * PANEL + pairs);
    unpack_pairs(linear, part->weight, first, panels, rest, weight);
    if (part->up) unpack_pairs(linear, part->up, first, panels, rest, up);
    for (size_t row = 0; row < linear->rows; row += TASK_ROWS) {
        size_t rows = linear->rows - row < TASK_ROWS ? linear->rows - row : TASK_ROWS;
        for (size_t r = 0; r < rows; r++) round_row(bf16, linear->x + (row + r) * linear->x_stride, n, pairs, x + r * pairs);
        struct bf16_product product = {
            .rows = rows, .panels = panels, .pairs = pairs, .a = x, .a_stride = pairs, .b = (const uint32_t *)(const void *)weight,
            .c = part->y + row * part->y_stride + first, .c_stride = part->y_stride, .accumulate = linear->accumulate,
        };
        bf16->multiply(&product);
        if (!part->up) continue;
        float *gate = product.c;
        product.b = (const uint32_t *)(const void *)up;
        product.c = tile;
        product.c_stride = BF16_PANELS * PANEL;
        bf16->multiply(&product);
        for (size_t r = 0; r < rows; r++)
            linear->kernels->swiglu(gate + r * part->y_stride, tile + r * product.c_stride, panels * PANEL);
    }
}

static void do_task(const struct linear *linear, const struct linear_part *part, size_t first, size_t outputs, float *scratch) {
    if (linear->bf16) bf16_task(linear, part, first, outputs, scratch);
    else if (linear->kernels->own_linear) multiply_task(linear, part, first, outputs, scratch);
    else blas_task(linear, part, first, outputs, scratch);
}

bool linear_step(struct linear *linear, float *scratch) {
    size_t task = atomic_fetch_add_explicit(&linear->next, 1, memory_order_relaxed), size = task_outputs(linear);
    for (int p = 0; p < linear->parts; p++) {
        const struct linear_part *part = &linear->part[p];
        size_t tasks = (part->weight->rows + size - 1) / size;
        if (task < tasks) {
            size_t first = task * size, left = part->weight->rows - first, outputs = left < size ? left : size;
            if (linear->rows == 0) return true;
            do_task(linear, part, first, outputs, scratch);
            return true;
        }
        task -= tasks;
    }
    return false;
}
