// Breaks the rules of the protocol with the npm client graphql-ws in its
// default settings, one client for each rule, all at the same time:
//   node refusals.mjs WS_URL HURRIED_WS_URL
// A client breaks a rule by its WebSocket, which changes what is sent; it gives
// its connection the rule's name. HURRIED_WS_URL does not wait long for an init.
//
// Lines on standard input are names of rules whose connection was broken by
// somebody else: its client then subscribes once more. When "end" has been read
// and for ten seconds nobody saw an error, one JSON line is printed:
// {NAME: {"connects": n, "error": what the application sees}}.
import readline from 'node:readline';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const [url, hurriedUrl] = process.argv.slice(2);
const is = (type) => (frame) => JSON.parse(frame).type === type;
const [isInit, isSubscribe] = ['connection_init', 'subscribe'].map(is);

// Each rule has a function from the frame that the client sends to those that
// are sent in its place.
const rules = {
  'malformed init': { send: (f) => [isInit(f) ? '{"type":"connection_init","payload":"text"}' : f] },
  'second init': { send: (f) => (isInit(f) ? [f, f] : [f]) },
  'late init': { url: hurriedUrl, send: (f) => (isInit(f) ? [] : [f]) },
  'subscribe before ack': { send: (f) => [isInit(f) ? '{"id":"1","type":"subscribe","payload":{"query":"{ a }"}}' : f] },
  'duplicate id': { send: (f) => (isSubscribe(f) ? [f, f] : [f]) },
  'malformed frame': { send: (f) => [isSubscribe(f) ? f.slice(1) : f] },
  'unknown type': { send: (f) => [isSubscribe(f) ? f.replace('subscribe', 'start') : f] },
  'frame too large': { send: (f) => [isSubscribe(f) ? f.padEnd(40_000) : f] },
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

let last = Date.now(); // when something happened
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
