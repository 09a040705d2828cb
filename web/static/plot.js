// A small chart with logarithmic positions along x: faint lines for all heads, a mean, the open head. Drawing only.

import { font } from './dom.js';
import { tickStep } from './map_layout.js';

// Round positions for a logarithmic axis: 1, 10, 100 ..., with 2 and 5 between where there is room.
export function logTicks(from, to, most = 6) {
  const ticks = [];
  for (let base = 1; base <= to; base *= 10) for (const m of [1, 2, 5]) if (base * m >= from && base * m <= to) ticks.push(base * m);
  return ticks.length > most ? ticks.filter((t) => /^10*$/.test(String(t))) : ticks;
}

// box: { x, y, width, height } of the plot alone. range: { x: [low, high], y: [low, high] }. Result: point(x, y) in pixels.
export function drawFrame(context, c, box, range) {
  const [x0, x1] = range.x.map((v) => Math.log(Math.max(1, v)));
  const [y0, y1] = range.y;
  const point = (x, y) => [
    box.x + ((Math.log(Math.max(1, x)) - x0) / (x1 - x0 || 1)) * box.width,
    box.y + box.height * (1 - (y - y0) / (y1 - y0 || 1)),
  ];
  context.font = font(11);
  context.textBaseline = 'middle';
  context.textAlign = 'right';
  const step = y1 - y0 <= 1 ? 0.5 : tickStep(y1 - y0, box.height, 30);
  for (let y = y0; y <= y1 + 1e-9; y += step) {
    const [, py] = point(range.x[0], y);
    context.fillStyle = c.line;
    context.fillRect(box.x, Math.round(py), box.width, 1);
    context.fillStyle = c.soft;
    context.fillText(String(Number(y.toFixed(2))), box.x - 5, py);
  }
  context.textAlign = 'center';
  context.textBaseline = 'alphabetic';
  for (const x of logTicks(...range.x)) {
    const [px] = point(x, y0);
    context.fillStyle = c.edge;
    context.fillRect(Math.round(px), box.y + box.height, 1, 4);
    context.fillStyle = c.soft;
    context.fillText(x >= 1000 ? `${x / 1000}k` : String(x), px, box.y + box.height + 15);
  }
  return point;
}

// points: [[x, y], ...]; a y that is null breaks the line.
export function drawLine(context, point, points, colour, width, alpha = 1) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.globalAlpha = alpha;
  context.beginPath();
  let pen = false;
  for (const [x, y] of points) {
    if (y === null || y === undefined) {
      pen = false;
      continue;
    }
    const at = point(x, y);
    if (pen) context.lineTo(...at);
    else context.moveTo(...at);
    pen = true;
  }
  context.stroke();
  context.globalAlpha = 1;
}
