/** Who the user is: a typed name, or what a token says. */
export interface Identity {
  name: string;
  token: string; // JSON Web Token; "" for an anonymous user
}

/** The server's name for the bearer of a token: its claim name, or else sub. Undefined if it is not a token. */
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

/** Who the user was. A token is kept until the tab closes. */
export function remembered(needsToken: boolean): Identity {
  const token = needsToken ? (sessionStorage.getItem(tokenKey) ?? '') : '';
  return { token, name: (needsToken ? nameOf(token) : localStorage.getItem(nameKey)) ?? '' };
}

export function remember({ name, token }: Identity) {
  if (token) sessionStorage.setItem(tokenKey, token);
  else localStorage.setItem(nameKey, name);
}

const mostOwn = 1000; // ids kept

/** The ids of the messages written in this browser. Without a token nobody else knows them. */
export function ownIds(): Set<string> {
  try {
    return new Set<string>(JSON.parse(localStorage.getItem(ownKey) ?? '[]'));
  } catch {
    return new Set(); // another program wrote the item
  }
}

/** Adds an id to those kept. */
export function keepOwn(ids: Iterable<string>) {
  const all = ownIds(), before = all.size;
  for (const id of ids) all.add(id);
  if (all.size > before) localStorage.setItem(ownKey, JSON.stringify([...all].slice(-mostOwn)));
}
