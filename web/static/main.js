// Puts the page together: one store, the parts that watch it, and the ways from one place to another.

import * as api from './api.js';
import { Composer } from './composer.js';
import { byId, h, stillness } from './dom.js';
import { watchEditing } from './editing.js';
import { sentence } from './format.js';
import { Grid } from './grid.js';
import { Drafts } from './drafts.js';
import { setUpGuide } from './guide.js';
import { setUpHistory } from './history.js';
import { inputOf, sameInput } from './input.js';
import { watchMapPanel } from './map_panel.js';
import { setUpModels } from './model_picker.js';
import { watchNotices } from './notice.js';
import { watchNumbers } from './numbers.js';
import { watchOpenHead } from './open_head.js';
import { fittingStatistic } from './columns.js';
import { watchRanking } from './ranking.js';
import { watchReading } from './reading.js';
import { Runner } from './runner.js';
import { watchQuestions } from './questions.js';
import { setUpShare } from './share.js';
import { watchStart } from './start.js';
import { initialState, Store } from './store.js';
import { watchSections } from './sections.js';
import { setUpTheme } from './theme.js';
import { watchToolbar } from './toolbar.js';
import { watchViews } from './views.js';
import { formatSpan } from './between.js';
import * as url from './url_state.js';

const store = new Store({ ...initialState(), page: null });
const live = byId('live');
const announce = (words) => {
  live.textContent = words;
};

const runner = new Runner(store, {
  announce,
  input: (input) => {
    composer.input = input;
  },
  arrived: (analysis) => {
    composer.adopt(analysis);
    const { layer, head } = store.state;
    if (layer !== null && (layer >= analysis.layers || head >= analysis.heads)) store.set({ layer: null, head: null });
    if (store.state.query !== null && store.state.query >= analysis.n) store.set({ query: null });
  },
  opened: (id, how) => {
    if (store.state.layer === null) openBest();
    if (how === 'new') url.go(`/a/${id}`, store.state);
    if (how === 'kept') url.move(`/a/${id}`, store.state);
    store.set({ page: 'analysis' });
  },
});

// When all layers are there and no head has been chosen: the one that stands out most.
function openBest() {
  const a = store.state.analysis;
  const best = a.ranked(fittingStatistic(a)).items[0] ?? a.ranked('max_weight').items[0];
  if (best) choose(best.layer, best.head);
}

function titleOf(analysis) {
  const words = (analysis?.text ?? '').replace(/\s+/g, ' ').trim();
  return words ? `${words.length > 40 ? `${words.slice(0, 40)}\u2026` : words} \u00b7 headscope` : 'headscope';
}

const choose = (layer, head) => store.set({ layer, head, hoverQuery: null, hoverKey: null });

function analyse(input) {
  drafts.stop();
  composer.input = input;
  // Another text: the head stays, the pinned token does not.
  if (!store.state.analysis || !sameInput(inputOf(store.state.analysis), input)) store.set({ query: null, from: null, to: null });
  runner.analyse(input);
}

function visit(id) {
  url.go(`/a/${id}`, { ...store.state, layer: null, head: null, query: null, from: null, to: null, against: null, beside: null });
  arrive();
}

// Shows what the address says: after loading, and after Back or Forward.
async function arrive() {
  drafts.stop();
  let { page, id, view } = url.current();
  if (page === 'share') {
    try {
      const found = await api.share(id);
      [page, id] = ['analysis', found.analysis];
      view = url.parseFragment(typeof found.view === 'string' ? found.view : new URLSearchParams(found.view ?? {}).toString());
    } catch (error) {
      store.set({
        problem: { title: 'This share does not open', detail: sentence(error.detail), again: error.kind === 'network' },
      });
      return;
    }
  }
  store.set({ ...view, page: page === 'analysis' ? 'analysis' : 'write', problem: null });
  if (page !== 'analysis') {
    runner.clear();
    composer.input = { text: '' };
    composer.focus();
  } else if (store.state.analysis?.id !== id || store.state.phase !== 'done') {
    await runner.open(id);
  }
}

// The question which heads read some keys from some queries, each [first, last + 1].
function find(queries, keys) {
  store.set({ view: 'find', from: formatSpan(queries), to: formatSpan(keys), query: queries[1] - 1, side: 'reads', rank: null });
  byId('views').scrollIntoView({ block: 'start', behavior: stillness() ? 'auto' : 'smooth' });
}

const drafts = new Drafts(store, {
  draft: (input) => runner.analyse(input, 'draft'),
  keep: (input) => runner.analyse(input, 'kept'),
});
const composer = new Composer(store, { analyse, cancel: () => runner.cancel(), typed: (input) => drafts.typed(input) });
watchEditing(byId('composer'));
const guide = setUpGuide();
const actions = { analyse, visit, find, define: (name) => guide.show(name) };
setUpHistory(actions);
byId('foot').append(h('span', {}, 'Texts go to this server and nowhere else.'), h('span', { class: 'push' }));
setUpTheme(store, byId('foot'));
const models = setUpModels(store, byId('model'));
watchNotices(store, () => (store.state.models ? runner.retry() || arrive() : begin()));
watchStart(store, actions);
watchOpenHead(store);
watchSections(store, byId('sections'));
watchViews(store, byId('views'));
watchToolbar(store, byId('toolbar'));
watchQuestions(store, choose);
new Grid(store, byId('grid'), choose, actions.define);
watchRanking(store, byId('ranking'), choose);
watchMapPanel(store, byId('map'), {
  retryMap: () => {
    const { layer, head } = store.state;
    store.set({ layer: null, head: null, mapError: null });
    requestAnimationFrame(() => requestAnimationFrame(() => choose(layer, head)));
  },
});
watchReading(store, byId('reading'), actions);
const numbers = h('section', { class: 'panel numbers', 'aria-label': 'Numbers of the head', hidden: true });
byId('head').append(numbers);
watchNumbers(store, numbers, actions);

store.listen((state, changed) => {
  if (changed.has('analysis', 'page')) byId('work').hidden = !state.analysis;
  if (changed.has('layer', 'analysis')) byId('head').classList.toggle('empty', state.layer === null);
  if (changed.has('phase', 'analysis', 'draft'))
    byId('copy-link').hidden = !(state.phase === 'done' && state.analysis && !state.draft);
  if (changed.has(...url.VIEW_KEYS) && state.phase === 'done' && !state.draft) url.keep(state);
  if (changed.has('analysis')) document.title = titleOf(state.analysis);
  if (changed.has('phase') && state.phase === 'starting') announce('Asking the server');
  if (changed.has('phase') && state.phase === 'queued') announce('Waiting in the queue');
});

byId('home').addEventListener('click', (event) => {
  if (event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  url.go('/');
  arrive();
});

setUpShare(store, announce);

url.onMove(arrive);

async function begin() {
  const loading = models.load();
  if (url.current().page === 'write') await loading;
  await arrive();
}
begin();
