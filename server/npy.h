/*
 * npy.h: the header of NumPy's file format, version 1.0 (NEP 1): what follows it is the array's bytes, C order.
 */
#ifndef HEADSCOPE_SERVER_NPY_H
#define HEADSCOPE_SERVER_NPY_H

#include <stddef.h>

#define NPY_HEADER_SIZE 192 /* a multiple of 64, and room for the largest sizes */

/* Writes the header of a little-endian float32 array of 1 to 3 dimensions: always NPY_HEADER_SIZE bytes. */
void npy_header(char header[NPY_HEADER_SIZE], const size_t *shape, size_t dimensions);

#endif
