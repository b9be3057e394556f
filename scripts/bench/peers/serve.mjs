// Serves subscriptions with graphql-ws on ws, for bench hosts. The first line of JSON
// on stdin asks for the URL, which is answered with a line on stdout. Each further line
// is an event to publish.
//
// The set-up is the documented one of graphql-ws, with graphql-subscriptions as the
// pub/sub of the process. Its topics are chats, so that nothing is filtered.
import { EventEmitter } from 'node:events';
import { createInterface } from 'node:readline';
import graphql from 'graphql';
import { PubSub } from 'graphql-subscriptions';
import { useServer } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { pingMs } = JSON.parse((await lines.next()).value);
const pubsub = new PubSub({ eventEmitter: new EventEmitter().setMaxListeners(0) });

const message = new graphql.GraphQLObjectType({ name: 'Message', fields: Object.fromEntries(
  ['id', 'chatId', 'content', 'senderName', 'createdAt'].map((name) => [name, { type: graphql.GraphQLString }])) });
const schema = new graphql.GraphQLSchema({
  query: new graphql.GraphQLObjectType({ name: 'Query', fields: { ok: { type: graphql.GraphQLBoolean } } }),
  subscription: new graphql.GraphQLObjectType({ name: 'Subscription', fields: { newMessage: {
    type: message,
    args: { chatId: { type: new graphql.GraphQLNonNull(graphql.GraphQLID) } },
    subscribe: (_root, { chatId }) => pubsub.asyncIterableIterator(chatId),
    resolve: (event) => event,
  } } }),
});

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, path: '/graphql', backlog: 4096 });
server.on('listening', () => {
  useServer({ schema }, server, pingMs);
  process.stdout.write(JSON.stringify({ url: `ws://127.0.0.1:${server.address().port}/graphql` }) + '\n');
});
for await (const line of lines) {
  const event = JSON.parse(line);
  await pubsub.publish(event.chatId, event);
}
process.exit(0);
