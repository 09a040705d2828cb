// One analysis as it arrives: the lines of a stream in, tokens, statistics and thumbnails of every head out. It grows by
// apply() alone and knows neither the page nor the network.

import { segmentsOf } from './input.js';
import { pieces } from './tokens.js';

function decode(base64) {
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

export class Analysis {
  // What one layer of heads looks at, and from where: the same analysis has three such views where the model has an encoder and a
  // decoder ('encoder', 'decoder' and 'cross', from the decoder's text to the encoder's), one where it has not (null).
  section = null;
  #views = {};

  constructor() {
    this.id = null;
    this.model = null;
    this.text = null;
    this.textPair = null;
    this.target = null;
    this.messages = null; // of a chat, with their tokens
    this.segments = []; // the parts of a pair or a chat: { name, first, end }
    this.count = 0; // tokens of the text
    this.estimate = null;
    this.tokens = [];
    this.targetTokens = [];
    this.texts = { source: { pieces: [], excluded: [] }, target: { pieces: [], excluded: [] } };
    this.parts = {}; // by section: stats [layer][head] -> { statistic: value }, thumbs [layer] -> { rows, cols, max, mean, excluded }
    this.sinks = [];
    this.done = false;
    this.warnings = []; // sentences
    this.precision = 'float32';
    this.maxWeightError = null; // of another precision
    this.seconds = null;
    this.cached = false;
  }

  // The same, looked at in another section. One object a section, so that who compares them sees a change.
  of(section) {
    const base = this.base ?? this;
    if (!base.sections) return base;
    return base.#view(base.sections.includes(section) ? section : base.sections.at(-2));
  }
  #view(section) {
    this.#views[section] ??= Object.create(this, { section: { value: section }, base: { value: this } });
    return this.#views[section];
  }

  // The sections of the model, in the order in which they are computed; null: it has one, without a name.
  get sections() {
    return this.model?.sections?.length > 1 ? this.model.sections : null;
  }
  // What the server asks for to answer about this section.
  get where() {
    return { id: this.id, section: this.section };
  }
  layersOf(section) {
    return (section === 'encoder' ? this.model?.encoder_layers : null) ?? this.model?.layers ?? 0;
  }
  get layers() {
    return this.layersOf(this.section);
  }
  get heads() {
    return (this.section === 'encoder' ? this.model?.encoder_heads : null) ?? this.model?.heads ?? 0;
  }
  get stats() {
    return this.parts[this.section]?.stats ?? [];
  }
  get thumbs() {
    return this.parts[this.section]?.thumbs ?? [];
  }
  get arrived() {
    return this.stats.length;
  }
  // Layers of all sections: how many have come, and how many there are.
  get progress() {
    const sections = this.sections ?? [null];
    return {
      done: sections.reduce((sum, s) => sum + (this.parts[s]?.stats.length ?? 0), 0),
      all: sections.reduce((sum, s) => sum + this.layersOf(s), 0),
    };
  }
  get causal() {
    return this.sections ? this.section === 'decoder' : this.model?.causal !== false;
  }

  // Rows of a map are queries, columns keys: two texts in cross-attention, one otherwise.
  get pieces() {
    return this.texts[this.section === 'decoder' || this.section === 'cross' ? 'target' : 'source'].pieces;
  }
  get keyPieces() {
    return this.texts[this.section === 'decoder' ? 'target' : 'source'].pieces;
  }
  get excluded() {
    return this.texts[this.section === 'decoder' ? 'target' : 'source'].excluded;
  }
  get n() {
    return this.sections ? this.pieces.length : this.count;
  }
  get keys() {
    return this.sections ? this.keyPieces.length : this.count;
  }
  // The longer side of the map.
  get side() {
    return Math.max(this.n, this.keys);
  }

  // Takes one line; returns its event.
  apply(line) {
    switch (line.event) {
      case 'start':
        Object.assign(this, {
          id: line.id,
          model: line.model,
          count: line.n_tokens,
          estimate: line.estimate,
          text: line.text ?? null,
          textPair: line.text_pair ?? null,
          target: line.target ?? null,
          messages: line.messages ?? null,
        });
        this.options = line.options || {};
        this.precision = line.engine?.precision ?? 'float32';
        break;
      case 'tokens':
        this.tokens = line.tokens;
        this.targetTokens = line.target_tokens ?? [];
        this.messages = line.messages ?? this.messages;
        this.segments = segmentsOf(this);
        this.texts.source = { pieces: pieces(this.text, line.tokens, this.textPair), excluded: this.#exclusions(this.tokens) };
        this.texts.target = { pieces: pieces(this.target, this.targetTokens), excluded: this.#exclusions(this.targetTokens) };
        break;
      case 'layer':
        this.parts[line.section ?? null] ??= { stats: [], thumbs: [] };
        this.parts[line.section ?? null].stats[line.layer] = line.heads.map((h) => h.stats);
        this.parts[line.section ?? null].thumbs[line.layer] = {
          rows: line.thumbs.rows,
          cols: line.thumbs.cols,
          max: decode(line.thumbs.max),
          mean: decode(line.thumbs.mean),
          excluded: decode(line.thumbs.excluded),
        };
        break;
      case 'done':
        this.sinks = line.sinks || [];
        this.warnings = line.warnings ?? [];
        this.maxWeightError = line.max_weight_error ?? null;
        this.done = true;
        break;
    }
    return line.event;
  }

  // The excluded keys, ascending: those that were asked for, else position 0 and every special token.
  #exclusions(tokens) {
    if (Array.isArray(this.options.excluded)) return this.options.excluded;
    const asked = this.options.exclude_keys;
    if (Array.isArray(asked)) return asked;
    if (asked === 'none') return [];
    return tokens.flatMap((t, i) => (i === 0 || t.special ? [i] : []));
  }

  // A statistic of every head that has arrived: Float64Array [layers * heads], NaN where it does not apply or is yet to come.
  values(name) {
    const out = new Float64Array(this.layers * this.heads).fill(NaN);
    this.stats.forEach((heads, layer) =>
      heads.forEach((stats, head) => {
        const v = stats[name];
        if (typeof v === 'number') out[layer * this.heads + head] = v;
      }),
    );
    return out;
  }

  has(name) {
    return this.stats.length > 0 && name in this.stats[0][0];
  }

  // The share of all weight that lies on the excluded keys, over the heads that have arrived.
  hiddenMass() {
    const known = [...this.values('sink_mass')].filter((v) => !Number.isNaN(v));
    return known.length ? known.reduce((a, b) => a + b, 0) / known.length : NaN;
  }

  // Heads by a statistic, largest first: [{ layer, head, value }], and the median of all that have one.
  ranked(name) {
    const items = [];
    this.values(name).forEach((value, i) => {
      if (!Number.isNaN(value)) items.push({ layer: Math.floor(i / this.heads), head: i % this.heads, value });
    });
    items.sort((a, b) => b.value - a.value);
    const median = items.length ? (items[(items.length - 1) >> 1].value + items[items.length >> 1].value) / 2 : NaN;
    return { items, median };
  }
}
