#include "engine/rope.h"

#include <math.h>

void rope_angles(const struct model_config *config, size_t i, float *cosine, float *sine) {
    for (int p = 0; p < config->rope_dim / 2; p++) {
        float exponent = (float)(2 * p) / (float)config->rope_dim;
        float frequency = 1.0f / (float)pow((double)config->rope_theta, (double)exponent);
        float angle = (float)i * frequency;
        cosine[p] = (float)cos((double)angle);
        sine[p] = (float)sin((double)angle);
    }
}

static void turn_adjacent(size_t pairs, const float *restrict cosine, const float *restrict sine, float *restrict x) {
    for (size_t p = 0; p < pairs; p++) {
        float a = x[2 * p], b = x[2 * p + 1];
        x[2 * p] = a * cosine[p] - b * sine[p];
        x[2 * p + 1] = a * sine[p] + b * cosine[p];
    }
}

static void turn_halves(size_t pairs, const float *restrict cosine, const float *restrict sine, float *restrict x) {
    for (size_t p = 0; p < pairs; p++) {
        float a = x[p], b = x[pairs + p];
        x[p] = a * cosine[p] - b * sine[p];
        x[pairs + p] = a * sine[p] + b * cosine[p];
    }
}

void rope_turn(const struct model_config *config, size_t heads, const float *cosine, const float *sine, float *x) {
    size_t head_dim = (size_t)config->head_dim, pairs = (size_t)config->rope_dim / 2;
    for (size_t h = 0; h < heads; h++, x += head_dim) {
        if (config->rope_pairing == ROPE_ADJACENT)
            turn_adjacent(pairs, cosine, sine, x);
        else
            turn_halves(pairs, cosine, sine, x);
    }
}
