/*
 * weights.h: rows of a weight matrix as float32, from the precision they have in the file, exactly: every vector path gives
 * the same bits.
 *
 * Formats (ggml's): F32; F16; BF16, the upper half of a float32; blocks of 32 numbers: Q8_0: half d, 32 signed bytes, x = q d;
 * Q4_0: half d, 16 bytes, x = (q - 8) d; Q4_1: half d, half m, 16 bytes, x = q d + m. In both Q4, byte i holds number i in its
 * low four bits and number 16 + i in its high ones. Q5_0, Q5_1 and the K-quants: kernels_blocks.h.
 */
#ifndef HEADSCOPE_ENGINE_WEIGHTS_H
#define HEADSCOPE_ENGINE_WEIGHTS_H

#include "engine/kernels.h"
#include "engine/model.h"

/* Row `row` of the tensor: tensor->cols floats. */
void weights_row(const struct kernels *kernels, const struct tensor *tensor, size_t row, float *x);

/* A vector that lies in one row or in one column. */
void weights_vector(const struct kernels *kernels, const struct tensor *tensor, float *x);

/* Rows row0 .. row0 + rows - 1 (at most PANEL) as one panel [whole_panels(cols), PANEL]; missing rows and columns are 0.
 * scratch: PANEL * whole_panels(cols) floats. */
void weights_panel(const struct kernels *kernels, const struct tensor *tensor, size_t row0, size_t rows, float *scratch,
                   float *panel);

#endif
