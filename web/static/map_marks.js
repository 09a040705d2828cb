// What is drawn over the map's pixels: the part that no query may see, and the outlines of a row and a column.

const xOf = (key, l, view) => l.x + ((key - view.key) / view.span) * l.size;
const yOf = (query, l, view) => l.y + ((query - view.query) / view.span) * l.size;

// The keys after each query, in a colour of their own, so that an empty map still has its shape.
export function drawUnseen(context, c, l, view) {
  context.save();
  context.beginPath();
  context.rect(l.x, l.y, l.size, l.size);
  context.clip();
  context.fillStyle = c.unseen;
  context.beginPath();
  const right = l.x + l.size;
  const pitch = l.size / view.span;
  const [a, b] = [view.query, view.query + view.span];
  if (pitch >= 2) {
    for (let q = Math.floor(a); q < b; q++) {
      const from = Math.max(l.x, xOf(q + 1, l, view));
      if (from < right) context.rect(from, yOf(q, l, view), right - from, pitch + 0.5);
    }
  } else {
    context.moveTo(xOf(a, l, view), l.y);
    context.lineTo(xOf(b, l, view), l.y + l.size);
    context.lineTo(Math.max(right, xOf(b, l, view)), l.y + l.size);
    context.lineTo(Math.max(right, xOf(b, l, view)), l.y);
  }
  context.fill();
  context.restore();
}

// Of two texts the shorter one ends before the square does.
export function drawBeyond(context, c, l, view, a) {
  const [x, y] = [Math.min(l.x + l.size, xOf(a.keys, l, view)), Math.min(l.y + l.size, yOf(a.n, l, view))];
  context.fillStyle = c.paper;
  if (x < l.x + l.size) context.fillRect(x, l.y, l.x + l.size - x, l.size);
  if (y < l.y + l.size) context.fillRect(l.x, y, l.size, l.y + l.size - y);
}

// focus: { query, key, pinned }, each a token or null. A row ends where its query's sight ends; thin ones are at least 3 pixels.
export function drawOutlines(context, c, l, view, a, { query, key, pinned }) {
  context.save();
  context.beginPath();
  context.rect(l.x - 2, l.y - 2, l.size + 4, l.size + 4);
  context.clip();
  context.lineWidth = 1.5;
  const pitch = l.size / view.span;
  const thick = Math.max(3, pitch);
  const off = pitch / 2 - thick / 2 - 0.5;
  const row = (q, alpha) => {
    context.globalAlpha = alpha;
    context.strokeStyle = c.query;
    const start = Math.max(l.x - 4, xOf(0, l, view));
    const end = xOf(a.causal ? q + 1 : a.keys, l, view);
    if (end > l.x) context.strokeRect(start - 0.5, yOf(q, l, view) + off, end - start + 1, thick + 1);
  };
  if (pinned !== null && pinned !== query && pinned < a.n) row(pinned, 0.45);
  if (query !== null) row(query, 1);
  if (key !== null) {
    context.globalAlpha = 1;
    context.strokeStyle = c.key;
    const start = Math.max(l.y - 4, yOf(a.causal ? key : 0, l, view));
    const end = yOf(a.n, l, view);
    if (end > l.y) context.strokeRect(xOf(key, l, view) + off, start - 0.5, thick + 1, end - start + 1);
  }
  context.restore();
}
