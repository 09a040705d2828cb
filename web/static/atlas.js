// What the probes have found about the model's heads: asked for once a model, and again while probes run. Kept in the store as
// `atlas`, and what lifts need of it as `lifts`.

import * as api from './api.js';

const AGAIN = 4000; // ms between looks while probes run
const LATER = 15000; // while they have not begun

export function watchAtlas(store) {
  let model = null;
  let timer = 0;
  let lifted = '';

  store.listen((state, changed) => {
    if (!changed.has('analysis', 'phase', 'atlas', 'models')) return;
    const a = state.analysis;
    if (!a?.done) return;
    const there = state.models?.some((m) => m.id === a.model.id && !m.error) ? a.model.id : null;
    if (there !== model) {
      model = there;
      clearTimeout(timer);
      store.set({ atlas: null });
      if (model) ask(model);
    }
    lift(state);
  });

  async function ask(name) {
    clearTimeout(timer);
    try {
      const found = await api.atlas(name);
      if (name !== model) return;
      const byHead = new Map(found.heads.map((head) => [`${head.layer}.${head.head}`, head]));
      store.set({ atlas: { ...found, byHead, version: found.progress.done } });
      const { done, total, running } = found.progress;
      if (done < total) timer = setTimeout(() => (document.hidden ? again(name) : ask(name)), running ? AGAIN : LATER);
    } catch {
      if (name === model) store.set({ atlas: null }); // the model is not there any more: the page does without
    }
  }

  const again = (name) => (timer = setTimeout(() => ask(name), AGAIN));

  // Lifts stand on the natural probe.
  async function lift({ analysis: a, atlas }) {
    const ready = atlas?.probes.some((p) => p.name === 'natural' && p.state === 'done') && atlas.model === a.model.id;
    const name = ready && !a.section ? a.id : '';
    if (name === lifted) return;
    lifted = name;
    store.set({ lifts: null });
    if (!name) return;
    try {
      const found = await api.lifts(name);
      if (name === lifted) store.set({ lifts: { id: name, items: found.items } });
    } catch {
      // numbers are shown without their lift
    }
  }
}

// The lift of a statistic of a head: { rows, expected, lift, low, high, grey }, or null.
export function liftOf({ lifts, analysis }, name, layer, head) {
  const found = lifts?.id === analysis?.id ? lifts?.items[layer * analysis.heads + head]?.lifts[name] : null;
  return typeof found?.lift === 'number' ? found : null;
}
