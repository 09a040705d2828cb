/*
 * gguf_architectures.h: which architectures a GGUF file may hold, as a table. Each is a family (families.h) under another name: its
 * layers go as the family's do, and what is different is how the format keeps it: other names of tensors, q, k and v never
 * interleaved, Gemma's norms with their 1 already added, and q and k of some models permuted. An architecture that is not here is
 * refused by its name.
 */
#ifndef HEADSCOPE_ENGINE_GGUF_ARCHITECTURES_H
#define HEADSCOPE_ENGINE_GGUF_ARCHITECTURES_H

#include "engine/families.h"

struct gguf_architecture {
    const char *name;   /* general.architecture */
    const char *family; /* the model_type whose layers these are */
    struct family_names names, source; /* source: of the encoder, of a decoder that has one */
    bool adjacent;        /* dimensions 2i and 2i + 1 turn together: the converter has permuted q and k so, or they were so */
    bool exact_yarn;      /* YaRN's blend is bounded by fractions of dimensions, which no key says */
    int no_rope_interval; /* every so many layers one does not turn; 0: all turn */
    int layers_of_wide;   /* a model of so many layers scales its scores by 1 / sqrt(width / heads) instead; 0: none does */
    /* What the format leaves unsaid where the keys are absent; 0: nothing. */
    double score_cap, local_theta;
    int window;
};

/* name: `size` bytes. NULL: not known. */
const struct gguf_architecture *gguf_architecture_find(const char *name, size_t size);

/* The family with the format's names and differences; of a decoder with an encoder, families[1] becomes its source. */
void gguf_architecture_families(const struct gguf_architecture *architecture, struct family families[2]);

#endif
