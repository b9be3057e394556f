/** What a server says about an operation: a GraphQL error. */
interface Refused {
  message: string;
  extensions?: { code?: unknown } | undefined;
}

const hints: Record<string, string> = {
  4401: 'Enter a new token.',
  4403: 'Enter a token that this server accepts.',
};

const tooLarge = 1009; // the one code of RFC 6455 that a page can bring about

/**
 * The code and reason with which the server ended the connection, if it gave some: a message
 * says so on API Gateway, which has no codes of its own, and the close itself on a host.
 */
export function closing(e: unknown): { code: string; reason: string } | undefined {
  const { message, code, reason } = (e ?? {}) as { message?: unknown; code?: unknown; reason?: unknown };
  const [, told, why] = /connection_error: (\d+) ([^"]+)/.exec(String(message)) ?? [];
  if (told && why) return { code: told, reason: why };
  return typeof code === 'number' && (code >= 4400 || code === tooLarge) ? { code: `${code}`, reason: `${reason}` } : undefined;
}

/** Says why an operation ended, by what graphql-ws gives to a sink: GraphQL errors, a server's reason, a lost socket. */
export function sentence(e: unknown): string {
  if (Array.isArray(e)) return e.map(said).join(' ');
  const closed = closing(e);
  if (closed) return `The server refused the connection: ${closed.reason} (${closed.code}). ${hints[closed.code] ?? ''}`.trim();
  if (e instanceof Error) return ended(e.message);
  return 'The server cannot be reached.';
}

function said({ message, extensions }: Refused): string {
  const text = ended(capital(message));
  return typeof extensions?.code === 'string' ? `${text.slice(0, -1)} (${extensions.code}).` : text;
}

export const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
export const ended = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);
