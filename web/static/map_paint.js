// The inside of the map as pixels: the bytes of the visible tiles gathered into one window, reduced to the screen (the
// largest wins, so that a thin line stays), coloured through the table.

import { binOf } from './layout.js';
import { levelFor, tilesFor } from './map_layout.js';

const TILE = 256;

// what: { analysis, layer, head, tiles (or null), pool, hideSinks, zero }; zero: the byte of no weight, or of no difference. Result: the canvas, painted, size x size device pixels.
export function paintWindow(canvas, size, view, table, what) {
  const { n, keys, side, causal } = what.analysis;
  const level = levelFor(view.span, size, side);
  const unit = 2 ** level;
  const c0 = Math.floor(view.key / unit);
  const r0 = Math.floor(view.query / unit);
  const w = Math.ceil(Math.min(keys, view.key + view.span) / unit) - c0;
  const h = Math.ceil(Math.min(n, view.query + view.span) / unit) - r0;
  const zero = what.zero ?? 0;
  const bytes = new Uint8Array(w * h).fill(zero);
  const wanted = tilesFor(view, level, n, causal, keys);
  for (const tile of wanted) {
    const data = what.tiles?.bytes(tile, what.pool);
    if (data) copyTile(bytes, w, h, c0, r0, tile, data);
    else fillFromThumb(bytes, w, h, c0, r0, tile, unit, what);
  }
  if (what.hideSinks) {
    for (const key of what.analysis.excluded) {
      const x = Math.floor(key / unit) - c0;
      if (x >= 0 && x < w) for (let y = 0; y < h; y++) bytes[y * w + x] = 0;
    }
  }
  reduce(
    canvas,
    size,
    bytes,
    w,
    h,
    axis(size, view.key / unit - c0, view.span / unit, w),
    axis(size, view.query / unit - r0, view.span / unit, h),
    table,
    zero,
  );
}

function copyTile(bytes, w, h, c0, r0, tile, data) {
  const x0 = tile.x * TILE - c0;
  const y0 = tile.y * TILE - r0;
  const from = Math.max(0, -x0);
  const to = Math.min(tile.w, w - x0);
  if (to <= from) return;
  for (let y = Math.max(0, -y0); y < Math.min(tile.h, h - y0); y++) {
    bytes.set(data.subarray(y * tile.w + from, y * tile.w + to), (y0 + y) * w + x0 + from);
  }
}

// Until a tile is here its part shows the thumbnail, enlarged.
function fillFromThumb(bytes, w, h, c0, r0, tile, unit, { analysis, layer, head, pool }) {
  const thumb = analysis.thumbs[layer];
  if (!thumb) return;
  const { rows, cols } = thumb;
  const { n, keys } = analysis;
  const base = head * rows * cols;
  const x0 = Math.max(0, tile.x * TILE - c0);
  const x1 = Math.min(w, tile.x * TILE + tile.w - c0);
  const bins = Int32Array.from({ length: Math.max(0, x1 - x0) }, (_, i) =>
    binOf(Math.min(keys - 1, (c0 + x0 + i) * unit), keys, cols),
  );
  for (let y = Math.max(0, tile.y * TILE - r0); y < Math.min(h, tile.y * TILE + tile.h - r0); y++) {
    const row = base + binOf(Math.min(n - 1, (r0 + y) * unit), n, rows) * cols;
    for (let i = 0; i < bins.length; i++) bytes[y * w + x0 + i] = thumb[pool][row + bins[i]];
  }
}

// For each pixel of the screen the first source pixel and the one after the last.
function axis(size, from, span, limit) {
  const starts = new Int32Array(size + 1);
  for (let i = 0; i <= size; i++) starts[i] = Math.min(limit, Math.floor(from + (i * span) / size + 1e-9));
  return starts;
}

// The byte furthest from `zero` stands for those that share a pixel.
function reduce(canvas, size, bytes, w, h, xs, ys, table, zero) {
  if (canvas.width !== size || canvas.height !== size) Object.assign(canvas, { width: size, height: size });
  const context = canvas.getContext('2d');
  const image = context.createImageData(size, size);
  const pixels = new Uint32Array(image.data.buffer);
  let before = [-1, -1];
  for (let y = 0; y < size; y++) {
    const r0 = Math.min(h - 1, ys[y]);
    const r1 = Math.max(r0 + 1, ys[y + 1]);
    // Enlarged, neighbouring rows are often the same.
    if (r0 === before[0] && r1 === before[1]) {
      pixels.copyWithin(y * size, (y - 1) * size, y * size);
      continue;
    }
    before = [r0, r1];
    for (let x = 0; x < size; x++) {
      const c0 = Math.min(w - 1, xs[x]);
      const c1 = Math.max(c0 + 1, xs[x + 1]);
      let most = zero;
      for (let r = r0; r < r1; r++) {
        for (let c = c0; c < c1; c++) {
          const v = bytes[r * w + c];
          if (Math.abs(v - zero) > Math.abs(most - zero)) most = v;
        }
      }
      pixels[y * size + x] = table[most];
    }
  }
  context.putImageData(image, 0, 0);
}
