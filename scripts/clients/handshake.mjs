// graphql-ws with a token in the URL, which a function gives anew for each attempt:
//   node handshake.mjs WS_URL CHAT_ID TOKEN...
// The tokens are used one after the other, the last again and again. Prints {"closed": code}
// for each socket that was lost or refused, {"next": message} for each message and
// {"error": message} at the end, if there is one; ends with its standard input.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { resuming, settings } from '../../shared/js/resume.mjs';

const [wsUrl, chatId, ...tokens] = process.argv.slice(2);
const print = (line) => console.log(JSON.stringify(line));

const client = resuming(
  createClient({
    ...settings,
    url: () => `${wsUrl}?token=${encodeURIComponent(tokens.length > 1 ? tokens.shift() : tokens[0])}`,
    webSocketImpl: WebSocket,
    on: { closed: ({ code }) => print({ closed: code }) },
  }),
);

const unsubscribe = client.subscribe(
  {
    query: 'subscription ($chatId: ID!, $after: ID) { newMessage(chatId: $chatId, after: $after) { id content mine } }',
    variables: { chatId, after: '0'.repeat(26) },
  },
  {
    next: ({ data, errors }) => print(errors ? { error: errors } : { next: data.newMessage }),
    error: (e) => print({ error: e.message ?? `${e.code} ${e.reason}` }), // of a close: its code and reason
    complete: () => {},
  },
);

process.stdin.resume();
process.stdin.on('end', async () => {
  unsubscribe();
  await client.dispose();
});
