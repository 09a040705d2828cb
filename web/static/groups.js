// Heads that do the same: clusters, each with its colour in the grid, and all heads on a plane where near means alike.

import * as api from './api.js';
import { CATEGORIES } from './colour.js';
import { h, segments } from './dom.js';
import { percent, sentence } from './format.js';
import { Plane } from './plane.js';

const LISTED = 8; // groups with a colour and a line

// The colour of a group, or null: only the largest, and none of a single head, have one.
export function groupColour(state, group) {
  const { sizes } = state.groups;
  return group < LISTED && sizes[group] > 1 ? CATEGORIES[state.theme][group] : null;
}

// choose(layer, head): open a head
export function watchGroups(store, panel, choose) {
  const by = segments(
    'What heads have in common',
    [
      ['js', 'What they read', 'Jensen-Shannon distance between their rows, without sinks'],
      ['cka', 'What they write', 'Linear CKA between their outputs'],
    ],
    (v) => store.set({ by: v, group: null }),
  );
  const words = h('p', { class: 'soft' });
  const plane = new Plane(store, choose);
  const list = h('ul', { class: 'group-list' });
  panel.append(h('div', { class: 'group-words' }, h('h2', {}, 'Heads that do the same'), by, words, list), plane.figure);
  let wanted = '';

  store.listen((state, changed) => {
    panel.hidden = state.view !== 'groups' || !state.analysis;
    if (panel.hidden) return;
    if (changed.has('analysis', 'phase', 'view', 'by')) ask(state);
    if (!changed.has('groups', 'by', 'group', 'layer', 'head', 'theme', 'hoverHead', 'view')) return;
    by.choose(state.by);
    draw(state);
  });

  async function ask({ analysis: a, by: kind }) {
    const name = a.done ? `${a.id} ${a.section} ${kind}` : '';
    if (name === wanted) return;
    wanted = name;
    store.set({ groups: null });
    words.textContent = name ? 'Comparing every head with every other \u2026' : 'Once all layers are done.';
    if (!name) return;
    try {
      const found = await api.similarity(a.where, kind);
      if (name !== wanted) return;
      const sizes = [];
      for (const group of found.clusters) sizes[group] = (sizes[group] ?? 0) + 1;
      store.set({ groups: { ...found, name, sizes } });
    } catch (error) {
      if (name === wanted) words.textContent = error.status === 404 ? 'This server does not compare heads yet.' : sentence(error.detail);
    }
  }

  function draw(state) {
    const { groups, analysis: a } = state;
    plane.draw(state);
    list.hidden = !groups;
    if (!groups) return;
    const alone = groups.sizes.filter((size) => size === 1).length;
    words.textContent =
      `${groups.cluster_count} groups of ${a.layers * a.heads} heads, ${alone} of them with a single head. ` +
      (state.by === 'js' ? 'Alike in what they read is not yet alike in what they do.' : 'Alike in what they write on this text.');
    list.replaceChildren(
      ...groups.sizes.slice(0, LISTED).flatMap((size, group) => (size > 1 ? [line(state, group, size)] : [])),
      h('li', { class: 'soft' }, `The plane holds ${percent(groups.explained)} of all differences; near is alike, far may be less far than it looks.`),
    );
  }

  function line(state, group, size) {
    const { heads } = state.analysis;
    const swatch = h('i', {});
    swatch.style.background = groupColour(state, group);
    const names = state.groups.clusters.flatMap((g, i) => (g === group ? [`${Math.floor(i / heads)}.${i % heads}`] : []));
    return h(
      'li',
      {},
      h(
        'button',
        {
          type: 'button',
          'aria-pressed': String(state.group === group),
          title: names.join(' '),
          onclick: () => store.set({ group: state.group === group ? null : group }),
        },
        swatch,
        h('b', {}, `${size} heads`),
        h('span', { class: 'soft' }, names.slice(0, 5).join(' ')),
      ),
    );
  }
}
