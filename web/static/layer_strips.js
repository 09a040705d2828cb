// Above the grid, layer by layer over its columns: where the heads of a layer lie in a few numbers (dots) and their mean (a
// dash). What holds of early or late layers is seen here, or refuted.

import { column, formatColumn, valuesOf } from './columns.js';
import { colours, h, sizeCanvas } from './dom.js';
import { rangeOf } from './statistics.js';

const HEIGHT = 30;
const SHOWN = [
  'sink_mass',
  'local_mass_without_sinks',
  'entropy_normalised',
  'previous_mass_without_sinks',
  'induction_mass_without_sinks',
  'output_ratio',
];

export class LayerStrips {
  box = h('div', { class: 'layer-strips', hidden: true });
  #strips = [];
  #made = null;

  // define(name): shows what a number means
  constructor(store, define) {
    this.store = store;
    this.define = define;
  }

  // Whether they are shown; layout is the grid's.
  draw(state, layout) {
    const a = state.analysis;
    this.box.hidden = state.view !== 'depth' || !a?.arrived;
    if (this.box.hidden) return;
    if (this.#made !== a) this.#make(a);
    for (const strip of this.#strips) this.#drawStrip(state, layout, strip);
  }

  #make(a) {
    this.#made = a;
    this.#strips = SHOWN.filter((name) => a.has(name)).map((name) => {
      const value = h('span', { class: 'soft' });
      const words = h('p', { class: 'layer-label' }, h('button', { type: 'button', class: 'term', onclick: () => this.define(name) }, column(name).label), value);
      return { name, value, words, canvas: h('canvas', { 'aria-hidden': 'true' }) };
    });
    this.box.replaceChildren(...this.#strips.map(({ words, canvas }) => h('div', {}, words, canvas)));
  }

  #drawStrip(state, l, { name, value, canvas }) {
    const { layers, heads } = state.analysis;
    const values = valuesOf(state, name);
    const { context } = sizeCanvas(canvas, l.width, HEIGHT);
    const c = colours();
    // Shares of attention are drawn from 0 to 1, the size of an output up to the largest.
    const top = name === 'output_ratio' ? (rangeOf(values)?.high ?? 1) : 1;
    const y = (v) => 3 + (HEIGHT - 6) * (1 - v / top);
    context.clearRect(0, 0, l.width, HEIGHT);
    context.fillStyle = c.line;
    context.fillRect(l.left, HEIGHT - 1, l.width - l.left - l.gap, 1);
    for (let layer = 0; layer < layers; layer++) {
      const x = l.left + layer * l.pitch;
      const own = values.slice(layer * heads, (layer + 1) * heads);
      const known = own.filter((v) => !Number.isNaN(v));
      if (!known.length) continue;
      context.fillStyle = c.soft;
      context.globalAlpha = Math.max(0.12, Math.min(0.5, 5 / heads));
      own.forEach((v, head) => {
        if (!Number.isNaN(v)) context.fillRect(x + 3 + ((l.cell - 8) * head) / Math.max(1, heads - 1), y(v) - 1, 2.5, 2.5);
      });
      context.globalAlpha = 1;
      context.fillStyle = c.ink;
      context.fillRect(x + 1, y(mean(known)) - 1, l.cell - 2, 2);
      const open = own[state.head];
      if (state.layer === layer && !Number.isNaN(open)) {
        context.fillStyle = c.accent;
        context.beginPath();
        context.arc(x + 4 + ((l.cell - 8) * state.head) / Math.max(1, heads - 1), y(open), 3.5, 0, 2 * Math.PI);
        context.fill();
      }
    }
    value.textContent = words(values, state.hoverHead?.layer ?? state.layer, heads, (v) => formatColumn(name, v));
  }
}

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

function words(values, layer, heads, text) {
  if (layer === null || layer === undefined) return '';
  const known = values.slice(layer * heads, (layer + 1) * heads).filter((v) => !Number.isNaN(v));
  if (!known.length) return `layer ${layer}: does not apply`;
  return `layer ${layer}: mean ${text(mean(known))}, heads ${text(Math.min(...known))} to ${text(Math.max(...known))}`;
}
