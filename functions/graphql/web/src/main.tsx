import { createRoot } from 'react-dom/client';
import { App } from './App.tsx';
import { loadConfig } from './config.ts';

const root = createRoot(document.getElementById('root')!);
try {
  root.render(<App config={await loadConfig()} />);
} catch (e) {
  root.render(<p role="alert" className="broken">The chat cannot start: {e instanceof Error ? e.message : String(e)}. Load the page again.</p>);
}
