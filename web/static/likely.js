// Which token of a head's map to show first: what its thumbnail shows best.

import { binOf, binStart } from './layout.js';

// The query that a head's thumbnail shows best: the row whose four brightest cells are brightest together (one bright cell
// says less than two), later ones first where they tie.
export function likelyQuery(a, layer, head) {
  const thumb = a.thumbs[layer];
  if (!thumb) return a.n - 1;
  const { rows, cols, max } = thumb;
  let best = rows - 1;
  let most = -1;
  for (let r = 1; r < rows; r++) {
    const from = (head * rows + r) * cols;
    const top = [...max.subarray(from, from + cols)].sort((x, y) => y - x).slice(0, 4);
    const score = top.reduce((sum, v) => sum + v, 0);
    if (score >= most) [best, most] = [r, score];
  }
  return binStart(best, a.n, rows);
}

// The key that the likely query reads most, by the thumbnail.
export function likelyKey(a, layer, head) {
  const thumb = a.thumbs[layer];
  if (!thumb) return 0;
  const row = binOf(likelyQuery(a, layer, head), a.n, thumb.rows);
  const from = (head * thumb.rows + row) * thumb.cols;
  const line = thumb.max.subarray(from, from + thumb.cols);
  return binStart(line.indexOf(Math.max(...line)), a.keys, thumb.cols);
}
