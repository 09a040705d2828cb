// The way to this view for others: its address at once, and, for who asks, a link that nobody can guess and that can be taken back.

import * as api from './api.js';
import { byId, h } from './dom.js';
import { sentence } from './format.js';
import * as url from './url_state.js';

const KEY = 'headscope-shares'; // { analysis id: share }: this browser knows its own, the server lists none

function known() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {
    return {};
  }
}

function keep(id, share) {
  const all = known();
  if (share) all[id] = share;
  else delete all[id];
  try {
    localStorage.setItem(KEY, JSON.stringify(all));
  } catch {
    // then the link can be taken back as long as this page is open
  }
}

// True if it is in the clipboard now: that may be forbidden.
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

export function setUpShare(store, announce) {
  const button = byId('copy-link');
  const words = h('p', {});
  const link = h('input', { type: 'text', readonly: true, 'aria-label': 'Private link', onfocus: () => link.select() });
  const make = h('button', { type: 'button', class: 'quiet small', onclick: () => create() }, 'Make a private link');
  const revoke = h('button', { type: 'button', class: 'quiet small', onclick: () => takeBack() }, 'Take it back');
  const panel = h('div', { class: 'panel share', hidden: true }, words, link, h('div', {}, make, revoke));
  button.after(panel);
  let share = null;

  addEventListener('pointerdown', (event) => {
    if (!panel.contains(event.target) && event.target !== button) panel.hidden = true;
  });
  panel.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') return;
    panel.hidden = true;
    button.focus();
  });
  store.listen((state, changed) => {
    if (changed.has('analysis')) panel.hidden = true;
  });

  button.addEventListener('click', async () => {
    url.settle(store.state);
    const done = await copy(url.address(store.state));
    button.textContent = done ? 'Copied' : 'In the address bar'; // the address is the link
    announce(button.textContent);
    setTimeout(() => (button.textContent = 'Copy link'), 1600);
    show(known()[store.state.analysis.id] ?? null);
  });

  function show(found, note) {
    share = found;
    panel.hidden = false;
    link.hidden = revoke.hidden = !share;
    make.hidden = Boolean(share);
    if (share) link.value = `${location.origin}/s/${share}`;
    words.textContent =
      note ?? (share ? 'Your private link to this text:' : 'Whoever knows the text can work this address out. A private link is random, and you can take it back.');
  }

  async function create() {
    const { id } = store.state.analysis;
    try {
      const made = await api.makeShare(id, url.formatFragment(store.state).slice(1));
      keep(id, made.share);
      show(made.share);
      if (await copy(link.value)) words.textContent = 'Copied. This link opens the text as you see it now:';
    } catch (error) {
      show(null, error.status === 404 ? 'This analysis is not kept, so there is nothing to link to.' : sentence(error.detail));
    }
  }

  async function takeBack() {
    const { id } = store.state.analysis;
    try {
      await api.revokeShare(share);
    } catch (error) {
      if (error.status !== 404) return show(share, sentence(error.detail));
    }
    keep(id, null);
    show(null, 'Taken back: that link leads nowhere now.');
  }
}
