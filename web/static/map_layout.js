// The geometry of one head's map: pure functions. A view is the square of tokens that is on screen:
// { key, query, span }, the first key, the first query and how many tokens fit along a side (all may be fractions).

import { clamp } from './layout.js';

const TILE = 256;
const LABEL_PITCH = 8.5; // pixels a token needs before its label fits
const SPAN_MIN = 6;

// Where things stand in a canvas `width` wide: the labels' gutters, the square plot and the two profiles at its far edges.
export function mapLayout(width, n) {
  const narrow = width < 420;
  const gutter = narrow ? 56 : 74;
  const profile = narrow ? 26 : 38;
  const gap = 6;
  const size = Math.max(96, Math.floor(width - gutter - profile - gap));
  return {
    width,
    height: gutter + size + gap + profile,
    x: gutter,
    y: gutter,
    size,
    gap,
    profile,
    right: gutter + size + gap,
    below: gutter + size + gap,
    labelsFit: n * LABEL_PITCH <= size,
  };
}

export function fitView(n) {
  return { key: 0, query: 0, span: Math.max(1, n) };
}

export function clampView(view, n) {
  const span = clamp(view.span, Math.min(SPAN_MIN, n), Math.max(1, n));
  return { span, key: clamp(view.key, 0, n - span), query: clamp(view.query, 0, n - span) };
}

// Zooms by `factor` (above 1: closer) about the point (fx, fy) of the plot, each 0..1.
export function zoomView(view, factor, fx, fy, n) {
  const span = clamp(view.span / factor, Math.min(SPAN_MIN, n), n);
  return clampView(
    {
      span,
      key: view.key + (view.span - span) * fx,
      query: view.query + (view.span - span) * fy,
    },
    n,
  );
}

export function isFitted(view, n) {
  return view.span >= n - 1e-6;
}

// The pyramid level whose pixel is the largest that is not coarser than a pixel of the screen.
export function levelFor(span, pixels, n) {
  const last = Math.ceil(Math.log2(Math.max(1, n)));
  return clamp(Math.floor(Math.log2(Math.max(1, span / pixels)) + 1e-9), 0, last);
}

export function levelSize(n, level) {
  let size = n;
  for (let z = 0; z < level; z++) size = Math.ceil(size / 2);
  return size;
}

// The tiles of a level that a view touches. Causal maps have nothing above the diagonal, so those tiles are not asked for.
export function tilesFor(view, level, n, causal, keys = n) {
  const step = TILE * 2 ** level;
  const [high, wide] = [levelSize(n, level), levelSize(keys, level)];
  const tiles = [];
  for (let y = Math.floor(view.query / step); y * step < Math.min(n, view.query + view.span); y++) {
    for (let x = Math.floor(view.key / step); x * step < Math.min(keys, view.key + view.span); x++) {
      if (causal && x > y) continue;
      const w = Math.min(TILE, wide - x * TILE);
      const h = Math.min(TILE, high - y * TILE);
      if (w > 0 && h > 0) tiles.push({ z: level, x, y, w, h });
    }
  }
  return tiles;
}

// The token under a coordinate of the canvas, or -1 outside the plot.
export function tokenAt(position, start, layout, from, span, n) {
  const t = (position - start) / layout.size;
  if (t < 0 || t >= 1) return -1;
  const i = Math.floor(from + t * span);
  return i >= 0 && i < n ? i : -1;
}

// Round numbers for an axis: the smallest of 1, 2, 5, 10, ... that leaves `room` pixels between neighbours.
export function tickStep(span, pixels, room) {
  const least = (span / pixels) * room;
  for (let base = 1; ; base *= 10) {
    for (const m of [1, 2, 5]) if (base * m >= least) return base * m;
  }
}

export function labelsFit(span, pixels) {
  return pixels / span >= LABEL_PITCH;
}

// The smallest view that holds every cell of a rows x cols map that reaches `share` of its peak, a little air around it;
// null if that is nearly the whole map. Cell (r, c) stands for the queries [r n / rows, (r + 1) n / rows), and for keys likewise.
export function contentView(bytes, offset, rows, cols, n, keys = n, share = 0.35) {
  let peak = 0;
  for (let i = 0; i < rows * cols; i++) peak = Math.max(peak, bytes[offset + i]);
  if (!peak) return null;
  let [r0, r1, c0, c1] = [rows, -1, cols, -1];
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++) {
      if (bytes[offset + r * cols + c] < share * peak) continue;
      [r0, r1, c0, c1] = [Math.min(r0, r), Math.max(r1, r), Math.min(c0, c), Math.max(c1, c)];
    }
  }
  const [high, wide] = [n / rows, keys / cols];
  const span = Math.max((r1 - r0 + 3) * high, (c1 - c0 + 3) * wide);
  if (span > 0.9 * Math.max(n, keys)) return null;
  const middle = (a, b, scale) => ((a + b + 1) / 2) * scale - span / 2;
  return clampView({ key: middle(c0, c1, wide), query: middle(r0, r1, high), span }, Math.max(n, keys));
}
