// Apollo Client over a split link, as in its documentation: HTTP for queries
// and mutations, GraphQLWsLink for subscriptions. It reads the history, then
// subscribes after its newest message and resumes after each loss of the connection.
//   node apollo.mjs HTTP_URL WS_URL CHAT_ID
// Prints {"next": message} for each new message. Standard input takes commands,
// one per line: "post TEXT" and "history"; each is answered with one JSON line.
// When standard input ends, it unsubscribes and exits.
import readline from 'node:readline';
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { RetryLink } from '@apollo/client/link/retry';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { getMainDefinition } from '@apollo/client/utilities';
import { createClient } from 'graphql-ws';
import { map } from 'rxjs';
import WebSocket from 'ws';
import { resuming, settings } from '../../shared/js/resume.mjs';

const [httpUrl, wsUrl, chatId] = process.argv.slice(2);
const print = (line) => console.log(JSON.stringify(line));

const socket = resuming(createClient({ ...settings, url: wsUrl, webSocketImpl: WebSocket }));
const isSubscription = ({ query }) => {
  const definition = getMainDefinition(query);
  return definition.kind === 'OperationDefinition' && definition.operation === 'subscription';
};
// RetryLink repeats what got no answer. This makes it repeat what the server could not do, too.
const failing = new ApolloLink((operation, forward) =>
  forward(operation).pipe(
    map((result) => {
      if (result.errors?.some((e) => e.extensions?.code === 'UNAVAILABLE')) throw new Error('unavailable');
      return result;
    }),
  ),
);
const retry = new RetryLink({ attempts: { max: 20 }, delay: { max: 5_000 } }); // by default the delays double for ever
const http = ApolloLink.from([retry, failing, new HttpLink({ uri: httpUrl })]);
const client = new ApolloClient({
  link: ApolloLink.split(isSubscription, new GraphQLWsLink(socket), http),
  cache: new InMemoryCache(),
});

const fields = gql`fragment Fields on Message { id content senderName }`;

const history = () =>
  client.query({
    query: gql`query History($chatId: ID!) { getNewMessages(chatId: $chatId) { ...Fields } } ${fields}`,
    variables: { chatId },
    fetchPolicy: 'network-only',
  });

const messages = (await history()).data.getNewMessages;
const subscription = client
  .subscribe({
    query: gql`subscription NewMessage($chatId: ID!, $after: ID) {
      newMessage(chatId: $chatId, after: $after) { ...Fields }
    } ${fields}`,
    variables: { chatId, after: messages.at(-1)?.id ?? '0'.repeat(26) },
  })
  .subscribe({
    next: ({ data, error }) => print(error ? { error: error.message } : { next: data.newMessage }),
    error: (e) => print({ error: e.message }),
    complete: () => print({ complete: true }),
  });

const post = (content) =>
  client.mutate({
    mutation: gql`mutation PostMessage($chatId: ID!, $content: String!, $key: ID) {
      postMessage(chatId: $chatId, content: $content, senderName: "Apollo", key: $key) { ...Fields }
    } ${fields}`,
    variables: { chatId, content, key: crypto.randomUUID() },
  });

for await (const line of readline.createInterface({ input: process.stdin })) {
  try {
    if (line.startsWith('post ')) print({ posted: (await post(line.slice(5))).data.postMessage });
    if (line === 'history') print({ history: (await history()).data.getNewMessages });
  } catch (e) {
    print({ failed: e.message });
  }
}
subscription.unsubscribe();
await socket.dispose();
