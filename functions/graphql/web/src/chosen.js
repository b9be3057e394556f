// Applies the theme that the user chose (theme.ts) before anything is painted. As a classic
// script of its own it is waited for; modules are not, and the page's policy forbids scripts in it.
try {
  const theme = localStorage.getItem('subwire.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {} // storage is blocked: the system's preference it is
