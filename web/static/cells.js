// One cell of the grid, painted in device pixels: a map, a number, or the frame that waits for its layer.

import { colourAt, css, inkOn } from './colour.js';
import { formatColumn } from './columns.js';
import { resample } from './layout.js';

let scratch = { size: 0, image: null, pixels: null, bytes: null };

function room(context, size) {
  if (scratch.size !== size) {
    const image = context.createImageData(size, size);
    scratch = { size, image, pixels: new Uint32Array(image.data.buffer), bytes: new Uint8Array(size * size) };
  }
  return scratch;
}

export function frame(context, { x, y, size }, colour, width = 1) {
  context.fillStyle = colour;
  context.fillRect(x, y, size, width);
  context.fillRect(x, y + size - width, size, width);
  context.fillRect(x, y, width, size);
  context.fillRect(x + size - width, y, width, size);
}

export function paintWaitingCell(context, box, colours) {
  context.fillStyle = colours.paper;
  context.fillRect(box.x, box.y, box.size, box.size);
  frame(context, box, colours.line);
}

// paint: { context, palette, colours, state, ratio, font }, for numbers also { name, values, range, pale }
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
  const { context, palette, colours, name, range } = paint;
  const value = paint.values[layer * analysis.heads + head];
  const pale = paint.pale(layer, head);
  if (Number.isNaN(value) || !range) {
    hatch(context, box, colours);
    return frame(context, box, colours.line);
  }
  const span = range.high - range.low;
  // The lightest colour is the panel's own: start a little above, so that the smallest value is still a cell.
  const colour = colourAt(palette.stops, 0.08 + 0.92 * (span > 0 ? (value - range.low) / span : 0.5));
  context.globalAlpha = pale ? 0.5 : 1;
  context.fillStyle = css(colour);
  context.fillRect(box.x, box.y, box.size, box.size);
  context.globalAlpha = 1;
  if (box.size < 24 * paint.ratio) return;
  const text = short(name, value);
  context.font = paint.font;
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  context.fillStyle = pale ? colours.ink : css(inkOn(colour));
  context.fillText(text, box.x + box.size / 2, box.y + box.size / 2 + 1, box.size - 4);
}

// What a map has in common with others: its ground takes a colour, its pattern stays. null: nothing in common.
export function paintTint({ context, state }, box, colour) {
  if (!colour) return;
  context.globalCompositeOperation = state.theme === 'dark' ? 'screen' : 'multiply';
  context.globalAlpha = state.theme === 'dark' ? 0.34 : 0.45;
  context.fillStyle = colour;
  context.fillRect(box.x, box.y, box.size, box.size);
  context.globalCompositeOperation = 'source-over';
  context.globalAlpha = 1;
  frame(context, box, colour);
}

// A head that answers a question keeps its light, and a frame if it stands at the top; the others recede.
export function paintShade({ context, colours, ratio }, box, light, top) {
  context.globalAlpha = 0.86 * (1 - light);
  context.fillStyle = colours.panel;
  context.fillRect(box.x, box.y, box.size, box.size);
  context.globalAlpha = 1;
  if (top) frame(context, box, colours.soft, Math.max(1, Math.round(ratio)));
}

function short(name, value) {
  const text = formatColumn(name, value);
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
