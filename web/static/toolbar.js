// Above the grid: what the cells show, on which scale, with or without sinks, and what is hidden, as a number in words.

import { SCALES } from './colour.js';
import { h, segments } from './dom.js';
import { percent } from './format.js';
import { drawLegend } from './legend.js';
import { statisticOptions } from './ranking.js';

export function watchToolbar(store, bar) {
  const numbers = h('select', {
    'aria-label': 'Number that colours the heads',
    onchange: () => store.set({ paint: numbers.value }),
  });
  let lastNumber = 'entropy_normalised';
  const what = segments(
    'Show',
    [
      ['maps', 'Maps'],
      ['numbers', 'Numbers'],
    ],
    (v) => store.set({ paint: v === 'maps' ? 'maps' : lastNumber }),
  );
  const sinks = segments(
    'Sinks',
    [
      ['hidden', 'Without sinks'],
      ['shown', 'With sinks'],
    ],
    (v) => store.set({ sinks: v }),
  );
  const scale = segments(
    'Scale',
    SCALES.map((s) => [s, s]),
    (v) => store.set({ scale: v }),
  );
  const pool = segments(
    'Pooling',
    [
      ['max', 'Peaks', 'A pixel shows the largest weight it covers'],
      ['mean', 'Means', 'A pixel shows the mean of the weights it covers'],
    ],
    (v) => store.set({ pool: v }),
  );
  const hidden = h('p', { class: 'hidden-mass' });
  const legend = h('div', { class: 'legend' });
  bar.append(
    h('h2', { id: 'heads-title' }, 'All heads'),
    what,
    numbers,
    sinks,
    hidden,
    h('span', { class: 'spring' }),
    scale,
    pool,
    legend,
  );
  let filled = null;

  store.listen((state, changed) => {
    if (!changed.has('analysis', 'paint', 'sinks', 'scale', 'pool', 'theme', 'phase')) return;
    const a = state.analysis;
    if (!a) return;
    const maps = state.paint === 'maps';
    if (!maps) lastNumber = state.paint;
    if (a.arrived && filled !== a.causal) {
      numbers.replaceChildren(...statisticOptions(a));
      filled = a.causal;
    }
    what.choose(maps ? 'maps' : 'numbers');
    sinks.choose(state.sinks);
    scale.choose(state.scale);
    pool.choose(state.pool);
    numbers.hidden = maps;
    if (!maps) numbers.value = state.paint;
    scale.hidden = sinks.hidden = hidden.hidden = !maps;
    pool.hidden = !maps || a.n <= 48;
    hidden.replaceChildren(...hiddenWords(a, state.sinks));
    drawLegend(legend, state);
  });
}

function hiddenWords(a, sinks) {
  const share = a.hiddenMass();
  if (Number.isNaN(share)) return [];
  const who =
    a.excluded.length === 0 ? null : a.excluded.length === 1 ? 'The first token holds' : `${a.excluded.length} sinks hold`;
  if (!who) return ['Nothing is left out.'];
  return [
    `${who} `,
    h('b', {}, percent(share)),
    sinks === 'hidden' ? ' of all attention, hidden here' : ' of all attention: the strip in each cell',
  ];
}
