// From a text or an id to a drawn analysis. One code path for a fresh run, a cached one and a link: lines go into an
// Analysis, the store is told, the page draws.

import * as api from './api.js';
import { Analysis } from './analysis.js';
import { sentence } from './format.js';
import { inputOf } from './input.js';

const ASK_AFTER = 600; // ms without a layer: time to ask whether the request stands in the queue

export class Runner {
  #abort = null;
  #again = null; // what "Try again" does

  // places: { opened(id, how), input(input), announce(words) }; how: 'new', 'kept' (after a draft) or 'link': what the page does when the id, the text or news are known
  constructor(store, places) {
    this.store = store;
    this.places = places;
  }

  analyse(input, how = 'new') {
    const { model } = this.store.state;
    this.#again = () => this.analyse(input);
    return this.#run((line, signal) => api.analyse(model, input, line, signal, how !== 'draft'), how);
  }

  open(id) {
    this.#again = () => this.open(id);
    return this.#run((line, signal) => api.replay(id, line, signal), 'link');
  }

  // False if there is nothing to try again.
  retry() {
    this.#again?.();
    return Boolean(this.#again);
  }

  cancel() {
    if (!this.#abort) return;
    this.#abort.abort();
    this.#abort = null;
    const { analysis } = this.store.state;
    const begun = analysis && !analysis.done;
    this.store.set({
      phase: this.#rest(),
      problem: begun
        ? {
            kind: 'cancelled',
            title: 'Cancelled',
            again: true,
            detail: `${analysis.progress.done} of ${analysis.progress.all} layers were done. Nothing has been kept.`,
          }
        : null,
    });
    this.places.announce('Cancelled');
  }

  // The phase once nothing runs: what is drawn may be whole (an earlier analysis), a part, or nothing.
  #rest() {
    const { analysis } = this.store.state;
    return !analysis ? 'empty' : analysis.done ? 'done' : 'failed';
  }

  // Drops what is shown and running, for the empty page.
  clear() {
    this.#abort?.abort();
    this.#abort = null;
    this.#again = null;
    this.store.set({ phase: 'empty', problem: null, analysis: null, draft: false });
  }

  // A draft, and what is kept of it, replace what is drawn when they are whole: nothing flickers while one types.
  async #run(start, how) {
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    const live = () => this.#abort === abort;
    const analysis = new Analysis();
    const began = performance.now();
    // What is drawn stays until the first line of the new analysis has come.
    const quiet = how === 'draft' || how === 'kept';
    this.store.set(quiet ? { draft: true, problem: null } : { draft: false, phase: 'starting', problem: null });
    const waiting = setInterval(() => live() && !quiet && this.#ask(analysis, abort.signal), ASK_AFTER);
    try {
      const { cached } = await start((line) => {
        if (live()) quiet ? analysis.apply(line) : this.#take(analysis, line, how);
        if (analysis.progress.done) clearInterval(waiting);
      }, abort.signal);
      if (!live()) return;
      this.#abort = null;
      analysis.cached = cached;
      analysis.seconds = (performance.now() - began) / 1000;
      if (quiet) this.#swap(analysis, how);
      this.store.set({ phase: 'done' });
      this.store.touch('analysis');
      if (!quiet) this.places.announce(`${analysis.progress.all} layers of ${analysis.heads} heads are drawn.`);
    } catch (error) {
      if (live()) this.#fail(error, analysis);
    } finally {
      clearInterval(waiting);
    }
  }

  #swap(analysis, how) {
    const shown = this.#shown(analysis);
    this.store.set({ analysis: shown, draft: how === 'draft', hoverQuery: null, hoverKey: null });
    this.places.arrived(shown);
    if (how === 'kept') this.places.opened(analysis.id, how);
  }

  // The part of an encoder and a decoder that is looked at; the analysis itself where there is one.
  #shown(analysis) {
    return analysis.of(this.store.state.section);
  }

  // Nothing is drawn yet: is it running, or does it wait for others?
  async #ask(analysis, signal) {
    if (!analysis.id) return this.store.set({ phase: 'queued' });
    try {
      const state = await api.stateOf(analysis.id, signal);
      const open = this.store.state.analysis === this.#shown(analysis) && !analysis.progress.done && !signal.aborted;
      if (open && (state === 'queued' || state === 'running')) this.store.set({ phase: state });
    } catch {
      // the stream will tell
    }
  }

  #take(analysis, line, how) {
    const event = analysis.apply(line);
    if (event === 'tokens') {
      this.places.input(inputOf(analysis)); // token ids may come without a text
      const shown = this.#shown(analysis);
      this.store.set({ phase: 'running', analysis: shown, hoverQuery: null, hoverKey: null, hoverHead: null });
      this.places.arrived(shown);
    } else if (event === 'layer') {
      this.store.set({ phase: 'running' });
    } else if (event === 'done') {
      this.places.opened(analysis.id, how);
    }
    this.store.touch('analysis');
  }

  #fail(error, analysis) {
    this.#abort = null;
    const titles = { network: 'The server is gone', cut: 'Cut short', problem: 'This did not work' };
    const { done, all } = analysis.progress;
    const drawn = done ? ` ${done} of ${all} layers are drawn; they are not kept.` : '';
    const missing = error.status === 404;
    this.store.set({
      phase: this.#rest(),
      draft: false,
      problem: {
        kind: error.kind,
        title: missing ? 'Not here' : titles[error.kind] || 'This page failed',
        detail: sentence(error.detail || error.message) + drawn,
        again: !missing && error.status !== 422,
      },
    });
    if (!error.kind) console.error(error);
  }
}
