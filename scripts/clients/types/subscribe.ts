import type { Client } from 'graphql-ws';
import type { TypedDocumentString } from './gql/graphql';

/** Subscribes with the types of a generated document. */
export function subscribe<Result, Variables extends Record<string, unknown>>(
  client: Client,
  document: TypedDocumentString<Result, Variables>,
  variables: Variables,
  next: (result: Result) => void,
): () => void {
  return client.subscribe<Result>(
    { query: document.toString(), variables },
    { next: ({ data }) => data && next(data), error: (e) => console.error(e), complete: () => {} },
  );
}
