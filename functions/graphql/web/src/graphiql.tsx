import 'graphiql/setup-workers/vite';
import 'graphiql/style.css';
import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { GraphiQL } from 'graphiql';
import { createClient } from 'graphql-ws';
import { createRoot } from 'react-dom/client';
import { loadConfig } from './config.ts';

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
const wsClient = createClient({ url: webSocketUrl, keepAlive: 120_000 });
const fetcher = createGraphiQLFetcher({ url: location.pathname, wsClient });
createRoot(document.getElementById('root')!).render(<GraphiQL fetcher={fetcher} defaultQuery={sample} />);
