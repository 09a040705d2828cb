// Tests of the page's pure modules, evaluated in the page by test_page.py. The result is a list of what failed.
(async () => {
  const [layout, map, colour, tokens, lines, statistics, format, address, reading, input, types, between, columns] = await Promise.all(
    ['layout', 'map_layout', 'colour', 'tokens', 'lines', 'statistics', 'format', 'url_state', 'reading', 'input', 'types', 'between', 'columns'].map(
      (name) => import(`/static/${name}.js`),
    ),
  );
  const failures = [];
  let checks = 0;
  const equal = (what, got, want) => {
    checks++;
    const [g, w] = [JSON.stringify(got), JSON.stringify(want)];
    if (g !== w) failures.push(`${what}: ${g}, not ${w}`);
  };
  const near = (what, got, want, by) => {
    checks++;
    if (!(Math.abs(got - want) <= by)) failures.push(`${what}: ${got}, not ${want}`);
  };
  const holds = (what, is) => {
    checks++;
    if (!is) failures.push(what);
  };

  // layout.js
  const small = { layers: 30, heads: 9, tokens: 200, width: 1080, height: 900 };
  const g = layout.gridLayout(small);
  holds('the grid fits its width', g.width <= small.width && !g.scrolls && !g.side);
  for (const shape of [
    [6, 12],
    [30, 9],
    [32, 32],
    [48, 64],
    [1, 1],
    [18, 4],
  ]) {
    for (const width of [320, 390, 760, 1080, 1400, 2200]) {
      for (const n of [1, 7, 30, 48, 4000]) {
        const l = layout.gridLayout({ layers: shape[0], heads: shape[1], tokens: n, width, height: 900 });
        holds(`cells of ${shape} at ${width} are never under 24`, l.cell >= 24 && l.cell <= (l.side ? 60 : 44) + 8);
        holds(
          `${shape} at ${width} is the same twice`,
          JSON.stringify(l) ===
            JSON.stringify(layout.gridLayout({ layers: shape[0], heads: shape[1], tokens: n, width, height: 900 })),
        );
      }
    }
  }
  holds(
    'many heads stand in the left half',
    layout.gridLayout({ layers: 32, heads: 32, tokens: 100, width: 1400, height: 900 }).side,
  );
  const few = layout.gridLayout({ layers: 6, heads: 12, tokens: 100, width: 1400, height: 900 });
  holds('few layers stand beside the head, larger', few.side && few.cell > 44 && !few.scrolls);
  for (const [layer, head] of [
    [0, 0],
    [29, 8],
    [13, 4],
  ]) {
    const { x, y, size } = layout.cellRect(g, layer, head);
    equal('the head under its own cell', layout.cellAt(g, x + size / 2, y + size / 2), { layer, head });
    equal('the head at its corner', layout.cellAt(g, x, y), { layer, head });
  }
  equal('no head beside the grid', layout.cellAt(g, 3, 3), null);
  equal('no head behind the grid', layout.cellAt(g, g.width + 40, 60), null);
  const shape = { layers: 30, heads: 9 };
  equal('an arrow', layout.moveHead({ layer: 3, head: 3 }, 'ArrowRight', shape), { layer: 4, head: 3 });
  equal('an edge stops', layout.moveHead({ layer: 29, head: 8 }, 'ArrowDown', shape), { layer: 29, head: 8 });
  equal('Home', layout.moveHead({ layer: 29, head: 8 }, 'Home', shape), { layer: 0, head: 8 });
  equal('another key', layout.moveHead({ layer: 29, head: 8 }, 'x', shape), null);
  for (const n of [1, 5, 47, 48, 49, 50, 95, 96, 97, 661, 8192]) {
    const bins = Math.min(48, n);
    for (let i = 0; i < n; i += Math.max(1, n >> 7)) {
      const b = layout.binOf(i, n, bins);
      holds(
        `token ${i} of ${n} lies in its bin`,
        layout.binStart(b, n, bins) <= i && (b + 1 === bins || i < layout.binStart(b + 1, n, bins)),
      );
    }
  }
  const thumb = new Uint8Array(48 * 48);
  for (let i = 0; i < 48; i++) thumb[i * 48 + i] = 200;
  for (const size of [24, 31, 35, 44, 48, 70, 96]) {
    const out = new Uint8Array(size * size);
    layout.resample(thumb, 0, 48, 48, size, out);
    for (let i = 0; i < size; i++) holds(`a diagonal stays whole at ${size}`, out[i * size + i] === 200);
    equal(
      'nothing is made up',
      [...new Set(out)].sort((a, b) => a - b),
      [0, 200],
    );
  }

  // map_layout.js
  const n = 1000;
  equal('the whole map', map.clampView(map.fitView(n), n), { span: n, key: 0, query: 0 });
  const closer = map.zoomView(map.fitView(n), 2, 0.25, 0.75, n);
  equal(
    'zoom keeps the point under the pointer',
    [closer.key + 0.25 * closer.span, closer.query + 0.75 * closer.span],
    [250, 750],
  );
  equal('back out is the whole map', map.zoomView(closer, 1e9 / 1e12, 0.5, 0.5, n), { span: n, key: 0, query: 0 });
  equal('a view stays inside', map.clampView({ key: -5, query: 990, span: 100 }, n), { span: 100, key: 0, query: 900 });
  equal('level of a fitted short text', map.levelFor(50, 400, 50), 0);
  equal('level of a fitted long text', map.levelFor(8192, 512, 8192), 4);
  equal(
    'sizes halve upwards',
    [0, 1, 2, 3].map((z) => map.levelSize(661, z)),
    [661, 331, 166, 83],
  );
  const tiles = map.tilesFor(map.fitView(661), 0, 661, true);
  equal(
    'no tile above the diagonal',
    tiles.map((t) => [t.x, t.y]),
    [
      [0, 0],
      [0, 1],
      [1, 1],
      [0, 2],
      [1, 2],
      [2, 2],
    ],
  );
  equal('edge tiles are smaller', [tiles.at(-1).w, tiles.at(-1).h], [149, 149]);
  equal('an encoder wants them all', map.tilesFor(map.fitView(661), 0, 661, false).length, 9);
  equal('round ticks', [map.tickStep(600, 400, 40), map.tickStep(50, 400, 40), map.tickStep(8192, 400, 40)], [100, 5, 1000]);
  const l = map.mapLayout(560, 50);
  equal('the token under a point', map.tokenAt(l.x + l.size / 2, l.x, l, 0, 50, 50), 25);
  equal('no token outside', [map.tokenAt(l.x - 1, l.x, l, 0, 50, 50), map.tokenAt(l.x + l.size, l.x, l, 0, 50, 50)], [-1, -1]);
  const bright = new Uint8Array(48 * 48);
  bright[30 * 48 + 12] = 255;
  const content = map.contentView(bright, 0, 48, 48, 480);
  holds(
    'content is in its view',
    content.key <= 120 &&
      content.key + content.span >= 130 &&
      content.query <= 300 &&
      content.query + content.span >= 310 &&
      content.span < 120,
  );
  equal('an empty map has no content', map.contentView(new Uint8Array(4), 0, 2, 2, 2), null);

  // colour.js
  for (const scale of colour.SCALES) {
    equal(`${scale} begins at 0`, colour.unitOf(0, scale), 0);
    near(`${scale} ends at 1`, colour.unitOf(1, scale), 1, 1e-12);
    for (const w of [0.001, 0.03, 0.5]) near(`${scale} and back`, colour.weightAt(colour.unitOf(w, scale), scale), w, 1e-12);
    for (const stops of Object.values(colour.RAMPS)) {
      const table = colour.byteTable(stops, scale);
      equal('256 colours', table.length, 256);
      const [r, gr, b] = colour.parseHex(stops[0]);
      equal('zero is the first colour', table[0], ((255 << 24) | (b << 16) | (gr << 8) | r) >>> 0);
      let before = null;
      for (let v = 0; v < 256; v++) {
        const y = colour.luminance([table[v] & 255, (table[v] >> 8) & 255, (table[v] >> 16) & 255]);
        if (before !== null) holds(`${scale} runs one way`, stops[0] === '#ffffff' ? y <= before + 1e-9 : y >= before - 1e-9);
        before = y;
      }
    }
  }
  for (const stops of Object.values(colour.RAMPS)) {
    for (let t = 0; t <= 1; t += 0.01) {
      const c = colour.colourAt(stops, t);
      holds(`numbers can be read at ${t}`, colour.contrast(c, colour.inkOn(c)) >= 4.3);
    }
  }
  near('contrast of black and white', colour.contrast([0, 0, 0], [255, 255, 255]), 21, 1e-9);

  // tokens.js: a rocket takes four bytes, here two tokens
  const text = 'a \u017c\u{1f680}\n';
  const made = tokens.pieces(text, [
    { start: 0, end: 0, text: '<s>', special: true },
    { start: 0, end: 1, text: 'a' },
    { start: 1, end: 4, text: ' \u017c' },
    { start: 4, end: 6, text: '\ufffd' },
    { start: 6, end: 8, text: '\ufffd' },
    { start: 8, end: 9, text: '\n' },
  ]);
  equal(
    'pieces',
    made.map((p) => p.text),
    ['<s>', 'a', ' \u017c', '\u{1f680}', '\u00b7', '\n'],
  );
  equal(
    'parts',
    made.map((p) => p.part),
    [null, null, null, [1, 2], [2, 2], null],
  );
  equal(
    'labels',
    made.map((p) => tokens.label(p)),
    ['<s>', 'a', '\u017c', '\u{1f680}', '\u{1f680}', '\u21b5'],
  );
  equal('a long label is cut', tokens.label({ text: 'abcdefghij' }, 5), 'abcd\u2026');
  equal('token ids alone', tokens.pieces(null, [{ id: 7, text: null, start: 0, end: 0 }])[0].text, '#7');

  // a pair: each text counts for itself, and what stands in neither is added
  const pair = tokens.pieces(
    'a b',
    [
      { start: 0, end: 0, text: '[CLS]', special: true, sequence: 0 },
      { start: 2, end: 3, text: 'b', sequence: 0 },
      { start: 0, end: 2, text: '\u017c', sequence: 1 },
    ],
    '\u017c.',
  );
  equal(
    'pieces of a pair',
    pair.map((p) => [p.text, p.start, p.added]),
    [
      ['[CLS]', 0, true],
      ['b', 2, false],
      ['\u017c', 0, false],
    ],
  );

  // input.js
  const chat = { messages: [{ role: 'user', content: 'Hi' }, { role: 'assistant', content: '' }] };
  equal('a text becomes a chat', input.convert({ text: 'Hi' }, 'chat'), chat);
  equal('and a text again', input.convert(chat, 'text'), { text: 'Hi' });
  equal('a pair keeps both', input.convert({ text: 'a', text_pair: 'b' }, 'target'), { text: 'a', target: 'b' });
  equal('an empty message is not sent', input.bodyOf(chat), { messages: [chat.messages[0]] });
  equal(
    'complete',
    [{ text: '' }, { text: 'a', text_pair: '' }, { text: 'a', target: 'b' }, { messages: [] }, chat].map(input.isComplete),
    [false, false, true, false, true],
  );
  equal(
    'kinds',
    [
      null,
      { tokenizer: '' },
      { tokenizer: 'bpe' },
      { tokenizer: 'wordpiece', pairs: true },
      { tokenizer: 'bpe', chat: 'chatml' },
      { tokenizer: 'unigram', sections: ['encoder', 'decoder', 'cross'] },
    ].map((model) => input.kindsOf(model).map(([kind]) => kind)),
    [[], [], ['text'], ['text', 'pair'], ['text', 'chat'], ['target']],
  );
  const spoken = '<s>Hi \u017c</s>';
  const messages = [
    { role: 'system', first: 0, end: 1, content: [0, 3], given: false },
    { role: 'user', first: 1, end: 4, content: [3, 8], given: true },
  ];
  equal('what a chat was made of', input.inputOf({ text: spoken, messages }), { messages: [{ role: 'user', content: 'Hi \u017c' }] });
  equal(
    'segments of a pair',
    input.segmentsOf({ textPair: 'b', tokens: [{ sequence: 0 }, { sequence: 0 }, { sequence: 1 }] }).map((s) => [s.first, s.end]),
    [
      [0, 2],
      [2, 3],
    ],
  );
  const three = ['system', 'user', 'assistant'].map((name, i) => ({ name, first: 3 * i, end: 3 * i + 3 }));
  equal(
    'what parts can read of each other',
    [true, false].map((causal) => input.crossings(three, causal, 9).map(([a, b]) => `${a.first}${b.first}`)),
    [
      ['30', '60', '63'],
      ['03', '06', '30', '36', '60', '63'],
    ],
  );
  equal('segments of a text', input.segmentsOf({ textPair: null, tokens: [{}] }), []);

  // lines.js: cut inside a character and inside a line
  const bytes = new TextEncoder().encode('{"a":"\u017c"}\n\n{"b":2}\n{"c":3}');
  for (let cut = 1; cut < bytes.length; cut++) {
    const reader = new lines.LineReader();
    equal(
      `cut at ${cut}`,
      [...reader.push(bytes.subarray(0, cut)), ...reader.push(bytes.subarray(cut)), ...reader.end()],
      [{ a: '\u017c' }, { b: 2 }, { c: 3 }],
    );
  }

  // statistics.js, url_state.js, reading.js
  equal('dash for what does not apply', format.format('induction_mass', null), '\u2013');
  equal(
    'shares',
    [format.format('sink_mass', 0.954), format.percent(0.954), format.weight(0), format.weight(0.37204)],
    ['0.95', '95\u202f%', '0', '0.3720'],
  );
  equal(
    'thin',
    [statistics.isThin({ induction_rows: 8 }, 'induction_mass'), statistics.isThin({ induction_rows: 20 }, 'induction_mass')],
    [true, false],
  );
  const view = address.parseFragment('#layer=5&head=1&query=17&scale=log&sinks=shown&paint=entropy');
  equal('a view there and back', address.formatFragment(view), '#layer=5&head=1&query=17&scale=log&sinks=shown&paint=entropy');
  equal(
    'nonsense is left out',
    address.formatFragment(address.parseFragment('#layer=-1&head=x&scale=red&paint=<b>&query=1e9')),
    '',
  );
  equal(
    'paths',
    ['/', '/a/00ff', '/s/x', '/a/'].map((p) => address.parsePath(p).page),
    ['write', 'analysis', 'share', 'write'],
  );
  const top = reading.strongest(Float32Array.of(0.75, 0.125, 0, 0.0625, 0.03125, 0.00001), new Set([0]), 2, 0.0005);
  equal('the strongest', top, {
    best: [
      [1, 0.125],
      [3, 0.0625],
    ],
    shown: 0.1875,
    sunk: 0.75,
    more: 2,
  });

  // types.js, between.js, columns.js
  const head = (layer, ...names) => ({ layer, head: 0, scores: { 'repeat.induction': layer / 2 }, types: names.map((type) => ({ type })) });
  const found = [head(0, 'sink', 'induction'), head(1), head(2, 'sink')];
  const lifted = (lift, grey) => ({ layer: 0, head: 0, lifts: { induction_mass: { lift, grey } } });
  const probed = {
    atlas: { heads: found, byHead: new Map(found.map((f) => [`${f.layer}.0`, f])) },
    lifts: { id: 'x', items: [0.5, null, -0.25].map((lift, layer) => ({ ...lifted(lift, layer === 2), layer })) },
    analysis: {
      id: 'x',
      layers: 3,
      heads: 1,
      stats: [0.5, null, 0.01].map((v) => [{ induction_mass_without_sinks: v, induction_rows: 30, sink_mass: 0.9 }]),
    },
  };
  equal('what says most comes first', types.typesOf(probed, 0, 0).map((t) => t.type), ['induction', 'sink']);
  equal('how many of each', types.typeCounts(probed), [['induction', 1], ['sink', 2]]);
  equal('who is of a type', [0, 1, 2].map((layer) => types.hasType(probed, { layer, head: 0 }, 'sink')), [true, false, true]);
  equal('any head where none is asked for', types.hasType(probed, { layer: 1, head: 0 }, null), true);
  equal('what it did here', [0, 1, 2].map((layer) => types.hereWords(probed, 'induction', layer, 0)), ['0.50 here', 'dormant here', 'dormant here, 0.01']);
  equal('a score of the probes is a column', [...columns.valuesOf(probed, 'probe.repeat.induction')], [0, 0.5, 1]);
  equal('a lift is a column', [...columns.valuesOf(probed, 'lift.induction_mass')].map(String), ['0.5', 'NaN', '-0.25']);
  equal('and pale where little stands behind it', [0, 2].map((layer) => columns.isPale(probed, 'lift.induction_mass', layer, 0)), [false, true]);
  equal('lifts of another text are not shown', [...columns.valuesOf({ ...probed, lifts: { ...probed.lifts, id: 'y' } }, 'lift.induction_mass')].map(String), ['NaN', 'NaN', 'NaN']);
  equal('no columns', [columns.column('<b>') ?? null, columns.column('probe.x') ?? null], [null, null]);
  equal('spans', ['2:5', '5:5', 'x', '3:99'].map((t) => between.parseSpan(t, 10)), [[2, 5], null, null, [3, 10]]);
  for (const theme of ['light', 'dark']) {
    equal('no difference is the ground', colour.divergingAt(theme, 0), colour.parseHex(colour.RAMPS[theme][0]));
    const [less, more] = [-0.5, 0.5].map((t) => colour.divergingAt(theme, t));
    holds('purple is less, green is more', less[2] > less[1] && more[1] > more[0]);
    equal('the byte of no difference', colour.divergingTable(theme)[128] & 255, colour.parseHex(colour.RAMPS[theme][0])[0]);
  }

  return { checks, failures };
})();
