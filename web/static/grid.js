// The panel of all heads: where the grid stands, hands and keys on it, and how it scrolls. Its picture is grid_picture.js.

import { parseHead } from './beside.js';
import { h } from './dom.js';
import { GridPicture } from './grid_picture.js';
import { cellAt, cellRect, gridLayout, moveHead } from './layout.js';
import { Preview } from './preview.js';
import { LayerStrips } from './layer_strips.js';
import { describeHead } from './ranking.js';

// The parts of the state that the picture shows.
const MATTERS = 'analysis layer head hoverHead paint sinks scale pool theme view rank between type atlas lifts groups group comparison relation beside'.split(' ');

export class Grid {
  #canvas = h('canvas', { 'aria-hidden': 'true' });
  #picture = new GridPicture(this.#canvas);
  #cell = h('span', { role: 'gridcell', id: 'grid-cell', 'aria-selected': 'true' });
  #labels = h('div', { class: 'grid-rows', 'aria-hidden': 'true' });
  #scroller = h('div', {
    class: 'grid-scroll',
    role: 'grid',
    tabindex: 0,
    'aria-label': 'All heads: layers from left to right, heads downwards',
    'aria-activedescendant': 'grid-cell',
  });
  #hint = h('p', { class: 'grid-hint', 'aria-hidden': 'true' });
  #strips;
  #layout = null;
  #waiting = false; // to be drawn

  // choose(layer, head): open a head; define(name): say what a number means
  constructor(store, panel, choose, define) {
    this.store = store;
    this.panel = panel;
    this.choose = choose;
    this.preview = new Preview(store);
    this.#strips = new LayerStrips(store, define);
    this.#scroller.append(this.#strips.box, this.#labels, this.#canvas, h('span', { role: 'row', class: 'visually-hidden' }, this.#cell));
    panel.append(this.#scroller, this.#hint);
    this.#listen();
    store.listen((state, changed) => this.#changed(state, changed));
  }

  get layout() {
    return this.#layout;
  }
  focus() {
    this.#scroller.focus({ preventScroll: true });
  }

  #listen() {
    const canvas = this.#canvas;
    const at = (event) => this.#layout && cellAt(this.#layout, event.offsetX, event.offsetY);
    canvas.addEventListener('pointermove', (event) => {
      if (event.pointerType !== 'touch') this.#hover(at(event));
    });
    canvas.addEventListener('pointerleave', () => this.#hover(null));
    canvas.addEventListener('click', (event) => {
      const found = at(event);
      if (found) this.#open(found, event.shiftKey || this.store.state.picking);
    });
    this.#scroller.addEventListener('keydown', (event) => {
      const { layer, head, analysis } = this.store.state;
      if (!analysis || event.altKey || event.ctrlKey || event.metaKey) return;
      const second = event.shiftKey ? parseHead(this.store.state.beside, analysis) : null;
      const from = second ?? (layer === null ? { layer: 0, head: 0 } : { layer, head });
      const to = layer === null && event.key.startsWith('Arrow') ? from : moveHead(from, event.key, analysis);
      if (!to) return;
      event.preventDefault();
      this.#open(to, event.shiftKey);
    });
    this.#scroller.addEventListener('scroll', () => this.#hinting());
    this.#scroller.addEventListener('focus', () => this.#draw());
    this.#scroller.addEventListener('blur', () => this.#draw());
    new ResizeObserver(() => this.#measure()).observe(this.panel);
    addEventListener('resize', () => this.#measure()); // its height decides too
  }

  // With Shift, or after the button of the map asked for it, a head opens beside the open one.
  #open({ layer, head }, beside = false) {
    if (!this.store.state.analysis?.thumbs[layer]) return;
    if (beside) return this.store.set({ beside: `${layer}.${head}`, picking: false });
    this.choose(layer, head);
    this.#reveal(layer, head);
  }

  // Scrolls the grid, not the page, until the cell and a neighbour are in sight.
  #reveal(layer, head) {
    const { x, y, size } = cellRect(this.#layout, layer, head);
    const box = this.#scroller;
    if (x - this.#layout.left < box.scrollLeft) box.scrollLeft = x - this.#layout.left - size;
    else if (x + size > box.scrollLeft + box.clientWidth) box.scrollLeft = x + 2 * size - box.clientWidth;
    if (y - this.#layout.top < box.scrollTop) box.scrollTop = y - this.#layout.top - size;
    else if (y + size > box.scrollTop + box.clientHeight) box.scrollTop = y + 2 * size - box.clientHeight;
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
      this.#picture.arrived(state.analysis);
      this.#measure();
    }
    if (changed.has(...MATTERS)) {
      this.#draw();
      this.#describe(state);
    }
  }

  #measure() {
    const a = this.store.state.analysis;
    if (!a?.layers) return;
    const style = getComputedStyle(this.panel);
    const around = document.getElementById('work').clientWidth;
    const inner = this.panel.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const shape = { layers: a.layers, heads: a.heads, tokens: a.n, height: window.innerHeight };
    const side = gridLayout({ ...shape, width: around }).side;
    const layout = side
      ? { ...gridLayout({ ...shape, width: around }), scrolls: true }
      : gridLayout({ ...shape, width: inner });
    const work = document.getElementById('work');
    work.classList.toggle('beside', side);
    work.style.setProperty('--grid', `${layout.width + 24}px`);
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
    this.#labels.replaceChildren(
      ...Array.from({ length: heads }, (_, head) => {
        const label = h('span', {}, String(head));
        label.style.top = `${top + head * pitch}px`;
        label.style.height = `${cell}px`;
        label.style.lineHeight = `${cell}px`;
        return label;
      }),
    );
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

  #draw() {
    if (this.#waiting) return;
    this.#waiting = true;
    this.store.soon(() => {
      this.#waiting = false;
      this.#drawNow();
    });
  }

  #drawNow() {
    const { state } = this.store;
    if (!state.analysis || !this.#layout) return;
    const focused = document.activeElement === this.#scroller && this.#scroller.matches(':focus-visible');
    this.#strips.draw(state, this.#layout);
    if (this.#picture.draw(state, this.#layout, focused)) this.#draw();
    const row = state.hoverHead?.head ?? state.head;
    [...this.#labels.children].forEach((label, head) => label.classList.toggle('on', head === row));
    this.panel.dataset.arrived = state.analysis.arrived;
  }

  #describe(state) {
    if (!state.analysis || state.layer === null) return;
    this.#cell.setAttribute('aria-colindex', state.layer + 1);
    this.#cell.setAttribute('aria-rowindex', state.head + 1);
    this.#cell.textContent = describeHead(state, state);
  }
}
