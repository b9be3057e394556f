// Generates the types of client.ts from schema.graphql.
export default {
  schema: 'schema.graphql',
  documents: ['client.ts'],
  generates: { 'gql/': { preset: 'client', config: { documentMode: 'string', useTypeImports: true } } },
};
