// Every number of the open head, with what it means and where the head stands among all heads of this text.

import { liftOf } from './atlas.js';
import { colours, h, sizeCanvas } from './dom.js';
import { format, signed } from './format.js';
import { isThin, statistic, STATISTICS, whyAbsent } from './statistics.js';

const STRIP = 12; // height of a strip

// actions: { define(name) }
export function watchNumbers(store, panel, actions) {
  const title = h('h2', {});
  const groups = h('div', { class: 'number-groups' });
  panel.append(
    title,
    h(
      'p',
      { class: 'soft' },
      'A strip is all heads on this text, from the lowest to the highest value; the tall tick is this one.',
    ),
    groups,
  );
  let strips = [];
  // All widths are read before the first strip is drawn: else the page would be laid out anew for each.
  const draw = () => {
    const widths = strips.map(({ canvas }) => canvas.parentElement?.clientWidth ?? 0);
    const c = colours();
    strips.forEach((strip, i) => drawStrip(strip, widths[i], c));
  };

  store.listen((state, changed) => {
    if (changed.has('analysis', 'layer', 'head', 'paint', 'lifts')) fill(state);
    else if (changed.has('theme')) draw();
  });
  new ResizeObserver(draw).observe(groups);

  function fill(state) {
    const { analysis: a, layer, head } = state;
    const stats = layer === null ? null : a?.stats[layer]?.[head];
    panel.hidden = !stats;
    if (!stats) return;
    title.textContent = `Numbers of ${layer}.${head}`;
    strips = [];
    const byGroup = new Map();
    const twins = new Set(STATISTICS.map((s) => s.twin));
    for (const s of STATISTICS) {
      if (!(s.name in stats) || s.unit === 'rows' || twins.has(s.name)) continue;
      if (!byGroup.has(s.group)) byGroup.set(s.group, []);
      byGroup.get(s.group).push(entry(state, stats, s));
    }
    groups.replaceChildren(...[...byGroup].map(([name, entries]) => h('section', {}, h('h3', {}, name), entries)));
    draw();
  }

  function entry(state, stats, s) {
    const twin = s.twin && s.twin in stats ? statistic(s.twin) : null;
    const known = typeof stats[s.name] === 'number';
    const rows = s.rows && known ? ` ${stats[s.rows]} rows.` : '';
    const meaning = known ? s.means + rows : `Does not apply here: ${whyAbsent(stats, s.name)}.`;
    const lift = known ? liftOf(state, s.name, state.layer, state.head) : null;
    return h(
      'div',
      { class: 'number' },
      line(state, stats, s, s.label),
      twin && known && line(state, stats, twin, 'without sinks'),
      lift && liftLine(lift),
      h('p', {}, meaning),
    );
  }

  // What the head does beyond its own habit of distance, with the interval that its rows leave open.
  function liftLine({ lift, low, high, grey }) {
    const range = typeof low === 'number' ? h('span', {}, `${signed(low)} to ${signed(high)}`) : '';
    return h(
      'div',
      { class: grey ? 'number-line lifted thin' : 'number-line lifted' },
      h('button', { type: 'button', class: 'term', title: 'What this means', onclick: () => actions.define('lift') }, 'lift'),
      h('b', {}, signed(lift)),
      range,
    );
  }

  // A name, the strip of all heads, the value; the strip is also the button that colours the grid.
  function line(state, stats, s, words) {
    const value = stats[s.name];
    const absent = typeof value !== 'number';
    const all = state.analysis.values(s.name);
    const canvas = h('canvas', { 'aria-hidden': 'true' });
    strips.push({ canvas, all, value });
    const painted = state.paint === s.name;
    const words2 = absent ? `${whyAbsent(stats, s.name)}. ` : place(all, value);
    return h(
      'div',
      { class: ['number-line', (absent || isThin(stats, s.name)) && 'thin'].filter(Boolean).join(' ') },
      h('button', { type: 'button', class: 'term', title: 'What this means', onclick: () => actions.define(s.name) }, words),
      h('b', {}, format(s.name, value, { unit: true })),
      h(
        'button',
        {
          type: 'button',
          class: 'strip',
          'aria-pressed': String(painted),
          'aria-label': `Colour all heads by ${s.label}. ${words2}`,
          title: `${words2}${painted ? 'Show the maps again' : 'Colour all heads by this number'}`,
          onclick: () => store.set({ paint: painted ? 'maps' : s.name }),
        },
        canvas,
      ),
    );
  }

  function place(all, value) {
    const known = all.filter((v) => !Number.isNaN(v));
    return `Rank ${1 + known.filter((v) => v > value).length} of ${known.length}. `;
  }
}

function drawStrip({ canvas, all, value }, width, c) {
  if (width < 20) return;
  const { context } = sizeCanvas(canvas, width, STRIP);
  context.clearRect(0, 0, width, STRIP);
  const known = all.filter((v) => !Number.isNaN(v));
  const low = known.reduce((a, b) => Math.min(a, b), Infinity);
  const span = known.reduce((a, b) => Math.max(a, b), -Infinity) - low || 1;
  const x = (v) => 1 + ((v - low) / span) * (width - 4);
  context.fillStyle = c.line;
  context.fillRect(0, STRIP - 1, width, 1);
  context.fillStyle = c.soft;
  context.globalAlpha = 0.35;
  for (const v of known) context.fillRect(x(v), 5, 1, STRIP - 6);
  context.globalAlpha = 1;
  if (typeof value !== 'number') return;
  context.fillStyle = c.ink;
  context.fillRect(x(value) - 0.5, 0, 2.5, STRIP);
}
