// What the cells of the grid show for a state: maps, or a number, and how much light falls on each head.

import { column, isAsking, isPale, ranked, rankOf, valuesOf } from './columns.js';
import { rangeOf } from './statistics.js';
import { hasType } from './types.js';

const TOP = 10; // heads that get a frame

// { kind: 'maps', 'groups', 'types' or 'number', key, name }: `key` changes whenever the picture must.
export function painting(state) {
  const light = lightKey(state);
  if (state.view === 'groups' && state.groups) return { kind: 'groups', key: `groups ${state.groups.name} ${light}` };
  if (state.paint === 'types' && state.atlas) return { kind: 'types', key: `types ${state.atlas.version} ${light}` };
  if (!column(state.paint)) return { kind: 'maps', key: `maps ${light}` };
  return { kind: 'number', name: state.paint, key: `${state.paint} ${state.analysis.arrived} ${state.between?.name} ${state.relation} ${state.lifts?.id} ${light}` };
}

function lightKey({ view, to, rank, between, type, atlas, group, comparison, relation }) {
  return [view === 'compare' ? comparison?.name : '', view === 'syntax' ? relation : '', view === 'groups' ? group : '', view === 'find' ? (to ? `${rank} ${between?.name}` : '') : '', type && atlas ? `${type} ${atlas.version}` : ''].join('|');
}

// { values, range, pale(layer, head) } of a number.
export function numbersOf(state, name) {
  const values = valuesOf(state, name);
  return { values, range: rangeOf(values), pale: (layer, head) => isPale(state, name, layer, head) };
}

// How much light falls on each head, 0..1, and which stand at the top: null where all are alike. The heads that answer a
// question keep their maps, the others recede.
export function lightOf(state) {
  const { analysis: a, view, between, type, groups } = state;
  const group = view === 'groups' && groups ? state.group : null;
  const asked = isAsking(state) && (view !== 'find' || between);
  if (!asked && !type && group === null) return null;
  const light = new Float32Array(a.layers * a.heads).fill(asked ? 0 : 1);
  const top = new Set();
  if (asked) {
    const { items } = ranked(state, rankOf(state), (item) => hasType(state, item, type));
    const most = items[0]?.value ?? 0;
    items.forEach(({ layer, head, value }, i) => {
      if (!(most > 0) || value <= 0) return;
      light[layer * a.heads + head] = Math.sqrt(value / most);
      if (i < TOP) top.add(layer * a.heads + head);
    });
  }
  if (group !== null) light.forEach((l, i) => groups.clusters[i] !== group && (light[i] = 0));
  if (type) light.forEach((l, i) => !hasType(state, { layer: Math.floor(i / a.heads), head: i % a.heads }, type) && (light[i] = 0));
  return { light, top };
}
