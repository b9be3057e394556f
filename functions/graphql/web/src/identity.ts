/** Who the user is: a name that was typed, or what a token says. */
export interface Identity {
  name: string;
  token: string; // JSON Web Token; "" for an anonymous user
}

/** The name that the server gives the bearer of a token: its claim name, or else sub. Undefined when it is no token. */
export function nameOf(token: string): string | undefined {
  try {
    const payload = (token.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/');
    const claims = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(payload), (c) => c.charCodeAt(0))));
    return claims.name || claims.sub || undefined;
  } catch {
    return undefined;
  }
}

const nameKey = 'subwire.name', tokenKey = 'subwire.token', ownKey = 'subwire.own';

/** Who the user was. A token is kept for as long as the tab. */
export function remembered(needsToken: boolean): Identity {
  const token = needsToken ? (sessionStorage.getItem(tokenKey) ?? '') : '';
  return { token, name: (needsToken ? nameOf(token) : localStorage.getItem(nameKey)) ?? '' };
}

export function remember({ name, token }: Identity) {
  if (token) sessionStorage.setItem(tokenKey, token);
  else localStorage.setItem(nameKey, name);
}

const mostOwn = 1000; // ids that are kept

/** The ids of the messages that were written in this browser: without a token nobody else knows. */
export function ownIds(): Set<string> {
  try {
    return new Set<string>(JSON.parse(localStorage.getItem(ownKey) ?? '[]'));
  } catch {
    return new Set(); // somebody else wrote it
  }
}

/** Adds to the ids that are kept. */
export function keepOwn(ids: Iterable<string>) {
  const all = ownIds(), before = all.size;
  for (const id of ids) all.add(id);
  if (all.size > before) localStorage.setItem(ownKey, JSON.stringify([...all].slice(-mostOwn)));
}
