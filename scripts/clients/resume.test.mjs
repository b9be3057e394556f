// Tests of resume.mjs with a fake client: node --test
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClient } from 'graphql-ws';
import WebSocket, { WebSocketServer } from 'ws';
import { isRefusal, resuming, settings } from '../../functions/graphql/web/src/resume.mjs';

const query = 'subscription ($after: ID) { newMessage(chatId: "1", after: $after) { id } }';
const next = (id) => ({ data: { newMessage: { id } } });

// fake is a graphql-ws client that records what it would send.
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
  client.listeners.ping(true); // the server's ping, which proves nothing
  t.mock.timers.tick(60_000);
  assert.equal(client.terminated, 0);
  client.listeners.ping(false);
  t.mock.timers.tick(60_000);
  assert.equal(client.terminated, 1);
});

// The server's decisions, in shared/transportws/close.go.
const reasons = {
  '4400 message cannot be read as JSON': false,
  '4401 Unauthorized': false,
  '4401 Token expired': true,
  '4401 Connection expired': true,
  '4401 Connection revoked': false,
  '4403 Forbidden': false,
  '4403 Too many connections': true,
  '4429 Allowance spent': true,
  '4408 Connection initialisation timeout': true,
  '4409 Subscriber for connection_error: 4500 already exists': false,
  '4429 Too many initialisation requests': false,
  '4429 Too many messages': false,
  '4500 Internal server error': true,
};
const frame = (reason) => JSON.stringify({ type: `connection_error: ${reason}`, payload: {} });

test('a refusal is told from a lost network', () => {
  assert.ok(!isRefusal({ code: 1006, reason: '' }));
  assert.ok(!isRefusal(undefined));
});

// graphql-ws against a server that refuses its first connection, either the init
// or a later message, and closes with 1000, as API Gateway does.
for (const [reason, retried] of Object.entries(reasons)) {
  for (const late of [false, true]) {
    test(`${reason}, ${late ? 'after' : 'before'} the acknowledgement: ${retried ? 'again' : 'the end'}`, async (t) => {
      const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
      t.after(() => server.close());
      const tokens = [];
      server.on('connection', (socket) => {
        socket.on('message', (data) => {
          const message = JSON.parse(data);
          if (message.type === 'connection_init') tokens.push(message.payload.token);
          if (tokens.length === 1 && message.type === (late ? 'subscribe' : 'connection_init')) {
            socket.send(frame(reason));
            socket.close(1000);
          } else if (message.type === 'connection_init') {
            socket.send('{"type":"connection_ack"}');
          } else if (message.type === 'subscribe') {
            socket.send(JSON.stringify({ id: message.id, type: 'next', payload: next('A') }));
          }
        });
      });
      await new Promise((resolve) => server.on('listening', resolve));
      let token = 0;
      const client = createClient({
        ...settings,
        url: `ws://127.0.0.1:${server.address().port}`,
        webSocketImpl: WebSocket,
        connectionParams: () => ({ token: ++token }), // called each time: there may be a new token
        lazyCloseTimeout: 0,
      });
      const outcome = await new Promise((resolve) => {
        resuming(client).subscribe({ query, variables: {} }, { next: resolve, error: resolve, complete: () => resolve('complete') });
      });
      if (retried) {
        assert.deepEqual(outcome, next('A'));
        assert.deepEqual(tokens, [1, 2]);
      } else {
        assert.ok(outcome.message.includes(`connection_error: ${reason}`), String(outcome));
        assert.deepEqual(tokens, [1]);
      }
      await client.dispose();
    });
  }
}
