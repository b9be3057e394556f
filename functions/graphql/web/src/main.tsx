import { ApolloProvider } from '@apollo/client/react';
import { createRoot } from 'react-dom/client';
import { App } from './App.tsx';
import { createApollo } from './apollo.ts';
import { loadConfig } from './config.ts';
import { openSocket } from './socket.ts';
import { applyTheme } from './theme.ts';

applyTheme();
const root = createRoot(document.getElementById('root')!);
try {
  const { webSocketUrl } = await loadConfig();
  const { client, status } = openSocket(webSocketUrl);
  root.render(
    <ApolloProvider client={createApollo(client)}>
      <App status={status} />
    </ApolloProvider>,
  );
} catch (e) {
  root.render(<p role="alert" className="broken">The chat cannot start: {e instanceof Error ? e.message : String(e)}. Load the page again.</p>);
}
