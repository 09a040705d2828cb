// Which model reads the text: its name, the precision of its weights and its shape; a choice where there are several.

import * as api from './api.js';
import { h } from './dom.js';
import { sentence } from './format.js';

const KEY = 'headscope-model';

export function setUpModels(store, place) {
  const select = h('select', {
    'aria-label': 'Model',
    onchange: () => {
      remember(select.value);
      store.set({ model: select.value });
    },
  });

  store.listen((state, changed) => {
    if (!changed.has('models', 'model', 'analysis')) return;
    const usable = (state.models ?? []).filter((m) => !m.error);
    // What is drawn names its own model, which need not be here any more.
    const shown = state.analysis?.model ?? usable.find((m) => m.id === state.model);
    place.replaceChildren();
    if (!shown) return;
    if (usable.length > 1) {
      select.replaceChildren(...usable.map((m) => h('option', { value: m.id }, m.id)));
      select.value = state.model;
      place.append(select);
    }
    if (usable.length <= 1 || shown.id !== state.model)
      place.append(h('strong', { title: shown.name }, shown.id ?? shown.name));
    place.append(
      h('span', {}, `${shown.dtype ? `${shown.dtype} weights` : ''}`),
      h('span', { class: 'shape' }, `${shown.layers} layers \u00d7 ${shown.heads} heads`),
    );
  });

  return {
    async load() {
      try {
        const models = await api.models();
        const usable = models.filter((m) => !m.error);
        const last = recall();
        store.set({
          models,
          model: (usable.find((m) => m.id === last) ?? usable.find((m) => m.causal) ?? usable[0])?.id ?? null,
          trouble: null,
        });
      } catch (error) {
        store.set({
          trouble: {
            title: error.kind === 'network' ? 'The server is gone' : 'No models could be listed',
            detail: sentence(error.detail),
            again: true,
          },
        });
      }
    },
  };
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
