// A column is one number for every head, under one name: a statistic of this text, a score of the model's probes
// (`probe.repeat.induction`), or what the chosen tokens have to do with each other (`between.weight`, `between.lift`).
// Lists, the grid's colours and the address name columns; only this module knows where each comes from.

import { h } from './dom.js';
import { format, signed } from './format.js';
import { isThin, ROWS_MIN, statistic, STATISTICS } from './statistics.js';

const ASKED = {
  'between.weight': {
    label: 'Weight from one to the other',
    unit: 'share',
    means: 'The weight that goes from the chosen queries to the chosen keys, a mean over the queries.',
  },
  'between.lift': {
    label: 'Lift from one to the other',
    unit: 'lift',
    means: 'That weight without sinks, less what the head gives keys at this distance on ordinary text.',
  },
  'syntax.accuracy': {
    label: 'Right along the relation',
    unit: 'share',
    means: 'How often the head looks most at the right word.',
  },
  'compare.change': {
    label: 'Change',
    unit: 'share',
    means: 'The share of a row\u2019s attention that goes elsewhere in the other text, a mean over the rows that correspond.',
  },
};
const LIFT = /^lift\.([a-z_]{1,30})$/;
const SCORE = /^probe\.([a-z]{1,20})\.([a-z_0-9]{1,40})$/;

// { name, label, unit, means }, or undefined for what is no column.
export function column(name) {
  const lift = LIFT.exec(name);
  if (lift) {
    const of = statistic(lift[1])?.label ?? capital(lift[1]);
    return { name, label: `${of}, beyond habit`, unit: 'lift', means: `${of}: what goes beyond the head\u2019s own habit of distance.` };
  }
  const found = SCORE.exec(name);
  if (!found) return statistic(name) ?? (ASKED[name] && { name, ...ASKED[name] });
  const [, probe, score] = found;
  const words = score.replace(/_/g, ' ');
  return { name, label: `${capital(score)}, ${probe} probe`, unit: 'number', means: `${words} on the ${probe} probe` };
}

const capital = (name) => `${name.charAt(0).toUpperCase()}${name.slice(1).replace(/_/g, ' ')}`;

// The statistic that fits a text: what it has enough rows for.
export function fittingStatistic(analysis) {
  const stats = analysis?.stats[0]?.[0];
  if (!stats) return 'previous_mass_without_sinks';
  if (analysis.section === 'cross') return 'max_weight'; // the others compare places in one text
  if (stats.induction_rows >= 8) return 'induction_mass_without_sinks';
  if (stats.duplicate_rows >= 8) return 'duplicate_mass_without_sinks';
  return 'previous_mass_without_sinks';
}

// Whether the view asks something that every head answers with a number: the list is about it, the grid is lit by it.
export function isAsking(state) {
  if (state.view === 'find') return Boolean(state.to);
  if (state.view === 'compare') return Boolean(state.comparison);
  return state.view === 'syntax' && state.relation !== null;
}

// The column that orders the list.
export function rankOf(state) {
  const asked = state.rank;
  if (state.view === 'compare' && state.comparison) return 'compare.change';
  if (state.view === 'syntax' && state.relation !== null) return 'syntax.accuracy';
  if (state.view === 'find' && state.to) return asked ?? 'between.weight';
  return asked && !ASKED[asked] ? asked : fittingStatistic(state.analysis);
}

// Float64Array [layers * heads], NaN where there is none (yet).
export function valuesOf(state, name) {
  const a = state.analysis;
  const found = SCORE.exec(name);
  const lift = LIFT.exec(name);
  if (!found && !lift && !ASKED[name]) return a.values(name);
  const out = new Float64Array(a.layers * a.heads).fill(NaN);
  const put = (item, value) => {
    if (typeof value === 'number' && item.layer < a.layers && item.head < a.heads) out[item.layer * a.heads + item.head] = value;
  };
  if (lift) for (const item of liftsOf(state)) put(item, item.lifts[lift[1]]?.lift);
  else if (found) for (const item of state.atlas?.heads ?? []) put(item, item.scores?.[`${found[1]}.${found[2]}`]);
  else if (name === 'syntax.accuracy') (state.syntax?.relations[state.relation]?.accuracy ?? []).forEach((v, i) => typeof v === 'number' && (out[i] = v));
  else if (name === 'compare.change') for (const item of state.comparison?.items ?? []) put(item, item.change);
  else for (const item of state.between?.items ?? []) put(item, name === 'between.lift' ? surplus(state.between, item) : item.weight);
  return out;
}

// Lifts are of one analysis; those of another wait to be replaced.
const liftsOf = ({ lifts, analysis }) => (lifts?.id === analysis.id ? lifts.items : []);

// Above what the head's own offset profile predicts; while the model has no profile, above an even spread.
function surplus({ profile }, { weight, uniform, lift }) {
  if (profile) return lift;
  return typeof weight === 'number' && typeof uniform === 'number' ? weight - uniform : null;
}

// Whether so little stands behind a head's number that it is drawn pale.
export function isPale(state, name, layer, head) {
  if (name === 'between.lift') return (state.between?.rows ?? 0) < ROWS_MIN;
  const lift = LIFT.exec(name);
  if (lift) return liftsOf(state)[layer * state.analysis.heads + head]?.lifts[lift[1]]?.grey ?? false;
  if (name.includes('.')) return false;
  return isThin(state.analysis.stats[layer][head], name);
}

// Heads by a column, largest first: [{ layer, head, value }], those of `only` (a test) alone; and the median of all.
export function ranked(state, name, only = () => true) {
  const { heads } = state.analysis;
  const all = [];
  valuesOf(state, name).forEach((value, i) => {
    if (!Number.isNaN(value)) all.push({ layer: Math.floor(i / heads), head: i % heads, value });
  });
  all.sort((a, b) => b.value - a.value);
  const median = all.length ? (all[(all.length - 1) >> 1].value + all[all.length >> 1].value) / 2 : NaN;
  return { items: all.filter(only), median };
}

// A value of a column as people read it.
export function formatColumn(name, value, options) {
  const unit = column(name)?.unit;
  return unit === 'lift' ? signed(value) : format(name, value, options);
}

// The columns that there are for a state, as options of a select, in their groups.
export function columnOptions(state) {
  const groups = new Map();
  const add = (group, name, label) => {
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push(h('option', { value: name }, label));
  };
  if (state.view === 'find' && state.to) for (const name of ['between.weight', 'between.lift']) add('From query to key', name, ASKED[name].label);
  if (state.view === 'syntax' && state.relation !== null) add('Syntax', 'syntax.accuracy', ASKED['syntax.accuracy'].label);
  if (state.view === 'compare' && state.comparison) add('Between the texts', 'compare.change', ASKED['compare.change'].label);
  for (const s of STATISTICS) if (!state.analysis || state.analysis.has(s.name)) add(s.group, s.name, s.label);
  for (const name of Object.keys(liftsOf(state)[0]?.lifts ?? {})) add('Beyond habit (lift)', `lift.${name}`, column(`lift.${name}`).label);
  const scores = Object.keys(state.atlas?.heads?.[0]?.scores ?? {});
  for (const score of scores) add('From probes', `probe.${score}`, column(`probe.${score}`)?.label ?? score);
  return [...groups].map(([label, options]) => h('optgroup', { label }, options));
}
