import 'graphiql/setup-workers/vite';
import 'graphiql/style.css';
import { createGraphiQLFetcher, type Fetcher } from '@graphiql/toolkit';
import { GraphiQL } from 'graphiql';
import { createClient } from 'graphql-ws';
import { createRoot } from 'react-dom/client';
import { loadConfig } from './config.ts';
import { settings } from './resume.mjs';

const sample = `# Run one of them with Ctrl-Enter, the subscription first.
subscription Listen {
  newMessage(chatId: "lobby") {
    id
    content
    senderName
  }
}

mutation Post {
  postMessage(chatId: "lobby", content: "hello", senderName: "Ada") {
    id
  }
}

query Read {
  getNewMessages(chatId: "lobby", limit: 10) {
    id
    content
    createdAt
  }
}
`;

const { webSocketUrl } = await loadConfig();
/** The request's headers are sent in connection_init too, so that a token is entered only once. */
const fetcher: Fetcher = (params, options) => {
  const wsClient = createClient({ ...settings, url: webSocketUrl, connectionParams: options?.headers });
  return createGraphiQLFetcher({ url: location.pathname, wsClient })(params, options);
};
createRoot(document.getElementById('root')!).render(<GraphiQL fetcher={fetcher} defaultQuery={sample} />);
