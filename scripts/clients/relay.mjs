// Relay's network layer over HTTP and graphql-ws, resuming after each loss of the
// connection:
//   node relay.mjs HTTP_URL WS_URL CHAT_ID
// Prints {"next": message} for each message; ends with its standard input.
import { createClient } from 'graphql-ws';
import relay from 'relay-runtime';
import WebSocket from 'ws';
import { resuming, settings } from '../../shared/js/resume.mjs';
import newMessage from './relay-new-message.mjs';

const { Environment, Network, Observable, RecordSource, Store, requestSubscription } = relay;
const [httpUrl, wsUrl, chatId] = process.argv.slice(2);
const print = (line) => console.log(JSON.stringify(line));

const socket = resuming(createClient({ ...settings, url: wsUrl, webSocketImpl: WebSocket }));

const fetchQuery = async ({ text, name }, variables) => {
  const response = await fetch(httpUrl, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query: text, operationName: name, variables }),
  });
  return response.json();
};
const subscribe = ({ text, name }, variables) =>
  Observable.create((sink) => socket.subscribe({ query: text, operationName: name, variables }, sink));

const environment = new Environment({
  network: Network.create(fetchQuery, subscribe),
  store: new Store(new RecordSource()),
});

const subscription = requestSubscription(environment, {
  subscription: newMessage,
  variables: { chatId, after: '0'.repeat(26) }, // or the newest id of the history
  onNext: (data) => print({ next: data.newMessage }),
  onError: (e) => print({ error: e.message ?? e }),
});

process.stdin.resume();
process.stdin.on('end', async () => {
  subscription.dispose();
  await socket.dispose();
});
