// One cell of the grid, painted in device pixels: a map, a number, or the frame that waits for its layer.

import { colourAt, css, inkOn } from './colour.js';
import { format } from './format.js';
import { resample } from './layout.js';
import { isThin } from './statistics.js';

let scratch = { size: 0, image: null, pixels: null, bytes: null };

function room(context, size) {
  if (scratch.size !== size) {
    const image = context.createImageData(size, size);
    scratch = { size, image, pixels: new Uint32Array(image.data.buffer), bytes: new Uint8Array(size * size) };
  }
  return scratch;
}

export function frame(context, { x, y, size }, colour) {
  context.fillStyle = colour;
  context.fillRect(x, y, size, 1);
  context.fillRect(x, y + size - 1, size, 1);
  context.fillRect(x, y, 1, size);
  context.fillRect(x + size - 1, y, 1, size);
}

export function paintWaitingCell(context, box, colours) {
  context.fillStyle = colours.paper;
  context.fillRect(box.x, box.y, box.size, box.size);
  frame(context, box, colours.line);
}

// paint: { context, palette, colours, state, ratio, font, range }
export function paintMapCell(paint, analysis, layer, head, box) {
  const { context, colours, state, ratio } = paint;
  const strip = state.sinks === 'shown' ? Math.max(2, Math.round(box.size / 10)) : 0;
  context.fillStyle = colours.zero;
  context.fillRect(box.x, box.y, box.size, box.size);
  const inner = box.size - 2;
  paintThumb(context, paint.palette, analysis, layer, head, state.pool, { x: box.x + 1, y: box.y + 1, size: inner });
  if (strip)
    paintStrip(context, paint.palette, analysis, layer, head, { x: box.x + 1, y: box.y + 1, width: strip, height: inner });
  if (strip) {
    context.fillStyle = colours.line;
    context.fillRect(box.x + 1 + strip, box.y, Math.max(1, Math.round(ratio / 2)), box.size);
  }
  frame(context, box, colours.line);
}

export function paintThumb(context, palette, analysis, layer, head, pool, { x, y, size }) {
  const thumb = analysis.thumbs[layer];
  const { image, pixels, bytes } = room(context, size);
  resample(thumb[pool], head * thumb.rows * thumb.cols, thumb.rows, thumb.cols, size, bytes);
  for (let i = 0; i < bytes.length; i++) pixels[i] = palette.table[bytes[i]];
  context.putImageData(image, x, y);
}

// What "without sinks" hides: the weight on the excluded keys, row by row, at the left edge where those keys mostly are.
export function paintStrip(context, palette, analysis, layer, head, { x, y, width, height }) {
  const { rows, excluded } = analysis.thumbs[layer];
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < height; i++) {
    const row = Math.min(rows - 1, Math.floor((i * rows) / height));
    pixels.fill(palette.table[excluded[head * rows + row]], i * width, (i + 1) * width);
  }
  context.putImageData(image, x, y);
}

export function paintNumberCell(paint, analysis, layer, head, box) {
  const { context, palette, colours, state, range } = paint;
  const stats = analysis.stats[layer][head];
  const value = stats[state.paint];
  if (typeof value !== 'number' || !range) {
    hatch(context, box, colours);
    return frame(context, box, colours.line);
  }
  const span = range.high - range.low;
  // The lightest colour is the panel's own: start a little above, so that the smallest value is still a cell.
  const colour = colourAt(palette.stops, 0.08 + 0.92 * (span > 0 ? (value - range.low) / span : 0.5));
  context.globalAlpha = isThin(stats, state.paint) ? 0.5 : 1;
  context.fillStyle = css(colour);
  context.fillRect(box.x, box.y, box.size, box.size);
  context.globalAlpha = 1;
  if (box.size < 24 * paint.ratio) return;
  const text = short(state.paint, value);
  context.font = paint.font;
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  context.fillStyle = isThin(stats, state.paint) ? colours.ink : css(inkOn(colour));
  context.fillText(text, box.x + box.size / 2, box.y + box.size / 2 + 1, box.size - 4);
}

function short(name, value) {
  const text = format(name, value);
  return text.replace(/^0\./, '.').replace(/^-0\./, '-.');
}

function hatch(context, { x, y, size }, colours) {
  context.fillStyle = colours.paper;
  context.fillRect(x, y, size, size);
  context.save();
  context.beginPath();
  context.rect(x, y, size, size);
  context.clip();
  context.strokeStyle = colours.edge;
  context.lineWidth = 1;
  context.beginPath();
  for (let d = -size; d < size; d += 6) {
    context.moveTo(x + d, y + size);
    context.lineTo(x + d + size, y);
  }
  context.stroke();
  context.restore();
}
