// The only module that talks to the server. Every failure is an ApiError whose `kind` says what happened:
//   problem  the server answered with a problem document (status, title, detail)
//   network  no answer: the server is gone, or not reachable
//   cut      a stream ended without `done`: what was drawn is not the whole
//   aborted  this page gave up

import { LineReader } from './lines.js';
import { parseNpy } from './npy.js';

const ROOT = '/api/v1';
const SILENCE = 20000; // ms

export class ApiError extends Error {
  constructor(kind, detail, { status = 0, title = '' } = {}) {
    super(detail);
    Object.assign(this, { kind, detail, status, title });
  }
}

async function ask(path, { method = 'GET', body, accept = 'application/json', signal } = {}) {
  const headers = { Accept: accept };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let answer;
  try {
    answer = await fetch(ROOT + path, { method, headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    throw translate(error);
  }
  if (!answer.ok) throw await problem(answer);
  return answer;
}

function translate(error) {
  if (error instanceof ApiError) return error;
  if (error.name === 'AbortError') return new ApiError('aborted', 'Cancelled.');
  return new ApiError('network', 'The server does not answer. It may have been stopped.');
}

async function problem(answer) {
  let document = {};
  try {
    document = await answer.json();
  } catch {
    // A problem without a document still has its status.
  }
  const detail = document.detail || `The server answered ${answer.status} ${answer.statusText}.`;
  return new ApiError('problem', detail, { status: answer.status, title: document.title || '' });
}

async function read(answer, how) {
  try {
    return await answer[how]();
  } catch (error) {
    throw translate(error);
  }
}

const json = async (path, options) => read(await ask(path, options), 'json');

// Calls onLine(object) for every line. Resolves once `done` has come; a stream that ends before is an error, and so is one
// that falls silent: the server sends at least an empty line a second.
async function stream(path, { signal, ...options }, onLine) {
  const answer = await ask(path, { ...options, signal, accept: 'application/x-ndjson' });
  const lines = new LineReader();
  const reader = answer.body.getReader();
  let whole = false;
  const pass = (objects) => {
    for (const object of objects) {
      if (object.event === 'error') {
        const { detail, title, status } = object.problem || {};
        throw new ApiError('problem', detail || 'The analysis failed.', { title, status });
      }
      whole ||= object.event === 'done';
      onLine(object);
    }
  };
  try {
    for (;;) {
      const { done, value } = await within(SILENCE, reader.read());
      if (done) break;
      pass(lines.push(value));
    }
    pass(lines.end());
  } catch (error) {
    reader.cancel().catch(() => {});
    if (whole) return { cached: false }; // it broke off after its end
    if (error instanceof ApiError) throw error;
    if (error.name === 'AbortError') throw new ApiError('aborted', 'Cancelled.');
    if (!(error instanceof TypeError) && error.name !== 'NetworkError') throw error;
    throw new ApiError('cut', 'The connection broke off before the last layer.');
  }
  if (!whole) throw new ApiError('cut', 'The stream ended before the last layer.');
  return { cached: /\bhit\b/.test(answer.headers.get('Cache-Status') || '') };
}

async function within(time, promise) {
  let timer;
  const silence = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new ApiError('cut', 'The server has fallen silent before the last layer.')), time);
  });
  try {
    return await Promise.race([promise, silence]);
  } finally {
    clearTimeout(timer);
  }
}

// `where`: an analysis' id, or { id, section } for one with several sections.
const at = (where) => `/analyses/${encodeURIComponent(where.id ?? where)}`;
const asks = (where, ...parts) => {
  const given = [...parts, where.section ? `section=${where.section}` : ''].filter(Boolean).join('&');
  return given && `?${given}`;
};
const range = (cut) =>
  Object.entries(cut)
    .map(([axis, [a, b]]) => `${axis}=${a}:${b}`)
    .join('&');

export const models = async () => (await json('/models')).items;
export const version = () => json('/version');
// input: as input.js has it
export const tokenize = (model, input, signal) => json('/tokenize', { method: 'POST', body: { model, ...input }, signal });

