import 'graphiql/setup-workers/vite';
import 'graphiql/style.css';
import type { Fetcher } from '@graphiql/toolkit';
import { GraphiQL } from 'graphiql';
import { getOperationAST, parse } from 'graphql';
import { useState, useSyncExternalStore } from 'react';
import { createRoot } from 'react-dom/client';
import { loadConfig } from './config.ts';
import { nameOf, remember, remembered } from './identity.ts';
import { Listenings } from './listening.ts';
import { ListeningPane } from './ListeningPane.tsx';
import { Observed } from './observed.ts';
import { capital, ended } from './sentence.ts';
import { authorization, openSocket } from './socket.ts';
import { TokenBar } from './TokenBar.tsx';

const sample = `# Run Listen, then Post: Ctrl-Enter runs what
# the cursor is in. Events are listed on the
# right, until you stop Listen.
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

const ofAnother = (subscriptions: string[]) => `# Ctrl-Enter runs the operation that the cursor is in.
# Subscriptions of this product, which are listed
# on the right until you stop them:
#   ${subscriptions.join('\n#   ')}
`;

const root = createRoot(document.getElementById('root')!);
const { webSocketUrl, auth } = await loadConfig().catch((e: Error) => {
  root.render(<p role="alert">GraphiQL cannot start: {e.message}. Load the page again.</p>);
  throw e;
});
const needsToken = auth === 'jwt';
const listenings = new Listenings();
const socket = new Observed<(ReturnType<typeof openSocket> & { key: string }) | undefined>(undefined);

/** The socket of those headers: they are sent in connection_init, so that a token is entered only once. */
function socketOf(headers: Record<string, unknown>) {
  const key = JSON.stringify(headers), now = socket.get();
  if (now?.key === key) return now;
  const opened = { key, ...openSocket(webSocketUrl, headers) };
  socket.set(opened);
  return opened;
}

/** What runs an operation. A subscription goes on in its pane, and leaves a sentence for an answer. */
const fetcherOf = (token: string): Fetcher => async ({ query, variables, operationName }, options) => {
  const own: Record<string, unknown> = options?.headers ?? {};
  const hasToken = Object.keys(own).some((name) => name.toLowerCase() === 'authorization');
  const headers = { ...(hasToken ? {} : authorization(token)), ...own };
  if (typeOf(query, operationName) !== 'subscription') return ask({ query, variables, operationName }, headers);
  const name = operationName || 'subscription';
  listenings.begin(socketOf(headers).client, name, { query, variables, operationName });
  return `${name} is listed under Subscriptions, below.`;
};

function typeOf(query: string, name: string | null | undefined) {
  try {
    return getOperationAST(parse(query), name)?.operation;
  } catch {
    return undefined; // the server says what is wrong
  }
}

async function ask(operation: object, headers: Record<string, unknown>) {
  const response = await fetch(location.pathname, {
    method: 'POST', body: JSON.stringify(operation),
    headers: { 'content-type': 'application/json', ...(headers as Record<string, string>) },
  }).catch(() => {
    throw new Error('The server cannot be reached.');
  });
  const text = await response.text();
  const answer = parsed(text);
  if (response.status === 401) {
    const why = ended(capital(answer?.errors?.[0]?.message ?? 'a token is required'));
    throw new Error(`${why} Enter one above, or an Authorization among the headers.`);
  }
  if (!answer) throw new Error(`The server answers ${response.status}${text && `: ${text.slice(0, 200)}`}`);
  return answer;
}

function parsed(text: string) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What the editor begins with. A server that does not tell its fields counts as the chat. */
async function firstDocument(): Promise<string> {
  const question = { query: '{ __schema { subscriptionType { fields { name } } } }' };
  const answer = await ask(question, authorization(remembered(needsToken).token)).catch(() => undefined);
  const fields: { name: string }[] = answer?.data?.__schema?.subscriptionType?.fields ?? [];
  const names = fields.map(({ name }) => name);
  return names.length === 0 || names.includes('newMessage') ? sample : ofAnother(names);
}
const begins = await firstDocument();

/** An operation that a link brings: /graphql#query=DOCUMENT&variables=JSON. A fragment is in no log of the server. */
const brought = new URLSearchParams(location.hash.slice(1));

function Page() {
  const [{ token, fetcher }, setUser] = useState(() => userOf(remembered(needsToken).token));
  const now = useSyncExternalStore(socket.listen, socket.get);
  const use = (typed: string) => {
    remember({ name: nameOf(typed) ?? '', token: typed });
    setUser(userOf(typed));
  };
  return (
    <>
      {needsToken && <TokenBar token={token} onUse={use} />}
      <GraphiQL
        fetcher={fetcher} defaultQuery={begins} initialQuery={brought.get('query') ?? undefined}
        initialVariables={brought.get('variables') ?? undefined}
      >
        <GraphiQL.Footer>
          <ListeningPane listenings={listenings} status={now?.status} />
        </GraphiQL.Footer>
      </GraphiQL>
    </>
  );
}

const userOf = (token: string) => ({ token, fetcher: fetcherOf(token) });

root.render(<Page />);
