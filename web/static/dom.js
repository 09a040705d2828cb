// Small helpers for making elements. Text only ever becomes text nodes.

// h('button', { class: 'plain', onclick }, 'Words', child, ...): properties that start with "on" are listeners, the rest
// attributes; false, null and undefined leave an attribute or a child out, true writes it empty.
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat(Infinity).filter((c) => c !== false && c !== null && c !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

// A row of choices of which one holds: a radio group that looks like one control. Arrows move, as in any radio group.
// options: [[value, words, title?], ...]
export function segments(name, options, onChoose) {
  const buttons = options.map(([value, words, title]) =>
    h(
      'button',
      {
        type: 'button',
        role: 'radio',
        'data-value': value,
        'data-text': words,
        title,
        onclick: () => onChoose(value),
      },
      words,
    ),
  );
  const group = h('div', { class: 'segments', role: 'radiogroup', 'aria-label': name }, buttons);
  group.addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const shown = buttons.filter((b) => !b.hidden);
    const next = shown[(shown.indexOf(document.activeElement) + step + shown.length) % shown.length];
    next.focus();
    next.click();
  });
  group.choose = (value) => {
    for (const b of buttons) {
      const on = b.dataset.value === value;
      b.setAttribute('aria-checked', on);
      b.tabIndex = on ? 0 : -1;
    }
    if (buttons.every((b) => b.tabIndex < 0)) buttons[0].tabIndex = 0;
  };
  return group;
}

// Tells what a mouse or pen points at: hover(found), and hover(null) when it leaves what it had found. A pointer that rests while
// the page moves under it says nothing, so that it does not fight with the keyboard. at(event): what is there, or null.
export function onHover(element, at, hover, same = Object.is) {
  let last = null;
  const tell = (found) => {
    if (same(found, last)) return;
    last = found;
    hover(found);
  };
  element.addEventListener('pointermove', (event) => {
    if (event.pointerType !== 'touch' && (event.movementX || event.movementY)) tell(at(event));
  });
  element.addEventListener('pointerleave', (event) => {
    if (event.pointerType !== 'touch') tell(null);
  });
}

// Sizes a canvas for the screen's pixels; returns its context, scaled to CSS pixels, and the ratio.
export function sizeCanvas(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [w, h2] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h2) {
    canvas.width = w;
    canvas.height = h2;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { context, ratio };
}

// The colours of the style sheet, for canvases.
export function colours() {
  const style = getComputedStyle(document.documentElement);
  const names = ['paper', 'panel', 'ink', 'soft', 'line', 'edge', 'query', 'key', 'accent', 'mark', 'zero', 'unseen'];
  return Object.fromEntries(names.map((n) => [n, style.getPropertyValue(`--${n}`).trim()]));
}

export const stillness = () => matchMedia('(prefers-reduced-motion: reduce)').matches;
export const font = (size, weight = 400) => `${weight} ${size}px ${getComputedStyle(document.body).fontFamily}`;
