import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressFor, nameOf, personOf, remembered, takeName } from './identity.ts';

const token = (claims: unknown) => `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`;

test('a name is read from a token as the server reads it', () => {
  assert.equal(nameOf(token({ sub: 'u1', name: 'Zoë 🦊?~' })), 'Zoë 🦊?~');
  assert.equal(nameOf(token({ sub: 'u1' })), 'u1');
  for (const none of ['', 'abc', 'a.b.c', token({}), token(null)]) assert.equal(nameOf(none), undefined, none);
});

test('people are distinguished by name, or by the subject of their token', () => {
  const people = [
    { name: 'Ada', token: '' }, { name: 'Bob', token: '' }, { name: 'Ada', token: token({ sub: 'u1', name: 'Ada' }) },
    { name: 'Ada', token: token({ sub: 'u2', name: 'Ada' }) }, { name: 'u1', token: '' }];
  assert.equal(new Set(people.map(personOf)).size, people.length);
  assert.equal(personOf({ name: 'A. L.', token: token({ sub: 'u1', name: 'A. L.' }) }), personOf(people[2]!));
});

test('an address gives a name that this browser has made, and no other', () => {
  takeName('#as=Mallory');
  assert.equal(remembered(false).name, '');
  const { hash } = new URL(addressFor('lobby', { name: '', token: '' }), 'http://localhost');
  takeName(hash);
  assert.equal(remembered(false).name, decodeURIComponent(hash.slice('#as='.length)));
});
