import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nameOf } from './identity.ts';

const token = (claims: unknown) => `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`;

test('a name is read from a token as the server reads it', () => {
  assert.equal(nameOf(token({ sub: 'u1', name: 'Zoë 🦊?~' })), 'Zoë 🦊?~');
  assert.equal(nameOf(token({ sub: 'u1' })), 'u1');
  for (const none of ['', 'abc', 'a.b.c', token({}), token(null)]) assert.equal(nameOf(none), undefined, none);
});
