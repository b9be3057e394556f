import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isOwn, merge, shown, type Message } from './messages.ts';
import type { Draft } from './outbox.ts';

const message = (id: string, content = id, senderName = 'Ada'): Message => ({ id, content, senderName, createdAt: '', mine: false });
const draft = (key: string, content: string, rest: Partial<Draft> = {}): Draft =>
  ({ key, chatId: 'c', content, createdAt: '', after: '1', ...rest });
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

const ada = { name: 'Ada', token: '' }, withToken = { name: 'Ada', token: 'e30.e30.e30' };
const left = (messages: Message[], drafts: Draft[], written = '', user = ada) => ids([...shown(messages, drafts, user, new Set(written))]);

test('without a token those are own that were written here, under this name', () => {
  const own = (m: Message, written = '') => isOwn(m, ada, new Set(written));
  assert.deepEqual([own(message('2')), own(message('2'), '2'), own(message('2', 'hi', 'Bob'), '2')], [false, true, false]);
});

test('with a token the server says what is own', () => {
  const own = (m: Message, written = '') => isOwn(m, withToken, new Set(written));
  assert.deepEqual([own(message('2'), '2'), own({ ...message('2', 'hi', 'Ada L.'), mine: true })], [false, true]);
});

test('a message that may be a draft\'s stays behind it', () => {
  assert.equal(left([message('2', 'hi')], [draft('a', 'hi')]), '');
  assert.equal(left([message('2', 'hi'), message('3', 'hi')], [draft('a', 'hi')]), '3');
  assert.equal(left([message('2', 'hi')], [draft('a', 'hi'), draft('b', 'hi')]), '');
  assert.equal(left([{ ...message('2', 'hi', 'Ada L.'), mine: true }], [draft('a', 'hi')], '', withToken), '');
});

test('all other messages are shown', () => {
  assert.equal(left([message('2', 'hi')], []), '2');
  assert.equal(left([message('2', 'hi', 'Bob')], [draft('a', 'hi')]), '2');
  assert.equal(left([message('2', 'hi')], [draft('a', 'hi', { after: '2' })]), '2');
  assert.equal(left([message('2', 'hi')], [draft('a', 'hi')], '2'), '2'); // of a draft that was confirmed
  assert.equal(left([message('2', 'hi')], [draft('a', 'hi', { failure: 'no' })]), '2');
  assert.equal(left([message('2', 'hi')], [draft('a', 'hi')], '', withToken), '2'); // another Ada's
});
