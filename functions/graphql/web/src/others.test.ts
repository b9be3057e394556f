import assert from 'node:assert/strict';
import { test } from 'node:test';
import { advance, readersOf } from './reading.ts';
import { spaced } from './spaced.ts';
import { sentence, shownFor, typed, without, type Typists } from './typing.ts';

const names = (typists: Typists) => [...typists.values()].map((t) => t.name).join(' ');

test('who types is shown for a while after the last event, or until a message', () => {
  let all = typed(typed(new Map(), '1', 'Ada', 0), '2', 'Bo', 1000);
  assert.equal(names(without(all, shownFor - 1)), 'Ada Bo');
  assert.equal(names(without(all, shownFor)), 'Bo');
  all = typed(all, '1', 'Ada', 3000);
  assert.equal(names(without(all, shownFor)), 'Ada Bo');
  assert.equal(names(without(all, 3000, ['Ada'])), 'Bo');
});

test('the user reads who types', () => {
  assert.deepEqual([[], ['Ada'], ['Ada', 'Bo'], ['Ada', 'Bo', 'Cy']].map(sentence),
    ['', '\u2068Ada\u2069 is typing…', '\u2068Ada\u2069 and \u2068Bo\u2069 are typing…', 'Several people are typing…']);
});

const mark = (reader: string, messageId: string) => ({ reader, messageId, name: reader.toUpperCase() });

test('marks only move forward, and tell who has read what', () => {
  const marks = advance(advance(new Map(), [mark('a', '2'), mark('b', '3'), mark('me', '9')]), [mark('a', '1'), mark('b', '4'), mark('c', '1')]);
  const readers = (id: string) => readersOf(marks, id, (reader) => reader === 'me').join('');
  assert.deepEqual(['1', '2', '3', '4', '5'].map(readers), ['ABC', 'AB', 'B', 'B', '']);
});

test('of the calls in a pause the last is made after it', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const made: number[] = [], { call, drop } = spaced(3000, (n: number) => made.push(n));
  for (const n of [1, 2, 3]) call(n);
  assert.deepEqual(made, [1]);
  t.mock.timers.tick(2999);
  assert.deepEqual(made, [1]);
  t.mock.timers.tick(1);
  assert.deepEqual(made, [1, 3]);
  t.mock.timers.tick(3000);
  call(4);
  assert.deepEqual(made, [1, 3, 4]);
  call(5);
  drop();
  t.mock.timers.tick(9000);
  assert.deepEqual(made, [1, 3, 4]);
});
