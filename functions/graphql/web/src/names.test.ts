import assert from 'node:assert/strict';
import { test } from 'node:test';
import { initialOf, isShort } from './names.ts';

const family = '👨‍👩‍👧‍👦', accented = 'e\u0301';

test('a name is stood for by its first character as people see it', () => {
  for (const [name, want] of [['ada', 'A'], [`${family} Smith`, family], [`${accented}lise`, accented.toUpperCase()], ['🇳🇿 Kiri', '🇳🇿'],
    ['नि', 'नि'], [' Bob', 'B'], ['', '']]) assert.equal(initialOf(name!), want);
});

test('a name is as long as people count, and fits the server', () => {
  for (const [name, want] of [['x'.repeat(30), true], ['x'.repeat(31), false], [accented.repeat(30), true], [family.repeat(5), true],
    [family.repeat(6), false], ['', true]] as const) assert.equal(isShort(name), want, name);
});
