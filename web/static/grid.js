// All heads on one canvas. What has arrived is kept on a second canvas that nobody sees, so that a hover or a selection only
// copies it and adds its outlines.

import { paintMapCell, paintNumberCell, paintWaitingCell } from './cells.js';
import { colours, font, h, sizeCanvas, stillness } from './dom.js';
import { cellAt, cellRect, gridLayout, moveHead } from './layout.js';
import { Preview } from './preview.js';
import { describeHead } from './ranking.js';
import { palette } from './theme.js';

const FADE = 260; // ms in which a layer appears

export class Grid {
  #canvas = h('canvas', { 'aria-hidden': 'true' });
  #store = document.createElement('canvas');
  #cell = h('span', { role: 'gridcell', id: 'grid-cell', 'aria-selected': 'true' });
  #labels = h('div', { class: 'grid-rows', 'aria-hidden': 'true' });
  #scroller = h('div', {
    class: 'grid-scroll', role: 'grid', tabindex: 0, 'aria-label': 'All heads: layers from left to right, heads downwards', 'aria-activedescendant': 'grid-cell',
  });
  #hint = h('p', { class: 'grid-hint', 'aria-hidden': 'true' });
  #layout = null;
  #painted = { key: '', layers: 0 };
  #arrivals = []; // when each layer came
  #frame = 0;

  // choose(layer, head): open a head
  constructor(store, panel, choose) {
    this.store = store;
    this.panel = panel;
    this.choose = choose;
    this.preview = new Preview(store);
    this.#scroller.append(this.#labels, this.#canvas,
      h('span', { role: 'row', class: 'visually-hidden' }, this.#cell));
    panel.append(this.#scroller, this.#hint);
    this.#listen();
    store.listen((state, changed) => this.#changed(state, changed));
  }

  get layout() { return this.#layout; }
  focus() { this.#scroller.focus({ preventScroll: true }); }

  #listen() {
    const canvas = this.#canvas;
    const at = (event) => this.#layout && cellAt(this.#layout, event.offsetX, event.offsetY);
    canvas.addEventListener('pointermove', (event) => {
      if (event.pointerType !== 'touch') this.#hover(at(event));
    });
    canvas.addEventListener('pointerleave', () => this.#hover(null));
    canvas.addEventListener('click', (event) => {
      const found = at(event);
      if (found) this.#open(found);
    });
    this.#scroller.addEventListener('keydown', (event) => {
      const { layer, head, analysis } = this.store.state;
      if (!analysis || event.altKey || event.ctrlKey || event.metaKey) return;
      const from = layer === null ? { layer: 0, head: 0 } : { layer, head };
      const to = layer === null && event.key.startsWith('Arrow') ? from : moveHead(from, event.key, analysis);
      if (!to) return;
      event.preventDefault();
      this.#open(to);
    });
    this.#scroller.addEventListener('scroll', () => this.#hinting());
    this.#scroller.addEventListener('focus', () => this.#draw());
    this.#scroller.addEventListener('blur', () => this.#draw());
    new ResizeObserver(() => this.#measure()).observe(this.panel);
  }

  #open({ layer, head }) {
    if (!this.store.state.analysis?.thumbs[layer]) return;
    this.choose(layer, head);
    this.#reveal(layer);
  }

  #reveal(layer) {
    const { x, size } = cellRect(this.#layout, layer, 0);
    const box = this.#scroller;
    if (x - this.#layout.left < box.scrollLeft) box.scrollLeft = x - this.#layout.left - size;
    else if (x + size > box.scrollLeft + box.clientWidth) box.scrollLeft = x + 2 * size - box.clientWidth;
  }

  #hover(found) {
    const { hoverHead, analysis } = this.store.state;
    const there = found && analysis?.thumbs[found.layer] ? found : null;
    this.#canvas.style.cursor = there ? 'pointer' : 'default';
    if (there?.layer === hoverHead?.layer && there?.head === hoverHead?.head) return;
    this.store.set({ hoverHead: there });
    if (!there) return this.preview.hide();
    const { x, y, size } = cellRect(this.#layout, there.layer, there.head);
    const box = this.#canvas.getBoundingClientRect();
    this.preview.show(there, { x: box.left + x, y: box.top + y, size });
  }

  #changed(state, changed) {
    if (changed.has('analysis')) {
      const a = state.analysis;
      if (!a || a.arrived < this.#arrivals.length || a !== this.#shown) this.#arrivals = [];
      this.#shown = a;
      const now = state.phase === 'done' && a?.cached ? -FADE : performance.now();
      while (a && this.#arrivals.length < a.arrived) this.#arrivals.push(now);
      this.#measure();
    }
    if (changed.has('analysis', 'layer', 'head', 'hoverHead', 'paint', 'sinks', 'scale', 'pool', 'theme')) {
      this.#draw();
      this.#describe(state);
    }
  }

  #shown = null;

  #measure() {
    const a = this.store.state.analysis;
    if (!a?.layers) return;
    const style = getComputedStyle(this.panel);
    const around = document.getElementById('work').clientWidth;
    const inner = this.panel.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const shape = { layers: a.layers, heads: a.heads, tokens: a.n, height: window.innerHeight };
    const side = gridLayout({ ...shape, width: around }).side;
    const layout = side ? { ...gridLayout({ ...shape, width: around }), scrolls: true } : gridLayout({ ...shape, width: inner });
    document.getElementById('work').classList.toggle('beside', side);
    const same = this.#layout && ['cell', 'width', 'height', 'side'].every((k) => this.#layout[k] === layout[k]);
    this.#layout = layout;
    // Where things stand, for whoever looks from outside.
    Object.assign(this.panel.dataset, { left: layout.left, top: layout.top, pitch: layout.pitch, cell: layout.cell });
    if (!same) this.#rows();
    this.#hinting();
    this.#draw();
  }

  // The heads' numbers stay in place while the layers scroll.
  #rows() {
    const { top, pitch, cell, heads } = this.#layout;
    this.#labels.replaceChildren(...Array.from({ length: heads }, (_, head) => {
      const label = h('span', {}, String(head));
      label.style.top = `${top + head * pitch}px`;
      label.style.height = `${cell}px`;
      label.style.lineHeight = `${cell}px`;
      return label;
    }));
  }

  #hinting() {
    const box = this.#scroller;
    const l = this.#layout;
    const hidden = box.scrollWidth - box.clientWidth > 4;
    this.panel.classList.toggle('scrolls', hidden);
    this.#hint.hidden = !hidden;
    if (!hidden) return;
    const first = Math.max(0, Math.ceil(box.scrollLeft / l.pitch));
    const last = Math.min(l.layers - 1, Math.floor((box.scrollLeft + box.clientWidth - l.left) / l.pitch) - 1);
    this.#hint.textContent = `Layers ${first} to ${last} of ${l.layers}. Swipe for the rest.`;
    this.panel.classList.toggle('at-end', box.scrollLeft + box.clientWidth >= box.scrollWidth - 4);
  }

  // Brings the hidden canvas up to date: only what is missing, unless the look has changed.
  #paint(state, ratio) {
    const a = state.analysis;
    const l = this.#layout;
    const look = [state.theme, state.scale, state.paint, state.sinks, state.pool, l.cell, l.width, ratio].join();
    const key = state.paint === 'maps' ? look : `${look},${a.arrived}`;
    const canvas = this.#store;
    const [w, h2] = [Math.round(l.width * ratio), Math.round(l.height * ratio)];
    if (canvas.width !== w || canvas.height !== h2) Object.assign(canvas, { width: w, height: h2 });
    if (this.#painted.key !== key || this.#painted.analysis !== a) {
      this.#painted = { key, analysis: a, layers: 0 };
      const context = canvas.getContext('2d');
      context.clearRect(0, 0, w, h2);
      const c = colours();
      for (let layer = 0; layer < l.layers; layer++) for (let head = 0; head < l.heads; head++) paintWaitingCell(context, this.#device(layer, head, ratio), c);
    }
    if (this.#painted.layers >= a.arrived) return;
    const context = canvas.getContext('2d', { willReadFrequently: false });
    const paint = {
      context, palette: palette(state), colours: colours(), state, ratio,
      font: font(Math.max(9, Math.min(11, Math.floor(l.cell / 2.9))) * ratio),
      range: state.paint === 'maps' ? null : rangeOf(a.values(state.paint)),
    };
    for (let layer = this.#painted.layers; layer < a.arrived; layer++) {
      for (let head = 0; head < l.heads; head++) {
        const box = this.#device(layer, head, ratio);
        if (state.paint === 'maps') paintMapCell(paint, a, layer, head, box);
        else paintNumberCell(paint, a, layer, head, box);
      }
    }
    this.#painted.layers = a.arrived;
  }

  #device(layer, head, ratio) {
    const { x, y, size } = cellRect(this.#layout, layer, head);
    return { x: Math.round(x * ratio), y: Math.round(y * ratio), size: Math.round(size * ratio) };
  }

  #draw() {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#drawNow();
    });
  }

  #drawNow() {
    const { state } = this.store;
    const l = this.#layout;
    if (!state.analysis || !l) return;
    const { context, ratio } = sizeCanvas(this.#canvas, l.width, l.height);
    this.#paint(state, ratio);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    context.drawImage(this.#store, 0, 0);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const c = colours();
    this.panel.dataset.arrived = state.analysis.arrived;
    this.#veil(context, c);
    this.#axis(context, c, state);
    this.#outline(context, state.hoverHead, c.ink, 1);
    const open = state.layer === null ? null : state;
    const focused = document.activeElement === this.#scroller && this.#scroller.matches(':focus-visible');
    this.#outline(context, open, c.ink, 2);
    if (focused) this.#outline(context, open ?? { layer: 0, head: 0 }, c.accent, 2, 3.5);
  }

  // A layer appears by the fading of a veil over it.
  #veil(context, c) {
    if (stillness()) return;
    const now = performance.now();
    const l = this.#layout;
    let young = false;
    this.#arrivals.forEach((since, layer) => {
      const age = (now - since) / FADE;
      if (age >= 1) return;
      young = true;
      context.globalAlpha = (1 - age) ** 2;
      context.fillStyle = c.zero;
      for (let head = 0; head < l.heads; head++) {
        const { x, y, size } = cellRect(l, layer, head);
        context.fillRect(x + 1, y + 1, size - 2, size - 2);
      }
    });
    context.globalAlpha = 1;
    if (young) this.#draw();
  }

  #axis(context, c, state) {
    const l = this.#layout;
    context.textAlign = 'center';
    context.textBaseline = 'alphabetic';
    for (let layer = 0; layer < l.layers; layer++) {
      const strong = layer === (state.hoverHead?.layer ?? state.layer);
      if (!strong && layer % 5) continue;
      const near = Math.abs(layer - (state.hoverHead?.layer ?? state.layer ?? -9)) === 1;
      if (!strong && near && l.cell < 20) continue;
      context.fillStyle = strong ? c.ink : c.soft;
      context.font = font(12, strong ? 700 : 400);
      context.fillText(String(layer), l.left + layer * l.pitch + l.cell / 2, l.top - 9);
    }
    const row = state.hoverHead?.head ?? state.head;
    [...this.#labels.children].forEach((label, head) => label.classList.toggle('on', head === row));
  }

  #outline(context, at, colour, width, away = 0) {
    if (!at || at.layer === null || at.layer === undefined) return;
    const { x, y, size } = cellRect(this.#layout, at.layer, at.head);
    context.strokeStyle = colour;
    context.lineWidth = width;
    const d = width / 2 + away - (width > 1 ? 0.5 : 0.5);
    context.strokeRect(x - d, y - d, size + 2 * d, size + 2 * d);
  }

  #describe(state) {
    if (!state.analysis || state.layer === null) return;
    this.#cell.setAttribute('aria-colindex', state.layer + 1);
    this.#cell.setAttribute('aria-rowindex', state.head + 1);
    this.#cell.textContent = describeHead(state, state);
  }
}

export function rangeOf(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const v of values) {
    if (Number.isNaN(v)) continue;
    low = Math.min(low, v);
    high = Math.max(high, v);
  }
  return low <= high ? { low, high } : null;
}
