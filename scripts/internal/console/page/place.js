// What the page shows, kept in the address: a reload, a link and the back button restore it.

const listeners = [];

export const place = () => Object.fromEntries(new URLSearchParams(location.search));

/** The address of this place with some changes; null takes a part away. */
export function address(changes) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value == null || value === '') query.delete(name);
    else query.set(name, value);
  }
  return `${location.pathname}?${query}`;
}

export function go(changes) {
  const to = address(changes);
  if (to !== location.pathname + location.search) history.pushState(null, '', to);
  for (const listener of listeners) listener();
}

export const whenMoved = (listener) => listeners.push(listener);

addEventListener('popstate', () => listeners.forEach((listener) => listener()));
// A click on a link of the console changes what is shown, without loading the page.
addEventListener('click', (event) => {
  const link = event.target.closest?.('a[data-to]');
  if (!link || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go(JSON.parse(link.dataset.to));
});

/** Makes a link to this place with some changes. */
export function lead(link, changes) {
  const to = JSON.stringify(changes);
  if (link.dataset.to === to) return link;
  link.dataset.to = to;
  link.href = address(changes);
  return link;
}

// A link that is opened in a tab of its own leads from where the page is now.
for (const event of ['pointerdown', 'focusin']) {
  addEventListener(event, ({ target }) => {
    const link = target.closest?.('a[data-to]');
    if (link) link.href = address(JSON.parse(link.dataset.to));
  });
}
