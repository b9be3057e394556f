// Runs before the first paint, so that no other theme is seen.
try {
  const theme = localStorage.getItem('subwire.theme');
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // Storage is blocked: the system's theme.
}
