import type { OperationVariables, TypedDocumentNode } from '@apollo/client';
import { useApolloClient } from '@apollo/client/react';
import { useEffect, useRef, useState } from 'react';
import { Here, type Presence } from './apollo.ts';
import { idOfTab } from './identity.ts';

/**
 * Subscribes to what a chat can do without, while isOn: a refusal, or a server that does
 * not know the field, ends it silently.
 */
export function useLive<T, V extends OperationVariables>(
  query: TypedDocumentNode<T, V>, variables: V, isOn: boolean, take: (data: T) => void,
) {
  const client = useApolloClient();
  const latest = useRef(take);
  latest.current = take;
  useEffect(() => {
    if (!isOn) return;
    const subscription = client.subscribe<T>({ query, variables, fetchPolicy: 'no-cache' }).subscribe({
      next: ({ data }) => data && latest.current(data as T),
      error: () => {},
    });
    return () => subscription.unsubscribe();
  }, [client, query, isOn, JSON.stringify(variables)]);
}

/** How many are in the chat, if the server says so. Each tab counts as the same one after it is loaded again. */
export function useHere(chatId: string, isOn: boolean): Presence | undefined {
  const [here, setHere] = useState<Presence>();
  useLive(Here, { chatId, as: idOfTab() }, isOn, (data) => setHere(data.here));
  return here;
}
