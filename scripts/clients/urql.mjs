// urql with its subscriptionExchange, resuming after each loss of the connection:
//   node urql.mjs HTTP_URL WS_URL CHAT_ID
// Prints {"next": message} for each message; ends with its standard input.
import { createClient } from 'graphql-ws';
import { Client, cacheExchange, fetchExchange, gql, subscriptionExchange } from 'urql';
import WebSocket from 'ws';
import { resuming, settings } from '../../shared/js/resume.mjs';

const [httpUrl, wsUrl, chatId] = process.argv.slice(2);
const print = (line) => console.log(JSON.stringify(line));

const socket = resuming(createClient({ ...settings, url: wsUrl, webSocketImpl: WebSocket }));

const client = new Client({
  url: httpUrl,
  preferGetMethod: false,
  exchanges: [
    cacheExchange,
    fetchExchange,
    subscriptionExchange({
      forwardSubscription: ({ query, variables }) => ({
        subscribe: (sink) => ({ unsubscribe: socket.subscribe({ query, variables }, sink) }),
      }),
    }),
  ],
});

const newMessage = gql`
  subscription NewMessage($chatId: ID!, $after: ID) {
    newMessage(chatId: $chatId, after: $after) { id content senderName }
  }
`;
const { unsubscribe } = client
  .subscription(newMessage, { chatId, after: '0'.repeat(26) }) // or the newest id of the history
  .subscribe(({ data, error }) => print(error ? { error: error.message } : { next: data.newMessage }));

process.stdin.resume();
process.stdin.on('end', async () => {
  unsubscribe();
  await socket.dispose();
});
