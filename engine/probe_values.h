/* probe_values.h: where probes.c puts what it finds, and atlas.c looks for it: the arrays of doubles that callers keep. All are sums. */
#ifndef HEADSCOPE_ENGINE_PROBE_VALUES_H
#define HEADSCOPE_ENGINE_PROBE_VALUES_H

#include "engine/atlas.h"
#include "engine/probe_ids.h"
#include "engine/probes.h"

/* A mean in the making. */
struct mean {
    double sum, count;
};
static inline void mean_add(struct mean *mean, double x) {
    mean->sum += x;
    mean->count++;
}

/* repeat: losses of the first and the second copy, then each head. */
struct repeat_head {
    struct mean previous, duplicate, induction;
};
struct repeat_values {
    struct mean loss[2];
    struct repeat_head head[];
};

/* random: each head. copying: rank shares, 0 to 1. */
struct random_head {
    struct mean sink_mass, offset_r2, copying;
};

/* natural: of a window of one head. */
struct natural_window {
    double statistic[STAT_COUNT];
    double outside, breadth, separator_mass, rare_rate, rare_chance;
};

/* length: of a text of one length and one head. Slope of the rows' entropies on the logarithm of what they see. */
struct length_head {
    double entropy, sink_mass, local_mass, slope;
};

/* same: the largest distances of a weight from an even spread, and from what its offset alone has in the last row. */
struct same_head {
    double uniform_error, offset_error;
};

/* natural: the profile's sums [heads, offsets], how many pairs [offsets], then [windows, heads] windows, then [windows, heads, LIFTS] lifts. */
struct natural_layout {
    size_t heads, window_ids, windows, reach, offsets;
    size_t pairs, window, lift, values; /* where each begins */
};
struct natural_layout natural_layout_of(const struct model *model, size_t text_n);

#endif
