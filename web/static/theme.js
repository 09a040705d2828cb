// Light or dark: the system's choice unless the reader makes one, which this browser keeps. Also hands out colour tables.

import { byteTable, divergingTable, RAMPS } from './colour.js';
import { h, segments } from './dom.js';

const KEY = 'headscope-theme';
const dark = matchMedia('(prefers-color-scheme: dark)');

function stored() {
  try {
    return localStorage.getItem(KEY) || 'auto';
  } catch {
    return 'auto'; // storage may be forbidden
  }
}

function keep(choice) {
  try {
    localStorage.setItem(KEY, choice);
  } catch {
    // then the choice lasts as long as the page
  }
}

export function setUpTheme(store, place) {
  let choice = stored();
  const control = segments(
    'Appearance',
    [
      ['auto', 'System'],
      ['light', 'Light'],
      ['dark', 'Dark'],
    ],
    (value) => {
      choice = value;
      keep(value);
      apply();
    },
  );
  place.append(h('span', {}, 'Appearance'), control);
  const apply = () => {
    const theme = choice === 'auto' ? (dark.matches ? 'dark' : 'light') : choice;
    document.documentElement.dataset.theme = theme;
    control.choose(choice);
    store.set({ theme });
  };
  dark.addEventListener('change', apply);
  apply();
}

const tables = new Map();

// { table, stops, name } for the theme and scale of a state; made once each.
export function palette({ theme, scale, diverging }) {
  const name = diverging ? `${theme}/difference` : `${theme}/${scale}`;
  if (diverging && !tables.has(name)) tables.set(name, { name, stops: RAMPS[theme], table: divergingTable(theme) });
  if (!tables.has(name)) tables.set(name, { name, stops: RAMPS[theme], table: byteTable(RAMPS[theme], scale) });
  return tables.get(name);
}
