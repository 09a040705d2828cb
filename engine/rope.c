#include "engine/rope.h"

#include <math.h>

float rope_frequency(double theta, int dim, int p) {
    return 1.0f / (float)pow(theta, (double)((float)(2 * p) / (float)dim));
}

void rope_angles(const struct model_config *config, size_t i, float *cosine, float *sine) {
    for (int p = 0; p < config->rope_dim / 2; p++) {
        float angle = (float)i * rope_frequency((double)config->rope_theta, config->rope_dim, p);
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

/* ---- tables: float32 where the reference implementation is, so that the angles are its own ------------------------------- */

void rope_frequencies(double theta, int dim, float *frequency) {
    for (int p = 0; p < dim / 2; p++) frequency[p] = rope_frequency(theta, dim, p);
}

void rope_scale_linear(struct rope_table *table, size_t pairs, double factor) {
    for (size_t p = 0; p < pairs; p++) table->frequency[p] /= (float)factor;
}

void rope_scale_llama3(struct rope_table *table, size_t pairs, double factor, double low, double high, double trained) {
    for (size_t p = 0; p < pairs; p++) {
        float f = table->frequency[p], length = (float)(2 * M_PI) / f;
        if (length > (float)(trained / low)) {
            table->frequency[p] = f / (float)factor;
        } else if (!(length < (float)(trained / high))) {
            float smooth = ((float)trained / length - (float)low) / (float)(high - low);
            table->frequency[p] = (1 - smooth) * f / (float)factor + smooth * f;
        }
    }
}

double yarn_factor(double factor, double scale) {
    return factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1;
}

/* The dimension that turns so many times within the trained length. */
static double yarn_dimension(const struct yarn *yarn, int dim, double turns) {
    return dim * log(yarn->trained / (turns * 2 * M_PI)) / (2 * log(yarn->theta));
}

void rope_scale_yarn(struct rope_table *table, int dim, const struct yarn *yarn) {
    double low = yarn_dimension(yarn, dim, yarn->fast), high = yarn_dimension(yarn, dim, yarn->slow);
    if (yarn->truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = low > 0 ? low : 0;
    high = high < dim - 1 ? high : dim - 1;
    if (low == high) high += 0.001;
    for (int p = 0; p < dim / 2; p++) {
        float ramp = ((float)p - (float)low) / (float)(high - low);
        float keep = 1 - (ramp < 0 ? 0 : ramp > 1 ? 1 : ramp);
        float whole = table->frequency[p], stretched = whole / (float)yarn->factor;
        table->frequency[p] = stretched * (1 - keep) + whole * keep;
    }
    table->factor = (float)yarn_factor(yarn->factor, 1);
}

void rope_table_angles(const struct rope_table *table, size_t pairs, size_t i, float *cosine, float *sine) {
    for (size_t p = 0; p < pairs; p++) {
        float angle = (float)i * table->frequency[p];
        cosine[p] = (float)cos((double)angle) * table->factor;
        sine[p] = (float)sin((double)angle) * table->factor;
    }
}
