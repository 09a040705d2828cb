// Heads that stand out on this text, by one statistic, with the median of all heads beside them: a number means nothing alone.

import { links } from './api.js';
import { h } from './dom.js';
import { format } from './format.js';
import { isThin, ROWS_MIN, statistic, STATISTICS } from './statistics.js';

const LENGTH = 8;

// The statistic that fits a text: what it has enough rows for.
export function fittingStatistic(analysis) {
  const stats = analysis?.stats[0]?.[0];
  if (!stats) return 'previous_mass_without_sinks';
  if (stats.induction_rows >= 8) return 'induction_mass_without_sinks';
  if (stats.duplicate_rows >= 8) return 'duplicate_mass_without_sinks';
  return 'previous_mass_without_sinks';
}

export const rankOf = (state) => state.rank ?? fittingStatistic(state.analysis);

// The number that goes with a head in the grid: the one that colours it, else the one of the list.
export function headNumber(state, layer, head) {
  const name = state.paint === 'maps' ? rankOf(state) : state.paint;
  const stats = state.analysis.stats[layer]?.[head];
  if (!stats) return '';
  return `${statistic(name).label}: ${format(name, stats[name], { unit: true })}`;
}

export function describeHead(state, { layer, head }) {
  return `Layer ${layer}, head ${head}. ${headNumber(state, layer, head)}`;
}

// The statistics that an analysis has, as options of a select, in their groups.
export function statisticOptions(analysis) {
  const groups = new Map();
  for (const s of STATISTICS) {
    if (analysis && !analysis.has(s.name)) continue;
    if (!groups.has(s.group)) groups.set(s.group, []);
    groups.get(s.group).push(h('option', { value: s.name }, s.label));
  }
  return [...groups].map(([label, options]) => h('optgroup', { label }, options));
}

// choose(layer, head): open a head
export function watchRanking(store, panel, choose) {
  const select = h('select', { 'aria-label': 'Order heads by', onchange: () => store.set({ rank: select.value }) });
  const list = h('ol', {});
  const words = h('p', {});
  const table = h('a', { download: true, title: 'Every number of every head', hidden: true }, 'heads.csv');
  panel.append(
    h('h2', {}, 'Heads that stand out', h('small', {}, 'on this text, by')),
    select,
    list,
    h('div', { class: 'ranking-foot soft' }, words, table),
  );
  let filled = null;

  store.listen((state, changed) => {
    if (!changed.has('analysis', 'rank', 'layer', 'head', 'paint')) return;
    const a = state.analysis;
    if (!a?.arrived) return void list.replaceChildren();
    const shape = `${a.model.architecture},${a.causal}`;
    if (filled !== shape) {
      select.replaceChildren(...statisticOptions(a));
      filled = shape;
    }
    table.hidden = !a.done;
    if (a.done) table.href = links.heads(a.id);
    const name = rankOf(state);
    select.value = name;
    const { items, median } = a.ranked(name);
    list.replaceChildren(
      ...items.slice(0, LENGTH).map(({ layer, head, value }) => {
        const open = layer === state.layer && head === state.head;
        const thin = isThin(a.stats[layer][head], name);
        return h(
          'li',
          {},
          h(
            'button',
            {
              type: 'button',
              'aria-current': open ? 'true' : null,
              class: thin ? 'thin' : null,
              onclick: () => choose(layer, head),
            },
            h('b', {}, `${layer}.${head}`),
            bar(value, items[0].value),
            h('span', { class: 'value' }, format(name, value)),
          ),
        );
      }),
    );
    words.textContent = caption(a, name, items, median);
  });
}

function bar(value, most) {
  const fill = h('i', {});
  fill.style.width = `${most > 0 ? Math.max(1.5, (100 * value) / most) : 0}%`;
  return h('span', { class: 'track', 'aria-hidden': 'true' }, fill);
}

function caption(a, name, items, median) {
  if (!items.length) return 'This number does not apply to this text.';
  const rows = statistic(name).rows;
  const count = rows ? a.stats[0][0][rows] : 0;
  const thin = rows && count < ROWS_MIN ? ` Only ${count} rows stand behind it.` : '';
  return `Median of all: ${format(name, median)}.${thin}`;
}
