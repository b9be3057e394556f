import assert from 'node:assert/strict';
import { test } from 'node:test';
import { merge, sort, type Draft, type Message } from './messages.ts';

const message = (id: string, content = id, senderName = 'Ada'): Message => ({ id, content, senderName, createdAt: '', mine: false });
const draft = (key: number, content: string, rest: Partial<Draft> = {}): Draft =>
  ({ key, content, createdAt: '', after: '1', ...rest });
const ids = (items: { id: string }[]) => items.map((m) => m.id).join('');
const mergeIds = (existing: string, incoming: string) =>
  ids(merge([...existing].map((id) => message(id)), [...incoming].map((id) => message(id)), (m) => m.id));

test('messages are in order and there once, however they come', () => {
  for (const [existing, incoming, want] of [
    ['', '', ''], ['', 'b', 'b'], ['ac', 'b', 'abc'], ['ac', 'ca', 'ac'], ['c', 'bab', 'abc'], ['cd', 'ab', 'abcd'],
  ] as const) assert.equal(mergeIds(existing, incoming), want, `${existing} and ${incoming}`);
});

test('of two forms of a message the later counts', () => {
  assert.equal(merge([message('1', 'old')], [message('1', 'new')], (m) => m.id)[0]?.content, 'new');
});

const isAda = (m: Message) => m.senderName === 'Ada';
const keys = (drafts: Draft[], messages: Message[]) => sort(drafts, messages, isAda).outstanding.map((d) => d.key);

test('a draft is outstanding until its message is there', () => {
  assert.deepEqual(keys([draft(1, 'hi')], []), [1]);
  assert.deepEqual(keys([draft(1, 'hi')], [message('2', 'hi')]), []); // by the subscription
  assert.deepEqual(keys([draft(1, 'hi', { id: '2' })], []), []); // by the answer
  assert.deepEqual(keys([draft(1, 'hi', { failure: 'no answer' })], [message('2', 'hi')]), []); // applied anyway
});

test('a draft is not taken for the message of somebody else, of before or of another draft', () => {
  assert.deepEqual(keys([draft(1, 'hi')], [message('2', 'hi', 'Bob')]), [1]);
  assert.deepEqual(keys([draft(1, 'hi', { after: '2' })], [message('2', 'hi')]), [1]);
  assert.deepEqual(keys([draft(1, 'hi', { id: '2' }), draft(2, 'hi')], [message('2', 'hi')]), [2]);
  assert.deepEqual(keys([draft(1, 'hi'), draft(2, 'hi')], [message('2', 'hi')]), [2]);
});

test('of the messages those are own that come of drafts, not all by the name', () => {
  const own = (drafts: Draft[], ...messages: Message[]) => [...sort(drafts, messages, isAda).own].join('');
  assert.equal(own([], message('2', 'hi')), ''); // another Ada's
  assert.equal(own([draft(1, 'hi', { id: '2' })], message('2', 'hi'), message('3', 'hi')), '2');
  assert.equal(own([draft(1, 'hi')], message('2', 'hi')), '2');
});

test('with a token the server says whose a draft\'s message is', () => {
  const left = (m: Message) => sort([draft(1, 'hi')], [m], (m) => m.mine).outstanding.length;
  assert.equal(left(message('2', 'hi')), 1); // another Ada's
  assert.equal(left({ ...message('2', 'hi', 'Ada L.'), mine: true }), 0);
});
