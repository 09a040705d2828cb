#include "engine/weights.h"

#include <string.h>

#include "engine/half.h"

/* One column of a matrix that lies in the file as inputs x outputs: F32, F16 or BF16. */
static void unpack_column(const struct tensor *tensor, size_t column, float *x) {
    size_t size = tensor->type == TENSOR_F32 ? 4 : 2;
    const uint8_t *source = (const uint8_t *)tensor->data + column * size;
    for (size_t i = 0; i < tensor->cols; i++, source += tensor->row_bytes)
        switch (tensor->type) {
        case TENSOR_F32: memcpy(&x[i], source, sizeof x[i]); break;
        case TENSOR_F16: x[i] = half_to_float(read_u16(source)); break;
        default: x[i] = bfloat_to_float(read_u16(source)); break;
        }
}

void weights_vector(const struct kernels *kernels, const struct tensor *tensor, float *x) {
    bool together = tensor->cols == 1 && tensor->group == 0 && tensor->row_bytes == (tensor->type == TENSOR_F32 ? 4 : 2);
    if (tensor->rows == 1 || together) {
        struct tensor row = *tensor;
        row.cols *= row.rows;
        weights_row(kernels, &row, 0, x);
        return;
    }
    for (size_t i = 0; i < tensor->rows; i++) weights_row(kernels, tensor, i, x + i);
}

void weights_row(const struct kernels *kernels, const struct tensor *tensor, size_t row, float *x) {
    if (tensor->group > 0) row = row / tensor->group * tensor->group_stride + row % tensor->group;
    if (tensor->transposed) {
        unpack_column(tensor, row, x);
        return;
    }
    const uint8_t *source = (const uint8_t *)tensor->data + row * tensor->row_bytes;
    size_t n = tensor->cols;
    switch (tensor->type) {
    case TENSOR_F32: memcpy(x, source, n * sizeof *x); break;
    case TENSOR_F16: kernels->unpack_f16(source, n, x); break;
    case TENSOR_BF16: kernels->unpack_bf16(source, n, x); break;
    case TENSOR_Q4_0: kernels->unpack_q4_0(source, n, x); break;
    case TENSOR_Q4_1: kernels->unpack_q4_1(source, n, x); break;
    case TENSOR_Q8_0: kernels->unpack_q8_0(source, n, x); break;
    case TENSOR_Q5_0: kernels->unpack_q5_0(source, n, x); break;
    case TENSOR_Q5_1: kernels->unpack_q5_1(source, n, x); break;
    case TENSOR_Q2_K: kernels->unpack_q2_k(source, n, x); break;
    case TENSOR_Q3_K: kernels->unpack_q3_k(source, n, x); break;
    case TENSOR_Q4_K: kernels->unpack_q4_k(source, n, x); break;
    case TENSOR_Q5_K: kernels->unpack_q5_k(source, n, x); break;
    case TENSOR_Q6_K: kernels->unpack_q6_k(source, n, x); break;
    }
}

void weights_panel(const struct kernels *kernels, const struct tensor *tensor, size_t row0, size_t rows, float *scratch,
                   float *panel) {
    size_t stride = whole_panels(tensor->cols);
    for (size_t r = 0; r < PANEL; r++) {
        float *x = scratch + r * stride;
        size_t have = r < rows ? tensor->cols : 0;
        if (have) weights_row(kernels, tensor, row0 + r, x);
        memset(x + have, 0, (stride - have) * sizeof *x);
    }
    kernels->transpose_panel(scratch, stride, stride, panel);
}
