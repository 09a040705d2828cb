// What the page shows, in one object. set() takes a patch; whoever listens is told once a frame which keys have changed, so
// that many changes cost one drawing.

export class Store {
  #listeners = [];
  #changed = new Set();
  #frame = 0;
  #drawings = null; // while the listeners are told: what is to be drawn after them

  constructor(state) {
    this.state = state;
  }

  set(patch) {
    for (const [key, value] of Object.entries(patch)) {
      if (Object.is(this.state[key], value)) continue;
      this.state[key] = value;
      this.#changed.add(key);
    }
    this.#schedule();
  }

  // For values that change in place (an analysis that grows).
  touch(key) {
    this.#changed.add(key);
    this.#schedule();
  }

  // listener(state, changed): `has(...keys)` of `changed` says whether one of them did.
  listen(listener) {
    this.#listeners.push(listener);
  }

  // Draws in the frame in which the listeners are told, after the last of them; at any other time in the next frame.
  soon(draw) {
    if (this.#drawings) this.#drawings.push(draw);
    else requestAnimationFrame(draw);
  }

  #schedule() {
    if (this.#frame || !this.#changed.size) return;
    this.#frame = 1;
    // A hidden page gets no animation frames, but its state must stay whole.
    const wait = document.hidden ? (f) => setTimeout(f, 16) : requestAnimationFrame;
    wait(() => this.#tell());
  }

  #tell() {
    this.#frame = 0;
    const changed = this.#changed;
    this.#changed = new Set();
    const has = (...keys) => keys.some((k) => changed.has(k));
    this.#drawings = [];
    try {
      for (const listener of this.#listeners) listener(this.state, { has });
    } finally {
      const drawings = this.#drawings;
      this.#drawings = null;
      for (const draw of drawings) draw();
    }
  }
}

export const VIEW_DEFAULTS = {
  view: 'heads', // find, depth, groups, compare: which question the page is about
  layer: null, // the open head
  head: null,
  query: null, // the pinned token
  scale: 'sqrt',
  sinks: 'hidden',
  section: 'decoder', // of a model with an encoder and a decoder: which heads are shown
  paint: 'maps', // or the column that colours the grid
  pool: 'max',
  weighting: 'none', // or 'value': the open head's weights times the length of what the keys give
  side: 'reads', // what the chosen token reads, or 'readers': who reads it
  from: null, // Find: the queries, as a:b, half-open; null: any
  to: null, // the keys
  type: null, // only heads of this type are in the light
  by: 'js', // Groups: what heads have in common: what they read, or 'cka': what they write
  group: null, // the group that is in the light
  against: null, // Compare: the id of the other analysis
  beside: null, // a second head, as layer.head, whose map stands beside the open one
  rank: null, // the column that orders the list; null: whichever fits
};

export function initialState() {
  return {
    ...VIEW_DEFAULTS,
    phase: 'empty', // starting, queued, running, done, failed
    problem: null, // { kind, title, detail }
    analysis: null,
    draft: false, // what is drawn follows the typing and is not kept yet
    between: null, // what goes from the queries to the keys in every head
    betweenError: null,
    comparison: null, // { name, aligned, values, ... } of this analysis and `against`
    syntax: null, // { relations, ... } of the parse that was brought, by the number of cases
    relation: null, // which of them is in the light
    difference: null, // the open head's difference map: { analysis, layer, head, weights, tiles }
    groups: null, // { by, clusters, ... } of the analysis
    lifts: null, // what heads do here beyond their habit of distance: { id, items }
    atlas: null, // what the probes say about the model's heads
    models: null,
    model: null, // the id of the model that the next text goes to
    picking: false, // the next head that is clicked opens beside the open one
    hoverHead: null, // { layer, head } under the pointer in the grid
    hoverQuery: null, // the token under the pointer, in the text or the map's rows
    hoverKey: null,
    theme: 'light',
  };
}
