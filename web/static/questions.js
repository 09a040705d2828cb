// What the views beside Heads are made of: each asks a question, keeps its answer in the store and shows it in a panel of its own.

import { watchAtlas } from './atlas.js';
import { watchBeside } from './beside.js';
import { watchBetween } from './between.js';
import { watchCompare } from './compare.js';
import { watchDifference } from './difference.js';
import { watchDilution } from './dilution.js';
import { byId } from './dom.js';
import { watchFind } from './find.js';
import { watchGroups } from './groups.js';
import { watchSyntax } from './syntax.js';
import { watchTypes } from './type_chips.js';

// choose(layer, head): open a head
export function watchQuestions(store, choose) {
  watchAtlas(store);
  watchTypes(store, byId('types'));
  watchBetween(store);
  watchFind(store, byId('find'));
  watchDilution(store, byId('depth'));
  watchGroups(store, byId('groups'), choose);
  watchCompare(store, byId('compare'));
  watchSyntax(store, byId('syntax'), choose);
  watchBeside(store, byId('beside'));
  watchDifference(store, byId('difference'));
}
