// What the colours mean: the ramp with its ends, for weights or for the number that colours the grid.

import { colourAt, css, weightAt } from './colour.js';
import { h } from './dom.js';
import { column, formatColumn, valuesOf } from './columns.js';
import { rangeOf } from './statistics.js';
import { palette } from './theme.js';

const WIDTH = 120;

const ramp = (stops, from) => drawRamp((t) => colourAt(stops, from + (1 - from) * t));

// at(t): the colour at 0..1
export function drawRamp(at) {
  const canvas = h('canvas', { width: WIDTH, height: 1, 'aria-hidden': 'true' });
  const context = canvas.getContext('2d');
  for (let x = 0; x < WIDTH; x++) {
    context.fillStyle = css(at(x / (WIDTH - 1)));
    context.fillRect(x, 0, 1, 1);
  }
  return canvas;
}

export function drawWeightLegend(box, state) {
  box.title = `The middle of the ramp is a weight of ${Number(weightAt(0.5, state.scale).toPrecision(2))}`;
  box.replaceChildren(
    h('span', {}, state.scale === 'log' ? '\u2264 0.0001' : '0'),
    ramp(palette(state).stops, 0),
    h('span', {}, '1'),
  );
}

export function drawLegend(box, state) {
  if (!column(state.paint)) return drawWeightLegend(box, state);
  const range = rangeOf(valuesOf(state, state.paint));
  box.title = column(state.paint).means;
  box.replaceChildren(
    ...(range
      ? [
          h('span', {}, formatColumn(state.paint, range.low)),
          ramp(palette(state).stops, 0.08),
          h('span', {}, formatColumn(state.paint, range.high)),
        ]
      : [h('span', {}, 'does not apply to this text')]),
  );
}
