// The address holds the view: the path says what is shown, the fragment how. The only module that touches history.

import { parseSpan } from './between.js';
import { SCALES } from './colour.js';
import { column } from './columns.js';
import { VIEW_DEFAULTS } from './store.js';
import { VIEWS } from './views.js';

const natural = (text) => (/^\d{1,6}$/.test(text) ? Number(text) : undefined);
const oneOf =
  (...values) =>
  (text) =>
    values.includes(text) ? text : undefined;
const known = (text) => (column(text) ? text : undefined);
const span = (text) => (parseSpan(text) ? text : undefined);
const word = (text) => (/^[a-z-]{1,20}$/.test(text) ? text : undefined);

// Every key of the fragment, in the order it is written, with what reads it. What cannot be read is left at its default.
const KEYS = {
  view: oneOf(...VIEWS.map(([name]) => name)),
  section: oneOf('encoder', 'decoder', 'cross'),
  layer: natural,
  head: natural,
  query: natural,
  scale: oneOf(...SCALES),
  sinks: oneOf('hidden', 'shown'),
  paint: (text) => (text === 'maps' || text === 'types' ? text : known(text)),
  pool: oneOf('max', 'mean'),
  weighting: oneOf('none', 'value'),
  side: oneOf('reads', 'readers'),
  rank: known,
  from: span,
  to: span,
  type: word,
  by: oneOf('js', 'cka'),
  group: natural,
  against: (text) => (/^[0-9a-f]{64}$/.test(text) ? text : undefined),
  beside: (text) => (/^\d{1,4}\.\d{1,4}$/.test(text) ? text : undefined),
};

export const VIEW_KEYS = Object.keys(KEYS);

export function parseFragment(fragment) {
  const view = { ...VIEW_DEFAULTS };
  const given = new URLSearchParams(fragment.replace(/^#/, ''));
  for (const [key, parse] of Object.entries(KEYS)) {
    const value = given.has(key) ? parse(given.get(key)) : undefined;
    if (value !== undefined) view[key] = value;
  }
  if (view.layer === null || view.head === null) Object.assign(view, { layer: null, head: null });
  return view;
}

export function formatFragment(view) {
  const parts = new URLSearchParams();
  for (const key of VIEW_KEYS) {
    if (view[key] !== null && view[key] !== undefined && view[key] !== VIEW_DEFAULTS[key]) parts.set(key, view[key]);
  }
  const text = parts.toString();
  return text ? `#${text}` : '';
}

// { page: 'write' | 'analysis' | 'share', id }
export function parsePath(path) {
  const found = /^\/(a|s)\/([^/]+)\/?$/.exec(path);
  if (!found) return { page: 'write', id: null };
  return { page: found[1] === 'a' ? 'analysis' : 'share', id: decodeURIComponent(found[2]) };
}

export const current = () => ({ ...parsePath(location.pathname), view: parseFragment(location.hash) });

// A new place: goes into the history, so that Back leads to where one was.
export function go(path, view = VIEW_DEFAULTS) {
  const to = path + formatFragment(view);
  if (to !== location.pathname + location.hash) history.pushState(null, '', to);
}

// The same place, grown: what was typed has become an analysis of its own.
export function move(path, view) {
  clearTimeout(timer);
  history.replaceState(null, '', path + formatFragment(view));
}

let timer = 0;

// A new look at the same place: replaces the address, at most a few times a second (browsers count).
export function keep(view) {
  clearTimeout(timer);
  timer = setTimeout(() => {
    const to = location.pathname + formatFragment(view);
    if (to !== location.pathname + location.hash) history.replaceState(null, '', to);
  }, 150);
}

export function settle(view) {
  clearTimeout(timer);
  history.replaceState(null, '', location.pathname + formatFragment(view));
}

export const address = (view) => location.origin + location.pathname + formatFragment(view);

export function onMove(listener) {
  addEventListener('popstate', listener);
  addEventListener('hashchange', listener);
}
