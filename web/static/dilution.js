// As the text grows: entropy, sink mass and local mass of every head against the position in this text, or against the length of
// the probe's texts. A head that spreads evenly follows ln n; one that does not dilute stays flat.

import * as api from './api.js';
import { colours, h, segments, sizeCanvas } from './dom.js';
import { sentence } from './format.js';
import { drawFrame, drawLine } from './plot.js';

const PLOTS = [
  ['entropy', 'Entropy of a row, in nats', 'Dashed: spread evenly over all it sees, ln n.'],
  ['sink_mass', 'Weight on sinks', ''],
  ['local_mass', 'Weight within 16 tokens', ''],
];
const HEIGHT = 132;
const BOX = { x: 26, y: 8, right: 6, below: 20 };

// The middle of a bin, on the axis' own scale; positions count from 1 there, as keys that can be seen.
const middle = ({ from, to }) => Math.sqrt((from + 1) * to);

export function watchDilution(store, panel) {
  const words = h('p', { class: 'soft' });
  let what = 'text';
  const choice = segments(
    'Curves of',
    [
      ['text', 'This text', 'Against the position of a token in this text'],
      ['probe', 'Length probe', 'Means over ordinary texts of 64, 128 ... tokens'],
    ],
    (v) => {
      what = v;
      draw(store.state);
    },
  );
  const plots = PLOTS.map(([name, title, note]) => ({ name, canvas: h('canvas', { role: 'img', 'aria-label': `${title}, against the position` }), title, note }));
  panel.append(
    h('h2', {}, 'As the text grows', h('small', {}, 'every line a head, on a logarithmic axis')),
    choice,
    words,
    ...plots.map(({ canvas, title, note }) => h('figure', {}, h('figcaption', {}, title, note && h('small', {}, note)), canvas)),
  );
  let wanted = '';
  let found = null;
  new ResizeObserver(() => draw(store.state)).observe(panel);

  store.listen((state, changed) => {
    panel.hidden = state.view !== 'depth' || !state.analysis;
    if (panel.hidden) return;
    if (changed.has('analysis', 'phase', 'view')) ask(state.analysis);
    if (changed.has('analysis', 'view', 'layer', 'head', 'hoverHead', 'theme', 'dilution', 'atlas')) draw(state);
  });

  async function ask(a) {
    const name = a.done ? `${a.id} ${a.section}` : '';
    if (name === wanted) return;
    wanted = name;
    found = null;
    words.textContent = name ? '\u2026' : 'Once all layers are done.';
    if (!name) return;
    try {
      const answer = await api.dilution(a.where);
      if (name !== wanted) return;
      found = answer;
      words.textContent = a.n < 100 ? `${a.n} tokens are few for this: the curves say little past their own length.` : '';
    } catch (error) {
      if (name === wanted) words.textContent = error.status === 404 ? 'This server does not measure this yet.' : sentence(error.detail);
    }
    words.hidden = !words.textContent;
    store.touch('dilution');
  }

  // What is drawn: places along the axis, and for each head a value at each of them.
  function curves({ atlas }) {
    const probed = atlas?.heads.some((head) => head.lengths?.entropy?.some((v) => v !== null));
    choice.hidden = !probed;
    if (!probed) what = 'text';
    choice.choose(what);
    if (what === 'probe') return { xs: atlas.lengths, last: atlas.lengths.at(-1), items: atlas.heads.map((head) => head.lengths) };
    return found && { xs: found.bins.map(middle), last: found.bins.at(-1).to, items: found.items };
  }

  function draw(state) {
    const shown = state.analysis ? curves(state) : null;
    words.hidden = !words.textContent || what === 'probe';
    for (const plot of plots) {
      plot.canvas.parentElement.hidden = !shown;
      if (shown) drawPlot(plot, state, shown);
    }
  }

  function drawPlot({ name, canvas }, state, { xs, last, items }) {
    const width = canvas.parentElement.clientWidth;
    if (width < 80) return;
    const { context } = sizeCanvas(canvas, width, HEIGHT);
    const c = colours();
    context.clearRect(0, 0, width, HEIGHT);
    const box = { x: BOX.x, y: BOX.y, width: width - BOX.x - BOX.right, height: HEIGHT - BOX.y - BOX.below };
    const high = name === 'entropy' ? Math.max(1, Math.log(last)) : 1;
    const point = drawFrame(context, c, box, { x: [what === 'probe' ? xs[0] : 1, last], y: [0, high] });
    const line = (values) => values.map((v, i) => [xs[i], v]);
    const faint = Math.max(0.03, Math.min(0.4, 12 / items.length));
    for (const item of items) drawLine(context, point, line(item[name]), c.soft, 1, faint);
    if (name === 'entropy') {
      context.setLineDash([4, 3]);
      drawLine(context, point, xs.map((x) => [x, Math.log(x)]), c.soft, 1);
      context.setLineDash([]);
    }
    drawLine(context, point, line(means(items, name, xs.length)), c.ink, 2);
    const shown = state.hoverHead ?? (state.layer === null ? null : state);
    const item = shown && items[shown.layer * state.analysis.heads + shown.head];
    if (item) drawLine(context, point, line(item[name]), c.accent, 2.5);
    context.font = `600 11px ${getComputedStyle(document.body).fontFamily}`;
    context.textAlign = 'left';
    if (name !== 'entropy') return;
    context.fillStyle = c.ink;
    context.fillText('mean of all heads', box.x + 6, box.y + 10);
    context.fillStyle = c.accent;
    if (item) context.fillText(`${shown.layer}.${shown.head}`, box.x + 6, box.y + 25);
  }
}

function means(items, name, length) {
  return Array.from({ length }, (_, i) => {
    const known = items.map((item) => item[name][i]).filter((v) => typeof v === 'number');
    return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
  });
}
