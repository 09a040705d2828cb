// Colours of weights: pure functions from numbers to colours. Nothing here knows the page.
//
// A weight travels as a byte, v = round(255 sqrt(weight)). A view looks bytes up in a table of 256 colours, made once for
// each ramp and scale. The first colour of a ramp is the panel's own, so that zero is empty.

export const RAMPS = {
  light: ['#ffffff', '#d6e3f4', '#78a4d6', '#265ca6', '#091a46'],
  dark: ['#0b0c10', '#182c4e', '#2f62a3', '#78b6eb', '#f0f9ff'],
};

// For things that have no order (groups and types of heads): told apart by people who see colours differently, too (after Paul
// Tol's muted scheme, without its blue and its orange, which mean keys and queries).
export const CATEGORIES = {
  light: ['#44aa99', '#cc6677', '#bba21f', '#aa4499', '#117733', '#7fbbd8', '#882255', '#8a8a2a'],
  dark: ['#5ec9b6', '#e58896', '#ddcc77', '#cf74c0', '#4fae6a', '#88ccee', '#c9668f', '#b8b85c'],
};

export const SCALES = ['sqrt', 'linear', 'log'];

// The log scale spans this many powers of ten below 1.
export const LOG_DECADES = 4;

export function parseHex(hex) {
  const n = parseInt(hex.slice(1), 16);
  return [n >> 16, (n >> 8) & 255, n & 255];
}

// Where a weight of 0..1 lies on a scale, 0..1.
export function unitOf(weight, scale) {
  if (!(weight > 0)) return 0;
  const w = Math.min(1, weight);
  if (scale === 'linear') return w;
  if (scale === 'log') return Math.max(0, 1 + Math.log10(w) / LOG_DECADES);
  return Math.sqrt(w);
}

// The weight that lies at t on a scale: the inverse of unitOf, for legends.
export function weightAt(t, scale) {
  if (scale === 'linear') return t;
  if (scale === 'log') return 10 ** ((t - 1) * LOG_DECADES);
  return t * t;
}

// The colour at t (0..1) of a ramp, as [r, g, b].
export function colourAt(stops, t) {
  const x = Math.min(1, Math.max(0, t)) * (stops.length - 1);
  const i = Math.min(stops.length - 2, Math.floor(x));
  const a = parseHex(stops[i]);
  const b = parseHex(stops[i + 1]);
  return a.map((v, k) => Math.round(v + (b[k] - v) * (x - i)));
}

// 256 colours for the bytes of tiles and thumbnails, each one little-endian RGBA in a 32-bit number.
export function byteTable(stops, scale) {
  const table = new Uint32Array(256);
  for (let v = 0; v < 256; v++) {
    const [r, g, b] = colourAt(stops, unitOf((v / 255) ** 2, scale));
    table[v] = ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  }
  return table;
}

export function css([r, g, b]) {
  return `rgb(${r} ${g} ${b})`;
}

// Differences, -1..1: purple where there is less, green where there is more, the panel's own colour where nothing changes (told
// apart by people who see colours differently, too; after ColorBrewer's PRGn).
const DIVERGING = {
  light: [['#ffffff', '#c2a5cf', '#762a83', '#40004b'], ['#ffffff', '#a6dba0', '#1b7837', '#00441b']],
  dark: [['#0b0c10', '#58306a', '#b27cc4', '#efd9f5'], ['#0b0c10', '#1c5a31', '#5fb877', '#d6f5d6']],
};

export function divergingAt(theme, t) {
  return colourAt(DIVERGING[theme][t < 0 ? 0 : 1], Math.abs(t));
}

// For the bytes of difference tiles: 128 + round(127 sign(d) sqrt(|d|)).
export function divergingTable(theme) {
  return Uint32Array.from({ length: 256 }, (_, v) => {
    const [r, g, b] = divergingAt(theme, Math.max(-1, (v - 128) / 127));
    return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  });
}

// Relative luminance of WCAG 2, 0..1.
export function luminance(rgb) {
  const [r, g, b] = rgb.map((v) => {
    const x = v / 255;
    return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

export function contrast(a, b) {
  const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p);
  return (x + 0.05) / (y + 0.05);
}

// Black or white, whichever reads better on a colour.
export function inkOn(rgb) {
  return luminance(rgb) > 0.19 ? [16, 17, 20] : [255, 255, 255];
}
