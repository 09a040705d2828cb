#include "engine/position_bias.h"

#include <math.h>

#include "engine/weights.h"

static double slope_of(int head, int heads) {
    int power = 1;
    while (2 * power <= heads) power *= 2;
    return head < power ? pow(2, -8.0 * (head + 1) / power) : pow(2, -8.0 * (2 * (head - power) + 1) / (2 * power));
}

static int bucket_of(const struct model_config *c, ptrdiff_t offset) {
    int half = c->bias_ahead ? c->bias_buckets / 2 : c->bias_buckets, exact = half / 2, ahead = c->bias_ahead && offset > 0 ? half : 0;
    size_t distance = (size_t)(offset < 0 ? -offset : c->bias_ahead ? offset : 0);
    if (distance < (size_t)exact) return ahead + (int)distance;
    float share = logf((float)distance / (float)exact) / (float)log((double)c->bias_distance / exact);
    int bucket = exact + (int)(share * (float)(half - exact));
    return ahead + (bucket < half - 1 ? bucket : half - 1);
}

void position_bias_fill(const struct model *model, size_t n, float *bias) {
    const struct model_config *c = &model->config;
    size_t width = 2 * n - 1;
    for (int h = 0; h < c->heads; h++) {
        float slope = (float)slope_of(h, c->heads);
        for (size_t o = 0; o < width; o++) {
            ptrdiff_t offset = (ptrdiff_t)o - (ptrdiff_t)(n - 1);
            struct tensor one = model->relative_bias; /* of this bucket and head: a row of one number */
            if (c->position_bias == BIAS_ALIBI) {
                bias[(size_t)h * width + o] = slope * (float)offset;
                continue;
            }
            size_t size = one.type == TENSOR_F32 ? 4 : 2;
            one.data = (const unsigned char *)one.data + (size_t)h * size;
            one.cols = 1;
            weights_row(&kernels_plain, &one, (size_t)bucket_of(c, offset), bias + (size_t)h * width + o);
        }
    }
}
