// Which model reads the text: its name, the precision of its weights and its shape; a click lists all that were found.

import * as api from './api.js';
import { h } from './dom.js';
import { sentence } from './format.js';
import { setUpModelSheet } from './model_sheet.js';

const KEY = 'headscope-model';
const AGAIN = 600; // ms between two looks at a model that is being read

// What is said of results that are not float32 throughout, or not numbers.
function remarks(analysis) {
  return [...(analysis?.warnings ?? []).map((words) => h('span', { class: 'warning', role: 'status' }, words)), ...precision(analysis)];
}

function precision(analysis) {
  if (analysis?.maxWeightError == null) return [];
  const title = 'The largest difference of any weight from float32, measured on a short text';
  return [h('span', { class: 'precision', title }, `${analysis.precision}, weights within ${analysis.maxWeightError.toPrecision(1)}`)];
}

export function setUpModels(store, place) {
  const sheet = setUpModelSheet({
    choose: (id) => {
      remember(id);
      store.set({ model: id });
    },
    look: load,
  });

  store.listen((state, changed) => {
    if (!changed.has('models', 'model', 'analysis', 'phase')) return;
    const models = state.models ?? [];
    // What is drawn names its own model, which need not be here any more.
    const next = models.find((m) => m.id === state.model);
    const shown = state.analysis?.model ?? next;
    sheet.show(models, state.model);
    place.replaceChildren();
    if (!shown && !models.length) return;
    place.append(
      h(
        'button',
        { type: 'button', class: 'plain', 'aria-haspopup': 'dialog', title: 'All models that were found', onclick: () => sheet.open() },
        h('strong', { title: shown?.name }, shown?.id ?? shown?.name ?? 'No usable model'),
      ),
    );
    if (!shown) return;
    if (next && shown.id && next.id !== shown.id) place.append(h('span', {}, `next text: ${next.id}`));
    place.append(
      h('span', {}, shown.dtype ? `${shown.dtype} weights` : ''),
      ...remarks(state.analysis),
      h('span', { class: 'shape' }, `${shown.layers} layers \u00d7 ${shown.heads} heads`),
    );
  });

  let again = 0;
  async function load() {
    clearTimeout(again);
    try {
      const models = await api.models();
      const usable = models.filter((m) => !m.error);
      const { model } = store.state;
      const kept = [model, recall()].find((id) => usable.some((m) => m.id === id));
      const fallback = usable.find((m) => m.default) ?? usable.find((m) => m.causal) ?? usable[0];
      store.set({ models, model: kept ?? fallback?.id ?? null, trouble: null });
      if (models.some((m) => m.loading)) again = setTimeout(load, AGAIN);
    } catch (error) {
      store.set({
        trouble: {
          title: error.kind === 'network' ? 'The server is gone' : 'No models could be listed',
          detail: sentence(error.detail),
          again: true,
        },
      });
    }
  }
  return { load };
}

function recall() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function remember(id) {
  try {
    localStorage.setItem(KEY, id);
  } catch {
    // then the choice lasts as long as the page
  }
}
