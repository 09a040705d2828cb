// The list of models in a dialog: what each is, where it was found, how far its reading has come, and why one cannot be used.

import { byId, h } from './dom.js';
import { sentence } from './format.js';
import { closeOnBackdrop } from './history.js';

const SOURCES = {
  named: 'named at the start',
  hub: 'from Hugging Face\u2019s cache',
  'llama.cpp': 'from llama.cpp\u2019s cache',
  ollama: 'from Ollama',
};
const KINDS = { encoder: 'reads both ways', decoder: 'reads left to right', both: 'reads one text, writes another' };

const size = (bytes) => (bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.max(1, Math.round(bytes / 1e6))} MB`);

function kind(model) {
  if (model.sections?.length > 1) return KINDS.both;
  return model.causal ? KINDS.decoder : KINDS.encoder;
}

function facts(model) {
  return [
    model.architecture,
    kind(model),
    `${model.layers} \u00d7 ${model.heads} heads`,
    `${model.context.toLocaleString('en-GB')} tokens`,
    `${model.dtype}, ${size(model.bytes)}`,
    model.licence,
    SOURCES[model.source],
  ].filter(Boolean);
}

function usableItem(model, chosen, choose) {
  const share = model.loading ? model.loading.done / Math.max(1, model.loading.bytes) : 1;
  return h(
    'li',
    {},
    h(
      'button',
      { type: 'button', role: 'radio', 'aria-checked': String(model.id === chosen), 'data-model': model.id, onclick: () => choose(model.id) },
      h('strong', {}, model.id),
      h('span', { class: 'facts' }, facts(model).map((words) => h('span', {}, words))),
      !model.tokenizer && h('span', { class: 'facts' }, 'takes token ids only: it has no tokenizer that can be used here'),
      model.loading &&
        h('span', { class: 'facts' }, `being read for the first time, ${Math.round(share * 100)}\u202f%`, h('i', { style: `--share: ${share}` })),
    ),
  );
}

// actions: { choose(id), look() }
export function setUpModelSheet(actions) {
  const dialog = byId('models');
  const usable = h('ul', { class: 'models', role: 'radiogroup', 'aria-label': 'Model' });
  const broken = h('ul', { class: 'models broken' });
  const brokenTitle = h('h3', {}, 'Cannot be used');
  const where = h(
    'p',
    { class: 'soft' },
    'Found in the models folder and in what Hugging Face, llama.cpp and Ollama keep on the machine that this server runs on. ',
    'A text that is drawn stays with the model that read it; the choice holds for the next.',
  );
  dialog.append(
    h(
      'header',
      {},
      h('h2', { id: 'models-title' }, 'Models'),
      h('button', { type: 'button', class: 'plain', onclick: () => dialog.close() }, 'Close'),
    ),
    h('div', { tabindex: -1 }, usable, brokenTitle, broken, where),
  );
  closeOnBackdrop(dialog);

  const choose = (id) => {
    dialog.close();
    actions.choose(id);
  };
  usable.addEventListener('keydown', (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const buttons = [...usable.querySelectorAll('button')];
    buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length]?.focus();
  });

  return {
    open() {
      dialog.showModal();
      usable.querySelector('[aria-checked="true"]')?.focus();
      actions.look();
    },
    show(models, chosen) {
      const focused = document.activeElement?.dataset?.model;
      const bad = models.filter((m) => m.error);
      usable.replaceChildren(...models.filter((m) => !m.error).map((m) => usableItem(m, chosen, choose)));
      broken.replaceChildren(...bad.map((m) => h('li', {}, h('strong', {}, m.id), h('span', { class: 'facts' }, sentence(m.error)))));
      brokenTitle.hidden = !bad.length;
      if (focused) usable.querySelector(`[data-model="${CSS.escape(focused)}"]`)?.focus();
    },
  };
}