export const analyse = (model, input, onLine, signal, kept = true) =>
  stream('/analyses', { method: 'POST', body: { model, ...input, ...(kept ? {} : { store: false }) }, signal }, onLine);
export const replay = (id, onLine, signal) => stream(`${at(id)}/stream`, { signal }, onLine);

export const list = (cursor, limit = 20) =>
  json(`/analyses?limit=${limit}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`);
export const document = (id, signal) => json(at(id), { signal });
export const stateOf = async (id, signal) => (await json(at(id), { signal })).state;
export const remove = (id) => ask(at(id), { method: 'DELETE' });
// view: what the address holds behind its #. Result: { share, url }
export const makeShare = (analysis, view) => json('/shares', { method: 'POST', body: { analysis, view } });
export const revokeShare = (name) => ask(`/shares/${encodeURIComponent(name)}`, { method: 'DELETE' });
export const share = (id) => json(`/shares/${encodeURIComponent(id)}`);

// Where the pieces of one map come from.
function mapAt(path, query, pooled) {
  const get = (ending, more, signal) => ask(`${path}${ending}?${[...query, ...more].filter(Boolean).join('&')}`, { accept: '*/*', signal });
  const buffer = async (answer) => read(await answer, 'arrayBuffer');
  return {
    // Exact numbers: { shape, data }. `cut` may hold queries: [a, b] and keys: [c, d], half-open.
    weights: async (cut, signal) => parseNpy(await buffer(get('.npy', [range(cut)], signal))),
    tile: async ({ z, x, y }, pool, signal) =>
      new Uint8Array(await buffer(get(`/tiles/${z}/${x}/${y}`, pooled ? [`pool=${pool}`] : [], signal))),
    // The number that the brightest pixel stands for; weights need none: it is 1.
    largest: async (z, signal) => Number((await get(`/tiles/${z}/0/0`, [], signal)).headers.get('Headscope-Largest')),
  };
}
// weighting: 'none', or 'value' for weights times the length of what the keys give
export const mapOf = (where, layer, head, weighting) =>
  mapAt(
    `${at(where)}/attention/${layer}/${head}`,
    [weighting === 'value' ? 'weighting=value' : '', where.section ? `section=${where.section}` : ''],
    true,
  );
// The second analysis' map less the first one's, over the tokens that correspond.
export const differenceOf = (a, b, layer, head) => mapAt(`/compare/${layer}/${head}`, [`a=${a}`, `b=${b}`], false);

// Two analyses of one model: { aligned: [[i, j], ...], rows, items: [{ layer, head, change }, ...] }
export const compare = (a, b, signal) => json(`/compare?a=${a}&b=${b}`, { signal });

// Heads by what goes from some queries to some keys, both half-open.
export const between = (where, queries, keys, signal) => json(`${at(where)}/between${asks(where, range({ queries, keys }))}`, { signal });

// Clusters of heads, and a place for each on a plane: by 'js' (what they read) or 'cka' (what they write).
export const similarity = (where, by, signal) => json(`${at(where)}/similarity.json${asks(where, `by=${by}`)}`, { signal });
export const syntax = (where, conllu) => json(`${at(where)}/syntax${asks(where)}`, { method: 'POST', body: { conllu } });
// What the probes say about every head of a model.
export const atlas = (model) => json(`/models/${encodeURIComponent(model)}/heads`);
export const lifts = (id) => json(`${at(id)}/lifts.json`);
export const dilution = (where, signal) => json(`${at(where)}/dilution.json${asks(where)}`, { signal });

export const series = (where, layer, head, signal) => json(`${at(where)}/series/${layer}/${head}.json${asks(where)}`, { signal });

// Addresses for links that the browser follows itself.
export const links = {
  heads: (where) => `${ROOT}${at(where)}/heads.csv${asks(where)}`,
  map: (where, layer, head, ending) => `${ROOT}${at(where)}/attention/${layer}/${head}.${ending}${asks(where)}`,
  series: (where, layer, head) => `${ROOT}${at(where)}/series/${layer}/${head}.json${asks(where)}`,
};
