// Hands on the map: hover, click to pin, drag to pan, wheel, pinch and double click to zoom, and the keys.

import { onHover } from './dom.js';
import { clamp } from './layout.js';
import { tokenAt } from './map_layout.js';
import { chosen } from './open_head.js';

const CLICK = 5; // pixels that a click may wander

export function listenToMap(map) {
  const { canvas, store } = map;
  const held = new Map(); // pointers that are down: id -> { x, y }
  let wandered = 0;
  let pinch = 0;

  const at = ({ offsetX, offsetY }) => {
    const { layout: l, view: v, analysis: a } = map;
    if (!l || !a) return null;
    const key = tokenAt(offsetX, l.x, l, v.key, v.span, a.keys);
    const query = tokenAt(offsetY, l.y, l, v.query, v.span, a.n);
    return key < 0 || query < 0 || (a.causal && key > query) ? null : { key, query };
  };
  const fraction = (x, y) => [
    clamp((x - map.layout.x) / map.layout.size, 0, 1),
    clamp((y - map.layout.y) / map.layout.size, 0, 1),
  ];
  const hover = (found) => store.set({ hoverQuery: found?.query ?? null, hoverKey: found?.key ?? null });
  const pin = (found) => found && store.set({ query: store.state.side === 'reads' ? found.query : found.key });

  canvas.addEventListener('pointerdown', (event) => {
    if (event.button) return;
    held.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    wandered = 0;
    if (held.size === 2) pinch = distance(held);
    if (!map.fitted) canvas.setPointerCapture(event.pointerId);
  });

  canvas.addEventListener('pointermove', (event) => {
    const before = held.get(event.pointerId);
    if (!before) return;
    const dx = event.offsetX - before.x;
    const dy = event.offsetY - before.y;
    wandered += Math.abs(dx) + Math.abs(dy);
    held.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    if (held.size === 2) {
      const now = distance(held);
      const [a, b] = [...held.values()];
      if (pinch > 0 && now > 0) map.zoom(now / pinch, ...fraction((a.x + b.x) / 2, (a.y + b.y) / 2));
      pinch = now;
      wandered = CLICK + 1;
    } else if (!map.fitted && wandered > CLICK) {
      const scale = map.view.span / map.layout.size;
      map.setView({ ...map.view, key: map.view.key - dx * scale, query: map.view.query - dy * scale });
      hover(null);
    }
  });

  const release = (event) => {
    const was = held.delete(event.pointerId);
    if (was && event.type === 'pointerup' && wandered <= CLICK && held.size === 0) {
      const found = at(event);
      pin(found);
      if (event.pointerType === 'touch') hover(found);
    }
  };
  canvas.addEventListener('pointerup', release);
  canvas.addEventListener('pointercancel', release);
  onHover(
    canvas,
    (event) => (held.size ? null : at(event)),
    hover,
    (a, b) => a?.query === b?.query && a?.key === b?.key,
  );

  canvas.addEventListener('dblclick', (event) => {
    event.preventDefault();
    if (map.layout) map.zoom(event.shiftKey ? 0.5 : 2, ...fraction(event.offsetX, event.offsetY));
  });

  // The wheel zooms once the map is in use (clicked, zoomed in) or with Ctrl; else the page scrolls under the pointer.
  canvas.addEventListener(
    'wheel',
    (event) => {
      const mine = event.ctrlKey || event.metaKey || !map.fitted || document.activeElement === canvas;
      if (!mine || !map.layout || (map.fitted && event.deltaY > 0)) return;
      event.preventDefault();
      map.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), ...fraction(event.offsetX, event.offsetY));
    },
    { passive: false },
  );

  canvas.addEventListener('keydown', (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || !map.analysis) return;
    const act = {
      '+': () => map.zoom(1.5),
      '=': () => map.zoom(1.5),
      '-': () => map.zoom(1 / 1.5),
      0: () => map.fit(),
      ArrowUp: () => step(-1, 0),
      ArrowDown: () => step(1, 0),
      ArrowLeft: () => step(0, -1),
      ArrowRight: () => step(0, 1),
      Enter: () =>
        pin({ query: store.state.hoverQuery ?? chosen(store.state), key: store.state.hoverKey ?? chosen(store.state) }),
      Escape: () => {
        store.set({ query: null });
        hover(null);
      },
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  canvas.addEventListener('blur', () => hover(null));

  // Arrows walk over the cells: up and down among the queries, left and right among the keys that the query sees.
  function step(dq, dk) {
    const { state } = store;
    const { n, keys, causal } = map.analysis;
    const token = chosen(state) ?? 0;
    const query = clamp((state.hoverQuery ?? Math.min(token, n - 1)) + dq, 0, n - 1);
    const key = clamp((state.hoverKey ?? Math.min(query, token, keys - 1)) + dk, 0, causal ? query : keys - 1);
    hover({ query, key });
    map.reveal(query, key);
  }
}

function distance(held) {
  const [a, b] = [...held.values()];
  return Math.hypot(a.x - b.x, a.y - b.y);
}
