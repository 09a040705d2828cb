// Heads in order: by a number of this text, of the probes, or between chosen tokens, with the median of all heads beside them:
// a number means nothing alone. In Find the list is long and shows the lift beside the weight.

import { links } from './api.js';
import { column, columnOptions, formatColumn, isAsking, isPale, ranked, rankOf, valuesOf } from './columns.js';
import { h } from './dom.js';
import { signed } from './format.js';
import { ROWS_MIN, statistic } from './statistics.js';
import { hasType } from './types.js';

const LENGTH = { heads: 8, find: 40, compare: 40, syntax: 40 };
const BY = { compare: 'by the share of their attention that goes elsewhere', syntax: 'by how often they look at the right word' };
const MATTERS = 'analysis rank layer head paint view between lifts comparison relation from to atlas type'.split(' ');

// The number that goes with a head in the grid: the one that colours it, else the one of the list.
export function headNumber(state, layer, head) {
  const name = column(state.paint) ? state.paint : rankOf(state);
  const value = valuesOf(state, name)[layer * state.analysis.heads + head];
  return `${column(name).label}: ${formatColumn(name, value, { unit: true })}`;
}

export function describeHead(state, { layer, head }) {
  return `Layer ${layer}, head ${head}. ${headNumber(state, layer, head)}`;
}

// choose(layer, head): open a head
export function watchRanking(store, panel, choose) {
  const select = h('select', { 'aria-label': 'Order heads by', onchange: () => store.set({ rank: select.value }) });
  const list = h('ol', {});
  const heading = h('div', { class: 'pair-heading soft', 'aria-hidden': 'true' }, h('span', {}, 'weight'), h('span', {}, 'lift'));
  const words = h('p', {});
  const title = h('h2', {});
  const table = h('a', { download: true, title: 'Every number of every head', hidden: true }, 'heads.csv');
  panel.append(title, select, heading, list, h('div', { class: 'ranking-foot soft' }, words, table));
  let filled = null;

  store.listen((state, changed) => {
    panel.hidden = !(state.view in LENGTH);
    if (panel.hidden || !changed.has(...MATTERS)) return;
    const a = state.analysis;
    if (!a?.arrived) return void list.replaceChildren();
    const asked = isAsking(state);
    const shape = [state.view, a.model.architecture, a.causal, asked, Boolean(state.atlas), Boolean(state.lifts)].join();
    select.hidden = asked && state.view !== 'find';
    if (filled !== shape) select.replaceChildren(...columnOptions(state));
    filled = shape;
    title.replaceChildren(state.view === 'heads' ? 'Heads that stand out' : 'Heads', h('small', {}, select.hidden ? BY[state.view] : 'on this text, by'));
    table.hidden = !a.done;
    if (a.done) table.href = links.heads(a.where);
    const name = rankOf(state);
    select.value = name;
    const { items, median } = ranked(state, name, (head) => hasType(state, head, state.type));
    const lifts = name === 'between.weight' && state.between ? valuesOf(state, 'between.lift') : null;
    list.classList.toggle('pairs', Boolean(lifts));
    heading.hidden = !lifts;
    heading.lastChild.textContent = state.between?.profile ? 'lift' : 'over even';
    list.replaceChildren(...items.slice(0, LENGTH[state.view]).map((item) => row(state, name, item, items[0].value, lifts)));
    words.textContent = caption(state, name, items, median);
  });

  function row(state, name, { layer, head, value }, most, lifts) {
    const open = layer === state.layer && head === state.head;
    const lift = lifts?.[layer * state.analysis.heads + head];
    return h(
      'li',
      {},
      h(
        'button',
        {
          type: 'button',
          'aria-current': open ? 'true' : null,
          class: isPale(state, name, layer, head) ? 'thin' : null,
          onclick: () => choose(layer, head),
        },
        h('b', {}, `${layer}.${head}`),
        bar(value, most),
        h('span', { class: 'value' }, formatColumn(name, value)),
        lifts && h('span', { class: isPale(state, 'between.lift', layer, head) ? 'lift pale' : 'lift', title: 'Lift' }, signed(lift)),
      ),
    );
  }
}

function bar(value, most) {
  const fill = h('i', {});
  fill.style.width = `${most > 0 ? Math.max(1.5, (100 * Math.max(0, value)) / most) : 0}%`;
  return h('span', { class: 'track', 'aria-hidden': 'true' }, fill);
}

function caption(state, name, items, median) {
  if (name.startsWith('between.') && !state.between) return '';
  if (!items.length) return state.type ? `No ${state.type} head has this number.` : 'This number does not apply to this text.';
  const rows = statistic(name)?.rows;
  const count = rows ? state.analysis.stats[0][0][rows] : 0;
  const thin = rows && count < ROWS_MIN ? ` Only ${count} rows stand behind it.` : '';
  return `Median of all: ${formatColumn(name, median)}.${thin}`;
}
