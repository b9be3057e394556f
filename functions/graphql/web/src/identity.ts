import { Observed } from './observed.ts';
import { local, randomId, session } from './storage.ts';

/** Who the user is: a typed name, or what a token says. */
export interface Identity {
  name: string;
  token: string; // JSON Web Token; "" for an anonymous user
}

const claimsOf = (token: string): { name?: string; sub?: string } => {
  try {
    const payload = (token.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/');
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(payload), (c) => c.charCodeAt(0)))) ?? {};
  } catch {
    return {};
  }
};

/** The server's name for the bearer of a token: its claim name, or else sub. Undefined if it is not a token. */
export const nameOf = (token: string): string | undefined => claimsOf(token).name || claimsOf(token).sub || undefined;

/** The server's id for the user, "" for an anonymous one. */
export const viewerOf = ({ token }: Identity): string => claimsOf(token).sub ?? '';

/**
 * Tells the people who use this browser apart. Each has drafts, read marks and messages of
 * their own, and all tabs of one share them. Without a token a name is a person.
 */
export const personOf = ({ name, token }: Identity): string => (token ? `token/${viewerOf({ name, token })}` : `name/${name}`);

const nameKey = 'subwire.name', tokenKey = 'subwire.token', ownKey = 'subwire.own';

/** Who the user was in this tab, or else in this browser. A token is kept until the tab closes. */
export function remembered(needsToken: boolean): Identity {
  if (needsToken) {
    const token = session.get(tokenKey) ?? '';
    return { token, name: nameOf(token) ?? '' };
  }
  const name = session.get(nameKey) ?? local.get(nameKey) ?? '';
  if (name) session.set(nameKey, name); // whoever comes in another tab later
  return { token: '', name };
}

export function remember({ name, token }: Identity) {
  if (token) return session.set(tokenKey, token);
  session.set(nameKey, name);
  local.set(nameKey, name);
}

const personKey = (person: string) => `subwire.person/${encodeURIComponent(person)}`;
const others = ['Ada', 'Grace', 'Linus', 'Margaret', 'Alan', 'Barbara', 'Dennis', 'Radia'];

/** A name that nobody has used in this browser, and will not be given again. */
export function newName(): string {
  const known = new Set(local.keys()), isNew = (name: string) => !known.has(personKey(personOf({ name, token: '' })));
  let name = others.find(isNew);
  for (let i = others.length + 1; !name; i++) if (isNew(`Guest ${i}`)) name = `Guest ${i}`;
  idOfPerson({ name, token: '' });
  return name;
}

/** The address of a chat for somebody else's window. Where tokens are needed, the window asks for one. */
export const addressFor = (chatId: string, { token }: Identity): string =>
  `/c/${encodeURIComponent(chatId)}${token ? '' : `#as=${encodeURIComponent(newName())}`}`;

/**
 * Makes the tab that of the person whom such an address names, unless it has one. The name must be of this
 * browser: with a link of somebody else, people would write under a name that they have not chosen.
 */
export function takeName(hash: string) {
  const name = new URLSearchParams(hash.slice(1)).get('as')?.trim();
  if (!name || local.get(personKey(personOf({ name, token: '' }))) === null) return;
  if (session.get(nameKey) === null) session.set(nameKey, name);
}

const mostOwn = 1000; // ids kept

function ownIds(): ReadonlySet<string> {
  try {
    return new Set<string>(JSON.parse(local.get(ownKey) ?? '[]'));
  } catch {
    return new Set(); // another program wrote the item
  }
}

/** The ids of the messages written in this browser, by any person. Without a token nobody else knows them. */
export const own = new Observed(ownIds());

/** Adds ids to those kept, and takes in those of other tabs. */
export function keepOwn(ids: Iterable<string> = []) {
  const kept = ownIds(), all = new Set([...kept, ...ids]);
  if (all.size > kept.size) local.set(ownKey, JSON.stringify([...all].slice(-mostOwn)));
  own.set(all);
}

/** A random id that stays: for a tab, or for a person in this browser. */
export const idOfTab = (): string => stays(session, 'subwire.tab');
export const idOfPerson = (user: Identity): string => stays(local, personKey(personOf(user)));

function stays(storage: typeof local, key: string): string {
  const id = storage.get(key) ?? randomId();
  storage.set(key, id);
  return id;
}
