// Four numbers of the open head, large: what one wants to know first.

import { h } from './dom.js';
import { format, percent } from './format.js';
import { isThin, statistic, whyAbsent } from './statistics.js';

const FIGURES = ['effective_keys', 'entropy', 'mean_distance', 'sink_mass'];
const CAPTIONS = {
  effective_keys: 'keys read, effectively',
  entropy: 'entropy of a row',
  mean_distance: 'tokens back, on average',
  sink_mass: 'of its weight on sinks',
};

// actions: { define(name) }; returns the list, which follows the store
export function figures(store, actions) {
  const list = h('dl', { class: 'figures' });
  store.listen((state, changed) => {
    if (changed.has('analysis', 'layer', 'head')) drawFigures(state);
  });
  return list;

  function drawFigures({ analysis: a, layer, head }) {
    const stats = layer === null ? null : a?.stats[layer]?.[head];
    list.hidden = !stats;
    if (!stats) return;
    list.replaceChildren(
      ...FIGURES.map((name) => {
        const value = stats[name];
        const text = value === null ? '\u2013' : name === 'sink_mass' ? percent(value) : format(name, value, { unit: true });
        return h(
          'div',
          {
            class: isThin(stats, name) ? 'thin' : null,
            title: value === null ? whyAbsent(stats, name) : statistic(name).means,
          },
          h('dd', {}, text),
          h('dt', {}, h('button', { type: 'button', class: 'term', onclick: () => actions.define(name) }, CAPTIONS[name])),
        );
      }),
    );
  }
}
