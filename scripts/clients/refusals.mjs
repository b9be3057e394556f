// Breaks the rules of the protocol with the npm client graphql-ws and its
// default settings, one client per rule, all at the same time:
//   node refusals.mjs WS_URL HURRIED_WS_URL BYTES
// A client's WebSocket breaks the rule by changing what is sent. The connection
// has the rule's name. HURRIED_WS_URL does not wait long for an init. A
// frame of BYTES is too large.
//
// Lines on standard input name rules whose connection somebody else has broken:
// their clients then subscribe once more. When "end" has been read and nobody has
// seen an error for ten seconds, one JSON line is printed:
// {NAME: {"connects": n, "error": what the application sees}}.
import readline from 'node:readline';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const [url, hurriedUrl, tooLarge] = process.argv.slice(2);
const is = (type) => (frame) => JSON.parse(frame).type === type;
const [isInit, isSubscribe] = ['connection_init', 'subscribe'].map(is);

// Each rule has a function from the client's frame to the frames that are sent in
// its place.
const rules = {
  'malformed init': { send: (f) => [isInit(f) ? '{"type":"connection_init","payload":"text"}' : f] },
  'second init': { send: (f) => (isInit(f) ? [f, f] : [f]) },
  'late init': { url: hurriedUrl, send: (f) => (isInit(f) ? [] : [f]) },
  'subscribe before ack': { send: (f) => [isInit(f) ? '{"id":"1","type":"subscribe","payload":{"query":"{ a }"}}' : f] },
  'duplicate id': { send: (f) => (isSubscribe(f) ? [f, f] : [f]) },
  'malformed frame': { send: (f) => [isSubscribe(f) ? f.slice(1) : f] },
  'unknown type': { send: (f) => [isSubscribe(f) ? f.replace('subscribe', 'start') : f] },
  'frame too large': { send: (f) => [isSubscribe(f) ? f.padEnd(Number(tooLarge)) : f] },
  'no subprotocol': { subprotocols: [] },
  'legacy subprotocol': { subprotocols: ['graphql-ws'] },
  'expired connection': {},
};

const socketOf = ({ send = (f) => [f], subprotocols }) =>
  class extends WebSocket {
    constructor(address, offered) {
      super(address, subprotocols ?? offered);
    }
    send(frame) {
      for (const f of send(frame)) super.send(f);
    }
  };

let last = Date.now(); // when something last happened
const results = {};
const clients = {};
const end = (name, error) => {
  last = Date.now();
  results[name].error ??= error;
};
const subscribe = (name, query) =>
  clients[name].subscribe({ query }, {
    next: () => {},
    error: (e) => end(name, Array.isArray(e) ? JSON.stringify(e) : (e.message ?? `${e.code} ${e.reason}`)),
    complete: () => end(name, 'completed'),
  });

for (const [name, rule] of Object.entries(rules)) {
  results[name] = { connects: 0 };
  clients[name] = createClient({
    url: rule.url ?? url,
    webSocketImpl: socketOf(rule),
    connectionParams: { name },
    on: { connecting: () => results[name].connects++ },
  });
  subscribe(name, `subscription { newMessage(chatId: "refusals ${name}") { id } }`);
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  if (line === 'end') break;
  subscribe(line, '{ __typename }');
}
setInterval(() => {
  if (Date.now() - last < 10_000) return;
  console.log(JSON.stringify(results));
  process.exit();
}, 100);
