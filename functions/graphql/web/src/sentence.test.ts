import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sentence } from './sentence.ts';

const cases: [string, unknown, string][] = [
  ['an operation that is refused', [{ message: 'you may not read the chat', extensions: { code: 'FORBIDDEN' } }], 'You may not read the chat (FORBIDDEN).'],
  ['several errors', [{ message: 'One' }, { message: 'two.' }], 'One. Two.'],
  ['a token that is not accepted', new Error('Invalid message type "connection_error: 4403 Forbidden"'),
    'The server refused the connection: Forbidden (4403). Enter a token that this server accepts.'],
  ['a token that expired', new Error('"connection_error: 4401 Token expired"'), 'The server refused the connection: Token expired (4401). Enter a new token.'],
  ['another reason', new Error('"connection_error: 4409 Subscriber for 1 already exists"'),
    'The server refused the connection: Subscriber for 1 already exists (4409).'],
  ['a token that a host does not accept', { code: 4403, reason: 'Forbidden' }, 'The server refused the connection: Forbidden (4403). Enter a token that this server accepts.'],
  ['a message that is too large for a host', { code: 1009, reason: 'Message too big' }, 'The server refused the connection: Message too big (1009).'],
  ['a close that says nothing', { code: 1006, reason: '' }, 'The server cannot be reached.'],
  ['another failure', new Error('too long'), 'too long.'],
  ['a lost socket', {}, 'The server cannot be reached.'],
];
for (const [name, e, want] of cases) test(name, () => assert.equal(sentence(e), want));
