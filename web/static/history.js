// The analyses that the server keeps: a list in a dialog, newest first, each with a link and a way to forget it.

import * as api from './api.js';
import { byId, h } from './dom.js';
import { sentence } from './format.js';

const RELATIVE = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });

// `created` is seconds since 1970, milliseconds, or an ISO date.
function when(created) {
  const time = typeof created === 'number' ? created * (created > 1e11 ? 1 : 1000) : Date.parse(created);
  const seconds = (time - Date.now()) / 1000;
  for (const [unit, size] of [
    ['day', 86400],
    ['hour', 3600],
    ['minute', 60],
  ]) {
    if (Math.abs(seconds) >= size) return RELATIVE.format(Math.trunc(seconds / size), unit);
  }
  return 'just now';
}

export function pastItem(item, { visit }, forget) {
  const excerpt = (item.excerpt ?? '').replace(/\s+/g, ' ').trim() || 'token ids, without a text';
  const row = h(
    'li',
    {},
    h(
      'a',
      {
        href: `/a/${item.id}`,
        onclick: (event) => {
          if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
          event.preventDefault();
          visit(item.id);
        },
      },
      h('span', { class: 'excerpt', dir: 'auto' }, excerpt),
      h('span', { class: 'fact' }, `${item.n_tokens.toLocaleString('en-GB')} tokens`),
      h('span', { class: 'fact when' }, when(item.created)),
    ),
    forget &&
      h(
        'button',
        { type: 'button', class: 'plain', 'aria-label': `Forget: ${excerpt.slice(0, 60)}`, onclick: () => forget(item, row) },
        'Forget',
      ),
  );
  return row;
}

export const pastList = (items, actions) =>
  h(
    'ul',
    { class: 'past' },
    items.map((item) => pastItem(item, actions)),
  );

// actions: { visit(id) }
export function setUpHistory(actions) {
  const dialog = byId('history');
  const list = h('ul', { class: 'past' });
  const words = h('p', { class: 'soft', role: 'status' });
  const more = h('button', { type: 'button', class: 'quiet more', onclick: () => load() }, 'Show more');
  const body = h('div', { tabindex: -1 }, words, list, more);
  dialog.append(
    h(
      'header',
      {},
      h('h2', { id: 'history-title' }, 'History'),
      h('button', { type: 'button', class: 'plain', onclick: () => dialog.close() }, 'Close'),
    ),
    body,
  );
  closeOnBackdrop(dialog);
  let cursor = null;

  function say(text) {
    words.textContent = text;
    words.hidden = !text;
  }

  const visit = (id) => {
    dialog.close();
    actions.visit(id);
  };

  async function forget(item, row) {
    try {
      await api.remove(item.id);
      row.remove();
      say('Forgotten. A link to it no longer opens.');
    } catch (error) {
      say(sentence(error.detail));
    }
  }

  async function load() {
    more.hidden = true;
    try {
      const page = await api.list(cursor);
      list.append(...page.items.map((item) => pastItem(item, { visit }, forget)));
      cursor = page.next_cursor;
      more.hidden = !cursor;
      say(list.children.length ? '' : 'Nothing yet. Every analysis that finishes is kept here.');
    } catch (error) {
      say(sentence(error.detail));
    }
  }

  byId('open-history').addEventListener('click', () => {
    cursor = null;
    list.replaceChildren();
    say('Loading');
    dialog.showModal();
    load();
  });
}

export function closeOnBackdrop(dialog) {
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
}
