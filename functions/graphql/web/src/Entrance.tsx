import { Fragment, useState, type ChangeEvent, type FormEvent } from 'react';
import { nameOf, personOf, type Identity } from './identity.ts';
import { isShort } from './names.ts';
import { waiting } from './outbox.ts';
import { local } from './storage.ts';
import { ThemeButton } from './ThemeButton.tsx';

interface Props {
  chatId: string;
  user: Identity;
  needsToken: boolean;
  onEnter: (chatId: string, user: Identity) => void;
}

/** Asks for a chat, and for a name or a token with a name. */
export function Entrance({ chatId, user, needsToken, onEnter }: Props) {
  const [name, setName] = useState(user.name);
  const [token, setToken] = useState(user.token);
  const [chat, setChat] = useState(chatId || 'lobby');
  const enter = (e: FormEvent) => {
    e.preventDefault();
    onEnter(chat.trim(), needsToken ? { name: nameOf(token.trim()) ?? '', token: token.trim() } : { name: name.trim(), token: '' });
  };
  const changeToken = (e: ChangeEvent<HTMLInputElement>) => {
    e.target.setCustomValidity(nameOf(e.target.value.trim()) ? '' : 'This is no JSON Web Token with a name.');
    setToken(e.target.value);
  };
  const changeShort = (set: (text: string) => void) => (e: ChangeEvent<HTMLInputElement>) => {
    e.target.setCustomValidity(isShort(e.target.value.trim()) ? '' : 'This is too long.');
    set(e.target.value);
  };
  const names = namesOfWaiting(user);
  return (
    <main className="entrance">
      <ThemeButton />
      <form className="card" onSubmit={enter}>
        <Logo />
        <h1>Subwire</h1>
        <p className="lead">A chat over GraphQL subscriptions, without servers.</p>
        {needsToken ? (
          <>
            <label htmlFor="token">Your token</label>
            <input id="token" type="password" value={token} onChange={changeToken} required autoComplete="off" autoFocus={!token} />
          </>
        ) : (
          <>
            <label htmlFor="name">Your name</label>
            <input id="name" value={name} onChange={changeShort(setName)} required pattern=".*\S.*" dir="auto" autoComplete="nickname" autoFocus={!name} placeholder="Ada" />
          </>
        )}
        <label htmlFor="chat">Chat</label>
        <input id="chat" value={chat} onChange={changeShort(setChat)} required pattern=".*\S.*" dir="auto" autoComplete="off" autoCapitalize="none" spellCheck={false} />
        <button className="primary" type="submit">Join the chat</button>
        <p className="hint">{names.length === 0 ? 'Inside, a button opens a second person’s window, so that you can write to each other.'
          : <>Messages wait to be sent until {names.map((name, i) => <Fragment key={name}>{i > 0 && ', '}<bdi>{name}</bdi></Fragment>)} joins again.</>}</p>
      </form>
    </main>
  );
}

/** Whose messages wait in this browser: without a token, as those of others are nobody's business. */
const namesOfWaiting = (user: Identity): string[] =>
  [...waiting(local).keys()].filter((p) => p.startsWith('name/') && p !== personOf(user)).map((p) => p.slice('name/'.length));

export function Logo() {
  return (
    <svg className="logo" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="9" />
      <path d="M8 12.5h10a3.5 3.5 0 0 1 0 7H14a3.5 3.5 0 0 0 0 7" opacity=".55" />
      <circle cx="8" cy="12.5" r="2.6" />
      <path d="M15 6.5a9 9 0 0 1 9 9" />
    </svg>
  );
}
