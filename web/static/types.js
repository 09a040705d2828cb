// What a head is, from the probes of its model: types, several a head, each with its number, its probe and its threshold.

// [{ type, strength, score, threshold, probe, offset? }] of a head; [] where the probes say nothing (yet).
export function typesOf({ atlas }, layer, head) {
  return atlas?.byHead.get(`${layer}.${head}`)?.types ?? [];
}

// Whether a head is of a type; any head is where no type is asked for.
export function hasType(state, { layer, head }, type) {
  return !type || typesOf(state, layer, head).some((t) => t.type === type);
}

// How many heads are of each type: [[type, count], ...], the most frequent first.
export function typeCounts({ atlas }) {
  const counts = new Map();
  for (const { types } of atlas?.heads ?? []) for (const { type } of types) counts.set(type, (counts.get(type) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]);
}
