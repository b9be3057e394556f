import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Client, Sink } from 'graphql-ws';
import { Listenings } from './listening.ts';

/** A client that has the sinks of its subscriptions in order, and counts those that were given up. */
function fakeClient() {
  const sinks: Sink<any>[] = [];
  const fake = {
    sinks,
    unsubscribed: 0,
    subscribe: ((_, sink) => {
      sinks.push(sink as Sink<any>);
      return () => {
        fake.unsubscribed++;
        sink.complete(); // as graphql-ws does
      };
    }) as Client['subscribe'],
  };
  return fake;
}

test('results are appended with their number and time, and the oldest leave the list', () => {
  const client = fakeClient(), listenings = new Listenings();
  listenings.begin(client, 'Listen', { query: 'subscription Listen { x }' });
  for (let i = 1; i <= 250; i++) client.sinks[0]!.next({ data: { i } });
  const [one] = listenings.all.get();
  assert.equal(one!.count, 250);
  assert.equal(one!.newest.length, 200);
  assert.deepEqual([one!.newest[0]!.n, one!.newest.at(-1)!.text], [51, '{"i":250}']);
  assert.ok(one!.newest.every(({ at }) => at > 0 && at <= Date.now()));
});

test('a subscription that begins leaves the others alone', () => {
  const client = fakeClient(), listenings = new Listenings();
  listenings.begin(client, 'A', { query: '' });
  listenings.begin(client, 'B', { query: '' });
  client.sinks[0]!.next({ data: 1 as any });
  assert.deepEqual(listenings.all.get().map(({ name, state, count }) => [name, state, count]), [['A', 'running', 1], ['B', 'running', 0]]);
  assert.equal(client.unsubscribed, 0);
});

test('how a subscription ended stays: stopped, complete or refused', () => {
  const client = fakeClient(), listenings = new Listenings();
  for (const name of ['A', 'B', 'C']) listenings.begin(client, name, { query: '' });
  listenings.stop(1);
  client.sinks[1]!.complete();
  client.sinks[2]!.error([{ message: 'no' }]);
  assert.deepEqual(listenings.all.get().map(({ state, why }) => [state, why]), [['stopped', ''], ['complete', ''], ['refused', 'No.']]);
  listenings.stop(3);
  assert.equal(listenings.all.get()[2]!.state, 'refused');
  listenings.remove(3);
  assert.deepEqual(listenings.all.get().map(({ name }) => name), ['A', 'B']);
});

test('an error in a result is shown', () => {
  const client = fakeClient(), listenings = new Listenings();
  listenings.begin(client, 'A', { query: '' });
  client.sinks[0]!.next({ data: null, errors: [{ message: 'no' }] as any });
  assert.match(listenings.all.get()[0]!.newest[0]!.text, /"message":"no"/);
});
