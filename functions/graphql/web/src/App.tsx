import { ApolloProvider } from '@apollo/client/react';
import { useEffect, useMemo, useState } from 'react';
import { createApollo } from './apollo.ts';
import { Chat } from './Chat.tsx';
import type { Config } from './config.ts';
import { Entrance } from './Entrance.tsx';
import { remember, remembered, type Identity } from './identity.ts';
import { openSocket } from './socket.ts';

/** The chat that the URL names: /c/CHAT. */
function chatOfURL(): string {
  const text = /^\/c\/(.+)$/.exec(location.pathname)?.[1] ?? '';
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // not encoded: taken literally
  }
}

export function App({ config }: { config: Config }) {
  const needsToken = config.auth === 'jwt';
  const [chatId, setChatId] = useState(chatOfURL);
  const [user, setUser] = useState(() => remembered(needsToken));
  useEffect(() => {
    const follow = () => setChatId(chatOfURL());
    addEventListener('popstate', follow);
    return () => removeEventListener('popstate', follow);
  }, []);
  const { apollo, status } = useMemo(() => {
    const { client, status } = openSocket(config.webSocketUrl, user.token);
    return { apollo: createApollo(client, user.token), status };
  }, [config, user.token]);

  const go = (path: string) => {
    history.pushState(null, '', path);
    setChatId(chatOfURL());
  };
  const enter = (chosenChat: string, chosenUser: Identity) => {
    remember(chosenUser);
    setUser(chosenUser);
    go(`/c/${encodeURIComponent(chosenChat)}`);
  };
  if (!chatId || !user.name) return <Entrance chatId={chatId} user={user} needsToken={needsToken} onEnter={enter} />;
  return (
    <ApolloProvider client={apollo}>
      <Chat key={chatId} chatId={chatId} user={user} status={status} onLeave={() => go('/')} />
    </ApolloProvider>
  );
}
