// What a head is, from the probes of its model: types, several a head, each with its number, its probe and its threshold; and
// what a head of that type does on this text.

import { CATEGORIES } from './colour.js';

// For each type: the statistic that tells what it did here, what is little, and its place among the colours. In order of what
// says most about a head.
const TYPES = {
  induction: { here: 'induction_mass_without_sinks', little: 0.1, colour: 1, means: 'looks at what followed the last time' },
  'anti-induction': { here: 'induction_mass_without_sinks', little: 0.1, colour: 1, means: 'looks at what followed, and lowers it' },
  'previous-token': { here: 'previous_mass_without_sinks', little: 0.3, colour: 0, means: 'looks one token back' },
  duplicate: { here: 'duplicate_mass_without_sinks', little: 0.1, colour: 2, means: 'looks at earlier copies of the same token' },
  positional: { here: 'offset_rate', little: 0.5, colour: 3, means: 'looks at a fixed distance' },
  semantic: { colour: 4, means: 'looks at tokens with a similar embedding' },
  'rare-token': { colour: 4, means: 'looks at the rarest token' },
  separator: { colour: 6, means: 'looks at punctuation and marks' },
  local: { here: 'local_mass_without_sinks', little: 0.5, colour: 5, means: 'looks at its neighbourhood' },
  broad: { colour: 7, means: 'spreads over nearly all it sees' },
  sink: { here: 'sink_mass', little: 0.3, colour: null, means: 'parks on the sinks: dormant on ordinary text' },
};
const ORDER = Object.keys(TYPES);

// [{ type, strength, score, threshold, probe, offset? }] of a head; [] where the probes say nothing (yet).
export function typesOf({ atlas }, layer, head) {
  const types = atlas?.byHead.get(`${layer}.${head}`)?.types ?? [];
  return [...types].sort((a, b) => ORDER.indexOf(a.type) - ORDER.indexOf(b.type));
}

// Whether a head is of a type; any head is where no type is asked for.
export function hasType(state, { layer, head }, type) {
  return !type || !state.atlas || typesOf(state, layer, head).some((t) => t.type === type);
}

// How many heads are of each type: [[type, count], ...], in the order above.
export function typeCounts({ atlas }) {
  const counts = new Map();
  for (const { types } of atlas?.heads ?? []) for (const { type } of types) counts.set(type, (counts.get(type) ?? 0) + 1);
  return [...counts].sort((a, b) => ORDER.indexOf(a[0]) - ORDER.indexOf(b[0]));
}

// [[type, meaning], ...] of all types.
export const typeMeanings = () => ORDER.map((type) => [type, TYPES[type].means]);

export const meaningOf = (type) => TYPES[type]?.means ?? '';

export function typeColour({ theme }, type) {
  const at = TYPES[type]?.colour;
  return at === null || at === undefined ? null : CATEGORIES[theme][at];
}

// What the head does on this text, beside what it is: '0.93 here', 'dormant here'; '' where nothing can be said.
export function hereWords({ analysis }, type, layer, head) {
  const { here, little } = TYPES[type] ?? {};
  const stats = analysis.stats[layer]?.[head];
  if (!here || !stats || !(here in stats)) return '';
  const value = stats[here];
  const rows = { induction: 'induction_rows', 'anti-induction': 'induction_rows', duplicate: 'duplicate_rows' }[type];
  if (rows && stats[rows] === 0) return 'nothing repeats here';
  if (value === null) return 'dormant here';
  if (value < little) return type === 'sink' ? `awake here, ${value.toFixed(2)}` : `dormant here, ${value.toFixed(2)}`;
  return `${value.toFixed(2)} here`;
}
