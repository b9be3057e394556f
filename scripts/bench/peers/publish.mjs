// Publishes events with graphql-lambda-subscriptions, for bench peers. The first
// line of JSON on stdin says where everything is. Each further line is an event to
// publish, and is answered with a line of JSON on stdout.
//
// The set-up is the library's documented one, made as fast as its arguments allow:
// one client for all posts, which keeps as many connections open as Subwire has
// workers.
import { createInterface } from 'node:readline';
import https from 'node:https';
import aws from 'aws-sdk';
import graphql from 'graphql';
import library from 'graphql-lambda-subscriptions';

const { ApiGatewayManagementApi, DynamoDB } = aws;
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const answer = (value) => process.stdout.write(JSON.stringify(value) + '\n');
const cfg = JSON.parse((await lines.next()).value);

const message = new graphql.GraphQLObjectType({ name: 'Message', fields: Object.fromEntries(
  ['id', 'chatId', 'content', 'senderName', 'createdAt'].map((name) => [name, { type: graphql.GraphQLString }])) });
const schema = new graphql.GraphQLSchema({
  query: new graphql.GraphQLObjectType({ name: 'Query', fields: { ok: { type: graphql.GraphQLBoolean } } }),
  subscription: new graphql.GraphQLObjectType({ name: 'Subscription', fields: { newMessage: {
    type: message,
    args: { chatId: { type: new graphql.GraphQLNonNull(graphql.GraphQLID) } },
    subscribe: library.subscribe('NEW_MESSAGE', { filter: (_root, args) => ({ chatId: args.chatId }) }),
    resolve: (event) => event.payload,
  } } }),
});

const credentials = { accessKeyId: cfg.accessKey, secretAccessKey: cfg.secretKey, region: cfg.region };
const dynamodb = new DynamoDB({ ...credentials, endpoint: cfg.dynamoDB });
const tableNames = { connections: 'peers-connections', subscriptions: 'peers-subscriptions' };
const server = library.makeServer({
  dynamodb, schema, tableNames,
  apiGatewayManagementApi: new ApiGatewayManagementApi({ ...credentials, endpoint: cfg.gateway, maxRetries: 0,
    httpOptions: { agent: new https.Agent({ keepAlive: true, maxSockets: cfg.workers }) } }),
  onError: (error) => { throw error; },
});

// createTables makes the tables that the library's README describes.
async function createTables() {
  const key = (name) => [{ AttributeName: name, KeyType: 'HASH' }];
  const string = (name) => ({ AttributeName: name, AttributeType: 'S' });
  const index = (IndexName, name) => ({ IndexName, KeySchema: key(name), Projection: { ProjectionType: 'ALL' } });
  await dynamodb.createTable({ TableName: tableNames.connections, BillingMode: 'PAY_PER_REQUEST',
    KeySchema: key('id'), AttributeDefinitions: [string('id')] }).promise();
  await dynamodb.createTable({ TableName: tableNames.subscriptions, BillingMode: 'PAY_PER_REQUEST', KeySchema: key('id'),
    AttributeDefinitions: ['id', 'topic', 'connectionId'].map(string),
    GlobalSecondaryIndexes: [index('ConnectionIndex', 'connectionId'), index('TopicIndex', 'topic')] }).promise();
}

// subscribe initialises a connection and subscribes, through the library's own
// handler.
async function subscribe({ connectionId, operationId, query, variables }) {
  const send = (body) => server.webSocketHandler({ body: JSON.stringify(body), requestContext: {
    eventType: 'MESSAGE', connectionId, domainName: 'example.com', stage: 'bench' } });
  await send({ type: 'connection_init' });
  await send({ type: 'subscribe', id: operationId, payload: { query, variables } });
}

const begun = process.hrtime.bigint();
await createTables();
for (let i = 0; i < cfg.subscriptions.length; i += 50) {
  await Promise.all(cfg.subscriptions.slice(i, i + 50).map(subscribe));
}
answer({ ready: Number(process.hrtime.bigint() - begun) / 1e6 });
for await (const line of lines) {
  const payload = JSON.parse(line);
  const cpu = process.cpuUsage(), begin = process.hrtime.bigint();
  await server.publish({ topic: 'NEW_MESSAGE', payload });
  const { user, system } = process.cpuUsage(cpu);
  answer({ ms: Number(process.hrtime.bigint() - begin) / 1e6, cpuMs: (user + system) / 1e3 });
}
