// What the model is to read: the text boxes, which kind of input they are, the live token count, the Analyse button that becomes
// Cancel, and the line of progress.

import * as api from './api.js';
import { byId, segments } from './dom.js';
import { bodyOf, inputOf, isComplete, kindsOf, sameInput } from './input.js';
import { InputFields } from './input_fields.js';
import { pieces } from './tokens.js';

const DEBOUNCE = 180; // ms after the last key

export class Composer {
  #kinds = byId('kinds');
  #count = byId('count');
  #timing = byId('timing');
  #button = byId('analyse');
  #progress = byId('progress');
  #timer = 0;
  #abort = null;
  #counted = { input: { text: '' }, n: 0 }; // the last answer, and what it is about
  #running = false;

  // actions: { analyse(input), cancel(), typed(input) }
  constructor(store, actions) {
    this.store = store;
    this.actions = actions;
    this.fields = new InputFields(byId('fields'), {
      typed: () => {
        this.#typed();
        actions.typed(this.input);
      },
      submit: () => !this.#running && this.#submit(),
    });
    byId('composer').addEventListener('submit', (event) => {
      event.preventDefault();
      if (this.#running) actions.cancel();
      else this.#submit();
    });
    new ResizeObserver(() => this.fields.fit()).observe(byId('composer'));
    store.listen((state, changed) => this.#render(state, changed));
  }

  get input() {
    return bodyOf(this.fields.input);
  }

  set input(input) {
    if (sameInput(input, this.input)) return;
    this.fields.input = input;
    this.#showKinds();
    this.#typed(0);
  }

  focus() {
    this.fields.focus();
  }

  #submit() {
    if (this.#button.disabled || !isComplete(this.input)) return this.focus();
    this.actions.analyse(this.input);
  }

  #typed(wait = DEBOUNCE) {
    this.#draw();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#recount(), wait);
  }

  async #recount() {
    this.#abort?.abort();
    const { model } = this.store.state;
    const { input } = this;
    if (!model || !isComplete(input)) {
      this.#counted = { input, n: 0 };
      this.fields.mark([[], []]);
      return this.#draw();
    }
    this.#abort = new AbortController();
    try {
      this.#take(input, await api.tokenize(model, input, this.#abort.signal));
    } catch (error) {
      if (error.kind === 'aborted') return;
      this.#counted = { input, n: 0, failed: error.kind === 'network' ? 'Server gone' : error.detail };
    }
    this.#draw();
  }

  #take(input, { tokens, target_tokens: target = [] }) {
    this.#counted = { input, n: Math.max(tokens.length, target.length) };
    if (input.messages || !sameInput(input, this.input)) return;
    const of = pieces(input.text, tokens, input.text_pair ?? null);
    this.fields.mark([
      of.map((piece, i) => (tokens[i].sequence === 1 ? { ...piece, added: true } : piece)),
      input.target === undefined
        ? of.map((piece, i) => (tokens[i].sequence === 1 ? piece : { ...piece, added: true }))
        : pieces(input.target, target),
    ]);
  }

  // An analysis brings its tokens along: no need to ask again.
  adopt(analysis) {
    const input = inputOf(analysis);
    if (analysis.text === null || !sameInput(input, this.input)) return;
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.#take(input, { tokens: analysis.tokens, target_tokens: analysis.targetTokens });
    this.#draw();
  }

  #model() {
    const { models, model } = this.store.state;
    return models?.find((m) => m.id === model);
  }

  #draw() {
    const { n, failed } = this.#counted;
    const { input } = this;
    const current = sameInput(this.#counted.input, input);
    const limit = this.#model()?.context ?? Infinity;
    const over = current && n > limit;
    const whole = isComplete(input);
    const count = n.toLocaleString('en-GB');
    this.#count.classList.toggle('over', over);
    if (!whole) this.#count.textContent = '';
    else if (current && failed) this.#count.textContent = failed;
    else if (over) this.#count.textContent = `${count} tokens; this model reads ${limit.toLocaleString('en-GB')} at most`;
    else if (current || n) this.#count.textContent = `${count} token${n === 1 ? '' : 's'}`;
    this.#button.disabled = !this.#running && (!whole || over || !this.store.state.model);
  }

  // A choice only where the model gives one.
  #showKinds() {
    const kinds = kindsOf(this.#model());
    const { kind } = this.fields;
    if (kinds.length && !kinds.some(([k]) => k === kind)) this.fields.become(kinds[0][0]);
    this.#kinds.replaceChildren();
    this.#kinds.hidden = kinds.length < 2;
    byId('composer').dataset.kind = this.fields.kind;
    if (this.#kinds.hidden) return;
    const choice = segments('What the model reads', kinds, (chosen) => {
      this.fields.become(chosen);
      this.#showKinds();
      this.#typed(0);
      this.#kinds.querySelector('[aria-checked="true"]')?.focus();
    });
    choice.choose(this.fields.kind);
    this.#kinds.append(choice);
  }

  #render(state, changed) {
    if (changed.has('model', 'models')) {
      this.#showKinds();
      this.#draw();
      if (changed.has('model')) this.#recount();
    }
    if (changed.has('phase')) {
      this.#running = ['starting', 'queued', 'running'].includes(state.phase);
      this.#button.textContent = this.#running ? 'Cancel' : 'Analyse';
      this.#button.className = this.#running ? 'quiet' : 'primary';
      this.fields.fit();
      this.#draw();
    }
    if (!changed.has('phase', 'analysis', 'clock')) return;
    const a = state.analysis;
    const { done, all } = a?.progress ?? { done: 0, all: 0 };
    const share = state.phase === 'running' && all ? done / all : 0;
    this.#progress.hidden = !this.#running;
    this.#progress.firstChild.style.transform = `scaleX(${share})`;
    this.#progress.setAttribute('aria-valuenow', state.phase === 'running' ? done : 0);
    this.#progress.setAttribute('aria-valuemax', all);
    this.#timing.textContent = timing(state, this.#model());
  }
}

function timing({ phase, analysis }, model) {
  const loading = model?.loading;
  if (loading && (phase === 'starting' || phase === 'queued'))
    return `Reading the model, ${Math.round((100 * loading.done) / Math.max(1, loading.bytes))}\u202f%`;
  if (phase === 'starting') return 'Asking the server';
  if (phase === 'queued') return 'Waiting in the queue';
  if (phase === 'running') {
    const { done, all } = analysis.progress;
    return done ? `Layer ${done} of ${all}` : 'No layer yet';
  }
  if (phase !== 'done') return '';
  if (analysis.cached) return 'From the cache';
  return analysis.seconds === null ? '' : `${analysis.seconds.toFixed(analysis.seconds < 1 ? 2 : 1)}\u202fs`;
}

