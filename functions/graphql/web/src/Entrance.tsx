import { useState, type FormEvent } from 'react';
import { ThemeButton } from './ThemeButton.tsx';

interface Props {
  chatId: string;
  name: string;
  onEnter: (chatId: string, name: string) => void;
}

/** Asks for a name and a chat. */
export function Entrance({ chatId, name, onEnter }: Props) {
  const [chosenName, setName] = useState(name);
  const [chosenChat, setChat] = useState(chatId || 'lobby');
  const enter = (e: FormEvent) => {
    e.preventDefault();
    onEnter(chosenChat.trim(), chosenName.trim());
  };
  return (
    <main className="entrance">
      <ThemeButton />
      <form className="card" onSubmit={enter}>
        <Logo />
        <h1>Subwire</h1>
        <p className="lead">A chat over GraphQL subscriptions, without servers.</p>
        <label htmlFor="name">Your name</label>
        <input id="name" value={chosenName} onChange={(e) => setName(e.target.value)} required pattern=".*\S.*" maxLength={40} autoComplete="nickname" autoFocus={!name} placeholder="Ada" />
        <label htmlFor="chat">Chat</label>
        <input id="chat" value={chosenChat} onChange={(e) => setChat(e.target.value)} required pattern=".*\S.*" maxLength={40} autoComplete="off" autoCapitalize="none" spellCheck={false} />
        <button className="primary" type="submit">Join the chat</button>
        <p className="hint">Open this page in a second window and write to yourself.</p>
      </form>
    </main>
  );
}

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
