/** What a server says about an operation: a GraphQL error. */
interface Refused {
  message: string;
  extensions?: { code?: unknown } | undefined;
}

const hints: Record<string, string> = {
  4401: 'Enter a new token.',
  4403: 'Enter a token that this server accepts.',
};

/** Says why an operation ended, by what graphql-ws gives to a sink: GraphQL errors, a server's reason, a lost socket. */
export function sentence(e: unknown): string {
  if (Array.isArray(e)) return e.map(said).join(' ');
  const [, code, why] = /connection_error: (\d+) ([^"]+)/.exec((e as Error)?.message ?? '') ?? [];
  if (code) return `The server refused the connection: ${why} (${code}). ${hints[code] ?? ''}`.trim();
  if (e instanceof Error) return ended(e.message);
  return 'The server cannot be reached.';
}

function said({ message, extensions }: Refused): string {
  const text = ended(capital(message));
  return typeof extensions?.code === 'string' ? `${text.slice(0, -1)} (${extensions.code}).` : text;
}

export const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
export const ended = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);
