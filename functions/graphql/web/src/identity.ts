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

const nameKey = 'subwire.name', tokenKey = 'subwire.token';

/** Who the user was. A token is kept for as long as the tab. */
export function remembered(needsToken: boolean): Identity {
  const token = needsToken ? (sessionStorage.getItem(tokenKey) ?? '') : '';
  return { token, name: (needsToken ? nameOf(token) : localStorage.getItem(nameKey)) ?? '' };
}

export function remember({ name, token }: Identity) {
  if (token) sessionStorage.setItem(tokenKey, token);
  else localStorage.setItem(nameKey, name);
}
