// One head's map on one canvas: the plot, what is chosen in it, labels or ticks along the near edges, profiles along the far
// ones. Geometry is map_layout.js, pixels are map_paint.js, hands are map_input.js.

import { parseSpan } from './between.js';
import { colours, h, sizeCanvas } from './dom.js';
import { drawAxes, drawProfiles } from './map_axes.js';
import { drawBands } from './map_bands.js';
import { drawBeyond, drawOutlines, drawUnseen } from './map_marks.js';
import { clampView, contentView, fitView, isFitted, mapLayout, zoomView } from './map_layout.js';
import { listenToMap } from './map_input.js';
import { paintWindow } from './map_paint.js';
import { chosen } from './open_head.js';
import { palette } from './theme.js';

const WIDTH_MAX = 620;

export class HeadMap {
  canvas = h('canvas', {
    class: 'map-canvas',
    tabindex: 0,
    role: 'img',
    'aria-label': 'Attention map: queries downwards, keys from left to right',
  });
  #inside = document.createElement('canvas');
  #painted = '';
  #waiting = false; // to be drawn
  view = fitView(1);
  layout = null;

  // place: the element that holds the canvas; onView(): the view has changed
  constructor(store, place, onView) {
    this.store = store;
    this.place = place;
    this.onView = onView;
    place.append(this.canvas);
    listenToMap(this);
    new ResizeObserver(() => this.#measure()).observe(place);
    store.listen((state, changed) => {
      if (changed.has('analysis') && this.analysis !== state.analysis) {
        this.analysis = state.analysis;
        if (state.analysis) this.setView(fitView(state.analysis.side));
      }
      this.draw();
    });
  }

  #measure() {
    const width = Math.min(WIDTH_MAX, this.place.clientWidth);
    if (width < 120) return;
    this.layout = mapLayout(width, this.analysis?.side ?? 1);
    Object.assign(this.canvas.dataset, { x: this.layout.x, y: this.layout.y, size: this.layout.size });
    this.draw();
  }

  setView(view) {
    if (!this.analysis) return;
    this.view = clampView(view, this.analysis.side);
    // A finger on the whole map scrolls the page, on a part of it moves the part.
    this.canvas.style.touchAction = this.fitted ? 'pan-y' : 'none';
    this.onView();
    this.draw();
  }

  get fitted() {
    return !this.analysis || isFitted(this.view, this.analysis.side);
  }
  fit() {
    this.setView(fitView(this.analysis.side));
  }
  zoom(factor, fx = 0.5, fy = 0.5) {
    this.setView(zoomView(this.view, factor, fx, fy, this.analysis.side));
  }

  // The view around what this head reads most, or null where that is the whole map.
  content() {
    const { layer, head, pool } = this.store.state;
    const thumb = this.analysis?.thumbs[layer];
    if (!thumb) return null;
    return contentView(thumb[pool], head * thumb.rows * thumb.cols, thumb.rows, thumb.cols, this.analysis.n, this.analysis.keys);
  }

  // Brings a token into view, if it is not.
  reveal(query, key) {
    const v = { ...this.view };
    if (query !== null && (query < v.query || query + 1 > v.query + v.span)) v.query = query - v.span / 2;
    if (key !== null && (key < v.key || key + 1 > v.key + v.span)) v.key = key - v.span / 2;
    if (v.query !== this.view.query || v.key !== this.view.key) this.setView(v);
  }

  draw() {
    if (this.#waiting) return;
    this.#waiting = true;
    this.store.soon(() => {
      this.#waiting = false;
      this.#drawNow();
    });
  }

  #drawNow() {
    const { state } = this.store;
    const { layout: l, analysis: a } = this;
    if (!l || !a || state.layer === null || !a.pieces.length) return;
    const { context, ratio } = sizeCanvas(this.canvas, l.width, l.height);
    const c = colours();
    context.clearRect(0, 0, l.width, l.height);
    this.#paint(state, Math.round(l.size * ratio));
    context.fillStyle = c.zero;
    context.fillRect(l.x, l.y, l.size, l.size);
    context.drawImage(this.#inside, l.x, l.y, l.size, l.size);
    if (a.causal) drawUnseen(context, c, l, this.view);
    else if (a.n !== a.keys) drawBeyond(context, c, l, this.view, a);
    context.strokeStyle = c.line;
    context.lineWidth = 1;
    context.strokeRect(l.x - 0.5, l.y - 0.5, l.size + 1, l.size + 1);
    drawBands(context, c, l, this.view, a);
    const focus = this.#focus(state);
    drawOutlines(context, c, l, this.view, a, focus);
    drawAxes(context, c, l, this.view, a, focus);
    drawProfiles(context, c, l, this.view, a, state, focus);
  }

  // Which row and column are outlined: what the pointer is on, else what is chosen.
  #focus(state) {
    const token = chosen(state);
    const reads = state.side === 'reads';
    const asked = state.view === 'find' ? (parseSpan(state.to, this.analysis.keys)?.[0] ?? null) : null;
    return {
      query: state.hoverQuery ?? (reads ? token : null),
      key: state.hoverKey ?? (reads ? asked : token),
      pinned: reads ? state.query : null,
    };
  }

  #paint(state, size) {
    const { table, name } = palette(state);
    const { layer, head, pool, open } = state;
    const v = this.view;
    const key = [
      name,
      this.analysis.section,
      layer,
      head,
      pool,
      state.sinks,
      size,
      v.key,
      v.query,
      v.span,
      open ? open.tiles.version : -1,
      this.analysis.id,
      this.analysis.arrived > layer,
    ].join();
    if (key === this.#painted) return;
    this.#painted = key;
    const mine = open && open.layer === layer && open.head === head;
    paintWindow(this.#inside, size, v, table, {
      analysis: this.analysis,
      layer,
      head,
      pool,
      tiles: mine ? open.tiles : null,
      hideSinks: state.sinks === 'hidden',
      zero: state.diverging ? 128 : 0,
    });
  }
}
