// Tests of resume.mjs with a fake client: node --test
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { createClient } from 'graphql-ws';
import WebSocket, { WebSocketServer } from 'ws';
import { isRefusal, resuming, settings } from './resume.mjs';

const query = 'subscription ($after: ID) { newMessage(chatId: "1", after: $after) { id } }';
const next = (id) => ({ data: { newMessage: { id } } });

// fake is a graphql-ws client that records what it would send.
function fake() {
  const f = { sent: [], sinks: [], stops: 0, terminated: 0, listeners: {} };
  f.on = (event, listener) => (f.listeners[event] = listener);
  f.terminate = () => f.terminated++;
  f.dispose = () => {};
  f.subscribe = (payload, sink) => {
    f.payload = payload;
    f.sent.push(JSON.parse(JSON.stringify(payload)).variables);
    f.sinks.push(sink);
    return () => f.stops++;
  };
  f.reconnect = () => f.sent.push(JSON.parse(JSON.stringify(f.payload)).variables);
  return f;
}

function start(variables, options = { retryWait: async () => {} }, document = query) {
  const client = fake();
  const got = [];
  const wrapped = resuming(client, options);
  const stop = wrapped.subscribe(
    { query: document, variables },
    { next: (r) => got.push(r.data?.newMessage.id ?? r), error: (e) => got.push(e), complete: () => got.push('complete') },
  );
  return { client, got, stop, dispose: wrapped.dispose };
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

test('what the schema has no longer ends it with the reason, and is not tried again', async () => {
  for (const code of ['GRAPHQL_VALIDATION_FAILED', 'BAD_USER_INPUT']) {
    const { client, got } = start({ after: 'B' });
    const gone = [{ message: 'The schema has changed, and this subscription has ended.', extensions: { code } }];
    await client.sinks[0].error(gone);
    assert.deepEqual(got, [gone]);
    assert.equal(client.sinks.length, 1);
  }
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

test('operations without $after are passed on as they are, with every event', () => {
  const { client, got } = start({}, {}, 'subscription { newMessage(chatId: "1") { id } }');
  for (const id of ['B', 'B']) client.sinks[0].next(next(id));
  client.sinks[0].complete();
  assert.deepEqual(client.sent, [{}]);
  assert.deepEqual(got, ['B', 'B', 'complete']);
});

test('any subscription begins again on UNAVAILABLE, a query or mutation ends', async () => {
  const unavailable = [{ message: 'try again', extensions: { code: 'UNAVAILABLE' } }];
  for (const [document, begins] of [
    ['subscription { typing { who } }', 2], ['\n  subscription Typing{ typing { who } }', 2],
    ['{ subscription { id } }', 1], ['mutation { subscription { id } }', 1], ['query subscription { a }', 1],
  ]) {
    const { client, got } = start({}, undefined, document);
    await client.sinks[0].error(unavailable);
    assert.equal(client.sinks.length, begins, document);
    assert.deepEqual(got, begins === 1 ? [unavailable] : [], document);
  }
});

// Else every client of a throttled server comes again each second, for ever.
test('what comes on each attempt does not end the waiting', async (t) => {
  t.mock.timers.enable({ apis: ['Date'] });
  for (const document of [query, 'subscription { newMessage(chatId: "1") { id } }']) {
    const waited = [];
    const { client } = start({ after: 'A' }, { retryWait: async (attempts) => waited.push(attempts) }, document);
    const fails = async (id) => {
      client.sinks.at(-1).next(next(id));
      await client.sinks.at(-1).error([{ extensions: { code: 'UNAVAILABLE' } }]);
    };
    for (let i = 0; i < 3; i++) await fails('A');
    assert.deepEqual(waited, [0, 1, 2], document);
    t.mock.timers.tick(60_000);
    await fails('A');
    assert.equal(waited.at(-1), 0, 'it lasted');
    await fails('A');
    await fails('B');
    assert.equal(waited.at(-1), document === query ? 0 : 2, 'an event is progress');
  }
});

test('what was waiting when the client was disposed of is not sent again', async () => {
  let go;
  const { client, got, dispose } = start({}, { retryWait: () => new Promise((resolve) => (go = resolve)) });
  const done = client.sinks[0].error({ code: 4004, reason: 'Bad response' });
  dispose();
  go();
  await done;
  assert.equal(client.sinks.length, 1);
  assert.deepEqual(got, ['complete']);
});

// What graphql-ws gives up on without asking, as a close event. 1006 and others it has asked about.
for (const [code, reason, again] of [
  [1011, '', true], [4004, 'Bad response', true], [4005, 'no token', true], [4500, 'Internal server error', true],
  [4401, 'Token expired', true], [4429, 'Allowance spent', true],
  [4401, 'Unauthorized', false], [4429, 'Too many initialisation requests', false], [4400, 'no', false],
  [4403, 'Forbidden', false], [4406, 'Subprotocol not acceptable', false], [4409, 'Subscriber for 1 already exists', false],
  [1009, '', false], [1006, '', false],
]) {
  test(`close code ${code} ${reason}: ${again ? 'again' : 'the end'}`, async () => {
    for (const document of [query, '{ a }', 'mutation { a }']) {
      const { client, got } = start({}, undefined, document);
      const event = { code, reason };
      await client.sinks[0].error(event);
      assert.equal(client.sinks.length, again ? 2 : 1);
      assert.deepEqual(got, again ? [] : [event]);
    }
  });
}

test('the shouldRetry of the application decides', async () => {
  const { client, got } = start({}, { shouldRetry: () => false });
  const event = { code: 4401, reason: 'Token expired' };
  await client.sinks[0].error(event);
  assert.deepEqual(got, [event]);
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
  for (const code of [1000, 1001, 1005, 1006, 1011, 1012, 4004, 4408, 4499, 4500, 4504]) assert.ok(!isRefusal({ code, reason: '' }));
  const failures = [undefined, null, 'text', new Error('Unexpected server response: 429'), { type: 'error' }];
  for (const error of failures) assert.ok(!isRefusal(error));
  for (const [reason, retried] of Object.entries(reasons)) {
    assert.equal(isRefusal({ code: Number(reason.slice(0, 4)), reason: reason.slice(5) }), !retried, reason);
  }
});

// A gateway that is overloaded, or does not reach the server: handshakes that fail, and frames of its own.
test('failing handshakes and frames of the gateway end nobody', async (t) => {
  const failures = [429, 500, 503, 'reset', 'silent', 'frame', 'frame late'];
  const server = new WebSocketServer({ noServer: true });
  const http = createServer().on('upgrade', (request, socket, head) => {
    const failure = failures.shift();
    if (failure === 'reset') return socket.destroy();
    if (typeof failure === 'number') return socket.end(`HTTP/1.1 ${failure} No\r\nContent-Length: 0\r\n\r\n`);
    server.handleUpgrade(request, socket, head, (ws) =>
      ws.on('message', (data) => {
        const { type, id } = JSON.parse(data);
        if (failure === 'silent') return;
        if (failure === 'frame' || (failure && type === 'subscribe')) {
          return ws.send('{"message":"Internal server error","connectionId":"c","requestId":"r"}');
        }
        if (type === 'connection_init') ws.send('{"type":"connection_ack"}');
        if (type === 'subscribe') ws.send(JSON.stringify({ id, type: 'next', payload: next('A') }));
      }));
  });
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
  const client = resuming(createClient({
    ...settings,
    url: `ws://127.0.0.1:${http.address().port}`,
    webSocketImpl: WebSocket,
    connectionAckWaitTimeout: 100,
    lazyCloseTimeout: 0,
    retryWait: () => new Promise((resolve) => setTimeout(resolve, 50)), // for the old socket's close event
  }));
  t.after(() => {
    for (const socket of server.clients) socket.terminate();
    http.close();
  });
  const outcome = await new Promise((resolve) => {
    client.subscribe({ query, variables: {} }, { next: resolve, error: resolve, complete: () => resolve('complete') });
  });
  assert.deepEqual(outcome, next('A'));
  assert.deepEqual(failures, []);
  await client.dispose();
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
