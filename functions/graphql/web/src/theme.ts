import { local } from './storage.ts';

export type Theme = 'light' | 'dark';

/** The user's choice, or else the system's preference, as style.css decides it. */
export function currentTheme(): Theme {
  const { theme } = document.documentElement.dataset;
  if (theme === 'light' || theme === 'dark') return theme;
  return matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
}

export function chooseTheme(theme: Theme) {
  local.set('subwire.theme', theme); // chosen.js reads it
  document.documentElement.dataset.theme = theme;
}
