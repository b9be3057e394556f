import { useState, type FormEvent } from 'react';
import { nameOf } from './identity.ts';

/** Asks for the token that a server wants with every operation, and says when there is none. */
export function TokenBar({ token, onUse }: { token: string; onUse: (token: string) => void }) {
  const [typed, setTyped] = useState(token);
  const name = nameOf(typed.trim());
  const use = (e: FormEvent) => {
    e.preventDefault();
    if (name) onUse(typed.trim());
  };
  return (
    <form className="token" onSubmit={use}>
      <label htmlFor="token">Your token</label>
      <input
        id="token" type="password" value={typed} onChange={(e) => setTyped(e.target.value)}
        autoComplete="off" autoFocus={!token} aria-describedby="token-state"
      />
      <button type="submit" disabled={!name || typed.trim() === token}>Use it</button>
      <p id="token-state" role="status">{stateOf(typed.trim(), token, name)}</p>
    </form>
  );
}

function stateOf(typed: string, used: string, name: string | undefined): string {
  if (!typed) return 'This server wants a JSON Web Token. Without one it refuses every operation.';
  if (!name) return 'This is no JSON Web Token with a name.';
  return typed === used ? `You are ${name}.` : `This is a token of ${name}.`;
}
