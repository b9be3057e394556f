// Tests of resume.mjs against a client that the test plays: node --test
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isRefusal, resuming } from '../../functions/graphql/web/src/resume.mjs';

const query = 'subscription ($after: ID) { newMessage(chatId: "1", after: $after) { id } }';
const next = (id) => ({ data: { newMessage: { id } } });

// fake is a graphql-ws client that notes what it would send.
function fake() {
  const f = { sent: [], sinks: [], stops: 0, terminated: 0, listeners: {} };
  f.on = (event, listener) => (f.listeners[event] = listener);
  f.terminate = () => f.terminated++;
  f.subscribe = (payload, sink) => {
    f.payload = payload;
    f.sent.push(JSON.parse(JSON.stringify(payload)).variables);
    f.sinks.push(sink);
    return () => f.stops++;
  };
  f.reconnect = () => f.sent.push(JSON.parse(JSON.stringify(f.payload)).variables);
  return f;
}

function start(variables, options = { retryWait: async () => {} }) {
  const client = fake();
  const got = [];
  const stop = resuming(client, options).subscribe(
    { query, variables },
    { next: (r) => got.push(r.data?.newMessage.id ?? r), error: (e) => got.push(e), complete: () => got.push('complete') },
  );
  return { client, got, stop };
}

test('each connect asks for what follows the largest id seen', () => {
  const { client } = start({ chatId: '1', after: 'B' });
  for (const id of ['D', 'C']) client.sinks[0].next(next(id));
  client.reconnect();
  assert.deepEqual(client.sent, [{ chatId: '1', after: 'B' }, { chatId: '1', after: 'D' }]);
});

test('without an id nothing is asked for', () => {
  assert.deepEqual(start({ chatId: '1' }).client.sent, [{ chatId: '1' }]);
});

test('duplicates are left out, late events are not', () => {
  const { client, got } = start({ after: 'B' });
  for (const id of ['B', 'D', 'A', 'D', 'C', 'A']) client.sinks[0].next(next(id));
  assert.deepEqual(got, ['D', 'A', 'C']);
});

test('results without an id pass', () => {
  const { client, got } = start({});
  client.sinks[0].next({ errors: [] });
  assert.deepEqual(got, [{ errors: [] }]);
});

test('what the server cannot resume now is tried again, other errors end it', async () => {
  const { client, got } = start({ after: 'B' });
  client.sinks[0].next(next('C'));
  await client.sinks[0].error([{ message: 'try again', extensions: { code: 'UNAVAILABLE' } }]);
  assert.deepEqual(client.sent, [{ after: 'B' }, { after: 'C' }]);
  const limit = [{ message: 'too much', extensions: { code: 'REPLAY_LIMIT' } }];
  await client.sinks[1].error(limit);
  assert.deepEqual(got, ['C', limit]);
});

test('who stops while it waits is not subscribed again', async () => {
  let go;
  const { client, got, stop } = start({}, { retryWait: () => new Promise((resolve) => (go = resolve)) });
  const done = client.sinks[0].error([{ extensions: { code: 'UNAVAILABLE' } }]);
  stop();
  go();
  await done;
  assert.equal(client.sinks.length, 1);
  assert.deepEqual(got, ['complete']);
});

test('operations without $after are passed on as they are', () => {
  const client = fake();
  const payload = { query: 'subscription { newMessage(chatId: "1") { id } }' };
  const sink = {};
  resuming(client).subscribe(payload, sink);
  assert.equal(client.payload, payload);
  assert.equal(client.sinks[0], sink);
});

test('a socket that does not answer a ping is given up', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const client = fake();
  resuming(client);
  client.listeners.ping(false);
  client.listeners.pong(true);
  t.mock.timers.tick(60_000);
  assert.equal(client.terminated, 0);
  client.listeners.ping(true); // the server's, which says nothing
  t.mock.timers.tick(60_000);
  assert.equal(client.terminated, 0);
  client.listeners.ping(false);
  t.mock.timers.tick(60_000);
  assert.equal(client.terminated, 1);
});

test('a refusal is told from a lost network', () => {
  assert.ok(isRefusal(new Error(`Invalid message 'type' property "connection_error: 4403 Forbidden"`)));
  assert.ok(!isRefusal({ code: 1006, reason: '' }));
  assert.ok(!isRefusal(undefined));
});
