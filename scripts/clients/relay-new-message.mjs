// What relay-compiler generates from the subscription below, written by hand so that
// relay.mjs runs without a build. In an application: graphql`subscription …`.
const name = 'NewMessage';
const text = `subscription NewMessage($chatId: ID!, $after: ID) {
  newMessage(chatId: $chatId, after: $after) { id content senderName }
}`;

const argument = (name) => ({ defaultValue: null, kind: 'LocalArgument', name });
const argumentDefinitions = [argument('after'), argument('chatId')];
const value = (name) => ({ kind: 'Variable', name, variableName: name });
const scalar = (name) => ({ alias: null, args: null, kind: 'ScalarField', name, storageKey: null });
const selections = [
  {
    alias: null,
    args: [value('after'), value('chatId')],
    concreteType: 'Message',
    kind: 'LinkedField',
    name: 'newMessage',
    plural: false,
    selections: [scalar('id'), scalar('content'), scalar('senderName')],
    storageKey: null,
  },
];

export default {
  fragment: { argumentDefinitions, kind: 'Fragment', metadata: null, name, selections, type: 'Subscription', abstractKey: null },
  kind: 'Request',
  operation: { argumentDefinitions, kind: 'Operation', name, selections },
  params: { cacheID: name, id: null, metadata: {}, name, operationKind: 'subscription', text },
};
