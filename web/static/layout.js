// Where the heads stand: pure functions of (layers, heads, tokens, width, height). All lengths are CSS pixels.
//
// Layers run left to right as the data does, heads downwards. Where the grid would be taller than about half the window it
// becomes the left half of the page and scrolls, and the head's own view stands beside it; likewise where there are so few layers
// that most of the page's width would stay empty, and then the cells are larger.

const CELL_MIN = 24;
const CELL_MAX = 44;
const CELL_FEW = 60; // where there are few layers
const CELL_PHONE = 27;
const LABELS_LEFT = 30;
const LABELS_TOP = 26;

// `width`: what the grid may take if it stands above the head's view. In the result `side` says that it stands to the left of
// it, `pitch` is a cell and its gap, and `scrolls` that the layers do not fit.
export function gridLayout({ layers, heads, tokens, width, height }) {
  const phone = width < 520;
  let gap = phone ? 2 : 3;
  const room = width - LABELS_LEFT;
  let cell = clamp(Math.floor(room / layers) - gap, CELL_MIN, CELL_MAX);
  if (phone) cell = Math.max(cell, CELL_PHONE);
  let side = false;
  const tall = heads * (cell + gap) + LABELS_TOP;
  const narrow = layers * (CELL_MAX + gap) < 0.45 * room;
  if (!phone && width >= 900 && (tall > 0.62 * height || narrow)) {
    side = true;
    const half = Math.floor(width / 2) - LABELS_LEFT;
    const most = narrow ? clamp(Math.floor((0.72 * height) / heads) - gap, CELL_MAX, CELL_FEW) : CELL_MAX;
    cell = clamp(Math.floor(half / layers) - gap, CELL_MIN, most);
  }
  // A text shorter than the cell has room for shows whole pixels a token, where that costs little.
  if (tokens > 1 && tokens <= cell) {
    const snapped = Math.floor(cell / tokens) * tokens;
    if (snapped >= Math.max(CELL_MIN, 0.86 * cell)) {
      gap += Math.min(5, cell - snapped);
      cell = snapped;
    }
  }
  const pitch = cell + gap;
  return {
    layers,
    heads,
    cell,
    gap,
    pitch,
    side,
    left: LABELS_LEFT,
    top: LABELS_TOP,
    width: LABELS_LEFT + layers * pitch,
    height: LABELS_TOP + heads * pitch,
    scrolls: LABELS_LEFT + layers * pitch > (side ? Math.floor(width / 2) : width) + gap,
  };
}

export function cellRect(layout, layer, head) {
  return { x: layout.left + layer * layout.pitch, y: layout.top + head * layout.pitch, size: layout.cell };
}

// The head under a point, gaps included, or null.
export function cellAt(layout, x, y) {
  const layer = Math.floor((x - layout.left + layout.gap / 2) / layout.pitch);
  const head = Math.floor((y - layout.top + layout.gap / 2) / layout.pitch);
  if (layer < 0 || head < 0 || layer >= layout.layers || head >= layout.heads) return null;
  return { layer, head };
}

// Where an arrow leads from a head. Edges stop; Home and End run along the layers, PageUp and PageDown along the heads.
export function moveHead({ layer, head }, key, { layers, heads }) {
  const to = {
    ArrowLeft: [layer - 1, head],
    ArrowRight: [layer + 1, head],
    ArrowUp: [layer, head - 1],
    ArrowDown: [layer, head + 1],
    Home: [0, head],
    End: [layers - 1, head],
    PageUp: [layer, 0],
    PageDown: [layer, heads - 1],
  }[key];
  if (!to) return null;
  return { layer: clamp(to[0], 0, layers - 1), head: clamp(to[1], 0, heads - 1) };
}

// The first item of bin b where n items are pooled into `bins`: floor(b n / bins), as the thumbnails are.
export function binStart(b, n, bins) {
  return Math.floor((b * n) / bins);
}

// The bin of item i: the inverse of binStart.
export function binOf(i, n, bins) {
  let b = Math.floor((i * bins) / n);
  while (b + 1 < bins && binStart(b + 1, n, bins) <= i) b++;
  while (b > 0 && binStart(b, n, bins) > i) b--;
  return b;
}

// Resamples a rows x cols map of bytes to size x size: the largest where it shrinks (a thin line stays), the nearest where
// it grows. `out` has room for size * size.
export function resample(bytes, offset, rows, cols, size, out) {
  const edge = (a, n) => Math.floor((a * n) / size);
  for (let y = 0; y < size; y++) {
    const r0 = edge(y, rows);
    const r1 = Math.max(r0 + 1, edge(y + 1, rows));
    for (let x = 0; x < size; x++) {
      const c0 = edge(x, cols);
      const c1 = Math.max(c0 + 1, edge(x + 1, cols));
      let most = 0;
      for (let r = r0; r < r1; r++) {
        for (let c = c0; c < c1; c++) {
          const v = bytes[offset + r * cols + c];
          if (v > most) most = v;
        }
      }
      out[y * size + x] = most;
    }
  }
}

export function clamp(x, low, high) {
  return Math.max(low, Math.min(high, x));
}
