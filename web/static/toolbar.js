// Above the grid: what the cells show, on which scale, with or without sinks, and what is hidden, as a number in words.

import { SCALES } from './colour.js';
import { h, segments } from './dom.js';
import { percent } from './format.js';
import { drawLegend } from './legend.js';
import { statistic } from './statistics.js';
import { column, columnOptions, isAsking, rankOf } from './columns.js';

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
      ['types', 'Types', 'What the heads are, by the model\u2019s probes'],
    ],
    (v) => store.set({ paint: v !== 'numbers' ? v : isAsking(store.state) ? rankOf(store.state) : lastNumber }),
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
  const poolWords = h('p', {}, 'A pixel of a long text stands for several weights');
  const pool = segments(
    'Pooling',
    [
      ['max', 'Peaks', 'A pixel shows the largest weight it covers'],
      ['mean', 'Means', 'A pixel shows the mean of the weights it covers'],
    ],
    (v) => store.set({ pool: v }),
  );
  // How weights become colours: seldom changed, so out of the way.
  const drawing = h(
    'details',
    { class: 'drawing' },
    h('summary', { class: 'plain small' }, 'Drawing'),
    h('div', { class: 'panel' }, h('p', {}, 'A colour stands for a weight on this scale'), scale, poolWords, pool),
  );
  addEventListener('pointerdown', (event) => drawing.contains(event.target) || (drawing.open = false));
  drawing.addEventListener('keydown', (event) => event.key === 'Escape' && (drawing.open = false));
  const hidden = h('p', { class: 'hidden-mass' });
  const legend = h('div', { class: 'legend' });
  bar.append(
    h('h2', { id: 'heads-title', class: 'visually-hidden' }, 'All heads'),
    what,
    numbers,
    sinks,
    hidden,
    h('span', { class: 'spring' }),
    legend,
    drawing,
  );
  let filled = null;

  store.listen((state, changed) => {
    if (!changed.has('analysis', 'paint', 'sinks', 'scale', 'pool', 'theme', 'phase', 'view', 'to', 'atlas', 'between', 'comparison', 'relation', 'lifts')) return;
    const a = state.analysis;
    if (!a) return;
    const maps = !column(state.paint);
    if (!maps && statistic(state.paint)) lastNumber = state.paint;
    const shape = [a.causal, Boolean(state.atlas), Boolean(state.lifts), state.view, isAsking(state)].join();
    if (a.arrived && filled !== shape) {
      numbers.replaceChildren(...columnOptions(state));
      filled = shape;
    }
    what.choose(!maps ? 'numbers' : state.paint === 'types' && state.atlas ? 'types' : 'maps');
    what.lastChild.hidden = !state.atlas;
    sinks.choose(state.sinks);
    scale.choose(state.scale);
    pool.choose(state.pool);
    numbers.hidden = maps;
    if (!maps) numbers.value = state.paint;
    drawing.hidden = sinks.hidden = hidden.hidden = !maps;
    pool.hidden = poolWords.hidden = a.n <= 48;
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
