// The text box: live token count and boundaries, the Analyse button that becomes Cancel, and the line of progress.

import * as api from './api.js';
import { byId, h } from './dom.js';
import { pieces } from './tokens.js';

const DEBOUNCE = 180; // ms after the last key
const MARKS_MAX = 9000; // tokens whose boundaries are drawn

export class Composer {
  #field = byId('text');
  #marks = document.querySelector('.marks');
  #count = byId('count');
  #timing = byId('timing');
  #button = byId('analyse');
  #progress = byId('progress');
  #timer = 0;
  #abort = null;
  #counted = { text: '', tokens: [] }; // the last answer, and the text it is about
  #running = false;

  // actions: { analyse(text), cancel(), typed(text) }
  constructor(store, actions) {
    this.store = store;
    this.actions = actions;
    this.#field.addEventListener('input', () => {
      this.#typed();
      actions.typed(this.text);
    });
    this.#field.addEventListener('scroll', () => {
      this.#marks.scrollTop = this.#field.scrollTop;
    });
    this.#field.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        if (!this.#running) this.#submit();
      }
    });
    byId('composer').addEventListener('submit', (event) => {
      event.preventDefault();
      if (this.#running) actions.cancel();
      else this.#submit();
    });
    new ResizeObserver(() => this.#fit()).observe(byId('composer'));
    store.listen((state, changed) => this.#render(state, changed));
  }

  get text() {
    return this.#field.value;
  }

  setText(text) {
    if (text === this.#field.value) return;
    this.#field.value = text;
    this.#field.scrollTop = 0;
    this.#typed(0);
  }

  focus() {
    this.#field.focus();
  }

  #submit() {
    if (this.#button.disabled || !this.text) return this.focus();
    this.actions.analyse(this.text);
  }

  #typed(wait = DEBOUNCE) {
    this.#fit();
    this.#draw();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#recount(), wait);
  }

  async #recount() {
    this.#abort?.abort();
    const { model } = this.store.state;
    const text = this.text;
    if (!model || !text) {
      this.#counted = { text: '', tokens: [] };
      return this.#draw();
    }
    this.#abort = new AbortController();
    try {
      const tokens = await api.tokenize(model, text, this.#abort.signal);
      this.#counted = { text, model, tokens, pieces: pieces(text, tokens) };
      this.#draw();
    } catch (error) {
      if (error.kind === 'aborted') return;
      this.#counted = { text, tokens: [], failed: error.kind === 'network' ? 'Server gone' : error.detail };
      this.#draw();
    }
  }

  // An analysis brings its tokens along: no need to ask again.
  adopt(analysis) {
    if (analysis.text === null || analysis.text !== this.text) return;
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.#counted = { text: analysis.text, tokens: analysis.tokens, pieces: analysis.pieces };
    this.#draw();
  }

  #limit() {
    const { models, model } = this.store.state;
    return models?.find((m) => m.id === model)?.context ?? Infinity;
  }

  #draw() {
    const counted = this.#counted;
    const text = this.text;
    const current = counted.text === text;
    const n = counted.tokens.length;
    const over = current && n > this.#limit();
    this.#count.classList.toggle('over', over);
    if (!text) this.#count.textContent = '';
    else if (current && counted.failed) this.#count.textContent = counted.failed;
    else if (over)
      this.#count.textContent = `${n.toLocaleString('en-GB')} tokens; this model reads ${this.#limit().toLocaleString('en-GB')} at most`;
    else if (current || n) this.#count.textContent = `${n.toLocaleString('en-GB')} token${n === 1 ? '' : 's'}`;
    this.#button.disabled = !this.#running && (!text || over || !this.store.state.model);
    this.#drawMarks(text, counted);
  }

  // The boundaries stand behind the text: every other token is tinted. While the count is on its way those before the first
  // changed character stay.
  #drawMarks(text, counted) {
    const nodes = [];
    let at = 0;
    if (counted.pieces && counted.tokens.length <= MARKS_MAX) {
      const same = counted.text === text ? text.length : commonPrefix(counted.text, text);
      counted.pieces.forEach((piece, i) => {
        if (piece.added || piece.end <= piece.start || piece.end > same || piece.start < at) return;
        if (i % 2 === 0 && !piece.special) return;
        if (piece.start > at) nodes.push(text.slice(at, piece.start));
        nodes.push(h('span', { class: piece.special ? 'special' : null }, text.slice(piece.start, piece.end)));
        at = piece.end;
      });
    }
    nodes.push(text.slice(at) + '\u200b'); // a last empty line takes its room
    this.#marks.replaceChildren(...nodes);
    this.#marks.scrollTop = this.#field.scrollTop;
  }

  #fit() {
    const field = this.#field;
    field.style.height = 'auto';
    field.style.height = `${field.scrollHeight}px`;
  }

  #render(state, changed) {
    if (changed.has('model', 'models')) this.#recount();
    if (changed.has('phase')) {
      this.#running = ['starting', 'queued', 'running'].includes(state.phase);
      this.#button.textContent = this.#running ? 'Cancel' : 'Analyse';
      this.#button.className = this.#running ? 'quiet' : 'primary';
      this.#fit();
      this.#draw();
    }
    if (!changed.has('phase', 'analysis', 'clock')) return;
    const a = state.analysis;
    const share = state.phase === 'running' && a?.layers ? a.arrived / a.layers : 0;
    this.#progress.hidden = !this.#running;
    this.#progress.firstChild.style.transform = `scaleX(${share})`;
    this.#progress.setAttribute('aria-valuenow', state.phase === 'running' ? (a?.arrived ?? 0) : 0);
    this.#progress.setAttribute('aria-valuemax', a?.layers ?? 0);
    this.#timing.textContent = timing(state);
  }
}

function timing({ phase, analysis }) {
  if (phase === 'starting') return 'Asking the server';
  if (phase === 'queued') return 'Waiting in the queue';
  if (phase === 'running') {
    return analysis.arrived ? `Layer ${analysis.arrived} of ${analysis.layers}` : 'No layer yet';
  }
  if (phase !== 'done') return '';
  if (analysis.cached) return 'From the cache';
  return analysis.seconds === null ? '' : `${analysis.seconds.toFixed(analysis.seconds < 1 ? 2 : 1)}\u202fs`;
}

function commonPrefix(a, b) {
  const n = Math.min(a.length, b.length);
  let i = 0;
  while (i < n && a.charCodeAt(i) === b.charCodeAt(i)) i++;
  return i;
}
